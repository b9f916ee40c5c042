//! Single values of the configuration file, held to what the program can do with them.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf};

use clap::ValueEnum;
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use p2pchat_core::{proto::Username, tokio::Fingerprint};
use ratatui::style::Color;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected},
};

use crate::args::{self, Address, ColorChoice, Park};

/// A text that `check` makes a value of, or says what it wants.
fn parsed<'de, D: Deserializer<'de>, T, E: Display>(
    deserializer: D,
    check: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    check(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn registry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    parsed(deserializer, args::tcp_address).map(Some)
}

pub(super) fn registry_udp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    parsed(deserializer, args::udp_address).map(Some)
}

pub(super) fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    parsed(deserializer, |text| match Username::new(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(problem) => Err(format!("the username {problem}")),
    })
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Err("a path is wanted"),
        text => Ok(Some(PathBuf::from(text))),
    })
}

pub(super) fn peer_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let port = i64::deserialize(deserializer)?;
    args::peer_port(&port.to_string()).map(Some).map_err(D::Error::custom)
}

pub(super) fn fingerprint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    parsed(deserializer, |text| text.parse::<Fingerprint>().map(|_| Some(text.to_owned())))
}

/// Seconds as a number, or a text as on the command line.
pub(super) fn park<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Park>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number of seconds is wanted, or \"never\"")]
    enum Written {
        Seconds(i64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => seconds.to_string(),
        Written::Text(text) => text,
    };
    args::park(&text).map(Some).map_err(D::Error::custom)
}

pub(super) fn color<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ColorChoice>, D::Error> {
    parsed(deserializer, |text| {
        ColorChoice::from_str(text, false).map(Some).map_err(|_| "auto, always or never is wanted")
    })
}

pub(super) fn time_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    parsed(deserializer, |text| {
        let shown = strtime::format(text, &Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC));
        match shown {
            Ok(shown) if shown.contains(char::is_control) => {
                Err("a time of one line without control characters is wanted".to_owned())
            }
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
}

pub(super) fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    number(deserializer, 0..=1_000)
}

pub(super) fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    number(deserializer, 0..=u32::MAX)
}

pub(super) fn megabytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    number(deserializer, 1..=u32::MAX)
}

fn number<'de, D: Deserializer<'de>, T>(deserializer: D, wanted: RangeInclusive<T>) -> Result<T, D::Error>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    let found = i64::deserialize(deserializer)?;
    T::try_from(found).ok().filter(|number| wanted.contains(number)).ok_or_else(|| {
        let expected = format!("a number from {} to {}", wanted.start(), wanted.end());
        D::Error::invalid_value(Unexpected::Signed(found), &expected.as_str())
    })
}

/// What is wrong with a colour, if anything.
pub(super) fn colour_problem(text: &str) -> Option<&'static str> {
    text.parse::<Color>().err().map(|_| "a colour's name, a number from 0 to 255 or \"#rrggbb\" is wanted")
}

//! Whether the clock is right, as far as anybody says what time it is.
//!
//! The protocol tells no time. What bounds it is when the certificate is valid, and when files were written here.

#![allow(clippy::disallowed_methods)] // whether the clock is right, is asked of the real one

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use x509_cert::{Certificate, der::Decode};

use super::{Report, Step};
use crate::{args::Global, session};

/// Where a certificate's time is about to run out.
const SOON: u64 = 14 * 86_400;
/// A certificate that is good for longer says nothing of the clock.
const FOR_EVER: u64 = 20 * 365 * 86_400;
/// Files may have been written on another machine, whose clock is ahead.
const AHEAD: Duration = Duration::from_secs(120);

const WHY: &str = "Certificates are judged by the clock, and messages say when they were written.";

/// In seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some(Self { from: seconds(validity.not_before), until: seconds(validity.not_after) })
    }
}

pub(super) fn look(report: &mut Report<'_>, global: &Global, certificate: Option<&[u8]>) {
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(file) = written_later(global, now) {
        return report.failed(
            Step::Clock,
            format!("the clock says {}, and {file} was written later than that", moment(seconds)),
            format!("Set the clock, best by a time service. {WHY}"),
        );
    }
    judge(report, seconds, certificate.and_then(Validity::of), global.ca.is_some());
}

fn judge(report: &mut Report<'_>, now: u64, validity: Option<Validity>, is_judged: bool) {
    let shown = moment(now);
    match validity {
        Some(Validity { from, until }) if now < from || until < now => report.warning(
            Step::Clock,
            format!("the clock says {shown}, and the registry's certificate is valid from {} to {}", day(from), day(until)),
            format!(
                "If the clock is wrong, set it. If it is right, the registry's operator should renew the certificate; a \
                 certificate that is known by its fingerprint is taken all the same. {WHY}"
            ),
        ),
        Some(Validity { until, .. }) if is_judged && until - now < SOON => report.warning(
            Step::Clock,
            format!("the clock says {shown}; the registry's certificate runs out on {}", day(until)),
            "Then --ca doesn't let you in any more. Its operator should renew it.",
        ),
        Some(Validity { from, until }) if until.saturating_sub(from) < FOR_EVER => report.unknown(
            Step::Clock,
            format!(
                "it says {shown}, within the time for which the registry's certificate is valid ({} to {})",
                day(from),
                day(until)
            ),
            "The registry tells no time, so nothing finer can be known here.",
        ),
        _ => report.unknown(
            Step::Clock,
            format!("it says {shown}; neither the registry nor its certificate says more"),
            "Compare it with another clock.",
        ),
    }
}

/// A file of the program's own from the future.
fn written_later(global: &Global, now: SystemTime) -> Option<String> {
    let folder = session::data_dir(global).ok()?;
    ["known_registries", "known_peers", "blocked"].into_iter().find_map(|name| {
        let file = folder.join(name);
        let written = fs::metadata(&file).and_then(|found| found.modified()).ok()?;
        (written > now.checked_add(AHEAD)?).then(|| file.display().to_string())
    })
}

fn day(seconds: u64) -> String {
    format(seconds, "%Y-%m-%d")
}

fn moment(seconds: u64) -> String {
    format(seconds, "%Y-%m-%d %H:%M UTC")
}

fn format(seconds: u64, how: &str) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "never".to_owned(), |moment| moment.strftime(how).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Finding, Level};

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn found(from: u64, until: u64, is_judged: bool) -> Finding {
        let mut ignore = |_: &Finding| {};
        let mut report = Report { findings: Vec::new(), tell: &mut ignore };
        judge(&mut report, NOW, Some(Validity { from, until }), is_judged);
        report.findings.remove(0)
    }

    #[test]
    fn a_clock_is_never_called_right_by_who_tells_no_time() {
        for (from, until, is_judged, level, said) in [
            (NOW + 1, NOW + DAY, false, Level::Warning, "valid from"),
            (NOW - DAY, NOW - 1, true, Level::Warning, "valid from"),
            (NOW - DAY, NOW + DAY, true, Level::Warning, "runs out on 2027-01-16"),
            (NOW - DAY, NOW + DAY, false, Level::Unknown, "within the time"),
            (NOW - DAY, NOW + 60 * DAY, true, Level::Unknown, "within the time"),
            (0, NOW * 3, true, Level::Unknown, "neither the registry nor"),
        ] {
            let found = found(from, until, is_judged);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.found.contains(said) && found.found.contains("2027-01-15"), "{found:?}");
        }
    }

    #[test]
    fn a_certificate_says_how_long_it_is_valid() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2024, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2024, 1, 2);
        let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let from = 1_704_067_200;
        assert_eq!(Validity::of(certificate.der()), Some(Validity { from, until: from + DAY }));
        assert_eq!(Validity::of(b"no certificate"), None);
    }
}

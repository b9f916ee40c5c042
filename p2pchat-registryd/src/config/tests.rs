use std::{fs, time::Duration};

use clap::{Args as _, Parser};
use p2pchat_core::registry::Rate;

use super::*;
use crate::Cli;

fn config(flags: &[&str], file: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registryd.toml");
    fs::write(&path, file).unwrap();
    let flags =
        ["p2pchat-registryd", "--config", path.to_str().unwrap()].into_iter().chain(flags.iter().copied());
    let args = Cli::try_parse_from(flags).map_err(|error| error.to_string())?.args;
    let shown = |error: ConfigError| error.to_string().replace(path.to_str().unwrap(), "FILE");
    Config::from_args(&args).map_err(shown)
}

#[test]
fn defaults_serve_this_machine_only() {
    let config = config(&[], "").unwrap();
    assert_eq!(config.listen, "127.0.0.1:15600".parse().unwrap());
    assert_eq!(config.udp_listen, "127.0.0.1:15500".parse().unwrap());
    assert_eq!(config.certificate, Certificate::Own);
    assert_eq!((config.hash_memory_kib, config.hash_iterations), (19_456, 2));
    assert!(!config.tls12);
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let file = "listen = '127.0.0.1:1'\nmax-connections = 7\nlog-format = 'json'\ntls12 = true";
    let config = config(&["--listen", "[::1]:2", "--tls12=false"], file).unwrap();
    assert_eq!(config.listen, "[::1]:2".parse().unwrap());
    assert_eq!(config.max_connections, 7);
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(!config.tls12);
    assert_eq!(config.cache_bytes, 64 << 20);
}

#[test]
fn limits_for_each_prefix_are_on_unless_0_says_otherwise() {
    assert_eq!(config(&[], "").unwrap().prefixes, PrefixLimits::default());
    let file = "prefix-connections = 0\nprefix-connects-per-minute = 0\nprefix-registrations-per-hour = 0\n\
                prefix-failed-logins-per-hour = 0\nprefix-requests-per-second = 0\naccount-failures-per-hour = 0";
    assert_eq!(config(&[], file).unwrap().prefixes, PrefixLimits::NONE);
    let file = "prefix-connections = 7\nprefix-connects-per-minute = 5\nlimit-loopback = true\n\
                prefix-requests-per-second = 50\naccount-failures-per-hour = 12";
    let limits = config(&["--prefix-failed-logins-per-hour", "9"], file).unwrap().prefixes;
    assert_eq!((limits.connections, limits.loopback), (7, true));
    assert_eq!(limits.connects, Rate::new(5, Duration::from_secs(60)));
    assert_eq!(limits.registrations, PrefixLimits::default().registrations);
    assert_eq!(limits.failed_logins, Rate::new(9, Duration::from_secs(3_600)));
    assert_eq!(limits.requests, PrefixLimits::default().requests);
    assert_eq!(limits.account_failures, Rate::new(12, Duration::from_secs(3_600)));
    let error =
        config(&["--account-failures-per-hour", "1000001"], "prefix-requests-per-second = 4000000000");
    assert_eq!(
        error.unwrap_err(),
        "FILE:1: prefix-requests-per-second is 4000000000: it goes from 0 to 1000000 \
         (and 1 more: p2pchat-registryd check-config lists them)"
    );
}

#[test]
fn how_much_may_wait_is_bounded_and_can_be_set() {
    let waiting = |config: Config| (config.max_handshakes, config.hash_queue, config.max_retry_seconds);
    assert_eq!(waiting(config(&[], "").unwrap()), (4_096, 256, 60));
    let file = "max-handshakes = 100\nhash-queue = 0\nmax-retry-seconds = 30";
    assert_eq!(waiting(config(&["--max-retry-seconds", "45"], file).unwrap()), (100, 0, 45));
    for (file, problem) in [
        ("max-handshakes = 0", "max-handshakes is 0: it goes from 1 to 10000000"),
        ("hash-queue = 1000001", "hash-queue is 1000001: it goes from 0 to 1000000"),
        ("max-retry-seconds = 0", "max-retry-seconds is 0: it goes from 1 to 3600"),
    ] {
        assert_eq!(config(&[], file).unwrap_err(), format!("FILE:1: {problem}"));
    }
}

#[test]
fn errors_of_the_file_name_line_and_key() {
    let unknown = config(&[], "tls12 = true\n# why\nlisten-on = '127.0.0.1:1'").unwrap_err();
    assert!(unknown.starts_with("FILE:3: listen-on: unknown field `listen-on`"), "{unknown}");
    let wrong = config(&[], "tls12 = true\nlisten = 5\n").unwrap_err();
    assert!(wrong.starts_with("FILE:2: listen: "), "{wrong}");
    let syntax = config(&[], "tls12 = \n").unwrap_err();
    assert!(syntax.starts_with("FILE:1: tls12: "), "{syntax}");
    assert!(![unknown, wrong, syntax].iter().any(|error| error.contains('\n')));
    let range = config(&[], "hash-memory-kib = 1").unwrap_err();
    assert_eq!(range, "FILE:1: hash-memory-kib is 1: it goes from 8 to 4194304");
}

#[test]
fn who_may_register_has_to_be_said_beyond_loopback() {
    for flags in [["--listen", "0.0.0.0:0"], ["--udp-listen", "192.0.2.1:0"], ["--listen", "[::]:0"]] {
        let refused = config(&flags, "").unwrap_err();
        assert!(refused.contains("--registration open, invite or closed"), "{refused}");
        assert!(refused.contains(flags[1]), "{refused}");
        config(&[flags[0], flags[1], "--registration=open"], "").unwrap();
        for who in ["open", "invite", "closed"] {
            config(&flags, &format!("registration = '{who}'")).unwrap();
        }
    }
    config(&["--listen", "[::ffff:127.0.0.1]:0"], "").unwrap();
}

#[test]
fn parked_sessions_are_bounded_and_zero_is_none() {
    assert_eq!(config(&[], "").unwrap().max_parked, 100_000);
    assert_eq!(config(&["--max-parked", "0"], "max-parked = 30").unwrap().max_parked, 0);
    assert_eq!(config(&[], "max-parked = 1000000").unwrap().max_parked, 1_000_000);
    let refused = config(&[], "max-parked = 10000001").unwrap_err();
    assert_eq!(refused, "FILE:1: max-parked is 10000001: it goes from 0 to 10000000");
}

#[test]
fn resume_days_are_seven_or_as_set_and_zero_is_never() {
    assert_eq!(config(&[], "").unwrap().resume_days, 7);
    assert_eq!(config(&["--resume-days", "0"], "resume-days = 30").unwrap().resume_days, 0);
    assert_eq!(config(&[], "resume-days = 365").unwrap().resume_days, 365);
    let refused = config(&[], "resume-days = 366").unwrap_err();
    assert_eq!(refused, "FILE:1: resume-days is 366: it goes from 0 to 365");
}

#[test]
fn metrics_beyond_loopback_have_to_be_said() {
    assert_eq!(config(&[], "").unwrap().metrics_listen, None);
    for address in ["0.0.0.0:9156", "192.0.2.1:0", "[::]:0"] {
        let refused = config(&["--metrics-listen", address], "").unwrap_err();
        assert!(refused.contains("--metrics-public") && refused.contains(address), "{refused}");
        let refused = config(&[], &format!("metrics-listen = '{address}'")).unwrap_err();
        assert!(refused.starts_with("FILE:1: metrics-listen is "), "{refused}");
        let wanted = config(&["--metrics-public"], &format!("metrics-listen = '{address}'")).unwrap();
        assert_eq!(wanted.metrics_listen, Some(address.parse().unwrap()));
    }
    config(&["--metrics-listen", "127.0.0.1:9156"], "").unwrap();
    config(&["--metrics-listen", "[::1]:0"], "metrics-public = false").unwrap();
}

#[test]
fn an_empty_path_is_none() {
    for key in ["data-dir", "admin-socket", "cert", "key"] {
        let refused = config(&[], &format!("{key} = ''")).unwrap_err();
        assert!(refused.starts_with(&format!("FILE:1: {key} is empty")), "{refused}");
    }
}

#[test]
fn a_certificate_and_its_key_come_together() {
    assert!(config(&["--cert", "a"], "").unwrap_err().contains("cert is given without key"));
    assert!(config(&[], "key = 'b'").unwrap_err().contains("key is given without cert"));
    let both = config(&["--cert", "a"], "key = 'b'").unwrap().certificate;
    assert_eq!(both, Certificate::Files { cert: "a".into(), key: "b".into() });
}

/// Each error of the file, with the flags beside it.
fn errors(flags: &[&str], file: &str) -> Vec<String> {
    let flags = ["p2pchat-registryd"].into_iter().chain(flags.iter().copied());
    let flags = Cli::try_parse_from(flags).unwrap().args.settings;
    let file = File::parse(Path::new("FILE"), file);
    let of_settings =
        Config::new(flags.clone().or(file.settings())).map_or_else(ConfigError::into_list, |_| vec![]);
    file.with_its_errors(&flags, of_settings).iter().map(ToString::to_string).collect()
}

#[test]
fn every_error_is_told_with_its_line_its_setting_and_what_to_write_instead() {
    let file = "\
listen = 5
udp_listen = '127.0.0.1:0'
tls12 = 'yes'
cache-mib = 0
log-format = 'xml'
max-connections =
hash-iterations = 2000
log-level = 'loud'
nonsense = true
[colours]
cache-mib = 5
";
    let errors = errors(&[], file);
    let expected = [
        "FILE:1: listen: invalid type: integer `5`, expected socket address; for example: listen = \"127.0.0.1:15600\"",
        "FILE:2: udp_listen: unknown field `udp_listen`: write udp-listen",
        "FILE:3: tls12: invalid type: string \"yes\", expected a boolean; for example: tls12 = false",
        "FILE:5: log-format: unknown variant `xml`, expected `human` or `json`; for example: log-format = \"human\"",
        "FILE:6: max-connections: ",
        "FILE:9: nonsense: unknown field `nonsense`: the settings are data-dir, listen, ",
        "FILE:10: colours: unknown field `colours`: the settings are data-dir, listen, ",
        "FILE:4: cache-mib is 0: it goes from 1 to 1048576",
        "FILE:7: hash-iterations is 2000: it goes from 1 to 1000",
        "FILE:8: log-level is \"loud\": ",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn an_error_of_a_flag_is_not_blamed_on_the_file() {
    let flags = ["--cache-mib", "0"];
    assert_eq!(errors(&flags, "cache-mib = 5"), ["cache-mib is 0: it goes from 1 to 1048576"]);
    assert_eq!(errors(&[], "\ncache-mib = 0"), ["FILE:2: cache-mib is 0: it goes from 1 to 1048576"]);
}

#[test]
fn what_was_not_understood_is_not_said_to_be_missing() {
    let errors = errors(&[], "listen = '0.0.0.0:1'\nregistration = 'yes'\ncert = 'a'\nkey = 5");
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].starts_with("FILE:2: registration: "), "{errors:#?}");
    assert!(errors[1].starts_with("FILE:4: key: "), "{errors:#?}");
}

#[test]
fn several_errors_are_one_in_short() {
    let refused = config(&[], "cache-mib = 0\nhash-memory-kib = 0").unwrap_err();
    assert_eq!(
        refused,
        "FILE:1: cache-mib is 0: it goes from 1 to 1048576 (and 1 more: p2pchat-registryd check-config lists them)"
    );
}

#[test]
fn nobody_listens_where_nobody_can_be_reached() {
    for address in ["224.0.0.1:15600", "[ff02::1]:15600", "255.255.255.255:15600"] {
        let refused = config(&["--listen", address, "--registration=open"], "").unwrap_err();
        assert!(
            refused.starts_with(&format!("listen is {address}: nobody can be reached there")),
            "{refused}"
        );
    }
}

#[test]
fn the_help_names_the_defaults_that_hold() {
    for definition in definition::definitions() {
        let help = Settings::augment_args(clap::Command::new("settings"));
        let arg = help.get_arguments().find(|arg| arg.get_long() == Some(&definition.key)).unwrap().clone();
        let help = arg.get_help().unwrap().to_string();
        let named = help.split_once("[default: ").map(|(_, named)| named.trim_end_matches(']'));
        let wanted = definition.default.as_ref().map(|value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        match definition.key.as_str() {
            // In words, since it depends on the user.
            "data-dir" => assert!(named.unwrap().contains("data folder")),
            "admin-socket" | "metrics-listen" | "cert" | "key" => assert_eq!(wanted, None),
            _ => assert_eq!(named, wanted.as_deref(), "{}", definition.key),
        }
    }
}

/// The template with the settings of these keys no longer commented out.
fn uncommented(which: impl Fn(&definition::Definition) -> bool) -> String {
    let mut file = template(&Settings::default());
    for definition in definition::definitions().iter().filter(|definition| which(definition)) {
        let commented = format!("\n#{} = ", definition.key);
        assert_eq!(file.matches(&commented).count(), 1, "{}\n{file}", definition.key);
        file = file.replace(&commented, &format!("\n{} = ", definition.key));
    }
    file
}

#[test]
fn the_template_has_each_setting_with_its_default() {
    let none = File::parse(Path::new("FILE"), &template(&Settings::default())).into_settings().unwrap();
    assert_eq!(none, Settings::default());
    let file = uncommented(|definition| definition.default.is_some());
    let defaults = File::parse(Path::new("FILE"), &file).into_settings().unwrap();
    assert_eq!(defaults, Settings::from(&Config::new(Settings::default()).unwrap()));
    // What has no default is there as an example.
    let all = File::parse(Path::new("FILE"), &uncommented(|_| true)).into_settings().unwrap();
    assert_eq!(all.to_table().len(), definition::definitions().len());
}

#[test]
fn the_template_says_what_is_given() {
    let given = Settings {
        data_dir: Some("/srv/a \"chat\"".into()),
        max_connections: Some(7),
        log_format: Some(LogFormat::Json),
        ..Settings::default()
    };
    let file = File::parse(Path::new("FILE"), &template(&given)).into_settings().unwrap();
    assert_eq!(file, given);
}

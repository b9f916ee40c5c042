//! The configuration file.

use std::path::Path;

use crate::{Certificate, Config, ConfigError, Settings, config::File};

/// Anything in the file: what is accepted is within its bounds, what isn't is said in one line that names a place in the
/// file or a setting.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let path = Path::new("registryd.toml");
    // The default depends on whose machine it is.
    let elsewhere = Settings { data_dir: Some("/srv/chat".into()), ..Settings::default() };
    let file = File::parse(path, text);
    let flags = Settings::default();
    let (config, of_settings) = match Config::new(file.settings().or(elsewhere)) {
        Ok(config) => (Some(config), Vec::new()),
        Err(error) => (None, error.into_list()),
    };
    assert_eq!(config.is_none(), !of_settings.is_empty());
    if let Some(config) = config {
        check(&config);
    }
    for error in file.with_its_errors(&flags, of_settings) {
        assert!(!error.to_string().contains('\n'), "one line: {error}");
        check_error(&error, text);
    }
}

fn check_error(error: &ConfigError, text: &str) {
    // One past the last: what is missing at the end.
    let lines = 1..=text.matches('\n').count() + 1;
    match error {
        ConfigError::File { line, problem, .. } => {
            assert!(lines.contains(line), "line {line}");
            assert!(!problem.is_empty());
        }
        ConfigError::InFile { line, source, .. } => {
            assert!(lines.contains(line), "line {line}");
            check_error(source, text);
        }
        ConfigError::OutOfRange { found, min, max, .. } => assert!(!(min..=max).contains(&found)),
        ConfigError::Registration { address, .. } => assert!(!address.ip().to_canonical().is_loopback()),
        ConfigError::Empty { .. } => {}
        ConfigError::Unusable { problem, .. } => assert!(!problem.is_empty()),
        ConfigError::HalfACertificate { given, missing } => assert_ne!(given, missing),
        other => panic!("{other}"),
    }
}

fn check(config: &Config) {
    assert!((1..=10_000_000).contains(&config.max_connections));
    assert!((1 << 20..=1 << 40).contains(&config.cache_bytes));
    assert!((8..=4 << 20).contains(&config.hash_memory_kib));
    assert!((1..=1_000).contains(&config.hash_iterations));
    assert!((1..=10_000_000).contains(&config.max_handshakes));
    assert!(config.hash_queue <= 1_000_000);
    assert!((1..=3_600).contains(&config.max_retry_seconds));
    if let Certificate::Files { cert, key } = &config.certificate {
        assert!(!cert.as_os_str().is_empty() && !key.as_os_str().is_empty(), "a file without a name");
    }
    assert!(!config.data_dir.as_os_str().is_empty(), "a folder without a name");
}

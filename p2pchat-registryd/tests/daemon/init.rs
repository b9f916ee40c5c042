//! `p2pchat-registryd init`.

use std::{fs, path::Path, process::Command};

use crate::support::{Daemon, bare, refusal};

fn init(data: &Path) -> Command {
    let mut command = bare();
    command.arg("init").arg("--data-dir").arg(data);
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_makes_what_a_registry_starts_from() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let flags = ["--listen", "127.0.0.1:0", "--udp-listen", "127.0.0.1:0", "--log-format", "json"];
    let said = said(init(&data).args(flags));
    let file = data.join("registryd.toml");
    let check = format!("p2pchat-registryd check-config --config {}", file.display());
    assert!(said.contains(&check), "{said}");

    assert!(bare().args(["check-config", "--config"]).arg(&file).output().unwrap().status.success());
    let daemon = Daemon::start(bare().arg("--config").arg(&file));
    assert!(said.contains(&format!("fingerprint  sha256:{}\n", daemon.fingerprint)), "{said}");
    assert!(!daemon.tcp.ends_with(":15600"), "{}", daemon.tcp);
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert!(log.starts_with('{'), "{log}");
}

#[cfg(unix)]
#[test]
fn what_it_makes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    said(&mut init(&data));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("key.pem"))), (0o700, 0o600));
}

#[test]
fn it_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    said(&mut init(&data));
    let contents =
        || ["registryd.toml", "cert.pem", "key.pem"].map(|name| fs::read(data.join(name)).unwrap());
    let before = contents();
    let (code, error) = refusal(init(&data).arg("--tls12"));
    assert_eq!(code, Some(1));
    assert!(error.contains("registryd.toml: it is there already"), "{error}");
    assert_eq!(contents(), before);

    // With the file elsewhere the certificate is kept.
    let elsewhere = folder.path().join("other.toml");
    let said = said(init(&data).arg("--config").arg(&elsewhere));
    assert!(said.contains("were there already"), "{said}");
    assert_eq!(contents(), before);
    assert!(
        fs::read_to_string(elsewhere).unwrap().contains(&format!("\ndata-dir = \"{}\"\n", data.display()))
    );
}

#[test]
fn settings_that_make_no_sense_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, error) = refusal(init(&data).args(["--listen", "0.0.0.0:0"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("--registration"), "{error}");
    assert!(!data.exists());
    let (code, error) = refusal(init(&data).arg("--config").arg(folder.path().join("none").join("a.toml")));
    assert_eq!(code, Some(1));
    assert!(error.contains("a.toml: No such file"), "{error}");
}

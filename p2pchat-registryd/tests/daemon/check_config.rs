//! `p2pchat-registryd check-config`.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Daemon, bare, command, refusal};

fn check(file: &Path) -> Output {
    bare().args(["check-config", "--config"]).arg(file).output().unwrap()
}

/// The lines on standard error of a check that fails.
fn errors(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_fine_file_is_said_to_be_fine_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("registryd.toml"), folder.path().join("new").join("data"));
    fs::write(&file, format!("data-dir = {:?}\nlisten = '127.0.0.1:0'", data.to_str().unwrap())).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}: fine\n", file.display()));
    assert!(output.stderr.is_empty());
    assert!(!folder.path().join("new").exists());
}

#[test]
fn every_error_has_a_line_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registryd.toml");
    let wrong = "lisen = '127.0.0.1:0'\nudp-listen = '0.0.0.0'\n\ncache-mib = 0\nmax-connections = 9999999\n";
    fs::write(&file, format!("{wrong}data-dir = '{}'", folder.path().join("data").display())).unwrap();
    let errors = errors(bare().args(["check-config", "--config"]).arg(&file));
    let at = |line: usize, error: &str| format!("{}:{line}: {error}", file.display());
    let expected = [
        at(1, "lisen: unknown field `lisen`: write listen"),
        at(2, "udp-listen: invalid socket address syntax; for example: udp-listen = \"127.0.0.1:15500\""),
        at(
            5,
            "max-connections is 9999999: that takes 10000063 open files, and the system allows this process ",
        ),
        at(4, "cache-mib is 0: it goes from 1 to 1048576"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(&expected) {
        assert!(error.starts_with(expected.as_str()), "{error}\n{expected}");
    }
}

#[test]
fn more_connections_than_there_can_be_are_refused_at_start_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registryd.toml");
    fs::write(&file, format!("data-dir = '{}'\nmax-connections = 9999999", folder.path().display())).unwrap();
    let checked = errors(bare().args(["check-config", "--config"]).arg(&file));
    let (code, refused) = refusal(bare().arg("--config").arg(&file));
    assert_eq!(code, Some(1));
    assert_eq!(refused, format!("p2pchat-registryd: {}\n", checked.join("\n")));
    assert!(
        refused.contains(":2: max-connections is 9999999: ") && refused.contains("LimitNOFILE="),
        "{refused}"
    );
}

#[test]
fn certificate_and_key_have_to_be_there_and_to_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    for data in [&one, &two] {
        drop(Daemon::start(&mut command(data)));
    }
    let check = |cert: &Path, key: &Path| {
        let mut command = command(&folder.path().join("data"));
        let mut with = bare();
        with.arg("check-config").args(command.arg("--cert").arg(cert).arg("--key").arg(key).get_args());
        with
    };
    let (cert, key) = (one.join("cert.pem"), one.join("key.pem"));
    assert!(check(&cert, &key).output().unwrap().status.success());

    let mismatch = errors(&mut check(&cert, &two.join("key.pem")));
    assert_eq!(mismatch.len(), 1, "{mismatch:#?}");
    assert!(
        mismatch[0].starts_with("key is ") && mismatch[0].contains("belongs to another certificate"),
        "{mismatch:#?}"
    );
    let swapped = errors(&mut check(&key, &cert));
    assert!(swapped[0].starts_with("cert is ") && swapped[0].contains("there is none"), "{swapped:#?}");
    let absent = errors(&mut check(&folder.path().join("a.pem"), &folder.path().join("b.pem")));
    assert_eq!(absent.len(), 2, "{absent:#?}");
    assert!(
        absent[0].contains("a.pem: No such file") && absent[1].contains("b.pem: No such file"),
        "{absent:#?}"
    );

    // The registry's own are looked at, too.
    let own = || {
        let mut command = bare();
        command.args(["check-config", "--data-dir"]).arg(&one);
        command
    };
    assert!(own().output().unwrap().status.success());
    fs::remove_file(&key).unwrap();
    let gone = errors(&mut own());
    assert!(
        gone[0].starts_with("data-dir is ") && gone[0].contains("key.pem in it: No such file"),
        "{gone:#?}"
    );
}

#[test]
fn a_data_folder_has_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let data_dir = |path: &Path| errors(bare().args(["check-config", "--data-dir"]).arg(path));
    assert!(data_dir(&file)[0].contains("it is no folder"));
    assert!(data_dir(&file.join("data"))[0].contains("is no folder"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        // To root nothing is closed.
        if fs::write(closed.join("probe"), "").is_err() {
            assert!(data_dir(&closed)[0].contains("Permission denied"));
            assert!(data_dir(&closed.join("data"))[0].contains("it can't be made in"));
        }
    }
}

#[test]
fn addresses_have_to_be_this_machines_and_ports_may_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let command = |address: &str| {
        let mut command = bare();
        command
            .args(["check-config", "--registration=open", "--listen", address, "--data-dir"])
            .arg(folder.path());
        command
    };
    let foreign = errors(&mut command("192.0.2.1:15600"));
    assert_eq!(foreign.len(), 1, "{foreign:#?}");
    assert!(foreign[0].contains("write an address of this machine"), "{foreign:#?}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(command(&taken.local_addr().unwrap().to_string()).output().unwrap().status.success());
}

#[test]
fn flags_belong_to_the_command_that_they_follow() {
    let output = bare().args(["--tls12", "check-config"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

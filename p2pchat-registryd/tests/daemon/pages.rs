//! Manual pages, completions and a configuration file, from the definitions of the arguments.

use std::{fs, path::Path};

use clap::{CommandFactory, Parser};
use p2pchat_registryd::{Cli, Settings};
use saphyr::{LoadableYamlNode, Yaml};

use crate::support::bare;

fn printed(arguments: &[&str]) -> String {
    let output = bare().args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its own page and those of all its commands.
fn check_pages(folder: &Path, name: &str, command: &clap::Command) -> usize {
    let page = fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
    assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    let commands: Vec<_> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
        assert!(page.contains(&flag.replace('-', "\\-")), "{flag}: {page}");
    }
    let beneath = commands.iter().map(|command| {
        let name = format!("{name}-{}", command.get_name());
        assert!(page.contains(&format!("{}(1)", name.replace('-', "\\-"))), "{name}: {page}");
        check_pages(folder, &name, command)
    });
    1 + beneath.sum::<usize>()
}

#[test]
fn manual_pages_have_each_command_and_flag() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man");
    assert_eq!(printed(&["man", man.to_str().unwrap()]), "");
    let pages = check_pages(&man, "p2pchat-registryd", &Cli::command());
    assert!(pages > 10);
    assert_eq!(printed(&["man"]), fs::read_to_string(man.join("p2pchat-registryd.1")).unwrap());
}

#[test]
fn completions_have_each_command_and_flag() {
    let command = Cli::command();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        for name in command.get_subcommands().map(clap::Command::get_name).chain(flags) {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
}

#[test]
fn a_printed_configuration_file_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("registryd.toml");
    let text = printed(&["print-config", "--data-dir", data.to_str().unwrap(), "--cache-mib", "5"]);
    fs::write(&file, text).unwrap();
    let mut given = Settings::default();
    (given.data_dir, given.cache_mib) = (Some(data.clone()), Some(5));
    assert_eq!(Settings::read(&file).unwrap(), given);
    assert!(!data.exists(), "nothing is made");
}

/// The values of a key in a systemd unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn units_containers_and_the_packaged_user_fit_the_daemon() {
    let unit = include_str!("../../contrib/systemd/p2pchat-registryd.service");
    let start: Vec<_> = values(unit, "ExecStart")[0].split(' ').collect();
    let cli = Cli::try_parse_from(start).unwrap();
    assert!(format!("{cli:?}").contains("/etc/p2pchat/registryd.toml"));
    let [user] = values(unit, "User")[..] else { panic!("{unit}") };
    let users = include_str!("../../contrib/debian/p2pchat-registryd.conf");
    assert!(
        users.contains(&format!("\nu {user} ")) && users.contains("/var/lib/p2pchat-registryd"),
        "{users}"
    );
    assert_eq!(values(unit, "StateDirectory"), ["p2pchat-registryd"]);
    assert_eq!(values(unit, "Type").last(), Some(&"notify-reload"));
    // What the default wants.
    let files: u64 = values(unit, "LimitNOFILE")[0].parse().unwrap();
    assert!(files >= 16_384 + 64);

    let socket = include_str!("../../contrib/p2pchat-registryd.socket");
    assert_eq!(
        (values(socket, "ListenStream"), values(socket, "ListenDatagram")),
        (vec!["15600"], vec!["15500"])
    );

    let compose = include_str!("../../contrib/docker/compose.yaml");
    let compose = Yaml::load_from_str(compose).unwrap();
    let environment = compose[0]["services"]["registry"]["environment"].as_mapping().unwrap();
    let command = Cli::command();
    for variable in environment.keys().map(|key| key.as_str().unwrap()) {
        let known = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        assert!(known.into_iter().any(|name| name == variable), "{variable}");
    }
}

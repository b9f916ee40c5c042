use std::time::Duration;

use super::{file::Problem, *};
use clap::Parser;

use crate::args::{Address, Arguments, ColorChoice, Park};

fn parse(text: &str) -> File {
    File::parse(text, Path::new("/etc/p2pchat"))
}

fn right(text: &str) -> File {
    let file = parse(text);
    assert_eq!(file.problems, []);
    file
}

/// What is wrong in `text`, each with line and column.
fn wrong(text: &str) -> Vec<String> {
    let problems = parse(text).problems.into_iter();
    problems.map(|Problem { line, column, what }| format!("{line}:{column}: {what}")).collect()
}

/// The default file with what is commented out in it.
fn whole() -> String {
    let text = default_text();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_file_is_the_default() {
    let file = right(&default_text());
    assert_eq!(file.config, Config::default());
    let global = &Arguments::try_parse_from(["p2pchat"]).unwrap().global;
    let said = Profile {
        peer_port: Some(global.peer_port),
        tls12: Some(global.tls12),
        park: Some(global.park),
        encrypted_only: Some(global.encrypted_only),
        color: Some(global.color),
        ..Profile::default()
    };
    assert_eq!(file.top, said);
    assert_eq!(file.profiles, BTreeMap::new());
}

#[test]
fn each_setting_stands_in_the_default_file() {
    let whole = whole();
    let problems = wrong(&whole);
    assert!(matches!(problems.as_slice(), [one] if one.contains("two ways to trust")), "{problems:?}");
    let text = default_text();
    // What else could have been written is what the error for nonsense lists.
    for section in ["", "[screen]", "[theme]", "[notify]", "[history]", "[browser]"] {
        let problem = wrong(&format!("{section}\nqqqqqq = 'red'")).concat();
        let (_, keys) = problem.split_once("there are ").unwrap();
        let within: Vec<_> = text.lines().skip_while(|line| !line.contains(section)).collect();
        for key in keys.split(", ") {
            let stands = |line: &&str| {
                let line = line.trim_start_matches('#');
                line.starts_with(&format!("{key} = ")) || line.starts_with(&format!("[{key}"))
            };
            assert!(within.iter().any(stands), "{key} in {section}");
        }
    }
}

#[test]
fn a_file_is_understood() {
    let file = right(
        "registry = 'chat.example.org'\npark = 300\ncolor = 'never'\npassword_file = 'key'\nlog = '/var/log/chat'\n\
         [screen]\ntheme = 'light'\naccept = 'ask'\nsidebar = 0\n[theme]\nmention = '#ff8700'\nlink = '4'\n[keys]\n\
         ctrl-n = 'next-chat'\n[notify]\nby = 'osc777'\nwords = ['ali']\n[browser]\nopen = ['firefox', '--new-tab']\n",
    );
    assert_eq!(file.top.registry, Some(Address { host: "chat.example.org".to_owned(), port: 15_600 }));
    assert_eq!(file.top.park, Some(Park(Some(Duration::from_secs(300)))));
    assert_eq!(file.top.color, Some(ColorChoice::Never));
    assert_eq!(file.top.password_file.as_deref(), Some(Path::new("/etc/p2pchat/key")));
    assert_eq!(file.top.log.as_deref(), Some(Path::new("/var/log/chat")));
    let Config { screen, theme, keys, notify, history, browser } = file.config;
    assert_eq!(
        (screen.theme, screen.accept, screen.sidebar, screen.members),
        (Theme::Light, Accept::Ask, 0, 16)
    );
    assert_eq!((theme["mention"].as_str(), theme["link"].as_str()), ("#ff8700", "4"));
    assert_eq!(keys["ctrl-n"], "next-chat");
    assert_eq!(
        (notify.by, notify.words.as_slice(), notify.direct),
        (NotifyBy::Osc777, &["ali".to_owned()][..], true)
    );
    assert_eq!((history, browser.open.len()), (History::default(), 2));
}

#[test]
fn the_readmes_example_is_right() {
    let readme = include_str!("../../README.md");
    let (_, example) = readme.split_once("```toml\n").unwrap();
    let file = right(example.split("```").next().unwrap());
    assert!(file.profile(Some("bot"), "").unwrap().password_file.is_some());
}

#[test]
fn all_that_is_wrong_is_said_with_its_place() {
    let problems = wrong(
        "regsitry = 'x'\npeer_port = 80\ntls12 = 'yes'\n[screen]\nsidebar = -1\ntime = '%!'\ntheme = 'blue'\n[theme]\n\
         error = 'rot'\n[history]\nmegabytes = 0\n[profiles.work]\npark = 'soon'\nzzz = 1\n[profiles.home]\nuser = 'a b'\n",
    );
    let expected = [
        "1:1: unknown setting `regsitry`: did you mean registry?",
        "2:13: a number from 1024 to 65535 is wanted, or 0 for a free port",
        "3:9: invalid type: string \"yes\", expected a boolean",
        "5:11: invalid value: integer `-1`, expected a number from 0 to 1000",
        "6:8: ",
        "7:9: unknown variant `blue`, expected one of `dark`, `light`, `none`",
        "9:9: a colour's name, a number from 0 to 255 or \"#rrggbb\" is wanted",
        "11:13: invalid value: integer `0`, expected a number from 1 to 4294967295",
        "13:8: a number from 1 to 86400 is wanted, or `never`",
        "14:1: unknown setting `zzz`: there are registry, ",
        "16:8: the username ",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(expected) {
        assert!(problem.starts_with(start), "{problem}\n{start}");
    }
    for (text, start) in [
        ("user = 'alice", "1:"),
        ("screen = 1", "1:10: a table is wanted"),
        ("[profiles]\nwork = 1", "2:8: a table is wanted"),
        ("ca = 'x'\nfingerprint = 'sha256:12'", "2:"),
        ("[theme]\nmentoin = 'red'", "2:1: unknown setting `mentoin`: did you mean mention?"),
        ("[keys]\nctrl-n = 1", "2:10: invalid type: integer `1`"),
    ] {
        let problems = wrong(text);
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{text}: {problems:?}");
    }
}

#[test]
fn a_secret_is_refused_and_not_repeated() {
    for (text, advice) in [
        ("password = 'hush'", "password_file"),
        ("key_passphrase = 'hush'", "key_passphrase_file"),
        ("[profiles.work]\ninvite = 'hush'", "invite_file"),
    ] {
        let problems = wrong(text).concat();
        assert!(problems.contains(advice) && !problems.contains("hush"), "{problems}");
    }
}

/// The options of `arguments` completed by `text`.
fn completed(text: &str, arguments: &[&str]) -> Result<Global, Failure> {
    let (Arguments { mut global, .. }, given) =
        Arguments::of(["p2pchat"].iter().chain(arguments).copied()).unwrap();
    let profile = right(text).profile(global.profile.as_deref(), "config.toml")?;
    profile.complete(&mut global, &given);
    Ok(global)
}

const FILE: &str = "registry = 'one.example.org'\nuser = 'alice'\npassword_file = '/one'\nfingerprint = \
                    'sha256:0000000000000000000000000000000000000000000000000000000000000000'\npeer_port = 2000\n\
                    tls12 = true\n[profiles.bot]\nuser = 'bot'\nencrypted_only = true\n\
                    [profiles.work]\nregistry = 'two.example.org'\npassword_file = '/two'\npark = 60\n";

#[test]
fn the_more_particular_place_holds() {
    let of = |arguments: &[&str]| completed(FILE, arguments).unwrap();
    let host = |global: &Global| global.registry.clone().unwrap().host;

    let top = of(&[]);
    assert_eq!((host(&top).as_str(), top.user.as_deref()), ("one.example.org", Some("alice")));
    assert_eq!((top.peer_port, top.tls12, top.encrypted_only, top.park), (2000, true, false, Park(None)));
    assert_eq!(top.password_file.as_deref(), Some(Path::new("/one")));
    assert!(top.fingerprint.is_some());

    let work = of(&["-P", "work", "--peer-port", "3000", "--tls12=false", "peers"]);
    assert_eq!((host(&work).as_str(), work.user.as_deref()), ("two.example.org", Some("alice")));
    assert_eq!((work.peer_port, work.tls12), (3000, false));
    assert_eq!(work.park, Park(Some(Duration::from_secs(60))));
    assert_eq!(of(&["peers", "-P", "work", "--park", "never"]).park, Park(None));

    let one = of(&["peers", "--registry", "one.example.org:15600", "--ca", "/ca"]);
    assert_eq!((one.ca.is_some(), one.fingerprint), (true, None), "trust is settled by who says it last");
    assert_eq!(one.password_file.as_deref(), Some(Path::new("/one")), "it is the same registry");

    let Err(unknown) = completed(FILE, &["--profile", "play"]) else { panic!("there is none") };
    assert_eq!(unknown.exit, Exit::Usage);
    assert_eq!(unknown.to_string(), "no profile `play` in config.toml: there are bot, work");
}

#[test]
fn one_registrys_secrets_are_not_shown_to_another() {
    let of = |arguments: &[&str]| completed(FILE, arguments).unwrap();
    let elsewhere = of(&["--registry", "three.example.org"]);
    assert_eq!((elsewhere.password_file, elsewhere.fingerprint, elsewhere.tls12), (None, None, false));
    assert_eq!(elsewhere.user.as_deref(), Some("alice"));
    assert_eq!(elsewhere.peer_port, 2000);
    let work = of(&["-P", "work"]);
    assert_eq!((work.password_file.as_deref(), work.fingerprint), (Some(Path::new("/two")), None));
    for other in [of(&["--user", "bob"]), of(&["-P", "bot"])] {
        assert_eq!(other.password_file, None);
        assert!(other.fingerprint.is_some(), "it is the same registry");
    }
    let bot = of(&["-P", "bot"]);
    assert_eq!((bot.user.as_deref(), bot.encrypted_only), (Some("bot"), true));
}

//! Metrics and health over real sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::{
    exposition::Exposition,
    support::{Daemon, command, connect, refusal},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn monitored(data_dir: &Path) -> Command {
    let mut command = command(data_dir);
    command.args(["--metrics-listen", "127.0.0.1:0"]);
    command
}

/// Sends bytes, and returns the status and the body of what comes back.
fn ask(daemon: &Daemon, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(daemon.metrics.as_ref().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

pub(crate) fn fetch(daemon: &Daemon, path: &str) -> (String, String) {
    ask(daemon, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

fn scrape(daemon: &Daemon) -> Exposition {
    let (status, body) = fetch(daemon, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
    Exposition::parse(&body)
}

/// Waits until a sample is at least so high.
pub(crate) fn until(daemon: &Daemon, sample: &str, least: f64) {
    let begun = Instant::now();
    loop {
        let now = scrape(daemon).value(&format!("p2pchat_registry_{sample}"));
        if now >= least {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{sample} is {now}, not {least}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_the_setting_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Daemon::start(&mut command(folder.path())).metrics, None);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) =
        refusal(command(folder.path()).args(["--log-level", "off", "--metrics-listen", &address]));
    assert_eq!(code, Some(1));
    assert!(error.contains(&address) && error.contains("--metrics-listen"), "{error}");
}

#[tokio::test]
async fn the_metrics_are_what_prometheus_reads_and_tell_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    let before = scrape(&daemon);
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    assert!(alice.register("alice", "secret").await.is_err());
    assert!(alice.login("alice", "wrong").await.is_err());
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("door"), 2, "where we meet").await.unwrap();
    until(&daemon, "keep_alives_total", 1.0);
    let after = scrape(&daemon);
    let names = |exposition: &Exposition| exposition.kinds.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "all of them are there from the beginning");
    assert_eq!(before.labels(), after.labels());
    for (sample, value) in [
        ("connections", 1.0),
        ("sessions", 1.0),
        ("registrations_total{result=\"success\"}", 1.0),
        ("registrations_total{result=\"name_taken\"}", 1.0),
        ("logins_total{result=\"failure\"}", 1.0),
        ("logins_total{result=\"success\"}", 1.0),
        ("accounts", 1.0),
        ("rooms", 1.0),
        ("memberships", 1.0),
        ("tls_handshakes_total{result=\"finished\"}", 1.0),
        ("tls_handshakes_open", 0.0),
        ("hashes_open", 0.0),
        ("accepting", 1.0),
        ("ready", 1.0),
        ("draining", 0.0),
        ("store_writable", 1.0),
        ("store_commits_failed_total", 0.0),
        ("datagrams_malformed_total", 0.0),
    ] {
        assert_eq!(after.value(&format!("p2pchat_registry_{sample}")), value, "{sample}");
    }
    for sample in [
        "received_bytes_total",
        "sent_bytes_total",
        "datagrams_received_total",
        "datagrams_received_bytes_total",
        "datagrams_sent_total",
        "datagrams_sent_bytes_total",
        "requests_total",
        "hash_duration_seconds_count",
        "hash_duration_seconds_sum",
        "store_commit_duration_seconds_count",
        "store_writes_total",
        "store_size_bytes",
        "monitor_requests_total",
    ] {
        assert!(after.value(&format!("p2pchat_registry_{sample}")) > 0.0, "{sample}");
    }
    // The registry's own certificate never runs out (the year 4096).
    assert_eq!(after.value("p2pchat_registry_certificate_expires_timestamp_seconds"), 67_090_118_400.0);
    let build = concat!("p2pchat_registry_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    assert_eq!(after.value(build), 1.0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured_too() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    let metrics = scrape(&daemon);
    assert!(metrics.value("process_open_fds") > 5.0);
    assert!(metrics.value("process_max_fds") >= metrics.value("process_open_fds"));
    assert!(metrics.value("process_resident_memory_bytes") > 1e6);
    let began = metrics.value("process_start_time_seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - PATIENCE.as_secs_f64()..=now).contains(&began), "{began} {now}");
}

/// The daemon with limits on open files of its own.
#[cfg(target_os = "linux")]
fn with_file_limits(ulimits: &str, data_dir: &Path) -> Command {
    let mut command = Command::new("bash");
    let script = format!("{ulimits}; exec {} \"$@\"", env!("CARGO_BIN_EXE_p2pchat-registryd"));
    command.env_clear().args(["-c", &script, "bash"]).args(monitored(data_dir).get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[cfg(target_os = "linux")]
#[test]
fn the_limit_on_open_files_is_raised_to_what_the_connections_need_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let connections = ["--max-connections", "500"];
    let daemon = Daemon::start(with_file_limits("ulimit -Sn 100", folder.path()).args(connections));
    assert!(scrape(&daemon).value("process_max_fds") >= 500.0);
    drop(daemon);
    let (code, error) = refusal(with_file_limits("ulimit -n 100", folder.path()).args(connections));
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with("p2pchat-registryd: max-connections is 500: ") && error.contains("LimitNOFILE="),
        "{error}"
    );
}

/// Everything but these limits is as good as without one.
fn limited(data_dir: &Path, limits: &[&str]) -> Daemon {
    let mut command = monitored(data_dir);
    command.args(["--limit-loopback", "--log-level", "warn"]);
    for limit in [
        "prefix-connections",
        "prefix-connects-per-minute",
        "prefix-requests-per-second",
        "prefix-registrations-per-hour",
        "prefix-failed-logins-per-hour",
        "account-failures-per-hour",
    ] {
        if !limits.iter().any(|given| given.contains(limit)) {
            command.arg(format!("--{limit}=0"));
        }
    }
    Daemon::start(command.args(limits))
}

#[cfg(unix)]
fn ctl(data_dir: &Path, words: &[&str]) {
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_p2pchat-registryd"));
    ctl.env_clear().arg("ctl").arg("--data-dir").arg(data_dir).args(words);
    assert!(ctl.output().unwrap().status.success());
}

fn its_log(daemon: Daemon) -> String {
    daemon.signal("TERM");
    daemon.end().2
}

#[test]
fn a_limit_on_connections_has_a_counter_and_a_log_line() {
    for (limit, reason) in [
        ("--max-connections=2", "full"),
        ("--prefix-connections=2", "prefix_connections"),
        ("--prefix-connects-per-minute=2", "prefix_connects"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = limited(folder.path(), &[limit]);
        let streams: Vec<_> = (0..4).map(|_| TcpStream::connect(&daemon.tcp).unwrap()).collect();
        until(&daemon, &format!("connections_refused_total{{reason=\"{reason}\"}}"), 2.0);
        drop(streams);
        let log = its_log(daemon);
        assert!(log.contains("refused a connection"), "{limit}: {log}");
    }
}

#[tokio::test]
async fn limits_on_registrations_and_guesses_have_a_counter_and_a_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let daemon =
        limited(folder.path(), &["--prefix-registrations-per-hour=2", "--account-failures-per-hour=1"]);
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.register("bob", "secret").await.unwrap();
    assert!(alice.register("carol", "secret").await.is_err());
    until(&daemon, "registrations_total{result=\"prefix_limit\"}", 1.0);
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("door"), 2, "").await.unwrap();
    let (bob, _events) = connect(&daemon).await;
    bob.login("bob", "secret").await.unwrap();
    assert!(bob.join("den", Some("window")).await.is_err());
    assert!(bob.join("den", Some("roof")).await.is_err());
    until(&daemon, "room_passwords_refused_total", 1.0);

    // From a new place three are tried for each place, and one for all together.
    let (mallory, _events) = connect(&daemon).await;
    for _ in 0..5 {
        _ = mallory.login("nobody", "guess").await;
    }
    until(&daemon, "logins_total{result=\"account_limit\"}", 1.0);
    let log = its_log(daemon);
    for limit in ["registrations", "wrong room passwords of an account", "failed logins of an account"] {
        assert!(
            log.lines().any(|line| line.contains("a limit holds strangers up") && line.contains(limit)),
            "{log}"
        );
    }
}

#[tokio::test]
async fn the_limit_on_requests_has_a_counter_and_a_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = limited(folder.path(), &["--prefix-requests-per-second=1"]);
    let (alice, _events) = connect(&daemon).await;
    // A hash counts as five, and there are four at once.
    alice.register("alice", "secret").await.unwrap();
    until(&daemon, "requests_held_total", 1.0);
    assert!(its_log(daemon).contains("limit=\"requests\""));
}

#[tokio::test]
async fn the_limit_on_failed_logins_of_a_place_has_a_counter_and_a_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = limited(folder.path(), &["--prefix-failed-logins-per-hour=1"]);
    for name in ["one", "two"] {
        let (mallory, _events) = connect(&daemon).await;
        assert!(mallory.login(name, "guess").await.is_err());
    }
    until(&daemon, "logins_total{result=\"prefix_limit\"}", 1.0);
    let log = its_log(daemon);
    assert!(log.contains("failed logins of a prefix"), "{log}");
}

#[cfg(unix)]
#[test]
fn a_ban_has_a_counter_and_a_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    ctl(folder.path(), &["ban", "address", "127.0.0.0/8"]);
    until(&daemon, "bans", 1.0);
    TcpStream::connect(&daemon.tcp).unwrap();
    until(&daemon, "banned_refused_total", 1.0);
    assert!(its_log(daemon).contains("connections from 127.0.0.0/8 are banned"));
}

#[test]
fn what_is_none_of_the_protocol_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    TcpStream::connect(&daemon.tcp).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    until(&daemon, "tls_handshakes_total{result=\"failed\"}", 1.0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"nonsense", &daemon.udp).unwrap();
    until(&daemon, "datagrams_malformed_total", 1.0);
    let metrics = scrape(&daemon);
    assert_eq!(metrics.value("p2pchat_registry_datagrams_received_bytes_total"), 8.0);
    assert_eq!(metrics.value("p2pchat_registry_datagrams_sent_total"), 0.0);
    assert_eq!(metrics.value("p2pchat_registry_keep_alives_total"), 0.0);
    assert!(its_log(daemon).contains("a TLS handshake failed"));
}

#[cfg(unix)]
#[tokio::test]
async fn health_and_readiness_part_when_the_registry_drains() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    assert_eq!(fetch(&daemon, "/healthz"), ("HTTP/1.1 200 OK".into(), "alive\n".into()));
    assert_eq!(fetch(&daemon, "/readyz"), ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    ctl(folder.path(), &["drain", "--within", "1h"]);
    until(&daemon, "draining", 1.0);
    let (status, body) = fetch(&daemon, "/readyz");
    assert_eq!((&*status, &*body), ("HTTP/1.1 503 Service Unavailable", "not ready: it drains\n"));
    assert_eq!(fetch(&daemon, "/healthz").1, "alive\n");
    assert_eq!(scrape(&daemon).value("p2pchat_registry_ready"), 0.0);
}

#[test]
fn whoever_asks_badly_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(10_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/.. HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "405"),
        ("nonsense\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
    ] {
        let (answer, _) = ask(&daemon, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    let (status, body) = ask(&daemon, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert_eq!((&*status, &*body), ("HTTP/1.1 200 OK", ""));
    // One request a connection, whatever the client would like.
    let twice = "GET /healthz HTTP/1.1\r\n\r\n".repeat(2);
    assert_eq!(ask(&daemon, &twice).1, "alive\n");
}

#[tokio::test]
async fn slow_and_many_askers_hold_up_neither_the_registry_nor_each_other_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    // More than are served at once, each with half a request or none.
    let slow: Vec<_> = (0..40)
        .map(|at| {
            let mut stream = TcpStream::connect(daemon.metrics.as_ref().unwrap()).unwrap();
            stream.write_all(&b"GET /metrics HTTP/1.1\r\nx: "[..at % 27]).unwrap();
            stream
        })
        .collect();
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    // Those who are waited for are cut off, and then it is the others' turn.
    until(&daemon, "monitor_connections_cut_off_total", 16.0);
    for stream in slow {
        _ = stream.shutdown(Shutdown::Both);
    }
    assert_eq!(fetch(&daemon, "/healthz").1, "alive\n");
}

/// The names in a text that look like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("p2pchat_registry_") || word.starts_with("process_"))
        .map(Into::into)
        .collect()
}

#[test]
fn the_readme_lists_every_metric_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    let metrics = scrape(&daemon);
    let (_, after) = include_str!("../../README.md").split_once("\n### Metrics\n").unwrap();
    let (list, _) = after.split_once("\n### ").unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `"));
    let (mut kinds, mut labels) = (BTreeMap::new(), BTreeSet::new());
    for row in rows {
        let [names, kind, what] = row.split(" | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
        for name in names.split('`').step_by(2).filter(|name| !name.is_empty()) {
            let (name, label) = name.split_once('{').unwrap_or((name, ""));
            kinds.insert(format!("p2pchat_registry_{name}"), kind.to_owned());
            if !label.is_empty() && label != "version}" {
                let values = what.split('`').skip(1).step_by(2);
                labels.extend(values.map(|value| format!("{}=\"{value}\"}}", label.trim_end_matches('}'))));
            }
        }
    }
    let process = list.lines().find(|line| line.starts_with("On Linux")).unwrap();
    let ours = metrics.kinds.iter().filter(|(name, _)| name.starts_with("p2pchat"));
    assert_eq!(ours.map(|(name, kind)| (name.clone(), kind.clone())).collect::<BTreeMap<_, _>>(), kinds);
    let others = metrics.kinds.keys().filter(|name| !name.starts_with("p2pchat"));
    assert_eq!(others.cloned().collect::<BTreeSet<_>>(), named(process));
    let told: BTreeSet<_> =
        metrics.labels().into_iter().filter(|label| !label.starts_with("version=")).collect();
    assert_eq!(told, labels);
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut monitored(folder.path()));
    let metrics = scrape(&daemon);
    let check = |expression: &str| {
        for name in named(expression) {
            let is_there = metrics.kinds.iter().any(|(metric, kind)| {
                let suffixes: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                suffixes.iter().any(|suffix| format!("{metric}{suffix}") == name)
            });
            assert!(is_there, "{name} in {expression}");
        }
        for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
            assert_eq!(expression.matches(open).count(), expression.matches(close).count(), "{expression}");
        }
        for label in expression.split("reason=\"").skip(1) {
            let value = label.split('"').next().unwrap();
            assert!(metrics.labels().contains(&format!("reason=\"{value}\"}}")), "{expression}");
        }
    };
    let alerts = Yaml::load_from_str(include_str!("../../contrib/alerts.yaml")).unwrap();
    let rules = alerts[0]["groups"][0]["rules"].as_vec().unwrap();
    for rule in rules {
        assert!(
            rule["alert"].as_str().is_some() && rule["annotations"]["summary"].as_str().is_some(),
            "{rule:?}"
        );
        check(rule["expr"].as_str().unwrap());
    }
    let dashboard: Value =
        serde_json::from_str(include_str!("../../contrib/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    expressions.iter().for_each(|expression| check(expression));
    check(dashboard["templating"]["list"][1]["query"]["query"].as_str().unwrap());
    assert!(rules.len() >= 10 && expressions.len() >= 40);
    // What can be measured can be seen.
    let seen: BTreeSet<_> = expressions.iter().flat_map(|expression| named(expression)).collect();
    for metric in metrics.kinds.keys() {
        let is_seen = seen.iter().any(|name| name.starts_with(metric.as_str()));
        let others = ["accepting", "draining", "monitor_", "process_start"];
        assert!(is_seen || others.iter().any(|other| metric.contains(other)), "{metric} is on no panel");
    }
}

//! What is said at the end: the figures, and whether they are good.

use std::time::Duration;

use crate::run::Storm;

/// Prints it all; false if something is wrong.
pub(crate) fn print(storm: &Storm, json: bool) -> bool {
    match figures(storm) {
        Ok(figures) => {
            if json {
                let fields: Vec<_> = figures
                    .iter()
                    .map(|(name, value)| format!("\"{}\":{value}", name.replace(' ', "_")))
                    .collect();
                println!("{{{}}}", fields.join(","));
            } else {
                println!();
                for (name, value) in &figures {
                    println!("{value:>10}  {name}");
                }
            }
            judge(storm, json)
        }
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

fn figures(storm: &Storm) -> Result<Vec<(&'static str, String)>, String> {
    let Storm { clients, by_password, back, started_in, bound, metrics, .. } = storm;
    let metric = |name| metrics.value(name).map(|value| value.to_string());
    let share = |percent: usize| seconds(after(back, *clients, percent));
    Ok(vec![
        ("clients", clients.to_string()),
        ("of them without tokens", by_password.to_string()),
        ("came back", back.len().to_string()),
        ("seconds until the registry was ready", format!("{:.2}", started_in.as_secs_f64())),
        ("seconds from then until 50 percent were back", share(50)),
        ("seconds until 95 percent", share(95)),
        ("seconds until 99 percent", share(99)),
        ("seconds until 100 percent", share(100)),
        ("sessions", metric("sessions")?),
        ("logins by password", metric("logins_total{result=\"success\"}")?),
        ("logins by token", metric("logins_total{result=\"resumed\"}")?),
        ("refused hashes", metric("hashes_refused_total")?),
        ("named times to come back", metric("retries_named_total")?),
        ("most hashes waiting", metric("hashes_most")?),
        ("bound of hashes waiting", bound.to_string()),
        ("most handshakes at once", metric("tls_handshakes_most")?),
        ("handshakes", metric("tls_handshakes_total{result=\"finished\"}")?),
    ])
}

fn judge(storm: &Storm, quiet: bool) -> bool {
    let sessions = storm.metrics.value("sessions").unwrap_or(0);
    let most = storm.metrics.value("hashes_most").unwrap_or(u64::MAX);
    let checks = [
        (storm.back.len() == storm.clients as usize && storm.given_up.is_empty(), "everybody came back"),
        (sessions == u64::from(storm.clients), "the registry has them all"),
        (most <= storm.bound, "no more waited for the password hash than may"),
    ];
    if !quiet {
        for why in storm.given_up.iter().take(10) {
            println!("gave up: {why}");
        }
        for (holds, what) in checks {
            println!("{}  {what}", if holds { "good" } else { "BAD " });
        }
    }
    checks.iter().all(|(holds, _)| *holds)
}

/// When so many of a hundred were back; `None` if they never were.
fn after(back: &[Duration], clients: u32, percent: usize) -> Option<Duration> {
    let needed = (clients as usize * percent).div_ceil(100).max(1);
    back.get(needed - 1).copied()
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "null".to_owned(), |time| format!("{:.2}", time.as_secs_f64()))
}

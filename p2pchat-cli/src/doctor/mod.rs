//! What keeps somebody from talking: looked for step by step, in the order in which a connection is made.
//!
//! Each step says what was found; where something is wrong also why it matters and what to change. What depends on a step that
//! failed is skipped, and said to be.

mod clock;
mod data;
mod link;
mod path;
mod place;

use std::io;

use p2pchat_core::tokio::Peer;

use crate::{
    args::{Check, Global},
    exit::{Exit, Failure},
    json,
    oneshot::{print, print_json},
    output::{Paint, Tone},
    report::Said,
    sanitize,
    session::Session,
};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// All is well.
    Ok,
    /// It works, but not for everybody, not for ever, or not safely.
    Warning,
    /// It doesn't work.
    Failed,
    /// It can't be told from here.
    Unknown,
    /// It was not looked at.
    Skipped,
}

impl Level {
    /// As it is shown, and as programs are told, who get it in small letters.
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }

    fn tone(self) -> Option<Tone> {
        match self {
            Self::Ok => Some(Tone::Success),
            Self::Warning => Some(Tone::Notice),
            Self::Failed => Some(Tone::Error),
            Self::Unknown | Self::Skipped => None,
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// What the program was told.
    Settings,
    /// The data folder.
    Data,
    /// The registry's name.
    Name,
    /// Whether the registry can be reached.
    Connection,
    /// Whether it is the right one.
    Certificate,
    /// What it speaks.
    Protocol,
    Login,
    Clock,
    KeepAlive,
    /// Where others are told that this program is.
    Address,
    /// Whether it is there.
    Port,
    /// Whether somebody has got there.
    Reached,
}

impl Step {
    /// As it is shown and told.
    fn word(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Data => "data",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Login => "login",
            Self::Clock => "clock",
            Self::KeepAlive => "keep-alive",
            Self::Address => "address",
            Self::Port => "port",
            Self::Reached => "reached",
        }
    }

    /// How the program ends if this is what failed first.
    fn exit(self) -> Exit {
        match self {
            Self::Settings => Exit::Usage,
            Self::Name | Self::Connection | Self::Certificate => Exit::Registry,
            Self::Login => Exit::Login,
            _ => Exit::Failed,
        }
    }
}

/// What was found in one step, in text that a terminal can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) step: Step,
    pub(crate) level: Level,
    pub(crate) found: String,
    /// Why it matters, and what to change.
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// For people, in one or two lines.
    pub(crate) fn lines(&self, paint: Paint) -> String {
        let word = format!("{:8}", self.level.word());
        let word = self.level.tone().map_or_else(|| word.clone(), |tone| paint.paint(tone, &word));
        let advice =
            self.advice.iter().flat_map(|advice| advice.lines()).map(|line| format!("\n         {line}"));
        format!("{word} {}: {}{}", self.step.word(), self.found, advice.collect::<String>())
    }

    /// For the full-screen client.
    pub(crate) fn said(&self) -> Said {
        Said { tone: self.level.tone(), text: self.lines(Paint::none()) }
    }

    /// For programs.
    pub(crate) fn json(&self) -> json::Check {
        json::Check {
            check: self.step.word().to_owned(),
            level: self.level.word().to_lowercase(),
            found: self.found.clone(),
            advice: self.advice.clone(),
        }
    }
}

/// What was found so far, and who hears of it.
struct Report<'a> {
    findings: Vec<Finding>,
    tell: &'a mut (dyn FnMut(&Finding) + Send),
}

impl Report<'_> {
    fn add(&mut self, level: Level, step: Step, found: impl AsRef<str>, advice: Option<String>) {
        let (found, advice) = (sanitize::line(found.as_ref()), advice.map(|advice| sanitize::block(&advice)));
        let finding = Finding { step, level, found, advice };
        (self.tell)(&finding);
        self.findings.push(finding);
    }

    fn ok(&mut self, step: Step, found: impl AsRef<str>) {
        self.add(Level::Ok, step, found, None);
    }

    fn warning(&mut self, step: Step, found: impl AsRef<str>, advice: impl Into<String>) {
        self.add(Level::Warning, step, found, Some(advice.into()));
    }

    fn failed(&mut self, step: Step, found: impl AsRef<str>, advice: impl Into<String>) {
        self.add(Level::Failed, step, found, Some(advice.into()));
    }

    fn unknown(&mut self, step: Step, found: impl AsRef<str>, advice: impl Into<String>) {
        self.add(Level::Unknown, step, found, Some(advice.into()));
    }

    /// Nothing of this was looked at.
    fn skip(&mut self, steps: &[Step], why: &str) {
        for step in steps {
            self.add(Level::Skipped, *step, why, None);
        }
    }
}

/// All steps from the greeting on.
const AFTER_CONNECTION: [Step; 8] = [
    Step::Certificate,
    Step::Protocol,
    Step::Login,
    Step::Clock,
    Step::KeepAlive,
    Step::Address,
    Step::Port,
    Step::Reached,
];

/// Looks at everything, and tells each finding at once. `client`: one that is connected, and is looked at in place of a session of
/// the check's own; without it one is made, and ended.
pub(crate) async fn run(
    global: &Global,
    check: &Check,
    client: Option<&Peer>,
    tell: &mut (dyn FnMut(&Finding) + Send),
) -> Vec<Finding> {
    let mut report = Report { findings: Vec::new(), tell };
    look(global, check, client, &mut report).await;
    report.findings
}

async fn look(global: &Global, check: &Check, client: Option<&Peer>, report: &mut Report<'_>) {
    data::settings(report, global, client.is_some());
    data::folder(report, global);
    let Some(registry) = &global.registry else {
        report.skip(&[Step::Name, Step::Connection], "there is no registry to ask");
        return report.skip(&AFTER_CONNECTION, "there is no registry to ask");
    };
    let is_reached = link::reach(report, registry).await;
    if let Some(peer) = client {
        link::certificate(report, global, peer);
        link::protocol(report, peer).await;
        let name = peer.username().map_or_else(|| "nobody".to_owned(), |name| name.to_string());
        report.ok(Step::Login, format!("this client's own session is looked at, of {name}"));
        clock::look(report, global, peer.certificate_der().as_deref());
        return path::look(report, global, check, registry, peer).await;
    }
    if !is_reached {
        return report.skip(&AFTER_CONNECTION, "the registry can't be reached");
    }
    let taken = place::is_taken(global.peer_port);
    let mut free = global.clone();
    if taken.is_some() {
        free.peer_port = 0;
    }
    let Some(mut session) = link::open(report, &free, registry, check).await else {
        return report
            .skip(AFTER_CONNECTION.get(1..).unwrap_or_default(), "the registry is not trusted, or is none");
    };
    link::certificate(report, global, &session.peer);
    link::protocol(report, &session.peer).await;
    let in_session = link::login(report, &free, check, &session).await;
    clock::look(report, global, session.peer.certificate_der().as_deref());
    match (in_session, taken) {
        (false, _) => report.skip(
            &[Step::KeepAlive, Step::Address, Step::Port, Step::Reached],
            "only who is logged in can tell",
        ),
        (true, taken) => {
            if let Some(why) = taken {
                place::say_taken(report, global.peer_port, &why);
            }
            let peer = session.peer.clone();
            let looked = path::look(report, &free, check, registry, &peer);
            // Nobody else takes what happens meanwhile.
            unattended(looked, &mut session).await;
        }
    }
    session.end().await;
}

/// Passes over what others say to a session that is there for looking alone.
async fn unattended(look: impl Future<Output = ()>, session: &mut Session) {
    let mut look = std::pin::pin!(look);
    loop {
        tokio::select! {
            () = &mut look => return,
            Some(_) = session.events.next() => {}
        }
    }
}

/// The command of that name.
pub(crate) async fn command(global: &Global, check: &Check) -> Result<(), Failure> {
    let paint = Paint::for_stream(global.color, &io::stdout());
    let mut written = Ok(());
    let mut tell = |finding: &Finding| {
        if written.is_ok() {
            written = match check.json {
                true => print_json(&finding.json()),
                false => print(&finding.lines(paint)),
            };
        }
    };
    let findings = run(global, check, None, &mut tell).await;
    // What the checks say counts, whether or not anybody reads all of it.
    written.or_else(|failure| if failure.is_quiet() { Ok(()) } else { Err(failure) })?;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match findings.iter().find(|finding| finding.level == Level::Failed) {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            first.step.exit(),
            format!("{} of {} checks failed", count(Level::Failed), findings.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, advice: Option<&str>) -> Finding {
        Finding { step: Step::KeepAlive, level, found: "none".to_owned(), advice: advice.map(str::to_owned) }
    }

    #[test]
    fn a_finding_is_a_line_with_what_to_do_below_it() {
        let shown = finding(Level::Failed, Some("open it\nor not")).lines(Paint::forced(false));
        assert_eq!(shown, "FAILED   keep-alive: none\n         open it\n         or not");
        assert_eq!(finding(Level::Ok, None).lines(Paint::forced(false)), "ok       keep-alive: none");
        let coloured = finding(Level::Warning, None).lines(Paint::forced(true));
        assert!(coloured.starts_with("\u{1b}[33mwarning "), "{coloured:?}");
        let told = json::line(&finding(Level::Failed, None).json()).unwrap();
        assert_eq!(told, r#"{"check":"keep-alive","level":"failed","found":"none","advice":null}"#);
    }

    #[test]
    fn what_comes_from_elsewhere_moves_no_cursor() {
        let mut seen = Vec::new();
        let mut tell = |finding: &Finding| seen.push(finding.clone());
        let mut report = Report { findings: Vec::new(), tell: &mut tell };
        report.failed(Step::Login, "no\u{1b}[2J\nok", "ask\u{202e}\nagain");
        assert_eq!(seen[0].found, "no␛[2J␊ok");
        assert!(!seen[0].advice.as_deref().unwrap().contains('\u{202e}'));
    }
}

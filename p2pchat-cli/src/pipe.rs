//! `p2pchat pipe`: standard input and output joined to a room.

use std::{
    io::{self, BufRead, Read as _},
    thread,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use p2pchat_core::{
    peer::{BroadcastReport, Event, RequestError},
    proto::{RoomName, Text, limits::TEXT_BYTES},
    tokio::Error,
};
use tokio::sync::mpsc;

use crate::{
    args::Global,
    exit::{Exit, Failure},
    json::Line,
    oneshot::{logged_out, print},
    output::{Paint, Tone, write_stderr},
    session::{Session, Signals},
    show,
};

/// How many messages may be under way before another line is read. One member who can't be reached for now keeps a message
/// waiting for half a minute, which the others need not.
const UNDER_WAY: usize = 32;

/// How a room is joined to standard input and output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Print JSON lines.
    pub(crate) json: bool,
    /// Go on printing when the input has ended.
    pub(crate) keep: bool,
}

/// A line of standard input.
#[derive(Debug, PartialEq)]
enum Said {
    Text(Text),
    /// It can't be sent, and why.
    Unfit(String),
    /// There is nothing to be read any more, and why.
    Unreadable(String),
}

/// What has become of what was said.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    missed: u64,
}

/// Says each line of standard input in `room`, and prints what others say there, until the input has ended and everybody has all
/// of it.
pub(crate) async fn run(
    global: &Global,
    session: &mut Session,
    room: &RoomName,
    password: Option<&str>,
    how: How,
) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let peer = session.peer.clone();
    peer.join(room.as_str(), password).await.map_err(|error| Failure::from(error).context("join"))?;
    if how.json {
        print(&Line::ready(&peer).to_string())?;
    }
    let complain = |text: &str| write_stderr(global.color, Tone::Error, text);
    let mut tally = Tally::default();
    let mut lines = stdin_lines();
    let mut reading = true;
    let mut under_way = FuturesUnordered::new();
    while reading || how.keep || !under_way.is_empty() {
        tokio::select! {
            said = lines.recv(), if reading && under_way.len() < UNDER_WAY => match said {
                Some(Said::Text(text)) => {
                    tally.lines += 1;
                    let peer = &peer;
                    under_way.push(async move { peer.broadcast(room.as_str(), text.as_str()).await });
                }
                Some(Said::Unfit(why)) => {
                    tally.lines += 1;
                    tally.missed += 1;
                    complain(&why);
                }
                Some(Said::Unreadable(why)) => return Err(Failure::new(Exit::Failed, why)),
                None => reading = false,
            },
            Some(sent) = under_way.next() => {
                let missed = missed(sent)?;
                tally.missed += u64::from(!missed.is_empty());
                missed.iter().for_each(|line| complain(line));
            }
            event = session.next_event() => {
                let event = event.ok_or_else(|| Failure::new(Exit::Registry, "the session has ended"))?;
                match happened(global, session, room, how, event).await {
                    // Nobody listens any more, which ends it; what was to be said counts all the same.
                    Err(failure) if failure.is_quiet() => {
                        tally.missed += under_way.len() as u64;
                        break;
                    }
                    happened => happened?,
                }
            }
            () = signals.received() => {
                tally.missed += under_way.len() as u64;
                break;
            }
        }
    }
    tally.outcome()
}

/// Who doesn't have what was said, a line each.
fn missed(sent: Result<BroadcastReport, Error>) -> Result<Vec<String>, Failure> {
    match sent {
        Ok(report) => Ok(show::missed(&report)),
        // Nothing that comes after it can be said either.
        Err(Error::Request(error))
            if matches!(
                error.cause(),
                RequestError::NotAMember | RequestError::NotLoggedIn | RequestError::Closed
            ) =>
        {
            Err(error.into())
        }
        Err(error) => Ok(vec![format!("not delivered: {}", Failure::from(error))]),
    }
}

async fn happened(
    global: &Global,
    session: &Session,
    room: &RoomName,
    how: How,
    event: Event,
) -> Result<(), Failure> {
    let me = session.peer.username();
    let is_me = |username| me.as_ref() == Some(username);
    match &event {
        Event::Broadcast { room: Some(heard), from, text, place, secured, .. } if heard == room => {
            if how.json {
                return Line::of(&event).map_or(Ok(()), |line| print(&line.to_string()));
            }
            let paint = Paint::for_stream(global.color, &io::stdout());
            print(&show::said(from, text, *secured, *place, paint))
        }
        Event::ChatRequested { request, .. } => {
            // Nobody sits here to talk to. Whoever asked may be gone by now.
            if let Err(error) = session.peer.reject(*request, None).await {
                tracing::info!(%error, "chat request not answered");
            }
            Ok(())
        }
        Event::LoggedOut { reason, .. } => Err(logged_out(session, reason)),
        Event::PutOut { room: left, username, .. } | Event::MemberLeft { room: left, username }
            if left == room && is_me(username) =>
        {
            let how = show::event(&event, Paint::OFF).unwrap_or_default();
            Err(Failure::new(Exit::Failed, how))
        }
        // What bears on who hears what.
        Event::Disconnected { .. }
        | Event::Reconnected
        | Event::Missed { .. }
        | Event::Arrived { .. }
        | Event::KeyChanged { .. } => {
            if let Some(line) = show::event(&event, Paint::OFF) {
                global.notice(&line);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

impl Tally {
    fn outcome(&self) -> Result<(), Failure> {
        if self.missed == 0 {
            return Ok(());
        }
        let Self { lines, missed } = self;
        Err(Failure::new(Exit::NotDelivered, format!("{missed} of {lines} messages did not reach everybody")))
    }
}

/// Standard input, no more of it than is asked for.
fn stdin_lines() -> mpsc::Receiver<Said> {
    let (lines, taken) = mpsc::channel(1);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut number = 0;
        while let Some(said) = next_line(&mut input, &mut number) {
            let is_last = matches!(said, Said::Unreadable(_));
            if lines.blocking_send(said).is_err() || is_last {
                break;
            }
        }
    });
    taken
}

/// The next line that says something; `None` at the end.
fn next_line(input: &mut impl BufRead, number: &mut u64) -> Option<Said> {
    loop {
        *number += 1;
        let unfit = |why: &str| Some(Said::Unfit(format!("line {number} is not sent: {why}")));
        let unreadable = |error| Some(Said::Unreadable(format!("can't read standard input: {error}")));
        // As much as fits, and the line's end.
        let mut line = Vec::new();
        match input.by_ref().take(TEXT_BYTES as u64 + 2).read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return unreadable(error),
        }
        if line.pop_if(|&mut last| last == b'\n').is_some() {
            line.pop_if(|&mut last| last == b'\r');
        } else if line.len() > TEXT_BYTES {
            return match input.skip_until(b'\n') {
                Ok(_) => unfit(&format!("it has more than {TEXT_BYTES} bytes")),
                Err(error) => unreadable(error),
            };
        }
        let text = match std::str::from_utf8(&line) {
            Ok(text) => text,
            Err(error) => return unfit(&format!("it is no UTF-8 from byte {} on", error.valid_up_to() + 1)),
        };
        if text.is_empty() {
            continue;
        }
        return match Text::new(text) {
            Ok(text) => Some(Said::Text(text)),
            Err(problem) => unfit(&format!("it {problem}")),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn all(input: impl Into<Vec<u8>>) -> Vec<Said> {
        let (mut input, mut number) = (Cursor::new(input.into()), 0);
        std::iter::from_fn(|| next_line(&mut input, &mut number)).collect()
    }

    fn text(text: &str) -> Said {
        Said::Text(Text::new(text).unwrap())
    }

    #[test]
    fn a_line_is_a_message() {
        assert_eq!(
            all("one\n\ntwo\r\n <3 \n\r\nthree"),
            [text("one"), text("two"), text(" <3 "), text("three")]
        );
        assert_eq!(all(""), []);
    }

    #[test]
    fn a_line_that_is_none_is_named_and_the_next_one_read() {
        let mut input = b"one\n\xff\xfe\n".to_vec();
        input.extend("x".repeat(TEXT_BYTES).bytes());
        input.extend(b"\r\n");
        // A character is cut where the reading of a line stops.
        input.extend("\u{20ac}".repeat(TEXT_BYTES).bytes());
        input.extend(b"\n");
        input.extend("y".repeat(TEXT_BYTES + 1).bytes());
        input.extend(b"\ntwo\n");
        let said = all(input);
        let [one, binary, whole, long, longer, two] = said.as_slice() else { panic!("{}", said.len()) };
        assert_eq!((one, two), (&text("one"), &text("two")));
        assert_eq!(binary, &Said::Unfit("line 2 is not sent: it is no UTF-8 from byte 1 on".to_owned()));
        assert_eq!(whole, &text(&"x".repeat(TEXT_BYTES)));
        for (line, number) in [(long, 4), (longer, 5)] {
            let Said::Unfit(why) = line else { panic!("it is sent") };
            assert!(
                why.starts_with(&format!("line {number} is not sent: it has ")) && why.contains("16384"),
                "{why}"
            );
        }
    }

    #[test]
    fn what_nobody_missed_is_done() {
        assert!(Tally { lines: 5, missed: 0 }.outcome().is_ok());
        let failure = Tally { lines: 5, missed: 2 }.outcome().unwrap_err();
        assert_eq!(failure.exit, Exit::NotDelivered);
        assert_eq!(failure.to_string(), "2 of 5 messages did not reach everybody");
    }
}

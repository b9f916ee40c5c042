//! Commands that only the full-screen client has; all others it shares with the line mode.

use crate::{
    archive::Level,
    command::{self, Command, Help, Words},
    sanitize,
};

/// A command, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Local(Local),
    Shared(Command),
}

/// A command of the screen's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Local {
    Search(String),
    Open(Option<usize>),
    Decline(Option<String>),
    Receipts,
    Resend,
    Discard,
    Level(Option<Level>),
    Quiet,
    Export { json: bool, path: String },
    Doctor,
    Keys,
    Bare,
    Close,
}

/// All of them, in the order of `/help`.
pub(super) const HELP: &[Help] = &[
    help("/search", "/search WORDS", "look for words in all that was said; Enter there goes to the place"),
    help("/open", "/open [NUMBER]", "open the link of that number; plain: the newest"),
    help("/decline", "/decline [USER]", "decline somebody's wish to chat; they aren't told"),
    help("/receipts", "/receipts", "who has what you said last, and who hasn't"),
    help("/resend", "/resend", "send again here what failed, or may not have arrived"),
    help("/discard", "/discard", "give up here what waits, or may not have arrived"),
    help("/notify", "/notify [all|mentions|nothing]", "what you are told of here while you look elsewhere"),
    help("/dnd", "/dnd", "do not disturb: no notifications at all, or again"),
    help("/export", "/export [-j] PATH", "write this conversation to a new file, as text or JSON lines"),
    help("/doctor", "/doctor", "check the registry, keep-alives and whether others reach you"),
    help("/close", "/close", "take this chat off the list; what was said is kept"),
    help("/bare", "/bare", "the conversation alone, to copy from"),
    help("/keys", "/keys", "which key does what"),
];

const fn help(name: &'static str, usage: &'static str, what: &'static str) -> Help {
    Help { name, usage, what }
}

/// Understands a line that isn't blank, or says how the command is used.
pub(super) fn parse(line: &str) -> Result<Typed, String> {
    let (verb, mut rest) = Words(line).next_word().ok().flatten().unwrap_or_default();
    let verb = verb.to_lowercase();
    let Some(help) = HELP.iter().find(|help| help.name == verb) else {
        return command::parse_beside(HELP, line).map(Typed::Shared);
    };
    let local = match help.name {
        "/search" => rest.remainder().map(Local::Search),
        "/open" => Some(Local::Open(rest.number().and_then(|number| usize::try_from(number).ok()))),
        "/decline" => Some(Local::Decline(rest.word()?)),
        "/receipts" => Some(Local::Receipts),
        "/resend" => Some(Local::Resend),
        "/discard" => Some(Local::Discard),
        "/notify" => match rest.word()?.as_deref() {
            None => Some(Local::Level(None)),
            Some("all") => Some(Local::Level(Some(Level::All))),
            Some("mentions") => Some(Local::Level(Some(Level::Mentions))),
            Some("nothing") => Some(Local::Level(Some(Level::Nothing))),
            Some(_) => None,
        },
        "/dnd" => Some(Local::Quiet),
        "/export" => {
            let json = rest.flag("-j");
            rest.name()?.map(|path| Local::Export { json, path })
        }
        "/doctor" => Some(Local::Doctor),
        "/close" => Some(Local::Close),
        "/bare" => Some(Local::Bare),
        _ => Some(Local::Keys),
    };
    local
        .filter(|_| rest.is_empty())
        .map(Typed::Local)
        .ok_or_else(|| format!("usage: {}   ({})", sanitize::line(help.usage), help.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_commands_and_the_shared_ones() {
        for (line, local) in [
            ("/search tea time", Local::Search("tea time".to_owned())),
            ("/open", Local::Open(None)),
            ("/open 3", Local::Open(Some(3))),
            ("/notify mentions", Local::Level(Some(Level::Mentions))),
            ("/export -j a b.json", Local::Export { json: true, path: "a b.json".to_owned() }),
            ("/DND", Local::Quiet),
        ] {
            assert_eq!(parse(line), Ok(Typed::Local(local)), "{line}");
        }
        assert_eq!(parse("/quit"), Ok(Typed::Shared(Command::Quit)));
        assert_eq!(parse("\"hi"), Ok(Typed::Shared(Command::Say("\"hi".to_owned()))));
        for bad in ["/search", "/open x", "/notify loud", "/export", "/dnd now"] {
            assert!(parse(bad).unwrap_err().starts_with("usage: "), "{bad}");
        }
    }

    #[test]
    fn no_command_hides_another() {
        // `/search` is what `/whereis` was called before there was something to search.
        let shared: Vec<_> = command::HELP.iter().map(|help| help.name).collect();
        assert!(HELP.iter().all(|help| !shared.contains(&help.name)));
    }
}

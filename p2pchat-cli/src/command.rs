//! What can be typed at the prompt.

use crate::{nearest::nearest, owner::Deed, sanitize, session::DEFAULT_CAPACITY};

/// A command, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Help(Option<String>),
    Who {
        detailed: bool,
    },
    /// Where a user is.
    Whereis(String),
    Chat(String),
    Accept(Option<String>),
    Reject {
        who: Option<String>,
        reason: Option<String>,
    },
    Message {
        to: String,
        text: String,
    },
    /// Offers somebody a file.
    SendFile {
        to: String,
        path: String,
    },
    Files,
    /// Takes a file that was offered.
    Take {
        number: Option<u32>,
        folder: Option<String>,
    },
    /// Declines a file, or ends its transfer.
    Stop(Option<u32>),
    /// Shows what two people compare to know that nobody is between them.
    Verify(String),
    /// Takes somebody's new key for theirs.
    Trust {
        user: String,
        /// How it begins, as the user was shown; `none` if it was none.
        key: String,
    },
    Block(String),
    Unblock(String),
    Blocked,
    Rooms,
    Create {
        room: String,
        capacity: u32,
        description: String,
        with_password: bool,
    },
    Join {
        room: String,
        with_password: bool,
    },
    Leave(Option<String>),
    Members(Option<String>),
    Switch(String),
    /// What a room's owner does; without a room, to the open one.
    Own {
        room: Option<String>,
        deed: Deed,
    },
    /// A new password for a room, to be asked for.
    SetPassword(Option<String>),
    Bans(Option<String>),
    Logout,
    Quit,
    /// Text for the open chat or room.
    Say(String),
}

/// A command's line in `/help`.
pub(crate) struct Help {
    /// Its name, with the slash.
    pub(crate) name: &'static str,
    /// Its name and arguments.
    pub(crate) usage: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
}

macro_rules! help {
    ($($name:literal $arguments:literal $what:literal)*) => {
        &[$(Help { name: $name, usage: concat!($name, $arguments), what: $what }),*]
    };
}

/// All commands, in the order of `/help`.
pub(crate) const HELP: &[Help] = help! {
    "/who" " [-d]" "who is online; -d also where"
    "/whereis" " USER" "whether a user is online, and where"
    "/chat" " USER" "ask somebody to chat; what you type then goes to them"
    "/accept" " [USER]" "accept somebody's wish to chat"
    "/reject" " [USER [REASON]]" "decline somebody's wish to chat"
    "/msg" " USER|#ROOM TEXT" "say something in another chat or room"
    "/send" " USER PATH" "offer a file to somebody you chat with"
    "/files" "" "which files are offered and on their way"
    "/take" " [NUMBER] [FOLDER]" "take a file that is offered to you"
    "/stop" " [NUMBER]" "decline a file, or end its transfer"
    "/verify" " USER" "what you and USER compare, to know that nobody is between you"
    "/trust" " USER KEY" "take USER's new key for theirs, once you know from themselves that it is; its first digits do"
    "/block" " USER" "hear nothing of USER any more, and say nothing to them; they aren't told"
    "/unblock" " USER" "talk to somebody again who was blocked"
    "/blocked" "" "whom you have blocked"
    "/rooms" "" "which rooms there are"
    "/create" " [-p] ROOM [CAPACITY] [DESCRIPTION]" "open a room; -p asks for a password to protect it"
    "/join" " [-p] ROOM" "become a member of a room; -p asks for its password"
    "/leave" " [ROOM]" "leave a room; plain: leave what is open, room or chat"
    "/members" " [ROOM]" "which members of a room are online"
    "/kick" " [#ROOM] USER [REASON]" "put a member out of your room"
    "/ban" " [#ROOM] USER [REASON]" "put somebody out of your room, and keep them out"
    "/unban" " [#ROOM] USER" "let somebody in again who was banned"
    "/bans" " [ROOM]" "who is banned from your room"
    "/set" " [#ROOM] WHAT [VALUE]" "change your room: description TEXT, capacity NUMBER, password, or owner USER"
    "/switch" " USER|#ROOM" "type into another open chat or room of yours"
    "/logout" "" "log out; you can log in again, also as somebody else"
    "/quit" "" "log out and leave; Ctrl-D does the same"
    "/help" " [COMMAND]" "this list, or one command's line of it"
};

/// Understands a line that isn't blank, or says how the command is used.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    parse_beside(&[], line)
}

/// The same where there are other commands too.
pub(crate) fn parse_beside(others: &[Help], line: &str) -> Result<Command, String> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Command::Say(line.to_owned())) };
    if command.starts_with('/') {
        // A text that starts with a slash is written with two.
        return Ok(Command::Say(command.to_owned()));
    }
    let (verb, mut rest) = Words(line).next_word()?.unwrap_or_default();
    let verb = match verb.to_lowercase() {
        // What it was called before there was a history to search.
        search if search == "/search" => "/whereis".to_owned(),
        verb => verb,
    };
    let Some(help) = HELP.iter().find(|help| help.name == verb) else {
        return Err(no_such(&verb, HELP.iter().chain(others)));
    };
    let command = match help.name {
        "/help" => rest.word()?.map_or(Some(Command::Help(None)), |name| Some(Command::Help(Some(name)))),
        "/who" => match rest.word()?.as_deref() {
            None => Some(Command::Who { detailed: false }),
            Some("-d") => Some(Command::Who { detailed: true }),
            Some(_) => None,
        },
        "/whereis" => rest.word()?.map(Command::Whereis),
        "/chat" => rest.word()?.map(Command::Chat),
        "/accept" => Some(Command::Accept(rest.word()?)),
        "/reject" => Some(Command::Reject { who: rest.word()?, reason: rest.remainder() }),
        "/msg" => rest.word()?.zip(rest.remainder()).map(|(to, text)| Command::Message { to, text }),
        "/send" => rest.word()?.zip(rest.name()?).map(|(to, path)| Command::SendFile { to, path }),
        "/files" => Some(Command::Files),
        "/take" => Some(Command::Take { number: rest.number(), folder: rest.name()? }),
        "/stop" => Some(Command::Stop(rest.number())),
        "/verify" => rest.word()?.map(Command::Verify),
        "/trust" => rest.word()?.zip(rest.word()?).map(|(user, key)| Command::Trust { user, key }),
        "/block" => rest.word()?.map(Command::Block),
        "/unblock" => rest.word()?.map(Command::Unblock),
        "/blocked" => Some(Command::Blocked),
        "/rooms" => Some(Command::Rooms),
        "/create" => {
            let with_password = rest.flag("-p");
            rest.word()?.map(|room| {
                let capacity = rest.number();
                let description = rest.remainder().unwrap_or_default();
                Command::Create {
                    room: plain_room(room),
                    capacity: capacity.unwrap_or(DEFAULT_CAPACITY),
                    description,
                    with_password,
                }
            })
        }
        "/join" => {
            let with_password = rest.flag("-p");
            rest.name()?.map(|room| Command::Join { room: plain_room(room), with_password })
        }
        "/leave" => Some(Command::Leave(rest.name()?.map(plain_room))),
        "/members" => Some(Command::Members(rest.name()?.map(plain_room))),
        "/switch" => rest.name()?.map(Command::Switch),
        "/kick" | "/ban" | "/unban" => {
            let room = rest.room()?;
            rest.word()?.map(|user| {
                let deed = match help.name {
                    "/kick" => Deed::Kick { user, reason: rest.remainder() },
                    "/ban" => Deed::Ban { user, reason: rest.remainder() },
                    _ => Deed::Unban { user },
                };
                Command::Own { room, deed }
            })
        }
        "/bans" => Some(Command::Bans(rest.name()?.map(plain_room))),
        "/set" => {
            let room = rest.room()?;
            let what = rest.word()?.unwrap_or_default().to_lowercase();
            let deed = match what.as_str() {
                "password" => return wholly(help, Some(Command::SetPassword(room)), &rest),
                "capacity" | "limit" => rest.number().map(Deed::Capacity),
                "description" | "topic" => Some(Deed::Description(rest.remainder().unwrap_or_default())),
                "owner" => rest.word()?.map(Deed::Owner),
                _ => None,
            };
            deed.map(|deed| Command::Own { room, deed })
        }
        "/logout" => Some(Command::Logout),
        _ => Some(Command::Quit),
    };
    wholly(help, command, &rest)
}

/// The command, if nothing is left of its line.
fn wholly(help: &Help, command: Option<Command>, rest: &Words<'_>) -> Result<Command, String> {
    command
        .filter(|_| rest.is_empty())
        .ok_or_else(|| format!("usage: {}   ({}; names with blanks go in \"quotes\")", help.usage, help.what))
}

/// What to say of a command that isn't one of `all`, slash included.
pub(crate) fn no_such<'a>(verb: &str, all: impl IntoIterator<Item = &'a Help>) -> String {
    // The slash is no likeness.
    let names = all.into_iter().filter_map(|help| help.name.strip_prefix('/'));
    let advice = match (elsewhere(verb), nearest(verb.trim_start_matches('/'), names)) {
        (Some(advice), _) => advice.to_owned(),
        (None, Some(nearest)) => format!("did you mean /{nearest}? /help lists what there is"),
        (None, None) => "/help lists what there is".to_owned(),
    };
    format!("there is no {}; {advice}", sanitize::line(verb))
}

/// What does here what `verb` does in other chat programs.
fn elsewhere(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "/exit" | "/bye" | "/q" => "/quit leaves",
        "/part" | "/close" => "/leave leaves a room or chat",
        "/query" => "/chat USER asks somebody to chat",
        "/names" => "/members lists who is in a room",
        "/list" => "/rooms lists the rooms",
        "/topic" => "/set description TEXT says what your room is about",
        "/mode" | "/op" => "/set changes your room, and /set owner USER hands it over",
        "/file" | "/dcc" => "/send USER PATH offers a file",
        "/get" => "/take takes a file that is offered to you",
        "/cancel" => "/stop ends a file's transfer",
        "/whois" => "/whereis USER says where somebody is",
        "/ignore" => "/block USER hears nothing of them any more",
        "/nick" => "to be somebody else, /logout and log in",
        _ => return None,
    })
}

/// A room's name without the `#` that this program shows before it.
pub(crate) fn plain_room(name: String) -> String {
    match name.strip_prefix('#') {
        Some(plain) if !plain.is_empty() => plain.to_owned(),
        _ => name,
    }
}

/// What is left of a line.
#[derive(Default)]
pub(crate) struct Words<'a>(pub(crate) &'a str);

impl<'a> Words<'a> {
    /// The next word, or what stands in double quotes, and what comes after it.
    pub(crate) fn next_word(&self) -> Result<Option<(String, Words<'a>)>, String> {
        let text = self.0.trim_start();
        // A room may be written as it is shown, `#"tea room"`.
        let (hash, text) = match text.strip_prefix('#') {
            Some(quoted) if quoted.starts_with('"') => ("#", quoted),
            _ => ("", text),
        };
        let (word, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a closing quote is missing")?,
            None => text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())),
        };
        Ok((!word.is_empty()).then(|| (format!("{hash}{word}"), Words(rest))))
    }

    pub(crate) fn word(&mut self) -> Result<Option<String>, String> {
        let Some((word, rest)) = self.next_word()? else { return Ok(None) };
        *self = rest;
        Ok(Some(word))
    }

    /// A name that nothing may follow, so that its blanks need no quotes.
    pub(crate) fn name(&mut self) -> Result<Option<String>, String> {
        let is_quoted = self.0.trim_start().trim_start_matches('#').starts_with('"');
        if is_quoted { self.word() } else { Ok(self.remainder()) }
    }

    /// A room that is written as it is shown, with a `#`; its name.
    fn room(&mut self) -> Result<Option<String>, String> {
        let Some((word, rest)) = self.next_word()? else { return Ok(None) };
        let Some(room) = word.strip_prefix('#').filter(|room| !room.is_empty()) else { return Ok(None) };
        *self = rest;
        Ok(Some(room.to_owned()))
    }

    pub(crate) fn flag(&mut self, flag: &str) -> bool {
        match self.next_word() {
            Ok(Some((word, rest))) if word == flag => {
                *self = rest;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        let (word, rest) = self.next_word().ok().flatten()?;
        let number = word.parse().ok()?;
        *self = rest;
        Some(number)
    }

    pub(crate) fn remainder(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.0).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn commands_and_text() {
        for (line, command) in [
            ("hello /there", Command::Say("hello /there".to_owned())),
            ("//etc", Command::Say("/etc".to_owned())),
            ("/WHO", Command::Who { detailed: false }),
            ("/who -d", Command::Who { detailed: true }),
            ("/chat  bob ", Command::Chat("bob".to_owned())),
            ("/accept", Command::Accept(None)),
            ("/reject bob not now", Command::Reject { who: some("bob"), reason: some("not now") }),
            (
                "/msg bob a \"b\" <c>",
                Command::Message { to: "bob".to_owned(), text: "a \"b\" <c>".to_owned() },
            ),
            ("/msg #\"tea room\" hi", Command::Message { to: "#tea room".to_owned(), text: "hi".to_owned() }),
            (
                "/send bob ~/cat picture.jpg",
                Command::SendFile { to: "bob".to_owned(), path: "~/cat picture.jpg".to_owned() },
            ),
            ("/send bob \"a b\"", Command::SendFile { to: "bob".to_owned(), path: "a b".to_owned() }),
            ("/take", Command::Take { number: None, folder: None }),
            ("/take 2 /tmp/a b", Command::Take { number: Some(2), folder: some("/tmp/a b") }),
            ("/take downloads", Command::Take { number: None, folder: some("downloads") }),
            ("/stop 3", Command::Stop(Some(3))),
            ("/join #tea", Command::Join { room: "tea".to_owned(), with_password: false }),
            ("/join -p \"tea room\"", Command::Join { room: "tea room".to_owned(), with_password: true }),
            ("/join #tea room ", Command::Join { room: "tea room".to_owned(), with_password: false }),
            ("/switch #\"tea room\"", Command::Switch("#tea room".to_owned())),
            ("/members tea room", Command::Members(some("tea room"))),
            ("/block bob", Command::Block("bob".to_owned())),
            ("/unblock bob", Command::Unblock("bob".to_owned())),
            ("/blocked", Command::Blocked),
            ("/leave", Command::Leave(None)),
            ("/quit", Command::Quit),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
        let create = |room: &str, capacity, description: &str, with_password| {
            Ok(Command::Create {
                room: room.to_owned(),
                capacity,
                description: description.to_owned(),
                with_password,
            })
        };
        assert_eq!(parse("/create tea"), create("tea", DEFAULT_CAPACITY, "", false));
        assert_eq!(parse("/create -p tea 5 for two"), create("tea", 5, "for two", true));
        assert_eq!(parse("/create tea for two"), create("tea", DEFAULT_CAPACITY, "for two", false));
    }

    #[test]
    fn a_command_that_is_not_there_is_told_which_one_is() {
        for (line, advice) in [
            ("/jion tea", "there is no /jion; did you mean /join? /help lists what there is"),
            ("/Mesage bob hi", "there is no /mesage; did you mean /msg? /help lists what there is"),
            ("/exit", "there is no /exit; /quit leaves"),
            ("/etc/passwd", "there is no /etc/passwd; /help lists what there is"),
            ("/", "there is no /; /help lists what there is"),
            ("/serch x", "there is no /serch; /help lists what there is"),
        ] {
            assert_eq!(parse(line), Err(advice.to_owned()));
            // Asked about by its name, it is told the same.
            let name = line.split(' ').next().filter(|&name| name != "/");
            assert!(name.is_none_or(|name| desk::help(HELP, Some(name)).err().as_deref() == Some(advice)));
        }
        assert_eq!(desk::help(HELP, Some("WHO")).map(|lines| lines.len()), Ok(1));
        let search = [Help { name: "/search", usage: " TEXT", what: "" }];
        let advice = "there is no /serch; did you mean /search? /help lists what there is";
        assert_eq!(parse_beside(&search, "/serch x"), Err(advice.to_owned()));
    }

    #[test]
    fn what_an_owner_types() {
        let own = |room: Option<&str>, deed| Ok(Command::Own { room: room.and_then(some), deed });
        let (user, reason) = ("bob".to_owned(), some("no spam, please"));
        for (line, command) in [
            ("/kick bob", own(None, Deed::Kick { user: user.clone(), reason: None })),
            (
                "/kick #den bob no spam, please",
                own(Some("den"), Deed::Kick { user: user.clone(), reason: reason.clone() }),
            ),
            (
                "/BAN #\"tea room\" bob  no spam, please ",
                own(Some("tea room"), Deed::Ban { user: user.clone(), reason }),
            ),
            ("/unban bob", own(None, Deed::Unban { user: user.clone() })),
            ("/bans", Ok(Command::Bans(None))),
            ("/bans #tea room", Ok(Command::Bans(some("tea room")))),
            ("/set password", Ok(Command::SetPassword(None))),
            ("/set #den password", Ok(Command::SetPassword(some("den")))),
            ("/set capacity 20", own(None, Deed::Capacity(20))),
            (
                "/set #den description bears, and bees",
                own(Some("den"), Deed::Description("bears, and bees".to_owned())),
            ),
            ("/set topic", own(None, Deed::Description(String::new()))),
            ("/set owner bob", own(None, Deed::Owner(user))),
        ] {
            assert_eq!(parse(line), command, "{line}");
        }
        for line in [
            "/kick",
            "/kick #den",
            "/ban",
            "/unban bob now",
            "/set",
            "/set #den",
            "/set colour red",
            "/set capacity many",
            "/set capacity 20 30",
            "/set owner",
            "/set password secret",
        ] {
            assert!(parse(line).unwrap_err().starts_with("usage: /"), "{line}");
        }
        assert!(parse("/topic bears").unwrap_err().contains("/set description"));
    }

    #[test]
    fn wrong_usage_is_explained() {
        for line in [
            "/chat",
            "/chat a b",
            "/who -x",
            "/msg bob",
            "/join",
            "/quit now",
            "/search",
            "/block",
            "/blocked bob",
        ] {
            assert!(parse(line).unwrap_err().starts_with("usage: /"), "{line}");
        }
        assert!(parse("/nonsense").unwrap_err().contains("/help"));
        assert!(parse("/part #den").unwrap_err().contains("/leave"));
        assert!(parse("/chat \"bob").unwrap_err().contains("quote"));
        assert!(!parse("/\u{1b}[2J").unwrap_err().contains('\u{1b}'));
    }

    #[test]
    fn every_command_has_its_line_of_help() {
        for help in HELP {
            let with_arguments = format!("{} bob hi", help.name);
            assert!(
                parse(help.name).is_ok()
                    || parse(&with_arguments).is_ok()
                    || parse(&format!("{} bob", help.name)).is_ok()
                    || parse(&format!("{} owner bob", help.name)).is_ok()
            );
        }
    }
}

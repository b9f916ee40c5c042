//! What may happen to a peer whose user is alice.

use proptest::{prelude::*, sample::select, strategy::Union};

use crate::model::Model;

/// Bob's program has the capability `sender`, carol's hasn't.
const PEERS: &[&str] = &["bob", "carol"];
const NAMES: &[&str] = &["bob", "carol", "alice"];
const ROOMS: &[&str] = &["attic", "den"];
const TEXTS: &[&str] = &["hi", "yo"];

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Command(Command),
    /// The registry's stream is open.
    LinkUp,
    LinkLost,
    /// The registry welcomes us, or turns us away.
    Hello {
        welcome: bool,
    },
    /// The registry answers the oldest request that it hasn't.
    Answer(Answer),
    Push(Push),
    /// The registry confirms a keep-alive.
    Confirmed,
    StreamUp {
        stream: usize,
    },
    StreamLost {
        stream: usize,
    },
    /// Somebody dials us: from where bob is, from where carol is, or from elsewhere.
    Dialled {
        host: u8,
    },
    Said {
        stream: usize,
        what: Said,
    },
    Wait {
        millis: u64,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Connect,
    Login,
    Logout,
    Join(&'static str),
    Leave(&'static str),
    Members(&'static str),
    Kick(&'static str, &'static str),
    Bans(&'static str),
    Chat(&'static str),
    HangUp(&'static str),
    Send(&'static str, &'static str),
    Broadcast(&'static str, &'static str),
    Accept(usize),
    Reject(usize),
    /// A message has been shown. It is the one command that has no end.
    Confirm(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With those members, if that was the question.
    Yes(Vec<&'static str>),
    No,
    /// Of a login: the user is online; of a search: he is not.
    Online,
    /// Something that can't be an answer.
    Nonsense,
}

#[derive(Debug, Clone)]
pub(crate) enum Push {
    Joined(&'static str, &'static str),
    Left(&'static str, &'static str),
    Offline(&'static str),
    PutOut {
        room: &'static str,
        user: &'static str,
        banned: bool,
    },
    Changed(&'static str),
    /// What keep-alives are to prove.
    Ticket(u8),
    RetryAfter(u32),
    Timeout,
    Replaced,
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    Asks { recipient: &'static str, sender: Option<&'static str> },
    Answers { accept: bool, username: &'static str },
    Text { sender: &'static str, recipient: &'static str, text: &'static str },
    Broadcast { sender: &'static str, room: Option<&'static str>, text: &'static str },
    Notifies { broadcast: bool, delivered: bool, sender: &'static str, text: &'static str },
    Nonsense,
}

impl Said {
    /// The line, if it is one.
    pub(crate) fn line(&self) -> Option<String> {
        let field = |value: &Option<&str>| value.map(|value| format!(" <{value}>")).unwrap_or_default();
        Some(match self {
            Self::Asks { recipient, sender } => format!("CHAT_REQUEST <{recipient}>{}", field(sender)),
            Self::Answers { accept, username } => {
                let phrase = if *accept { "<ACCEPT> <200>" } else { "<REJECT> <404>" };
                format!("CHAT_REQUEST_RESPONSE {phrase} <{username}>")
            }
            Self::Text { sender, recipient, text } => {
                format!("DIRECT_MESSAGE <{sender}> <{recipient}> {text}")
            }
            Self::Broadcast { sender, room, text } => {
                format!("DIRECT_BROADCAST <{sender}>{} {text}", field(room))
            }
            Self::Notifies { broadcast, delivered, sender, text } => {
                let verb = if *broadcast { "DIRECT_BROADCAST" } else { "DIRECT_UNICAST" };
                let phrase = if *delivered { "<SUCCESS> <200>" } else { "<FAILURE> <404>" };
                format!("{verb}_NOTIFICATION {phrase} <{sender}> <{text}>")
            }
            Self::Nonsense => return None,
        })
    }
}

/// What may happen next: anything may, but what leads somewhere more often.
pub(crate) fn steps(state: &Model) -> BoxedStrategy<Step> {
    let more = |likely: bool, weight: u32| if likely { weight } else { 1 };
    let wait = prop_oneof![8 => 0..3_000_u64, 2 => 0..30_000_u64, 1 => 0..200_000_u64];
    let hello = prop::bool::weighted(0.9).prop_map(|welcome| Step::Hello { welcome });
    let mut steps = vec![
        (30, command(state)),
        (6, wait.prop_map(|millis| Step::Wait { millis }).boxed()),
        (2, Just(Step::Confirmed).boxed()),
        (2, (2..5_u8).prop_map(|host| Step::Dialled { host }).boxed()),
        (more(state.is_connected(), 8), push().prop_map(Step::Push).boxed()),
        (more(state.is_connecting(), 30), Just(Step::LinkUp).boxed()),
        (more(state.is_greeting(), 30), hello.boxed()),
        (more(state.is_leaving(), 30), Just(Step::LinkLost).boxed()),
        (more(state.is_asking(), 40), answer().prop_map(Step::Answer).boxed()),
    ];
    if state.is_coming_back() {
        // Perhaps there is too much to do.
        steps.push((10, retry_after().prop_map(Step::Push).boxed()));
        steps.push((10, Just(Step::Hello { welcome: false }).boxed()));
        steps.push((5, Just(Step::LinkLost).boxed()));
    }
    for (stream, host, is_connected) in state.streams() {
        steps.push((1, Just(Step::StreamLost { stream }).boxed()));
        if is_connected {
            steps.push((12, said(host).prop_map(move |what| Step::Said { stream, what }).boxed()));
        } else {
            steps.push((20, Just(Step::StreamUp { stream }).boxed()));
        }
    }
    Union::new_weighted(steps).boxed()
}

fn command(state: &Model) -> BoxedStrategy<Step> {
    let (peer, room, text) = (select(PEERS), select(ROOMS), select(TEXTS));
    let away = if state.has_session() { 1 } else { 60 };
    let command = prop_oneof![
        1 => Just(Command::Connect),
        away => Just(Command::Login),
        1 => Just(Command::Logout),
        6 => room.clone().prop_map(Command::Join),
        2 => room.clone().prop_map(Command::Leave),
        2 => room.clone().prop_map(Command::Members),
        1 => (room.clone(), peer.clone()).prop_map(|(room, user)| Command::Kick(room, user)),
        1 => room.clone().prop_map(Command::Bans),
        10 => peer.clone().prop_map(Command::Chat),
        1 => Just(Command::Chat("alice")),
        2 => peer.clone().prop_map(Command::HangUp),
        10 => (peer, text.clone()).prop_map(|(to, text)| Command::Send(to, text)),
        8 => (room, text).prop_map(|(room, text)| Command::Broadcast(room, text)),
        6 => (0..4_usize).prop_map(Command::Accept),
        2 => (0..4_usize).prop_map(Command::Reject),
        10 => (0..4_usize).prop_map(Command::Confirm),
    ];
    command.prop_map(Step::Command).boxed()
}

fn answer() -> impl Strategy<Value = Answer> {
    let members = prop_oneof![
        Just(vec!["alice"]),
        Just(vec!["alice", "bob"]),
        Just(vec!["alice", "carol"]),
        Just(vec!["alice", "bob", "carol"]),
    ];
    prop_oneof![60 => members.prop_map(Answer::Yes), 4 => Just(Answer::No), 3 => Just(Answer::Online), 1 => Just(Answer::Nonsense)]
}

fn push() -> impl Strategy<Value = Push> {
    let (room, name) = (select(ROOMS), select(NAMES));
    prop_oneof![
        8 => (room.clone(), name.clone()).prop_map(|(room, name)| Push::Joined(room, name)),
        4 => (room.clone(), name.clone()).prop_map(|(room, name)| Push::Left(room, name)),
        4 => (room.clone(), name.clone(), any::<bool>())
            .prop_map(|(room, user, banned)| Push::PutOut { room, user, banned }),
        1 => room.prop_map(Push::Changed),
        4 => name.prop_map(Push::Offline),
        3 => (1..4_u8).prop_map(Push::Ticket),
        3 => retry_after(),
        1 => Just(Push::Timeout),
        1 => Just(Push::Replaced),
    ]
}

fn retry_after() -> impl Strategy<Value = Push> {
    select(&[0, 7, 60, u32::MAX][..]).prop_map(Push::RetryAfter)
}

/// What is said from a host: nearly always by who is there.
fn said(host: u8) -> impl Strategy<Value = Said> {
    let resident = if host == 3 { "carol" } else { "bob" };
    let (name, text) = (prop_oneof![9 => Just(resident), 1 => select(NAMES)], select(TEXTS));
    let alice = prop_oneof![9 => Just("alice"), 1 => Just("dave")];
    let maybe = prop::option::of(name.clone());
    prop_oneof![
        6 => (alice.clone(), maybe).prop_map(|(recipient, sender)| Said::Asks { recipient, sender }),
        12 => (prop::bool::weighted(0.8), name.clone())
            .prop_map(|(accept, username)| Said::Answers { accept, username }),
        8 => (name.clone(), alice.clone(), text.clone())
            .prop_map(|(sender, recipient, text)| Said::Text { sender, recipient, text }),
        8 => (name, prop::option::of(select(ROOMS)), text.clone())
            .prop_map(|(sender, room, text)| Said::Broadcast { sender, room, text }),
        12 => (any::<bool>(), prop::bool::weighted(0.8), alice, text).prop_map(
            |(broadcast, delivered, sender, text)| Said::Notifies { broadcast, delivered, sender, text }
        ),
        1 => Just(Said::Nonsense),
    ]
}

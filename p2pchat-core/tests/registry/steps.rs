//! What may happen to the registry.

use std::net::SocketAddr;

use proptest::{prelude::*, sample::select, strategy::Union};

use crate::{
    model::Model,
    world::{code, digest, token},
};

/// Streams that may be open at once.
pub(crate) const SLOTS: usize = 5;
/// The last one of each only looks like the first.
const USERS: &[&str] = &["alice", "Alice", "bob", "BOB", "carol", "аlice"];
const ALL: Option<&str> = Some("reason,roster,sender,resume,moderate,invite,contact");
const TICKET: Option<&str> = Some("reason,roster,sender,resume,moderate,invite,contact,ticket,retry");
const ROOMS: &[&str] = &["den", "Den", "attic", "hall", "dеn"];
/// The last one is the first in IPv6's clothes.
const ADDRESSES: &[&str] = &["192.0.2.1", "192.0.2.2", "2001:db8::7", "::ffff:192.0.2.1"];

/// Something that happens to the registry.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Connect {
        slot: usize,
        ip: &'static str,
        prototype: bool,
    },
    Disconnect {
        slot: usize,
    },
    /// If `late`, what the registry asks store and hash about it is answered by a later [`Step::Answer`].
    Say {
        slot: usize,
        request: Request,
        late: bool,
    },
    Answer {
        nth: usize,
    },
    KeepAlive {
        user: &'static str,
        from: SocketAddr,
        timeout: Option<u64>,
    },
    /// A keep-alive that proves a ticket: which, and as the which.
    Proven {
        user: &'static str,
        from: SocketAddr,
        timeout: u32,
        ticket: (u64, u64),
    },
    Wait {
        millis: u64,
    },
    /// The operator makes an invitation, for so many seconds or for ever.
    Invite {
        uses: u32,
        lasts: Option<u64>,
    },
    /// The operator takes one back.
    Revoke {
        number: u64,
    },
    Restart,
}

/// A name is spelled one way or another, and a password is right or wrong.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Hello {
        capabilities: Option<&'static str>,
    },
    Register {
        user: &'static str,
        password: &'static str,
        /// With the code of that invitation.
        invite: Option<u64>,
    },
    Login {
        user: &'static str,
        password: &'static str,
        port: Option<u16>,
    },
    /// With the `token`th of all tokens that there have been.
    Resume {
        user: &'static str,
        token: u64,
        port: Option<u16>,
    },
    Create {
        room: &'static str,
        password: Option<&'static str>,
        capacity: usize,
    },
    Join {
        room: &'static str,
        password: Option<&'static str>,
    },
    Exit {
        user: &'static str,
        room: &'static str,
    },
    Rooms {
        detailed: bool,
    },
    Search {
        user: &'static str,
    },
    Peers {
        detailed: bool,
        asker: Option<&'static str>,
    },
    Members {
        room: &'static str,
    },
    Logout {
        user: Option<&'static str>,
    },
    Moderate {
        room: &'static str,
        act: Act,
    },
    Bans {
        room: &'static str,
    },
    Contact {
        user: &'static str,
    },
    ContactAnswer {
        user: &'static str,
        accepted: bool,
    },
    /// A join with a field too few.
    Malformed,
    /// No request at all.
    Foreign,
}

/// What a room's owner may want.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Kick { user: &'static str, reason: Option<&'static str> },
    Ban { user: &'static str, reason: Option<&'static str> },
    Unban { user: &'static str },
    Password { password: Option<&'static str> },
    Capacity { capacity: usize },
    Description { about: &'static str },
    Owner { user: &'static str },
}

impl Request {
    pub(crate) fn line(&self) -> String {
        let secret = |password: &Option<&str>| password.map(digest).unwrap_or_default();
        let kind = |detailed: &bool| if *detailed { "DETAILED" } else { "PARTIAL" };
        let field = |value: Option<String>| value.map(|value| format!(" <{value}>")).unwrap_or_default();
        match self {
            Self::Hello { capabilities: None } => "HELLO_P2P".to_owned(),
            Self::Hello { capabilities: Some(words) } => format!("HELLO_P2P <1> <{words}>"),
            Self::Register { user, password, invite } => {
                let code = field(invite.map(|number| code(number).expose().to_owned()));
                format!("REGISTER <{user}> <{}>{code}", digest(password))
            }
            Self::Login { user, password, port } => {
                let port = field(port.map(|port| port.to_string()));
                format!("LOGIN <{user}> <{}>{port}", digest(password))
            }
            Self::Resume { user, token: number, port } => {
                let port = field(port.map(|port| port.to_string()));
                format!("RESUME <{user}> <{}>{port}", token(*number).expose())
            }
            Self::Create { room, password, capacity } => {
                format!("CREATE_CHAT_ROOM <{room}> <{}> <{capacity}> <about>", secret(password))
            }
            Self::Join { room, password } => {
                format!("JOIN_CHAT_ROOM <{room}> <{}> <increment>", secret(password))
            }
            Self::Exit { user, room } => format!("ROOM_EXIT <{user}> <{room}>"),
            Self::Rooms { detailed } => format!("SHOW_ROOMS_LIST <{}>", kind(detailed)),
            Self::Search { user } => format!("SEARCH_USER <{user}>"),
            Self::Peers { detailed, asker } => {
                format!("DISCOVER_PEERS <{}>{}", kind(detailed), field(asker.map(str::to_owned)))
            }
            Self::Members { room } => format!("DISCOVER_PEERS <{room}>"),
            Self::Logout { user } => format!("LOGOUT{}", field(user.map(str::to_owned))),
            Self::Moderate { room, act } => match act {
                Act::Kick { user, reason } => {
                    format!("ROOM_KICK <{room}> <{user}>{}", field(reason.map(str::to_owned)))
                }
                Act::Ban { user, reason } => {
                    format!("ROOM_BAN <{room}> <{user}>{}", field(reason.map(str::to_owned)))
                }
                Act::Unban { user } => format!("ROOM_UNBAN <{room}> <{user}>"),
                Act::Password { password } => format!("ROOM_SET <{room}> <PASSWORD> <{}>", secret(password)),
                Act::Capacity { capacity } => format!("ROOM_SET <{room}> <CAPACITY> <{capacity}>"),
                Act::Description { about } => format!("ROOM_SET <{room}> <DESCRIPTION> <{about}>"),
                Act::Owner { user } => format!("ROOM_SET <{room}> <OWNER> <{user}>"),
            },
            Self::Bans { room } => format!("ROOM_BANS <{room}>"),
            Self::Contact { user } => format!("CONTACT_REQUEST <{user}>"),
            Self::ContactAnswer { user, accepted: true } => {
                format!("CONTACT_RESPONSE <ACCEPT> <200> <{user}>")
            }
            Self::ContactAnswer { user, accepted: false } => {
                format!("CONTACT_RESPONSE <REJECT> <404> <{user}>")
            }
            Self::Malformed => "JOIN_CHAT_ROOM <den>".to_owned(),
            Self::Foreign => "GET / HTTP/1.1".to_owned(),
        }
    }
}

/// What may happen next: anything may, but what leads somewhere more often.
pub(crate) fn steps(state: &Model) -> BoxedStrategy<Step> {
    let wait = prop_oneof![12 => 0..4_000_u64, 1 => 0..60_000_u64];
    let mut steps = vec![
        (8, keep_alive(select(USERS), select(ADDRESSES)).boxed()),
        (12, wait.prop_map(|millis| Step::Wait { millis }).boxed()),
        (1, Just(Step::Restart).boxed()),
    ];
    if state.rules.by_invitation {
        let lasts = prop::option::weighted(0.4, prop_oneof![0..2_u64, 0..20_u64]);
        let invite = (1..3_u32, lasts).prop_map(|(uses, lasts)| Step::Invite { uses, lasts });
        steps.push((15, invite.boxed()));
        steps.push((2, codes(state).prop_map(|number| Step::Revoke { number }).boxed()));
    }
    if !state.unanswered.is_empty() {
        let nth = 0..state.unanswered.len();
        steps.push((30, nth.prop_map(|nth| Step::Answer { nth }).boxed()));
    }
    for slot in 0..SLOTS {
        let Some(stream) = state.streams.get(&slot) else {
            let connect = (Just(slot), select(ADDRESSES), prop::bool::weighted(0.15)).prop_map(connect);
            steps.push((30, connect.boxed()));
            continue;
        };
        let request = match (stream.greeted, &stream.session) {
            (false, _) => prop_oneof![12 => hello(), 1 => request(state)].boxed(),
            (_, None) if state.names().next().is_none() => register(state).boxed(),
            (_, None) => {
                let names = select(state.names().collect::<Vec<_>>());
                let tokens: Vec<_> = state
                    .names()
                    .flat_map(|name| state.tokens_of(name).into_iter().map(move |token| (name, token)))
                    .collect();
                prop_oneof![
                    3 => register(state),
                    8 => login(names),
                    8 => select(tokens).prop_map(resume),
                    1 => hello(),
                    1 => request(state)
                ]
                .boxed()
            }
            (_, Some(session)) => {
                let keep_alive = keep_alive(Just(state.name(&session.user)), Just(stream.ip));
                steps.push((12, keep_alive.boxed()));
                if let Some(ticket) = state.ticket_of(slot) {
                    let user = state.name(&session.user);
                    steps.push((24, proven(user, stream.ip, ticket).boxed()));
                }
                request(state).boxed()
            }
        };
        let askable = state.askable_by(slot);
        if !askable.is_empty() {
            let ask = select(askable).prop_map(|user| Request::Contact { user });
            steps.push((20, ask.prop_map(move |request| Step::Say { slot, request, late: false }).boxed()));
        }
        let asked = state.asked_by(slot);
        if !asked.is_empty() {
            let answer = (select(asked), prop::bool::weighted(0.8));
            let answer = answer.prop_map(|(user, accepted)| Request::ContactAnswer { user, accepted });
            steps
                .push((15, answer.prop_map(move |request| Step::Say { slot, request, late: false }).boxed()));
        }
        if let Some(owned) = state.owned_by(slot) {
            let own = (select(owned), act()).prop_map(|(room, act)| Request::Moderate { room, act });
            let own = (own, prop::bool::weighted(0.15));
            let own = own.prop_map(move |(request, late)| Step::Say { slot, request, late });
            steps.push((30, own.boxed()));
        }
        let say = (request, prop::bool::weighted(0.15));
        steps.push((50, say.prop_map(move |(request, late)| Step::Say { slot, request, late }).boxed()));
        steps.push((4, Just(Step::Disconnect { slot }).boxed()));
    }
    Union::new_weighted(steps).boxed()
}

fn connect((slot, ip, prototype): (usize, &'static str, bool)) -> Step {
    Step::Connect { slot, ip, prototype }
}

fn keep_alive(
    user: impl Strategy<Value = &'static str>,
    ip: impl Strategy<Value = &'static str>,
) -> impl Strategy<Value = Step> {
    let timeout = select(&[None, Some(10), Some(1), Some(30), Some(4_000_000_000)][..]);
    (user, ip, 700..702_u16, timeout).prop_map(|(user, ip, port, timeout)| Step::KeepAlive {
        user,
        from: SocketAddr::new(ip.parse().unwrap(), port),
        timeout,
    })
}

/// Nearly always with the ticket that is good, as the next one, and from where the user is.
fn proven(user: &'static str, ip: &'static str, (ticket, last): (u64, u64)) -> impl Strategy<Value = Step> {
    let ticket = prop_oneof![8 => Just(ticket), 1 => 1..ticket + 2];
    let number = prop_oneof![8 => Just(last + 1), 2 => 1..last + 4];
    let ip = prop_oneof![6 => Just(ip), 1 => select(ADDRESSES)];
    let timeout = select(&[10, 1, 30, 4_000_000_000][..]);
    (ip, 700..702_u16, timeout, ticket, number).prop_map(move |(ip, port, timeout, ticket, number)| {
        let from = SocketAddr::new(ip.parse().unwrap(), port);
        Step::Proven { user, from, timeout, ticket: (ticket, number) }
    })
}

/// Nearly always the right one, of which everybody has the same.
fn password() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![9 => Just("right"), 1 => Just("wrong")]
}

fn hello() -> impl Strategy<Value = Request> {
    let words = [
        None,
        ALL,
        ALL,
        ALL,
        TICKET,
        TICKET,
        Some("ticket,reason"),
        Some("reason,roster,sender,moderate"),
        Some("moderate,reason,invite"),
        Some("contact"),
        Some("sender,unheard-of"),
        Some("roster"),
        Some(""),
    ];
    select(words.to_vec()).prop_map(|capabilities| Request::Hello { capabilities })
}

/// With a code where one is wanted, and now and then where none is.
fn register(state: &Model) -> impl Strategy<Value = Request> + use<> {
    let invite = prop::option::weighted(if state.rules.by_invitation { 0.9 } else { 0.1 }, codes(state));
    let register = (select(USERS), password(), invite);
    register.prop_map(|(user, password, invite)| Request::Register { user, password, invite })
}

/// Of all invitations that there have been the newest more often, and one that there has not been.
fn codes(state: &Model) -> impl Strategy<Value = u64> + Clone + use<> {
    let made = state.invites_made;
    prop_oneof![3 => Just(made.max(1)), 2 => 1..made + 2]
}

fn login(user: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Request> {
    let port = select(&[Some(4_000), Some(1_024), None][..]);
    (user, password(), port).prop_map(|(user, password, port)| Request::Login { user, password, port })
}

fn act() -> impl Strategy<Value = Act> {
    let reason = || select(&[None, Some("why"), Some("")][..]);
    let user = || select(USERS);
    prop_oneof![
        4 => (user(), reason()).prop_map(|(user, reason)| Act::Kick { user, reason }),
        6 => (user(), reason()).prop_map(|(user, reason)| Act::Ban { user, reason }),
        3 => user().prop_map(|user| Act::Unban { user }),
        2 => prop::option::weighted(0.5, password()).prop_map(|password| Act::Password { password }),
        3 => (1..4_usize).prop_map(|capacity| Act::Capacity { capacity }),
        1 => select(&["about", "else"][..]).prop_map(|about| Act::Description { about }),
        2 => user().prop_map(|user| Act::Owner { user }),
    ]
}

fn resume((user, token): (&'static str, u64)) -> Request {
    Request::Resume { user, token, port: Some(4_001) }
}

fn request(state: &Model) -> impl Strategy<Value = Request> + use<> {
    let contact = if state.rules.hidden { 20 } else { 1 };
    let (user, room) = (select(USERS), select(ROOMS));
    let secret = prop::option::weighted(0.3, password());
    let maybe = || prop::option::weighted(0.5, select(USERS));
    prop_oneof![
        2 => hello(),
        2 => register(state),
        2 => login(select(USERS)),
        1 => (select(USERS), 1..9_u64).prop_map(resume),
        16 => (room.clone(), secret.clone(), 1..4_usize)
            .prop_map(|(room, password, capacity)| Request::Create { room, password, capacity }),
        24 => (room.clone(), secret).prop_map(|(room, password)| Request::Join { room, password }),
        20 => (user.clone(), room.clone()).prop_map(|(user, room)| Request::Exit { user, room }),
        6 => any::<bool>().prop_map(|detailed| Request::Rooms { detailed }),
        10 => user.clone().prop_map(|user| Request::Search { user }),
        contact => user.clone().prop_map(|user| Request::Contact { user }),
        contact / 4 + 1 => (user, any::<bool>())
            .prop_map(|(user, accepted)| Request::ContactAnswer { user, accepted }),
        10 => (any::<bool>(), maybe()).prop_map(|(detailed, asker)| Request::Peers { detailed, asker }),
        10 => room.clone().prop_map(|room| Request::Members { room }),
        20 => (room.clone(), act()).prop_map(|(room, act)| Request::Moderate { room, act }),
        4 => room.prop_map(|room| Request::Bans { room }),
        3 => maybe().prop_map(|user| Request::Logout { user }),
        2 => Just(Request::Malformed),
        1 => Just(Request::Foreign),
    ]
}

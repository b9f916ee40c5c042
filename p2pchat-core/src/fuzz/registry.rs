//! The registry machine, fed typed operations.

use std::{net::SocketAddr, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use p2pchat_proto::{Dialect, FrameError, Malformed, ToRegistryDatagram};

use super::backend::{Answer, Backend, Request, beginning, beginning_answers, config, user};
use crate::{
    Time,
    registry::{BanTarget, ConnId, Effect, Registry},
};

/// What the world may do to a registry.
#[derive(Debug, Arbitrary)]
enum Step {
    Connect,
    Prototype(u8),
    Say(u8, Request),
    Oversized(u8),
    Disconnect(u8),
    KeepAlive(u8, u8, Option<u32>),
    Answer(Answer),
    Wait(u16),
    Operator(Command),
}

/// What the operator may do.
#[derive(Debug, Arbitrary)]
enum Command {
    Kick(u8),
    Delete(u8),
    BanUser(u8, Option<u16>),
    BanAddress(u16),
    Unban(u8),
    Drain(u8),
}

#[derive(Default)]
struct World {
    backend: Backend,
    conns: Vec<Stream>,
}

struct Stream {
    id: ConnId,
    closed: bool,
}

/// Feeds a registry machine a sequence of operations and checks what must hold after each.
pub fn registry(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut registry = Registry::new(config(data), 7);
    let mut world = World::default();
    let mut now = Time::ZERO;
    world.begin(&mut registry, data);
    // What has no bytes left makes values without end.
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        world.step(&mut registry, &mut now, step);
        world.drain(&mut registry);
        world.backend.check(&registry);
    }
}

impl World {
    fn conn(&self, n: u8) -> Option<ConnId> {
        let index = usize::from(n).checked_rem(self.conns.len())?;
        self.conns.get(index).map(|stream| stream.id)
    }

    fn begin(&mut self, registry: &mut Registry, data: &[u8]) {
        let mut now = Time::ZERO;
        for (conn, request) in beginning(data) {
            if usize::from(conn) == self.conns.len() {
                self.step(registry, &mut now, Step::Connect);
            }
            self.step(registry, &mut now, Step::Say(conn, request));
            for answer in beginning_answers() {
                self.drain(registry);
                self.step(registry, &mut now, Step::Answer(answer));
            }
            self.drain(registry);
        }
        assert_eq!(registry.stats().sessions, self.conns.len(), "who begins is online");
    }

    fn step(&mut self, registry: &mut Registry, now: &mut Time, step: Step) {
        let at = *now;
        match step {
            Step::Connect => {
                let remote = SocketAddr::from(([192, 0, 2, 1], 40_000));
                if let Ok(id) = registry.handle_connected(at, remote) {
                    self.conns.push(Stream { id, closed: false });
                }
            }
            Step::Prototype(c) => {
                if let Some(conn) = self.conn(c) {
                    registry.handle_dialect(conn, Dialect::Prototype);
                }
            }
            Step::Say(c, request) => {
                if let Some((conn, message)) = self.conn(c).zip(request.message()) {
                    registry.handle_message(at, conn, message);
                }
            }
            Step::Oversized(c) => {
                if let Some(conn) = self.conn(c) {
                    let malformed = Malformed::Frame(FrameError::TooLong { limit: 1 });
                    registry.handle_malformed(at, conn, malformed);
                }
            }
            Step::Disconnect(c) => {
                if let Some(conn) = self.conn(c) {
                    registry.handle_disconnected(at, conn);
                }
            }
            Step::KeepAlive(u, ip, timeout) => {
                let from = SocketAddr::from(([192, 0, 2, ip % 2 + 1], 40_000));
                if let Some(username) = user(u) {
                    registry.handle_datagram(at, from, ToRegistryDatagram::KeepAlive { username, timeout });
                }
            }
            Step::Answer(answer) => self.backend.answer(registry, at, &answer),
            Step::Operator(Command::Delete(u)) => {
                if let Some(username) = user(u) {
                    self.backend.delete(registry, username.clone());
                    if self.backend.is_deleted(&username) {
                        assert_eq!(registry.session_of(at, &username), None);
                    }
                }
            }
            Step::Operator(command) => operate(registry, at, &command),
            Step::Wait(millis) => {
                *now = at + Duration::from_millis(millis.into());
                registry.handle_timeout(*now);
                assert!(registry.poll_timeout().is_none_or(|due| due > *now), "what was due is done");
            }
        }
    }

    fn drain(&mut self, registry: &mut Registry) {
        while let Some(effect) = registry.poll_effect() {
            match self.backend.ask(effect) {
                Some(Effect::Send { conn, .. } | Effect::SendPeers { conn, .. }) => {
                    let open = self.conns.iter().any(|stream| stream.id == conn && !stream.closed);
                    assert!(open, "nothing is sent to a stream that is closed");
                }
                Some(Effect::Close { conn }) => {
                    for stream in self.conns.iter_mut().filter(|stream| stream.id == conn) {
                        assert!(!stream.closed, "a stream is closed once");
                        stream.closed = true;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Does it, and checks that it is done.
fn operate(registry: &mut Registry, at: Time, command: &Command) {
    let later = |millis: u16| at + Duration::from_millis(millis.into());
    match command {
        Command::Kick(u) => {
            if let Some(username) = user(*u) {
                let was_online = registry.session_of(at, &username).is_some();
                let kicked = registry.kick(&username, "go to bed");
                assert!(kicked || !was_online, "who is about to be online is kicked too");
                assert_eq!(registry.session_of(at, &username), None);
            }
        }
        Command::BanUser(u, lasts) => {
            if let Some(username) = user(*u) {
                let until = lasts.map(later);
                let was_banned = registry.is_banned(at, &username);
                registry.ban(at, BanTarget::User(username.clone()), None, until);
                let holds = until.is_none_or(|until| until > at);
                assert_eq!(registry.is_banned(at, &username), holds || was_banned);
                assert!(!holds || registry.session_of(at, &username).is_none(), "who is banned is offline");
            }
        }
        Command::BanAddress(lasts) => {
            // Where everybody comes from, so not for ever.
            if let Ok(subnet) = "192.0.2.0/24".parse() {
                registry.ban(at, BanTarget::Subnet(subnet), None, Some(later(*lasts)));
                assert!(
                    *lasts == 0
                        || registry.stats().connections + registry.stats().waiting + registry.stats().parked
                            == 0
                );
            }
        }
        Command::Unban(u) => {
            if let Some(username) = user(*u) {
                let was_banned = registry.is_banned(at, &username);
                assert_eq!(registry.unban(at, &BanTarget::User(username.clone())), was_banned);
                assert!(!registry.is_banned(at, &username));
            }
        }
        // Seldom, since it is the end.
        Command::Drain(0) => {
            registry.drain();
            let stats = registry.stats();
            assert_eq!(stats.connections + stats.waiting + stats.parked, stats.sessions);
        }
        // That is the store's before it is the machine's.
        Command::Drain(_) | Command::Delete(_) => {}
    }
}

//! What people do, how often, and what has to come of it.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::RequestError,
    tokio::{Error, Peer},
};
use tokio::time::sleep;

use crate::{
    line::Line,
    person::{PASSWORD, Person, Presence, Standing, connect},
    post::Post,
    world::{World, room_name, until},
};

/// How long a text may take to be taken, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who has stood as they are for so long is known to all.
const STEADY: Duration = Duration::from_secs(5);

type Outcome = Result<(), String>;

/// Something that one person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    LookUp,
    LookForNobody,
    ListRooms,
    NameRooms,
    ListMembers,
    NamePeers,
    ListPeers,
    ChangeRooms,
    OpenAttic,
    Chat,
    Broadcast,
    GoAway,
    LoseTheStream,
    FallSilent,
    Crash,
    RegisterAnew,
    MistakePassword,
    TalkNonsense,
}

/// Each with its share in a thousand.
const MIX: [(Act, u32, &str); 18] = [
    (Act::LookUp, 520, "look-up"),
    (Act::LookForNobody, 20, "look-up of nobody"),
    (Act::ListRooms, 60, "list of rooms"),
    (Act::NameRooms, 40, "names of rooms"),
    (Act::ListMembers, 60, "members of a room"),
    (Act::NamePeers, 8, "names of everyone"),
    (Act::ListPeers, 4, "list of everyone"),
    (Act::ChangeRooms, 100, "join or leave"),
    (Act::OpenAttic, 15, "room opened and left"),
    (Act::Chat, 90, "chat"),
    (Act::Broadcast, 10, "broadcast"),
    (Act::GoAway, 20, "logout and login"),
    (Act::LoseTheStream, 8, "stream cut"),
    (Act::FallSilent, 5, "silent past the lease"),
    (Act::Crash, 7, "killed and started again"),
    (Act::RegisterAnew, 3, "new account"),
    (Act::MistakePassword, 10, "wrong password"),
    (Act::TalkNonsense, 20, "nonsense"),
];

impl Act {
    pub(crate) fn any(rng: &mut fastrand::Rng) -> Self {
        let mut throw = rng.u32(..MIX.iter().map(|(_, share, _)| share).sum::<u32>());
        let hit = MIX.iter().find(|(_, share, _)| {
            let is_hit = throw < *share;
            throw = throw.saturating_sub(*share);
            is_hit
        });
        hit.map_or(Self::LookUp, |(act, ..)| *act)
    }

    pub(crate) fn name(self) -> &'static str {
        MIX.iter().find(|(act, ..)| *act == self).map_or("", |(.., name)| name)
    }

    /// Does it, while the person's errand is held.
    pub(crate) async fn run(
        self,
        world: &std::sync::Arc<World>,
        me: &std::sync::Arc<Person>,
        rng: &mut fastrand::Rng,
    ) -> Outcome {
        match self {
            Self::LookUp => look_up(world, me, rng).await,
            Self::LookForNobody => look_for_nobody(world, me).await,
            Self::ListRooms => list_rooms(world, me).await,
            Self::NameRooms => name_rooms(world, me).await,
            Self::ListMembers => list_members(world, me).await,
            Self::NamePeers => name_peers(world, me, rng).await,
            Self::ListPeers => list_peers(world, me, rng).await,
            Self::ChangeRooms => change_rooms(world, me, rng).await,
            Self::OpenAttic => open_attic(world, me).await,
            Self::Chat => chat(world, me, rng).await,
            Self::Broadcast => broadcast(world, me, rng).await,
            Self::GoAway => {
                me.set(Presence::Changing);
                me.peer()?.logout().await.map_err(told("logging out"))?;
                stay_away(world, me, rng).await?;
                me.log_in(world).await
            }
            Self::LoseTheStream => me.lose_the_stream().await,
            Self::FallSilent => {
                let name = me.name();
                // The default lease is 10 s, renewed up to 2.5 s before the silence began.
                me.fall_silent(world.until_gone(&name, Duration::from_secs(20), rng)).await
            }
            Self::Crash => {
                me.crash()?;
                stay_away(world, me, rng).await?;
                me.connect(world).await?;
                me.log_in(world).await
            }
            Self::RegisterAnew => {
                if me.index < world.rooms {
                    // Whoever owns a room keeps it, and so their name.
                    return look_up(world, me, rng).await;
                }
                let peer = me.peer()?;
                for room in me.look().rooms {
                    leave(world, me, &peer, room).await?;
                }
                me.leave().await;
                world.until_gone(&me.name(), PATIENCE, rng).await?;
                me.take_another_name();
                me.arrive(world).await
            }
            Self::MistakePassword => mistake_password(world, rng).await,
            Self::TalkNonsense => {
                world.stranger.bother(rng).await?;
                world.tally.operation();
                Ok(())
            }
        }
    }
}

fn told(what: &str) -> impl FnOnce(Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Until others see it, and then for a while.
async fn stay_away(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    world.until_gone(&me.name(), PATIENCE, rng).await?;
    me.set(Presence::Offline);
    sleep(Duration::from_millis(rng.u64(1_000..15_000))).await;
    me.set(Presence::Changing);
    Ok(())
}

/// Finds who is online, where they are, and nobody who isn't.
#[allow(clippy::disallowed_methods)] // how long it takes is what is measured
async fn look_up(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let whom = world.anybody(rng);
    let before = whom.look();
    let port = whom.peer().map(|peer| peer.port());
    let peer = me.peer()?;
    let asked = Instant::now();
    let found = peer.search(&before.name).await;
    world.tally.lookup(asked.elapsed());
    if whom.look().version != before.version {
        return Ok(());
    }
    match (before.presence, &found) {
        (Presence::Online, Ok(found)) if Ok(found.port) == port && found.ip == Ipv4Addr::LOCALHOST => Ok(()),
        (Presence::Offline, Err(Error::Request(RequestError::NotOnline))) => Ok(()),
        (Presence::Changing, Ok(_) | Err(Error::Request(RequestError::NotOnline))) => Ok(()),
        (Presence::Unborn, _) => Ok(()),
        (presence, _) => Err(format!("{} is {presence:?} at {port:?}: {found:?}", before.name)),
    }
}

async fn look_for_nobody(world: &World, me: &Person) -> Outcome {
    match me.peer()?.search("nobody").await {
        Err(Error::Request(RequestError::NotFound)) => {
            world.tally.operation();
            Ok(())
        }
        other => Err(format!("{other:?}")),
    }
}

async fn list_rooms(world: &World, me: &Person) -> Outcome {
    let open = open_rooms(world);
    let rooms = me.peer()?.rooms().await.map_err(told("listing"))?;
    world.tally.operation();
    has_all(&open, rooms.iter().map(|room| room.name.as_str()))?;
    match rooms.iter().find(|room| room.members == 0 || room.members > room.capacity.get()) {
        Some(room) => Err(format!("{room:?}")),
        None => Ok(()),
    }
}

async fn name_rooms(world: &World, me: &Person) -> Outcome {
    let open = open_rooms(world);
    let names = me.peer()?.room_names().await.map_err(told("listing"))?;
    world.tally.operation();
    has_all(&open, names.iter().map(|name| name.as_str()))
}

/// Those whose owners never leave.
fn open_rooms(world: &World) -> Vec<String> {
    let owners = world.people.iter().take(world.rooms);
    owners
        .filter(|owner| owner.look().rooms.contains(&owner.index))
        .map(|owner| room_name(owner.index))
        .collect()
}

fn has_all<'a>(wanted: &[String], found: impl Iterator<Item = &'a str>) -> Outcome {
    let found: BTreeSet<_> = found.collect();
    match wanted.iter().find(|name| !found.contains(name.as_str())) {
        Some(name) => Err(format!("{name} is not among {}", found.len())),
        None => Ok(()),
    }
}

async fn list_members(world: &World, me: &Person) -> Outcome {
    let Some(room) = me.look().rooms.first().copied() else { return Ok(()) };
    let members = me.peer()?.members(&room_name(room)).await.map_err(told("listing"))?;
    world.tally.operation();
    has_all(&[me.name()], members.iter().map(|name| name.as_str()))
}

async fn name_peers(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let somebody = Seen::of(world.anybody(rng));
    let names = me.peer()?.names().await.map_err(told("listing"))?;
    world.tally.operation();
    somebody.is_rightly(names.iter().any(|name| name.as_str() == somebody.before.name), me)
}

async fn list_peers(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let somebody = Seen::of(world.anybody(rng));
    let peers = me.peer()?.peers().await.map_err(told("listing"))?;
    world.tally.operation();
    somebody.is_rightly(peers.iter().any(|peer| peer.username.as_str() == somebody.before.name), me)
}

/// Somebody as they stood before something was asked.
struct Seen<'a> {
    person: &'a Person,
    before: Standing,
}

impl<'a> Seen<'a> {
    fn of(person: &'a Person) -> Self {
        Self { person, before: person.look() }
    }

    fn is_unchanged(&self) -> bool {
        self.person.look().version == self.before.version
    }

    /// A list leaves out who asks, who is offline, and nobody else.
    fn is_rightly(&self, listed: bool, asker: &Person) -> Outcome {
        let due = match self.before.presence {
            _ if self.person.index == asker.index => false,
            Presence::Online => true,
            Presence::Offline => false,
            Presence::Changing | Presence::Unborn => return Ok(()),
        };
        if due == listed || !self.is_unchanged() {
            return Ok(());
        }
        Err(format!("{} is {:?}, and listed: {listed}", self.before.name, self.before.presence))
    }
}

/// Everybody is in one room or two, and moves between them.
async fn change_rooms(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let (peer, rooms) = (me.peer()?, me.look().rooms);
    let others: Vec<_> = rooms.iter().copied().filter(|&room| room != me.index).collect();
    if rooms.len() > 1 && !others.is_empty() {
        return leave(world, me, &peer, others[rng.usize(..others.len())]).await;
    }
    let room = rng.usize(..world.rooms);
    if !world.people[room].look().rooms.contains(&room) {
        // Not opened yet.
        return Ok(());
    }
    peer.join(&room_name(room), None).await.map_err(told("joining"))?;
    world.tally.operation();
    me.change(|standing| _ = standing.rooms.insert(room));
    Ok(())
}

async fn leave(world: &World, me: &Person, peer: &Peer, room: usize) -> Outcome {
    // Before, since others are told before the answer is here.
    me.change(|standing| _ = standing.rooms.remove(&room));
    peer.leave(&room_name(room)).await.map_err(told("leaving"))?;
    world.tally.operation();
    Ok(())
}

async fn open_attic(world: &World, me: &Person) -> Outcome {
    let (peer, name) = (me.peer()?, format!("the attic of {}", me.name()));
    peer.create(&name, None, 5, "dust").await.map_err(told("opening it"))?;
    let members = peer.members(&name).await.map_err(told("looking around"))?;
    peer.leave(&name).await.map_err(told("leaving it"))?;
    world.tally.operation();
    if members.len() == 1 { Ok(()) } else { Err(format!("not alone in it: {members:?}")) }
}

/// Some texts each way, and each has to arrive, once and in order, before it counts as said.
async fn chat(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let free = (0..20).find_map(|_| {
        let other = world.anybody(rng);
        let errand = other.errand.try_lock().ok()?;
        (other.look().presence == Presence::Online).then_some((other, errand))
    });
    let Some((other, _errand)) = free else { return Ok(()) };
    let peers = [me.peer()?, other.peer()?];
    let names = [me.name(), other.name()];
    peers[0].chat(&names[1]).await.map_err(told("asking"))?;
    let id = world.post.begin_chat(names.clone());
    let mut said = [0, 0];
    for _ in 0..rng.u32(3..12) {
        let speaker = rng.usize(..2);
        let size = if rng.u32(..20) == 0 { rng.usize(..12_000) } else { rng.usize(..200) };
        let text = Post::text(id, said[speaker], &"x".repeat(size));
        peers[speaker].send(&names[1 - speaker], &text).await.map_err(told("saying something"))?;
        said[speaker] += 1;
        sleep(Duration::from_millis(rng.u64(100..1_500))).await;
    }
    let all_is_heard = || world.post.heard_in_chat(id) == [said[1], said[0]];
    if !until(PATIENCE, all_is_heard).await {
        let heard = world.post.heard_in_chat(id);
        return Err(format!("{names:?} said {said:?} and heard {heard:?}"));
    }
    world.post.end(id);
    let ended = other.chats_ended();
    peers[0].hang_up(&names[1]).await.map_err(told("hanging up"))?;
    // Who doesn't know it yet would speak into a stream that is closed.
    match until(PATIENCE, || other.chats_ended() > ended).await {
        true => Ok(()),
        false => Err(format!("{} was not told that {} hung up", names[1], names[0])),
    }
}

/// Something for a room: heard by all who are in it and online, by each once.
async fn broadcast(world: &World, me: &Person, rng: &mut fastrand::Rng) -> Outcome {
    let Some(room) = me.look().rooms.first().copied() else { return Ok(()) };
    let others: Vec<_> =
        world.people.iter().filter(|person| person.index != me.index).map(|p| Seen::of(p)).collect();
    let is_due = |seen: &&Seen<'_>| {
        let before = &seen.before;
        before.presence == Presence::Online && before.rooms.contains(&room) && before.since.elapsed() > STEADY
    };
    let due: Vec<_> = others.iter().filter(is_due).collect();
    let id = world.post.begin_broadcast(me.name(), room_name(room));
    let text = Post::text(id, 0, &"x".repeat(rng.usize(..200)));
    let report = me.peer()?.broadcast(&room_name(room), &text).await.map_err(told("speaking"))?;
    let delivered: BTreeSet<_> = report.delivered.iter().map(|name| name.as_str()).collect();
    if let Some(seen) =
        due.iter().find(|seen| !delivered.contains(seen.before.name.as_str()) && seen.is_unchanged())
    {
        let name = &seen.before.name;
        let why = report.failed.iter().find(|(failed, _)| failed.as_str() == name);
        return Err(format!("{name}, in {} all the time, did not get it: {why:?}", room_name(room)));
    }
    let heard_by_all = || {
        let heard = world.post.heard_of_broadcast(id);
        delivered.iter().all(|name| heard.contains(*name))
    };
    if !until(PATIENCE, heard_by_all).await {
        return Err(format!("not all of {delivered:?} heard it"));
    }
    world.tally.operation();
    if !report.failed.is_empty() {
        // Who counts as failed may hear it yet, until both sides have given up.
        sleep(STEADY * 4).await;
    }
    world.post.end(id);
    Ok(())
}

/// By a client of its own, for an account that is there or one that isn't.
async fn mistake_password(world: &World, rng: &mut fastrand::Rng) -> Outcome {
    let name = if rng.bool() { world.anybody(rng).name() } else { "nobody".to_owned() };
    let line = Line::to(world.registry.tcp);
    let (peer, _events) = connect(world, &line).await.map_err(told("connecting"))?;
    let outcome = peer.login(&name, &PASSWORD.to_uppercase()).await;
    peer.close().await;
    world.tally.operation();
    match outcome {
        Err(Error::Request(RequestError::LoginFailed(_))) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

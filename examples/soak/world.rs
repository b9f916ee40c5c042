//! What everybody shares, and one day in a life after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::RequestError,
    tokio::{Error, Peer},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    acts::Act,
    person::{Person, Presence},
    post::Post,
    registry::Address,
    starved::Starved,
    stranger::Stranger,
    tally::Tally,
};

/// So many clients share a room to begin with.
const PER_ROOM: usize = 12;

pub(crate) struct World {
    pub(crate) registry: Address,
    pub(crate) people: Vec<Arc<Person>>,
    pub(crate) rooms: usize,
    pub(crate) post: Post,
    pub(crate) tally: Tally,
    pub(crate) stranger: Stranger,
    pub(crate) starved: Arc<Starved>,
    /// Everybody leaves.
    pub(crate) end: CancellationToken,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn new(registry: Address, starved: Arc<Starved>, clients: usize) -> Result<Arc<Self>, String> {
        let stranger = Stranger::new(&registry)?;
        let now = Instant::now();
        Ok(Arc::new(Self {
            registry,
            people: (0..clients).map(|index| Person::new(index, now)).collect(),
            rooms: clients.div_ceil(PER_ROOM),
            post: Post::default(),
            tally: Tally::default(),
            stranger,
            starved,
            end: CancellationToken::new(),
        }))
    }

    /// The first so many people own a room each, and stay in it. The others begin in one of theirs.
    pub(crate) async fn arrive(self: &Arc<Self>, person: &Arc<Person>) -> Result<(), String> {
        person.arrive(self).await?;
        let (peer, room) = (person.peer()?, person.index % self.rooms);
        let outcome = if person.index < self.rooms {
            peer.create(&room_name(room), None, 1_000, "all are welcome").await
        } else {
            // Owners come first, so this one is here or on the way.
            until(Duration::from_secs(30), || self.people[room].look().rooms.contains(&room)).await;
            peer.join(&room_name(room), None).await
        };
        outcome.map_err(|error| format!("entering a room at first: {error}"))?;
        self.tally.operation();
        person.change(|standing| _ = standing.rooms.insert(room));
        Ok(())
    }

    /// Does one thing after the other until the end, and leaves.
    pub(crate) async fn live(self: Arc<Self>, person: Arc<Person>, mut rng: fastrand::Rng, pause: Duration) {
        let days = async {
            loop {
                // Even throws between nothing and twice the mean.
                sleep(pause.mul_f64(2.0 * rng.f64())).await;
                let _errand = person.errand.lock().await;
                if let Err(what) = person.recover(&self).await {
                    self.fault(&what);
                    continue;
                }
                let act = Act::any(&mut rng);
                match act.run(&self, &person, &mut rng).await {
                    Ok(()) => self.tally.act(act.name()),
                    Err(what) => self.fault(&format!("{}: {what}", act.name())),
                }
            }
        };
        tokio::select! {
            biased;
            () = self.end.cancelled() => {}
            () = days => {}
        }
        person.leave().await;
    }

    /// Something is not as it has to be. Once everybody is leaving, whoever leaves first cuts others off.
    pub(crate) fn fault(&self, what: &str) {
        if self.end.is_cancelled() {
            return;
        }
        if self.starved.is_felt() {
            self.tally.excused(what);
        } else {
            self.tally.error(what);
        }
    }

    pub(crate) fn anybody<'a>(&'a self, rng: &mut fastrand::Rng) -> &'a Arc<Person> {
        &self.people[rng.usize(..self.people.len())]
    }

    /// Waits until the registry counts somebody as gone, as others see it.
    pub(crate) async fn until_gone(
        &self,
        name: &str,
        limit: Duration,
        rng: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let gone = async {
            loop {
                let friend = self.friend(rng).await?;
                match friend.search(name).await {
                    Ok(_) => sleep(Duration::from_millis(200)).await,
                    Err(Error::Request(RequestError::NotOnline)) => return Ok(()),
                    // The friend has gone meanwhile.
                    Err(Error::Request(
                        RequestError::NotLoggedIn
                        | RequestError::NotConnected
                        | RequestError::Interrupted
                        | RequestError::Closed,
                    )) => {}
                    Err(error) => return Err(format!("looking for {name}, who should be gone: {error}")),
                }
            }
        };
        let late = |_| Err(format!("{name} is online still, {limit:?} after going"));
        tokio::time::timeout(limit, gone).await.unwrap_or_else(late)
    }

    /// The client of somebody online.
    async fn friend(&self, rng: &mut fastrand::Rng) -> Result<Peer, String> {
        loop {
            let person = self.anybody(rng);
            if person.look().presence == Presence::Online
                && let Ok(peer) = person.peer()
            {
                return Ok(peer);
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn room_name(room: usize) -> String {
    format!("room {room}")
}

/// Waits for a condition; false if it doesn't come within the limit.
pub(crate) async fn until(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}

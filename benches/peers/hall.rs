//! Somebody who talks to a room.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use p2pchat_core::tokio::Peer;
use tokio::{
    runtime::Handle,
    task::{JoinSet, yield_now},
};

use crate::{
    people::{Heard, ROOM, Registry, TALKER, text},
    report::{Begun, Broadcasts, Figure, MEMBERS, Way, What, cpu},
};

/// How long what is on its way takes, at most.
const LONGEST: Duration = Duration::from_secs(10);

pub(crate) struct Hall {
    talker: Peer,
    room: String,
    members: usize,
    heard: Heard,
    /// Who is there stays.
    _there: Vec<Peer>,
}

impl Hall {
    pub(crate) async fn fill(registry: &Registry, far: &Handle, way: Way) -> Self {
        let mut hall = Self::fill_with(registry, far, way, MEMBERS).await;
        // Dials everybody.
        hall.broadcast(1).await;
        hall
    }

    /// The talker is here, the members are there; nobody has been dialled.
    pub(crate) async fn fill_with(registry: &Registry, far: &Handle, way: Way, members: usize) -> Self {
        let (with_key, room) = (way == Way::Encrypted, format!("{ROOM}{}", way as u8));
        let (registry, heard) = (*registry, Heard::new().0);
        let talker = registry.arrive(format!("{TALKER}{}", way as u8), with_key, Heard::new().0).await;
        let capacity = u32::try_from(members + 1).expect("fewer");
        talker.create(&room, None, capacity, "").await.expect("a new room");
        let mut joining = JoinSet::new();
        for number in 0..members {
            let (room, heard) = (room.clone(), heard.clone());
            let member = async move {
                let peer = registry.arrive(format!("member{number}-{}", way as u8), with_key, heard).await;
                peer.join(&room, None).await.expect("a place in the room");
                peer
            };
            joining.spawn_on(member, far);
        }
        let there = joining.join_all().await;
        let present = talker.members(&room).await.expect("one's own room");
        assert_eq!(present.len(), members + 1);
        Self { talker, room, members, heard, _there: there }
    }

    pub(crate) async fn broadcast(&mut self, count: usize) -> [(What, Figure); 2] {
        let bytes = What::Broadcast.load().0;
        self.heard.expect(bytes);
        let (mut broadcasts, before) = (Broadcasts::default(), cpu());
        for number in 0..count {
            // What a task may do before others have their turn begins anew, as with the echo.
            yield_now().await;
            let begun = Begun::now();
            let said = text(number, bytes);
            let mut report = pin!(self.talker.broadcast(&self.room, &said));
            // Who has a stream is written to before there is anything to wait for.
            let at_once = poll_fn(|cx| Poll::Ready(report.as_mut().poll(cx))).await;
            broadcasts.written(&begun);
            let report = match at_once {
                Poll::Ready(report) => report,
                Poll::Pending => report.await,
            };
            let report = report.expect("a report");
            broadcasts.confirmed(&begun);
            assert_eq!((report.delivered.len(), report.failed), (self.members, Vec::new()));
        }
        let figures = broadcasts.figures(cpu() - before);
        self.heard.check(count, self.members);
        figures
    }

    /// What is measured as written is: all hear it while this thread, which is the talker's, does nothing else.
    pub(crate) async fn is_told_at_once(&mut self) {
        yield_now().await;
        let said = text(0, What::Broadcast.load().0);
        self.heard.expect(said.len());
        let mut report = pin!(self.talker.broadcast(&self.room, &said));
        assert!(poll_fn(|cx| Poll::Ready(report.as_mut().poll(cx).is_pending())).await);
        let begun = Instant::now();
        while self.heard.texts() < self.members {
            assert!(begun.elapsed() < LONGEST, "{} of {} have it", self.heard.texts(), self.members);
            std::thread::sleep(Duration::from_millis(1));
        }
        report.await.expect("a report");
    }
}

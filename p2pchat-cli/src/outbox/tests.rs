//! What waits, through all that can happen to it.

use std::time::Duration;

use p2pchat_core::proto::LinkKey;
use proptest::prelude::*;

use super::*;

fn bob() -> Target {
    Target::User("bob".parse().unwrap())
}

fn all(outbox: &mut Outbox) -> Vec<Step> {
    std::iter::from_fn(|| outbox.poll()).collect()
}

fn later() -> Result<(), Trouble> {
    Err(Trouble::Later("away".to_owned()))
}

#[test]
fn what_is_said_to_somebody_who_is_away_goes_out_when_they_are_back() {
    let (mut outbox, user) = (Outbox::default(), "bob".parse().unwrap());
    outbox.push(&bob(), 1, "a".to_owned());
    assert_eq!(all(&mut outbox), [Step::Ask("bob".parse().unwrap())]);
    outbox.asked(&user, later());
    outbox.tick(SOONEST - 1);
    assert_eq!(all(&mut outbox), []);
    outbox.tick(SOONEST);
    assert_eq!(all(&mut outbox), [Step::Ask("bob".parse().unwrap())]);
    outbox.asked(&user, later());
    outbox.tick(2 * SOONEST);
    assert_eq!(all(&mut outbox), []);
    outbox.seen(&user);
    assert_eq!(all(&mut outbox), [Step::Ask("bob".parse().unwrap())]);
    outbox.asked(&user, Ok(()));
    let sending = Step::State { id: 1, state: State::Sending };
    assert_eq!(all(&mut outbox), [sending, Step::Send { id: 1, target: bob(), text: "a".to_owned() }]);
    outbox.sent(&bob(), 1, Ok(()));
    assert_eq!(all(&mut outbox), [Step::State { id: 1, state: State::Delivered }]);
}

#[test]
fn what_may_have_arrived_is_not_sent_again_by_itself() {
    let mut outbox = Outbox::default();
    outbox.open(&bob(), true);
    outbox.push(&bob(), 1, "a".to_owned());
    all(&mut outbox);
    outbox.sent(&bob(), 1, Err(Trouble::Unsure("gone".to_owned())));
    assert_eq!(all(&mut outbox), [Step::State { id: 1, state: State::Unsure }]);
    outbox.open(&bob(), true);
    outbox.tick(LATEST * 9);
    assert_eq!(all(&mut outbox), []);
}

#[test]
fn what_an_error_says_of_a_message_decides_what_becomes_of_it() {
    let request = |error: RequestError| Trouble::of_sending(&Error::Request(error));
    let key = LinkKey::new(&"7".repeat(64)).unwrap();
    let never = [
        RequestError::KeyChanged { known: key, shown: None },
        RequestError::Plain,
        RequestError::Blocked,
        RequestError::NotFound,
        RequestError::NotDelivered(None),
        RequestError::NotDelivered(Some("no chat is open".to_owned())),
        RequestError::Unsupported,
    ];
    let later = [
        RequestError::NotConnected,
        RequestError::NoRegistry("down".to_owned()),
        RequestError::NotLoggedIn,
        RequestError::Interrupted,
        RequestError::TimedOut,
        RequestError::Refused(None),
        RequestError::Busy { retry_after: Duration::from_secs(9), reason: None },
        RequestError::NotOnline,
        RequestError::NoPort,
        RequestError::AddressHidden,
        RequestError::Unreachable("no route".to_owned()),
        RequestError::Rejected(None),
        RequestError::NoChat,
        RequestError::NotAMember,
        RequestError::TooMany { what: "messages", limit: 256 },
        RequestError::Unexpected("nonsense".to_owned()),
        RequestError::Closed,
        // No message ends by these.
        RequestError::AlreadyLoggedIn,
        RequestError::NameTaken(None),
        RequestError::InviteWanted,
        RequestError::LoginFailed(None),
        RequestError::AlreadyOnline,
        RequestError::NoSuchRequest,
        RequestError::NoFiles,
        RequestError::NoSuchFile,
        RequestError::File("full".to_owned()),
        RequestError::Withdrawn(None),
        RequestError::Cancelled,
    ];
    for error in never.iter().chain(&later) {
        let doubtful = RequestError::Doubtful { id: Some(7), why: Box::new(error.clone()) };
        assert!(matches!(request(doubtful), Trouble::Unsure(_)), "{error:?}");
    }
    for error in never {
        assert!(matches!(request(error.clone()), Trouble::Never(_)), "{error:?}");
    }
    for error in later {
        assert!(matches!(request(error.clone()), Trouble::Later(_)), "{error:?}");
    }
}

#[test]
fn what_has_arrived_after_all_is_not_said_again() {
    let (mut outbox, user) = (Outbox::default(), "bob".parse().unwrap());
    outbox.open(&bob(), true);
    for id in [1, 2] {
        outbox.push(&bob(), id, "ok".to_owned());
        outbox.sent(&bob(), id, Err(Trouble::Unsure("gone".to_owned())));
        outbox.doubt(&user, id + 70, id);
    }
    outbox.open(&bob(), false);
    outbox.push(&bob(), 1, "ok".to_owned());
    outbox.push(&bob(), 2, "ok".to_owned());
    assert_eq!((outbox.arrived(&user, 72), outbox.arrived(&user, 72)), (Some(2), None));
    all(&mut outbox);
    outbox.open(&bob(), true);
    let sent: Vec<_> =
        all(&mut outbox).into_iter().filter(|step| matches!(step, Step::Send { .. })).collect();
    assert_eq!(sent, [Step::Send { id: 1, target: bob(), text: "ok".to_owned() }]);
    for number in 0..2 * DOUBTS as u64 {
        outbox.doubt(&user, number, number);
    }
    assert_eq!(outbox.doubts.len(), DOUBTS);
}

#[test]
fn who_declines_is_not_asked_again() {
    let (mut outbox, user) = (Outbox::default(), "bob".parse().unwrap());
    outbox.push(&bob(), 1, "a".to_owned());
    all(&mut outbox);
    outbox.asked(&user, Err(Trouble::Never("no".to_owned())));
    assert_eq!(all(&mut outbox), [Step::State { id: 1, state: State::Failed("no".to_owned()) }]);
    outbox.tick(LATEST * 9);
    assert_eq!(all(&mut outbox), []);
}

#[test]
fn what_gets_another_number_is_the_same_message() {
    let mut outbox = Outbox::default();
    outbox.open(&bob(), true);
    outbox.push(&bob(), 901, "under way".to_owned());
    outbox.open(&bob(), false);
    all(&mut outbox);
    outbox.push(&bob(), 902, "typed later".to_owned());
    outbox.push(&bob(), 7, "kept since long".to_owned());
    let found: Vec<_> = outbox.all().map(|(id, .., state)| (id, state)).collect();
    assert_eq!(found, [(7, State::Waiting), (902, State::Waiting), (901, State::Sending)]);
    outbox.renumber(&BTreeMap::from([(901, 8), (902, 9)]));
    outbox.sent(&bob(), 901, Ok(()));
    assert!(outbox.is_sending(), "nothing has that number any more");
    outbox.sent(&bob(), 8, Ok(()));
    outbox.open(&bob(), true);
    let sent = all(&mut outbox).into_iter().filter_map(|step| match step {
        Step::Send { id, text, .. } => Some((id, text)),
        _ => None,
    });
    let wanted = [(7, "kept since long".to_owned()), (9, "typed later".to_owned())];
    assert_eq!(sent.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_room_is_not_asked_but_waited_for() {
    let (mut outbox, room) = (Outbox::default(), Target::parse("#den").unwrap());
    outbox.push(&room, 1, "a".to_owned());
    outbox.tick(LATEST);
    assert_eq!(all(&mut outbox), []);
    outbox.open(&room, true);
    assert_eq!(all(&mut outbox).len(), 2);
}

#[test]
fn a_room_that_took_nothing_is_tried_again() {
    let (mut outbox, room) = (Outbox::default(), Target::parse("#den").unwrap());
    outbox.open(&room, true);
    outbox.push(&room, 1, "a".to_owned());
    all(&mut outbox);
    outbox.sent(&room, 1, later());
    outbox.tick(SOONEST - 1);
    assert_eq!(all(&mut outbox), [Step::State { id: 1, state: State::Waiting }]);
    outbox.tick(SOONEST);
    let sending = Step::State { id: 1, state: State::Sending };
    assert_eq!(all(&mut outbox), [sending, Step::Send { id: 1, target: room.clone(), text: "a".to_owned() }]);
    outbox.sent(&room, 1, later());
    // Not once it was left.
    outbox.open(&room, false);
    outbox.tick(LATEST * 9);
    assert_eq!(all(&mut outbox), [Step::State { id: 1, state: State::Waiting }]);
}

proptest! {
    /// Whatever happens, each message is under way once at a time, in order, and none is forgotten.
    #[test]
    fn nothing_is_lost_doubled_or_overtaken(facts in prop::collection::vec((0_u8..7, 0_u64..3), 1..80)) {
        let mut outbox = Outbox::default();
        let user: Username = "bob".parse().unwrap();
        let (mut last, mut now, mut under_way, mut done) = (0, 0, Vec::new(), Vec::new());
        let mut asking = false;
        for (fact, which) in facts {
            match fact {
                0 | 1 => {
                    last += 1;
                    outbox.push(&bob(), last, last.to_string());
                }
                2 => outbox.open(&bob(), which > 0),
                3 => {
                    now += SOONEST * which;
                    outbox.tick(now);
                }
                4 if asking => {
                    asking = false;
                    outbox.asked(&user, if which == 0 { later() } else { Ok(()) });
                }
                5 if !under_way.is_empty() => {
                    let id = under_way.remove(0);
                    let outcome = match which {
                        0 => later(),
                        1 => Err(Trouble::Unsure(String::new())),
                        _ => Ok(()),
                    };
                    if which > 0 {
                        done.push(id);
                    }
                    outbox.sent(&bob(), id, outcome);
                }
                _ => outbox.seen(&user),
            }
            for step in all(&mut outbox) {
                match step {
                    Step::Ask(_) => {
                        prop_assert!(!asking);
                        asking = true;
                    }
                    Step::Send { id, .. } => {
                        prop_assert!(!under_way.contains(&id) && !done.contains(&id));
                        under_way.push(id);
                    }
                    Step::State { .. } => {}
                }
            }
        }
        // What is left goes out, in order.
        outbox.open(&bob(), true);
        let mut rest = Vec::new();
        loop {
            let sends = all(&mut outbox).into_iter().filter_map(|step| match step {
                Step::Send { id, .. } => Some(id),
                _ => None,
            });
            let before = rest.len();
            rest.extend(sends);
            let finished = if rest.len() > before { rest[before..].to_vec() } else { std::mem::take(&mut under_way) };
            if finished.is_empty() {
                break;
            }
            done.extend(&finished);
            finished.iter().for_each(|id| outbox.sent(&bob(), *id, Ok(())));
        }
        prop_assert!(rest.is_sorted());
        prop_assert_eq!(done.len(), usize::try_from(last).unwrap());
    }
}

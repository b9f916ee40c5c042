//! Chats with people whose address the registry hides: they are asked through it first (§7.10).

use std::net::{IpAddr, SocketAddr};

use p2pchat_proto::{Capability, Found, Outcome, ToRegistry, Username};

use super::{
    ChatRequestId, Event, Peer, RequestError, RequestId, Timer,
    chats::Chat,
    requests::{Purpose, accepted},
    streams::{Reach, Want},
};
use crate::time::Time;

/// What is shown where a request comes through the registry.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// What there is between us and a user, as far as it isn't settled. Each ends at its time.
#[derive(Debug)]
pub(super) enum Contact {
    /// We have asked; what for is in their [`Reach::Asking`].
    Asking { due: Time },
    /// They have asked; the application is to answer.
    Wanted { request: ChatRequestId, due: Time },
    /// They may dial us, from the address that the registry shows once it has been asked.
    Expected { from: Option<IpAddr>, due: Time },
}

impl Contact {
    fn due(&self) -> Time {
        match self {
            Self::Asking { due } | Self::Wanted { due, .. } | Self::Expected { due, .. } => *due,
        }
    }
}

impl Peer {
    /// The user's address is hidden: asks for contact, if they can be asked, on behalf of who wants to chat.
    pub(super) fn ask_for_contact(&mut self, now: Time, user: &Username, found: &Found, wants: Vec<Want>) {
        let can_be_asked = self.has(Capability::Contact) && found.capabilities.has(Capability::Contact);
        let (chats, others): (Vec<_>, Vec<_>) =
            wants.into_iter().partition(|want| can_be_asked && matches!(want, Want::Chat(_)));
        for want in others {
            self.refuse(now, user, want, RequestError::AddressHidden);
        }
        if chats.is_empty() {
            return;
        }
        // Who has asked us is asked back, which is to accept.
        if let Some(Contact::Wanted { request, .. }) = self.contacts.remove(user) {
            self.contact_requests.remove(&request);
        }
        self.reaches.insert(user.clone(), Reach::Asking(chats));
        self.contacts.insert(user.clone(), Contact::Asking { due: now + self.config.chat_timeout });
        self.contacts_moved(now);
        let message = ToRegistry::ContactRequest { username: user.clone() };
        if let Err(error) = self.submit(now, message, Purpose::Contact(user.clone())) {
            self.contact_failed(user, &error);
        }
    }

    /// The registry doesn't pass the wish on, or nothing came of it.
    pub(super) fn contact_failed(&mut self, user: &Username, error: &RequestError) {
        if matches!(self.contacts.get(user), Some(Contact::Asking { .. })) {
            self.contacts.remove(user);
        }
        if let Some(Reach::Asking(_)) = self.reaches.get(user)
            && let Some(Reach::Asking(wants)) = self.reaches.remove(user)
        {
            for want in wants {
                // Nothing else is worth asking somebody for.
                if let Want::Chat(request) = want {
                    self.complete(request, Err(error.clone()));
                }
            }
        }
    }

    /// Takes the wish for contact back. False if there is none.
    pub(super) fn withdraw_contact(&mut self, now: Time, user: &Username, error: &RequestError) -> bool {
        let asking = matches!(self.contacts.get(user), Some(Contact::Asking { .. }));
        if asking {
            self.contact_failed(user, error);
            self.refuse_contact(now, user);
        }
        asking
    }

    /// Ends whatever there is between us and a user, at the registry too: they don't see where we are any more, if that is
    /// hidden.
    pub(super) fn end_contact(&mut self, now: Time, user: &Username, error: &RequestError) {
        if !self.withdraw_contact(now, user, error) {
            self.forget_wanted(user, "declined");
            if self.is_logged_in() && self.has(Capability::Contact) && self.requests_have_room() {
                self.refuse_contact(now, user);
            }
        }
        self.contacts_moved(now);
    }

    fn refuse_contact(&mut self, now: Time, user: &Username) {
        let message = ToRegistry::ContactResponse { username: user.clone(), accepted: false };
        // A registry that can't be told forgets it with the session.
        drop(self.submit(now, message, Purpose::Withdraw));
    }

    /// Somebody who doesn't see where we are wants to chat.
    pub(super) fn contact_wanted(&mut self, now: Time, user: Username) {
        // What is answered without the application must not fill the queue, however much a registry pushes.
        let answers = self.requests_have_room();
        // Nobody can mean somebody who isn't logged in.
        if !self.is_logged_in() || self.is_me(&user) {
            return;
        }
        if self.is_blocked(&user) {
            if answers {
                self.refuse_contact(now, &user);
            }
            return;
        }
        match self.contacts.get_mut(&user) {
            // They were let come and have started anew, which ended the contact, perhaps elsewhere: our user has agreed.
            Some(Contact::Expected { from, .. }) if answers => {
                *from = None;
                return self.expect_again(now, user);
            }
            // It has been said, or the registry joins who ask each other.
            Some(_) => return,
            None => {}
        }
        let is_full = self.chat_requests.len() + self.contact_requests.len() >= self.config.chat_requests;
        if is_full || self.wants_contact_too_often(now, &user) {
            if answers {
                self.refuse_contact(now, &user);
            }
            return;
        }
        let request = ChatRequestId(self.next_id());
        self.contact_requests.insert(request, user.clone());
        self.contacts.insert(user.clone(), Contact::Wanted { request, due: now + self.config.chat_timeout });
        self.contacts_moved(now);
        self.tell(Event::ChatRequested { request, from: Some(user), addr: NOWHERE, secured: false });
    }

    /// Accepts once more; the time limit stays that of the user's consent.
    fn expect_again(&mut self, now: Time, user: Username) {
        let message = ToRegistry::ContactResponse { username: user.clone(), accepted: true };
        drop(self.submit(now, message, Purpose::ConsentAgain(user.clone())));
        let search = ToRegistry::SearchUser { username: user.clone() };
        drop(self.submit(now, search, Purpose::Expect(user)));
    }

    /// The other one has answered, or takes back what they wanted.
    pub(super) fn contact_answered(&mut self, now: Time, user: &Username, accepted: bool) {
        match self.contacts.get(user) {
            Some(Contact::Asking { .. }) if accepted => {
                self.contacts.remove(user);
                if let Some(Reach::Asking(_)) = self.reaches.get(user)
                    && let Some(Reach::Asking(wants)) = self.reaches.remove(user)
                {
                    for want in wants {
                        self.reach(now, user, want);
                    }
                }
            }
            Some(Contact::Asking { .. }) => self.contact_failed(user, &RequestError::Rejected(None)),
            Some(Contact::Wanted { .. }) if !accepted => self.forget_wanted(user, "withdrawn"),
            Some(Contact::Expected { .. }) if !accepted => self.not_expected(user),
            _ => {}
        }
        self.contacts_moved(now);
    }

    fn forget_wanted(&mut self, user: &Username, reason: &str) {
        if let Some(Contact::Wanted { request, .. }) = self.contacts.remove(user) {
            self.contact_requests.remove(&request);
            self.tell(Event::ChatClosed { with: Some(user.clone()), reason: reason.to_owned() });
        }
    }

    /// The application has answered somebody's wish.
    pub(super) fn consent(
        &mut self,
        now: Time,
        request: RequestId,
        user: Username,
        accepted: bool,
    ) -> Result<(), RequestError> {
        self.contacts.remove(&user);
        let limit = self.config.chat_requests;
        let expected = self.contacts.values().filter(|contact| matches!(contact, Contact::Expected { .. }));
        if accepted && expected.count() >= limit {
            self.refuse_contact(now, &user);
            return Err(RequestError::TooMany { what: "chat requests", limit });
        }
        let message = ToRegistry::ContactResponse { username: user.clone(), accepted };
        self.submit(now, message, Purpose::Consent(request, user.clone()))?;
        if accepted {
            let due = now + self.config.chat_timeout;
            self.contacts.insert(user.clone(), Contact::Expected { from: None, due });
            let search = ToRegistry::SearchUser { username: user.clone() };
            // Without it the application is asked once more when they come.
            drop(self.submit(now, search, Purpose::Expect(user)));
        }
        self.contacts_moved(now);
        Ok(())
    }

    pub(super) fn consented(&mut self, request: RequestId, user: &Username, outcome: Outcome) {
        let outcome = accepted(outcome, None).map_err(|_| RequestError::NoSuchRequest);
        if outcome.is_err() {
            self.not_expected(user);
        }
        self.complete(request, outcome);
    }

    /// They are gone, or don't want to any more.
    pub(super) fn not_expected(&mut self, user: &Username) {
        if matches!(self.contacts.get(user), Some(Contact::Expected { .. })) {
            self.contacts.remove(user);
        }
    }

    /// The registry has told where the user is whom we expect. They may be here already.
    pub(super) fn expected_at(&mut self, now: Time, user: &Username, found: Result<Found, RequestError>) {
        let Some(Contact::Expected { from, .. }) = self.contacts.get_mut(user) else { return };
        let Some(found) = found.ok().filter(|found| !found.is_hidden()) else { return };
        *from = Some(found.ip.to_canonical());
        let theirs = self.streams.iter().filter_map(|(id, stream)| match stream.chat {
            Chat::AskedUs(request)
                if stream.peer.as_ref() == Some(user)
                    && (stream.is_proven() || stream.addr.ip().to_canonical() == found.ip.to_canonical()) =>
            {
                Some((*id, request))
            }
            _ => None,
        });
        if let Some((id, request)) = theirs.collect::<Vec<_>>().pop() {
            self.chat_requests.remove(&request);
            self.contacts.remove(user);
            self.accept_chat(now, id);
        }
    }

    /// True, once, if our user has let this one come, and they do `from` where the registry shows them, or have proven who
    /// they are. A name alone proves nothing.
    pub(super) fn takes_expected(&mut self, user: &Username, from: Option<IpAddr>) -> bool {
        let expected = match self.contacts.get(user) {
            Some(Contact::Expected { from: expected, .. }) => from.is_none() || from == *expected,
            _ => false,
        };
        if expected {
            self.contacts.remove(user);
        }
        expected
    }

    pub(super) fn contacts_due(&mut self, now: Time) {
        let due = self.contacts.iter().filter(|(_, contact)| contact.due() <= now);
        for user in due.map(|(user, _)| user.clone()).collect::<Vec<_>>() {
            match self.contacts.get(&user) {
                Some(Contact::Asking { .. }) => {
                    self.withdraw_contact(now, &user, &RequestError::TimedOut);
                }
                Some(Contact::Wanted { .. }) => {
                    self.forget_wanted(&user, "no answer to the chat request");
                    self.refuse_contact(now, &user);
                }
                _ => drop(self.contacts.remove(&user)),
            }
        }
        self.contacts_moved(now);
    }

    fn contacts_moved(&mut self, now: Time) {
        match self.contacts.values().map(Contact::due).min() {
            Some(due) => self.arm(Timer::Contacts, now, due.since(now)),
            None => self.timers.cancel(Timer::Contacts),
        }
    }

    /// The link is gone, and with it what others would have answered.
    pub(super) fn contacts_lost(&mut self, reason: &str, error: &RequestError) {
        for user in self.contacts.keys().cloned().collect::<Vec<_>>() {
            self.contact_failed(&user, error);
            if matches!(self.contacts.get(&user), Some(Contact::Wanted { .. })) {
                self.forget_wanted(&user, reason);
            }
        }
    }

    /// The session is over.
    pub(super) fn drop_contacts(&mut self, reason: &str) {
        self.contacts_lost(reason, &RequestError::NotLoggedIn);
        self.contacts.clear();
        self.timers.cancel(Timer::Contacts);
    }
}

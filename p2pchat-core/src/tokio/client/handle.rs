//! The client's async API.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use p2pchat_proto::{
    BanRecord, Capacity, Description, Detail, Found, InviteCode, LinkKey, PasswordDigest, PeerPort,
    PeerRecord, Reason, RoomName, RoomRecord, RoomSetting, Text, Username,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::{
    ClientConfig, Events,
    core::{Client, Core},
    driver::{self, Close},
    files::Place,
    shared::Shared,
};
use crate::{
    peer::{BroadcastReport, ChatRequestId, FileId, RequestError, RequestId, Response, Status},
    tokio::{CertificateError, Error, Fingerprint, LinkIdentity, TlsVersion, disk::Source},
};

/// The certificate that the registry showed at the last handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenCertificate {
    /// What it is recognised by.
    pub fingerprint: Fingerprint,
    /// True if it was taken on trust because this registry was unknown
    /// ([`Trust::KnownRegistries`](super::Trust::KnownRegistries)): a person should compare it.
    pub first_use: bool,
    /// The version of TLS that was agreed on.
    pub tls: TlsVersion,
}

/// What is known of a user's link key (§7.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KnownKey {
    /// The key by which they are known; `None` if there has been no contact.
    pub key: Option<LinkKey>,
    /// There is an encrypted stream to them now, on which they have proven it.
    pub secured: bool,
    /// The key by which they know this peer.
    pub own: Option<LinkKey>,
}

/// A client of a registry: cheap to clone, every clone is the same client.
///
/// The registry link is made again by itself when it breaks, with the session and its rooms ([`Event::Disconnected`],
/// [`Event::Reconnected`](crate::peer::Event::Reconnected)), unless the registry shows a certificate that is not to be
/// trusted: that ends the session ([`Event::LoggedOut`](crate::peer::Event::LoggedOut)). The client ends with [`close`](Self::close), or when all
/// handles and the [`Events`] are dropped. A future of a call may be dropped at any time; what it asked for may happen all
/// the same.
///
/// Every call fails with [`Error::Invalid`] for a value that can't exist, and with [`Error::Request`] for whatever the
/// registry, the other peer or the network refuses.
///
/// [`Event::Disconnected`]: crate::peer::Event::Disconnected
#[derive(Debug, Clone)]
pub struct Peer {
    handle: Arc<Handle>,
}

/// What the handles and the events of a client share. The client ends once it is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) client: Arc<Client>,
    pub(super) close: mpsc::Sender<Close>,
}

impl Peer {
    /// Opens the port for peer streams, connects to the registry, judges its certificate and greets it.
    ///
    /// # Errors
    /// [`Error::Setup`], [`Error::KnownRegistries`], [`Error::Connect`], [`Error::Certificate`], or [`Error::Request`] if
    /// the registry doesn't answer the greeting or refuses it.
    pub async fn connect(config: ClientConfig) -> Result<(Self, Events), Error> {
        let (client, close) = driver::start(config).await?;
        let handle = Arc::new(Handle { client, close });
        let (peer, events) = (Self { handle: handle.clone() }, Events::new(handle));
        peer.done(|core| core.machine.connect(core.now)).await?;
        Ok((peer, events))
    }

    /// Creates an account. Its name is taken for ever.
    pub async fn register(&self, username: &str, password: &str) -> Result<(), Error> {
        let (username, password) = (name(username)?, PasswordDigest::of_password(password));
        self.done(|core| core.machine.register(core.now, username, password)).await
    }

    /// The same with an invitation, which some registries want ([`RequestError::InviteWanted`]): a code as its operator gave
    /// it, in capitals or small letters, with or without hyphens.
    pub async fn register_invited(&self, username: &str, password: &str, code: &str) -> Result<(), Error> {
        let (username, password) = (name(username)?, PasswordDigest::of_password(password));
        let invite = InviteCode::typed(code).map_err(Error::invalid("invitation"))?;
        self.done(|core| core.machine.register_invited(core.now, username, password, invite)).await
    }

    /// Logs in, announcing the port for peer streams. The session is kept alive, and made again when the link breaks.
    pub async fn login(&self, username: &str, password: &str) -> Result<(), Error> {
        let (username, password) = (name(username)?, PasswordDigest::of_password(password));
        let port = PeerPort::new(self.shared().port.into()).ok();
        self.done(|core| core.machine.login(core.now, username, password, port)).await
    }

    /// Ends the session, and every chat. Room memberships stay. The registry is connected to again by the next
    /// [`login`](Self::login) or [`register`](Self::register).
    pub async fn logout(&self) -> Result<(), Error> {
        self.done(|core| core.machine.logout(core.now)).await
    }

    /// Where a user can be reached.
    pub async fn search(&self, username: &str) -> Result<Found, Error> {
        let username = name(username)?;
        match self.request(|core| core.machine.search(core.now, username)).await? {
            Response::Found(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// Everyone online but oneself, with addresses.
    pub async fn peers(&self) -> Result<Vec<PeerRecord>, Error> {
        match self.request(|core| core.machine.peers(core.now, Detail::Detailed)).await? {
            Response::Peers(peers) => Ok(peers),
            other => Err(unexpected(&other)),
        }
    }

    /// Everyone online but oneself, by name.
    pub async fn names(&self) -> Result<Vec<Username>, Error> {
        match self.request(|core| core.machine.peers(core.now, Detail::Partial)).await? {
            Response::Names(names) => Ok(names),
            other => Err(unexpected(&other)),
        }
    }

    /// All rooms.
    pub async fn rooms(&self) -> Result<Vec<RoomRecord>, Error> {
        match self.request(|core| core.machine.rooms(core.now, Detail::Detailed)).await? {
            Response::Rooms(rooms) => Ok(rooms),
            other => Err(unexpected(&other)),
        }
    }

    /// All rooms, by name.
    pub async fn room_names(&self) -> Result<Vec<RoomName>, Error> {
        match self.request(|core| core.machine.rooms(core.now, Detail::Partial)).await? {
            Response::RoomNames(names) => Ok(names),
            other => Err(unexpected(&other)),
        }
    }

    /// Creates a room for at most `capacity` members and becomes its first. No password, or an empty one, leaves it open
    /// to all.
    pub async fn create(
        &self,
        room: &str,
        password: Option<&str>,
        capacity: u32,
        description: &str,
    ) -> Result<(), Error> {
        let (room, password) = (self::room(room)?, room_password(password));
        let (capacity, description) = (self::capacity(capacity)?, self::description(description)?);
        self.done(|core| core.machine.create(core.now, room, password, capacity, description)).await
    }

    /// Becomes a member of a room, until [`leave`](Self::leave): a logout doesn't end it. Succeeds if one is a member.
    pub async fn join(&self, room: &str, password: Option<&str>) -> Result<(), Error> {
        let (room, password) = (self::room(room)?, room_password(password));
        self.done(|core| core.machine.join(core.now, room, password)).await
    }

    /// Gives up the membership of a room.
    pub async fn leave(&self, room: &str) -> Result<(), Error> {
        let room = self::room(room)?;
        self.done(|core| core.machine.leave(core.now, room)).await
    }

    /// A room's members online, oneself included. Only for members.
    pub async fn members(&self, room: &str) -> Result<Vec<Username>, Error> {
        let room = self::room(room)?;
        match self.request(|core| core.machine.members(core.now, room)).await? {
            Response::Members(members) => Ok(members),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a member out of one's own room, with a reason of at most 256 bytes or none. They may join again. This and what
    /// follows fails with [`RequestError::Unsupported`] on a registry without the capability `moderate`.
    pub async fn kick(&self, room: &str, username: &str, why: Option<&str>) -> Result<(), Error> {
        let (room, user, reason) = (self::room(room)?, name(username)?, reason(why)?);
        self.done(|core| core.machine.kick(core.now, room, user, reason)).await
    }

    /// Keeps a user out of one's own room, whether they are in it or not, with a reason of at most 256 bytes or none.
    pub async fn ban(&self, room: &str, username: &str, why: Option<&str>) -> Result<(), Error> {
        let (room, user, reason) = (self::room(room)?, name(username)?, reason(why)?);
        self.done(|core| core.machine.ban(core.now, room, user, reason)).await
    }

    /// Lets a user in again who was banned from one's own room.
    pub async fn unban(&self, room: &str, username: &str) -> Result<(), Error> {
        let (room, user) = (self::room(room)?, name(username)?);
        self.done(|core| core.machine.unban(core.now, room, user)).await
    }

    /// Who is banned from one's own room.
    pub async fn bans(&self, room: &str) -> Result<Vec<BanRecord>, Error> {
        let room = self::room(room)?;
        match self.request(|core| core.machine.bans(core.now, room)).await? {
            Response::Bans(bans) => Ok(bans),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets the password of one's own room for who joins from now on; none, or an empty one, opens it to all.
    pub async fn set_password(&self, room: &str, password: Option<&str>) -> Result<(), Error> {
        self.set(room, RoomSetting::Password(room_password(password))).await
    }

    /// Sets how many members one's own room takes; not fewer than it has.
    pub async fn set_capacity(&self, room: &str, capacity: u32) -> Result<(), Error> {
        self.set(room, RoomSetting::Capacity(self::capacity(capacity)?)).await
    }

    /// Sets what one's own room is about.
    pub async fn set_description(&self, room: &str, description: &str) -> Result<(), Error> {
        self.set(room, RoomSetting::Description(self::description(description)?)).await
    }

    /// Hands one's own room over to another member.
    pub async fn set_owner(&self, room: &str, username: &str) -> Result<(), Error> {
        self.set(room, RoomSetting::Owner(name(username)?)).await
    }

    async fn set(&self, room: &str, setting: RoomSetting) -> Result<(), Error> {
        let room = self::room(room)?;
        self.done(|core| core.machine.set_room(core.now, room, setting)).await
    }

    /// Asks a user to chat, and waits until they accept.
    pub async fn chat(&self, username: &str) -> Result<(), Error> {
        let user = name(username)?;
        self.done(|core| core.machine.chat(core.now, user)).await
    }

    /// Accepts a wish to chat ([`Event::ChatRequested`](crate::peer::Event::ChatRequested)).
    pub async fn accept(&self, request: ChatRequestId) -> Result<(), Error> {
        self.done(|core| core.machine.accept(core.now, request)).await
    }

    /// Declines a wish to chat, with a reason of at most 256 bytes or none.
    pub async fn reject(&self, request: ChatRequestId, reason: Option<&str>) -> Result<(), Error> {
        let reason = self::reason(reason)?;
        self.done(|core| core.machine.reject(core.now, request, reason)).await
    }

    /// Ends an open chat.
    pub async fn hang_up(&self, username: &str) -> Result<(), Error> {
        let user = name(username)?;
        self.done(|core| core.machine.hang_up(core.now, user)).await
    }

    /// Has the other end of an open chat dial this peer, which shows that others can ([`be_dialled`] says how and when not). The
    /// chat goes on in any case.
    ///
    /// [`be_dialled`]: crate::peer::Peer::be_dialled
    pub async fn be_dialled(&self, username: &str) -> Result<(), Error> {
        let user = name(username)?;
        self.done(|core| core.machine.be_dialled(core.now, user)).await
    }

    /// What is known of the registry link, of keep-alives, and of who has got through to this peer.
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask(|core| core.machine.status(core.now)).await
    }

    /// Says something in an open chat. Succeeds once the other program has confirmed it. After [`RequestError::Doubtful`] it may
    /// have arrived; after any other error it hasn't, and won't unless it is said again.
    pub async fn send(&self, username: &str, text: &str) -> Result<(), Error> {
        let (user, text) = (name(username)?, self::text(text)?);
        match self.say(|core| core.machine.send(core.now, user, text)).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Says something to every member of a room who is online, and tells who has it once that is known of all. An error means
    /// that nobody has it, but for [`RequestError::Doubtful`].
    pub async fn broadcast(&self, room: &str, text: &str) -> Result<BroadcastReport, Error> {
        let (name, text) = (self::room(room)?, self::text(text)?);
        let broadcast = || {
            let (name, text) = (name.clone(), text.clone());
            self.say(|core| core.machine.broadcast(core.now, name, text))
        };
        let response = match broadcast().await {
            // Just after a login the registry may still be telling one's rooms, and one that doesn't know the capability
            // `roster` never does. Its answer to a question settles it.
            Err(Error::Request(RequestError::NotAMember)) if self.members(room).await.is_ok() => {
                broadcast().await?
            }
            outcome => outcome?,
        };
        match response {
            Response::Broadcast(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Offers a file to somebody in an open chat, and sends it if they want it. Succeeds once they have all of it, however often the
    /// stream breaks meanwhile; how far it is, is told by [`Event::FileProgress`](crate::peer::Event::FileProgress) (§7.15).
    pub async fn send_file(&self, username: &str, path: impl Into<PathBuf>) -> Result<(), Error> {
        let (username, path) = (name(username)?, path.into());
        let shown = path.display().to_string();
        let failed = |error: &dyn fmt::Display| RequestError::File(format!("{shown} can't be read: {error}"));
        let source = spawn_blocking(move || Source::open(&path)).await;
        let source = source.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        self.done(|core| core.send_file(username, source)).await
    }

    /// Takes a file that was [offered](crate::peer::Event::FileOffered), into a folder, which has to be there. Succeeds once all of it
    /// is there and is what was announced, and tells where. It never takes the place of another file: if its name is taken,
    /// it gets a number. What has come before a transfer failed stays there hidden, as `.p2pchat-<user>-<digest>.part`, and the next
    /// one of the same file by the same user goes on with it.
    pub async fn accept_file(&self, file: FileId, folder: impl Into<PathBuf>) -> Result<PathBuf, Error> {
        let path = Arc::new(OnceLock::new());
        let place = Place { folder: folder.into(), path: path.clone() };
        self.done(|core| core.accept_file(file, place)).await?;
        Ok(path.get().cloned().unwrap_or_default())
    }

    /// Declines a file, or ends its transfer, whoever sends it; with a reason of at most 256 bytes or none.
    pub async fn cancel_file(&self, file: FileId, reason: Option<&str>) -> Result<(), Error> {
        let reason = self::reason(reason)?;
        self.done(|core| core.machine.cancel_file(core.now, file, reason)).await
    }

    /// Ends the client: what is queued is flushed, streams are closed, calls that wait fail with
    /// [`RequestError::Closed`].
    pub async fn close(&self) {
        let (closed, ended) = oneshot::channel();
        if self.handle.close.send(closed).await.is_ok() {
            // An error means that the client is gone already.
            let _ = ended.await;
        }
    }

    /// Sets the link key with which peer streams are encrypted, and by which others know this peer (§7.13): before the login
    /// that it is for, since others are told it then. Without one, streams are in the clear, and who knows this user by a key
    /// doesn't listen.
    pub async fn set_identity(&self, identity: Option<LinkIdentity>) -> Result<(), Error> {
        Ok(self.ask(|core| core.set_identity(identity)).await??)
    }

    /// Sets by which link key a user is known, or that none is: the next contact is the first again. For the user's decision after
    /// [`Event::KeyChanged`](crate::peer::Event::KeyChanged), and for a program that remembers keys by itself (§7.13). An
    /// error says that it could not be noted in the [known-peers file](ClientConfig::known_peers); for this client it holds.
    pub async fn set_key(&self, username: &str, key: Option<LinkKey>) -> Result<(), Error> {
        let username = name(username)?;
        self.ask(|core| core.set_key(username, key)).await?
    }

    /// By which link key a user is known, and whether there is an encrypted stream to them (§7.13).
    pub async fn key_of(&self, username: &str) -> Result<KnownKey, Error> {
        let username = name(username)?;
        self.ask(|core| core.key_of(&username)).await
    }

    /// Blocks a user: nothing is said to them any more, and nothing of theirs is shown, in chats and in rooms; what waits for them fails
    /// with [`RequestError::Blocked`]. They aren't told (§9). An error says that it could not be noted in the
    /// [block list's file](ClientConfig::block_list); for this client it holds.
    pub async fn block(&self, username: &str) -> Result<(), Error> {
        let username = name(username)?;
        self.ask(|core| core.block(username, true)).await?
    }

    /// Blocks a user no longer.
    pub async fn unblock(&self, username: &str) -> Result<(), Error> {
        let username = name(username)?;
        self.ask(|core| core.block(username, false)).await?
    }

    /// Who is blocked.
    pub async fn blocked(&self) -> Result<Vec<Username>, Error> {
        self.ask(Core::blocked).await
    }

    /// The port on which peer streams are accepted.
    pub fn port(&self) -> u16 {
        self.shared().port
    }

    /// Who one is logged in as, also while the link is being made again.
    pub fn username(&self) -> Option<Username> {
        self.shared().status().username.clone()
    }

    /// The certificate that the registry showed at the last handshake.
    pub fn certificate(&self) -> Option<SeenCertificate> {
        self.shared().status().certificate
    }

    /// That certificate itself, in DER form: how long it is good, and for which hosts, only counts where an authority vouches
    /// for it ([`Trust::Authorities`](super::Trust::Authorities)).
    pub fn certificate_der(&self) -> Option<Arc<[u8]>> {
        self.shared().status().der.clone()
    }

    /// Why the certificate that the registry showed at the last attempt was not taken; `None` if that failed for another
    /// reason, or not at all. If it ended the session ([`Event::LoggedOut`](crate::peer::Event::LoggedOut)), nothing is
    /// tried again until the next [`login`](Self::login).
    pub fn certificate_error(&self) -> Option<CertificateError> {
        self.shared().status().distrusted.clone()
    }

    async fn done(&self, command: impl FnOnce(&mut Core) -> RequestId) -> Result<(), Error> {
        match self.request(command).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins a command, and waits for its end.
    async fn request(&self, command: impl FnOnce(&mut Core) -> RequestId) -> Result<Response, Error> {
        let answered = self.handle.client.request(command)?;
        answered.await.map_err(|_| RequestError::Closed)?
    }

    /// The same of one that says something.
    async fn say(&self, command: impl FnOnce(&mut Core) -> RequestId) -> Result<Response, Error> {
        let answered = self.handle.client.request(command)?;
        // The client's task was ended from outside, perhaps after it was said.
        answered
            .await
            .map_err(|_| RequestError::Doubtful { id: None, why: Box::new(RequestError::Closed) })?
    }

    /// Does what has no end to wait for.
    #[allow(clippy::unused_async)] // as everything else that is asked of a client
    async fn ask<T>(&self, what: impl FnOnce(&mut Core) -> T) -> Result<T, Error> {
        self.handle.client.with(|core| match core.has_ended() {
            true => Err(RequestError::Closed.into()),
            false => Ok(what(core)),
        })
    }

    fn shared(&self) -> &Shared {
        &self.handle.client.shared
    }
}

fn name(text: &str) -> Result<Username, Error> {
    Username::new(text).map_err(Error::invalid("username"))
}

fn room(text: &str) -> Result<RoomName, Error> {
    RoomName::new(text).map_err(Error::invalid("room name"))
}

fn text(text: &str) -> Result<Text, Error> {
    Text::new(text).map_err(Error::invalid("text"))
}

fn capacity(number: u32) -> Result<Capacity, Error> {
    Capacity::new(number).map_err(Error::invalid("capacity"))
}

fn description(text: &str) -> Result<Description, Error> {
    Description::new(text).map_err(Error::invalid("description"))
}

fn reason(text: Option<&str>) -> Result<Option<Reason>, Error> {
    text.map(Reason::new).transpose().map_err(Error::invalid("reason"))
}

fn room_password(password: Option<&str>) -> Option<PasswordDigest> {
    password.filter(|password| !password.is_empty()).map(PasswordDigest::of_password)
}

/// The machine promises each request its own kind of response, so this is never seen; and if it is, it says what came.
fn unexpected(response: &Response) -> Error {
    Error::Request(RequestError::Unexpected(format!("{response:?}")))
}

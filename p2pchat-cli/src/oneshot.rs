//! The subcommands: one thing each, for scripts.

use std::{
    io::{self, IsTerminal as _, Read, Write as _},
    path::Path,
    pin::pin,
    time::Duration,
};

use p2pchat_core::{
    peer::{Event, FileId, RequestError},
    proto::{LinkKey, RoomName, Text},
    tokio::{Error, Peer},
};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::{
    args::{Accept, Address, Command, Global, RoomPassword},
    console::Console,
    doctor,
    exit::{Exit, Failure},
    history,
    json::{self, Line},
    keys::{self, KeyFile, Keys, Stored},
    output::{Paint, write_stdout},
    owner::Deed,
    pipe, sanitize,
    session::{self, Needs, Session, Signals},
    show,
    sign_in::{self, Answered},
    transfers::Transfers,
};

/// How many bytes of standard input a message of `-` is read from at most; the protocol's own limit is far below.
const STDIN_BYTES: u64 = 1 << 20;

/// Does what `command` says.
pub(crate) async fn run(global: &Global, command: &Command) -> Result<(), Failure> {
    if let Command::Doctor(check) = command {
        return doctor::command(global, check).await;
    }
    let registry = global
        .registry
        .as_ref()
        .ok_or_else(|| Failure::new(Exit::Usage, "which registry? Give --registry or $P2PCHAT_REGISTRY"))?;
    if let Command::Block { .. } | Command::Unblock { .. } | Command::Blocked { .. } = command {
        return about_blocks(global, registry, command);
    }
    let user = global
        .user
        .as_deref()
        .ok_or_else(|| Failure::new(Exit::Usage, "who are you? Give --user or $P2PCHAT_USER"))?;
    if let Command::Verify { .. } | Command::Trust { .. } | Command::Key { .. } = command {
        return about_keys(global, registry, user, command).await;
    }
    if let Command::History(which) = command {
        return history::run(global, registry, user, which);
    }
    let text = text(command)?;
    if let Command::Send { .. } | Command::Say { .. } = command {
        // Nobody is to be asked for a chat for nothing.
        if text.is_empty() {
            return Err(Failure::new(Exit::Usage, "there is nothing to send"));
        }
        Text::new(&text).map_err(|problem| Failure::new(Exit::Usage, format!("the message {problem}")))?;
    }
    if let Command::Pipe { room, .. } = command {
        self::room(room)?;
    }
    let room_password = room_password(command)?;
    let invite = session::invite(global)?;
    let password = match session::password(global)? {
        Some(password) => password,
        None => ask_password(global, matches!(command, Command::Register)).await?,
    };

    let chat_timeout = match command {
        Command::Send { timeout, .. } | Command::SendFile { timeout, .. } => Some(*timeout),
        _ => None,
    };
    let files = matches!(command, Command::SendFile { .. } | Command::Listen { files: Some(_), .. });
    let needs = Needs { chat_timeout, files };
    let mut session = Session::connect(global, registry, needs).await?;
    if let Some(notice) = session.first_meeting() {
        global.notice(&notice);
    }
    let done = async {
        if matches!(command, Command::Register) {
            let registered = session::register(&session.peer, user, &password, invite.as_deref()).await;
            return registered.map_err(|error| match error {
                Error::Request(RequestError::InviteWanted) => Failure::new(
                    Exit::Failed,
                    "this registry wants an invitation: give its code by --invite-file, $P2PCHAT_INVITE or --invite",
                ),
                error => error.into(),
            });
        }
        let passphrase = match session.wants_passphrase(global, user)? {
            true => Some(ask_passphrase(global, "Your link key's passphrase: ").await?),
            false => None,
        };
        session
            .login(global, user, &password, passphrase)
            .await
            .map_err(|failure| failure.context("login"))?;
        obey(global, command, &mut session, &text, room_password.as_deref()).await
    };
    let outcome = done.await;
    session.end().await;
    outcome
}

async fn obey(
    global: &Global,
    command: &Command,
    session: &mut Session,
    text: &str,
    room_password: Option<&str>,
) -> Result<(), Failure> {
    let peer = session.peer.clone();
    match command {
        // Done before the login, or without one.
        Command::Register
        | Command::Doctor(_)
        | Command::Verify { .. }
        | Command::Trust { .. }
        | Command::Key { .. }
        | Command::History(_)
        | Command::Block { .. }
        | Command::Unblock { .. }
        | Command::Blocked { .. } => Ok(()),
        Command::Search { username, json } => {
            let found = peer.search(username).await?;
            if *json {
                print_json(&json::Found::new(username, &found))
            } else {
                print(&show::found(username, &found))
            }
        }
        Command::Peers { detailed: true, json } => {
            let peers = peer.peers().await?;
            print_list(*json, &json_list::<json::Peer, _>(&peers), &show::peers(&peers))
        }
        Command::Peers { detailed: false, json } => {
            let names = peer.names().await?;
            print_list(*json, &json::names(&names), &names.iter().map(show::name).collect::<Vec<_>>())
        }
        Command::Rooms { names: true, json } => {
            let names = peer.room_names().await?;
            print_list(*json, &json::names(&names), &names.iter().map(show::name).collect::<Vec<_>>())
        }
        Command::Rooms { names: false, json } => {
            let rooms = peer.rooms().await?;
            print_list(*json, &json_list::<json::Room, _>(&rooms), &show::rooms(&rooms))
        }
        Command::Members { room, json } => {
            let members = peer.members(room).await?;
            print_list(*json, &json::names(&members), &members.iter().map(show::name).collect::<Vec<_>>())
        }
        Command::Send { username, .. } => {
            peer.chat(username).await?;
            if !peer.key_of(username).await?.secured {
                global.notice(&show::in_the_clear(&sanitize::line(username)));
            }
            peer.send(username, text).await?;
            Ok(peer.hang_up(username).await?)
        }
        Command::Say { room, .. } => {
            let report = peer.broadcast(room, text).await?;
            let missed = show::missed(&report);
            if missed.is_empty() { Ok(()) } else { Err(Failure::new(Exit::NotDelivered, missed.join("\n"))) }
        }
        Command::Create { room, description, capacity, .. } => {
            Ok(peer.create(room, room_password, *capacity, description).await?)
        }
        Command::Join { room, .. } => Ok(peer.join(room, room_password).await?),
        Command::Leave { room } => Ok(peer.leave(room).await?),
        Command::Bans { room, json } => {
            let bans = peer.bans(room).await?;
            print_list(*json, &json_list::<json::Ban, _>(&bans), &show::bans(&bans))
        }
        Command::Kick { room, .. }
        | Command::Ban { room, .. }
        | Command::Unban { room, .. }
        | Command::Set { room, .. } => {
            for deed in deeds(command, room_password) {
                deed.run(&peer, room).await?;
            }
            Ok(())
        }
        Command::SendFile { username, file, .. } => send_file(global, session, username, file).await,
        Command::Pipe { room, json, keep, .. } => {
            let room = self::room(room)?;
            let how = pipe::How { json: *json, keep: *keep };
            pipe::run(global, session, &room, room_password, how).await
        }
        Command::Listen { json, accept, files, room, until_eof } => {
            for room in room {
                peer.join(room, None).await.map_err(|error| Failure::from(error).context("join"))?;
            }
            listen(global, session, *json, (*accept, files.as_deref()), *until_eof).await
        }
    }
}

/// Offers a file, and shows how far it is where somebody looks.
async fn send_file(global: &Global, session: &mut Session, user: &str, file: &Path) -> Result<(), Failure> {
    let peer = session.peer.clone();
    peer.chat(user).await?;
    let watched = !global.quiet && io::stderr().is_terminal();
    let mut transfers = Transfers::default();
    let mut sending = pin!(peer.send_file(user, file));
    let mut shown = false;
    // What can't be shown is of no use to anybody.
    let show = |line: &str| drop(write!(io::stderr(), "\r\x1b[K{line}"));
    let sent = loop {
        tokio::select! {
            sent = &mut sending => break sent,
            Some(event) = session.events.next() => {
                let line = transfers.note(&event, Duration::from_millis(200));
                if let Some(line) = line.filter(|_| watched) {
                    shown = true;
                    show(&line);
                }
            }
        }
    };
    if shown {
        show("");
    }
    sent.map_err(|error| Failure::from(error).context(&sanitize::line(&file.display().to_string())))?;
    Ok(peer.hang_up(user).await?)
}

/// Takes a file, without keeping anything else waiting, and prints where it is.
fn take_file(peer: &Peer, file: FileId, folder: &Path, as_json: bool) {
    let (peer, folder, number) = (peer.clone(), folder.to_owned(), file.number());
    tokio::spawn(async move {
        let line = match (peer.accept_file(file, folder).await, as_json) {
            (Ok(path), true) => {
                Line::FileStored { file: number, path: path.to_string_lossy().into_owned() }.to_string()
            }
            (Ok(path), false) => {
                format!("the file is there: {}", sanitize::line(&path.display().to_string()))
            }
            (Err(error), true) => Line::FileFailed { file: number, reason: error.to_string() }.to_string(),
            (Err(error), false) => format!("the file: {}", sanitize::line(&error.to_string())),
        };
        // That the reader is gone is noticed with the next event.
        drop(print(&line));
    });
}

/// Prints what happens until a signal comes, standard output's reader is gone, or the registry ends the session.
async fn listen(
    global: &Global,
    session: &mut Session,
    json: bool,
    (accept, files): (Accept, Option<&Path>),
    until_eof: bool,
) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let mut eof = until_eof.then(stdin_end);
    let paint = Paint::for_stream(global.color, &io::stdout());
    if json {
        print(&Line::ready(&session.peer).to_string())?;
    }
    loop {
        let event = tokio::select! {
            event = session.events.next() => event,
            () = signals.received() => return Ok(()),
            () = async { match &mut eof { Some(end) => drop(end.await), None => std::future::pending().await } } => return Ok(()),
        };
        let Some(event) = event else { return Err(Failure::new(Exit::Registry, "the session has ended")) };
        let line =
            if json { Line::of(&event).map(|line| line.to_string()) } else { show::event(&event, paint) };
        if let Some(line) = line {
            print(&line)?;
        }
        match event {
            Event::ChatRequested { request, .. } => {
                let answered = match accept {
                    Accept::All => session.peer.accept(request).await,
                    Accept::None => session.peer.reject(request, None).await,
                };
                // Whoever asked may be gone by now, which ends nothing here.
                if let Err(error) = answered {
                    tracing::info!(%error, "chat request not answered");
                }
            }
            Event::FileOffered { file, .. } => {
                if let Some(folder) = files {
                    take_file(&session.peer, file, folder, json);
                }
            }
            Event::LoggedOut { reason, .. } => {
                return Err(logged_out(session, &reason));
            }
            _ => {}
        }
    }
}

/// Why the registry ended the session.
pub(crate) fn logged_out(session: &Session, reason: &str) -> Failure {
    let failure = match session.peer.certificate_error() {
        Some(error) => Failure::from(Error::from(error)),
        None => Failure::new(Exit::Login, sanitize::line(reason)),
    };
    failure.context("logged out")
}

/// Ends when standard input does.
fn stdin_end() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        // What it holds is of no interest.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        ended.send(())
    });
    end
}

fn text(command: &Command) -> Result<String, Failure> {
    let (Command::Send { text, .. } | Command::Say { text, .. }) = command else { return Ok(String::new()) };
    if text.iter().map(String::as_str).ne(["-"]) {
        return Ok(text.join(" "));
    }
    let mut read = String::new();
    io::stdin()
        .lock()
        .take(STDIN_BYTES)
        .read_to_string(&mut read)
        .map_err(|error| Failure::new(Exit::Usage, format!("can't read the message: {error}")))?;
    Ok(read.strip_suffix('\n').unwrap_or(&read).to_owned())
}

/// What an owner's command comes to, in the order of doing: whoever hands a room over can't change it any more.
fn deeds(command: &Command, room_password: Option<&str>) -> Vec<Deed> {
    let text = |words: &[String]| (!words.is_empty()).then(|| words.join(" "));
    match command {
        Command::Kick { username, reason, .. } => {
            vec![Deed::Kick { user: username.clone(), reason: text(reason) }]
        }
        Command::Ban { username, reason, .. } => {
            vec![Deed::Ban { user: username.clone(), reason: text(reason) }]
        }
        Command::Unban { username, .. } => vec![Deed::Unban { user: username.clone() }],
        Command::Set { description, capacity, no_room_password, owner, .. } => {
            let password = match room_password {
                Some(password) => Some(Deed::Password(Some(password.to_owned()))),
                None => no_room_password.then_some(Deed::Password(None)),
            };
            let all = [
                password,
                capacity.map(Deed::Capacity),
                description.clone().map(Deed::Description),
                owner.clone().map(Deed::Owner),
            ];
            all.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

fn room(name: &str) -> Result<RoomName, Failure> {
    RoomName::new(name).map_err(|problem| Failure::new(Exit::Usage, format!("the room's name {problem}")))
}

fn room_password(command: &Command) -> Result<Option<String>, Failure> {
    let room_password_file = match command {
        Command::Create { password, .. }
        | Command::Join { password, .. }
        | Command::Pipe { password, .. } => {
            let RoomPassword { room_password_file } = password;
            room_password_file
        }
        Command::Set { room_password_file, .. } => room_password_file,
        _ => return Ok(None),
    };
    room_password_file.as_deref().map(|file| session::first_line(file, "--room-password-file")).transpose()
}

/// What this machine keeps of keys: asked of no registry, so that a session that goes on elsewhere is left alone. It hears of
/// what is decided here by itself.
async fn about_keys(
    global: &Global,
    registry: &Address,
    user: &str,
    command: &Command,
) -> Result<(), Failure> {
    let (keys, me) = (Keys::new(session::data_dir(global)?, registry.clone()), keys::name(user)?);
    let file = keys.own(&me);
    match command {
        Command::Trust { username, key } => {
            let key = match key.as_str() {
                "none" => None,
                key => Some(
                    LinkKey::new(key)
                        .map_err(|problem| Failure::new(Exit::Usage, format!("the key {problem}")))?,
                ),
            };
            Ok(keys.known().remember(&keys::name(username)?, key)?)
        }
        Command::Verify { username } => {
            let (user, own) = (keys::name(username)?, own_key(global, &file).await?);
            let known = keys.known().look_up()?;
            let lines = keys::comparison((&me, &own), (&user, known.get(&user)), io::stdout().is_terminal());
            lines.iter().try_for_each(|line| print(line))
        }
        Command::Key { passphrase: true } => change_passphrase(global, &file).await,
        _ => print(&format!("{} {}", own_key(global, &file).await?, file.path().display())),
    }
}

/// Whom this machine's users have blocked, whoever of them it was: asked of no registry either.
fn about_blocks(global: &Global, registry: &Address, command: &Command) -> Result<(), Failure> {
    let list = Keys::new(session::data_dir(global)?, registry.clone()).blocked();
    match command {
        Command::Block { username } => Ok(list.remember(&keys::name(username)?, true)?),
        Command::Unblock { username } => Ok(list.remember(&keys::name(username)?, false)?),
        Command::Blocked { json } => {
            let blocked = Vec::from_iter(list.look_up()?);
            print_list(*json, &json::names(&blocked), &blocked.iter().map(show::name).collect::<Vec<_>>())
        }
        _ => Ok(()),
    }
}

/// The public half of the account's key on this machine.
async fn own_key(global: &Global, file: &KeyFile) -> Result<LinkKey, Failure> {
    let identity = match file.load_made()? {
        Stored::Open(identity) => identity,
        Stored::Locked(locked) => {
            let asked = match session::wants_passphrase(global, file)? {
                true => Some(ask_passphrase(global, "Your link key's passphrase: ").await?),
                false => None,
            };
            keys::unlock(&locked, &session::known_passphrase(global, asked)?)?
        }
    };
    Ok(identity.key())
}

async fn change_passphrase(global: &Global, file: &KeyFile) -> Result<(), Failure> {
    // That it can be used, and with which passphrase.
    let old = match file.load_made()? {
        Stored::Open(_) => None,
        Stored::Locked(_) if session::wants_passphrase(global, file)? => {
            Some(ask_passphrase(global, "The passphrase that it has: ").await?)
        }
        Stored::Locked(_) => Some(session::known_passphrase(global, None)?),
    };
    let key = file.secret(old.as_deref())?;
    let new = ask_passphrase(global, "A new passphrase (Enter for none): ").await?;
    if !new.is_empty() && ask_passphrase(global, "The same again: ").await? != new {
        return Err(Failure::new(Exit::Usage, "those were not the same: the key is as it was"));
    }
    file.protect(&key, Some(new.as_str()).filter(|new| !new.is_empty()))
}

async fn ask_passphrase(global: &Global, prompt: &str) -> Result<String, Failure> {
    on_terminal(global, session::LACKING_PASSPHRASE, async |console| {
        sign_in::ask_password(console, prompt).await
    })
    .await
}

async fn ask_password(global: &Global, is_new: bool) -> Result<String, Failure> {
    let lacking = "your password? Give --password-file or $P2PCHAT_PASSWORD";
    on_terminal(global, lacking, async |console| match is_new {
        true => sign_in::ask_new_password(console).await,
        false => sign_in::ask_password(console, "Password: ").await,
    })
    .await
}

/// What somebody at a terminal answers; without one, what is `lacking` is said.
async fn on_terminal(
    global: &Global,
    lacking: &str,
    ask: impl AsyncFnOnce(&mut Console) -> Answered<String>,
) -> Result<String, Failure> {
    let lacking = || Failure::new(Exit::Usage, lacking);
    let mut console = Console::open(global.color, false);
    if !console.is_terminal() {
        return Err(lacking());
    }
    let asked = ask(&mut console).await;
    console.out.finish();
    asked.map_err(|_| lacking())
}

fn print_list(as_json: bool, values: &impl Serialize, lines: &[String]) -> Result<(), Failure> {
    if as_json { print_json(values) } else { lines.iter().try_for_each(|line| print(line)) }
}

fn json_list<'a, T: From<&'a R>, R>(records: &'a [R]) -> Vec<T> {
    records.iter().map(T::from).collect()
}

pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let line = json::line(value).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    print(&line)
}

/// Prints a line, or a block of them.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    write_stdout(&format!("{line}\n")).map_err(|error| Failure::of_output(&error))
}

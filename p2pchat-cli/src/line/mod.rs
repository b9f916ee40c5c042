//! The interactive line mode: a prompt that shows where text goes, commands behind a slash.

mod command;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use p2pchat_core::{
    peer::{Event, RequestError},
    proto::{LinkKey, Username},
};
use tokio::{task::JoinSet, time};

use self::{
    command::{Command, HELP, plain_room},
    report::{
        Report, bans, block, blocked, entered, members, owned, rooms, search, send_file, take_file, trust,
        verify, who,
    },
};
use crate::{
    args::Global,
    console::{Console, Input},
    exit::{Exit, Failure},
    output::{Paint, Tone},
    owner::Deed,
    requests::Requests,
    sanitize,
    session::{self, Needs, Session, Signals},
    show,
    sign_in::{self, Left},
    target::Target,
    transfers::{self, Transfers},
};

/// How long the next prompt waits for the registry's answer to a command, so that it can name where text goes then.
const SETTLE: Duration = Duration::from_secs(5);
/// The same for what waits for another person.
const SETTLE_PERSON: Duration = Duration::from_millis(300);

/// How wide the commands of `/help` are.
const HELP_COLUMN: usize = 23;

/// How a session ended.
enum End {
    Quit,
    /// By `/logout`: somebody may log in again.
    LoggedOut,
    /// By the registry, or the link.
    Lost,
}

/// Runs the mode until the user leaves.
pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let mut console = Console::open(global.color, false);
    console.catch_signals()?;
    let result = sessions(&mut console, global).await;
    console.out.finish();
    result
}

async fn sessions(console: &mut Console, global: &Global) -> Result<(), Failure> {
    let Ok(registry) = sign_in::registry(console, global).await else { return left(console) };
    let mut global = global.clone();
    let mut password = session::password(&global)?;
    loop {
        let connecting = Session::connect(&global, &registry, Needs { files: true, ..Needs::default() });
        let Ok(session) = console.unless_told_to_end(connecting).await else { return left(console) };
        let mut session = session?;
        if let Some(notice) = session.first_meeting() {
            console.out.say(Tone::Notice, &notice);
        }
        match sign_in::log_in(console, &global, password.take(), &mut session).await {
            Ok(Ok(())) => {}
            Ok(Err(Left)) => {
                session.end().await;
                return left(console);
            }
            Err(failure) => {
                session.end().await;
                return Err(failure);
            }
        }
        console.out.line("/help lists what you can do");
        match Line::new(console, session).run().await? {
            End::Quit => return Ok(()),
            End::Lost if !console.is_terminal() => {
                return Err(Failure::new(Exit::Registry, "the session has ended"));
            }
            End::LoggedOut | End::Lost => {
                // Whoever comes now says who they are.
                global.user = None;
            }
        }
    }
}

/// Somebody may leave instead of logging in; a script that ends there lacks something.
fn left(console: &Console) -> Result<(), Failure> {
    if console.is_terminal() || console.is_told_to_end() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the input ended before the login: give --registry, --user and a password"))
}

struct Line<'a> {
    console: &'a mut Console,
    session: Session,
    me: String,
    paint: Paint,
    /// Where text goes.
    open: Option<Target>,
    /// Where it can go: open chats, and the user's rooms.
    places: Vec<Target>,
    /// Where the prompt on the screen says that it goes.
    prompted: Option<Target>,
    /// A chat is open with somebody whose name comes with their first message.
    unnamed: bool,
    requests: Requests,
    /// Whose key has changed, and to which they said, while nothing was decided about it.
    changed_keys: BTreeMap<Username, BTreeSet<Option<LinkKey>>>,
    files: Transfers,
    tasks: JoinSet<Report>,
}

impl<'a> Line<'a> {
    fn new(console: &'a mut Console, session: Session) -> Self {
        let me = session.peer.username().as_ref().map(show::name).unwrap_or_default();
        let paint = console.out.paint();
        Self {
            console,
            session,
            me,
            paint,
            open: None,
            places: Vec::new(),
            prompted: None,
            unnamed: false,
            requests: Requests::default(),
            changed_keys: BTreeMap::new(),
            files: Transfers::default(),
            tasks: JoinSet::new(),
        }
    }

    async fn run(mut self) -> Result<End, Failure> {
        let mut signals = Signals::catch()?;
        let mut settled = true;
        let mut settle = pin!(time::sleep(SETTLE));
        let end = loop {
            // A script's next line waits for the last one's answer, a person doesn't.
            if !self.console.is_waiting()
                && (self.tasks.is_empty() || (settled && self.console.is_terminal()))
            {
                self.prompted.clone_from(&self.open);
                let prompt = self.prompt();
                self.console.prompt(&prompt);
            }
            tokio::select! {
                // What a command brought about has been told as events before its outcome, and is shown before it.
                biased;
                () = signals.received() => break End::Quit,
                input = self.console.answer(), if self.console.is_waiting() => match input {
                    Input::Line(line) if line.trim().is_empty() => {}
                    Input::Line(line) => match command::parse(&line) {
                        Ok(Command::Quit) => break End::Quit,
                        Ok(Command::Logout) => break End::LoggedOut,
                        Ok(command) => {
                            settled = matches!(command, Command::Say(_) | Command::Message { .. });
                            let patience = if matches!(command, Command::Chat(_)) { SETTLE_PERSON } else { SETTLE };
                            settle.set(time::sleep(patience));
                            self.obey(command).await;
                        }
                        Err(problem) => self.console.out.say(Tone::Error, &problem),
                    },
                    Input::Interrupted => self.console.out.say(Tone::Notice, "/quit or Ctrl-D leaves"),
                    Input::Closed => break End::Quit,
                },
                event = self.session.next_event() => match event {
                    Some(event) => {
                        let is_over = matches!(event, Event::LoggedOut { .. });
                        self.happened(event);
                        if is_over {
                            break End::Lost;
                        }
                    }
                    None => break End::Lost,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    // A task that was cut off has nothing to tell.
                    self.take(done.unwrap_or_default());
                }
                () = &mut settle, if !settled => settled = true,
            }
        };
        self.tasks.shutdown().await;
        self.session.end().await;
        if matches!(end, End::Lost) && self.console.is_waiting() && self.console.is_terminal() {
            self.console.out.say(Tone::Prompt, "press Enter to log in again");
            if self.console.answer().await == Input::Closed {
                return Ok(End::Quit);
            }
        }
        Ok(end)
    }

    fn prompt(&self) -> String {
        match &self.open {
            Some(target) => format!("{} → {}> ", self.me, target.shown()),
            None => format!("{}> ", self.me),
        }
    }

    /// Shows an event, and keeps in mind what it changes.
    fn happened(&mut self, event: Event) {
        if let Event::Message { from, .. } = &event
            && std::mem::take(&mut self.unnamed)
        {
            self.open(Target::User(from.clone()));
        }
        if let Event::ChatOpened { with: Some(username), secured } = event {
            let who = show::name(&username);
            self.open(Target::User(username));
            let (tone, what) = match secured {
                true => (
                    Tone::Success,
                    format!("this chat is encrypted; /verify {who} shows whether nobody is between you"),
                ),
                false => (Tone::Notice, show::in_the_clear(&who)),
            };
            return self.console.out.say(tone, &what);
        }
        if let Event::KeyChanged { user, shown, .. } = &event {
            self.changed_keys.entry(user.clone()).or_default().insert(*shown);
        }
        if let Event::ChatClosed { with: Some(username), .. } = &event
            && self.requests.withdraw(Some(username))
        {
            let who = show::name(username);
            self.console.out.say(Tone::Notice, &format!("{who} doesn't ask to chat any more"));
            return self.close(&Target::User(username.clone()));
        }
        if let Some(lines) = self.files.note(&event, transfers::EVERY) {
            self.console.out.say(Tone::Notice, &lines);
        }
        // What the user did as an owner is said as the command's outcome.
        let is_own =
            matches!(&event, Event::PutOut { by, .. } if self.session.peer.username().as_ref() == Some(by));
        if let Some(line) = show::event(&event, self.paint).filter(|_| !is_own) {
            self.console.out.line(&line);
        }
        match event {
            Event::ChatRequested { request, from, addr, .. } => {
                let label = self.requests.add(request, from, addr);
                self.console.out.say(Tone::Notice, &format!("    /accept {label} or /reject {label}"));
            }
            Event::ChatOpened { with: None, .. } => self.unnamed = true,
            Event::ChatClosed { with: Some(username), .. } => self.close(&Target::User(username)),
            Event::ChatClosed { with: None, .. } => self.unnamed = false,
            Event::RoomEntered { room, .. } => self.place(Target::Room(room)),
            Event::PutOut { room, username, .. } | Event::MemberLeft { room, username }
                if self.session.peer.username().as_ref() == Some(&username) =>
            {
                self.close(&Target::Room(room));
            }
            _ => {}
        }
    }

    fn take(&mut self, report: Report) {
        for line in &report.lines {
            self.console.out.line(line);
        }
        if let Some(target) = report.close {
            self.close(&target);
        }
        // By now a chat may be over again.
        let is_open = |target: &Target| matches!(target, Target::Room(_)) || self.places.contains(target);
        if let Some(target) = report.open.filter(is_open) {
            self.open(target);
        }
    }

    fn place(&mut self, target: Target) {
        if !self.places.contains(&target) {
            self.places.push(target);
        }
    }

    fn open(&mut self, target: Target) {
        self.place(target.clone());
        if self.open.as_ref() == Some(&target) {
            return;
        }
        self.console.out.say(Tone::Success, &format!("what you type now goes to {}", target.shown()));
        if let Some(prompted) = self.prompted.as_ref().filter(|prompted| **prompted != target)
            && self.console.is_terminal()
            && self.console.is_waiting()
        {
            let notice = format!("… after one more line to {}, as the prompt says", prompted.shown());
            self.console.out.say(Tone::Notice, &notice);
        }
        self.open = Some(target);
    }

    fn close(&mut self, target: &Target) {
        self.places.retain(|place| place != target);
        if self.open.as_ref() == Some(target) {
            self.open = None;
        }
    }

    fn task(&mut self, work: impl Future<Output = Report> + Send + 'static) {
        self.tasks.spawn(work);
    }

    async fn obey(&mut self, command: Command) {
        let peer = self.session.peer.clone();
        let paint = self.paint;
        match command {
            Command::Help(name) => self.help(name.as_deref()),
            Command::Who { detailed } => self.task(who(peer, paint, detailed)),
            Command::Search(user) => self.task(search(peer, paint, user)),
            Command::Rooms => self.task(rooms(peer, paint)),
            Command::SendFile { to, path } => match Username::new(&to) {
                Ok(user) => {
                    let (what, who) = (sanitize::line(&path), show::name(&user));
                    self.console.out.line(&format!("offering {what} to {who} …"));
                    self.task(send_file(peer, paint, user, path));
                }
                Err(problem) => self.console.out.say(Tone::Error, &format!("a username {problem}")),
            },
            Command::Files => {
                let lines = self.files.lines();
                if lines.is_empty() {
                    self.console.out.line("no file is offered or on its way");
                }
                lines.iter().for_each(|line| self.console.out.line(line));
            }
            Command::Take { number, folder } => match self.files.offered(number) {
                Ok(file) => self.task(take_file(peer, paint, file, folder)),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Stop(number) => match self.files.any(number) {
                Ok(file) => self.task(async move {
                    match peer.cancel_file(file, None).await {
                        Ok(()) => Report::default(),
                        Err(error) => Report::failure(paint, "/stop", error),
                    }
                }),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Verify(user) => {
                let drawn = self.console.is_terminal();
                self.task(verify(peer, paint, user, drawn));
            }
            Command::Trust { user, key } => {
                let who = sanitize::line(&user);
                let shown = Username::new(&user).ok().and_then(|user| self.changed_keys.get_key_value(&user));
                let shown = shown.map(|(user, keys)| (user.clone(), keys.clone()));
                let is_meant = |shown: &&Option<LinkKey>| match shown {
                    Some(shown) => {
                        key.len() >= show::KEY_DIGITS && shown.to_string().starts_with(&key.to_lowercase())
                    }
                    None => key.eq_ignore_ascii_case("none"),
                };
                match shown.as_ref().and_then(|(user, keys)| Some((user, keys.iter().find(is_meant)?))) {
                    Some((user, key)) => {
                        self.changed_keys.remove(user);
                        self.task(trust(peer, paint, user.clone(), *key));
                    }
                    None => {
                        let what = format!("{who} has shown no new key that begins so since you logged in");
                        self.console.out.say(Tone::Error, &what);
                    }
                }
            }
            Command::Block(user) => self.task(block(peer, paint, user, true)),
            Command::Unblock(user) => self.task(block(peer, paint, user, false)),
            Command::Blocked => self.task(blocked(peer, paint)),
            Command::Chat(user) => match Target::parse(&user) {
                Ok(Target::User(username)) => {
                    let shown = show::name(&username);
                    self.console.out.line(&format!("asking {shown} to chat …"));
                    self.task(async move {
                        match peer.chat(username.as_str()).await {
                            Ok(()) => Report { open: Some(Target::User(username)), ..Report::default() },
                            Err(error) => Report::failure(paint, &shown, error),
                        }
                    });
                }
                Ok(Target::Room(_)) => self.console.out.say(Tone::Error, "a room is joined: /join ROOM"),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Accept(who) => match self.requests.take(who.as_deref()) {
                Ok(pending) => self.task(async move {
                    match peer.accept(pending.id).await {
                        Ok(()) => Report { open: pending.from.map(Target::User), ..Report::default() },
                        Err(error) => Report::failure(paint, &pending.label, error),
                    }
                }),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Reject { who, reason } => match self.requests.take(who.as_deref()) {
                Ok(pending) => self.task(async move {
                    match peer.reject(pending.id, reason.as_deref()).await {
                        Ok(()) => Report::lines(vec![format!("declined {}", pending.label)]),
                        Err(error) => Report::failure(paint, &pending.label, error),
                    }
                }),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Say(text) => match self.target() {
                Some(target) => self.say(target, text),
                None => self
                    .console
                    .out
                    .say(Tone::Error, "nothing is open: /chat USER, /join ROOM or /switch #ROOM first"),
            },
            Command::Message { to, text } => match Target::parse(&to) {
                Ok(target) => self.say(target, text),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Switch(to) => match Target::parse(&to) {
                Ok(target) if self.places.contains(&target) => self.open(target),
                Ok(target) => {
                    // Who leaves out the # of a room means it all the same, unless a chat is called so.
                    let room = Target::parse(&format!("#{to}")).ok();
                    if let Some(room) = room.filter(|room| self.places.contains(room)) {
                        return self.open(room);
                    }
                    let advice = match &target {
                        Target::User(_) => format!("no chat with {0} is open: /chat {0}", target.shown()),
                        Target::Room(_) => format!("you are not in {0}: /join {0}", target.shown()),
                    };
                    self.console.out.say(Tone::Error, &advice);
                }
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Create { room, capacity, description, with_password } => {
                let Ok(password) = self.room_password(with_password).await else { return };
                self.task(async move {
                    let created = peer.create(&room, password.as_deref(), capacity, &description).await;
                    entered(paint, &room, "opened", created)
                });
            }
            Command::Join { room, with_password } => {
                let Ok(password) = self.room_password(with_password).await else { return };
                self.task(async move {
                    let joined = peer.join(&room, password.as_deref()).await;
                    // Why, the registry says in words only.
                    let lacks_password = !with_password
                        && joined.as_ref().is_err_and(|error| error.to_string().contains("password"));
                    let mut report = entered(paint, &room, "joined", joined);
                    if lacks_password {
                        report
                            .lines
                            .push(format!("/join -p {} asks for its password", sanitize::line(&room)));
                    }
                    report
                });
            }
            Command::Leave(room) => self.leave(room),
            Command::Members(room) => match (room, &self.open) {
                (Some(room), _) => self.task(members(peer, paint, room)),
                (None, Some(Target::Room(room))) => {
                    let room = room.as_str().to_owned();
                    self.task(members(peer, paint, room));
                }
                (None, _) => self.console.out.say(Tone::Error, "of which room? /members ROOM"),
            },
            Command::Own { room, deed } => {
                if let Some(room) = self.own_room(room) {
                    self.task(owned(peer, paint, room, deed));
                }
            }
            Command::SetPassword(room) => {
                let Some(room) = self.own_room(room) else { return };
                let asked = sign_in::ask_password(self.console, "The room's new password (Enter for none): ");
                let Ok(password) = asked.await else { return };
                self.task(owned(peer, paint, room, Deed::Password(Some(password))));
            }
            Command::Bans(room) => {
                if let Some(room) = self.own_room(room) {
                    self.task(bans(peer, paint, room));
                }
            }
            // Ends the session, which is the loop's to do.
            Command::Logout | Command::Quit => {}
        }
    }

    /// The room that was named, or the open one.
    fn own_room(&self, named: Option<String>) -> Option<String> {
        match (named, &self.open) {
            (Some(room), _) => Some(room),
            (None, Some(Target::Room(room))) => Some(room.as_str().to_owned()),
            (None, _) => {
                self.console.out.say(Tone::Error, "which room? Name it first, as #ROOM");
                None
            }
        }
    }

    /// Where a line of text goes: whoever sees a prompt typed it for whom the prompt names.
    fn target(&self) -> Option<Target> {
        let prompted = self.prompted.as_ref().filter(|_| self.console.is_terminal());
        prompted.or(self.open.as_ref()).cloned()
    }

    fn help(&self, name: Option<&str>) {
        let wanted = name.map(|name| format!("/{}", name.trim_start_matches('/')));
        let mut lines =
            HELP.iter().filter(|help| wanted.as_ref().is_none_or(|name| name == help.name)).peekable();
        if lines.peek().is_none() {
            self.console.out.say(Tone::Error, "there is no such command; /help lists what there is");
        }
        for help in lines {
            let usage = help.usage;
            // A long one has its line to itself, so that the others fit on a terminal of 80 columns.
            if usage.len() > HELP_COLUMN {
                self.console.out.line(usage);
                self.console.out.line(&format!("{:HELP_COLUMN$}   {}", "", help.what));
            } else {
                self.console.out.line(&format!("{usage:HELP_COLUMN$}   {}", help.what));
            }
        }
        if wanted.is_none() {
            self.console.out.line("Everything else goes to the open chat or room.");
            self.console.out.line("//text sends a text that starts with /.");
        }
    }

    fn say(&mut self, target: Target, text: String) {
        let peer = self.session.peer.clone();
        let paint = self.paint;
        self.task(async move {
            match target {
                Target::User(username) => match peer.send(username.as_str(), &text).await {
                    Ok(()) => Report::default(),
                    Err(error) => {
                        let (shown, no_chat) = (show::name(&username), error == RequestError::NoChat.into());
                        let mut report = Report::failure(paint, &format!("not delivered to {shown}"), error);
                        if no_chat {
                            report.lines.push(format!("/chat {shown} asks for one"));
                        }
                        report
                    }
                },
                Target::Room(room) => match peer.broadcast(room.as_str(), &text).await {
                    Ok(report) => {
                        let missed = show::missed(&report);
                        Report::lines(missed.iter().map(|line| paint.paint(Tone::Error, line)).collect())
                    }
                    Err(error) => {
                        Report::failure(paint, &format!("not sent to {}", show::room(&room)), error)
                    }
                },
            }
        });
    }

    fn leave(&mut self, room: Option<String>) {
        let target = match room {
            Some(room) => Target::parse(&format!("#{}", plain_room(room))),
            None => self.open.clone().ok_or_else(|| "nothing is open: /leave ROOM".to_owned()),
        };
        let target = match target {
            Ok(target) => target,
            Err(problem) => return self.console.out.say(Tone::Error, &problem),
        };
        let peer = self.session.peer.clone();
        let paint = self.paint;
        self.task(async move {
            let left = match &target {
                Target::User(username) => peer.hang_up(username.as_str()).await,
                Target::Room(room) => peer.leave(room.as_str()).await,
            };
            match left {
                Ok(()) => {
                    let line = paint.paint(Tone::Success, &format!("left {}", target.shown()));
                    Report { lines: vec![line], close: Some(target), ..Report::default() }
                }
                Err(error) => Report::failure(paint, &target.shown(), error),
            }
        });
    }

    /// Asked for apart from the command, so that it is neither seen nor kept in the editor's history.
    async fn room_password(&mut self, wanted: bool) -> Result<Option<String>, Left> {
        if !wanted {
            return Ok(None);
        }
        sign_in::ask_password(self.console, "The room's password: ").await.map(Some)
    }
}

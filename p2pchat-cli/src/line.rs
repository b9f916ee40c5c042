//! The interactive line mode: a prompt that shows where text goes, commands behind a slash.

use std::{pin::pin, time::Duration};

use p2pchat_core::peer::Event;
use tokio::{task::JoinSet, time};

use crate::{
    args::Global,
    command::{self, Command},
    console::{Console, Input},
    desk::{self, Desk, Next},
    exit::{Exit, Failure},
    output::{Paint, Tone},
    report::{self, Report, Said},
    session::{self, Needs, Session, Signals},
    show,
    sign_in::{self, Left},
    target::Target,
    transfers,
};

/// How long the next prompt waits for the registry's answer to a command, so that it can name where text goes then.
const SETTLE: Duration = Duration::from_secs(5);
/// The same for what waits for another person.
const SETTLE_PERSON: Duration = Duration::from_millis(300);

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
    desk: Desk,
    tasks: JoinSet<Report>,
}

impl<'a> Line<'a> {
    fn new(console: &'a mut Console, session: Session) -> Self {
        let me = session.peer.username().as_ref().map(show::name).unwrap_or_default();
        let paint = console.out.paint();
        let desk = Desk::new(session.peer.clone(), console.is_terminal());
        Self {
            console,
            session,
            me,
            paint,
            open: None,
            places: Vec::new(),
            prompted: None,
            unnamed: false,
            desk,
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
        self.desk.note(&event);
        if let Event::ChatClosed { with: Some(username), .. } = &event
            && self.desk.requests.withdraw(Some(username))
        {
            let who = show::name(username);
            self.console.out.say(Tone::Notice, &format!("{who} doesn't ask to chat any more"));
            return self.close(&Target::User(username.clone()));
        }
        if let Some(lines) = self.desk.files.note(&event, transfers::EVERY) {
            self.console.out.say(Tone::Notice, &lines);
        }
        // What the user did as an owner is said as the command's outcome.
        let is_own =
            matches!(&event, Event::PutOut { by, .. } if self.session.peer.username().as_ref() == Some(by));
        if let Some(line) = show::event(&event, self.paint).filter(|_| !is_own) {
            self.console.out.line(&line);
        }
        match event {
            Event::ChatRequested { request, from, addr, secured } => {
                let label = self.desk.requests.add(request, from, addr, secured);
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
        self.show(&report.lines);
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
        let announced = desk::announced(&command);
        match self.desk.start(command, self.open.as_ref()) {
            Next::Shown(lines) => self.show(&lines),
            Next::Work(work) => {
                if let Some(line) = announced {
                    self.console.out.line(&line);
                }
                self.task(work);
            }
            Next::Password { prompt, then } => {
                if let Ok(password) = sign_in::ask_password(self.console, prompt).await {
                    self.task(then(password));
                }
            }
            Next::Face(Command::Say(text)) => match self.target() {
                Some(target) => self.say(target, text),
                None => self
                    .console
                    .out
                    .say(Tone::Error, "nothing is open: /chat USER, /join ROOM or /switch #ROOM first"),
            },
            Next::Face(Command::Message { to, text }) => match Target::parse(&to) {
                Ok(target) => self.say(target, text),
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Next::Face(Command::Switch(to)) => self.switch(&to),
            // Ends the session, which is the loop's to do.
            Next::Face(_) => {}
        }
    }

    fn switch(&mut self, to: &str) {
        match Target::parse(to) {
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
        }
    }

    fn show(&self, lines: &[Said]) {
        for line in lines {
            self.console.out.line(&line.painted(self.paint));
        }
    }

    /// Where a line of text goes: whoever sees a prompt typed it for whom the prompt names.
    fn target(&self) -> Option<Target> {
        let prompted = self.prompted.as_ref().filter(|_| self.console.is_terminal());
        prompted.or(self.open.as_ref()).cloned()
    }

    fn say(&mut self, target: Target, text: String) {
        self.task(report::say(self.desk.peer.clone(), target, text));
    }
}

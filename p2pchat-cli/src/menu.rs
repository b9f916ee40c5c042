//! The menu mode: the prototype's numbered menus and questions, and the rooms. What has no number is a command (`commands.rs`).

mod commands;
mod owner;

use std::pin::pin;

use p2pchat_core::{
    peer::Event,
    proto::{RoomName, Username},
    tokio::Error,
};
use tokio::task::JoinSet;

use crate::{
    args::{self, Address, Global},
    console::{Console, Input},
    desk::Desk,
    exit::{Exit, Failure},
    output::{Paint, Tone},
    report::Report,
    requests::Pending,
    sanitize,
    session::{self, DEFAULT_CAPACITY, Needs, Session, Signals},
    show,
    sign_in::{self, Answered, Left},
    transfers,
};

const WELCOME: &str = "\nWelcome\n1. Signup\n2. Login\n3. Exit";

const MAIN_MENU: &str = "\nMain Menu\n1. Find Online Users\n2. Search User\n3. Start a Chat\n4. Logout\n\
                         5. List Rooms\n6. Create a Room\n7. Join a Room\n8. Chat in a Room\n9. Leave a Room\n\
                         10. Run a Room of Yours\n11. Files, Keys and Blocking";

const DETAILED: &str = "Retrieve detailed list with users IP and Port numbers?(Choose y or n) ";

/// Runs the mode until the user leaves.
pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let mut console = Console::open(global.color, true);
    console.catch_signals()?;
    let result = welcome(&mut console, global).await;
    console.out.finish();
    result
}

async fn welcome(console: &mut Console, global: &Global) -> Result<(), Failure> {
    let Ok(registry) = sign_in::registry(console, global).await else { return Ok(()) };
    loop {
        console.out.line(WELCOME);
        let outcome = match sign_in::ask(console, "Choose an option: ").await.as_deref() {
            Ok("1") => sign_up(console, global, &registry).await,
            Ok("2") => log_in(console, global, &registry).await,
            Ok("3") | Err(Left) => return Ok(()),
            Ok(_) => {
                console.out.say(Tone::Error, "Choose 1, 2 or 3");
                continue;
            }
        };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(Left)) => return Ok(()),
            Err(failure) if failure.exit == Exit::Registry => return Err(failure),
            Err(failure) => console.out.say(Tone::Error, &failure.to_string()),
        }
    }
}

async fn connect(
    console: &mut Console,
    global: &Global,
    registry: &Address,
) -> Result<Answered<Session>, Failure> {
    let connecting = Session::connect(global, registry, Needs { files: true, ..Needs::default() });
    let Ok(session) = console.unless_told_to_end(connecting).await else { return Ok(Err(Left)) };
    let session = session?;
    if let Some(notice) = session.first_meeting() {
        console.out.say(Tone::Notice, &notice);
    }
    Ok(Ok(session))
}

async fn username(console: &mut Console, global: &Global) -> Answered<String> {
    match &global.user {
        Some(user) => Ok(user.clone()),
        None => sign_in::ask(console, "Username: ").await,
    }
}

async fn sign_up(
    console: &mut Console,
    global: &Global,
    registry: &Address,
) -> Result<Answered<()>, Failure> {
    let Ok(user) = username(console, global).await else { return Ok(Err(Left)) };
    let password = match session::password(global)? {
        Some(password) => password,
        None => match sign_in::ask_new_password(console).await {
            Ok(password) => password,
            Err(Left) => return Ok(Err(Left)),
        },
    };
    let Ok(session) = connect(console, global, registry).await? else { return Ok(Err(Left)) };
    let mut invite = session::invite(global)?;
    let registered = sign_in::register_invited(console, &session, (&user, &password), &mut invite).await;
    session.end().await;
    let Ok(registered) = registered else { return Ok(Err(Left)) };
    registered?;
    console.out.say(Tone::Success, "Account created, you can log in now");
    Ok(Ok(()))
}

async fn log_in(console: &mut Console, global: &Global, registry: &Address) -> Result<Answered<()>, Failure> {
    let Ok(user) = username(console, global).await else { return Ok(Err(Left)) };
    let password = match session::password(global)? {
        Some(password) => password,
        None => match sign_in::ask_password(console, "Password: ").await {
            Ok(password) => password,
            Err(Left) => return Ok(Err(Left)),
        },
    };
    let mut global = global.clone();
    while global.peer_port == 0 {
        match console.ask("Peer port (Enter for a free one): ").await {
            Input::Line(line) if line.trim().is_empty() => break,
            Input::Line(line) => match args::peer_port(&line) {
                Ok(port) => {
                    global.peer_port = port;
                    break;
                }
                Err(problem) => console.out.say(Tone::Error, &problem),
            },
            Input::Interrupted | Input::Closed => return Ok(Err(Left)),
        }
    }
    let Ok(session) = connect(console, &global, registry).await? else { return Ok(Err(Left)) };
    match sign_in::with_key(console, &global, &session, &user, &password).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            session.end().await;
            return Err(failure);
        }
        Err(Left) => {
            session.end().await;
            return Ok(Err(Left));
        }
    }
    console.out.say(Tone::Success, &format!("Logged in as {}", sanitize::line(&user)));
    let mut signals = Signals::catch()?;
    let mut menu = Menu::new(console, session);
    let left = tokio::select! {
        left = menu.run() => left,
        () = signals.received() => Err(Left),
    };
    menu.tasks.shutdown().await;
    menu.session.end().await;
    Ok(left)
}

/// Whom a conversation is with.
enum Partner {
    User(Username),
    /// Somebody whose name comes with their first message.
    Unnamed,
    Room(RoomName),
}

struct Menu<'a> {
    console: &'a mut Console,
    session: Session,
    paint: Paint,
    desk: Desk,
    /// What goes on beside the menus: files.
    tasks: JoinSet<Report>,
    partner: Option<Partner>,
    is_over: bool,
}

impl<'a> Menu<'a> {
    fn new(console: &'a mut Console, session: Session) -> Self {
        let paint = console.out.paint();
        let desk = Desk::new(session.peer.clone(), console.is_terminal());
        Self { console, session, paint, desk, tasks: JoinSet::new(), partner: None, is_over: false }
    }

    /// The main menu, until the user logs out or the session is over; `Err(Left)` if they left the program.
    async fn run(&mut self) -> Answered<()> {
        loop {
            if self.is_over {
                return Ok(());
            }
            self.console.out.line(MAIN_MENU);
            let choice = self.ask("Choose an option: ").await?;
            if self.is_over {
                return Ok(());
            }
            match choice.as_str() {
                "1" => self.find_online_users().await?,
                "2" => self.search_user().await?,
                "3" => self.start_chat().await?,
                "4" => {
                    self.console.out.say(Tone::Success, "Logged out");
                    return Ok(());
                }
                "5" => self.list_rooms().await,
                "6" => self.create_room().await?,
                "7" => self.join_room().await?,
                "8" => self.chat_in_room().await?,
                "9" => self.leave_room().await?,
                "10" => self.run_room().await?,
                "11" => self.list_commands(),
                "" => {}
                "y" | "Y" | "n" | "N" => match self.desk.requests.pop() {
                    Some(pending) => self.answer_request(pending, choice.eq_ignore_ascii_case("y")).await,
                    None => self.console.out.say(Tone::Error, "Nobody is waiting for an answer"),
                },
                command if command.starts_with('/') => self.obey(command).await?,
                _ => self.console.out.say(Tone::Error, "Choose a number from 1 to 11"),
            }
            self.talk().await?;
        }
    }

    /// A line without the blanks around it; what happens meanwhile is shown.
    async fn ask(&mut self, prompt: &str) -> Answered<String> {
        if self.console.is_waiting() {
            // The conversation's prompt stays, though it is over.
            self.console.out.line(prompt);
        }
        self.console.prompt(prompt);
        loop {
            tokio::select! {
                input = self.console.answer() => return match input {
                    Input::Line(line) => Ok(line.trim().to_owned()),
                    Input::Interrupted | Input::Closed => Err(Left),
                },
                Some(event) = self.session.next_event(), if !self.is_over => self.happened(event),
                Some(done) = self.tasks.join_next() => self.take(done.unwrap_or_default()),
            }
        }
    }

    /// What `work` comes to; what happens meanwhile is shown.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                // What the work brings about has been told as events before its outcome, and is shown before it.
                biased;
                Some(event) = self.session.next_event(), if !self.is_over => self.happened(event),
                done = &mut work => return done,
                Some(done) = self.tasks.join_next() => self.take(done.unwrap_or_default()),
            }
        }
    }

    fn happened(&mut self, event: Event) {
        self.desk.note(&event);
        if let Some(lines) = self.desk.files.note(&event, transfers::EVERY) {
            self.console.out.say(Tone::Notice, &lines);
        }
        // What the user did as an owner is said as the menu's outcome.
        let is_own =
            matches!(&event, Event::PutOut { by, .. } if self.session.peer.username().as_ref() == Some(by));
        if let Some(line) = show::event(&event, self.paint).filter(|_| !is_own) {
            self.console.out.line(&line);
        }
        match event {
            Event::ChatRequested { request, from, addr, secured } => {
                self.desk.requests.add(request, from, addr, secured);
                self.console
                    .out
                    .say(Tone::Prompt, "    Answer y or n at the main menu, or anywhere /accept or /reject");
            }
            Event::Message { from, .. } if matches!(self.partner, Some(Partner::Unnamed)) => {
                self.partner = Some(Partner::User(from));
            }
            Event::ChatClosed { with, .. } => {
                self.desk.requests.withdraw(with.as_ref());
                let is_partner = match &self.partner {
                    Some(Partner::User(username)) => with.as_ref() == Some(username),
                    Some(Partner::Unnamed) => with.is_none(),
                    Some(Partner::Room(_)) | None => false,
                };
                if is_partner {
                    self.partner = None;
                }
            }
            Event::PutOut { room, username, .. } | Event::MemberLeft { room, username } => {
                let is_here = matches!(&self.partner, Some(Partner::Room(here)) if *here == room);
                if is_here && self.session.peer.username() == Some(username) {
                    self.partner = None;
                }
            }
            Event::LoggedOut { .. } => {
                self.is_over = true;
                self.partner = None;
                self.desk.requests.clear();
            }
            _ => {}
        }
    }

    fn fail(&self, error: Error) {
        self.console.out.say(Tone::Error, &Failure::from(error).to_string());
    }

    async fn find_online_users(&mut self) -> Answered<()> {
        let detailed = loop {
            match self.ask(DETAILED).await?.as_str() {
                "y" | "Y" => break true,
                "n" | "N" => break false,
                _ => self.console.out.say(Tone::Error, "Choose y or n"),
            }
        };
        let peer = self.session.peer.clone();
        let listed = if detailed {
            self.during(peer.peers()).await.map(|peers| show::peers(&peers))
        } else {
            self.during(peer.names()).await.map(|names| names.iter().map(show::name).collect())
        };
        match listed {
            Ok(lines) if lines.is_empty() => self.console.out.say(Tone::Notice, "Nobody else is online"),
            Ok(lines) => lines.iter().for_each(|line| self.console.out.line(line)),
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    async fn search_user(&mut self) -> Answered<()> {
        let user = self.ask("Username: ").await?;
        let peer = self.session.peer.clone();
        match self.during(peer.search(&user)).await {
            Ok(found) => self.console.out.say(Tone::Success, &show::found(&user, &found)),
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    async fn start_chat(&mut self) -> Answered<()> {
        let user = self.ask("Username: ").await?;
        let Ok(username) = Username::new(&user) else {
            self.console.out.say(Tone::Error, "That is no username");
            return Ok(());
        };
        self.console.out.line(&format!("Waiting for {} to accept", show::name(&username)));
        let peer = self.session.peer.clone();
        match self.during(peer.chat(username.as_str())).await {
            Ok(()) => self.partner = Some(Partner::User(username)),
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    async fn answer_request(&mut self, pending: Pending, accepts: bool) {
        let peer = self.session.peer.clone();
        if !accepts {
            match self.during(peer.reject(pending.id, None)).await {
                Ok(()) => self.console.out.say(Tone::Notice, &format!("Declined {}", pending.label)),
                Err(error) => self.fail(error),
            }
            return;
        }
        match self.during(peer.accept(pending.id)).await {
            Ok(()) => self.partner = Some(pending.from.map_or(Partner::Unnamed, Partner::User)),
            Err(error) => self.fail(error),
        }
    }

    /// Sends what is typed to the partner, if there is one, until the user or the other side ends it.
    async fn talk(&mut self) -> Answered<()> {
        let leave = match &self.partner {
            Some(Partner::Room(_)) => "goes back to the menu, where 9 leaves the room",
            _ => "ends the chat",
        };
        if self.partner.is_some() {
            self.console
                .out
                .line(&format!("What you type is sent. /leave {leave}; /help lists other commands."));
        }
        while self.partner.is_some() && !self.is_over {
            let prompt = match &self.partner {
                Some(Partner::User(username)) => format!("{}> ", show::name(username)),
                Some(Partner::Room(room)) => format!("{}> ", show::room(room)),
                Some(Partner::Unnamed) | None => "> ".to_owned(),
            };
            self.console.prompt(&prompt);
            let line = tokio::select! {
                input = self.console.answer() => match input {
                    Input::Line(line) => line,
                    Input::Interrupted | Input::Closed => return Err(Left),
                },
                Some(event) = self.session.next_event() => {
                    self.happened(event);
                    // If that ended the conversation, the line being typed is the menu's.
                    continue;
                }
                Some(done) = self.tasks.join_next() => {
                    self.take(done.unwrap_or_default());
                    continue;
                }
            };
            if line.starts_with('/') {
                self.obey(&line).await?;
            } else if !line.trim().is_empty() {
                self.send(&line).await;
            }
        }
        Ok(())
    }

    async fn send(&mut self, text: &str) {
        let peer = self.session.peer.clone();
        match &self.partner {
            Some(Partner::User(username)) => {
                let username = username.clone();
                if let Err(error) = self.during(peer.send(username.as_str(), text)).await {
                    self.fail(error);
                }
            }
            Some(Partner::Room(room)) => {
                let room = room.clone();
                match self.during(peer.broadcast(room.as_str(), text)).await {
                    Ok(report) => {
                        show::missed(&report).iter().for_each(|line| self.console.out.say(Tone::Error, line));
                    }
                    Err(error) => self.fail(error),
                }
            }
            Some(Partner::Unnamed) => self.console.out.say(Tone::Notice, "Wait until they say something"),
            None => {}
        }
    }

    async fn hang_up(&mut self) {
        let peer = self.session.peer.clone();
        if let Some(Partner::User(username)) = self.partner.take()
            && let Err(error) = self.during(peer.hang_up(username.as_str())).await
        {
            self.fail(error);
        }
    }

    async fn list_rooms(&mut self) {
        let peer = self.session.peer.clone();
        match self.during(peer.rooms()).await {
            Ok(rooms) if rooms.is_empty() => self.console.out.say(Tone::Notice, "There are no rooms"),
            Ok(rooms) => show::rooms(&rooms).iter().for_each(|line| self.console.out.line(line)),
            Err(error) => self.fail(error),
        }
    }

    async fn room_password(&mut self) -> Answered<String> {
        sign_in::ask_password(self.console, "Room's password (Enter for none): ").await
    }

    async fn create_room(&mut self) -> Answered<()> {
        let room = self.ask("Room's name: ").await?;
        let password = self.room_password().await?;
        let capacity = loop {
            let prompt = format!("How many members at most (Enter for {DEFAULT_CAPACITY}): ");
            let line = self.ask(&prompt).await?;
            match line.parse() {
                Ok(capacity) => break capacity,
                Err(_) if line.is_empty() => break DEFAULT_CAPACITY,
                Err(_) => self.console.out.say(Tone::Error, "A number is wanted"),
            }
        };
        let description = self.ask("What it is about: ").await?;
        let peer = self.session.peer.clone();
        match self.during(peer.create(&room, Some(&password), capacity, &description)).await {
            Ok(()) => self.console.out.say(Tone::Success, &format!("Created #{}", sanitize::line(&room))),
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    async fn join_room(&mut self) -> Answered<()> {
        let room = self.ask("Room's name: ").await?;
        let password = self.room_password().await?;
        let peer = self.session.peer.clone();
        match self.during(peer.join(&room, Some(&password))).await {
            Ok(()) => self.console.out.say(Tone::Success, &format!("Joined #{}", sanitize::line(&room))),
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    async fn chat_in_room(&mut self) -> Answered<()> {
        let name = self.ask("Room's name: ").await?;
        self.open_room(&name).await;
        Ok(())
    }

    async fn open_room(&mut self, name: &str) {
        let peer = self.session.peer.clone();
        match (RoomName::new(name), self.during(peer.members(name)).await) {
            (Ok(room), Ok(members)) => {
                self.console.out.line(&format!("Online: {}", show::names(&members)));
                self.partner = Some(Partner::Room(room));
            }
            (_, Err(error)) => self.fail(error),
            (Err(_), Ok(_)) => self.console.out.say(Tone::Error, "That is no room's name"),
        }
    }

    async fn leave_room(&mut self) -> Answered<()> {
        let room = self.ask("Room's name: ").await?;
        let peer = self.session.peer.clone();
        match self.during(peer.leave(&room)).await {
            Ok(()) => self.console.out.say(Tone::Success, &format!("Left #{}", sanitize::line(&room))),
            Err(error) => self.fail(error),
        }
        Ok(())
    }
}

//! The first screens: which registry, whether it is the right one, who the user is.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use p2pchat_core::{peer::RequestError, proto::Username, tokio::Error};
use ratatui::{
    Frame,
    layout::Position,
    style::{Modifier, Style},
};

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    input::{Edit, Input as Typed},
    talk::text_width,
    term::Term,
    theme::Theme,
    view::put,
};
use crate::{
    args::{self, Address, Global},
    exit::Failure,
    output::Tone,
    private,
    report::Said,
    sanitize,
    session::{self, Needs, Session},
    text,
};

/// How long somebody may look at what keeps the registry from being reached before it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Which registry it was last time, and who the user was: what nothing else says needs not be typed again.
struct Account {
    registry: Address,
    user: String,
}

impl Account {
    fn file(global: &Global) -> Option<PathBuf> {
        Some(session::data_dir(global).ok()?.join("last_account"))
    }

    fn remembered(global: &Global) -> Option<Self> {
        let text = fs::read_to_string(Self::file(global)?).ok()?;
        let (registry, user) = text.trim_end().split_once('\n')?;
        Some(Self { registry: args::tcp_address(registry).ok()?, user: user.to_owned() })
    }

    /// Keeps what was said now. Without it, it is asked for again, which is no reason to stop.
    fn remember(global: &Global) {
        let (Some(file), Some(Address { host, port }), Some(user)) =
            (Self::file(global), &global.registry, &global.user)
        else {
            return;
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let written = private::write(&file, true, |file| writeln!(file, "{host}:{port}\n{user}"));
        if let Err(error) = written {
            tracing::info!(%error, "the account isn't remembered");
        }
    }
}

/// The user left, or goes back.
struct Left;

/// What a page asks for.
#[derive(Default)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) lines: Vec<Said>,
    /// What is to be typed; nothing, if none.
    pub(super) prompt: Option<&'static str>,
    pub(super) secret: bool,
    pub(super) typed: Typed,
    pub(super) problem: Option<String>,
    pub(super) keys: &'static str,
}

struct Welcome<'a> {
    term: &'a mut Term,
    theme: &'a Theme,
}

/// Shows them until somebody is logged in; `None` if the user left. What they said is the command line's from then on.
pub(super) async fn run(
    term: &mut Term,
    theme: &Theme,
    global: &mut Global,
    mut password: Option<String>,
) -> Result<Option<Session>, Failure> {
    let mut welcome = Welcome { term, theme };
    let mut problem = None;
    let before = Account::remembered(global);
    if let Some(before) = before.filter(|_| global.registry.is_none()) {
        global.registry = Some(before.registry);
        global.user = global.user.take().or(Some(before.user));
    }
    loop {
        let Ok(mut session) = welcome.connect(global, problem.take()).await? else { return Ok(None) };
        match welcome.enter(global, &mut session, password.take()).await {
            Ok(Ok(())) => {
                Account::remember(global);
                return Ok(Some(session));
            }
            Ok(Err(Left)) => {
                session.end().await;
                return Ok(None);
            }
            Err(failure) => {
                session.end().await;
                problem = Some(failure.to_string());
            }
        }
    }
}

impl Welcome<'_> {
    /// Reaches a registry, which is asked for if it isn't known, and again as long as it can't be reached.
    async fn connect(
        &mut self,
        global: &mut Global,
        mut problem: Option<String>,
    ) -> Result<Result<Session, Left>, Failure> {
        loop {
            let registry = match global.registry.clone().filter(|_| problem.is_none()) {
                Some(registry) => registry,
                None => match self.registry(global.registry.as_ref(), problem.take()).await? {
                    Ok(registry) => registry,
                    Err(Left) => return Ok(Err(Left)),
                },
            };
            global.registry = Some(registry.clone());
            let shown = sanitize::line(&format!("{}:{}", registry.host, registry.port));
            let needs = Needs { files: true, ..Needs::default() };
            let connecting = Session::connect(global, &registry, needs);
            match self.busy(&format!("Reaching {shown} …"), connecting).await? {
                Ok(Ok(session)) => {
                    if let Some(notice) = session.first_meeting()
                        && self.met(&shown, &notice).await?.is_err()
                    {
                        session.end().await;
                        return Ok(Err(Left));
                    }
                    return Ok(Ok(session));
                }
                Ok(Err(failure)) => problem = Some(format!("{failure}\n`p2pchat doctor` finds out why")),
                Err(Left) => problem = Some("given up".to_owned()),
            }
        }
    }

    async fn registry(
        &mut self,
        before: Option<&Address>,
        problem: Option<String>,
    ) -> Result<Result<Address, Left>, Failure> {
        let mut page = Page {
            title: "Welcome to p2pchat".to_owned(),
            lines: vec![
                "A registry knows who is online and which rooms there are; what you say goes straight from you to the others."
                    .into(),
                "Whoever invited you can tell you the address of theirs.".into(),
            ],
            prompt: Some("Registry (host or host:port)"),
            problem,
            keys: "Enter goes on   Ctrl-D leaves",
            ..Page::default()
        };
        if let Some(Address { host, port }) = before {
            page.typed.set(&format!("{host}:{port}"));
            if page.problem.is_some() {
                page.keys = "Enter tries again, as happens by itself   Ctrl-D leaves";
            }
        }
        let same = page.typed.text().to_owned();
        loop {
            // Whoever waits for the registry to come back need not stand by.
            let waits = page.problem.is_some() && before.is_some() && page.typed.text() == same;
            let typed = match waits {
                true => match tokio::time::timeout(AGAIN, self.ask(&mut page)).await {
                    Ok(typed) => typed?,
                    Err(_) if page.typed.text() == same => Ok(same.clone()),
                    Err(_) => continue,
                },
                false => self.ask(&mut page).await?,
            };
            let Ok(typed) = typed else { return Ok(Err(Left)) };
            match args::tcp_address(&typed) {
                Ok(address) => return Ok(Ok(address)),
                Err(problem) => page.problem = Some(problem),
            }
        }
    }

    /// A registry was never met before.
    async fn met(&mut self, registry: &str, notice: &str) -> Result<Result<(), Left>, Failure> {
        let mut page = Page {
            title: format!("{registry} is met for the first time"),
            lines: notice.lines().map(Said::from).collect(),
            keys: "Enter: it is the right one   Ctrl-D leaves",
            ..Page::default()
        };
        Ok(self.ask(&mut page).await?.map(drop))
    }

    /// Logs in, with a new account if the user wants one.
    async fn enter(
        &mut self,
        global: &mut Global,
        session: &mut Session,
        password: Option<String>,
    ) -> Result<Result<(), Left>, Failure> {
        if let (Some(user), Some(password)) = (global.user.clone(), password) {
            match self.log_in(global, session, &user, &password).await? {
                Ok(Ok(())) => return Ok(Ok(())),
                Ok(Err(failure)) => return self.account(global, session, Some(failure.to_string())).await,
                Err(Left) => return Ok(Err(Left)),
            }
        }
        self.account(global, session, None).await
    }

    async fn account(
        &mut self,
        global: &mut Global,
        session: &mut Session,
        mut problem: Option<String>,
    ) -> Result<Result<(), Left>, Failure> {
        loop {
            let mut page = Page {
                title: "Who are you?".to_owned(),
                lines: vec![
                    "Log in with your username, or leave it empty to sign up for a new account.".into(),
                ],
                prompt: Some("Username"),
                problem: problem.take(),
                keys: "Enter goes on   Ctrl-D leaves",
                ..Page::default()
            };
            page.typed.set(global.user.as_deref().unwrap_or_default());
            let Ok(user) = self.ask(&mut page).await? else { return Ok(Err(Left)) };
            let user = user.trim().to_owned();
            if user.is_empty() {
                match self.sign_up(global, session).await? {
                    Ok(()) => return Ok(Ok(())),
                    Err(Left) => continue,
                }
            }
            let mut page = Page {
                title: format!("Welcome back, {}", sanitize::line(&user)),
                prompt: Some("Password"),
                secret: true,
                keys: "Enter logs in   Esc goes back",
                ..Page::default()
            };
            let Ok(password) = self.ask(&mut page).await? else { continue };
            match self.log_in(global, session, &user, &password).await? {
                Ok(Ok(())) => {
                    global.user = Some(user);
                    return Ok(Ok(()));
                }
                Ok(Err(failure)) => problem = Some(failure.to_string()),
                Err(Left) => {}
            }
            global.user = Some(user);
        }
    }

    async fn sign_up(
        &mut self,
        global: &mut Global,
        session: &mut Session,
    ) -> Result<Result<(), Left>, Failure> {
        let (mut user, mut problem) = (String::new(), None);
        let mut invite = session::invite(global)?;
        loop {
            let mut page = Page {
                title: "A new account".to_owned(),
                lines: vec!["The name by which others find you. It can't be changed later.".into()],
                prompt: Some("Username"),
                problem: problem.take(),
                keys: "Enter goes on   Esc goes back",
                ..Page::default()
            };
            page.typed.set(&user);
            let Ok(typed) = self.ask(&mut page).await? else { return Ok(Err(Left)) };
            user = typed.trim().to_owned();
            // Before anybody thinks of a password for it.
            if let Err(wrong) = Username::new(&user) {
                problem = Some(format!("the username {wrong}"));
                continue;
            }
            let Ok(password) = self.new_password().await? else { return Ok(Err(Left)) };
            session.forget_events().await;
            let registered = loop {
                let registering = session::register(&session.peer, &user, &password, invite.as_deref());
                match self.busy("Signing up …", registering).await? {
                    Ok(Err(Error::Request(RequestError::InviteWanted))) => {
                        let mut page = Page {
                            title: "This registry wants an invitation".to_owned(),
                            lines: vec!["Its operator gives you a code, for one account.".into()],
                            prompt: Some("Code"),
                            keys: "Enter goes on   Esc goes back",
                            ..Page::default()
                        };
                        let Ok(code) = self.ask(&mut page).await? else { return Ok(Err(Left)) };
                        invite = Some(code);
                    }
                    Ok(registered) => break registered,
                    Err(Left) => return Ok(Err(Left)),
                }
            };
            match registered {
                Ok(()) => match self.log_in(global, session, &user, &password).await? {
                    Ok(Ok(())) => {
                        global.user = Some(user);
                        return Ok(Ok(()));
                    }
                    Ok(Err(failure)) => return Err(failure),
                    Err(Left) => return Ok(Err(Left)),
                },
                Err(error) => problem = Some(Failure::from(error).to_string()),
            }
        }
    }

    async fn new_password(&mut self) -> Result<Result<String, Left>, Failure> {
        let mut problem = None;
        loop {
            let mut page = Page {
                title: "A new account".to_owned(),
                lines: vec!["Nobody can tell you this password again if it is lost.".into()],
                prompt: Some("Password"),
                secret: true,
                problem: problem.take(),
                keys: "Enter goes on   Esc goes back",
                ..Page::default()
            };
            let Ok(password) = self.ask(&mut page).await? else { return Ok(Err(Left)) };
            if password.is_empty() {
                problem = Some("a password can't be empty".to_owned());
                continue;
            }
            page.prompt = Some("The same again");
            page.typed.set("");
            match self.ask(&mut page).await? {
                Ok(again) if again == password => return Ok(Ok(password)),
                Ok(_) => problem = Some("those were not the same".to_owned()),
                Err(Left) => return Ok(Err(Left)),
            }
        }
    }

    /// Logs in with the account's key, whose passphrase is asked for first if it has one that isn't known.
    async fn log_in(
        &mut self,
        global: &Global,
        session: &mut Session,
        user: &str,
        password: &str,
    ) -> Result<Result<Result<(), Failure>, Left>, Failure> {
        let passphrase = match session.wants_passphrase(global, user)? {
            false => None,
            true => {
                let mut page = Page {
                    title: "Your link key is under a passphrase".to_owned(),
                    prompt: Some("Passphrase"),
                    secret: true,
                    keys: "Enter goes on   Esc goes back",
                    ..Page::default()
                };
                match self.ask(&mut page).await? {
                    Ok(passphrase) => Some(passphrase),
                    Err(Left) => return Ok(Err(Left)),
                }
            }
        };
        self.busy("Logging in …", session.login(global, user, password, passphrase)).await
    }

    /// What is typed on a page; on one without a prompt nothing is.
    async fn ask(&mut self, page: &mut Page) -> Result<Result<String, Left>, Failure> {
        loop {
            self.draw(page)?;
            match self.term.next().await {
                None => return Ok(Err(Left)),
                Some(Input::Paste(text)) if page.prompt.is_some() => {
                    page.typed.paste(text.lines().next().unwrap_or_default());
                }
                Some(Input::Key(key)) if key.kind != KeyEventKind::Release => match key.code {
                    KeyCode::Enter => return Ok(Ok(page.typed.text().to_owned())),
                    _ if is_leaving(&key) => return Ok(Err(Left)),
                    code => typing(page, code, key.modifiers),
                },
                Some(_) => {}
            }
        }
    }

    /// Does something that takes a while, unless the user has enough of it.
    async fn busy<T>(
        &mut self,
        what: &str,
        work: impl Future<Output = T>,
    ) -> Result<Result<T, Left>, Failure> {
        let page = Page { title: what.to_owned(), keys: "Esc gives up", ..Page::default() };
        let mut work = std::pin::pin!(work);
        loop {
            self.draw(&page)?;
            tokio::select! {
                done = &mut work => return Ok(Ok(done)),
                input = self.term.next() => match input {
                    None => return Ok(Err(Left)),
                    Some(Input::Key(key)) if key.kind != KeyEventKind::Release && is_leaving(&key) => {
                        return Ok(Err(Left));
                    }
                    Some(_) => {}
                },
            }
        }
    }

    fn draw(&mut self, page: &Page) -> Result<(), Failure> {
        let theme = self.theme;
        self.term.draw(|frame| draw(page, theme, frame))
    }
}

fn is_leaving(key: &KeyEvent) -> bool {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    key.code == KeyCode::Esc || (ctrl && matches!(key.code, KeyCode::Char('c' | 'd')))
}

fn typing(page: &mut Page, code: KeyCode, modifiers: KeyModifiers) {
    if page.prompt.is_none() {
        return;
    }
    let ctrl = modifiers.contains(KeyModifiers::CONTROL);
    let edit = match code {
        KeyCode::Left => Edit::Left,
        KeyCode::Right => Edit::Right,
        KeyCode::Home => Edit::Home,
        KeyCode::End => Edit::End,
        KeyCode::Backspace => Edit::Backspace,
        KeyCode::Delete => Edit::Delete,
        KeyCode::Char('u') if ctrl => Edit::DeleteToStart,
        KeyCode::Char('w') if ctrl => Edit::DeleteWord,
        KeyCode::Char(c) if !ctrl => {
            page.typed.insert(c);
            return;
        }
        _ => return,
    };
    page.typed.edit(edit);
}

/// A page in the middle of the screen, as far as there is room.
pub(super) fn draw(page: &Page, theme: &Theme, frame: &mut Frame<'_>) {
    let all = frame.area();
    let width = all.width.saturating_sub(2).min(72);
    let mut rows: Vec<(String, Style)> = Vec::new();
    let mut add = |text: &str, style: Style| {
        rows.extend(text::plain(text, usize::from(width.max(1))).into_iter().map(|row| (row, style)));
    };
    add(&page.title, Style::new().add_modifier(Modifier::BOLD));
    add("", Style::new());
    for said in &page.lines {
        add(&said.text, theme.tone(said.tone));
    }
    if let Some(problem) = &page.problem {
        add("", Style::new());
        add(problem, theme.tone(Some(Tone::Error)));
    }
    add("", Style::new());
    if let Some(prompt) = page.prompt {
        add(&format!("{prompt}:"), theme.tone(Some(Tone::Prompt)));
        add("", Style::new());
    }
    add("", Style::new());
    add(page.keys, theme.dim);
    // Above the keys and the blank before them.
    let typed_at = rows.len().saturating_sub(2 + text::plain(page.keys, usize::from(width.max(1))).len());
    let height = usize::from(all.height);
    let top = height.saturating_sub(rows.len()) / 3;
    // What is asked stays in sight, whatever doesn't.
    let hidden = rows.len().saturating_sub(height);
    let left = all.width.saturating_sub(width) / 2;
    let buffer = frame.buffer_mut();
    for (y, (text, style)) in (top..).zip(rows.iter().skip(hidden)) {
        put(buffer, (left, u16::try_from(y).unwrap_or(u16::MAX)), text, usize::from(width), *style);
    }
    let mut caret = None;
    if page.prompt.is_some() && typed_at >= hidden {
        let y = u16::try_from(top + typed_at - hidden).unwrap_or(u16::MAX);
        let room = usize::from(width).saturating_sub(3).max(1);
        let typed = match page.secret {
            true => "•".repeat(page.typed.text().chars().count()),
            false => page.typed.text().to_owned(),
        };
        let cells = if page.secret { text_width(&typed) } else { page.typed.layout(usize::MAX).1.1 };
        // Of a long one the caret's end is shown.
        let skipped = cells.saturating_sub(room);
        let mut left_out = 0;
        let shown: String = typed
            .graphemes(true)
            .skip_while(|letter| {
                let is_out = left_out < skipped;
                left_out += text_width(letter);
                is_out
            })
            .collect();
        put(buffer, (left, y), "> ", 2, theme.tone(Some(Tone::Prompt)));
        put(buffer, (left + 2, y), shown, room, Style::new());
        caret = Some(Position::new(left + 2 + u16::try_from(cells - skipped).unwrap_or(0), y));
    }
    if let Some(caret) = caret {
        frame.set_cursor_position(caret);
    }
}

//! Where an interactive mode's lines come from: a line editor on a terminal, plain lines from a pipe.

use std::{
    io::{self, BufRead, IsTerminal},
    sync::mpsc,
    thread,
};

use rustyline::{ColorMode, Config, DefaultEditor, error::ReadlineError};
use tokio::sync::mpsc as async_mpsc;

use crate::{
    args::ColorChoice,
    exit::Failure,
    output::{Out, Paint, Tone},
    session::Signals,
    sign_in::Left,
};

/// What came of asking for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line, without its end. On a terminal a pasted text may hold line breaks.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D at an empty prompt, the pipe's end, or a signal that asks the program to end.
    Closed,
}

enum Ask {
    Line { prompt: String },
    Secret { prompt: String },
}

/// The user: asked for one line at a time, by a thread that can wait for it.
pub(crate) struct Console {
    /// What is shown to the user.
    pub(crate) out: Out,
    asks: mpsc::Sender<Ask>,
    answers: async_mpsc::UnboundedReceiver<Input>,
    waiting: bool,
    is_terminal: bool,
    shows_prompts: bool,
    signals: Option<Signals>,
    /// A signal has come.
    told_to_end: bool,
    /// Dropped at the end: a prompt that is left open has the terminal in a mode of its own.
    _mode: Option<Mode>,
}

impl Console {
    /// Takes the terminal, or the pipe that stands in for it. `shows_prompts` is about a pipe only: menus make no sense
    /// without their questions, while lines of a conversation do.
    pub(crate) fn open(color: ColorChoice, shows_prompts: bool) -> Self {
        let mode = Mode::now();
        let paint = Paint::for_stream(color, &io::stdout());
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = async_mpsc::unbounded_channel();
        let editor =
            if io::stdin().is_terminal() && io::stdout().is_terminal() { editor(paint) } else { None };
        let is_terminal = editor.is_some();
        let out = match editor {
            Some((mut editor, out)) => {
                thread::spawn(move || {
                    while let Ok(ask) = asked.recv() {
                        if answer.send(read_edited(&mut editor, ask, paint)).is_err() {
                            break;
                        }
                    }
                });
                out
            }
            None => {
                thread::spawn(move || {
                    while asked.recv().is_ok() {
                        if answer.send(read_plain()).is_err() {
                            break;
                        }
                    }
                });
                Out::stdout(paint)
            }
        };
        Self {
            out,
            asks,
            answers,
            waiting: false,
            is_terminal,
            shows_prompts: is_terminal || shows_prompts,
            signals: None,
            told_to_end: false,
            _mode: mode,
        }
    }

    /// From now on a signal that asks the program to end doesn't do that by itself, but is an answer to whatever was
    /// asked: [`Input::Closed`].
    pub(crate) fn catch_signals(&mut self) -> Result<(), Failure> {
        self.signals = Some(Signals::catch()?);
        Ok(())
    }

    /// True if such a signal has come.
    pub(crate) fn is_told_to_end(&self) -> bool {
        self.told_to_end
    }

    /// What `work` comes to, unless such a signal comes first.
    pub(crate) async fn unless_told_to_end<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Left> {
        tokio::select! {
            done = work => Ok(done),
            () = received(&mut self.signals) => {
                self.told_to_end = true;
                Err(Left)
            }
        }
    }

    /// True if somebody sits in front of it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// True if a line was asked for and has not come yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Asks for a line; [`answer`](Self::answer) brings it. If one is being waited for already, its prompt stays.
    pub(crate) fn prompt(&mut self, prompt: &str) {
        if !self.waiting {
            self.send(Ask::Line { prompt: prompt.to_owned() });
        }
    }

    /// The line that was asked for. Nothing is lost if the future is dropped.
    pub(crate) async fn answer(&mut self) -> Input {
        tokio::select! {
            input = self.answers.recv() => {
                self.waiting = false;
                input.unwrap_or(Input::Closed)
            }
            () = received(&mut self.signals) => {
                self.told_to_end = true;
                Input::Closed
            }
        }
    }

    /// Asks for a line and waits for it.
    pub(crate) async fn ask(&mut self, prompt: &str) -> Input {
        self.prompt(prompt);
        self.answer().await
    }

    /// Asks for a line that isn't shown while it is typed, and waits for it.
    pub(crate) async fn ask_secret(&mut self, prompt: &str) -> Input {
        // This prompt is not the line editor's, which would put lines above it.
        self.out.settle();
        self.send(Ask::Secret { prompt: prompt.to_owned() });
        let input = self.answer().await;
        if self.is_terminal && !matches!(input, Input::Line(_)) {
            self.out.line("");
            self.out.settle();
        }
        input
    }

    fn send(&mut self, ask: Ask) {
        if !self.is_terminal && self.shows_prompts {
            let (Ask::Line { prompt } | Ask::Secret { prompt }) = &ask;
            self.out.question(prompt);
        }
        // If the thread is gone, the answers' channel is closed and says so.
        self.waiting = self.asks.send(ask).is_ok();
    }
}

async fn received(signals: &mut Option<Signals>) {
    match signals {
        Some(signals) => signals.received().await,
        None => std::future::pending().await,
    }
}

/// The terminal's mode, which is put back on dropping.
struct Mode {
    #[cfg(unix)]
    before: rustix::termios::Termios,
}

impl Mode {
    #[cfg(unix)]
    fn now() -> Option<Self> {
        rustix::termios::tcgetattr(io::stdin()).ok().map(|before| Self { before })
    }

    #[cfg(not(unix))]
    fn now() -> Option<Self> {
        None
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            use rustix::termios::{OptionalActions, tcsetattr};
            // A terminal that is gone has no mode.
            _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
        }
    }
}

fn editor(paint: Paint) -> Option<(DefaultEditor, Out)> {
    let color = if paint.is_on() { ColorMode::Forced } else { ColorMode::Disabled };
    let config = Config::builder().color_mode(color).auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).ok()?;
    // Fails on terminals that can't place a cursor; plain lines do there.
    let printer = editor.create_external_printer().ok()?;
    // Prompts are coloured only for an editor with a helper, be it one that does nothing.
    editor.set_helper(Some(()));
    Some((editor, Out::editor(printer, paint)))
}

fn read_edited(editor: &mut DefaultEditor, ask: Ask, paint: Paint) -> Input {
    let read = match ask {
        Ask::Line { prompt } => editor.readline(&(prompt.clone(), paint.paint(Tone::Prompt, &prompt))),
        Ask::Secret { prompt } => {
            rpassword::prompt_password(paint.paint(Tone::Prompt, &prompt)).map_err(ReadlineError::Io)
        }
    };
    match read {
        Ok(line) => Input::Line(line),
        Err(ReadlineError::Interrupted) => Input::Interrupted,
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => Input::Interrupted,
        Err(_) => Input::Closed,
    }
}

fn read_plain() -> Input {
    let mut line = Vec::new();
    match io::stdin().lock().read_until(b'\n', &mut line) {
        Ok(1..) => {
            let line = String::from_utf8_lossy(&line);
            Input::Line(line.trim_end_matches(['\n', '\r']).to_owned())
        }
        Ok(0) | Err(_) => Input::Closed,
    }
}

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
    output::{Out, Paint, Tone},
};

/// What came of asking for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line, without its end. On a terminal a pasted text may hold line breaks.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D at an empty prompt, or the pipe's end.
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
}

impl Console {
    /// Takes the terminal, or the pipe that stands in for it. `shows_prompts` is about a pipe only: menus make no sense
    /// without their questions, while lines of a conversation do.
    pub(crate) fn open(color: ColorChoice, shows_prompts: bool) -> Self {
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
        Self { out, asks, answers, waiting: false, is_terminal, shows_prompts: is_terminal || shows_prompts }
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
        let input = self.answers.recv().await.unwrap_or(Input::Closed);
        self.waiting = false;
        input
    }

    /// Asks for a line and waits for it.
    pub(crate) async fn ask(&mut self, prompt: &str) -> Input {
        self.prompt(prompt);
        self.answer().await
    }

    /// Asks for a line that isn't shown while it is typed, and waits for it.
    pub(crate) async fn ask_secret(&mut self, prompt: &str) -> Input {
        self.send(Ask::Secret { prompt: prompt.to_owned() });
        self.answer().await
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

//! Where lines go, and in which colour.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use anstyle::{AnsiColor, Style};

use crate::args::ColorChoice;

/// What a line is about, which settles its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something worked: green.
    Success,
    /// Something failed: red.
    Error,
    /// Unusual, but no failure: yellow.
    Notice,
    /// A question to the user: magenta.
    Prompt,
    /// What the registry says or does: blue.
    Registry,
    /// A name in front of what its owner said: bold.
    Name,
}

/// Whether to colour, decided once for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colours.
    pub(crate) const OFF: Self = Self(false);

    /// Colours if the user says so, else if `stream` is a terminal and `NO_COLOR` is not set.
    pub(crate) fn for_stream(choice: ColorChoice, stream: &impl IsTerminal) -> Self {
        Self(match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                stream.is_terminal() && !unwanted
            }
        })
    }

    /// True if colours, emphasis and hyperlinks may be written.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// `text`, coloured if colours are on.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Success => AnsiColor::Green.on_default(),
            Tone::Error => AnsiColor::Red.on_default(),
            Tone::Notice => AnsiColor::Yellow.on_default(),
            Tone::Prompt => AnsiColor::Magenta.on_default(),
            Tone::Registry => AnsiColor::Blue.on_default(),
            Tone::Name => Style::new().bold(),
        };
        self.style(style, text)
    }

    /// `text` in a style of its own, which ends with each line.
    pub(crate) fn style(self, style: Style, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let lines = text.split('\n').map(|line| format!("{style}{line}{style:#}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// No colours.
    pub(crate) const fn none() -> Self {
        Self(false)
    }

    #[cfg(any(test, feature = "__fuzz"))]
    pub(crate) fn forced(on: bool) -> Self {
        Self(on)
    }
}

/// How many lines may wait for a line editor that is busy redrawing.
const WAITING_LINES: usize = 256;

enum Sink {
    /// Standard output.
    Stdout,
    /// A thread that has a line editor put them above what is being typed, and tells when it has ended.
    Editor { jobs: mpsc::SyncSender<Job>, ended: mpsc::Receiver<()> },
}

enum Job {
    Line(String),
    /// To be answered once what came before is shown.
    Settle(mpsc::SyncSender<()>),
}

/// How long the editor may take to show what waits before it is not waited for any more.
const PATIENCE: Duration = Duration::from_millis(300);

/// Standard output of an interactive mode: whole lines that don't garble what is being typed.
pub(crate) struct Out {
    sink: Sink,
    paint: Paint,
}

impl Out {
    /// Writes to standard output.
    pub(crate) fn stdout(paint: Paint) -> Self {
        Self { sink: Sink::Stdout, paint }
    }

    /// Writes through a line editor's printer, on a thread of its own since the editor makes it wait at times.
    pub(crate) fn editor(
        mut printer: impl rustyline::ExternalPrinter + Send + 'static,
        paint: Paint,
    ) -> Self {
        let (jobs, waiting) = mpsc::sync_channel(WAITING_LINES);
        let (done, ended) = mpsc::sync_channel(1);
        thread::spawn(move || {
            while let Ok(job) = waiting.recv() {
                let done = match job {
                    Job::Line(line) => printer.print(line).is_ok(),
                    Job::Settle(settled) => {
                        let _ = settled.send(());
                        true
                    }
                };
                if !done {
                    break;
                }
            }
            done.send(())
        });
        Self { sink: Sink::Editor { jobs, ended }, paint }
    }

    /// The colours in use.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes `text`, which may be coloured already, and ends the line.
    pub(crate) fn line(&self, text: &str) {
        self.write(format!("{text}\n"));
    }

    /// Writes a line in a colour.
    pub(crate) fn say(&self, tone: Tone, text: &str) {
        self.line(&self.paint.paint(tone, text));
    }

    /// Writes a question, and doesn't end the line.
    pub(crate) fn question(&self, text: &str) {
        self.write(self.paint.paint(Tone::Prompt, text));
    }

    // A terminal that is gone can't be told about it; the input's end will follow.
    fn write(&self, text: String) {
        match &self.sink {
            Sink::Stdout => {
                let _ = write_stdout(&text);
            }
            Sink::Editor { jobs, .. } => {
                let _ = jobs.send(Job::Line(text));
            }
        }
    }

    /// Waits a moment for what is still to be shown, so that it comes before what others write to the terminal.
    pub(crate) fn settle(&self) {
        if let Sink::Editor { jobs, .. } = &self.sink {
            // Room for the answer, which nobody may be waiting for by then.
            let (settled, is_settled) = mpsc::sync_channel(1);
            let _ = jobs.send(Job::Settle(settled));
            let _ = is_settled.recv_timeout(PATIENCE);
        }
    }

    /// Waits a moment for what is still to be shown.
    pub(crate) fn finish(self) {
        if let Sink::Editor { jobs, ended } = self.sink {
            drop(jobs);
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

/// Writes to standard output and flushes it.
pub(crate) fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to standard error in a colour.
pub(crate) fn write_stderr(choice: ColorChoice, tone: Tone, text: &str) {
    let paint = Paint::for_stream(choice, &io::stderr());
    let _ = writeln!(io::stderr().lock(), "{}", paint.paint(tone, text));
}

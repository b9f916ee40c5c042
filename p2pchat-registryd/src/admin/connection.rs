//! One operator's connection: lines in, lines out.

use std::{io, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{
    Admin, Ending,
    audit::Who,
    request::{ErrorReply, MAX_LINE, Record, Request},
    verbs::Done,
};

/// For a line to come, and for one to be read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Until the operator goes, or `ending`: what was begun by then is done and answered.
pub(super) async fn serve(admin: &Admin, stream: UnixStream, ending: Ending) {
    let (uid, pid) = match stream.peer_cred() {
        Ok(cred) => (cred.uid(), cred.pid()),
        Err(error) => return tracing::warn!(%error, "the system doesn't say who an operator is"),
    };
    let who = Who::Program { uid, pid };
    let (input, output) = stream.into_split();
    let mut replies = Replies { output };
    // The socket's mode says the same; but modes get changed.
    let ended = if is_allowed(uid) {
        converse(admin, who, BufReader::new(input), &mut replies, ending).await
    } else {
        let error =
            ErrorReply::new("not-allowed", "only the user that the registry runs as, and root, may ask");
        let result = json!({ "error": error });
        admin.audit.begin(who, Value::Null).await.end(&result).await;
        replies.line(&result).await
    };
    if let Err(error) = ended {
        tracing::debug!(uid, pid, %error, "an operator has gone");
    }
}

fn is_allowed(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

async fn converse(
    admin: &Admin,
    who: Who,
    mut input: impl AsyncBufRead + Unpin,
    replies: &mut Replies<impl AsyncWrite + Unpin>,
    mut ending: Ending,
) -> io::Result<()> {
    loop {
        let line = tokio::select! {
            biased;
            () = ending.come() => return Ok(()),
            line = timeout(PATIENCE, read_line(&mut input)) => line??,
        };
        let Some(line) = line else { return Ok(()) };
        match Request::parse(&line) {
            Ok(request) => {
                let asked = serde_json::from_slice(&line).unwrap_or(Value::Null);
                answer(admin, who, request, asked, replies).await?;
            }
            Err(error) => {
                tracing::debug!(?who, %error, "an operator makes no sense");
                replies.line(&result_of(&Err(error.to_reply()))).await?;
            }
        }
        if line.len() > MAX_LINE {
            // Where the next one begins is not to be found out without reading without end.
            return Ok(());
        }
    }
}

async fn answer(
    admin: &Admin,
    who: Who,
    request: Request,
    asked: Value,
    replies: &mut Replies<impl AsyncWrite + Unpin>,
) -> io::Result<()> {
    let drain = if let Request::Drain { seconds } = request { Some(seconds) } else { None };
    let record = request.record();
    let begun = match record {
        Record::Nothing => {
            tracing::debug!(?who, request = %asked, "asked by the operator");
            None
        }
        Record::IfPossible | Record::First => Some(admin.audit.begin(who, asked).await),
    };
    let done = match begun.as_ref().map(|begun| &begun.recorded) {
        Some(Err(error)) if record == Record::First => {
            let why = format!("the audit log can't be written to: {error}; nothing was changed");
            Err(ErrorReply::new("audit", why))
        }
        _ => admin.carry_out(request, replies).await?,
    };
    let result = result_of(&done);
    // First the record, then the answer: whoever has one can rely on the other.
    if let Some(begun) = begun {
        begun.end(&without_code(result.clone())).await;
    }
    let told = replies.line(&result).await;
    if let Some(seconds) = drain {
        // Last: it may be the end of this process.
        admin.server.drain(Duration::from_secs(seconds));
    }
    told
}

/// As it stands on the socket and in the audit log.
pub(super) fn result_of(done: &Done) -> Value {
    match done {
        Ok(done) => json!({ "ok": done }),
        Err(error) => json!({ "error": error }),
    }
}

/// An invitation's code is for who asked for it, and in no log.
fn without_code(mut result: Value) -> Value {
    if let Some(done) = result.get_mut("ok").and_then(Value::as_object_mut) {
        done.remove("code");
    }
    result
}

/// The next line without its line feed, or a byte more of it than is allowed. `None` at the end.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let there = input.fill_buf().await?;
        if there.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = there.iter().position(|&byte| byte == b'\n');
        let room = MAX_LINE + 1 - line.len();
        let taken = end.unwrap_or(there.len()).min(room);
        line.extend_from_slice(there.get(..taken).unwrap_or_default());
        let whole = end == Some(taken);
        input.consume(if whole { taken + 1 } else { taken });
        if whole || line.len() > MAX_LINE {
            return Ok(Some(line));
        }
    }
}

/// The way back.
pub(super) struct Replies<W> {
    output: W,
}

impl<W: AsyncWrite + Unpin> Replies<W> {
    /// One of many.
    pub(super) async fn item(&mut self, item: &impl Serialize) -> io::Result<()> {
        self.line(&json!({ "item": item })).await
    }

    async fn line(&mut self, reply: &Value) -> io::Result<()> {
        let line = format!("{reply}\n");
        timeout(PATIENCE, self.output.write_all(line.as_bytes())).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registrys_own_user_and_root_may_ask() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_allowed(own) && is_allowed(0));
        assert!(!is_allowed(own + 1));
    }

    async fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        // A small buffer, so that lines come in pieces.
        let mut input = BufReader::with_capacity(7, input);
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).await.unwrap() {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn lines_are_found_and_none_is_longer_than_allowed_by_more_than_a_byte() {
        assert_eq!(lines(b"one\n\nthe third\nlast").await, [&b"one"[..], b"", b"the third", b"last"]);
        let longest = [&b"x".repeat(MAX_LINE)[..], b"\nnext\n"].concat();
        assert_eq!(lines(&longest).await.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE, 4]);
        let endless = b"x".repeat(3 * MAX_LINE);
        assert_eq!(lines(&endless).await.first().map(Vec::len), Some(MAX_LINE + 1));
    }
}

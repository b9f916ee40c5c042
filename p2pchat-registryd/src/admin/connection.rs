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
    Admin,
    audit::Who,
    request::{ErrorReply, MAX_LINE, Request},
};

/// For a line to come, and for one to be read.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn serve(admin: &Admin, stream: UnixStream) {
    let who = match stream.peer_cred() {
        Ok(cred) => Who { uid: cred.uid(), pid: cred.pid() },
        Err(error) => return tracing::warn!(%error, "the system doesn't say who an operator is"),
    };
    let (input, output) = stream.into_split();
    let mut replies = Replies { output };
    // The socket's mode says the same; but modes get changed.
    let ended = if is_allowed(who.uid) {
        converse(admin, who, BufReader::new(input), &mut replies).await
    } else {
        let error =
            ErrorReply::new("not-allowed", "only the user that the registry runs as, and root, may ask");
        admin.audit.record(who, Value::Null, json!(error)).await;
        replies.error(&error).await
    };
    if let Err(error) = ended {
        tracing::debug!(uid = who.uid, pid = who.pid, %error, "an operator has gone");
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
) -> io::Result<()> {
    while let Some(line) = timeout(PATIENCE, read_line(&mut input)).await?? {
        let asked = serde_json::from_slice(&line).unwrap_or(Value::Null);
        let request = Request::parse(&line);
        let drain = if let Ok(Request::Drain { seconds }) = request { Some(seconds) } else { None };
        let done = match request {
            Ok(request) => admin.carry_out(request, replies).await?,
            Err(error) => Err(error.to_reply()),
        };
        let result = match &done {
            Ok(done) => json!({ "ok": done }),
            Err(error) => json!({ "error": error }),
        };
        // First the record, then the answer: whoever has one can rely on the other.
        admin.audit.record(who, asked, without_code(result.clone())).await;
        let told = replies.line(&result).await;
        if let Some(seconds) = drain {
            // Last: it may be the end of this process.
            admin.server.drain(Duration::from_secs(seconds));
        }
        told?;
        if line.len() > MAX_LINE {
            // Where the next one begins is not to be found out without reading without end.
            break;
        }
    }
    Ok(())
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

    async fn error(&mut self, error: &ErrorReply) -> io::Result<()> {
        self.line(&json!({ "error": error })).await
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

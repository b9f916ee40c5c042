//! Reading and writing one stream from one task.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::poll_read_buf;

/// An inbox that has so much room is read into as it is: a record of TLS.
pub(super) const ROOMY: usize = 16 * 1024;
/// How many chunks are written at once, at most.
pub(super) const SLICES: usize = 8;

/// What a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes were added to the inbox: on a TLS stream those of one record, which in the prototype's dialect is one
    /// message.
    Read,
    /// The chunk is written and flushed.
    Written,
    /// The other end will send nothing more.
    End,
}

/// Writes what is left of `chunk` and, if `may_read`, reads into `inbox`, until either gets somewhere.
///
/// May be dropped and called again: what was done is recorded in the arguments.
pub(super) async fn step<S: AsyncBufRead + AsyncWrite + Unpin>(
    stream: &mut S,
    chunk: &mut Option<Bytes>,
    inbox: &mut BytesMut,
    may_read: bool,
) -> io::Result<Progress> {
    poll_fn(|cx| {
        if let Poll::Ready(result) = poll_write_all(stream, chunk, cx) {
            return Poll::Ready(result.map(|()| Progress::Written));
        }
        if !may_read {
            return Poll::Pending;
        }
        poll_read(stream, inbox, cx)
    })
    .await
}

/// Ready once something was added to the inbox, or nothing will be any more.
pub(super) fn poll_read<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    inbox: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Progress>> {
    if inbox.capacity() - inbox.len() >= ROOMY {
        return poll_read_much(stream, inbox, cx);
    }
    let read = match ready!(Pin::new(&mut *stream).poll_fill_buf(cx)) {
        // A TLS stream that was cut without its close_notify. A frame that is cut shows by itself.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Poll::Ready(Ok(Progress::End));
        }
        read => read?,
    };
    let count = read.len();
    inbox.extend_from_slice(read);
    Pin::new(&mut *stream).consume(count);
    Poll::Ready(Ok(if count == 0 { Progress::End } else { Progress::Read }))
}

/// The same where much is expected, and has room: past the stream's own buffer, if nothing is in that.
fn poll_read_much<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    inbox: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Progress>> {
    match ready!(poll_read_buf(Pin::new(stream), cx, inbox)) {
        Ok(0) => Poll::Ready(Ok(Progress::End)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(Progress::End)),
        read => Poll::Ready(read.map(|_| Progress::Read)),
    }
}

/// Ready once there was a chunk and all of it is flushed.
pub(super) fn poll_write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    chunk: &mut Option<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let Some(left) = chunk else { return Poll::Pending };
    while !left.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, left))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => left.advance(written),
        }
    }
    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
    *chunk = None;
    Poll::Ready(Ok(()))
}

/// Ready once all of `chunks` are flushed. What has been written is gone from them.
pub(super) fn poll_write_chunks<S: AsyncWrite + Unpin>(
    stream: &mut S,
    chunks: &mut VecDeque<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !chunks.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let mut written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        while let Some(chunk) = chunks.front_mut() {
            let part = written.min(chunk.len());
            chunk.advance(part);
            written -= part;
            if !chunk.is_empty() {
                break;
            }
            chunks.pop_front();
        }
    }
    Pin::new(&mut *stream).poll_flush(cx)
}

/// Ends a stream so that what was written last arrives: closing with unread bytes would make the system throw it away, so
/// those are read for a while.
pub(super) async fn close<S: AsyncBufRead + AsyncWrite + Unpin>(stream: &mut S) {
    const LINGER: Duration = Duration::from_secs(1);
    let drain = async {
        stream.shutdown().await?;
        loop {
            let count = poll_fn(|cx| Pin::new(&mut *stream).poll_fill_buf(cx).map_ok(<[u8]>::len)).await?;
            if count == 0 {
                return io::Result::Ok(());
            }
            Pin::new(&mut *stream).consume(count);
        }
    };
    // Whatever goes wrong, the stream is dropped next.
    let _ = timeout(LINGER, drain).await;
}

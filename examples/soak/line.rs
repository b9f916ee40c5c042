//! A client's way to the registry, which can be cut, fall silent, or be gone for good.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use p2pchat_core::tokio::{BoxFuture, BoxStream, Datagrams, Listener, Network, TcpNetwork};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// The network of one client. Its streams to the registry and its datagrams go by the line, peer streams past it.
#[derive(Debug)]
pub(crate) struct Line {
    registry: SocketAddr,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    way: Way,
    /// How often it was cut: a stream of before is broken, one of after is whole.
    cuts: u64,
    /// The task that waits for the stream. There is one stream at a time, and one task has it.
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing gets through, and nobody is told.
    Silent,
    /// Everything fails at once.
    Gone,
}

impl Line {
    pub(crate) fn to(registry: SocketAddr) -> Arc<Self> {
        let state = State { way: Way::Open, cuts: 0, waker: None };
        Arc::new(Self { registry, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Breaks the stream there is; the next one holds.
    pub(crate) fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Lets nothing through until [`heal`](Self::heal).
    pub(crate) fn silence(&self) {
        self.change(|state| state.way = Way::Silent);
    }

    pub(crate) fn heal(&self) {
        self.change(|state| state.way = Way::Open);
    }

    /// Breaks the stream there is, and lets no other come about: what is left to say stays unsaid.
    pub(crate) fn end(&self) {
        self.change(|state| {
            state.way = Way::Gone;
            state.cuts += 1;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.changed.notify_waiters();
    }

    /// Whether a stream made after so many cuts may go on.
    fn pass(&self, cuts: u64, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        state.waker = Some(cx.waker().clone());
        match state.way {
            _ if state.cuts != cuts => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Way::Open => Poll::Ready(Ok(())),
            Way::Silent => Poll::Pending,
            Way::Gone => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    /// Waits for the silence to end; how often the line was cut, as a new stream has to know.
    async fn usable(&self) -> io::Result<u64> {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.lock();
                match state.way {
                    Way::Open => return Ok(state.cuts),
                    Way::Silent => {}
                    Way::Gone => return Err(io::ErrorKind::NetworkUnreachable.into()),
                }
            }
            changed.await;
        }
    }

    fn is_open(&self) -> bool {
        self.lock().way == Way::Open
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's handle on its line.
#[derive(Debug)]
pub(crate) struct Lined(pub(crate) Arc<Line>);

impl Network for Lined {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        if addr != self.0.registry {
            return TcpNetwork.dial(addr);
        }
        Box::pin(async move {
            let cuts = self.0.usable().await?;
            let stream = TcpNetwork.dial(addr).await?;
            Ok(Box::new(LinedStream { stream, line: self.0.clone(), cuts }) as BoxStream)
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = TcpNetwork.bind(addr).await?;
            Ok(Box::new(LinedDatagrams { socket, line: self.0.clone() }) as Box<dyn Datagrams>)
        })
    }
}

struct LinedStream {
    stream: BoxStream,
    line: Arc<Line>,
    cuts: u64,
}

impl AsyncRead for LinedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.line.pass(self.cuts, cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for LinedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.line.pass(self.cuts, cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.line.pass(self.cuts, cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.line.pass(self.cuts, cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct LinedDatagrams {
    socket: Box<dyn Datagrams>,
    line: Arc<Line>,
}

impl Datagrams for LinedDatagrams {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            loop {
                let received = self.socket.receive(buffer).await;
                if self.line.is_open() {
                    return received;
                }
            }
        })
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        // What a silent line loses, nobody is told of.
        if self.line.is_open() { self.socket.try_send(datagram, to) } else { Ok(()) }
    }
}

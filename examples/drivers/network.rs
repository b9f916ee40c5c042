//! The simulator's network as the drivers see it. turmoil delays what is sent, loses it where hosts are parted, and knows
//! no retransmission; this adds what a real network does besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use fastrand::Rng;
use p2pchat_core::tokio::{BoxFuture, BoxStream, Datagrams, Listener, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

use crate::bugs::Bug;

/// Opens sockets on whatever host of the simulator runs.
#[derive(Clone)]
pub(crate) struct SimNetwork(Arc<Mutex<State>>);

struct State {
    dice: Rng,
    bug: Option<Bug>,
    /// How many datagrams in a hundred are lost.
    loss: u32,
    /// Which ways are blocked, from and to.
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    /// Hosts without a program, but with a system that refuses streams.
    refusing: BTreeSet<IpAddr>,
    /// Both ends of each stream that is open.
    ends: BTreeMap<u64, End>,
    /// The host whose program is being killed.
    dying: Option<IpAddr>,
    last: u64,
    lost: u64,
    doubled: u64,
}

/// One end of a stream.
struct End {
    stream: Arc<Mutex<Option<TcpStream>>>,
    local: IpAddr,
    remote: IpAddr,
    broken: bool,
    /// How many more bytes can be written before the stream is cut.
    left: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    fn cut(&mut self) {
        self.broken = true;
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl SimNetwork {
    pub(crate) fn new(dice: Rng, bug: Option<Bug>) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice,
            bug,
            loss: 0,
            blocked: BTreeSet::new(),
            refusing: BTreeSet::new(),
            ends: BTreeMap::new(),
            dying: None,
            last: 0,
            lost: 0,
            doubled: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_loss(&self, percent: u32) {
        self.state().loss = percent;
    }

    pub(crate) fn set_refusing(&self, host: IpAddr, refusing: bool) {
        let mut state = self.state();
        if refusing {
            state.refusing.insert(host)
        } else {
            state.refusing.remove(&host)
        };
    }

    /// While a program is killed its streams end in the order in which they began, whatever the order in which the tasks
    /// are dropped that have them: that one hangs on what else the process has ever run.
    pub(crate) fn set_dying(&self, host: Option<IpAddr>) {
        self.state().dying = host;
    }

    /// The way is blocked. Some streams notice at once, at one of their ends.
    pub(crate) fn block(&self, from: IpAddr, to: IpAddr) {
        let mut state = self.state();
        state.blocked.insert((from, to));
        let State { dice, ends, .. } = &mut *state;
        for end in ends.values_mut().filter(|end| end.is_between(from, to)) {
            if dice.u8(0..4) == 0 {
                end.cut();
            }
        }
    }

    /// The way is free again. A stream that lost something on it is of no use any more: what was lost is not sent again
    /// for ever, and what follows can't be read without it.
    pub(crate) fn unblock(&self, from: IpAddr, to: IpAddr) {
        let mut state = self.state();
        state.blocked.remove(&(from, to));
        for end in state.ends.values_mut().filter(|end| end.is_between(from, to)) {
            end.cut();
        }
    }

    /// Cuts some stream, at once or in the middle of what is said next.
    pub(crate) fn cut_some(&self) -> bool {
        let mut state = self.state();
        let State { dice, ends, .. } = &mut *state;
        let Some(number) = dice.choice(ends.keys().copied().collect::<Vec<_>>()) else { return false };
        let Some(end) = ends.get_mut(&number) else { return false };
        if dice.bool() {
            end.cut();
        } else {
            end.left = Some(dice.usize(0..400));
        }
        true
    }

    /// How many ends of streams there are.
    pub(crate) fn open_ends(&self) -> usize {
        self.state().ends.len()
    }

    /// How many datagrams were lost, and how many came twice.
    pub(crate) fn datagrams(&self) -> [u64; 2] {
        let state = self.state();
        [state.lost, state.doubled]
    }

    fn wire(&self, stream: TcpStream) -> io::Result<BoxStream> {
        let (local, remote) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
        let stream = Arc::new(Mutex::new(Some(stream)));
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let end = End {
            stream: stream.clone(),
            local,
            remote,
            broken: false,
            left: None,
            reader: None,
            writer: None,
        };
        state.ends.insert(number, end);
        Ok(Box::new(Wire { stream, number, network: self.clone(), again: Vec::new() }))
    }
}

impl State {
    fn is_blocked(&self, one: IpAddr, other: IpAddr) -> bool {
        self.blocked.contains(&(one, other)) || self.blocked.contains(&(other, one))
    }
}

impl End {
    fn is_between(&self, one: IpAddr, other: IpAddr) -> bool {
        (self.local, self.remote) == (one, other) || (self.local, self.remote) == (other, one)
    }
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNetwork")
    }
}

impl Network for SimNetwork {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(turmoil::lookup(host), port)]) })
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            if self.state().refusing.contains(&addr.ip()) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let dialled = TcpStream::connect(addr).await;
            // turmoil calls it a refusal when it loses the attempt; a network says nothing at all.
            let silent = match &dialled {
                Ok(stream) => self.state().is_blocked(stream.local_addr()?.ip(), addr.ip()),
                Err(_) => self.state().blocked.iter().any(|(from, to)| [from, to].contains(&&addr.ip())),
            };
            if silent {
                return pending().await;
            }
            self.wire(dialled?)
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(SimListener { listener, network: self.clone() }) as Box<dyn Listener>)
        })
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(addr).await?;
            Ok(Box::new(SimDatagrams { socket, network: self.clone() }) as Box<dyn Datagrams>)
        })
    }
}

struct SimListener {
    listener: TcpListener,
    network: SimNetwork,
}

impl Listener for SimListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((self.network.wire(stream)?, from))
        })
    }
}

struct SimDatagrams {
    socket: UdpSocket,
    network: SimNetwork,
}

impl Datagrams for SimDatagrams {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(self.socket.recv_from(buffer))
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let times = {
            let mut state = self.network.state();
            let (is_lost, is_doubled) = (state.dice.u32(0..100) < state.loss, state.dice.u32(0..100) < 3);
            state.lost += u64::from(is_lost);
            state.doubled += u64::from(is_doubled && !is_lost);
            if is_lost { 0 } else { 1 + usize::from(is_doubled) }
        };
        for _ in 0..times {
            self.socket.try_send_to(datagram, to)?;
        }
        Ok(())
    }
}

/// A stream that hands over what it carries in pieces, and can be cut.
struct Wire {
    stream: Arc<Mutex<Option<TcpStream>>>,
    number: u64,
    network: SimNetwork,
    /// What a bug hands over a second time.
    again: Vec<u8>,
}

impl Wire {
    fn with<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// How much of `size` bytes goes at once.
    fn piece(state: &mut State, size: usize) -> usize {
        if state.dice.u8(0..5) == 0 { size.min(state.dice.usize(1..=64)) } else { size }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (piece, twice) = {
            let mut state = this.network.state();
            let twice = state.bug == Some(Bug::DoubleChunk) && state.dice.u8(0..200) == 0;
            let piece = Self::piece(&mut state, buffer.remaining());
            let Some(end) = state.ends.get_mut(&this.number) else { return Poll::Ready(Ok(())) };
            if end.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            end.reader = Some(cx.waker().clone());
            (piece, twice)
        };
        if !this.again.is_empty() {
            let size = this.again.len().min(piece);
            buffer.put_slice(&this.again[..size]);
            this.again.drain(..size);
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(piece));
        ready!(this.with(|stream| stream.poll_read(cx, &mut part)))?;
        if twice {
            this.again = part.filled().to_vec();
        }
        let size = part.filled().len();
        buffer.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let piece = {
            let mut state = this.network.state();
            let piece = Self::piece(&mut state, bytes.len());
            let Some(end) = state.ends.get_mut(&this.number) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            if end.left == Some(0) {
                end.cut();
            }
            if end.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            end.writer = Some(cx.waker().clone());
            piece.min(end.left.unwrap_or(usize::MAX))
        };
        let written = ready!(this.with(|stream| stream.poll_write(cx, &bytes[..piece])))?;
        if let Some(end) = this.network.state().ends.get_mut(&this.number) {
            end.left = end.left.map(|left| left.saturating_sub(written));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut state = self.network.state();
        let dying = state.dying;
        let is_gone = |(number, end): &(&u64, &End)| **number == self.number || dying == Some(end.local);
        let numbers: Vec<_> = state.ends.iter().filter(is_gone).map(|(&number, _)| number).collect();
        let gone: Vec<_> = numbers.iter().filter_map(|number| state.ends.remove(number)).collect();
        drop(state);
        for end in gone {
            end.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

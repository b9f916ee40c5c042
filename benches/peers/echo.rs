//! The floors: bare echoes over TCP and TLS.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use p2pchat_core::tokio::{BoxStream, LinkIdentity};
use p2pchat_proto::{Dialect, Message, PeerMessage, Text};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::yield_now,
};

use crate::{
    people::{ROOM, TALKER, text},
    report::{Begun, Broadcasts, Figure, MEMBERS, What, cpu},
};

/// What a stream that isn't idle is read into.
const BUFFER: usize = 64 * 1024;

pub(crate) struct Echo {
    addr: SocketAddr,
    tls: Option<LinkIdentity>,
}

impl Echo {
    pub(crate) async fn start(far: &Handle, with_tls: bool) -> Self {
        Self::start_with(far, with_tls, BUFFER).await
    }

    pub(crate) async fn start_with(far: &Handle, with_tls: bool, buffer: usize) -> Self {
        let tls = with_tls.then(|| {
            let key = LinkIdentity::generate().expect("randomness");
            LinkIdentity::from_pkcs8(&key).expect("a key")
        });
        let acceptor = tls.clone();
        let bind = far.spawn(TcpListener::bind(("127.0.0.1", 0)));
        let listener = bind.await.expect("a task").expect("a port");
        let addr = listener.local_addr().expect("its address");
        far.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a stream");
                tokio::spawn(serve(stream, acceptor.clone(), buffer));
            }
        });
        Self { addr, tls }
    }

    pub(crate) async fn connect(&self) -> BoxStream {
        let stream = TcpStream::connect(self.addr).await.expect("the echo");
        stream.set_nodelay(true).expect("a socket");
        match &self.tls {
            None => Box::new(stream),
            Some(tls) => tls.dial(Box::new(stream)).await.expect("a handshake").0,
        }
    }

    pub(crate) async fn measure(&self, what: What, count: usize) -> Figure {
        match what {
            What::SetUp => self.set_up(count).await,
            What::RoundTrip => self.round_trip(count).await,
            _ => self.rate(what, count).await,
        }
    }

    async fn set_up(&self, count: usize) -> Figure {
        let (mut times, before) = (Vec::new(), cpu());
        for number in 0..count {
            let begun = Instant::now();
            let mut stream = self.connect().await;
            round_trip(&mut stream, &text(number, What::SetUp.load().0)).await;
            times.push(begun.elapsed());
        }
        Figure::of_times(times, cpu() - before)
    }

    async fn round_trip(&self, count: usize) -> Figure {
        let mut stream = self.connect().await;
        round_trip(&mut stream, "a stream that is warm").await;
        let (mut times, before) = (Vec::new(), cpu());
        for number in 0..count {
            let text = text(number, What::RoundTrip.load().0);
            let begun = Instant::now();
            round_trip(&mut stream, &text).await;
            times.push(begun.elapsed());
        }
        Figure::of_times(times, cpu() - before)
    }

    /// So many on their way: what has come back makes room for as many more.
    async fn rate(&self, what: What, count: usize) -> Figure {
        let (bytes, window) = what.load();
        // What takes so little time has to be repeated for longer.
        let count = count * if what == What::Pipelined { 20 } else { 2 };
        let mut stream = self.connect().await;
        let texts: Vec<u8> = (0..window).flat_map(|number| text(number, bytes).into_bytes()).collect();
        let (mut sent, mut answered, mut heard) = (window.min(count), 0, 0);
        let mut buffer = vec![0; BUFFER];
        let (begun, before) = (Instant::now(), cpu());
        stream.write_all(&texts[..sent * bytes]).await.expect("the echo");
        stream.flush().await.expect("the echo");
        while answered < count {
            let size = stream.read(&mut buffer).await.expect("the echo");
            assert!(size > 0, "the echo has ended");
            check(&texts, heard, &buffer[..size]);
            heard += size;
            answered = heard / bytes;
            // The texts come again and again.
            while sent < count && sent < answered + window {
                let first = sent % window;
                let more = (answered + window - sent).min(count - sent).min(window - first);
                stream.write_all(&texts[first * bytes..(first + more) * bytes]).await.expect("the echo");
                sent += more;
            }
            stream.flush().await.expect("the echo");
        }
        Figure::of_rate(what, count, begun.elapsed(), cpu() - before)
    }

    /// The frame of a broadcast, written on a stream to each, and read again from each.
    pub(crate) async fn broadcast(&self, count: usize) -> [(What, Figure); 2] {
        let mut streams = Vec::new();
        for _ in 0..MEMBERS {
            streams.push(self.connect().await);
        }
        let (mut broadcasts, before) = (Broadcasts::default(), cpu());
        let mut answer = Vec::new();
        for number in 0..count {
            yield_now().await;
            let begun = Begun::now();
            let message = PeerMessage::DirectBroadcast {
                sender: TALKER.parse().expect("a name"),
                room: Some(ROOM.parse().expect("a name")),
                text: Text::new(&text(number, What::Broadcast.load().0)).expect("a text"),
            };
            let frame = message.to_bytes(Dialect::Canonical);
            for stream in &mut streams {
                stream.write_all(&frame).await.expect("the echo");
                stream.flush().await.expect("the echo");
            }
            broadcasts.written(&begun);
            answer.resize(frame.len(), 0);
            for stream in &mut streams {
                stream.read_exact(&mut answer).await.expect("the echo");
                assert_eq!(answer, frame);
            }
            broadcasts.confirmed(&begun);
        }
        broadcasts.figures(cpu() - before)
    }
}

async fn serve(stream: TcpStream, tls: Option<LinkIdentity>, buffer: usize) {
    stream.set_nodelay(true).expect("a socket");
    let mut stream: BoxStream = match tls {
        None => Box::new(stream),
        Some(tls) => tls.accept(Box::new(stream)).await.expect("a handshake").0,
    };
    let mut buffer = vec![0; buffer];
    // Who has what they want just goes.
    while let Ok(size @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..size]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

pub(crate) async fn round_trip(stream: &mut BoxStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("the echo");
    stream.flush().await.expect("the echo");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.expect("the echo");
    assert_eq!(answer, text.as_bytes());
}

/// What has come is what was sent, from there on.
fn check(texts: &[u8], from: usize, mut heard: &[u8]) {
    let mut at = from % texts.len();
    while !heard.is_empty() {
        let (now, later) = heard.split_at(heard.len().min(texts.len() - at));
        assert_eq!(now, &texts[at..at + now.len()]);
        (heard, at) = (later, 0);
    }
}

/// So many idle streams, on which something was said once.
pub(crate) async fn idle(echo: &Echo, count: usize) -> Vec<BoxStream> {
    let mut streams = Vec::new();
    for number in 0..count {
        let mut stream = echo.connect().await;
        round_trip(&mut stream, &text(number, 64)).await;
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    streams
}

//! A line that takes its time: what comes in goes out a while later, unless the line is cut.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Takes streams and datagrams in a network namespace, on all its addresses.
pub(crate) struct Proxy {
    /// Where it takes streams.
    pub(crate) tcp: u16,
    /// Where it takes datagrams.
    pub(crate) udp: u16,
    line: Arc<Line>,
}

struct Line {
    delay: Duration,
    /// Both ends of each stream.
    streams: Mutex<Vec<TcpStream>>,
    /// Bytes that have been taken from streams.
    carried: AtomicUsize,
}

impl Proxy {
    /// On free ports.
    pub(crate) fn start(namespace: &str, tcp: SocketAddr, udp: SocketAddr, delay: Duration) -> Self {
        Self::start_at(namespace, 0, tcp, udp, delay)
    }

    /// On this port.
    pub(crate) fn start_at(
        namespace: &str,
        port: u16,
        tcp: SocketAddr,
        udp: SocketAddr,
        delay: Duration,
    ) -> Self {
        let line = Arc::new(Line { delay, streams: Mutex::default(), carried: AtomicUsize::new(0) });
        let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
        let shared = line.clone();
        // A thread that has moved to a namespace opens its sockets there, and so do those that it starts.
        let bound = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            let ports = (listener.local_addr().unwrap().port(), datagrams.local_addr().unwrap().port());
            let line = shared.clone();
            thread::spawn(move || carry_datagrams(&shared, &datagrams, udp));
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (stream, line) = (stream.unwrap(), line.clone());
                    thread::spawn(move || line.carry_stream(stream, tcp));
                }
            });
            ports
        });
        let (tcp, udp) = bound.join().unwrap();
        Self { tcp, udp, line }
    }

    /// How much has been taken from streams by now.
    pub(crate) fn carried(&self) -> usize {
        self.line.carried.load(Ordering::Relaxed)
    }

    /// Breaks every stream: what is on its way is lost.
    pub(crate) fn cut(&self) {
        for stream in self.line.streams.lock().unwrap().drain(..) {
            // Its other end may have gone.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Line {
    fn carry_stream(self: Arc<Self>, stream: TcpStream, to: SocketAddr) {
        let Ok(onward) = TcpStream::connect(to) else { return };
        for (from, to) in [(&stream, &onward), (&onward, &stream)] {
            from.set_nodelay(true).unwrap();
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            self.streams.lock().unwrap().push(from.try_clone().unwrap());
            let line = self.clone();
            thread::spawn(move || line.carry(from, to));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let (late, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || {
            for (at, bytes) in due {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Both));
        });
        let mut bytes = [0; 16_384];
        while let Ok(size @ 1..) = from.read(&mut bytes) {
            self.carried.fetch_add(size, Ordering::Relaxed);
            if late.send((Instant::now() + self.delay, bytes[..size].to_vec())).is_err() {
                break;
            }
        }
    }
}

/// Gives each source a socket of its own, so that answers find the way back.
fn carry_datagrams(line: &Arc<Line>, here: &UdpSocket, to: SocketAddr) {
    let mut ways = HashMap::<SocketAddr, Arc<UdpSocket>>::new();
    let mut datagram = [0; 2_048];
    while let Ok((size, source)) = here.recv_from(&mut datagram) {
        let way = ways.entry(source).or_insert_with(|| {
            let way = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
            way.connect(to).unwrap();
            let (answers, back, delay) = (way.clone(), here.try_clone().unwrap(), line.delay);
            thread::spawn(move || {
                let mut datagram = [0; 2_048];
                // A refusal of an earlier one is no end.
                loop {
                    if let Ok(size) = answers.recv(&mut datagram) {
                        send_later(delay, datagram[..size].to_vec(), &back, Some(source));
                    }
                }
            });
            way
        });
        send_later(line.delay, datagram[..size].to_vec(), way, None);
    }
}

/// There are few of them, so each has a thread.
fn send_later(delay: Duration, datagram: Vec<u8>, by: &UdpSocket, to: Option<SocketAddr>) {
    let by = by.try_clone().unwrap();
    thread::spawn(move || {
        thread::sleep(delay);
        // Datagrams may be lost.
        drop(match to {
            Some(to) => by.send_to(&datagram, to),
            None => by.send(&datagram),
        });
    });
}

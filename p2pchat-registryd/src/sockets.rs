//! Sockets that a service manager has opened (sd_listen_fds(3)).

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{Mutex, PoisonError},
};

use p2pchat_core::tokio::{BoxFuture, BoxStream, Datagrams, Listener, Network, TcpNetwork};

use crate::config::Settings;

/// The name of the one for metrics; all others are told apart by their kind.
#[cfg(unix)]
const METRICS: &str = "metrics";

/// Those that there are.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) udp: Option<UdpSocket>,
    pub(crate) metrics: Option<TcpListener>,
}

/// Why passed sockets can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassedError {
    /// A file that is no socket for IP.
    #[error("the service manager passes {name:?}, which is neither a TCP nor a UDP socket: {source}")]
    Neither {
        /// Its name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Two for the same.
    #[error(
        "the service manager passes more than one socket for {what}: pass one, on [::] if it is for IPv4 and IPv6"
    )]
    Twice {
        /// `TCP`, `UDP` or `metrics`.
        what: &'static str,
    },
    /// It can't be used from here on.
    #[error("a socket of the service manager's can't be used: {0}")]
    Unusable(#[from] io::Error),
}

impl Passed {
    /// Takes them. To be called once, before there are other threads: the variables are removed.
    #[cfg(unix)]
    pub(crate) fn take() -> Result<Self, PassedError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut files = listenfd::ListenFd::from_env();
        let mut passed = Self::default();
        for at in 0..files.len() {
            let name = names.next().unwrap_or_default();
            match files.take_tcp_listener(at) {
                Ok(Some(socket)) if name == METRICS => put(&mut passed.metrics, socket, METRICS)?,
                Ok(Some(socket)) => put(&mut passed.tcp, socket, "TCP")?,
                Ok(None) => {}
                Err(_) => match files.take_udp_socket(at) {
                    Ok(Some(socket)) => put(&mut passed.udp, socket, "UDP")?,
                    Ok(None) => {}
                    Err(source) => return Err(PassedError::Neither { name: name.into(), source }),
                },
            }
        }
        for socket in passed.tcp.iter().chain(&passed.metrics) {
            socket.set_nonblocking(true)?;
        }
        passed.udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        Ok(passed)
    }

    /// There is no such manager.
    #[cfg(not(unix))]
    pub(crate) fn take() -> Result<Self, PassedError> {
        Ok(Self::default())
    }

    /// Puts their addresses in the place of others, for which the same holds then.
    pub(crate) fn set(&self, settings: &mut Settings) -> Result<(), PassedError> {
        if let Some(socket) = &self.tcp {
            settings.listen = Some(socket.local_addr()?);
        }
        if let Some(socket) = &self.udp {
            settings.udp_listen = Some(socket.local_addr()?);
        }
        if let Some(socket) = &self.metrics {
            settings.metrics_listen = Some(socket.local_addr()?);
        }
        Ok(())
    }
}

#[cfg(unix)]
fn put<T>(place: &mut Option<T>, socket: T, what: &'static str) -> Result<(), PassedError> {
    if place.is_some() {
        return Err(PassedError::Twice { what });
    }
    *place = Some(socket);
    Ok(())
}

/// The system's network, in which sockets are open already.
pub(crate) struct PassedNetwork {
    tcp: Mutex<Option<TcpListener>>,
    udp: Mutex<Option<UdpSocket>>,
}

impl PassedNetwork {
    pub(crate) fn new(tcp: Option<TcpListener>, udp: Option<UdpSocket>) -> Self {
        Self { tcp: Mutex::new(tcp), udp: Mutex::new(udp) }
    }
}

fn taken<T>(socket: &Mutex<Option<T>>) -> Option<T> {
    socket.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Network for PassedNetwork {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        // A registry never does (PROTOCOL.md §9).
        Box::pin(async { Err(ErrorKind::Unsupported.into()) })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            match taken(&self.tcp) {
                Some(socket) => Ok(Box::new(tokio::net::TcpListener::from_std(socket)?) as Box<dyn Listener>),
                None => TcpNetwork.listen(addr).await,
            }
        })
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            match taken(&self.udp) {
                Some(socket) => Ok(Box::new(tokio::net::UdpSocket::from_std(socket)?) as Box<dyn Datagrams>),
                None => TcpNetwork.bind(addr).await,
            }
        })
    }
}

impl fmt::Debug for PassedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassedNetwork")
    }
}

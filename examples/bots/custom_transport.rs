//! Another network than the operating system's for all streams, here Unix sockets in a folder: who can open the folder can take
//! part, and nobody else hears a thing.
//!
//! ```sh
//! cargo run --release --example custom_transport
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

#[cfg(not(unix))]
fn main() {
    println!("this system has no Unix sockets");
}

#[cfg(unix)]
#[tokio::main]
async fn main() -> p2pchat_examples::demo::Result<()> {
    use std::sync::Arc;

    use p2pchat_examples::demo::{Demo, Result, accepts, check, hears};

    let folder = tempfile::tempdir()?;
    let demo = Demo::start_on(Arc::new(folder::Folder::new(folder.path()))).await?;
    let (alice, _events) = demo.newcomer("alice").await?;
    let (bob, mut events) = demo.newcomer("bob").await?;
    let asks = async { Result::Ok(alice.chat("bob").await?) };
    tokio::try_join!(asks, accepts(&bob, &mut events))?;
    // Sending succeeds once the other program has taken what was said.
    let says = async { Result::Ok(alice.send("bob", "No port of this machine was opened for that.").await?) };
    let ((), (from, heard)) = tokio::try_join!(says, hears(&mut events))?;
    println!("{from}: {heard}");
    let sockets = std::fs::read_dir(folder.path())?.count();
    println!("by {sockets} sockets in {}", folder.path().display());
    check("the registry's and one for each", sockets == 3)
}

#[cfg(unix)]
mod folder {
    use std::{
        io,
        net::{Ipv4Addr, SocketAddr},
        path::{Path, PathBuf},
        sync::atomic::{AtomicU16, Ordering::Relaxed},
    };

    use p2pchat_core::tokio::{BoxFuture, BoxStream, Datagrams, Listener, Network, TcpNetwork};
    use tokio::net::{UnixListener, UnixStream};

    /// A port is a socket's name in the folder, and there is one host.
    #[derive(Debug)]
    pub(super) struct Folder {
        path: PathBuf,
        last: AtomicU16,
    }

    impl Folder {
        pub(super) fn new(path: &Path) -> Self {
            // The ports below are the system's to other programs.
            Self { path: path.into(), last: AtomicU16::new(1_024) }
        }

        fn socket(&self, port: u16) -> PathBuf {
            self.path.join(port.to_string())
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    impl Network for Folder {
        fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(vec![address(port)]) })
        }

        fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(async move {
                let stream = UnixStream::connect(self.socket(addr.port())).await?;
                Ok(Box::new(stream) as BoxStream)
            })
        }

        fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
            Box::pin(async {
                let port = self.last.fetch_add(1, Relaxed) + 1;
                let listener = Bound(UnixListener::bind(self.socket(port))?, port);
                Ok(Box::new(listener) as Box<dyn Listener>)
            })
        }

        /// Keep-alives are proven, and go over the system's own network.
        fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
            TcpNetwork.bind(addr)
        }
    }

    struct Bound(UnixListener, u16);

    impl Listener for Bound {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(address(self.1))
        }

        fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
            Box::pin(async {
                let (stream, _) = self.0.accept().await?;
                Ok((Box::new(stream) as BoxStream, address(0)))
            })
        }
    }
}

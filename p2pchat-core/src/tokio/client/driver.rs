//! How a client begins, what it does by itself, and how it ends.

use std::{
    future::poll_fn,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use p2pchat_proto::RegistryName;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

use super::{ClientConfig, core::Client, link::Vouching, noted::Noted};
use crate::{
    peer::Peer,
    tokio::{Error, accept::AcceptFailures, clock::Clock, network::Listener},
};

/// What was sent last has so long to leave when the client ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Ends the client, as does dropping the last of its senders; the answer says that it has ended.
pub(super) type Close = oneshot::Sender<()>;

/// Opens the listener and starts the task.
pub(super) async fn start(config: ClientConfig) -> Result<(Arc<Client>, mpsc::Sender<Close>), Error> {
    let vouching = Vouching::new(&config.trust)?;
    let port = config.listen.port();
    let setup = |error: io::Error| Error::Setup {
        what: "the port for peer streams can't be opened",
        reason: format!("{port}: {error}; port 0 takes a free one"),
    };
    let listener = listen(&config).await.map_err(setup)?;
    let port = listener.local_addr().map_err(setup)?.port();
    // Only the jitter of reconnection comes from this; the standard library's hash keys are random enough.
    let seed = config.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let mut machine = config.machine.clone();
    // Messages have the other half.
    machine.file_window = machine.file_window.min(config.send_queue_bytes / 2);
    // A host whose name no frame can hold is not said: peers take it as if nothing had been negotiated.
    machine.registry = machine.registry.or_else(|| RegistryName::new(&config.registry()).ok());
    let (mut machine, clock) = (Peer::new(machine, seed), Clock::start());
    let mut noted = Noted::new(&config);
    noted.read(clock.now(), &mut machine)?;
    let (close, closing) = mpsc::channel(1);
    let client = Client::new(config, vouching, (machine, noted), clock, port);
    let ending = Ending(client.clone());
    tokio::spawn(run(client.clone(), ending, listener, closing, clock));
    Ok((client, close))
}

/// Listens as configured, or with IPv4 alone where the default finds no IPv6.
async fn listen(config: &ClientConfig) -> io::Result<Box<dyn Listener>> {
    let wanted = config.listen;
    match config.network.listen(wanted).await {
        Err(error)
            if wanted.is_ipv6()
                && wanted.ip().is_unspecified()
                && error.kind() != io::ErrorKind::AddrInUse =>
        {
            config.network.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port()))).await
        }
        other => other,
    }
}

async fn accept(client: Arc<Client>, listener: Box<dyn Listener>, clock: Clock) {
    let mut failures = AcceptFailures::new(clock);
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => client.with(|core| core.accepted(stream, addr)),
            Err(error) => failures.pause(&error, "peer stream").await,
        }
    }
}

/// Does what is due, until nobody wants the client any more. If it is dropped before, the client has ended too.
async fn run(
    client: Arc<Client>,
    ending: Ending,
    listener: Box<dyn Listener>,
    mut closing: mpsc::Receiver<Close>,
    clock: Clock,
) {
    let accepting = client.with(|core| core.tasks.spawn(accept(client.clone(), listener, clock)));
    let join_next = || poll_fn(|cx| client.core().tasks.poll_join_next(cx));
    let closed = loop {
        let due = client.turn().map(|due| clock.instant(due));
        if client.core().has_ended() {
            break None;
        }
        let is_due = async {
            if let Some(due) = due {
                sleep_until(due).await;
            }
        };
        tokio::select! {
            biased;
            () = is_due, if due.is_some() => {}
            Some(_) = join_next() => {}
            closed = closing.recv() => break closed,
            () = client.shared.stir.notified() => {}
        }
    };
    accepting.abort();
    client.with(|core| core.shut_down());
    // Those that don't end in time are cut off with the set.
    let _ = timeout(FLUSH, async { while join_next().await.is_some() {} }).await;
    drop(ending);
    if let Some(closed) = closed {
        // An error means that the caller has stopped waiting.
        let _ = closed.send(());
    }
}

struct Ending(Arc<Client>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peer::RequestError,
        tokio::{
            Fingerprint,
            client::{Events, Trust, handle::Handle},
        },
    };

    #[tokio::test]
    async fn a_client_whose_machine_panicked_has_ended() {
        let nobody = Trust::Pinned(Fingerprint::of_certificate(b"none"));
        let config = ClientConfig::new("127.0.0.1", 1, nobody).listen(([127, 0, 0, 1], 0).into());
        let (client, close) = start(config).await.unwrap();
        let mut events = Events::new(Arc::new(Handle { client: client.clone(), close }));
        let broken = client.clone();
        std::thread::spawn(move || broken.with(|_| panic!("a bug"))).join().unwrap_err();
        let refused = client.request(|core| core.machine.logout(core.now));
        assert_eq!(refused.unwrap_err(), RequestError::Closed);
        assert_eq!(events.next().await, None);
    }
}

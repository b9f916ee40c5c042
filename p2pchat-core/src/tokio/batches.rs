//! Many datagrams a system call, where the system has such calls.

use std::{
    array,
    cell::RefCell,
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    ops::Range,
    os::fd::AsRawFd,
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use tokio::{io::Interest, net::UdpSocket};

use super::network::canonical;

/// How many datagrams there are to a call.
pub(super) const BATCH: usize = 32;

thread_local! {
    /// Where the system writes the addresses that datagrams come from: none is allocated for each call. No call to send may
    /// ever be made with it, which would leave addresses in it that are gone by the next to receive. One for sockets of each
    /// family: the system writes no more of an address than the one before it in the same place had.
    static HEADERS: [RefCell<MultiHeaders<SockaddrStorage>>; 2] =
        array::from_fn(|_| RefCell::new(MultiHeaders::preallocate(BATCH, None)));
}

/// Receives at least one datagram, each into its own [`BATCH`]th of `buffer`: adds where each came from, and where it is.
/// `local` is the socket's own address. One that is longer than its share is told as an empty one, so that it isn't taken
/// for a shorter one. Dropping the future loses none. Tells whether there may be more by now.
pub(super) async fn receive(
    socket: &UdpSocket,
    local: SocketAddr,
    buffer: &mut [u8],
    came: &mut Vec<(SocketAddr, Range<usize>)>,
) -> io::Result<bool> {
    loop {
        socket.readable().await?;
        let mut count = 0;
        let received = socket.try_io(Interest::READABLE, || {
            count = receive_now(socket, local, buffer, came)?;
            // Fewer than there is room for were all: the system says when there is another, and needn't be asked.
            if count < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ if count > 0 => return Ok(count == BATCH),
            _ => {}
        }
    }
}

/// How many came.
fn receive_now(
    socket: &UdpSocket,
    local: SocketAddr,
    buffer: &mut [u8],
    came: &mut Vec<(SocketAddr, Range<usize>)>,
) -> io::Result<usize> {
    let share = buffer.len() / BATCH;
    HEADERS.with(|[v4, v6]| {
        let headers = &mut *if local.is_ipv4() { v4 } else { v6 }.borrow_mut();
        let mut shares = buffer.chunks_exact_mut(share.max(1));
        let mut slices: [_; BATCH] = array::from_fn(|_| [IoSliceMut::new(shares.next().unwrap_or_default())]);
        let all = recvmmsg(socket.as_raw_fd(), headers, &mut slices, MsgFlags::empty(), None)?;
        let mut count = 0;
        came.extend(all.inspect(|_| count += 1).enumerate().filter_map(|(at, datagram)| {
            let is_cut = datagram.flags.contains(MsgFlags::MSG_TRUNC);
            let size = if is_cut { 0 } else { datagram.bytes };
            Some((address(datagram.address.as_ref()?)?, at * share..at * share + size))
        }));
        Ok(count)
    })
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddrV4::from(v4).into());
    v4.or_else(|| Some(canonical(SocketAddrV6::from(*address.as_sockaddr_in6()?).into())))
}

/// Sends datagrams, at most [`BATCH`] of them, to addresses as the socket wants them. How many went, which is none only if
/// there were none; an error is that of the first.
pub(super) fn try_send<'a>(
    socket: &UdpSocket,
    mut datagrams: impl ExactSizeIterator<Item = (&'a [u8], SocketAddr)>,
) -> io::Result<usize> {
    if datagrams.len() <= 1 {
        return datagrams.next().map_or(Ok(0), |(datagram, to)| socket.try_send_to(datagram, to).map(|_| 1));
    }
    let count = datagrams.len().min(BATCH);
    let mut slots: [_; BATCH] = array::from_fn(|_| {
        let nobody = (&[][..], SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        let (datagram, to) = datagrams.next().unwrap_or(nobody);
        (SocketAddrAny::from(to), [IoSlice::new(datagram)], SendAncillaryBuffer::default())
    });
    let mut headers = slots.each_mut().map(|(to, slices, none)| MMsgHdr::new_with_addr(to, slices, none));
    let headers = headers.get_mut(..count).unwrap_or_default();
    socket.try_io(Interest::WRITABLE, || Ok(sendmmsg(socket, headers, SendFlags::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokio::network::on_socket;

    async fn sockets(count: usize) -> Vec<UdpSocket> {
        let mut sockets = Vec::new();
        for _ in 0..count {
            sockets.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        }
        sockets
    }

    async fn receive_all(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut buffer, mut all) = (vec![0; 65_536], Vec::new());
        while all.len() < count {
            let mut came = Vec::new();
            receive(socket, socket.local_addr().unwrap(), &mut buffer, &mut came).await.unwrap();
            all.extend(came.into_iter().map(|(from, range)| (from, buffer[range].to_vec())));
        }
        all
    }

    #[tokio::test]
    async fn each_datagram_comes_whole_in_its_order_and_with_its_sender() {
        let registry = &sockets(1).await[0];
        let at = registry.local_addr().unwrap();
        let mut sent = Vec::new();
        for (n, peer) in sockets(2 * BATCH + 1).await.into_iter().enumerate() {
            let datagram = format!("datagram {n}").repeat(n + 1).into_bytes();
            peer.send_to(&datagram, at).await.unwrap();
            sent.push((peer.local_addr().unwrap(), datagram));
        }
        assert_eq!(receive_all(registry, sent.len()).await, sent);
        // The headers that the system writes to are used again.
        let late = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        late.send_to(b"late", at).await.unwrap();
        assert_eq!(receive_all(registry, 1).await, [(late.local_addr().unwrap(), b"late".to_vec())]);
    }

    #[tokio::test]
    async fn one_that_is_cut_is_not_taken_for_a_shorter_one() {
        let sockets = sockets(2).await;
        let (at, from) = (sockets[0].local_addr().unwrap(), sockets[1].local_addr().unwrap());
        for size in [2_048, 2_049, 60_000, 1] {
            sockets[1].send_to(&vec![b'x'; size], at).await.unwrap();
        }
        let came: Vec<_> =
            receive_all(&sockets[0], 4).await.into_iter().map(|(by, bytes)| (by, bytes.len())).collect();
        assert_eq!(came, [(from, 2_048), (from, 0), (from, 0), (from, 1)]);
    }

    #[tokio::test]
    async fn each_goes_to_its_own_address_and_one_that_cannot_go_keeps_back_none_but_itself() {
        let peers = sockets(BATCH + 3).await;
        let registry = &sockets(1).await[0];
        registry.writable().await.unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut datagrams: Vec<_> = peers
            .iter()
            .enumerate()
            .map(|(n, peer)| (format!("for {n}").into_bytes(), peer.local_addr().unwrap()))
            .collect();
        datagrams.insert(2, (b"for nobody".to_vec(), nowhere));
        let (mut at, mut outcomes) = (0, Vec::new());
        while at < datagrams.len() {
            let rest = datagrams[at..].iter().map(|(datagram, to)| (&datagram[..], *to));
            let sent = try_send(registry, rest).map_err(|_| ());
            at += sent.unwrap_or(1);
            outcomes.push(sent);
        }
        assert_eq!(outcomes, [Ok(2), Err(()), Ok(BATCH), Ok(1)]);
        for (n, peer) in peers.iter().enumerate() {
            let wanted = (registry.local_addr().unwrap(), format!("for {n}").into_bytes());
            assert_eq!(receive_all(peer, 1).await, [wanted]);
        }
        assert_eq!(try_send(registry, [].into_iter()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_socket_for_both_kinds_of_addresses_tells_of_each_in_its_own_form() {
        // A machine may have no IPv6 at all.
        let Ok(registry) = UdpSocket::bind("[::]:0").await else { return };
        registry.writable().await.unwrap();
        let local = registry.local_addr().unwrap();
        let mut peers = sockets(2).await;
        peers.extend(UdpSocket::bind("[::1]:0").await);
        for peer in &peers {
            let own = peer.local_addr().unwrap();
            peer.send_to(b"hello", SocketAddr::new(own.ip(), local.port())).await.unwrap();
        }
        let came = receive_all(&registry, peers.len()).await;
        let wanted: Vec<_> =
            peers.iter().map(|peer| (peer.local_addr().unwrap(), b"hello".to_vec())).collect();
        assert_eq!(came, wanted);
        let answers = came.iter().map(|(from, _)| (&b"answer"[..], on_socket(local, *from)));
        assert_eq!(try_send(&registry, answers).unwrap(), peers.len());
        for peer in &peers {
            // Sockets of both families are read by turns here, each with addresses of its own length.
            let from = SocketAddr::new(peer.local_addr().unwrap().ip(), local.port());
            assert_eq!(receive_all(peer, 1).await, [(from, b"answer".to_vec())]);
        }
    }
}

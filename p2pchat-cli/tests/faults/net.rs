//! Hosts around one router, each in a network namespace of its own: their cables can be cut and their packets lost.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    client::Home,
    daemon::{Daemon, Setup},
    need::{self, Need},
    place::Place,
};

/// What the names of the namespaces begin with; then come the process and a number.
const PREFIX: &str = "p2pchat-faults-";

/// The hosts and their router; all gone when dropped, so let it be dropped last.
pub(crate) struct Net {
    name: String,
    hosts: Vec<Host>,
}

/// A computer on the network.
pub(crate) struct Host {
    namespace: String,
    number: usize,
    address: Ipv4Addr,
}

impl Host {
    /// Where its programs run.
    pub(crate) fn place(&self) -> Place {
        Place::behind(&["ip", "netns", "exec", &self.namespace])
    }

    /// Where it is found.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A registry on it.
    pub(crate) fn registry(&self) -> Daemon {
        let any = SocketAddr::from((self.address, 0));
        Setup { place: self.place(), tcp: any, udp: any, ..Setup::new(&["--registration=open"]) }.start()
    }

    /// Somebody's computer.
    pub(crate) fn home(&self, daemon: &Daemon) -> Home {
        Home::new(daemon).moved(self.place())
    }
}

impl Net {
    /// So many hosts; `None` where there can't be such a network.
    pub(crate) fn of(hosts: usize) -> Option<Self> {
        static NETS: AtomicUsize = AtomicUsize::new(0);
        if !need::met(&[Need::Program("ip"), Need::Program("nft"), Need::Namespaces]) {
            return None;
        }
        remove_left_overs();
        let name = format!("{PREFIX}{}-{}", process::id(), NETS.fetch_add(1, Ordering::Relaxed));
        // From here on what has been made goes with it.
        let mut net = Self { name, hosts: Vec::new() };
        let router = net.router();
        shell(&format!(
            "ip netns add {router}
             ip -n {router} link set lo up
             ip netns exec {router} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
             ip netns exec {router} nft 'add table ip faults'
             ip netns exec {router} nft 'add chain ip faults forward {{ type filter hook forward priority 0; }}'"
        ));
        for number in 0..hosts {
            let namespace = format!("{}-{number}", net.name);
            net.hosts.push(Host { namespace: namespace.clone(), number, address: address(number, 2) });
            let (here, gateway) = (address(number, 2), address(number, 1));
            shell(&format!(
                "ip netns add {namespace}
                 ip link add eth0 netns {namespace} type veth peer name host{number} netns {router}
                 ip -n {namespace} link set lo up
                 ip -n {namespace} addr add {here}/24 dev eth0
                 ip -n {namespace} link set eth0 up
                 ip -n {namespace} route add default via {gateway}
                 ip -n {router} addr add {gateway}/24 dev host{number}
                 ip -n {router} link set host{number} up"
            ));
        }
        Some(net)
    }

    /// The hosts.
    pub(crate) fn hosts<const N: usize>(&self) -> [&Host; N] {
        self.hosts.iter().collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("there are not {N} hosts"))
    }

    /// The namespace between them.
    pub(crate) fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    /// Where the router is found by a host.
    pub(crate) fn gateway(&self, host: &Host) -> Ipv4Addr {
        address(host.number, 1)
    }

    /// Pulls a host's cable.
    pub(crate) fn cut(&self, host: &Host) {
        shell(&format!("ip -n {} link set host{} down", self.router(), host.number));
    }

    /// Plugs it in again.
    pub(crate) fn mend(&self, host: &Host) {
        shell(&format!("ip -n {} link set host{} up", self.router(), host.number));
    }

    /// Loses what goes from one host to another.
    pub(crate) fn block(&self, from: &Host, to: &Host) {
        self.lose(&format!("ip saddr {} ip daddr {}", from.address, to.address));
    }

    /// Loses what this nft expression matches.
    pub(crate) fn lose(&self, what: &str) {
        shell(&format!(
            "ip netns exec {} nft 'add rule ip faults forward {what} counter drop'",
            self.router()
        ));
    }

    /// How many packets have been lost so far since the last time that nothing was.
    pub(crate) fn lost(&self) -> u64 {
        let rules = shell(&format!("ip netns exec {} nft list chain ip faults forward", self.router()));
        let counts = rules.split("counter packets ").skip(1);
        counts.map(|count| count.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Loses nothing any more.
    pub(crate) fn heal(&self) {
        shell(&format!("ip netns exec {} nft flush chain ip faults forward", self.router()));
    }

    /// Gives a host another address, as when it moves to another network; the new one.
    pub(crate) fn move_away(&self, host: &Host) -> Ipv4Addr {
        let Host { namespace, number, address: old } = host;
        let (new, gateway) = (address(*number, 3), address(*number, 1));
        shell(&format!(
            "ip -n {namespace} addr del {old}/24 dev eth0
             ip -n {namespace} addr add {new}/24 dev eth0
             ip -n {namespace} route add default via {gateway}"
        ));
        new
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().map(|host| host.namespace.clone()).chain([self.router()]) {
            delete(&namespace);
        }
    }
}

fn address(host: usize, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, u8::try_from(host).unwrap(), last)
}

fn delete(namespace: &str) {
    let mut delete = Command::new("ip");
    // It may never have been made.
    drop(delete.args(["netns", "delete", namespace]).stderr(Stdio::null()).status());
}

/// What a test process that was killed has left.
fn remove_left_overs() {
    let Ok(namespaces) = fs::read_dir("/run/netns") else { return };
    for name in namespaces.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            delete(&name);
        }
    }
}

/// Runs commands, each of which has to succeed; what they print.
fn shell(commands: &str) -> String {
    let done = Command::new("sh").args(["-ec", commands]).output().unwrap();
    assert!(done.status.success(), "{commands}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

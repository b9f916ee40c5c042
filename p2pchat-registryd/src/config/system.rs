//! What is wrong with settings that only this machine shows. Nothing is changed, made or kept open.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use p2pchat_core::tokio::TlsError;

use super::{Certificate, Config, ConfigError};
use crate::{
    certificate::{self, Pem},
    files,
};

/// What the process needs besides connections: the store, the log, both sockets, tokio's own.
const OTHER_FILES: u64 = 64;

/// How many files are open with so many connections.
pub(crate) fn files_for(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES)
}

/// More connections than this process could ever have.
pub(super) fn too_many(connections: usize) -> Option<ConfigError> {
    let needed = files_for(connections);
    let most = most_files().filter(|&most| most < needed)?;
    let instead = match most.saturating_sub(OTHER_FILES) {
        0 => String::new(),
        possible => format!("write max-connections = {possible} or less, or "),
    };
    let problem = format!(
        "that takes {needed} open files, and the system allows this process {most}: {instead}raise the hard limit on \
         open files (systemd: LimitNOFILE=, shell: ulimit -Hn)"
    );
    Some(ConfigError::Unusable { key: "max-connections", value: connections.to_string(), problem })
}

/// A path that the system doesn't take for a socket.
#[cfg(unix)]
pub(super) fn too_long_for_a_socket(path: &Path) -> Option<ConfigError> {
    let (size, limit) = (path.as_os_str().len(), crate::admin::MAX_PATH);
    let problem =
        format!("it has {size} bytes, and the system takes {limit} for a socket: write a shorter path");
    let value = path.display().to_string();
    (size > limit).then_some(ConfigError::Unusable { key: "admin-socket", value, problem })
}

#[cfg(unix)]
fn most_files() -> Option<u64> {
    rlimit::Resource::NOFILE.get_hard().ok()
}

#[cfg(not(unix))]
fn most_files() -> Option<u64> {
    None
}

/// What keeps a registry with these settings from starting here. Ports that are taken are passed over: it may be this
/// very registry that has them.
pub(super) fn problems(config: &Config) -> Vec<ConfigError> {
    let mut problems: Vec<_> =
        [("listen", config.listen, bind_tcp as fn(_) -> _), ("udp-listen", config.udp_listen, bind_udp)]
            .into_iter()
            .chain(config.metrics_listen.map(|address| ("metrics-listen", address, bind_tcp as fn(_) -> _)))
            .filter_map(|(key, address, bind)| {
                let error = bind(address).err().filter(|error| error.kind() != io::ErrorKind::AddrInUse)?;
                let advice = match error.kind() {
                    io::ErrorKind::AddrNotAvailable => {
                        "write an address of this machine, or 0.0.0.0 or [::] for all"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "write a port from 1024 up, or give the registry CAP_NET_BIND_SERVICE"
                    }
                    _ => "write another address and port, such as 127.0.0.1:15600",
                };
                Some(ConfigError::Unusable {
                    key,
                    value: address.to_string(),
                    problem: format!("{error}: {advice}"),
                })
            })
            .collect();
    let unusable = |key, value: &Path, problem| ConfigError::Unusable {
        key,
        value: value.display().to_string(),
        problem,
    };
    if let Err(problem) = data_dir(&config.data_dir) {
        problems.push(unusable("data-dir", &config.data_dir, problem));
    }
    match &config.certificate {
        Certificate::Files { cert, key } => {
            problems.extend(pair(cert, key).into_iter().map(|(of_key, problem)| {
                if of_key { unusable("key", key, problem) } else { unusable("cert", cert, problem) }
            }));
        }
        Certificate::Own => {
            let (cert, key) = certificate::own_paths(&config.data_dir);
            if cert.exists() {
                let both = pair(&cert, &key).into_iter();
                problems.extend(both.map(|(of_key, problem)| {
                    let file = if of_key { &key } else { &cert };
                    let problem = format!("{} in it: {problem}", file.display());
                    unusable("data-dir", &config.data_dir, problem)
                }));
            }
        }
    }
    problems
}

/// What is wrong with a certificate and its key, and whether it is the key's fault.
fn pair(cert: &Path, key: &Path) -> Vec<(bool, String)> {
    let unreadable = |(of_key, path): (bool, &Path)| {
        let error = std::fs::read(path).err()?;
        Some((of_key, format!("{error}: a file in PEM is wanted that the registry's user can read")))
    };
    let unreadable: Vec<_> = [(false, cert), (true, key)].into_iter().filter_map(unreadable).collect();
    if !unreadable.is_empty() {
        return unreadable;
    }
    match Pem::read(cert, key).map(|pem| pem.tls(Default::default())) {
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(error)) => vec![(!matches!(error, TlsError::Certificate(_)), error.to_string())],
        Err(error) => vec![(true, error.to_string())],
    }
}

/// The folder is there and can be used, or it can be made.
fn data_dir(path: &Path) -> Result<(), String> {
    let advice = "a folder is wanted that the registry's user can write to";
    if !path.exists() {
        let parent = path.ancestors().skip(1).map(here).find(|parent| parent.exists());
        return match parent {
            Some(parent) if !parent.is_dir() => Err(format!("{} is no folder: {advice}", parent.display())),
            Some(parent) => may_write(&parent)
                .map_err(|error| format!("it can't be made in {}: {error}: {advice}", parent.display())),
            None => Err(format!("there is nothing that it could be made in: {advice}")),
        };
    }
    if !path.is_dir() {
        return Err(format!("it is no folder: {advice}"));
    }
    may_write(path).map_err(|error| format!("{error}: {advice}"))?;
    for file in [files::STORE, files::CERTIFICATE, files::KEY].map(|name| path.join(name)) {
        if file.exists() {
            may_change(&file).map_err(|error| format!("{} in it: {error}", file.display()))?;
        }
    }
    Ok(())
}

/// The parent of a bare name is the folder that the process is in.
fn here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.into() }
}

#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(unix)]
fn may_change(file: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(file, Access::READ_OK | Access::WRITE_OK)?)
}

#[cfg(not(unix))]
fn may_write(folder: &Path) -> io::Result<()> {
    std::fs::read_dir(folder).map(drop)
}

#[cfg(not(unix))]
fn may_change(file: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().read(true).write(true).open(file).map(drop)
}

/// Without listening, so that nobody gets in by mistake.
fn bind_tcp(address: SocketAddr) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.bind(address)
}

fn bind_udp(address: SocketAddr) -> io::Result<()> {
    std::net::UdpSocket::bind(address).map(drop)
}

//! The p2pchat registry daemon: [`p2pchat_core`]'s registry with a redb store, a certificate, settings and a log.
//!
//! The binary is [`Cli`]. A program that wants a registry inside itself uses [`serve`], or [`RedbStore`] with
//! [`p2pchat_core::tokio::Server`]:
//!
//! ```no_run
//! use p2pchat_registryd::{Config, Settings, serve};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = Settings::default();
//! settings.data_dir = Some("/srv/chat".into());
//! let ctrl_c = async { _ = tokio::signal::ctrl_c().await };
//! serve(&Config::new(settings)?, ctrl_c, |ready| println!("{ready}")).await?;
//! # Ok(())
//! # }
//! ```

#[cfg(unix)]
mod admin;
mod certificate;
mod command;
mod config;
#[cfg(unix)]
mod ctl;
mod daemon;
mod files;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod init;
mod json;
mod logging;
mod monitor;
mod offline;
mod reload;
#[cfg(unix)]
mod service;
mod sockets;
mod store;

#[cfg(unix)]
pub use admin::SocketError;
pub use certificate::CertificateError;
pub use command::Cli;
pub use config::{Args, Certificate, Config, ConfigError, LogFormat, Settings};
pub use daemon::{Error, Ready, run, serve};
pub use monitor::MetricsError;
pub use sockets::PassedError;
pub use store::{BackupError, FORMAT, OpenError, RedbStore, StoreConfig};

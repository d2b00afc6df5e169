//! Real servers for tests, on loopback ports of their own, with data in a temporary directory.
//!
//! ```no_run
//! use test_servers::{Kind, Options, Server};
//!
//! let mut server = Server::start(Kind::Valkey8, Options::default());
//! let () = server.ask(&["SET", "key", "value"]);
//! server.kill();
//! server.restart();
//! assert_eq!(server.ask::<String>(&["GET", "key"]), "value");
//! ```
//!
//! | | |
//! | --- | --- |
//! | [`Server`] | one Valkey or Redis |
//! | [`Sentinels`] | a primary, its replicas, and the sentinels that watch them |
//! | [`Cluster`] | three primaries with a third of the slots each |
//! | [`Certificates`] | what a server needs for encrypted connections |
//! | [`Gateway`] | nginx, with a configuration of the caller's |
//! | [`Proxy`] | a connection that can be cut, wholly or one way |
//! | [`SlowDisk`] | what makes the flushes of one server slow |
//! | [`Process`] | any other program: killed when dropped, with its output at hand |
//!
//! A program that the machine lacks is fetched from the distribution and unpacked below the build directory, without
//! touching the system ([`install`](Kind::install)). Whatever is not as it must be panics with advice: a test that cannot
//! have its server must not pass.

mod certificates;
mod cluster;
mod disk;
mod gateway;
mod install;
mod packages;
mod ports;
mod process;
mod proxy;
mod sentinel;
mod server;

pub use certificates::Certificates;
pub use cluster::Cluster;
pub use disk::SlowDisk;
pub use gateway::Gateway;
pub use install::{Kind, Program};
pub use ports::free_port;
pub use process::Process;
pub use proxy::Proxy;
pub use sentinel::Sentinels;
pub use server::{Fsync, Options, Server};

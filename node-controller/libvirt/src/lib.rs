//! The libvirt driver: real domains and their root disks on one host, behind [`Hypervisor`].
//!
//! Why a crate of its own: it is the only one that may be `unsafe` (`events`, which registers callbacks that the
//! `virt` crate does not wrap). Everything else here is safe code over `virt`.
//!
//! How calls travel: an operation takes the instance's lock, then one job on a small pool of named threads does all
//! its libvirt calls; the caller waits with a deadline. No libvirt call runs on a worker of the async runtime. One
//! more thread keeps the connection (`link`), and one runs libvirt's event loop for the whole process (`events`).
//!
//! What it refuses to do: touch a domain without our metadata, follow a pointer in a tenant's image, guess a format.
//!
//! [`Hypervisor`]: mallee_node_core::Hypervisor

mod config;
mod domain;
mod driver;
mod error;
mod events;
mod files;
mod host;
mod link;
mod mark;
mod pool;
mod qcow2;
mod reach;
mod xml;

pub use config::{Accelerator, LibvirtConfig};
pub use driver::LibvirtHypervisor;

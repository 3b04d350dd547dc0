//! The node controller's heart: it converges one host to what it was told, and tells what it sees.
//!
//! The drivers stand behind three traits: [`Hypervisor`] (libvirt, simulated), [`NetworkEngine`] (kernel,
//! simulated), [`ImageStore`] (files fed by Walrus, simulated).

mod actor;
mod answers;
pub mod cache;
mod context;
mod durable;
mod effects;
mod events;
pub mod flows;
mod held;
pub mod hypervisor;
pub mod images;
mod inventory;
pub mod ledger;
pub mod machine;
pub mod network;
mod node;
mod outbox;
pub mod picture;
mod session;
mod source;
mod sweep;
mod views;

pub use cache::{FileImageCache, ImageBytes, ImageSource};
pub use context::{Drivers, Settings};
pub use held::HeldInstances;
pub use hypervisor::{
    DomainEvent, DomainRecord, DomainSpec, DomainState, HostFacts, Hypervisor, HypervisorError, NicSpec,
};
pub use images::{CachedImage, ImageError, ImageStore};
pub use ledger::{MemoryDisk, Place};
pub use machine::Patience;
pub use network::{Applied, MetadataSource, NetworkEngine, NetworkError, NetworkInventory};
pub use node::{Node, NodeHandle, StartError, Surroundings};
pub use picture::Picture;
pub use session::{ConnectError, Connector};
pub use source::GrpcImageSource;

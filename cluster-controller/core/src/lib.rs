//! The cluster controller's heart: who the nodes are and what they hold, where instances go, and how the cloud's
//! intent gets down and the nodes' observations get up.
//!
//! [`ClusterState`] is a struct without async, clock or I/O: messages go in, and what each session has to be sent is
//! *pulled* from it, newest state first to last. A session that is slow to read thus costs no memory beyond one mark
//! per thing it has not heard of, and never holds up another. [`Hub`] puts it behind a lock and wakes sessions;
//! [`CloudFacing`] and [`NodeFacing`] are the gRPC services over it.
//!
//! Nothing is stored. After a restart the state is rebuilt from the cloud's snapshot and the nodes' reports; until
//! both are whole nothing is placed, nothing is swept, and no node's network is touched.

mod hub;
mod peer;
mod settings;
mod state;

pub use hub::{CloudFacing, Hub, NodeFacing};
pub use peer::{Peer, PeerIdentity, PeerRole};
pub use settings::{Settings, limits};
pub use state::{ClusterState, Now, Pulled};

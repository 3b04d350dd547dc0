//! Who is who between the daemons: identities, the cluster's own CA, mTLS with certificates that rotate without a
//! restart, one-time join tokens; and the in-memory transport of `mallee up`, which carries the same identities.

mod ca;
mod client;
mod credentials;
mod error;
mod files;
mod gate;
mod guard;
mod identity;
mod in_process;
mod rotate;
mod server;
mod tls;
mod token;

pub use ca::{CERTIFICATE_DAYS, Ca, request_key_sha256};
pub use client::{connect, connect_pinned};
pub use credentials::{CredentialStore, Credentials, NewKey, new_key_and_csr, pending_key_and_csr};
pub use error::PkiError;
pub use gate::{Flow, Gate};
pub use guard::{Allow, Guard, GuardLayer, Rule, authorise_self, decide};
pub use identity::{Identity, IdentityError, Role, authorise, peer_identity};
pub use in_process::{Dialler, Incoming, PeerInfo, in_process};
pub use rotate::spawn_rotator;
pub use server::{ClientAuth, TlsConn, TlsIncoming};
pub use token::JoinToken;

//! Tokens of OpenID Connect providers: verified against the keys that the provider publishes, which are fetched with
//! care, because whoever registers a provider chooses where this cloud connects to.
//!
//! Only https; names are resolved here, every address must be a public one, and the connection goes to an address that
//! was checked; no redirects; limits of bytes and time; a cache of limited size. An operator may name providers at
//! private addresses.

mod fetch;
mod jwk;
mod jwt;
mod provider;
mod trust;

pub use fetch::FetchError;
pub use jwt::{Claims, JwtError, Token};
pub use provider::{Provider, Providers, Refusal};

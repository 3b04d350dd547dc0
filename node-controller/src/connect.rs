//! Ways to a peer.

use async_trait::async_trait;
use mallee_node_core::{ConnectError, Connector};
use std::fmt;
use tonic::transport::Channel;

/// A connector made of a function: whoever knows about certificates or in-memory pipes stays outside.
pub struct FnConnector<F>(F);

impl<F> FnConnector<F> {
    /// Calls `dial` for every connection.
    pub const fn new(dial: F) -> Self {
        Self(dial)
    }
}

impl<F> fmt::Debug for FnConnector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnConnector")
    }
}

#[async_trait]
impl<F, Fut> Connector for FnConnector<F>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Channel, ConnectError>> + Send,
{
    async fn connect(&self) -> Result<Channel, ConnectError> {
        (self.0)().await
    }
}

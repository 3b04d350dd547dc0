//! The port of the object store's metrics.

use crate::tier::bind;
use anyhow::Result;
use mallee_runtime::TaskScope;
use mallee_serve::serve;
use mallee_walrus::Walrus;
use std::net::SocketAddr;

/// Metrics.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MetricsArgs {
    /// Address and port where Prometheus reads /metrics of the object store, without a signature (default: nowhere).
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
}

impl MetricsArgs {
    /// Serves them until the scope stops.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) async fn serve(&self, walrus: &Walrus, servers: &TaskScope) -> Result<()> {
        let Some(address) = self.metrics else { return Ok(()) };
        let listener = bind(address, "--metrics").await?;
        tracing::info!(url = %format!("http://{}/metrics", listener.local_addr()?), "metrics of the object store");
        servers.spawn(serve(listener, walrus.metrics(), servers.clone()));
        Ok(())
    }
}

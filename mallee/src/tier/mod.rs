//! One tier alone in its process: `mallee cloud`, `cluster`, `node`, `walrus`. Between them they speak gRPC over TCP with
//! mutual TLS; each holds a certificate of the cluster's CA, which the cloud controller keeps.

mod alone;
mod authority;
mod cloud;
mod cluster;
mod data_keys;
mod directory;
pub(crate) use directory::CloudLink;
mod keys;
mod member;
mod node;
mod s3_proxy;
mod trail;
mod walrus;
mod walrus_check;
mod ways;

pub use cloud::{CloudArgs, cloud};
pub use cluster::{ClusterArgs, cluster};
pub use member::JoinArgs;
pub use node::{NodeArgs, node};
pub use walrus::{WalrusArgs, walrus};
pub use walrus_check::{WalrusCheckArgs, walrus_check};

use anyhow::{Context as _, Result, anyhow, bail};
use mallee_pki::{ClientAuth, CredentialStore, GuardLayer, Rule, TlsIncoming};
use mallee_runtime::{Clock, Faults, Rng, TaskScope};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::service::Routes;

/// How long the servers of a process may take to end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Interval of pings to callers, and how long one may stay unanswered.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Where a tier keeps its key and certificate, in its state directory.
const PKI_DIR: &str = "pki";

/// Time, randomness and fault points of a process of its own.
#[derive(Debug, Clone)]
struct Around {
    clock: Clock,
    rng: Rng,
    faults: Faults,
}

impl Around {
    fn system() -> Self {
        Self { clock: Clock::system(), rng: Rng::system(), faults: Faults::none() }
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens on the address given with `option`.
pub(crate) async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow!("{address} is in use by another program; choose another with {option} ADDR:PORT")
        }
        _ => anyhow!("cannot listen on {address}: {error}; choose another with {option} ADDR:PORT"),
    })
}

/// The address by which others reach a listener: what `option` said, else where it listens.
fn advertised(given: Option<&str>, scheme: &str, listener: &TcpListener, option: &str) -> Result<String> {
    let Some(given) = given else {
        let address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            bail!(
                "{address} is no address that others can connect to; say it with {option} {scheme}://HOST:{}",
                address.port()
            );
        }
        return Ok(format!("{scheme}://{address}"));
    };
    let uri = given.trim_end_matches('/');
    let parsed = uri.parse::<http::Uri>().ok();
    match parsed.map(|uri| (uri.scheme_str() == Some(scheme), uri.port_u16().is_some())) {
        Some((true, true)) => Ok(uri.to_owned()),
        _ => bail!("{given:?} is no address of the form {scheme}://HOST:PORT; correct {option}"),
    }
}

/// Serves these services to peers whose certificates the rules allow, until the scope stops.
fn serve_mtls(
    servers: &TaskScope,
    listener: TcpListener,
    credentials: CredentialStore,
    rules: &'static [Rule],
    services: Routes,
) -> Result<()> {
    let shutdown = servers.shutdown().clone();
    let incoming = TlsIncoming::new(listener, credentials, ClientAuth::Required, &shutdown)?;
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .layer(GuardLayer::new(rules))
        .add_routes(services);
    servers.spawn(async move {
        let stopped = shutdown.clone();
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, async move { stopped.stopped().await }).await
        {
            tracing::error!(%error, "the control port failed; nobody reaches this daemon until a restart");
        }
    });
    Ok(())
}

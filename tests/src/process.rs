//! The process that plays the cloud: a runtime of its own with an [`Assembly`] in it.

use crate::client::Client;
use mallee::state::StateDir;
use mallee::up::{Assembly, Options};
use mallee_app::Cloud;
use mallee_runtime::{Faults, Shutdown};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Threads of a process; enough to run two things at once.
const THREADS: usize = 2;
/// A killed process must be gone by then.
const DEATH_MAX: Duration = Duration::from_secs(10);

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    runtime: Mortal,
    assembly: Assembly,
    _lock: StateDir,
    pub client: Client,
}

/// A runtime that may be dropped anywhere: a test that fails must say why, not that its runtime was dropped.
#[derive(Debug)]
struct Mortal(Option<Runtime>);

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Mortal {
    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("it has not ended")
    }
}

/// Ends a runtime: every task is dropped where it stands.
async fn end(mut runtime: Mortal) {
    let Some(runtime) = runtime.0.take() else { return };
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEATH_MAX)).await.expect("a runtime ends");
}

async fn assemble(options: Options) -> anyhow::Result<(Assembly, StateDir, SocketAddr)> {
    let dir = StateDir::take(&options.state)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((Assembly::start(&dir, options, listener, &Shutdown::new()).await?, dir, address))
}

impl Process {
    /// Starts. `Ok(None)`: a `Kill` struck before it was up.
    ///
    /// # Errors
    /// What keeps the cloud from starting.
    pub async fn start(options: Options, faults: &Faults) -> anyhow::Result<Option<Self>> {
        let runtime = Mortal(Some(Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?));
        let (region, clock) = (options.region.clone(), options.clock.clone());
        let starting = runtime.get().spawn(assemble(options));
        let started = tokio::select! {
            biased;
            () = faults.killed() => None,
            started = starting => Some(started?),
        };
        match started {
            None => {
                end(runtime).await;
                Ok(None)
            }
            Some(Err(error)) => {
                end(runtime).await;
                Err(error)
            }
            Some(Ok((assembly, lock, address))) => {
                let admin = assembly.admin().clone();
                let client = Client::new(address, admin.access_key_id, admin.secret_access_key, region);
                let client = client.with_clock(clock);
                Ok(Some(Self { runtime, assembly, _lock: lock, client }))
            }
        }
    }

    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(self.assembly.cloud())
    }

    pub async fn kill_node(&self, name: &str) {
        self.assembly.kill_node(name).await.expect("a node of this name");
    }

    pub async fn start_node(&mut self, name: &str) {
        // Its tasks belong to this process.
        let entered = self.runtime.get().handle().clone();
        let mut starting = std::pin::pin!(self.assembly.start_node(name));
        std::future::poll_fn(|cx| {
            let _inside = entered.enter();
            starting.as_mut().poll(cx)
        })
        .await
        .expect("the node starts");
    }

    /// Runs something inside the process.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.get().spawn(work).await.expect("what runs in the process does not panic")
    }

    /// kill -9.
    pub async fn kill(self) {
        let Self { runtime, assembly, _lock, client } = self;
        end(runtime).await;
        drop((assembly, client));
    }

    /// SIGTERM.
    pub async fn stop(self) {
        let Self { runtime, assembly, _lock, client } = self;
        drop(client);
        runtime.get().spawn(assembly.stop()).await.expect("stopping does not panic");
        end(runtime).await;
    }
}

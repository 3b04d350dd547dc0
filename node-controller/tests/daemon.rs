//! The library entry that `mallee node` and `mallee up` use.

use mallee_node_controller::{ConnectError, FnConnector, NodeConfig, Surroundings, run, simulated};
use mallee_runtime::{Clock, Faults, Rng, Shutdown};
use mallee_sim::SimHost;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn around() -> Surroundings {
    Surroundings { clock: Clock::system(), rng: Rng::seeded(1), faults: Faults::none() }
}

fn nobody_there() -> Result<tonic::transport::Channel, ConnectError> {
    Err(ConnectError("nobody there".into()))
}

#[tokio::test]
async fn a_node_without_a_cluster_dials_on_and_ends_when_told() {
    let host = SimHost::new("node-1", simulated::SimConfig::default(), Rng::seeded(1));
    let config = simulated::config("node-1".parse().unwrap(), "192.0.2.1", &host);
    let dials = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&dials);
    let connector = FnConnector::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { nobody_there() }
    });
    let shutdown = Shutdown::new();
    let node = run(config, simulated::drivers(&host), Arc::new(connector), around(), shutdown.clone());
    let node = tokio::spawn(node);
    for _ in 0..1000 {
        if dials.load(Ordering::Relaxed) >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(dials.load(Ordering::Relaxed) >= 3, "it dials again and again");
    shutdown.stop();
    tokio::time::timeout(Duration::from_secs(5), node).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_state_directory_that_is_none_is_one_clear_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let host = SimHost::new("node-1", simulated::SimConfig::default(), Rng::seeded(1));
    let config = NodeConfig::new("node-1".parse().unwrap(), "192.0.2.1", file.path());
    let connector = FnConnector::new(|| async { nobody_there() });
    let ended = run(config, simulated::drivers(&host), Arc::new(connector), around(), Shutdown::new()).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()), "{error}");
    assert!(error.contains("check that the directory is writable"), "{error}");
}

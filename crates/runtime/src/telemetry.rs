//! Logs: human lines on a terminal, JSON lines elsewhere; the level from `MALLEE_LOG` (default `info`).

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// The default filter: our crates at info, the libraries at warn.
const DEFAULT_FILTER: &str = "warn,mallee=info,mallee_app=info,mallee_cloud_controller=info,\
mallee_cluster_core=info,mallee_cluster_controller=info,mallee_node_core=info,mallee_node_controller=info,\
mallee_net=info,mallee_libvirt=info,mallee_walrus=info,mallee_s3=info,mallee_objects=info,mallee_saga=info,\
mallee_store=info,mallee_pki=info,mallee_runtime=info";

/// Installs the log subscriber of a daemon, on standard error. A second call in one process does nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env("MALLEE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    // The one reason to fail is that a subscriber stands already (tests install their own).
    drop(installed);
}

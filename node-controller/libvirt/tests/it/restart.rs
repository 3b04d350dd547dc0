//! libvirtd goes away and comes back; so do we. Guests do not notice.

use crate::daemon::{Daemon, kill};
use crate::guests::{id, spec, state, until};
use mallee_libvirt::{LibvirtConfig, LibvirtHypervisor};
use mallee_node_core::{DomainEvent, DomainState, Hypervisor as _, HypervisorError};
use std::time::Duration;

const KEPT: &str = "i-00000000000000001";
const ENDED: &str = "i-00000000000000002";
const KILLED: &str = "i-00000000000000003";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_survive_libvirtd_and_are_adopted() {
    let daemon = Daemon::start();
    let driver = daemon.connect().await;
    let mut events = driver.subscribe();
    for name in [KEPT, ENDED, KILLED] {
        driver.prepare_disk(&spec(&daemon, name, 1)).await.unwrap();
        driver.start_paused(&spec(&daemon, name, 1)).await.unwrap();
        driver.resume(&id(name)).await.unwrap();
    }
    driver.power_off(&id(ENDED)).await.unwrap();
    let kept = daemon.qemu_pid(&format!("mallee-{KEPT}"));

    daemon.kill_libvirtd();
    let away = loop {
        // The first call may still meet the dying connection.
        if let Err(error) = driver.domains().await {
            break error;
        }
    };
    assert!(matches!(away, HypervisorError::Unavailable(_)), "{away:?}");
    kill(daemon.qemu_pid(&format!("mallee-{KILLED}")));
    daemon.start_libvirtd();
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap();
        if event == DomainEvent::Resync {
            break;
        }
    }
    assert_eq!(state(&driver, &id(KEPT)).await, Some(DomainState::Running));
    assert_eq!(daemon.qemu_pid(&format!("mallee-{KEPT}")), kept);
    assert_eq!(state(&driver, &id(ENDED)).await, Some(DomainState::Off { crashed: false }));
    assert_eq!(state(&driver, &id(KILLED)).await, Some(DomainState::Off { crashed: true }));

    // Events flow on the new connection too, and a second driver (our own restart) finds the same domains.
    drop(driver);
    let driver = daemon.connect().await;
    let mut events = driver.subscribe();
    assert_eq!(driver.domains().await.unwrap().len(), 3);
    kill(kept);
    until(&driver, &mut events, &id(KEPT), DomainState::Off { crashed: true }).await;
    for name in [KEPT, ENDED, KILLED] {
        driver.remove(&id(name)).await.unwrap();
    }
    assert!(driver.domains().await.unwrap().is_empty());
}

#[tokio::test]
async fn without_libvirtd_the_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let with = |uri: String| LibvirtHypervisor::connect(LibvirtConfig { uri, ..LibvirtConfig::new(dir.path()) });
    let socket = dir.path().join("libvirt-sock");
    let error = with(format!("qemu:///system?socket={}", socket.display())).await.unwrap_err();
    assert!(matches!(&error, HypervisorError::Unavailable(why) if why.contains("start it")), "{error:?}");
    for remote in ["qemu+ssh://host/system", "test:///default", "xen:///"] {
        assert!(matches!(with(remote.into()).await, Err(HypervisorError::Refused(_))), "{remote}");
    }
    let relative = LibvirtHypervisor::connect(LibvirtConfig::new("state")).await;
    assert!(matches!(relative, Err(HypervisorError::Refused(_))));
}

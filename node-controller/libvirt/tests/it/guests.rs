//! The trait's promises, kept by real domains. An empty disk is enough: the firmware runs, and that is a guest.

use crate::daemon::{Daemon, kill};
use mallee_libvirt::LibvirtHypervisor;
use mallee_node_core::hypervisor::CachedImageRef;
use mallee_node_core::{DomainEvent, DomainSpec, DomainState, Hypervisor as _, HypervisorError, NicSpec};
use mallee_types::{Incarnation, InstanceId, MacAddress};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;

const ID: &str = "i-0123456789abcdef0";

pub fn spec(daemon: &Daemon, id: &str, incarnation: u64) -> DomainSpec {
    let image = daemon.path("image.raw");
    if !image.exists() {
        fs::write(&image, vec![0u8; 1 << 20]).unwrap();
        fs::set_permissions(&image, fs::Permissions::from_mode(0o644)).unwrap();
    }
    DomainSpec {
        instance: id.parse().unwrap(),
        incarnation: Incarnation(incarnation),
        vcpus: 1,
        memory_mib: 64,
        image: CachedImageRef { digest: "00".repeat(32), path: image, format: "raw".into() },
        root_disk_bytes: 16 << 20,
        nics: Vec::new(),
    }
}

/// Boot code that writes `Hi` to the serial port and powers the machine off (ACPI S5 of QEMU's `pc`).
const HELLO_AND_OFF: &[u8] = b"\xba\xf8\x03\xb0H\xee\xb0i\xee\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd";

/// A guest that says `Hi` and powers itself off.
pub fn brief(daemon: &Daemon, id: &str) -> DomainSpec {
    let image = daemon.path("brief.raw");
    let mut bytes = vec![0u8; 1 << 20];
    bytes[..HELLO_AND_OFF.len()].copy_from_slice(HELLO_AND_OFF);
    bytes[510..512].copy_from_slice(b"\x55\xaa");
    fs::write(&image, bytes).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o644)).unwrap();
    let mut spec = spec(daemon, id, 1);
    spec.image.path = image;
    spec
}

pub fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub async fn state(driver: &LibvirtHypervisor, id: &InstanceId) -> Option<DomainState> {
    driver.domain(id).await.unwrap().map(|record| record.state)
}

/// Reads events until `wanted` holds of the domain.
pub async fn until(
    driver: &LibvirtHypervisor,
    events: &mut Receiver<DomainEvent>,
    id: &InstanceId,
    wanted: DomainState,
) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while state(driver, id).await != Some(wanted) {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = tokio::time::timeout(left, events.recv()).await;
        assert!(event.is_ok(), "no event, and the domain is {:?}, not {wanted:?}", state(driver, id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_lives_through_all_that_the_trait_promises() {
    let daemon = Daemon::start();
    let driver = daemon.connect().await;
    let mut events = driver.subscribe();
    let mut wanted = spec(&daemon, ID, 3);
    let id = id(ID);
    daemon.tap("mtest0");
    wanted.nics.push(NicSpec { tap: "mtest0".into(), mac: MacAddress([2, 0, 0, 0, 0, 1]), mtu: 1400 });

    // Nothing there: nothing to see, and everything that undoes is fine.
    assert_eq!(state(&driver, &id).await, None);
    driver.shutdown(&id).await.unwrap();
    driver.power_off(&id).await.unwrap();
    driver.remove(&id).await.unwrap();
    assert!(matches!(driver.resume(&id).await, Err(HypervisorError::Failed(_))));
    assert!(matches!(driver.reset(&id).await, Err(HypervisorError::Failed(_))));
    let early = driver.start_paused(&wanted).await.unwrap_err();
    assert!(early.to_string().contains("prepare it first"), "{early}");
    assert!(driver.domains().await.unwrap().is_empty());

    // Up, held, and let go; each step twice.
    for _ in 0..2 {
        driver.prepare_disk(&wanted).await.unwrap();
    }
    assert_eq!(driver.disks().await.unwrap(), std::slice::from_ref(&id));
    for _ in 0..2 {
        driver.start_paused(&wanted).await.unwrap();
    }
    assert_eq!(state(&driver, &id).await, Some(DomainState::Paused));
    let qemu = daemon.qemu_pid(&format!("mallee-{ID}"));
    // The network engine moves the tap away while the guest is held; the guest must not mind.
    daemon.inside(&["ip", "netns", "add", "mtestvpc"]);
    daemon.inside(&["ip", "link", "set", "mtest0", "netns", "mtestvpc"]);
    for _ in 0..2 {
        driver.resume(&id).await.unwrap();
    }
    until(&driver, &mut events, &id, DomainState::Running).await;
    driver.start_paused(&wanted).await.unwrap();
    assert_eq!(state(&driver, &id).await, Some(DomainState::Running));

    driver.reset(&id).await.unwrap();
    assert_eq!(daemon.qemu_pid(&format!("mallee-{ID}")), qemu, "a reset keeps the process");
    driver.shutdown(&id).await.unwrap();
    assert_eq!(
        state(&driver, &id).await,
        Some(DomainState::Running),
        "a guest without an ACPI driver ignores the button"
    );

    // Metadata and identity are the ones the guest's cloud-init and our sweep need.
    let (_, xml) = daemon.virsh(&["dumpxml", &format!("mallee-{ID}")]);
    for part in ["<uuid>ec2", "urn:mallee:domain:1", "incarnation=\"3\"", "managed='no'", "mtu size='1400'"] {
        assert!(xml.contains(part), "{part} not in {xml}");
    }
    let image = fs::metadata(&wanted.image.path).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&image), 0, "the image was given to QEMU's user");

    // The plug is pulled: off, in order, disk and definition stay.
    for _ in 0..2 {
        driver.power_off(&id).await.unwrap();
    }
    until(&driver, &mut events, &id, DomainState::Off { crashed: false }).await;
    assert_eq!(driver.disks().await.unwrap(), std::slice::from_ref(&id));
    assert!(matches!(driver.reset(&id).await, Err(HypervisorError::Failed(_))));

    // The same life again, then gone without a trace.
    wanted.nics.clear();
    driver.start_paused(&wanted).await.unwrap();
    assert_eq!(state(&driver, &id).await, Some(DomainState::Paused));
    for _ in 0..2 {
        driver.remove(&id).await.unwrap();
    }
    assert_eq!(state(&driver, &id).await, None);
    assert!(driver.disks().await.unwrap().is_empty());
    assert!(!daemon.path(&format!("state/instances/{ID}")).exists());
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).1.trim(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_incarnations_and_strangers() {
    let daemon = Daemon::start();
    let driver = daemon.connect().await;
    let mut events = driver.subscribe();
    let id = id(ID);

    // A QEMU that dies is a crash, and the event tells at once.
    driver.prepare_disk(&spec(&daemon, ID, 3)).await.unwrap();
    driver.start_paused(&spec(&daemon, ID, 3)).await.unwrap();
    driver.resume(&id).await.unwrap();
    kill(daemon.qemu_pid(&format!("mallee-{ID}")));
    until(&driver, &mut events, &id, DomainState::Off { crashed: true }).await;
    assert!(matches!(driver.resume(&id).await, Err(HypervisorError::Failed(_))));

    // A newer incarnation takes the place of the older; the older may not come back.
    driver.start_paused(&spec(&daemon, ID, 3)).await.unwrap();
    let third = daemon.qemu_pid(&format!("mallee-{ID}"));
    driver.start_paused(&spec(&daemon, ID, 4)).await.unwrap();
    assert_ne!(daemon.qemu_pid(&format!("mallee-{ID}")), third);
    let record = driver.domain(&id).await.unwrap().unwrap();
    assert_eq!((record.incarnation, record.state), (Incarnation(4), DomainState::Paused));
    let old = driver.start_paused(&spec(&daemon, ID, 3)).await.unwrap_err();
    assert!(matches!(&old, HypervisorError::Refused(why) if why.contains("newer than 3")), "{old}");
    assert_eq!(driver.domains().await.unwrap(), [record]);

    // Domains of others, even with a name like ours, are neither listed nor touched.
    let foreign = "i-0fedcba9876543210";
    let xml = format!(
        "<domain type='qemu'><name>mallee-{foreign}</name><memory>65536</memory>\
         <os><type arch='x86_64'>hvm</type></os></domain>"
    );
    fs::write(daemon.path("foreign.xml"), xml).unwrap();
    let (defined, why) = daemon.virsh(&["define", daemon.path("foreign.xml").to_str().unwrap()]);
    assert!(defined, "{why}");
    let foreign_spec = spec(&daemon, foreign, 1);
    driver.prepare_disk(&foreign_spec).await.unwrap();
    assert!(matches!(driver.start_paused(&foreign_spec).await, Err(HypervisorError::Refused(_))));
    assert!(matches!(driver.remove(&foreign_spec.instance).await, Err(HypervisorError::Refused(_))));
    assert!(matches!(driver.power_off(&foreign_spec.instance).await, Err(HypervisorError::Refused(_))));
    assert_eq!(driver.domains().await.unwrap().len(), 1);
    assert!(daemon.virsh(&["dominfo", &format!("mallee-{foreign}")]).0);

    // A start that fails leaves no domain behind.
    let mut lost = spec(&daemon, "i-00000000000000001", 1);
    driver.prepare_disk(&lost).await.unwrap();
    lost.nics.push(NicSpec { tap: "mmissing0".into(), mac: MacAddress([2, 0, 0, 0, 0, 9]), mtu: 1500 });
    let failed = driver.start_paused(&lost).await.unwrap_err();
    assert!(!failed.to_string().contains('\n'), "{failed}");
    assert_eq!(driver.domain(&lost.instance).await.unwrap(), None);

    // An image that points elsewhere never reaches QEMU.
    let evil = daemon.path("evil.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname"])
        .arg(&evil)
        .arg("1M")
        .status();
    assert!(made.unwrap().success());
    let mut trap = spec(&daemon, "i-00000000000000002", 1);
    trap.image = CachedImageRef { digest: "11".repeat(32), path: evil, format: "qcow2".into() };
    let refused = driver.prepare_disk(&trap).await.unwrap_err();
    assert!(matches!(&refused, HypervisorError::Refused(why) if why.contains("backing file")), "{refused}");
    assert_eq!(driver.disks().await.unwrap().len(), 3);
    driver.remove(&id).await.unwrap();
    driver.remove(&lost.instance).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_powers_itself_off_has_not_crashed_and_its_console_stays() {
    let daemon = Daemon::start();
    let driver = daemon.connect().await;
    let mut events = driver.subscribe();
    let (id, wanted) = (id(ID), brief(&daemon, ID));
    driver.prepare_disk(&wanted).await.unwrap();
    for said in ["Hi", "HiHi"] {
        driver.start_paused(&wanted).await.unwrap();
        driver.resume(&id).await.unwrap();
        until(&driver, &mut events, &id, DomainState::Off { crashed: false }).await;
        assert_eq!(String::from_utf8(driver.console(&id).await.unwrap()).unwrap(), said);
    }
    // The reason survives a libvirtd that forgets it.
    daemon.kill_libvirtd();
    daemon.start_libvirtd();
    let driver = daemon.connect().await;
    assert_eq!(state(&driver, &id).await, Some(DomainState::Off { crashed: false }));
    driver.remove(&id).await.unwrap();
    assert!(driver.console(&id).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_for_one_instance_end_in_one_domain() {
    let daemon = Daemon::start();
    let driver = std::sync::Arc::new(daemon.connect().await);
    let wanted = spec(&daemon, ID, 1);
    driver.prepare_disk(&wanted).await.unwrap();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let (driver, wanted) = (driver.clone(), wanted.clone());
            tokio::spawn(async move { driver.start_paused(&wanted).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let facts = driver.facts().await.unwrap();
    assert!(facts.description.starts_with("libvirt ") && facts.description.contains("QEMU "), "{facts:?}");
    assert!(facts.vcpus >= 16 && facts.memory_mib > 0 && facts.disk_bytes > 0, "{facts:?}");
    assert_eq!(driver.domains().await.unwrap().len(), 1);
    driver.remove(&wanted.instance).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_come_and_go_while_a_domain_is_on() {
    let daemon = Daemon::start();
    let driver = daemon.connect().await;
    let (id, mut wanted) = (id(ID), spec(&daemon, ID, 1));
    let card = |n: u8| NicSpec { tap: format!("mtest{n}"), mac: MacAddress([2, 0, 0, 0, 0, n]), mtu: 1400 };
    let nics = async || driver.domain(&id).await.unwrap().unwrap().nics;
    daemon.tap("mtest1");
    daemon.tap("mtest2");
    wanted.nics.push(card(1));
    driver.prepare_disk(&wanted).await.unwrap();
    driver.start_paused(&wanted).await.unwrap();
    driver.resume(&id).await.unwrap();
    assert_eq!(nics().await, [card(1).mac]);

    // Each step twice; the definition has it too, as it is made with it.
    for _ in 0..2 {
        driver.attach_nic(&id, &card(2)).await.unwrap();
        assert_eq!(nics().await, [card(1).mac, card(2).mac]);
    }
    let (_, xml) = daemon.virsh(&["dumpxml", "--inactive", &format!("mallee-{ID}")]);
    assert!(xml.contains("02:00:00:00:00:02") && xml.matches("managed='no'").count() == 2, "{xml}");
    // The network engine moves its tap as it does others.
    daemon.inside(&["ip", "netns", "add", "mtestvpc"]);
    daemon.inside(&["ip", "link", "set", "mtest2", "netns", "mtestvpc"]);

    // The firmware lets nothing go, until it is reset.
    let kept = driver.detach_nic(&id, card(2).mac).await.unwrap_err();
    assert!(kept.to_string().contains("has not let go"), "{kept}");
    assert_eq!(nics().await, [card(1).mac, card(2).mac]);
    driver.reset(&id).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while driver.detach_nic(&id, card(2).mac).await.is_err() {
        assert!(Instant::now() < deadline, "the card does not go");
    }
    assert_eq!(nics().await, [card(1).mac]);
    let (_, xml) = daemon.virsh(&["dumpxml", "--inactive", &format!("mallee-{ID}")]);
    assert!(!xml.contains("02:00:00:00:00:02"), "{xml}");
    driver.detach_nic(&id, card(2).mac).await.unwrap();

    driver.power_off(&id).await.unwrap();
    driver.detach_nic(&id, card(1).mac).await.unwrap();
    assert!(matches!(driver.attach_nic(&id, &card(2)).await, Err(HypervisorError::Failed(_))));
    driver.remove(&id).await.unwrap();
}

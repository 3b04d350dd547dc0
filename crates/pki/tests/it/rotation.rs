//! Certificates change under running connections, which do not notice.

use crate::world::{ANYONE, DAY_MS, World, call};
use mallee_pki::{
    Ca, ClientAuth, CredentialStore, Credentials, Identity, PkiError, Role, connect, new_key_and_csr, spawn_rotator,
};
use mallee_runtime::{Clock, Rng, Shutdown, TaskScope};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Answer = Result<(Vec<u8>, Vec<u8>), String>;

fn answer(ca: &Ca, csr: &[u8], who: &Identity) -> Answer {
    Ok((ca.issue(csr, who).map_err(|error: PkiError| error.to_string())?, ca.certificate().to_vec()))
}

#[tokio::test]
async fn new_handshakes_use_the_new_certificate_and_old_connections_go_on() {
    let world = World::new("c-1");
    let (server, node) = (world.store(Role::Cluster, "zone-a"), world.store(Role::Node, "node-1"));
    let served = world.serve(&server, ClientAuth::Required, ANYONE).await;
    let before = connect(&served.uri, &node, Role::Cluster, None).await.unwrap();
    call(before.clone(), "").await.unwrap();
    assert_eq!(served.accepted(), 1);

    world.clock.shift_ms(61 * DAY_MS);
    for store in [&server, &node] {
        store.swap(world.ca.credentials(&store.identity()).unwrap()).unwrap();
    }
    // Past the end of the first certificates: only the new ones can make a connection now.
    world.clock.shift_ms(60 * DAY_MS);
    let after = connect(&served.uri, &node, Role::Cluster, None).await.unwrap();
    assert_eq!(call(after, "").await.unwrap(), "mallee://c-1/node/node-1");
    assert_eq!(served.accepted(), 2);
    // And the old one is still the same connection: nothing was dialled again.
    assert_eq!(call(before, "").await.unwrap(), "mallee://c-1/node/node-1");
    assert_eq!(served.accepted(), 2);
}

#[test]
fn a_swap_changes_neither_identity_nor_ca() {
    let (world, other) = (World::new("c-1"), World::new("c-1"));
    let store = world.store(Role::Node, "node-1");
    for ca in [&world.ca, &other.ca] {
        let who = if ca.ca_sha256() == world.ca.ca_sha256() { "node-2" } else { "node-1" };
        let foreign = ca.credentials(&world.identity(Role::Node, who)).unwrap();
        assert!(matches!(store.swap(foreign), Err(PkiError::Certificate(_))), "{who}");
    }
    let (key, csr) = new_key_and_csr().unwrap();
    let certificate = other.ca.issue(&csr, &store.identity()).unwrap();
    let pin = world.ca.ca_sha256();
    assert!(Credentials::new(key, &certificate, other.ca.certificate(), pin, &world.clock).is_err());
}

fn serial_on_disk(dir: &Path, clock: &Clock) -> String {
    Credentials::load(dir, clock).unwrap().unwrap().serial().to_owned()
}

/// In real time: three failures cost at most 1 + 2 + 4 seconds of waiting.
#[tokio::test]
async fn the_rotator_waits_for_its_time_and_survives_every_bad_answer() {
    let (world, other) = (Arc::new(World::new("c-1")), Arc::new(World::new("c-1")));
    let store: CredentialStore = world.store(Role::Node, "node-1");
    let dir = world.dir.path().join("node");
    store.current().save(&dir).unwrap();
    let first = store.current().serial().to_owned();
    let calls = Arc::new(AtomicUsize::new(0));
    let start = || {
        let scope = TaskScope::new(&Shutdown::new());
        let (maker, counted, who, other) =
            (Arc::clone(&world), Arc::clone(&calls), store.identity(), Arc::clone(&other));
        let renew = move |csr: Vec<u8>| {
            let result = match counted.fetch_add(1, Ordering::SeqCst) {
                0 => answer(&other.ca, &csr, &who),
                1 => answer(&maker.ca, &csr, &maker.identity(Role::Node, "node-2")),
                2 => Ok((vec![1, 2, 3], maker.ca.certificate().to_vec())),
                _ => answer(&maker.ca, &csr, &who),
            };
            async move { result }
        };
        spawn_rotator(&scope, store.clone(), dir.clone(), world.clock.clone(), Rng::seeded(1), renew);
        scope
    };

    world.clock.shift_ms(59 * DAY_MS);
    let early = start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(early.stop(Duration::from_secs(5)).await);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "renewed too early");

    world.clock.shift_ms(2 * DAY_MS);
    let mut swaps = store.subscribe();
    let scope = start();
    while calls.load(Ordering::SeqCst) < 3 {
        assert_eq!(store.current().serial(), first, "a bad answer was taken");
        assert_eq!(serial_on_disk(&dir, &world.clock), first, "a bad answer was kept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::timeout(Duration::from_secs(30), swaps.changed()).await.unwrap().unwrap();
    assert_ne!(store.current().serial(), first);
    assert_eq!(serial_on_disk(&dir, &world.clock), store.current().serial());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 4, "renewed again at once");
    assert!(scope.stop(Duration::from_secs(5)).await);
}

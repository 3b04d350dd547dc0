use super::*;
use mallee_proto::v1::InstanceIntent;
use std::os::unix::fs::PermissionsExt as _;

fn record(id: &str, generation: u64) -> Record {
    let intent = InstanceIntent { id: id.to_owned(), generation, ..InstanceIntent::default() };
    Record { intent: Some(intent), started: true, ..Record::default() }
}

const A: &str = "i-0000000000000000a";
const B: &str = "i-0000000000000000b";

#[tokio::test]
async fn what_was_saved_is_there_after_a_crash() {
    let disk = MemoryDisk::default();
    let dir = tempfile::tempdir().unwrap();
    for place in [Place::Dir(dir.path().join("ledger")), Place::Memory(disk)] {
        let (ledger, opened) = Ledger::open(place.clone()).await.unwrap();
        assert_eq!((opened.epoch, opened.boot, opened.instances.len()), (0, 1, 0));
        ledger.save_epoch(7).await.unwrap();
        let view = NodeView { epoch: 7, generation: 3, vpcs: vec![] };
        ledger.save_view(Arc::new(view.clone())).await.unwrap();
        let (a, b): (InstanceId, InstanceId) = (A.parse().unwrap(), B.parse().unwrap());
        ledger.save_instance(&a, record(A, 1)).await.unwrap();
        ledger.save_instance(&a, record(A, 2)).await.unwrap();
        ledger.save_instance(&b, record(B, 1)).await.unwrap();
        ledger.remove_instance(&b).await.unwrap();
        ledger.remove_instance(&b).await.unwrap();
        drop(ledger);
        let (_, opened) = Ledger::open(place).await.unwrap();
        assert_eq!((opened.epoch, opened.boot), (7, 2));
        assert_eq!(opened.view, Some(view));
        assert_eq!(opened.instances, [(a, record(A, 2))]);
        assert!(opened.quarantined.is_empty());
    }
}

#[tokio::test]
async fn every_torn_or_rotten_file_is_put_aside_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Dir(dir.path().to_owned());
    let (ledger, _) = Ledger::open(place.clone()).await.unwrap();
    for id in [A, B] {
        ledger.save_instance(&id.parse().unwrap(), record(id, 5)).await.unwrap();
    }
    let file = dir.path().join("instances").join(A);
    let good = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "orders hold user data");
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|n| good[..n].to_vec()).collect();
    bad.extend((0..good.len()).map(|n| {
        let mut bytes = good.clone();
        bytes[n] ^= 0x10;
        bytes
    }));
    for bytes in bad {
        std::fs::write(&file, &bytes).unwrap();
        let (_, opened) = Ledger::open_now(place.clone()).unwrap();
        assert_eq!(opened.instances, [(B.parse().unwrap(), record(B, 5))]);
        assert_eq!(opened.quarantined.len(), 1, "{bytes:?}");
        std::fs::remove_file(&opened.quarantined[0]).unwrap();
    }
    std::fs::write(dir.path().join("node"), b"nonsense").unwrap();
    std::fs::write(dir.path().join("view"), b"").unwrap();
    std::fs::write(dir.path().join("instances/not-an-id"), b"x").unwrap();
    let (_, opened) = Ledger::open_now(place).unwrap();
    assert_eq!(opened.quarantined.len(), 3);
    assert_eq!((opened.epoch, opened.view), (0, None));
}

#[tokio::test]
async fn a_crash_between_write_and_rename_leaves_the_old_record() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Dir(dir.path().to_owned());
    let (ledger, _) = Ledger::open(place.clone()).await.unwrap();
    ledger.save_instance(&A.parse().unwrap(), record(A, 1)).await.unwrap();
    let half = dir.path().join("instances").join(format!("{A}.tmp"));
    std::fs::write(&half, b"half a rec").unwrap();
    let (_, opened) = Ledger::open(place).await.unwrap();
    assert_eq!(opened.instances, [(A.parse().unwrap(), record(A, 1))]);
    assert!(opened.quarantined.is_empty());
    assert!(!half.exists(), "the half file is swept");
}

#[tokio::test]
async fn a_write_that_fails_keeps_the_old_record_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Dir(dir.path().to_owned());
    let (ledger, _) = Ledger::open(place.clone()).await.unwrap();
    let id: InstanceId = A.parse().unwrap();
    ledger.save_instance(&id, record(A, 1)).await.unwrap();
    // A directory in the temporary file's place makes the write fail, even for root.
    std::fs::create_dir(dir.path().join("instances").join(format!("{A}.tmp"))).unwrap();
    let error = ledger.save_instance(&id, record(A, 2)).await.unwrap_err();
    assert!(error.to_string().contains(A), "{error}");
    std::fs::remove_dir(dir.path().join("instances").join(format!("{A}.tmp"))).unwrap();
    let (_, opened) = Ledger::open(place).await.unwrap();
    assert_eq!(opened.instances, [(id, record(A, 1))]);
}

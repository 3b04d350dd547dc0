use super::*;
use mallee_proto::v1::{InstanceIntent, Section, VpcView};
use prost::bytes::Bytes;
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
        let view = NodeView { epoch: 7, generation: 3, ..NodeView::default() };
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

/// Of generation `n`: sections that stay, that change, that say nothing, that come and go.
fn sectioned(n: u64) -> NodeView {
    let section = |(key, says): (&str, u8)| Section {
        key: key.to_owned(),
        hash: [says; 32].to_vec().into(),
        items: if says == 0 { Bytes::new() } else { vec![says; 99].into() },
    };
    let sections = [
        ("at/vpc-1", 1),
        ("at/vpc-2", u8::try_from(n).unwrap()),
        ("in/sg-1", 0),
        (if n.is_multiple_of(2) { "in/sg-2" } else { "in/sg-3" }, 9),
    ];
    NodeView { epoch: 1, generation: n, vpcs: vec![], sections: sections.into_iter().map(section).collect() }
}

/// A view as it was before there were sections.
fn listed(n: u64) -> NodeView {
    let vpc = VpcView { vpc_id: "vpc-1".into(), vni: 5, ..VpcView::default() };
    NodeView { epoch: 1, generation: n, vpcs: vec![vpc], sections: vec![] }
}

fn open(disk: &MemoryDisk) -> (Ledger, Opened) {
    disk.dies_after(None);
    Ledger::open_now(Place::Memory(disk.clone())).unwrap()
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_a_view_whole() {
    for (before, after) in [(listed(1), sectioned(2)), (sectioned(2), sectioned(3)), (sectioned(3), listed(4))] {
        let mut steps = 0;
        loop {
            let disk = MemoryDisk::default();
            let (ledger, _) = open(&disk);
            ledger.save_view(Arc::new(before.clone())).await.unwrap();
            disk.dies_after(Some(steps));
            let saved = ledger.save_view(Arc::new(after.clone())).await;
            let (ledger, opened) = open(&disk);
            assert_eq!(opened.quarantined, [""; 0], "after {steps} steps");
            let stands = opened.view.unwrap();
            assert!(stands == after || (stands == before && saved.is_err()), "after {steps} steps: {stands:?}");
            // Nothing is left over of the other, and from either the next is reached.
            let named = stands.sections.iter().filter(|section| !section.items.is_empty()).count();
            assert_eq!(disk.names().iter().filter(|name| name.starts_with("sections/")).count(), named);
            for next in [after.clone(), sectioned(7)] {
                ledger.save_view(Arc::new(next.clone())).await.unwrap();
                assert_eq!(open(&disk).1.view, Some(next));
            }
            assert!(
                !disk.names().contains(&"view".to_owned()),
                "no node of before there were sections reads half of it"
            );
            if saved.is_ok() {
                break;
            }
            steps += 1;
        }
        assert!(steps > 1, "{steps} steps");
    }
}

#[tokio::test]
async fn only_sections_that_changed_are_written_and_one_that_rots_is_told_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Dir(dir.path().to_owned());
    let (ledger, _) = Ledger::open(place.clone()).await.unwrap();
    ledger.save_view(Arc::new(sectioned(2))).await.unwrap();
    let files = || -> BTreeMap<String, std::time::SystemTime> {
        let files = std::fs::read_dir(dir.path().join("sections")).unwrap().map(Result::unwrap);
        files
            .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().modified().unwrap()))
            .collect()
    };
    let first = files();
    assert_eq!(first.len(), 3, "{first:?}");
    ledger.save_view(Arc::new(sectioned(3))).await.unwrap();
    let second = files();
    let same = format!("at_vpc-1.{}", "01".repeat(16));
    assert_eq!((second.len(), &second[&same]), (3, &first[&same]));
    let (_, opened) = Ledger::open(place.clone()).await.unwrap();
    assert_eq!(opened.view, Some(sectioned(3)));
    std::fs::write(dir.path().join("sections").join(same), b"rot").unwrap();
    let (_, opened) = Ledger::open(place.clone()).await.unwrap();
    assert_eq!((opened.view, opened.quarantined.len()), (None, 2));
    assert!(files().is_empty());
    let (ledger, _) = Ledger::open(place.clone()).await.unwrap();
    ledger.save_view(Arc::new(sectioned(4))).await.unwrap();
    assert_eq!(Ledger::open(place).await.unwrap().1.view, Some(sectioned(4)));
}

#[test]
fn no_key_leads_out_of_the_ledger() {
    let disk = MemoryDisk::default();
    let mut view = sectioned(2);
    view.sections[0].key = "../../etc/passwd".into();
    view::save(&Place::Memory(disk.clone()), &view, &view::Written::new()).unwrap();
    assert!(disk.names().contains(&format!("sections/______etc_passwd.{}", "01".repeat(16))), "{:?}", disk.names());
    assert_eq!(open(&disk).1.view, Some(view));
}

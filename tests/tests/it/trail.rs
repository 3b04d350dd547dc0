//! The audit trail through kills: every call that was begun has one record, whatever became of it.

use mallee_audit::read::{since, verify};
use mallee_audit::{Position, Record, UNKNOWN_CODE};
use mallee_runtime::FaultAction;
use mallee_tests::TestCloud;
use std::collections::BTreeMap;
use std::time::Duration;

const ACTION: &str = "CreateSecurityGroup";
/// Long enough for a client to hang up meanwhile.
const LONG: Duration = Duration::from_millis(500);

/// The records of the operation, which the chain vouches for.
fn records(cloud: &TestCloud) -> Vec<Record> {
    let directory = cloud.state().join("audit");
    verify(&directory).expect("a whole trail");
    let (records, _) = since(&directory, Position::default(), usize::MAX).unwrap();
    let mut each: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        *each.entry(&record.request_id).or_default() += 1;
    }
    assert!(each.values().all(|records| *records == 1), "each call has one record: {each:?}");
    records.into_iter().filter(|record| record.event_name == ACTION).collect()
}

async fn groups(cloud: &mut TestCloud, name: &str) -> usize {
    let filter = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", name)];
    cloud.insist("DescribeSecurityGroups", &filter).await.all("groupId").len()
}

#[tokio::test]
async fn a_call_in_which_the_service_is_killed_has_one_record() {
    let mut cloud = TestCloud::start().await;
    // Where it is killed, whether the change is there then, and whether its outcome was recorded.
    for (point, there, known) in
        [("front.call.begun", 0, false), ("front.call.done", 1, false), ("front.call.recorded", 1, true)]
    {
        let deaths = cloud.deaths;
        cloud.faults.arm(point, FaultAction::Kill, 1);
        let params = [("GroupName", point), ("GroupDescription", "killed")];
        cloud.call(ACTION, &params).await.unwrap_err();
        assert_eq!(cloud.deaths, deaths + 1, "{point}");
        assert_eq!(groups(&mut cloud, point).await, there, "{point}");
        // Another kill at once: what was recovered is not recovered again.
        cloud.kill().await;
        cloud.boot().await;
        let records = records(&cloud);
        let of_call = |record: &&Record| record.request_parameters["groupName"] == point;
        let [record] = records.iter().filter(of_call).collect::<Vec<_>>()[..] else { panic!("{point}: {records:?}") };
        let error = if known { None } else { Some(UNKNOWN_CODE) };
        assert_eq!(record.error_code.as_deref(), error, "{point}");
        assert!(record.user_identity.arn.is_some() && !record.read_only && !record.source_ip_address.is_empty());
        assert_eq!(record.request_parameters["groupDescription"], "killed");
        if !known {
            assert!(record.error_message.as_deref().unwrap().contains("is not known"), "{record:?}");
        }
    }
    // What ends well is recorded as ever.
    cloud.insist(ACTION, &[("GroupName", "well"), ("GroupDescription", "d")]).await;
    let last = records(&cloud).pop().unwrap();
    assert_eq!((last.error_code, &last.request_parameters["groupName"]), (None, &"well".into()));
}

#[tokio::test]
async fn who_hangs_up_leaves_no_change_without_its_record() {
    let mut cloud = TestCloud::start().await;
    cloud.faults.arm("front.call.begun", FaultAction::Delay(LONG), 1);
    let params = [("GroupName", "hung"), ("GroupDescription", "d")];
    let client = cloud.client();
    let call = tokio::time::timeout(LONG / 5, client.call(ACTION, &params));
    assert!(call.await.is_err(), "the caller went away first");
    drop(client);
    cloud
        .until("its record", async |cloud| {
            let records = records(cloud);
            if records.iter().any(|record| record.error_code.is_none()) { Ok(()) } else { Err(format!("{records:?}")) }
        })
        .await;
    assert_eq!(groups(&mut cloud, "hung").await, 1);
    cloud.kill().await;
    cloud.boot().await;
    assert_eq!(records(&cloud).len(), 1, "it was closed");
}

#[tokio::test]
async fn a_kill_while_calls_end_loses_and_doubles_none() {
    let mut cloud = TestCloud::start().await;
    for round in 0..4 {
        let client = cloud.client();
        let calls = (0..40).map(|n| {
            let (client, name) = (client.clone(), format!("g-{round}-{n}"));
            async move { client.call(ACTION, &[("GroupName", &name), ("GroupDescription", "d")]).await.is_ok() }
        });
        let all = futures::future::join_all(calls);
        // Killed somewhere among them.
        drop(tokio::time::timeout(Duration::from_millis(40 + 60 * round), all).await);
        cloud.kill().await;
        cloud.boot().await;
    }
    let records = records(&cloud);
    let reply = cloud.insist("DescribeSecurityGroups", &[]).await;
    let made = reply.all("groupName").into_iter().filter(|name| name.starts_with("g-"));
    let mut count = 0;
    for name in made {
        count += 1;
        let of = records.iter().filter(|record| record.request_parameters["groupName"] == name);
        assert_eq!(of.count(), 1, "{name}");
    }
    println!("{count} groups, {} records", records.len());
    assert!(count > 0, "no round came to anything");
}

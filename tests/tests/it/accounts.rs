//! The end of an account, on both databases: refused while something runs or is kept, complete once it is not, and
//! nothing is made in it while it ends.

use futures::future::join_all;
use mallee_app::iam::accounts::NewAccount;
use mallee_app::{Actor, Cloud, OpContext};
use mallee_runtime::FaultAction;
use mallee_store::{Counted, account_list, capacity_count, fleet_count, host_count, quota_use, spot_request_count};
use mallee_tests::{Client, Setup, TestCloud};
use mallee_types::AccountId;
use std::sync::Arc;

/// Creates at once with the deletion.
const CREATES: usize = 24;

/// The administrator of the cloud.
async fn administrator(app: &Cloud) -> OpContext {
    let first = account_list(app.store()).await.expect("the database answers").remove(0).id;
    OpContext::new(Actor::root(first, true), "test")
}

async fn tenant(cloud: &TestCloud, name: &str) -> (AccountId, Client) {
    let app = cloud.app();
    let cx = administrator(&app).await;
    let made: NewAccount = app.create_account(&cx, name).await.expect("an account");
    let client = Client::new(cloud.client().address(), made.key.id, made.secret, app.config().region.clone());
    (made.account.id, client)
}

/// The code and the words of the refusal, if it is refused.
async fn delete(app: &Arc<Cloud>, name: &str, recursive: bool) -> Result<(), (&'static str, String)> {
    let cx = administrator(app).await;
    let outcome = app.delete_account(&cx, name, recursive).await;
    outcome.map_err(|error| (error.code().as_str(), error.message().to_owned()))
}

/// What the refusal of a deletion names.
async fn in_the_way(app: &Arc<Cloud>, name: &str, recursive: bool) -> String {
    let (code, text) = delete(app, name, recursive).await.expect_err("something is in the way");
    assert_eq!(code, "DeleteConflict");
    text
}

async fn ends(setup: Setup) {
    let mut cloud = TestCloud::with(setup).await;
    let (account, client) = tenant(&cloud, "tenant").await;
    let app = cloud.app();
    let call = async |action: &str, params: &[(&str, &str)]| client.call(action, params).await.expect(action);

    let host = [("AvailabilityZone", "local-1a"), ("InstanceType", "m1.small"), ("Quantity", "1")];
    let host = call("AllocateHosts", &host).await.first("item").expect("an id").to_owned();
    assert!(in_the_way(&app, "tenant", true).await.contains("1 dedicated hosts"));
    call("ReleaseHosts", &[("HostId.1", &host)]).await;

    let slots = [
        ("AvailabilityZone", "local-1a"),
        ("InstanceType", "t3.nano"),
        ("InstancePlatform", "Linux/UNIX"),
        ("InstanceCount", "1"),
        ("TagSpecifications.1.ResourceType", "capacity-reservation"),
        ("TagSpecifications.1.Tag.1.Key", "Team"),
        ("TagSpecifications.1.Tag.1.Value", "a"),
    ];
    let slots = call("CreateCapacityReservation", &slots).await;
    let slots = slots.first("capacityReservationId").expect("an id").to_owned();
    assert!(in_the_way(&app, "tenant", true).await.contains("1 capacity reservations that are not over"));
    call("CancelCapacityReservation", &[("CapacityReservationId", &slots)]).await;

    call("CreateKeyPair", &[("KeyName", "k"), ("KeyType", "ed25519")]).await;
    assert!(in_the_way(&app, "tenant", false).await.contains("1 key pairs; remove them first, or set Recursive"));
    let template = [
        ("LaunchTemplateName", "web"),
        ("LaunchTemplateData.InstanceType", "t3.nano"),
        ("LaunchTemplateData.ImageId", "ami-0123456789abcdef0"),
    ];
    call("CreateLaunchTemplate", &template).await;
    call("CreatePlacementGroup", &[("GroupName", "apart"), ("Strategy", "spread")]).await;
    call("ModifyInstanceMetadataDefaults", &[("HttpTokens", "required")]).await;
    let fleet = [
        ("Type", "maintain"),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "web"),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "$Latest"),
        ("TargetCapacitySpecification.TotalTargetCapacity", "0"),
        ("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand"),
    ];
    let made = call("CreateFleet", &fleet).await;
    let id = made.first("fleetId").expect("an id").to_owned();
    assert!(in_the_way(&app, "tenant", true).await.contains("1 fleets that are not over"));
    call("DeleteFleets", &[("FleetId.1", id.as_str()), ("TerminateInstances", "true")]).await;
    cloud
        .until("the fleet is over", async |cloud| {
            let open = fleet_count(cloud.app().store(), &account).await.map_err(|error| error.to_string())?;
            if open == 0 { Ok(()) } else { Err(format!("{open} are not")) }
        })
        .await;

    // A failure at the last moment changes nothing; the same again then does it.
    for point in ["cloud.account.delete.before-wipe", "cloud.account.delete.before-commit"] {
        cloud.faults.arm(point, FaultAction::Fail, 1);
        assert!(delete(&app, "tenant", true).await.is_err(), "{point}");
        assert_eq!(quota_use(app.store(), Counted::LaunchTemplates, &account, None).await.unwrap(), 1, "{point}");
    }
    delete(&app, "tenant", true).await.expect("nothing is in the way");
    let store = app.store();
    for counted in Counted::ALL {
        assert_eq!(quota_use(store, *counted, &account, None).await.unwrap(), 0, "{counted:?}");
    }
    assert_eq!(capacity_count(store, &account).await.unwrap(), 0);
    assert_eq!(host_count(store, &account).await.unwrap(), 0);
    assert_eq!(spot_request_count(store, &account).await.unwrap(), 0);
    let refused = client.call("DescribeKeyPairs", &[]).await.expect_err("its keys are no more");
    assert_eq!(refused.code(), "AuthFailure");

    nothing_is_made_while_it_ends(&cloud).await;
    cloud.sound().await;
}

async fn nothing_is_made_while_it_ends(cloud: &TestCloud) {
    for round in 0..4 {
        let name = format!("ending-{round}");
        let (account, client) = tenant(cloud, &name).await;
        let app = cloud.app();
        let names: Vec<String> = (0..CREATES).map(|n| format!("k{n}")).collect();
        let creates = join_all(names.iter().enumerate().map(async |(n, name)| {
            let params = [("KeyName", name.as_str()), ("KeyType", "ed25519"), ("GroupName", name.as_str())];
            match n % 2 {
                0 => client.call("CreateKeyPair", &params[..2]).await,
                _ => client.call("CreatePlacementGroup", &[params[2], ("Strategy", "spread")]).await,
            }
        }));
        let (_, deleted) = tokio::join!(creates, delete(&app, &name, true));
        deleted.expect("it is deleted");
        for counted in [Counted::KeyPairs, Counted::PlacementGroups] {
            let left = quota_use(app.store(), counted, &account, None).await.unwrap();
            assert_eq!(left, 0, "{counted:?} of an account that is no more");
        }
    }
}

#[tokio::test]
async fn an_account_ends_wholly_or_not_at_all() {
    ends(Setup::default()).await;
}

#[tokio::test]
async fn an_account_ends_wholly_or_not_at_all_on_postgresql() {
    ends(Setup { postgres: true, ..Setup::default() }).await;
}

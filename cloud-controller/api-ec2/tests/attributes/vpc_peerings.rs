//! Peering connections between two accounts: who may do what, what each side sees, and when.

use crate::fixture::{Fixture, texts};
use crate::routes::{allow, at_once};
use mallee_app::OpContext;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use std::sync::Arc;

mallee_store::store_test_suite!(
    each_side_does_its_part,
    a_vpc_goes_with_its_connections,
    requests_end_by_themselves,
    no_limit_of_requests_is_passed_by_calls_that_come_at_once,
    a_request_keeps_no_block_from_who_is_asked,
    who_asks_again_and_again_fills_nobodys_list
);

const OTHER: &str = "000000000002";

/// A VPC of each of two accounts.
async fn two(db: TestDb) -> (Fixture, String, String) {
    let f = Fixture::on(db).await;
    let mut tx = f.store.write().await.unwrap();
    let row = AccountRow { id: OTHER.parse().unwrap(), name: "second".into(), created_ms: 1 };
    account_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let other = f.call_as(&f.other, "CreateVpc", &[("CidrBlock", "10.1.0.0/16")]).await.unwrap();
    let other = texts(&other, "vpcId").remove(0);
    (f, vpc, other)
}

async fn ask(f: &Fixture, vpc: &str, other: &str) -> String {
    let params = [("VpcId", vpc), ("PeerVpcId", other), ("PeerOwnerId", OTHER)];
    f.texts("CreateVpcPeeringConnection", &params, "vpcPeeringConnectionId").await.remove(0)
}

/// What both sides see of a connection: code and message, or the error.
async fn status(f: &Fixture, id: &str) -> [String; 2] {
    let params = [("VpcPeeringConnectionId.1", id)];
    let mut out = Vec::new();
    for cx in [&f.cx, &f.other] {
        out.push(match f.call_as(cx, "DescribeVpcPeeringConnections", &params).await {
            Ok(reply) => texts(&reply, "code").remove(0),
            Err(error) => error.code().as_str().to_owned(),
        });
    }
    out.try_into().unwrap()
}

async fn each_side_does_its_part(db: TestDb) {
    let (f, vpc, other) = two(db).await;
    let id = ask(&f, &vpc, &other).await;
    assert_eq!(ask(&f, &vpc, &other).await, id, "asked again");
    let me = [("VpcPeeringConnectionId", id.as_str())];
    let back = [("VpcId", other.as_str()), ("PeerVpcId", vpc.as_str()), ("PeerOwnerId", f.cx.account().as_str())];
    assert_eq!(f.error_as(&f.other, "CreateVpcPeeringConnection", &back).await.0, "VpcPeeringConnectionAlreadyExists");
    assert_eq!(status(&f, &id).await, ["pending-acceptance"; 2]);
    for action in ["AcceptVpcPeeringConnection", "RejectVpcPeeringConnection"] {
        assert_eq!(f.error(action, &me).await.0, "OperationNotPermitted", "{action} by who asked");
    }
    assert_eq!(f.error_as(&f.other, "DeleteVpcPeeringConnection", &me).await.0, "OperationNotPermitted");
    // A route may be there before; it leads nowhere until then.
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let table = f.texts("DescribeRouteTables", &of_vpc, "routeTableId").await.remove(0);
    let to = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.1.0.0/16"), me[0]];
    f.call("CreateRoute", &to).await.unwrap();
    let within = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.0.1.0/24"), me[0]];
    assert_eq!(f.error("CreateRoute", &within).await.0, "InvalidParameterValue");
    let mine = [("Filter.1.Name", "route.vpc-peering-connection-id"), ("Filter.1.Value.1", id.as_str())];
    assert_eq!(f.texts("DescribeRouteTables", &mine, "state").await.last().unwrap(), "blackhole");
    // Of other VPCs there is none over it.
    let main = [("Filter.1.Name", "association.main"), ("Filter.1.Value.1", "true")];
    let default =
        f.texts("DescribeRouteTables", &main, "routeTableId").await.into_iter().find(|id| *id != table).unwrap();
    let strange = [("RouteTableId", default.as_str()), ("DestinationCidrBlock", "10.1.0.0/16"), me[0]];
    assert_eq!(f.error("CreateRoute", &strange).await.0, "InvalidParameterValue");
    let dry = [me[0], ("DryRun", "true")];
    assert_eq!(f.error_as(&f.other, "AcceptVpcPeeringConnection", &dry).await.0, "DryRunOperation");
    f.call_as(&f.other, "AcceptVpcPeeringConnection", &me).await.unwrap();
    assert_eq!(status(&f, &id).await, ["active"; 2]);
    assert_eq!(f.texts("DescribeRouteTables", &mine, "state").await.last().unwrap(), "active");
    assert_eq!(f.error_as(&f.other, "AcceptVpcPeeringConnection", &me).await.0, "InvalidStateTransition");
    // Each side sets what holds of its own VPC, which must have names for its public addresses.
    let theirs = [me[0], ("AccepterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc", "true")];
    let change = "ModifyVpcPeeringConnectionOptions";
    assert_eq!(f.error(change, &theirs).await.0, "OperationNotPermitted");
    let nameless = "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled";
    assert_eq!(f.error_as(&f.other, change, &theirs).await.0, nameless);
    let names = [("VpcId", other.as_str()), ("EnableDnsHostnames.Value", "true")];
    f.call_as(&f.other, "ModifyVpcAttribute", &names).await.unwrap();
    f.call_as(&f.other, change, &theirs).await.unwrap();
    let shown = f.texts("DescribeVpcPeeringConnections", &[], "allowDnsResolutionFromRemoteVpc").await;
    assert_eq!(shown, ["true", "false"], "the accepter's first");
    let classic = [me[0], ("RequesterPeeringConnectionOptions.AllowEgressFromLocalClassicLinkToRemoteVpc", "true")];
    assert!(f.error(change, &classic).await.1.contains("AllowEgressFromLocalClassicLinkToRemoteVpc"));
    // Each side tags it for itself.
    for (cx, value) in [(&f.cx, "mine"), (&f.other, "theirs")] {
        f.call_as(cx, "CreateTags", &[("ResourceId.1", &id), ("Tag.1.Key", "Name"), ("Tag.1.Value", value)])
            .await
            .unwrap();
    }
    assert_eq!(f.texts("DescribeVpcPeeringConnections", &[], "value").await, ["mine"]);
    let theirs = f.call_as(&f.other, "DescribeVpcPeeringConnections", &[]).await.unwrap();
    assert_eq!(texts(&theirs, "value"), ["theirs"]);
    f.call_as(&f.other, "DeleteVpcPeeringConnection", &me).await.unwrap();
    assert_eq!(status(&f, &id).await, ["deleted"; 2]);
    assert_eq!(f.texts("DescribeVpcPeeringConnections", &[], "message").await, [format!("Deleted by {OTHER}")]);
    assert_eq!(f.texts("DescribeRouteTables", &mine, "state").await.last().unwrap(), "blackhole");
    assert_eq!(f.error("DeleteVpcPeeringConnection", &me).await.0, "InvalidStateTransition");
    assert_eq!(
        f.error("CreateRoute", &[to[0], ("DestinationCidrBlock", "10.2.0.0/16"), me[0]]).await.0,
        "InvalidVpcPeeringConnectionID.NotFound"
    );
    // What cannot be is failed, and the other side does not hear of it.
    let failed = ask(&f, &vpc, "vpc-0123456789abcdef0").await;
    assert_eq!(status(&f, &failed).await, ["failed", "InvalidVpcPeeringConnectionID.NotFound"]);
    let rejected = ask(&f, &vpc, &other).await;
    f.call_as(&f.other, "RejectVpcPeeringConnection", &[("VpcPeeringConnectionId", &rejected)]).await.unwrap();
    assert_eq!(status(&f, &rejected).await, ["rejected"; 2]);
}

async fn a_vpc_goes_with_its_connections(db: TestDb) {
    let (f, vpc, other) = two(db).await;
    let id = ask(&f, &vpc, &other).await;
    let gone = [("VpcId", other.as_str())];
    assert_eq!(f.error_as(&f.other, "DeleteVpc", &gone).await.0, "DependencyViolation", "it is to answer first");
    f.call_as(&f.other, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &id)]).await.unwrap();
    f.call_as(&f.other, "DeleteVpc", &gone).await.unwrap();
    assert_eq!(status(&f, &id).await, ["deleted"; 2]);
    // A request of one's own goes with the VPC as well.
    let made = f.call_as(&f.other, "CreateVpc", &[("CidrBlock", "10.1.0.0/16")]).await.unwrap();
    let id = ask(&f, &vpc, &texts(&made, "vpcId")[0]).await;
    f.call("DeleteVpc", &[("VpcId", &vpc)]).await.unwrap();
    assert_eq!(status(&f, &id).await, ["deleted"; 2]);
}

async fn requests_end_by_themselves(db: TestDb) {
    let (f, vpc, other) = two(db).await;
    let id = ask(&f, &vpc, &other).await;
    // As if it had been asked for seven days ago.
    let mut tx = f.store.write().await.unwrap();
    let ids = [id.parse().unwrap()];
    let filter = VpcPeeringFilter { ids: Some(&ids), ..Default::default() };
    let row = vpc_peering_list(&mut tx, filter, 1).await.unwrap().remove(0);
    vpc_peering_delete(&mut tx, &row.id).await.unwrap();
    let now_ms = f.cloud.clock().now_ms();
    vpc_peering_insert(&mut tx, &VpcPeeringRow { expires_ms: now_ms, ..row }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(status(&f, &id).await, ["expired"; 2], "before the keeper has come by");
    let me = [("VpcPeeringConnectionId", id.as_str())];
    assert_eq!(f.error_as(&f.other, "AcceptVpcPeeringConnection", &me).await.0, "InvalidStateTransition");
    mallee_app::instances::purge::purge(&f.cloud).await.unwrap();
    assert_eq!(status(&f, &id).await, ["expired"; 2]);
    assert_ne!(ask(&f, &vpc, &other).await, id, "it may be asked for again");
}

async fn no_limit_of_requests_is_passed_by_calls_that_come_at_once(db: TestDb) {
    let (f, vpc, _) = two(db).await;
    let f = Arc::new(f);
    let mut others = Vec::new();
    for n in 0..16 {
        let block = format!("10.{}.0.0/16", 10 + n);
        let made = f.call_as(&f.other, "CreateVpc", &[("CidrBlock", &block)]).await.unwrap();
        others.push(texts(&made, "vpcId").remove(0));
    }
    allow(&f, "L-DC9F7029", 3).await;
    let to = |n: u32| {
        [("VpcId", vpc.as_str()), ("PeerVpcId", others[n as usize].as_str()), ("PeerOwnerId", OTHER)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    let refused = "OutstandingVpcPeeringConnectionLimitExceeded";
    assert_eq!(at_once(&f, "CreateVpcPeeringConnection", refused, to).await, 3);
    allow(&f, "L-7E9ECCDB", 2).await;
    let pending = f.texts("DescribeVpcPeeringConnections", &[], "vpcPeeringConnectionId").await;
    let mut accepted = 0;
    for id in &pending {
        match f.call_as(&f.other, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", id)]).await {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error.code().as_str(), "ActiveVpcPeeringConnectionPerVpcLimitExceeded"),
        }
    }
    assert_eq!((pending.len(), accepted), (3, 2));
}

/// Anybody may ask: that keeps nobody from what is his.
async fn a_request_keeps_no_block_from_who_is_asked(db: TestDb) {
    let (f, vpc, other) = two(db).await;
    let associate = async |cx: &OpContext, vpc: &str, cidr: &str| {
        let made = f.call_as(cx, "AssociateVpcCidrBlock", &[("VpcId", vpc), ("CidrBlock", cidr)]).await;
        made.map(drop).map_err(|error| error.code().as_str().to_owned())
    };
    let mine = "100.70.0.0/16";
    associate(&f.cx, &vpc, mine).await.unwrap();
    let id = ask(&f, &vpc, &other).await;
    // Who asks gets none before there is an answer, not even one that is nobody's.
    assert_eq!(associate(&f.cx, &vpc, "100.64.0.0/16").await.unwrap_err(), "InvalidVpc.Range");
    // Who is asked gets any; the request is still good as long as it can be.
    associate(&f.other, &other, "100.65.0.0/16").await.unwrap();
    assert_eq!(status(&f, &id).await, ["pending-acceptance"; 2]);
    // One that the asking VPC has: the request fails.
    associate(&f.other, &other, mine).await.unwrap();
    assert_eq!(status(&f, &id).await, ["failed"; 2]);
    let me = [("VpcPeeringConnectionId", id.as_str())];
    assert_eq!(f.error_as(&f.other, "AcceptVpcPeeringConnection", &me).await.0, "InvalidStateTransition");
    // And who asked may have blocks again.
    associate(&f.cx, &vpc, "100.64.0.0/16").await.unwrap();
}

async fn who_asks_again_and_again_fills_nobodys_list(db: TestDb) {
    let (f, vpc, other) = two(db).await;
    let mut last = String::new();
    for _ in 0..110 {
        last = ask(&f, &vpc, &other).await;
        f.call("DeleteVpcPeeringConnection", &[("VpcPeeringConnectionId", &last)]).await.unwrap();
    }
    let shown = f.call_as(&f.other, "DescribeVpcPeeringConnections", &[]).await.unwrap();
    let shown = texts(&shown, "vpcPeeringConnectionId");
    assert!(shown.contains(&last), "the last is shown");
    assert!(shown.len() <= 101, "{} are shown", shown.len());
}

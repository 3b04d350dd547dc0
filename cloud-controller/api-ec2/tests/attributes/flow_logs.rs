//! Flow logs: what a node tells, and what of it comes into a bucket.

use crate::fixture::Fixture;
use async_trait::async_trait;
use mallee_app::trails::ObjectService;
use mallee_app::trails::objects::NewObject;
use mallee_proto::v1::{Flow, FlowWindow, RecordFlowsRequest};
use mallee_proto::{Kind, WireError};
use mallee_store::*;
use mallee_types::*;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

/// Buckets of one account, in memory.
#[derive(Debug)]
struct Buckets {
    owner: String,
    objects: Mutex<BTreeMap<String, String>>,
    /// This bucket does not answer.
    away: Mutex<String>,
}

#[async_trait]
impl ObjectService for Buckets {
    async fn owner(&self, _: &str) -> Result<String, WireError> {
        Ok(self.owner.clone())
    }

    async fn put(&self, object: NewObject) -> Result<(), WireError> {
        if object.bucket == *self.away.lock().unwrap() {
            return Err(WireError::new(Kind::Unavailable, "away"));
        }
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*object.data).read_to_string(&mut text).unwrap();
        self.objects.lock().unwrap().insert(format!("{}/{}", object.bucket, object.key), text);
        Ok(())
    }
}

struct World {
    fx: Fixture,
    buckets: Arc<Buckets>,
    node: NodeId,
    instance: InstanceRow,
}

impl World {
    async fn new() -> Self {
        let fx = Fixture::new().await;
        let owner = fx.cx.account().to_string();
        let buckets = Arc::new(Buckets { owner, objects: Mutex::default(), away: Mutex::default() });
        fx.cloud.use_objects(buckets.clone());
        let id = fx.instance(1, InstanceState::Running).await;
        let instance = fx.row(&id).await;
        Self { fx, buckets, node: "node-1".parse().unwrap(), instance }
    }

    async fn log(&self, kind: &str, resource: &str, bucket: &str, traffic: &str, format: &str) -> String {
        let arn = format!("arn:aws:s3:::{bucket}");
        let new = [
            ("ResourceType", kind),
            ("ResourceId.1", resource),
            ("TrafficType", traffic),
            ("LogDestinationType", "s3"),
            ("LogDestination", &arn),
            ("LogFormat", format),
        ];
        let made = self.fx.call("CreateFlowLogs", &new).await.unwrap();
        made.child("flowLogIdSet").unwrap().children[0].text.clone()
    }

    fn window(&self, interface: &str, destination: [u8; 4]) -> FlowWindow {
        let destination = std::net::Ipv4Addr::from(destination).into();
        FlowWindow {
            vpc_id: self.instance.vpc_id.to_string(),
            subnet_id: self.instance.subnet_id.to_string(),
            instance_id: self.instance.id.to_string(),
            interface_id: interface.to_owned(),
            start_s: 1,
            end_s: 61,
            flows: vec![Flow { accepted: true, destination, packets: 1, bytes: 9, ..Flow::default() }],
            ..FlowWindow::default()
        }
    }

    async fn record(&self, windows: Vec<FlowWindow>) -> Result<(), WireError> {
        let batch = RecordFlowsRequest { batch: "b".into(), gathered_ms: 1_700_000_000_000, windows };
        mallee_app::flow_logs::record(&self.fx.cloud, &*self.buckets, &self.node, batch).await
    }

    fn texts(&self) -> Vec<String> {
        self.buckets.objects.lock().unwrap().values().cloned().collect()
    }
}

#[tokio::test]
async fn a_node_tells_of_its_own_interfaces_only_and_all_blocks_are_the_vpcs() {
    let world = World::new().await;
    let vpc = world.instance.vpc_id.to_string();
    let more = [("VpcId", vpc.as_str()), ("CidrBlock", "100.64.0.0/20")];
    world.fx.call("AssociateVpcCidrBlock", &more).await.unwrap();
    let other = [100, 64, 0, 5];
    world.log("VPC", &vpc, "logs", "ALL", "${interface-id} ${traffic-path}").await;
    world.fx.instance(2, InstanceState::Running).await;
    let (own, foreign) = (InterfaceId::from_random(1).to_string(), InterfaceId::from_random(2).to_string());
    let told = vec![
        world.window(&own, other),
        world.window(&own, [198, 51, 100, 1]),
        world.window(&foreign, other),
        world.window("eni-1\n- forged", other),
        FlowWindow { subnet_id: SubnetId::from_random(9).to_string(), ..world.window(&own, other) },
    ];
    world.record(told).await.unwrap();
    assert_eq!(world.texts(), [format!("interface-id traffic-path\n{own} 1\n{own} -\n")]);
}

#[tokio::test]
async fn a_bucket_that_is_away_keeps_no_other_waiting_and_nothing_is_no_file() {
    let world = World::new().await;
    let vpc = world.instance.vpc_id.to_string();
    let subnet = world.instance.subnet_id.to_string();
    let own = InterfaceId::from_random(1).to_string();
    for (kind, resource, bucket) in
        [("VPC", &vpc, "one"), ("Subnet", &subnet, "two"), ("NetworkInterface", &own, "three")]
    {
        world.log(kind, resource, bucket, "ALL", "${interface-id}").await;
    }
    world.log("VPC", &vpc, "rejects", "REJECT", "${interface-id}").await;
    for away in ["one", "two", "three"] {
        world.buckets.objects.lock().unwrap().clear();
        away.clone_into(&mut world.buckets.away.lock().unwrap());
        let error = world.record(vec![world.window(&own, [10, 0, 0, 1])]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert_eq!(world.texts().len(), 2, "all but {away}, and no file of rejected packets");
    }
}

#[tokio::test]
async fn a_repeated_call_is_answered_as_the_first_with_what_was_refused() {
    let world = World::new().await;
    let subnet = world.instance.subnet_id.to_string();
    let vpc = world.instance.vpc_id.to_string();
    world.log("Subnet", &subnet, "one", "ALL", "${interface-id}").await;
    let new = [
        ("ResourceType", "Subnet"),
        ("ResourceId.1", subnet.as_str()),
        ("TrafficType", "ALL"),
        ("LogDestinationType", "s3"),
        ("LogDestination", "arn:aws:s3:::one"),
        ("ClientToken", "token"),
    ];
    let refused = world.fx.texts("CreateFlowLogs", &new, "message").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    for what in ["message", "code", "resourceId"] {
        let (first, again) = (what, world.fx.texts("CreateFlowLogs", &new, what).await);
        assert_eq!(again.len(), 1, "{first}: {again:?}");
    }
    assert_eq!(world.fx.texts("CreateFlowLogs", &new, "message").await, refused);
    let kind = [("ResourceType", "VPC"), ("ResourceId.1", vpc.as_str())];
    let made = [&kind[..], &new[2..5], &[("ClientToken", "other")]].concat();
    let first = world.fx.texts("CreateFlowLogs", &made, "item").await;
    assert_eq!(world.fx.texts("CreateFlowLogs", &made, "item").await, first);
}

#[tokio::test]
async fn the_last_minutes_of_what_has_gone_are_delivered() {
    let world = World::new().await;
    let subnet = world.instance.subnet_id.to_string();
    let new = [("SubnetId", subnet.as_str())];
    let interface = world.fx.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0);
    world.log("NetworkInterface", &interface, "logs", "ALL", "${interface-id}").await;
    world.fx.call("DeleteNetworkInterface", &[("NetworkInterfaceId", &interface)]).await.unwrap();
    world.record(vec![world.window(&interface, [10, 0, 0, 1])]).await.unwrap();
    assert_eq!(world.texts(), [format!("interface-id\n{interface}\n")]);
    // What its account ended itself ends.
    let other = world.fx.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0);
    let id = world.log("NetworkInterface", &other, "logs", "ALL", "${interface-id}").await;
    world.fx.call("DeleteFlowLogs", &[("FlowLogId.1", &id)]).await.unwrap();
    world.fx.call("DeleteNetworkInterface", &[("NetworkInterfaceId", &other)]).await.unwrap();
    world.record(vec![world.window(&other, [10, 0, 0, 1])]).await.unwrap();
    assert_eq!(world.texts().len(), 1);
}

#[tokio::test]
async fn clusters_hear_of_flow_logs_that_go_with_what_they_are_of() {
    let world = World::new().await;
    let subnet = world.fx.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let new = [("SubnetId", subnet.as_str())];
    let interface = world.fx.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0);
    let id = world.log("NetworkInterface", &interface, "logs", "ALL", "${interface-id}").await;
    let (_, before) = changes_bounds(&world.fx.store).await.unwrap();
    world.fx.call("DeleteNetworkInterface", &[("NetworkInterfaceId", &interface)]).await.unwrap();
    let changes = changes_since(&world.fx.store, before, 100).await.unwrap();
    assert!(changes.iter().any(|change| change.id == id), "{changes:?}");
    assert!(world.fx.texts("DescribeFlowLogs", &[], "flowLogId").await.is_empty());
}

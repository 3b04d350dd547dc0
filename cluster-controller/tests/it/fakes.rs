//! A controller on an in-memory transport, a cloud and nodes that say and hear what a test tells them to.

use mallee_cluster_controller::{ClusterConfig, ClusterController, Peer, PeerRole};
use mallee_proto::v1::cloud_to_cluster::Message as FromCloud;
use mallee_proto::v1::cluster_client::ClusterClient;
use mallee_proto::v1::cluster_to_cloud::Message as ToCloud;
use mallee_proto::v1::cluster_to_node::Message as ToNode;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::node_gateway_client::NodeGatewayClient;
use mallee_proto::v1::node_to_cluster::Message as FromNode;
use mallee_proto::v1::*;
use mallee_proto::view;
use mallee_runtime::{Clock, Faults, Rng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Status, Streaming};

/// Long enough for a loaded machine; no test waits for it to run out.
pub const SOON: Duration = Duration::from_secs(20);

pub struct Zone {
    pub controller: ClusterController,
    pub channel: Channel,
    server: tokio::task::JoinHandle<()>,
}

fn caller(mut request: Request<()>) -> Result<Request<()>, Status> {
    let text = |name: &str| request.metadata().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    if let (Some(role), Some(id)) = (text("role"), text("id")) {
        let role = match role.as_str() {
            "cloud" => PeerRole::Cloud,
            "node" => PeerRole::Node,
            _ => PeerRole::Other,
        };
        request.extensions_mut().insert(Peer { role, id });
    }
    Ok(request)
}

pub fn config() -> ClusterConfig {
    ClusterConfig { warm_up_ms: 60_000, ..ClusterConfig::for_zone("local-1a") }
}

pub fn as_peer<T>(role: &'static str, id: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("role", role.parse().unwrap());
    request.metadata_mut().insert("id", id.parse().unwrap());
    request
}

impl Zone {
    pub async fn start() -> Self {
        Self::with(&config(), Faults::none()).await
    }

    pub async fn with(config: &ClusterConfig, faults: Faults) -> Self {
        let identity = Arc::new(|extensions: &tonic::Extensions| extensions.get::<Peer>().cloned());
        let controller = ClusterController::new(config, identity, Clock::system(), Rng::system(), faults).unwrap();
        let (dial, incoming) = mpsc::channel::<Result<tokio::io::DuplexStream, std::io::Error>>(8);
        let (cluster, gateway) = (controller.cluster_service(), controller.node_gateway());
        let server = tokio::spawn(async move {
            Server::builder()
                .add_service(InterceptedService::new(cluster, caller))
                .add_service(InterceptedService::new(gateway, caller))
                .serve_with_incoming(ReceiverStream::new(incoming))
                .await
                .unwrap();
        });
        let connector = tower::service_fn(move |_: Uri| {
            let dial = dial.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                dial.send(Ok(theirs)).await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(ours))
            }
        });
        let channel = Endpoint::from_static("http://memory").connect_with_connector(connector).await.unwrap();
        Self { controller, channel, server }
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    pub async fn place(&self, request: PlaceRequest) -> Result<PlaceReply, mallee_proto::WireError> {
        let reply = self.cluster().place(as_peer("cloud", "clc", request)).await;
        reply.map(tonic::Response::into_inner).map_err(Into::into)
    }

    pub async fn explain(&self, id: &str) -> ExplainReply {
        let request = ExplainRequest { instance_id: id.to_owned() };
        self.cluster().explain(as_peer("cloud", "clc", request)).await.unwrap().into_inner()
    }

    pub fn used(&self, node: &str) -> Capacity {
        self.node(node).used.unwrap()
    }

    pub fn node(&self, node: &str) -> NodeStatus {
        self.controller.status().nodes.into_iter().find(|n| n.node_id == node).unwrap()
    }

    pub async fn until(&self, what: &str, done: impl Fn(&ClusterController) -> bool) {
        until(what, || done(&self.controller)).await;
    }

    pub async fn end(self) {
        self.controller.kill().await;
        self.server.abort();
    }
}

pub async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "not within {SOON:?}: {what}");
}

pub struct FakeCloud {
    out: mpsc::Sender<CloudToCluster>,
    inbound: Streaming<ClusterToCloud>,
    pub seq: u64,
}

impl FakeCloud {
    pub async fn connect(zone: &Zone, epoch: u64, observed: Option<Cursor>) -> Self {
        let (out, receiver) = mpsc::channel(64);
        let request = as_peer("cloud", "clc", ReceiverStream::new(receiver));
        let inbound = zone.cluster().session(request).await.unwrap().into_inner();
        let cloud = Self { out, inbound, seq: 100 };
        cloud.say(FromCloud::Hello(CloudHello { epoch, observed })).await;
        cloud
    }

    /// Connects and tells everything.
    pub async fn with(zone: &Zone, epoch: u64, objects: Vec<Object>) -> Self {
        let mut cloud = Self::connect(zone, epoch, None).await;
        cloud.snapshot(objects).await;
        cloud
    }

    pub async fn say(&self, message: FromCloud) {
        // Of a session that has ended, `hear` says so.
        drop(self.out.send(CloudToCluster { message: Some(message) }).await);
    }

    pub async fn snapshot(&mut self, objects: Vec<Object>) {
        let seq = self.seq;
        self.say(FromCloud::SnapshotBegin(SnapshotBegin { seq })).await;
        for object in objects {
            self.say(FromCloud::Change(IntentChange { seq, object: Some(object) })).await;
        }
        self.say(FromCloud::SnapshotEnd(SnapshotEnd { seq })).await;
    }

    pub async fn change(&mut self, object: Object) {
        self.seq += 1;
        self.say(FromCloud::Change(IntentChange { seq: self.seq, object: Some(object) })).await;
    }

    pub async fn hear(&mut self) -> Result<ToCloud, Status> {
        let heard = tokio::time::timeout(SOON, self.inbound.message()).await.expect("the cloud hears something")?;
        heard.and_then(|m| m.message).ok_or_else(|| Status::unavailable("ended"))
    }

    /// The first message that `pick` takes; others are passed over.
    pub async fn await_message<T>(&mut self, mut pick: impl FnMut(ToCloud) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.hear().await.unwrap()) {
                return found;
            }
        }
    }

    pub async fn await_observation(&mut self, id: &str, phase: DomainPhase) -> Cursor {
        self.await_message(|message| match message {
            ToCloud::Observed(o) if o.instances.iter().any(|i| i.id == id && i.phase() == phase) => o.cursor,
            _ => None,
        })
        .await
    }
}

pub struct FakeNode {
    pub id: String,
    out: mpsc::Sender<NodeToCluster>,
    inbound: Streaming<ClusterToNode>,
    boot: String,
    seq: u64,
    pub held: NodeView,
    /// With lists in place of sections.
    pub view: NodeView,
}

#[derive(Clone)]
pub struct Hello {
    pub id: String,
    pub boot: String,
    pub vcpus: u32,
    pub view: NodeView,
    pub epoch: u64,
    pub view_format: u32,
}

impl Hello {
    pub fn of(id: &str) -> Self {
        Self {
            id: id.into(),
            boot: "boot-1".into(),
            vcpus: 8,
            view: NodeView::default(),
            epoch: 0,
            view_format: view::FORMAT,
        }
    }
}

impl FakeNode {
    pub async fn dial(zone: &Zone, hello: Hello) -> Self {
        let mut gateway = NodeGatewayClient::new(zone.channel.clone()).max_decoding_message_size(16 << 20);
        let (out, receiver) = mpsc::channel(64);
        let request = as_peer("node", &hello.id, ReceiverStream::new(receiver));
        let inbound = gateway.session(request).await.unwrap().into_inner();
        let held = hello.view.generation > 0;
        let message = FromNode::Hello(NodeHello {
            node_id: hello.id.clone(),
            boot: hello.boot.clone(),
            capacity: Some(Capacity {
                vcpus: hello.vcpus,
                memory_mib: u64::from(hello.vcpus) * 4096,
                disk_bytes: u64::from(hello.vcpus) << 36,
            }),
            hypervisor: "fake".into(),
            vtep: format!("192.0.2.{}", hello.id.rsplit('-').next().unwrap_or_default()),
            view_epoch: hello.view.epoch,
            view_generation: hello.view.generation,
            view_hash: if held { view::hash(&hello.view).to_vec() } else { Vec::new() },
            epoch: hello.epoch,
            view_format: hello.view_format,
            ..NodeHello::default()
        });
        let view = view::listed(&hello.view).into_owned();
        let node = Self { id: hello.id, out, inbound, boot: hello.boot, seq: 0, held: hello.view, view };
        node.say(message).await;
        node
    }

    /// Dials, hears the welcome, and says that it holds nothing but `held`.
    pub async fn join(zone: &Zone, hello: Hello, held: Vec<InstanceObservation>) -> (Self, Welcome) {
        let mut node = Self::dial(zone, hello).await;
        let ToNode::Welcome(welcome) = node.hear().await.unwrap() else { panic!("a welcome comes first") };
        if !held.is_empty() {
            node.observe(held).await;
        }
        node.resynced().await;
        (node, welcome)
    }

    pub async fn say(&self, message: FromNode) {
        // Of a session that has ended, `hear` says so.
        drop(self.out.send(NodeToCluster { message: Some(message) }).await);
    }

    pub async fn observe(&mut self, instances: Vec<InstanceObservation>) {
        self.seq += 1;
        self.observe_at(self.seq, instances).await;
    }

    pub async fn observe_at(&self, seq: u64, instances: Vec<InstanceObservation>) {
        let cursor = Some(Cursor { boot: self.boot.clone(), seq });
        self.say(FromNode::Observed(NodeObserved { cursor, instances })).await;
    }

    pub async fn resynced(&self) {
        self.say(FromNode::ResyncEnd(Cursor { boot: self.boot.clone(), seq: self.seq })).await;
    }

    /// What it is told next; views are applied on the way, and must fit.
    pub async fn hear(&mut self) -> Result<ToNode, Status> {
        let heard = tokio::time::timeout(SOON, self.inbound.message()).await.expect("the node hears something")?;
        let message = heard.and_then(|m| m.message).ok_or_else(|| Status::unavailable("ended"))?;
        if let ToNode::View(update) = &message {
            self.held = view::apply(&self.held, update).expect("an update fits the view it builds on");
            self.view = view::listed(&self.held).into_owned();
        }
        Ok(message)
    }

    pub async fn await_message<T>(&mut self, mut pick: impl FnMut(ToNode) -> Option<T>) -> T {
        loop {
            let message = self.hear().await.unwrap();
            if let Some(found) = pick(message) {
                return found;
            }
        }
    }

    pub async fn await_intent(&mut self, id: &str) -> InstanceIntent {
        self.await_message(|m| match m {
            ToNode::Instance(i) if i.id == id => Some(i),
            _ => None,
        })
        .await
    }

    pub async fn await_view(&mut self, what: &str, good: impl Fn(&NodeView) -> bool) {
        let waiting = async {
            while !good(&self.view) {
                self.hear().await.unwrap();
            }
        };
        assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "no view where {what}");
    }

    /// Nothing more comes for a while.
    pub async fn silence(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(150), self.inbound.message()).await.is_err()
    }
}

pub fn instance_id(n: u32) -> String {
    format!("i-{n:017x}")
}

pub fn intent(n: u32, node: &str, generation: u64, run: RunIntent) -> InstanceIntent {
    let port = Port {
        interface_id: format!("eni-{n}"),
        mac: format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255),
        private_ip: format!("10.0.{}.{}", n >> 8, n & 255),
        vpc_id: "vpc-1".into(),
        subnet_id: "subnet-1".into(),
        group_ids: vec!["sg-1".into()],
        ..Port::default()
    };
    InstanceIntent {
        id: instance_id(n),
        generation,
        incarnation: 1,
        node_id: node.into(),
        intent: run.into(),
        spec: Some(InstanceSpec {
            vcpus: 2,
            memory_mib: 1024,
            root_disk_bytes: 8 << 30,
            ports: vec![port],
            ..InstanceSpec::default()
        }),
        ..InstanceIntent::default()
    }
}

pub fn observed(n: u32, node: &str, generation: u64, phase: DomainPhase) -> InstanceObservation {
    InstanceObservation {
        id: instance_id(n),
        incarnation: 1,
        node_id: node.into(),
        generation,
        phase: phase.into(),
        network_applied: phase == DomainPhase::Running,
        ..InstanceObservation::default()
    }
}

pub fn network() -> Vec<Object> {
    let peer = Some(group_rule::Peer::GroupId("sg-1".into()));
    let rule = GroupRule { id: "sgr-1".into(), protocol: -1, from_port: -1, to_port: -1, peer, ..GroupRule::default() };
    vec![
        Object::Vpc(Vpc { id: "vpc-1".into(), generation: 1, cidr: "10.0.0.0/16".into(), vni: 7, ..Vpc::default() }),
        Object::Subnet(Subnet {
            id: "subnet-1".into(),
            generation: 1,
            vpc_id: "vpc-1".into(),
            cidr: "10.0.0.0/20".into(),
            ..Subnet::default()
        }),
        Object::Group(SecurityGroup {
            id: "sg-1".into(),
            generation: 1,
            vpc_id: "vpc-1".into(),
            rules: vec![rule],
            ..SecurityGroup::default()
        }),
    ]
}

pub fn place(request_id: &str, epoch: u64, ids: impl Iterator<Item = u32>) -> PlaceRequest {
    let instance_ids: Vec<String> = ids.map(instance_id).collect();
    PlaceRequest {
        epoch,
        request_id: request_id.into(),
        instance_type: "t3.nano".into(),
        vcpus: 2,
        memory_mib: 1024,
        disk_bytes: 8 << 30,
        count_min: 1,
        count_max: u32::try_from(instance_ids.len()).unwrap(),
        ttl_ms: 60_000,
        instance_ids,
        ..PlaceRequest::default()
    }
}

pub fn per_node(reply: &PlaceReply) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for placement in &reply.placements {
        *counts.entry(placement.node_id.clone()).or_default() += 1;
    }
    counts
}

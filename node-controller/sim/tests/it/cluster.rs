//! A cluster controller as far as one node can tell: it holds intents and a view, and keeps what the node says.

use mallee_node_core::{ConnectError, Connector};
use mallee_proto::v1::cluster_to_node::Message as Order;
use mallee_proto::v1::node_gateway_server::{NodeGateway, NodeGatewayServer};
use mallee_proto::v1::node_to_cluster::Message as Report;
use mallee_proto::v1::{
    ClusterToNode, ConsoleReply, ConsoleRequest, Cursor, DesiredEnd, ForgetInstance, Heartbeat, InstanceAnswer,
    InstanceAsk, InstanceIntent, InstanceObservation, InstanceQuestion, NetworkApplied, NodeHello, NodeInventoryReply,
    NodeInventoryRequest, NodeToCluster, NodeView, NodeViewUpdate, PortView, VpcView, Welcome,
};
use mallee_proto::view;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// What the cluster knows; tests read and write it under the lock.
#[derive(Debug, Default)]
pub struct Known {
    pub epoch: u64,
    pub intents: BTreeMap<String, InstanceIntent>,
    pub view: NodeView,
    pub observed: BTreeMap<String, InstanceObservation>,
    /// Every observation in the order it came.
    pub heard: Vec<InstanceObservation>,
    pub cursor: Option<Cursor>,
    pub hellos: Vec<NodeHello>,
    pub applied: Option<NetworkApplied>,
    pub mismatches: Vec<u64>,
    pub resyncs: usize,
    pub consoles: Vec<ConsoleReply>,
    pub answers: Vec<InstanceAnswer>,
    pub inventories: Vec<NodeInventoryReply>,
    pub heartbeats: Vec<Heartbeat>,
    /// Send the list of orders' end at the start of a session.
    pub says_end: bool,
    pub session: Option<mpsc::Sender<Result<ClusterToNode, Status>>>,
    /// Answer an instance that is gone with a farewell at once.
    pub forgets: bool,
}

#[derive(Debug, Clone)]
pub struct Cluster {
    pub known: Arc<Mutex<Known>>,
    dial: mpsc::UnboundedSender<DuplexStream>,
}

fn message(order: Order) -> Result<ClusterToNode, Status> {
    Ok(ClusterToNode { message: Some(order) })
}

impl Cluster {
    pub fn new() -> Self {
        let (dial, incoming) = mpsc::unbounded_channel();
        let known = Known { epoch: 1, says_end: true, forgets: true, ..Known::default() };
        let cluster = Self { known: Arc::new(Mutex::new(known)), dial };
        cluster.with(|known| known.view.epoch = 1);
        let incoming = UnboundedReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
        let service = NodeGatewayServer::new(cluster.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        cluster
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut Known) -> T) -> T {
        f(&mut self.known.lock().unwrap())
    }

    fn send(known: &Known, order: Order) {
        if let Some(session) = &known.session {
            // A session that has ended takes nothing; the next one gets everything.
            drop(session.try_send(message(order)));
        }
    }

    /// Wants this of an instance, and names its port in the view.
    pub fn want(&self, intent: InstanceIntent) {
        self.with(|known| {
            let old = known.view.clone();
            let vpc = VpcView { vpc_id: "vpc-1".into(), cidr: "10.0.0.0/16".into(), ..VpcView::default() };
            if known.view.vpcs.is_empty() {
                known.view.vpcs.push(vpc);
            }
            let ports = &mut known.view.vpcs[0].ports;
            ports.retain(|port| port.instance_id != intent.id);
            if intent.run_intent() == Some(mallee_types::RunIntent::Run) {
                ports.extend(intent.spec.iter().flat_map(|spec| &spec.ports).map(|port| PortView {
                    interface_id: port.interface_id.clone(),
                    instance_id: intent.id.clone(),
                    incarnation: intent.incarnation,
                    mac: port.mac.clone(),
                    private_ip: port.private_ip.clone(),
                    ..PortView::default()
                }));
            }
            known.view.generation += 1;
            known.intents.insert(intent.id.clone(), intent.clone());
            Self::send(known, Order::Instance(intent));
            Self::send(known, Order::View(view::diff(&old, &known.view)));
        });
    }

    fn send_whole(known: &Known) {
        for part in view::split(view::whole(&known.view)) {
            Self::send(known, Order::View(part));
        }
    }

    pub fn send_view(&self, update: NodeViewUpdate) {
        self.with(|known| Self::send(known, Order::View(update)));
    }

    pub fn ask_console(&self, instance: &str) {
        let request = ConsoleRequest { request_id: "q".into(), instance_id: instance.into() };
        self.with(|known| Self::send(known, Order::Console(request)));
    }

    pub fn ask(&self, instance: &str, question: InstanceQuestion) {
        let ask = InstanceAsk { request_id: "q".into(), instance_id: instance.into(), question: question.into() };
        self.with(|known| Self::send(known, Order::Ask(ask)));
    }

    pub fn ask_inventory(&self) {
        let request = NodeInventoryRequest { request_id: "q".into() };
        self.with(|known| Self::send(known, Order::Inventory(request)));
    }

    /// The cloud has a new leader: welcomes the node again in its session.
    pub fn welcome_again(&self, epoch: u64) {
        self.with(|known| {
            known.epoch = epoch;
            known.view.epoch = epoch;
            let welcome = Welcome { epoch, observed: None, heartbeat_ms: 50, sweep_grace_ms: 100 };
            Self::send(known, Order::Welcome(welcome));
        });
    }

    /// Sends an order as it is.
    pub fn send_order(&self, order: Order) {
        self.with(|known| Self::send(known, order));
    }

    /// Cuts the session; the node dials again.
    pub fn hang_up(&self) {
        self.with(|known| known.session = None);
    }

    pub fn observed(&self, id: &str) -> Option<InstanceObservation> {
        self.with(|known| known.observed.get(id).cloned())
    }

    fn hear(&self, report: Report) {
        self.with(|known| match report {
            Report::Hello(_) => panic!("a second hello"),
            Report::Observed(observed) => {
                known.cursor = observed.cursor;
                for observation in observed.instances {
                    known.heard.push(observation.clone());
                    if observation.gone && known.forgets {
                        known.intents.remove(&observation.id);
                        let (id, generation) = (observation.id.clone(), observation.generation);
                        Self::send(known, Order::Forget(ForgetInstance { id, generation }));
                    }
                    known.observed.insert(observation.id.clone(), observation);
                }
            }
            Report::ResyncEnd(_) => known.resyncs += 1,
            Report::Network(applied) => known.applied = Some(applied),
            Report::ViewMismatch(mismatch) => {
                known.mismatches.push(mismatch.generation);
                Self::send_whole(known);
            }
            Report::Answer(answer) => known.answers.push(answer),
            Report::Console(reply) => known.consoles.push(reply),
            Report::Inventory(reply) => known.inventories.push(reply),
            Report::Heartbeat(heartbeat) => known.heartbeats.push(heartbeat),
        });
    }
}

#[tonic::async_trait]
impl NodeGateway for Cluster {
    type SessionStream = std::pin::Pin<Box<dyn Stream<Item = Result<ClusterToNode, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<NodeToCluster>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut reports = request.into_inner();
        let hello = match reports.next().await {
            Some(Ok(NodeToCluster { message: Some(Report::Hello(hello)) })) => hello,
            other => panic!("the first message is no hello: {other:?}"),
        };
        let (send, orders) = mpsc::channel(256);
        self.with(|known| {
            let welcome =
                Welcome { epoch: known.epoch, observed: known.cursor.clone(), heartbeat_ms: 50, sweep_grace_ms: 100 };
            known.session = Some(send);
            Self::send(known, Order::Welcome(welcome));
            for intent in known.intents.values() {
                Self::send(known, Order::Instance(intent.clone()));
            }
            if known.view.generation > 0 {
                Self::send_whole(known);
            }
            if known.says_end {
                let instance_ids = known.intents.keys().cloned().collect();
                Self::send(known, Order::DesiredEnd(DesiredEnd { instance_ids }));
            }
            known.hellos.push(hello);
        });
        let cluster = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(NodeToCluster { message: Some(report) })) = reports.next().await {
                cluster.hear(report);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(orders))))
    }
}

#[tonic::async_trait]
impl Connector for Cluster {
    async fn connect(&self) -> Result<tonic::transport::Channel, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.dial.send(theirs).map_err(|e| ConnectError(e.to_string()))?;
        let mut ours = Some(hyper_util::rt::TokioIo::new(ours));
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let stream = ours.take().ok_or_else(|| std::io::Error::other("one connection only"));
            async move { stream }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://cluster");
        endpoint.connect_with_connector(connector).await.map_err(|e| ConnectError(e.to_string()))
    }
}

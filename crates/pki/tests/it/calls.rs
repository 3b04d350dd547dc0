//! gRPC over it: the identity reaches the handlers, and the table of rules stands before them. Over TLS and in one
//! process alike.

use crate::world::{ANYONE, Mirror, World, call};
use mallee_pki::{Allow, ClientAuth, GuardLayer, Role, Rule, connect, connect_pinned, in_process};
use mallee_proto::v1::enrolment_server::EnrolmentServer;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Server;

const NODES: &[Rule] = &[("mallee.v1.Enrolment", Allow::Roles(&[Role::Node]))];
const NONE: &[Rule] = &[("mallee.v1.Other", Allow::Anyone)];

async fn serve(world: &World, rules: &'static [Rule], auth: ClientAuth) -> String {
    world.serve(&world.store(Role::Cloud, "main"), auth, rules).await.uri
}

#[tokio::test]
async fn handlers_see_who_calls_and_rules_stand_before_them() {
    let world = World::new("c-1");
    let (node, cluster) = (world.store(Role::Node, "node-1"), world.store(Role::Cluster, "zone-a"));
    let uri = serve(&world, NODES, ClientAuth::Required).await;
    let channel = connect(&uri, &node, Role::Cloud, None).await.unwrap();
    assert_eq!(call(channel.clone(), "").await.unwrap(), "mallee://c-1/node/node-1");
    assert_eq!(call(channel.clone(), "node-1").await.unwrap(), "mallee://c-1/node/node-1");
    assert_eq!(call(channel, "node-2").await.unwrap_err().code(), Code::PermissionDenied);
    let other = connect(&uri, &cluster, Role::Cloud, None).await.unwrap();
    assert_eq!(call(other, "").await.unwrap_err().code(), Code::PermissionDenied);
    let nothing = serve(&world, NONE, ClientAuth::Required).await;
    let channel = connect(&nothing, &node, Role::Cloud, None).await.unwrap();
    assert_eq!(call(channel, "").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn enrolment_needs_no_certificate_and_everything_else_does() {
    let world = World::new("c-1");
    let open = serve(&world, ANYONE, ClientAuth::Optional).await;
    let channel = connect_pinned(&open, world.ca.ca_sha256()).await.unwrap();
    assert_eq!(call(channel.clone(), "").await.unwrap(), "");
    assert_eq!(call(channel, "node-1").await.unwrap_err().code(), Code::Unauthenticated);
    let guarded = serve(&world, NODES, ClientAuth::Optional).await;
    let channel = connect_pinned(&guarded, world.ca.ca_sha256()).await.unwrap();
    assert_eq!(call(channel, "").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_same_rules_hold_in_one_process() {
    let world = World::new("c-1");
    let (dialler, incoming) = in_process();
    let server = Server::builder().layer(GuardLayer::new(NODES)).add_service(EnrolmentServer::new(Mirror));
    tokio::spawn(server.serve_with_incoming(incoming));
    let node = dialler.connect(&world.identity(Role::Node, "node-1")).await.unwrap();
    assert_eq!(call(node.clone(), "node-1").await.unwrap(), "mallee://c-1/node/node-1");
    assert_eq!(call(node, "node-2").await.unwrap_err().code(), Code::PermissionDenied);
    let walrus = dialler.connect(&world.identity(Role::Walrus, "w")).await.unwrap();
    assert_eq!(call(walrus, "").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn errors_say_where_and_why() {
    let world = World::new("c-1");
    let node = world.store(Role::Node, "node-1");
    for bad in ["", "nonsense", "https://host-without-port", "https://"] {
        let error = connect(bad, &node, Role::Cloud, None).await.unwrap_err();
        assert!(!error.to_string().contains('\n'), "{bad}: {error}");
    }
    // Nobody listens on a port that was just given back.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = connect(&format!("https://{closed}"), &node, Role::Cloud, None).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    let uri = serve(&world, NODES, ClientAuth::Required).await;
    let wrong = connect(&uri, &node, Role::Walrus, None).await.unwrap_err();
    assert!(wrong.to_string().contains("mallee://c-1/cloud/main"), "{wrong}");
}

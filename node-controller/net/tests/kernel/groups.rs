//! Security groups: what is not allowed is refused, in both directions, statefully.

use crate::lab::*;
use mallee_proto::v1::group_rule::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn rules_allow_by_protocol_port_and_source_and_nothing_else() {
    let mut lab = Lab::new();
    let (a, b, c) = (port("a", 0, 11, &["sg-web"]), port("a", 0, 12, &["sg-open"]), port("a", 1, 13, &["sg-open"]));
    let mut view = vpc("a", 100, &[a.clone(), b.clone(), c.clone()]);
    view.groups.push(group(
        "sg-web",
        vec![
            rule(false, 6, 80, 82, cidr("10.0.0.0/24")),
            rule(false, 1, 8, -1, cidr("10.0.1.13/32")),
            rule(false, 17, 9999, 9999, cidr("0.0.0.0/0")),
            rule(false, 6, 70_000, 70_001, cidr("0.0.0.0/0")),
        ],
    ));
    lab.apply(vec![view]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    for n in [80, 81, 83] {
        lab.tcp_server(&ga, n);
    }
    lab.tcp_server(&gb, 80);
    assert!(
        connect(&gb, "10.0.0.11", 80).is_some() && connect(&gb, "10.0.0.11", 81).is_some(),
        "in the range, from the block"
    );
    assert!(connect(&gb, "10.0.0.11", 83).is_none(), "outside the range");
    assert!(connect(&gc, "10.0.0.11", 80).is_none(), "outside the block");
    assert!(ping(&gc, "10.0.0.11") && !ping(&gb, "10.0.0.11"), "echo from one address only");
    assert!(delivers(&gb, "10.0.0.12", &ga, "10.0.0.11"), "udp");
    assert!(connect(&ga, "10.0.0.12", 80).is_none(), "a group without egress rules lets nothing out");
    assert!(!ping(&ga, "10.0.0.12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_matches_members_only_and_an_unknown_one_nobody() {
    let mut lab = Lab::new();
    let ports = [port("a", 0, 11, &["sg-db"]), port("a", 0, 12, &["sg-open"]), port("a", 1, 13, &["sg-open"])];
    let view = |members_of_web: Option<&[&str]>| {
        let mut view = vpc("a", 100, &ports);
        let from = |id: &str| rule(false, 6, 5432, 5432, Peer::GroupId(id.to_owned()));
        view.groups.push(group("sg-db", vec![all_out(), from("sg-web"), from("sg-nobody-knows")]));
        view.members = members_of_web.map(|m| members("sg-web", m)).into_iter().collect();
        view
    };
    lab.apply(vec![view(None)]).await;
    let (a, b, c) = (lab.launch(&ports[0]).await, lab.launch(&ports[1]).await, lab.launch(&ports[2]).await);
    lab.tcp_server(&a, 5432);
    assert!(connect(&b, "10.0.0.11", 5432).is_none(), "an unknown group has no members");
    lab.apply(vec![view(Some(&[]))]).await;
    assert!(connect(&b, "10.0.0.11", 5432).is_none(), "an empty group has no members");
    lab.apply(vec![view(Some(&["10.0.0.12"]))]).await;
    assert!(connect(&b, "10.0.0.11", 5432).is_some() && connect(&c, "10.0.0.11", 5432).is_none());
    lab.apply(vec![view(Some(&["10.0.1.13"]))]).await;
    assert!(connect(&b, "10.0.0.11", 5432).is_none() && connect(&c, "10.0.0.11", 5432).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_rule_refuses_new_flows_and_a_port_without_groups_is_closed() {
    let mut lab = Lab::new();
    let (a, b, c) = (port("a", 0, 11, &["sg-web"]), port("a", 0, 12, &["sg-open"]), port("a", 0, 13, &[]));
    let view = |open: bool| {
        let mut view = vpc("a", 100, &[a.clone(), b.clone(), c.clone()]);
        let rules = if open { vec![rule(false, 6, 80, 80, cidr("0.0.0.0/0"))] } else { vec![] };
        view.groups.push(group("sg-web", rules));
        view
    };
    lab.apply(vec![view(true)]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    lab.tcp_server(&ga, 80);
    assert!(connect(&gb, "10.0.0.11", 80).is_some());
    lab.apply(vec![view(false)]).await;
    assert!(connect(&gb, "10.0.0.11", 80).is_none());
    lab.apply(vec![view(true)]).await;
    assert!(connect(&gb, "10.0.0.11", 80).is_some());
    assert!(!ping(&gc, "10.0.0.12") && !ping(&gb, "10.0.0.13"));
    assert!(ping(&gc, "10.0.0.1"), "its router answers all the same");
}

//! Reachability analysis: what paths there may be, what is said of them, and what keeps them.

use crate::fixture::{Fixture, texts};
use crate::routes::allow;
use mallee_types::InstanceState;

/// Two instances of the default VPC that run, their interfaces, the VPC's gateway, table, ACL and group.
struct Scene {
    f: Fixture,
    one: String,
    other: String,
    gateway: String,
    group: String,
}

async fn scene() -> Scene {
    let f = Fixture::new().await;
    let one = f.instance(1, InstanceState::Running).await.to_string();
    let other = f.instance(2, InstanceState::Running).await.to_string();
    let gateway = f.texts("DescribeInternetGateways", &[], "internetGatewayId").await.remove(0);
    let group = f.texts("DescribeSecurityGroups", &[], "groupId").await.remove(0);
    Scene { f, one, other, gateway, group }
}

impl Scene {
    async fn path(&self, token: &str, more: &[(&str, &str)]) -> String {
        let common = [("Protocol", "tcp"), ("ClientToken", token)];
        let params: Vec<(&str, &str)> = common.into_iter().chain(more.iter().copied()).collect();
        self.f.texts("CreateNetworkInsightsPath", &params, "networkInsightsPathId").await.remove(0)
    }

    async fn start(&self, token: &str, path: &str, more: &[(&str, &str)]) -> mallee_awswire::xml_read::Element {
        let common = [("NetworkInsightsPathId", path), ("ClientToken", token)];
        let params: Vec<(&str, &str)> = common.into_iter().chain(more.iter().copied()).collect();
        self.f.call("StartNetworkInsightsAnalysis", &params).await.unwrap()
    }

    async fn refused(&self, more: &[(&str, &str)]) -> &'static str {
        let params: Vec<(&str, &str)> = [("ClientToken", "no")].into_iter().chain(more.iter().copied()).collect();
        self.f.error("CreateNetworkInsightsPath", &params).await.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_said_and_goes() {
    let s = scene().await;
    let path = s.path("a", &[("Source", &s.one), ("Destination", &s.other), ("DestinationPort", "22")]).await;
    let found = s.start("1", &path, &[]).await;
    assert_eq!(texts(&found, "networkPathFound"), ["true"], "both are in the default group");
    assert_eq!(texts(&found, "status"), ["succeeded"]);
    let forward = found.children.iter().find(|child| child.name == "networkInsightsAnalysis").unwrap();
    let forward = forward.children.iter().find(|child| child.name == "forwardPathComponentSet").unwrap();
    assert_eq!(
        texts(forward, "sequenceNumber"),
        ["1", "2", "3", "4", "5", "6"],
        "instance, interface, group; and back"
    );
    let rules = texts(forward, "direction");
    assert_eq!(rules, ["egress", "ingress"]);
    assert!(texts(forward, "securityGroupId").contains(&s.group));
    assert_eq!(texts(forward, "from"), ["22", "0", "22", "0"]);
    // Nothing comes into the group any more.
    let revoke = [
        ("GroupId", s.group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.Groups.1.GroupId", s.group.as_str()),
    ];
    s.f.call("RevokeSecurityGroupIngress", &revoke).await.unwrap();
    let lost = s.start("2", &path, &[]).await;
    assert_eq!(texts(&lost, "networkPathFound"), ["false"]);
    assert_eq!(texts(&lost, "explanationCode"), ["ENI_SG_RULES_MISMATCH"]);
    assert_eq!(texts(&lost, "direction"), ["ingress"]);
    assert!(texts(&lost, "sequenceNumber").is_empty());
    // The same call again says the same, whatever has changed.
    let again = s.start("1", &path, &[]).await;
    assert_eq!(texts(&again, "networkInsightsAnalysisId"), texts(&found, "networkInsightsAnalysisId"));
    assert_eq!(texts(&again, "networkPathFound"), ["true"]);
    let by = |name: &'static str, value: &'static str| [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
    let ids = |name, value| {
        let f = &s.f;
        async move {
            let filter = by(name, value);
            f.texts("DescribeNetworkInsightsAnalyses", &filter, "networkInsightsAnalysisId").await
        }
    };
    assert_eq!(ids("path-found", "false").await, texts(&lost, "networkInsightsAnalysisId"));
    assert_eq!(ids("status", "succeeded").await.len(), 2);
    let report = mallee_app::check::look_once(&s.f.cloud).await.unwrap();
    assert!(!report.findings.iter().any(|finding| format!("{finding:?}").contains("nia-")), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_is_reached_by_a_public_address_and_a_route() {
    let s = scene().await;
    let out = s.path("a", &[("Source", &s.one), ("Destination", &s.gateway)]).await;
    let why = |found: &mallee_awswire::xml_read::Element| texts(found, "explanationCode");
    assert_eq!(why(&s.start("1", &out, &[]).await), ["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"]);
    let into = s.path("b", &[("Source", &s.gateway), ("Destination", &s.one), ("DestinationPort", "22")]).await;
    assert!(why(&s.start("2", &into, &[]).await).contains(&"IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS".to_owned()));
    let address = s.f.call("AllocateAddress", &[]).await.unwrap();
    let allocation = texts(&address, "allocationId").remove(0);
    let public = texts(&address, "publicIp").remove(0);
    s.f.call("AssociateAddress", &[("AllocationId", &allocation), ("InstanceId", &s.one)]).await.unwrap();
    assert_eq!(texts(&s.start("3", &out, &[]).await, "networkPathFound"), ["true"]);
    assert_eq!(why(&s.start("4", &into, &[]).await), ["ENI_SG_RULES_MISMATCH"]);
    let open = [
        ("GroupId", s.group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "22"),
        ("IpPermissions.1.ToPort", "22"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "192.0.2.0/24"),
    ];
    s.f.call("AuthorizeSecurityGroupIngress", &open).await.unwrap();
    let found = s.start("5", &into, &[]).await;
    assert_eq!(texts(&found, "networkPathFound"), ["true"], "some of the world");
    let heads = texts(&found, "item");
    assert!(heads.contains(&format!("{public}/32")) && heads.iter().any(|text| text.starts_with("192.0.2.")));
    // Of an address, by a route that it has not.
    let world = s.path("c", &[("Source", &s.one), ("DestinationIp", "198.51.100.9"), ("DestinationPort", "443")]).await;
    assert_eq!(texts(&s.start("6", &world, &[]).await, "networkPathFound"), ["true"]);
    let around = format!("arn:aws:ec2:eu-1:{}:internet-gateway/{}", s.f.cx.account(), s.gateway);
    let avoided = s.start("7", &world, &[("FilterOutArn.1", &around)]).await;
    assert_eq!(why(&avoided), ["COMPONENT_FILTER_RESTRICTION"]);
    assert_eq!(texts(&s.start("8", &world, &[("FilterInArn.1", &around)]).await, "networkPathFound"), ["true"]);
    let table = s.f.texts("DescribeRouteTables", &[], "routeTableId").await.remove(0);
    let default = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0")];
    s.f.call("DeleteRoute", &default).await.unwrap();
    let lost = s.start("9", &world, &[]).await;
    assert_eq!(why(&lost), ["NO_ROUTE_TO_DESTINATION"]);
    assert!(texts(&lost, "id").contains(&table));
    let other_port =
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "203.0.113.0/24"), ("GatewayId", &s.gateway)];
    s.f.call("CreateRoute", &other_port).await.unwrap();
    assert_eq!(why(&s.start("10", &world, &[]).await), ["CANNOT_ROUTE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_path_can_be_is_refused_by_name() {
    let s = scene().await;
    let (one, other) = (("Source", s.one.as_str()), ("Destination", s.other.as_str()));
    let tcp = ("Protocol", "tcp");
    assert_eq!(s.refused(&[tcp, other]).await, "MissingParameter");
    assert_eq!(s.refused(&[tcp, one]).await, "MissingParameter", "where to");
    assert_eq!(s.refused(&[one, other]).await, "MissingParameter");
    assert_eq!(s.refused(&[("Protocol", "icmp"), one, other]).await, "InvalidParameterValue");
    assert_eq!(s.refused(&[tcp, one, ("Destination", &s.one)]).await, "InvalidParameterCombination");
    assert_eq!(s.refused(&[tcp, ("Source", "i-00000000000000000"), other]).await, "NetworkInsightsSource.NotFound");
    assert_eq!(
        s.refused(&[tcp, one, ("Destination", "eni-00000000000000000")]).await,
        "NetworkInsightsDestination.NotFound"
    );
    assert_eq!(s.refused(&[tcp, one, ("Destination", "tgw-00000000000000000")]).await, "Unsupported");
    let foreign = "arn:aws:ec2:eu-1:000000000077:instance/i-00000000000000000";
    assert_eq!(s.refused(&[tcp, one, ("Destination", foreign)]).await, "Unsupported");
    assert_eq!(s.refused(&[tcp, one, other, ("DestinationPort", "70000")]).await, "InvalidParameterValue");
    assert_eq!(s.refused(&[tcp, one, other, ("SourceIp", "here")]).await, "InvalidParameterValue");
    let filter = ("FilterAtSource.SourceAddress", "172.31.0.5");
    assert_eq!(s.refused(&[tcp, one, other, filter, ("SourceIp", "172.31.0.5")]).await, "InvalidParameterCombination");
    let ends =
        [("FilterAtSource.DestinationPortRange.FromPort", "9"), ("FilterAtSource.DestinationPortRange.ToPort", "8")];
    assert_eq!(s.refused(&[tcp, one, other, ends[0], ends[1]]).await, "InvalidParameterValue");
    assert_eq!(s.refused(&[tcp, one, other, ("DryRun", "true")]).await, "DryRunOperation");
    let none = [("Protocol", "tcp"), one, other];
    assert_eq!(s.f.error("CreateNetworkInsightsPath", &none).await.0, "MissingParameter", "of the token");
    let path = s.path("p", &[one, other]).await;
    let start = |more: (&'static str, &'static str)| {
        let params =
            [("NetworkInsightsPathId", path.clone()), ("ClientToken", "x".to_owned()), (more.0, more.1.to_owned())];
        let f = &s.f;
        async move {
            let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
            f.error("StartNetworkInsightsAnalysis", &params).await.0
        }
    };
    assert_eq!(start(("AdditionalAccount.1", "000000000077")).await, "Unsupported");
    assert_eq!(start(("FilterInArn.1", "sg-1")).await, "InvalidParameterValue");
    assert_eq!(start(("DryRun", "true")).await, "DryRunOperation");
    let strange = s.f.error_as(&s.f.other, "DeleteNetworkInsightsPath", &[("NetworkInsightsPathId", &path)]).await;
    assert_eq!(strange.0, "InvalidNetworkInsightsPathId.NotFound", "another account's");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_kept_by_their_analyses_and_bounded_by_quotas() {
    let s = scene().await;
    let ends = [("Source", s.one.as_str()), ("Destination", s.other.as_str())];
    let tagged = [
        ends[0],
        ends[1],
        ("TagSpecification.1.ResourceType", "network-insights-path"),
        ("TagSpecification.1.Tag.1.Key", "for"),
        ("TagSpecification.1.Tag.1.Value", "tests"),
    ];
    let path = s.path("a", &tagged).await;
    assert_eq!(s.path("a", &tagged).await, path, "the same call again");
    let by_tag = [("Filter.1.Name", "tag:for"), ("Filter.1.Value.1", "tests")];
    assert_eq!(s.f.texts("DescribeNetworkInsightsPaths", &by_tag, "networkInsightsPathId").await, [path.as_str()]);
    let by_source = [("Filter.1.Name", "source"), ("Filter.1.Value.1", s.other.as_str())];
    assert!(s.f.texts("DescribeNetworkInsightsPaths", &by_source, "networkInsightsPathId").await.is_empty());
    let analysis = texts(&s.start("1", &path, &[]).await, "networkInsightsAnalysisId").remove(0);
    let more = [("ResourceId.1", analysis.as_str()), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    s.f.call("CreateTags", &more).await.unwrap();
    let delete = [("NetworkInsightsPathId", path.as_str())];
    assert_eq!(s.f.error("DeleteNetworkInsightsPath", &delete).await.0, "AnalysisExistsForNetworkInsightsPath");
    allow(&s.f, "mallee-network-insights-analyses", 1).await;
    allow(&s.f, "mallee-network-insights-paths", 1).await;
    let start = [("NetworkInsightsPathId", path.as_str()), ("ClientToken", "2")];
    assert_eq!(s.f.error("StartNetworkInsightsAnalysis", &start).await.0, "NetworkInsightsAnalysis.LimitExceeded");
    let create = [ends[0], ends[1], ("Protocol", "udp"), ("ClientToken", "b")];
    assert_eq!(s.f.error("CreateNetworkInsightsPath", &create).await.0, "NetworkInsightsPath.LimitExceeded");
    s.f.call("DeleteNetworkInsightsAnalysis", &[("NetworkInsightsAnalysisId", &analysis)]).await.unwrap();
    s.f.call("DeleteNetworkInsightsPath", &delete).await.unwrap();
    assert_eq!(s.f.error("DeleteNetworkInsightsPath", &delete).await.0, "InvalidNetworkInsightsPathId.NotFound");
}

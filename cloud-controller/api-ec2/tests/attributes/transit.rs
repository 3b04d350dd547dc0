//! Transit gateways while several calls are made at once: what one has looked at, no other changes under it.

use crate::fixture::Fixture;
use mallee_awswire::ApiError;
use mallee_awswire::xml_read::Element;
use mallee_runtime::FaultAction;
use mallee_store::test_support::TestDb;
use std::sync::Arc;
use std::time::Duration;

mallee_store::store_test_suite!(
    a_vpc_gets_no_block_of_another_while_it_is_attached,
    a_subnet_is_not_deleted_while_it_becomes_one_of_an_attachment,
    a_table_that_goes_becomes_no_default,
    what_calls_wait_for_has_an_order
);

/// How long a call waits at its point.
const PAUSE: Duration = Duration::from_millis(400);

struct Scene {
    f: Arc<Fixture>,
    gateway: String,
    table: String,
}

async fn scene(db: TestDb) -> Scene {
    let f = Arc::new(Fixture::on(db).await);
    let made = f.call("CreateTransitGateway", &[]).await.unwrap();
    let gateway = crate::fixture::texts(&made, "transitGatewayId").remove(0);
    let table = crate::fixture::texts(&made, "associationDefaultRouteTableId").remove(0);
    Scene { f, gateway, table }
}

impl Scene {
    /// A VPC with a subnet.
    async fn vpc(&self, block: &str) -> (String, String) {
        let vpc = self.f.texts("CreateVpc", &[("CidrBlock", block)], "vpcId").await.remove(0);
        let params = [("VpcId", vpc.as_str()), ("CidrBlock", &block.replace("/16", "/24"))];
        let subnet = self.f.texts("CreateSubnet", &params, "subnetId").await.remove(0);
        (vpc, subnet)
    }

    fn attaching(&self, (vpc, subnet): &(String, String)) -> Vec<(&'static str, String)> {
        let (gateway, vpc, subnet) = (self.gateway.clone(), vpc.clone(), subnet.clone());
        vec![("TransitGatewayId", gateway), ("VpcId", vpc), ("SubnetIds.1", subnet)]
    }

    /// What comes of a call, and of another that is made while it waits at its point.
    async fn meanwhile(
        &self,
        point: &str,
        call: (&'static str, Vec<(&'static str, String)>),
        other: (&'static str, Vec<(&'static str, String)>),
    ) -> [Result<Element, ApiError>; 2] {
        self.f.faults.arm(point, FaultAction::Delay(PAUSE), 1);
        let before = self.f.faults.hit().len();
        let send = |(action, params): (&'static str, Vec<(&'static str, String)>)| {
            let f = Arc::clone(&self.f);
            tokio::spawn(async move {
                let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
                f.call(action, &params).await
            })
        };
        let waits = send(call);
        while self.f.faults.hit().len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = send(other).await.unwrap();
        [waits.await.unwrap(), other]
    }
}

fn code(outcome: &Result<Element, ApiError>) -> &'static str {
    outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "")
}

async fn a_vpc_gets_no_block_of_another_while_it_is_attached(db: TestDb) {
    let s = scene(db).await;
    let (one, other) = (s.vpc("10.1.0.0/16").await, s.vpc("10.2.0.0/16").await);
    let params = s.attaching(&other);
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    s.f.call("CreateTransitGatewayVpcAttachment", &params).await.unwrap();
    let block = vec![("VpcId", one.0.clone()), ("CidrBlock", "10.2.128.0/17".to_owned())];
    let attach = ("CreateTransitGatewayVpcAttachment", s.attaching(&one));
    let both = s.meanwhile("cloud.transit.attach", attach, ("AssociateVpcCidrBlock", block)).await;
    assert_eq!(both.each_ref().map(code), ["", "InvalidVpc.Range"]);
    let report = mallee_app::check::look_once(&s.f.cloud).await.unwrap();
    let overlap = report.findings.iter().find(|finding| finding.problem.contains("overlap"));
    assert!(overlap.is_none(), "{overlap:?}");
}

async fn a_subnet_is_not_deleted_while_it_becomes_one_of_an_attachment(db: TestDb) {
    let s = scene(db).await;
    let one = s.vpc("10.1.0.0/16").await;
    let attach = ("CreateTransitGatewayVpcAttachment", s.attaching(&one));
    let delete = ("DeleteSubnet", vec![("SubnetId", one.1.clone())]);
    let both = s.meanwhile("cloud.transit.attach", attach, delete).await;
    assert_eq!(both.each_ref().map(code), ["", "DependencyViolation"]);
}

async fn a_table_that_goes_becomes_no_default(db: TestDb) {
    let s = scene(db).await;
    let of = [("TransitGatewayId", s.gateway.as_str())];
    let table = s.f.texts("CreateTransitGatewayRouteTable", &of, "transitGatewayRouteTableId").await.remove(0);
    let modify =
        vec![("TransitGatewayId", s.gateway.clone()), ("Options.AssociationDefaultRouteTableId", table.clone())];
    let delete = ("DeleteTransitGatewayRouteTable", vec![("TransitGatewayRouteTableId", table)]);
    let both = s.meanwhile("cloud.transit.modify", ("ModifyTransitGateway", modify), delete).await;
    assert_eq!(both.each_ref().map(code), ["InvalidRouteTableID.NotFound", ""]);
    let now = s.f.texts("DescribeTransitGateways", &[], "associationDefaultRouteTableId").await;
    assert_eq!(now, [s.table.as_str()]);
    // What is named is taken, or refused.
    let disable = [of[0], ("Options.DefaultRouteTableAssociation", "disable")];
    s.f.call("ModifyTransitGateway", &disable).await.unwrap();
    let name = [of[0], ("Options.AssociationDefaultRouteTableId", s.table.as_str())];
    assert_eq!(s.f.error("ModifyTransitGateway", &name).await.0, "InvalidParameterCombination");
}

async fn what_calls_wait_for_has_an_order(db: TestDb) {
    let s = scene(db).await;
    let (one, other) = (s.vpc("10.1.0.0/16").await, s.vpc("10.2.0.0/16").await);
    let params = s.attaching(&other);
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    s.f.call("CreateTransitGatewayVpcAttachment", &params).await.unwrap();
    // One more block of a VPC that is attached asks its gateway, which is held by who attaches another.
    let block = vec![("VpcId", other.0.clone()), ("CidrBlock", "10.3.0.0/16".to_owned())];
    let attach = ("CreateTransitGatewayVpcAttachment", s.attaching(&one));
    let both = s.meanwhile("cloud.transit.attach", attach, ("AssociateVpcCidrBlock", block)).await;
    assert_eq!(both.each_ref().map(code), ["", ""]);
}

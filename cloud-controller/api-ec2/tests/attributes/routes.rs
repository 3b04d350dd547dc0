//! Limits of route tables and routes, however many calls come at once.

use crate::fixture::Fixture;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use std::sync::Arc;

pub async fn allow(f: &Fixture, code: &str, value: u64) {
    let mut tx = f.store.write().await.unwrap();
    let account_id = f.cx.account().clone();
    let row = QuotaSettingRow { account_id, service: "vpc".into(), code: code.into(), value, set_ms: 1 };
    quota_setting_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

/// Sixteen calls at once: how many succeed, and that the others are refused by this code.
pub async fn at_once(
    f: &Arc<Fixture>,
    action: &'static str,
    refused: &str,
    params: impl Fn(u32) -> Vec<(String, String)>,
) -> u32 {
    let calls: Vec<_> = (0..16)
        .map(|n| {
            let (f, params) = (Arc::clone(f), params(n));
            tokio::spawn(async move {
                let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                f.call(action, &params).await
            })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code().as_str(), refused),
        }
    }
    made
}

mallee_store::store_test_suite!(no_limit_is_passed_by_calls_that_come_at_once);

async fn no_limit_is_passed_by_calls_that_come_at_once(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let gateway = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc)]).await.unwrap();
    // The main table counts.
    allow(&f, "L-589F43AA", 4).await;
    let of_vpc = |_| vec![("VpcId".to_owned(), vpc.clone())];
    assert_eq!(at_once(&f, "CreateRouteTable", "RouteTableLimitExceeded", of_vpc).await, 3);
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let tables = f.texts("DescribeRouteTables", &in_vpc, "routeTableId").await;
    let table = tables.last().unwrap();
    allow(&f, "L-93826ACB", 5).await;
    let route = |n| {
        let to = format!("192.0.{n}.0/24");
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", &to), ("GatewayId", &gateway)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(at_once(&f, "CreateRoute", "RouteLimitExceeded", route).await, 5);
}

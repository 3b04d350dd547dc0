//! Network ACLs: what a client sees, and limits, however many calls come at once.

use crate::fixture::Fixture;
use crate::routes::{allow, at_once};
use mallee_store::test_support::TestDb;
use std::sync::Arc;

mallee_store::store_test_suite!(no_limit_is_passed_by_calls_that_come_at_once, a_token_makes_one_acl);

async fn acl_of(f: &Fixture, vpc: &str) -> String {
    let filters = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc),
        ("Filter.2.Name", "default"),
        ("Filter.2.Value.1", "true"),
    ];
    f.texts("DescribeNetworkAcls", &filters, "networkAclId").await.remove(0)
}

async fn no_limit_is_passed_by_calls_that_come_at_once(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    // The default one counts.
    allow(&f, "L-B4A6D682", 4).await;
    let of_vpc = |_| vec![("VpcId".to_owned(), vpc.clone())];
    assert_eq!(at_once(&f, "CreateNetworkAcl", "NetworkAclLimitExceeded", of_vpc).await, 3);
    let acl = acl_of(&f, &vpc).await;
    // The last entry does not, nor do those of the other direction.
    allow(&f, "L-2AEEBF1A", 5).await;
    let entry = |n: u32| {
        let number = (n + 1).to_string();
        [
            ("NetworkAclId", acl.as_str()),
            ("RuleNumber", number.as_str()),
            ("Protocol", "-1"),
            ("RuleAction", "deny"),
            ("Egress", "false"),
            ("CidrBlock", "192.0.2.0/24"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    };
    assert_eq!(at_once(&f, "CreateNetworkAclEntry", "NetworkAclEntryLimitExceeded", entry).await, 4);
    let same = |_| entry(200);
    assert_eq!(at_once(&f, "CreateNetworkAclEntry", "NetworkAclEntryLimitExceeded", same).await, 0);
}

async fn a_token_makes_one_acl(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let once = [("VpcId", vpc.as_str()), ("ClientToken", "one")];
    let first = f.texts("CreateNetworkAcl", &once, "networkAclId").await;
    assert_eq!(f.texts("CreateNetworkAcl", &once, "networkAclId").await, first);
    assert_eq!(f.texts("CreateNetworkAcl", &once, "clientToken").await, ["one"]);
    let other =
        f.texts("DescribeVpcs", &[("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")], "vpcId").await;
    let other = [("VpcId", other[0].as_str()), ("ClientToken", "one")];
    assert_eq!(f.error("CreateNetworkAcl", &other).await.0, "IdempotentParameterMismatch");
    // Nobody else's: neither seen nor changed.
    let seen = f.call_as(&f.other, "DescribeNetworkAcls", &[]).await.unwrap();
    assert!(crate::fixture::texts(&seen, "networkAclId").is_empty());
    let entry = [("RuleNumber", "100"), ("Egress", "true")];
    for (action, more) in [("DeleteNetworkAcl", &[][..]), ("DeleteNetworkAclEntry", &entry)] {
        let parameters = [&[("NetworkAclId", first[0].as_str())], more].concat();
        assert_eq!(f.error_as(&f.other, action, &parameters).await.0, "InvalidNetworkAclID.NotFound");
    }
}

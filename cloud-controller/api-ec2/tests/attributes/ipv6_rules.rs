//! IPv6 in security groups and network ACLs: rules that somebody makes, and those that come with a VPC's first block.

use crate::fixture::{Fixture, texts};
use mallee_app::CloudConfig;
use mallee_app::test_support::config;
use mallee_store::test_support::TestDb;

mallee_store::store_test_suite!(
    what_is_as_it_was_made_lets_ipv6_through_with_the_first_block,
    entries_of_an_acl_are_of_either_family,
    rules_of_groups_are_of_either_family
);

async fn world(db: TestDb) -> Fixture {
    Fixture::with(db, CloudConfig { public_pool_v6: Some("2001:db8::/40".parse().unwrap()), ..config() }).await
}

const IPV6: (&str, &str) = ("AmazonProvidedIpv6CidrBlock", "true");

async fn vpc(f: &Fixture, block: &str, more: &[(&str, &str)]) -> String {
    let parameters = [&[("CidrBlock", block)], more].concat();
    f.texts("CreateVpc", &parameters, "vpcId").await.remove(0)
}

async fn group(f: &Fixture, vpc: &str, name: &str) -> String {
    let new = [("GroupName", name), ("GroupDescription", "d"), ("VpcId", vpc)];
    f.texts("CreateSecurityGroup", &new, "groupId").await.remove(0)
}

/// The blocks of both families that everything may go out to, of one group.
async fn out(f: &Fixture, group: &str) -> (Vec<String>, Vec<String>) {
    let of = [("Filter.1.Name", "group-id"), ("Filter.1.Value.1", group)];
    let rules = f.call("DescribeSecurityGroupRules", &of).await.unwrap();
    (texts(&rules, "cidrIpv4"), texts(&rules, "cidrIpv6"))
}

async fn default_group(f: &Fixture, vpc: &str) -> String {
    let of = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc),
        ("Filter.2.Name", "group-name"),
        ("Filter.2.Value.1", "default"),
    ];
    f.texts("DescribeSecurityGroups", &of, "groupId").await.remove(0)
}

/// The numbers of the entries of the VPC's only ACL, with the IPv6 blocks among them.
async fn entries(f: &Fixture, vpc: &str) -> (Vec<String>, Vec<String>) {
    let acls = f.call("DescribeNetworkAcls", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)]).await.unwrap();
    (texts(&acls, "ruleNumber"), texts(&acls, "ipv6CidrBlock"))
}

async fn what_is_as_it_was_made_lets_ipv6_through_with_the_first_block(db: TestDb) {
    let f = world(db).await;
    let both = || (vec!["0.0.0.0/0".to_owned()], vec!["::/0".to_owned()]);
    let four = || (vec!["0.0.0.0/0".to_owned()], Vec::new());
    // Made with a block.
    let with = vpc(&f, "10.2.0.0/16", &[IPV6]).await;
    assert_eq!(out(&f, &default_group(&f, &with).await).await, both());
    assert_eq!(out(&f, &group(&f, &with, "web").await).await, both());
    let numbers = ["100", "101", "32767", "32768", "100", "101", "32767", "32768"].map(str::to_owned).to_vec();
    assert_eq!(entries(&f, &with).await, (numbers.clone(), vec!["::/0".to_owned(); 4]));
    // Made without, and given one later: what somebody has changed stays as it is.
    let later = vpc(&f, "10.3.0.0/16", &[]).await;
    let (default, plain, changed) =
        (default_group(&f, &later).await, group(&f, &later, "plain").await, group(&f, &later, "changed").await);
    assert_eq!(out(&f, &plain).await, four());
    assert_eq!(entries(&f, &later).await.0, ["100", "32767", "100", "32767"]);
    let more = [
        ("GroupId", changed.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "1"),
        ("IpPermissions.1.ToPort", "1"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
    ];
    f.call("AuthorizeSecurityGroupEgress", &more).await.unwrap();
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", later.as_str())];
    let acl = f.texts("DescribeNetworkAcls", &of_vpc, "networkAclId").await.remove(0);
    let deny = [
        ("NetworkAclId", acl.as_str()),
        ("RuleNumber", "7"),
        ("Protocol", "-1"),
        ("RuleAction", "deny"),
        ("Egress", "false"),
        ("CidrBlock", "10.9.0.0/16"),
    ];
    f.call("CreateNetworkAclEntry", &deny).await.unwrap();
    f.call("AssociateVpcCidrBlock", &[("VpcId", &later), IPV6]).await.unwrap();
    assert_eq!((out(&f, &default).await, out(&f, &plain).await), (both(), both()));
    assert_eq!(out(&f, &changed).await.1, Vec::<String>::new());
    let outward_only = ["100", "101", "32767", "32768", "7", "100", "32767", "32768"].map(str::to_owned).to_vec();
    assert_eq!(entries(&f, &later).await.0, outward_only);
    // A second block changes nothing, nor does it when what came with the first has been taken away.
    let revoke = [
        ("GroupId", plain.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0"),
    ];
    f.call("RevokeSecurityGroupEgress", &revoke).await.unwrap();
    f.call("AssociateVpcCidrBlock", &[("VpcId", &later), IPV6]).await.unwrap();
    assert_eq!((out(&f, &plain).await, out(&f, &default).await), (four(), both()));
    // And all of it goes with the VPC.
    for id in [&plain, &changed] {
        f.call("DeleteSecurityGroup", &[("GroupId", id)]).await.unwrap();
    }
    f.call("DeleteVpc", &[("VpcId", &later)]).await.unwrap();
}

async fn entries_of_an_acl_are_of_either_family(db: TestDb) {
    let f = world(db).await;
    let vpc = vpc(&f, "10.2.0.0/16", &[IPV6]).await;
    let acl = f.texts("CreateNetworkAcl", &[("VpcId", &vpc)], "networkAclId").await.remove(0);
    let entry = |number: &'static str, more: &[(&'static str, &'static str)]| {
        let own = [("RuleNumber", number), ("RuleAction", "allow"), ("Egress", "false")];
        let all = own.into_iter().chain(more.iter().copied());
        all.chain([("NetworkAclId", "")]).map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>()
    };
    let with = |mut entry: Vec<(String, String)>| {
        entry.last_mut().unwrap().1.clone_from(&acl);
        entry
    };
    let call = async |operation: &str, entry: Vec<(String, String)>| {
        let entry = with(entry);
        let entry: Vec<(&str, &str)> = entry.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        f.call(operation, &entry).await.map_err(|error| error.code().as_str())
    };
    let tcp =
        [("Protocol", "6"), ("PortRange.From", "80"), ("PortRange.To", "81"), ("Ipv6CidrBlock", "2001:DB8::7/32")];
    let ping = [("Protocol", "58"), ("Icmp.Type", "128"), ("Icmp.Code", "-1"), ("Ipv6CidrBlock", "::/0")];
    call("CreateNetworkAclEntry", entry("10", &tcp)).await.unwrap();
    call("CreateNetworkAclEntry", entry("20", &ping)).await.unwrap();
    let shown = f.call("DescribeNetworkAcls", &[("NetworkAclId.1", &acl)]).await.unwrap();
    assert_eq!(texts(&shown, "ipv6CidrBlock"), ["::/0", "2001:db8::/32", "::/0", "::/0"]);
    assert_eq!(texts(&shown, "cidrBlock"), ["0.0.0.0/0", "0.0.0.0/0"], "of the last ones");
    assert_eq!((texts(&shown, "type"), texts(&shown, "from")), (vec!["128".to_owned()], vec!["80".to_owned()]));
    for (name, value, number) in
        [("entry.ipv6-cidr", "2001:db8::/32", 1), ("entry.icmp.type", "128", 1), ("entry.ipv6-cidr", "::1/128", 0)]
    {
        let of = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(f.texts("DescribeNetworkAcls", &of, "vpcId").await.len(), number, "{name} {value}");
    }
    // From one family to the other.
    let four = [("Protocol", "58"), ("Icmp.Type", "128"), ("Icmp.Code", "-1"), ("CidrBlock", "10.0.0.0/8")];
    call("ReplaceNetworkAclEntry", entry("20", &four)).await.unwrap();
    let shown = f.call("DescribeNetworkAcls", &[("NetworkAclId.1", &acl)]).await.unwrap();
    assert!(texts(&shown, "cidrBlock").contains(&"10.0.0.0/8".to_owned()) && texts(&shown, "type").is_empty());
    let both = [("Protocol", "-1"), ("CidrBlock", "10.0.0.0/8"), ("Ipv6CidrBlock", "::/0")];
    assert_eq!(call("CreateNetworkAclEntry", entry("30", &both)).await.unwrap_err(), "InvalidParameterCombination");
    for wrong in ["10.0.0.0/8", "::/129", "x"] {
        let entry = entry("30", &[("Protocol", "-1"), ("Ipv6CidrBlock", wrong)]);
        assert_eq!(call("CreateNetworkAclEntry", entry).await.unwrap_err(), "InvalidParameterValue", "{wrong}");
    }
    let untyped = [("Protocol", "58"), ("Ipv6CidrBlock", "::/0")];
    assert_eq!(call("CreateNetworkAclEntry", entry("30", &untyped)).await.unwrap_err(), "MissingParameter");
    let gone = [("NetworkAclId", acl.as_str()), ("RuleNumber", "10"), ("Egress", "false")];
    f.call("DeleteNetworkAclEntry", &gone).await.unwrap();
    assert_eq!(f.error("DeleteNetworkAclEntry", &gone).await.0, "InvalidNetworkAclEntry.NotFound");
    let last = [("NetworkAclId", acl.as_str()), ("RuleNumber", "32768"), ("Egress", "false")];
    assert_eq!(f.error("DeleteNetworkAclEntry", &last).await.0, "InvalidParameterValue");
}

async fn rules_of_groups_are_of_either_family(db: TestDb) {
    let f = world(db).await;
    // In a VPC without a block too, as on AWS: they are about no packet there.
    let vpc = vpc(&f, "10.2.0.0/16", &[]).await;
    let id = group(&f, &vpc, "web").await;
    let rule = |cidr: &'static str| {
        vec![
            ("GroupId", id.clone()),
            ("IpPermissions.1.IpProtocol", "icmpv6".to_owned()),
            ("IpPermissions.1.FromPort", "128".to_owned()),
            ("IpPermissions.1.ToPort", "-1".to_owned()),
            ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", cidr.to_owned()),
            ("IpPermissions.1.Ipv6Ranges.1.Description", "pings".to_owned()),
        ]
    };
    let of = |rule: &Vec<(&'static str, String)>| rule.iter().map(|(k, v)| (*k, v.clone())).collect::<Vec<_>>();
    let call = async |operation: &str, rule: Vec<(&'static str, String)>| {
        let rule: Vec<(&str, &str)> = rule.iter().map(|(k, v)| (*k, v.as_str())).collect();
        f.call(operation, &rule).await.map_err(|error| error.code().as_str())
    };
    let made = call("AuthorizeSecurityGroupIngress", of(&rule("2001:db8::5/48"))).await.unwrap();
    assert_eq!(
        (texts(&made, "cidrIpv6"), texts(&made, "ipProtocol")),
        (vec!["2001:db8::/48".to_owned()], vec!["icmpv6".to_owned()])
    );
    let rule_id = texts(&made, "securityGroupRuleId").remove(0);
    let again = call("AuthorizeSecurityGroupIngress", of(&rule("2001:db8::/48"))).await;
    assert_eq!(again.unwrap_err(), "InvalidPermission.Duplicate");
    assert_eq!(
        call("AuthorizeSecurityGroupIngress", of(&rule("10.0.0.0/8"))).await.unwrap_err(),
        "InvalidParameterValue"
    );
    let by = [("Filter.1.Name", "ip-permission.ipv6-cidr"), ("Filter.1.Value.1", "2001:db8::/48")];
    assert_eq!(f.texts("DescribeSecurityGroups", &by, "groupName").await, ["web"]);
    assert_eq!(f.texts("DescribeSecurityGroups", &by, "description").await, ["pings"]);
    let modify = |block: (&'static str, &'static str)| {
        vec![
            ("GroupId", id.clone()),
            ("SecurityGroupRule.1.SecurityGroupRuleId", rule_id.clone()),
            ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp".to_owned()),
            ("SecurityGroupRule.1.SecurityGroupRule.FromPort", "22".to_owned()),
            ("SecurityGroupRule.1.SecurityGroupRule.ToPort", "22".to_owned()),
            (block.0, block.1.to_owned()),
        ]
    };
    call("ModifySecurityGroupRules", modify(("SecurityGroupRule.1.SecurityGroupRule.CidrIpv6", "::/0"))).await.unwrap();
    let shown = f.call("DescribeSecurityGroupRules", &[("SecurityGroupRuleId.1", &rule_id)]).await.unwrap();
    assert_eq!(
        (texts(&shown, "cidrIpv6"), texts(&shown, "fromPort")),
        (vec!["::/0".to_owned()], vec!["22".to_owned()])
    );
    call("ModifySecurityGroupRules", modify(("SecurityGroupRule.1.SecurityGroupRule.CidrIpv4", "10.0.0.0/8")))
        .await
        .unwrap();
    let shown = f.call("DescribeSecurityGroupRules", &[("SecurityGroupRuleId.1", &rule_id)]).await.unwrap();
    assert_eq!((texts(&shown, "cidrIpv4"), texts(&shown, "cidrIpv6")), (vec!["10.0.0.0/8".to_owned()], Vec::new()));
    assert_eq!(
        call("RevokeSecurityGroupIngress", of(&rule("2001:db8::/48"))).await.unwrap_err(),
        "InvalidPermission.NotFound"
    );
}

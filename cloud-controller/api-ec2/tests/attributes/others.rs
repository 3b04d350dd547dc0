//! Images, types, ids, rules, tags.

use crate::fixture::{Fixture, texts};
use mallee_types::InstanceState;

#[tokio::test(flavor = "multi_thread")]
async fn launch_permissions_decide_who_sees_and_starts_an_image() {
    let f = Fixture::new().await;
    let image = f.image("shared").await;
    let me = ("ImageId", image.as_str());
    let seen =
        async |more: &[(&str, &str)]| texts(&f.call_as(&f.other, "DescribeImages", more).await.unwrap(), "imageId");
    assert!(seen(&[]).await.is_empty());
    let launch = [me, ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    assert_eq!(f.error_as(&f.other, "RunInstances", &launch).await.0, "InvalidAMIID.NotFound");
    assert_eq!(
        f.error_as(&f.other, "ModifyImageAttribute", &[me, ("Description.Value", "x")]).await.0,
        "InvalidAMIID.NotFound"
    );

    f.call("ModifyImageAttribute", &[me, ("LaunchPermission.Add.1.UserId", "000000000002")]).await.unwrap();
    assert_eq!(seen(&[]).await, [image.as_str()]);
    assert_eq!(seen(&[("ExecutableBy.1", "self")]).await, [image.as_str()]);
    assert!(seen(&[("ExecutableBy.1", "all")]).await.is_empty());
    assert!(seen(&[("Owner.1", "self")]).await.is_empty());
    assert_eq!(f.texts("DescribeImages", &[("ExecutableBy.1", "000000000002")], "imageId").await, [image.as_str()]);
    let shown = f.texts("DescribeImageAttribute", &[me, ("Attribute", "launchPermission")], "userId").await;
    assert_eq!(shown, ["000000000002"]);
    assert_eq!(
        f.error_as(&f.other, "DescribeImageAttribute", &[me, ("Attribute", "description")]).await.0,
        "InvalidAMIID.NotFound"
    );
    // It is found now; what is missing is a network of its own.
    assert_ne!(f.error_as(&f.other, "RunInstances", &launch).await.0, "InvalidAMIID.NotFound");
    assert_eq!(f.error_as(&f.other, "DeregisterImage", &[me]).await.0, "InvalidAMIID.NotFound");

    f.call("ResetImageAttribute", &[me, ("Attribute", "launchPermission")]).await.unwrap();
    assert!(seen(&[]).await.is_empty());
    let public = [me, ("OperationType", "add"), ("UserGroup.1", "all")];
    f.call("ModifyImageAttribute", &public).await.unwrap();
    assert_eq!(seen(&[("ExecutableBy.1", "all")]).await, [image.as_str()]);
    let bob = [me, ("LaunchPermission.Add.1.UserId", "bob")];
    assert_eq!(f.error("ModifyImageAttribute", &bob).await.0, "InvalidAMIAttributeItemValue");

    f.call("DisableImage", &[me]).await.unwrap();
    assert!(seen(&[]).await.is_empty());
    assert!(f.texts("DescribeImages", &[], "imageId").await.is_empty());
    assert_eq!(f.texts("DescribeImages", &[("IncludeDisabled", "true")], "imageState").await, ["disabled"]);
    assert_eq!(f.error("RunInstances", &launch).await.0, "InvalidAMIID.Unavailable");
    f.call("EnableImage", &[me]).await.unwrap();
    assert_eq!(f.texts("DescribeImages", &[], "imageState").await, ["available"]);
    assert!(seen(&[]).await.is_empty(), "who it was shared with does not get it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn deprecated_and_protected_images() {
    let f = Fixture::new().await;
    let image = f.image("old").await;
    let me = ("ImageId", image.as_str());
    f.call("ModifyImageAttribute", &[me, ("LaunchPermission.Add.1.Group", "all")]).await.unwrap();
    assert_eq!(
        f.error("EnableImageDeprecation", &[me, ("DeprecateAt", "2001-01-01T00:00:00Z")]).await.0,
        "InvalidParameterValue"
    );
    let at = f.db.clock.now() + std::time::Duration::from_secs(3600);
    let at = format!("{:04}-{:02}-{:02}T{:02}:00:00Z", at.year(), u8::from(at.month()), at.day(), at.hour());
    f.call("EnableImageDeprecation", &[me, ("DeprecateAt", &at)]).await.unwrap();
    let shown = f.texts("DescribeImages", &[], "deprecationTime").await;
    assert_eq!(shown, [at.replace("00Z", "00.000Z")]);
    f.call("DisableImageDeprecation", &[me]).await.unwrap();
    assert!(f.texts("DescribeImages", &[], "deprecationTime").await.is_empty());

    let with = [me, ("WithCooldown", "true")];
    assert_eq!(f.texts("EnableImageDeregistrationProtection", &with, "return").await, ["enabled-with-cooldown"]);
    assert_eq!(f.error("DeregisterImage", &[me]).await.0, "OperationNotPermitted");
    let off = f.texts("DisableImageDeregistrationProtection", &[me], "return").await.remove(0);
    assert!(off.starts_with("disabled until "), "{off}");
    assert_eq!(f.error("DeregisterImage", &[me]).await.0, "OperationNotPermitted", "the cooldown runs");
    f.call("EnableImageDeregistrationProtection", &[me]).await.unwrap();
    assert_eq!(f.texts("DisableImageDeregistrationProtection", &[me], "return").await, ["disabled"]);
    assert_eq!(f.texts("DeregisterImage", &[me], "return").await, ["true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bandwidth_is_limited_where_the_cloud_was_told_to() {
    let f = Fixture::new().await;
    let nano = [("InstanceType.1", "t3.nano")];
    let shown = async || f.call("DescribeInstanceTypes", &nano).await.unwrap();
    let id = f.instance(1, InstanceState::Stopped).await;
    let resize = async |name: &str| {
        f.call("ModifyInstanceAttribute", &[("InstanceId", id.as_str()), ("InstanceType.Value", name)]).await.unwrap();
        f.row(&id).await.doc.bandwidth_kbps
    };
    assert!(texts(&shown().await, "networkPerformance").is_empty(), "nothing limits it, so nothing is said");
    assert_eq!(resize("t3.nano").await, 0);
    f.cloud.limit_network();
    let reply = shown().await;
    assert_eq!(texts(&reply, "networkPerformance"), ["0.032 Gigabit", "0.032 Gigabit"]);
    assert_eq!(texts(&reply, "baselineBandwidthInGbps"), ["0.032"]);
    assert_eq!(texts(&reply, "peakBandwidthInGbps"), ["0.032"]);
    assert_eq!([resize("m5.large").await, resize("t2.micro").await], [750_000, 0], "AWS has no figure for the last");
    // Back to the built-in figures is back to no row, with limits too.
    f.call("ModifyInstanceTypeAttribute", &[("Name", "t3.nano"), ("Cpu", "1")]).await.unwrap();
    assert_eq!(texts(&shown().await, "baselineBandwidthInGbps"), ["0.032"]);
    f.call("ModifyInstanceTypeAttribute", &[("Name", "t3.nano"), ("Reset", "true")]).await.unwrap();
    assert_eq!(texts(&shown().await, "defaultVCpus"), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_as_the_administrator_sets_them() {
    let f = Fixture::new().await;
    let change = [("Name", "t3.nano"), ("Cpu", "1"), ("Memory", "256"), ("Disk", "4")];
    assert_eq!(f.error_as(&f.other, "ModifyInstanceTypeAttribute", &change).await.0, "UnauthorizedOperation");
    let reply = f.call("ModifyInstanceTypeAttribute", &change).await.unwrap();
    assert_eq!(texts(&reply, "memory"), ["512", "256"]);
    let shown = f.call_as(&f.other, "DescribeInstanceTypes", &[("InstanceType.1", "t3.nano")]).await.unwrap();
    assert_eq!((texts(&shown, "defaultVCpus"), texts(&shown, "sizeInMiB")), (vec!["1".into()], vec!["256".into()]));
    let id = f.instance(1, InstanceState::Stopped).await;
    let resize = [("InstanceId", id.as_str()), ("InstanceType.Value", "t3.nano")];
    f.call("ModifyInstanceAttribute", &resize).await.unwrap();
    assert_eq!(f.row(&id).await.doc.memory_mib, 256);
    let reset = f.texts("ModifyInstanceTypeAttribute", &[("Name", "t3.nano"), ("Reset", "true")], "memory").await;
    assert_eq!(reset, ["256", "512"]);
    for bad in [("Cpu", "0"), ("Memory", "x"), ("Colour", "red")] {
        f.error("ModifyInstanceTypeAttribute", &[("Name", "t3.nano"), bad]).await;
    }
    assert_eq!(f.error("ModifyInstanceTypeAttribute", &[("Name", "x9.big")]).await.0, "InvalidParameterValue");
    // No node has joined: nothing fits anywhere, and only the administrator is told.
    let capacity = f.texts("DescribeInstanceTypeCapacity", &[("InstanceType", "t3.nano")], "available").await;
    assert_eq!(capacity, ["0"]);
    assert_eq!(f.error_as(&f.other, "DescribeInstanceTypeCapacity", &[]).await.0, "UnauthorizedOperation");
    let wanted = [
        ("ArchitectureType.1", "x86_64"),
        ("VirtualizationType.1", "hvm"),
        ("InstanceRequirements.VCpuCount.Min", "36"),
        ("InstanceRequirements.MemoryMiB.Min", "1024"),
    ];
    let found = f.texts("GetInstanceTypesFromInstanceRequirements", &wanted, "instanceType").await;
    assert_eq!(found, ["c5.9xlarge", "m5.12xlarge", "m5.16xlarge"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_long_and_stay_so() {
    let f = Fixture::new().await;
    assert_eq!(f.texts("DescribeIdFormat", &[("Resource", "instance")], "useLongIds").await, ["true"]);
    assert!(f.texts("DescribeIdFormat", &[], "resource").await.len() > 25);
    assert_eq!(f.error("DescribeIdFormat", &[("Resource", "teapot")]).await.0, "InvalidParameterValue");
    assert_eq!(f.texts("DescribeAggregateIdFormat", &[], "useLongIdsAggregated").await, ["true"]);
    assert!(f.texts("DescribePrincipalIdFormat", &[], "arn").await.is_empty());
    let root = format!("arn:aws:iam::{}:root", f.cx.account());
    let of = [("PrincipalArn", root.as_str()), ("Resource", "volume")];
    assert_eq!(f.texts("DescribeIdentityIdFormat", &of, "useLongIds").await, ["true"]);
    assert_eq!(f.error_as(&f.other, "DescribeIdentityIdFormat", &of).await.0, "InvalidParameterValue");
    assert_eq!(
        f.texts("ModifyIdFormat", &[("Resource", "all-current"), ("UseLongIds", "true")], "return").await,
        ["true"]
    );
    assert_eq!(
        f.error("ModifyIdFormat", &[("Resource", "instance"), ("UseLongIds", "false")]).await.0,
        "InvalidParameterValue"
    );
    let identity = [of[0], of[1], ("UseLongIds", "true")];
    assert_eq!(f.texts("ModifyIdentityIdFormat", &identity, "return").await, ["true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_described_and_modified_in_place() {
    let f = Fixture::new().await;
    let new = [("GroupName", "web"), ("GroupDescription", "of tests")];
    let id = f.texts("CreateSecurityGroup", &new, "groupId").await.remove(0);
    let group = ("GroupId", id.as_str());
    let ssh = [
        group,
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "22"),
        ("IpPermissions.1.ToPort", "22"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
    ];
    let tags = |key: &'static str| {
        let mut all = ssh.to_vec();
        all.extend([
            ("TagSpecification.1.ResourceType", "security-group-rule"),
            ("TagSpecification.1.Tag.1.Key", key),
            ("TagSpecification.1.Tag.1.Value", "x"),
        ]);
        all
    };
    // A tag that cannot be leaves no rule behind.
    assert_eq!(f.error("AuthorizeSecurityGroupIngress", &tags("aws:x")).await.0, "InvalidParameterValue");
    let reply = f.call("AuthorizeSecurityGroupIngress", &tags("Env")).await.unwrap();
    assert_eq!(texts(&reply, "key"), ["Env"]);
    let rule = texts(&reply, "securityGroupRuleId").remove(0);
    let mut described = ssh.to_vec();
    described.push(("IpPermissions.1.IpRanges.1.Description", "office"));
    f.call("UpdateSecurityGroupRuleDescriptionsIngress", &described).await.unwrap();
    let me = [("SecurityGroupRuleId.1", rule.as_str())];
    assert_eq!(f.texts("DescribeSecurityGroupRules", &me, "description").await, ["office"]);
    let by_id = [
        group,
        ("SecurityGroupRuleDescription.1.SecurityGroupRuleId", rule.as_str()),
        ("SecurityGroupRuleDescription.1.Description", "home"),
    ];
    f.call("UpdateSecurityGroupRuleDescriptionsIngress", &by_id).await.unwrap();
    assert_eq!(f.texts("DescribeSecurityGroupRules", &me, "description").await, ["home"]);
    let egress = f.error("UpdateSecurityGroupRuleDescriptionsEgress", &by_id).await;
    assert_eq!(egress.0, "InvalidSecurityGroupRuleId.NotFound");
    let modified = [
        group,
        ("SecurityGroupRule.1.SecurityGroupRuleId", rule.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp"),
        ("SecurityGroupRule.1.SecurityGroupRule.FromPort", "443"),
        ("SecurityGroupRule.1.SecurityGroupRule.ToPort", "443"),
        ("SecurityGroupRule.1.SecurityGroupRule.CidrIpv4", "10.1.0.0/16"),
    ];
    assert_eq!(f.texts("ModifySecurityGroupRules", &modified, "return").await, ["true"]);
    let shown = f.call("DescribeSecurityGroupRules", &me).await.unwrap();
    assert_eq!(
        (texts(&shown, "fromPort"), texts(&shown, "cidrIpv4")),
        (vec!["443".into()], vec!["10.1.0.0/16".into()])
    );
    assert_eq!(texts(&shown, "key"), ["Env"], "its tags stay");
    assert_eq!(f.error("ModifySecurityGroupRules", &[group]).await.0, "MissingParameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn tag_rules() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Running).await;
    let me = ("ResourceId.1", id.as_str());
    for (key, value, code) in [
        ("", "x", "InvalidParameterValue"),
        ("aws:x", "x", "InvalidParameterValue"),
        (&"k".repeat(129) as &str, "x", "InvalidParameterValue"),
        ("k", &"v".repeat(257) as &str, "InvalidParameterValue"),
    ] {
        assert_eq!(f.error("CreateTags", &[me, ("Tag.1.Key", key), ("Tag.1.Value", value)]).await.0, code);
    }
    for n in 0..50 {
        f.call("CreateTags", &[me, ("Tag.1.Key", &format!("k{n}")), ("Tag.1.Value", "")]).await.unwrap();
    }
    assert_eq!(
        f.error("CreateTags", &[me, ("Tag.1.Key", "one more"), ("Tag.1.Value", "")]).await.0,
        "TagLimitExceeded"
    );
    f.call("CreateTags", &[me, ("Tag.1.Key", "k0"), ("Tag.1.Value", "changed")]).await.unwrap();
    assert_eq!(f.error("DeleteTags", &[me, ("Tag.1.Key", "aws:x")]).await.0, "InvalidParameterValue");
}

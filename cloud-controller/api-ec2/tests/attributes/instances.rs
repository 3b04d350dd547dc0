//! Instances.

use crate::fixture::{Fixture, texts};
use mallee_runtime::FaultAction;
use mallee_store::{changes_since, instance_user_data};
use mallee_types::{Generation, ImageId, InstanceState};

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_changed_one_by_one() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Running).await;
    let me = ("InstanceId", id.as_str());
    for (name, value, of) in [
        ("DisableApiTermination.Value", "true", "disableApiTermination"),
        ("DisableApiStop.Value", "true", "disableApiStop"),
        ("InstanceInitiatedShutdownBehavior.Value", "terminate", "instanceInitiatedShutdownBehavior"),
        ("SourceDestCheck.Value", "false", "sourceDestCheck"),
    ] {
        assert_eq!(f.texts("ModifyInstanceAttribute", &[me, (name, value)], "return").await, ["true"]);
        let shown = f.call("DescribeInstanceAttribute", &[me, ("Attribute", of)]).await.unwrap();
        assert_eq!(texts(&shown, "value"), [value], "{of}");
    }
    let generation = f.row(&id).await.generation;
    assert_eq!(generation, Generation(2), "only what the node must hear of is told it");
    assert_eq!(
        f.error("TerminateInstances", &[("InstanceId.1", id.as_str())]).await,
        (
            "OperationNotPermitted",
            format!(
                "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
            )
        )
    );
    assert_eq!(f.error("StopInstances", &[("InstanceId.1", id.as_str())]).await.0, "OperationNotPermitted");
    // What needs a stopped instance says so, in EC2's words.
    let stopped_only = format!("The instance '{id}' is not in the 'stopped' state.");
    for change in [("InstanceType.Value", "t3.micro"), ("UserData.Value", "YQ=="), ("EbsOptimized.Value", "true")] {
        let got = f.error("ModifyInstanceAttribute", &[me, change]).await;
        assert_eq!(got, ("IncorrectInstanceState", stopped_only.clone()));
    }
    assert_eq!(f.texts("ResetInstanceAttribute", &[me, ("Attribute", "sourceDestCheck")], "return").await, ["true"]);
    let shown = [me, ("Attribute", "sourceDestCheck")];
    assert_eq!(f.texts("DescribeInstanceAttribute", &shown, "value").await, ["true"]);
    assert_eq!(f.error("ResetInstanceAttribute", &[me, ("Attribute", "kernel")]).await.0, "Unsupported");
    let dry = [me, ("DisableApiStop.Value", "false"), ("DryRun", "true")];
    assert_eq!(f.error("ModifyInstanceAttribute", &dry).await.0, "DryRunOperation");
    let of_other = f.error_as(&f.other, "ModifyInstanceAttribute", &[me, ("DisableApiStop.Value", "false")]).await;
    assert_eq!(of_other, ("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist")));
    assert!(f.row(&id).await.doc.disable_api_stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_is_resized_and_given_other_user_data() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Stopped).await;
    let me = ("InstanceId", id.as_str());
    assert_eq!(
        f.error("ModifyInstanceAttribute", &[me, ("InstanceType.Value", "t3.huge")]).await.0,
        "InvalidParameterValue"
    );
    f.call("ModifyInstanceAttribute", &[me, ("InstanceType.Value", "m5.xlarge")]).await.unwrap();
    let row = f.row(&id).await;
    assert_eq!((row.instance_type.as_str(), row.doc.vcpus, row.doc.memory_mib), ("m5.xlarge", 4, 16384));
    assert_eq!(row.generation, Generation(2), "the node hears of it");
    f.call("ModifyInstanceAttribute", &[me, ("Attribute", "userData"), ("Value", "aGVsbG8=")]).await.unwrap();
    assert_eq!(instance_user_data(&f.store, &id).await.unwrap().as_deref(), Some(b"hello".as_slice()));
    f.call("ModifyInstanceAttribute", &[me, ("UserData.Value", "")]).await.unwrap();
    assert_eq!(instance_user_data(&f.store, &id).await.unwrap(), None);
    let changes = changes_since(&f.store, 0, 500).await.unwrap();
    assert!(changes.iter().filter(|change| change.id == id.as_str()).count() >= 3, "each is pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_leaves_nothing() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Stopped).await;
    let change = [("InstanceId", id.as_str()), ("InstanceType.Value", "m5.xlarge")];
    for point in ["cloud.modify", "cloud.modify.before-commit"] {
        f.faults.arm(point, FaultAction::Fail, 1);
        assert_eq!(f.error("ModifyInstanceAttribute", &change).await.0, "InternalError", "{point}");
        assert_eq!(f.row(&id).await.instance_type, "t3.nano", "{point}");
    }
    f.faults.arm("cloud.modify.committed", FaultAction::Fail, 1);
    assert_eq!(f.error("ModifyInstanceAttribute", &change).await.0, "InternalError");
    assert_eq!(f.row(&id).await.instance_type, "m5.xlarge", "the reply was lost, not the change");
}

#[tokio::test(flavor = "multi_thread")]
async fn security_groups_of_an_instance() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Running).await;
    let new = [("GroupName", "web"), ("GroupDescription", "of tests")];
    let web = f.texts("CreateSecurityGroup", &new, "groupId").await.remove(0);
    let me = ("InstanceId", id.as_str());
    f.call("ModifyInstanceAttribute", &[me, ("GroupId.1", &web)]).await.unwrap();
    assert_eq!(f.texts("DescribeInstanceAttribute", &[me, ("Attribute", "groupSet")], "groupName").await, ["web"]);
    assert_eq!(f.row(&id).await.generation, Generation(2), "its ports are compiled anew");
    assert_eq!(f.error("DeleteSecurityGroup", &[("GroupId", &web)]).await.0, "DependencyViolation");
    let nowhere = [me, ("GroupId.1", "sg-12345678")];
    assert_eq!(f.error("ModifyInstanceAttribute", &nowhere).await.0, "InvalidGroup.NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_options_and_their_defaults() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Running).await;
    let me = ("InstanceId", id.as_str());
    let change =
        [me, ("HttpTokens", "required"), ("HttpPutResponseHopLimit", "3"), ("InstanceMetadataTags", "enabled")];
    let reply = f.call("ModifyInstanceMetadataOptions", &change).await.unwrap();
    assert_eq!(texts(&reply, "state"), ["pending"], "its node has not heard of it");
    assert_eq!(texts(&reply, "httpTokens"), ["required"]);
    assert_eq!(f.texts("DescribeInstances", &[("InstanceId.1", id.as_str())], "httpPutResponseHopLimit").await, ["3"]);
    assert_eq!(
        f.error("ModifyInstanceMetadataOptions", &[me, ("HttpTokens", "maybe")]).await.0,
        "InvalidParameterValue"
    );
    let generation = f.row(&id).await.generation;
    f.call("CreateTags", &[("ResourceId.1", id.as_str()), ("Tag.1.Key", "a"), ("Tag.1.Value", "b")]).await.unwrap();
    assert!(f.row(&id).await.generation > generation, "tags are in the metadata: the node hears of a new one");

    f.call("ModifyInstanceMetadataDefaults", &[("HttpTokens", "optional"), ("HttpPutResponseHopLimit", "5")])
        .await
        .unwrap();
    let shown = f.call("GetInstanceMetadataDefaults", &[]).await.unwrap();
    assert_eq!(
        (texts(&shown, "httpTokens"), texts(&shown, "httpPutResponseHopLimit")),
        (vec!["optional".into()], vec!["5".into()])
    );
    assert!(texts(&f.call_as(&f.other, "GetInstanceMetadataDefaults", &[]).await.unwrap(), "httpTokens").is_empty());
    let forget = [("HttpTokens", "no-preference"), ("HttpPutResponseHopLimit", "-1")];
    f.call("ModifyInstanceMetadataDefaults", &forget).await.unwrap();
    assert!(f.texts("GetInstanceMetadataDefaults", &[], "httpTokens").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_credits_and_settings_that_are_fixed() {
    let f = Fixture::new().await;
    let id = f.instance(1, InstanceState::Stopped).await;
    let one = ("InstanceId.1", id.as_str());
    let me = ("InstanceId", id.as_str());
    assert_eq!(f.texts("MonitorInstances", &[one], "state").await, ["enabled"]);
    assert_eq!(f.texts("UnmonitorInstances", &[one], "state").await, ["disabled"]);
    assert_eq!(f.texts("DescribeInstanceCreditSpecifications", &[one], "cpuCredits").await, ["unlimited"]);
    let credits = |value: &'static str| {
        vec![
            ("InstanceCreditSpecification.1.InstanceId", id.to_string()),
            ("InstanceCreditSpecification.1.CpuCredits", value.to_owned()),
        ]
    };
    for value in ["unlimited", "standard"] {
        let wanted = credits(value);
        let wanted: Vec<(&str, &str)> = wanted.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert!(f.texts("ModifyInstanceCreditSpecification", &wanted, "code").await.is_empty());
        assert_eq!(f.texts("DescribeInstanceCreditSpecifications", &[one], "cpuCredits").await, [value]);
    }
    let nobody = [
        ("InstanceCreditSpecification.1.InstanceId", "i-00000000000000009"),
        ("InstanceCreditSpecification.1.CpuCredits", "standard"),
    ];
    let codes = f.texts("ModifyInstanceCreditSpecification", &nobody, "code").await;
    assert_eq!(codes, ["InvalidInstanceID.NotFound"]);
    assert_eq!(f.texts("ModifyInstancePlacement", &[me, ("Tenancy", "default")], "return").await, ["true"]);
    assert_eq!(f.error("ModifyInstancePlacement", &[me, ("Tenancy", "dedicated")]).await.0, "Unsupported");
    assert_eq!(f.error("ModifyInstanceMaintenanceOptions", &[me, ("AutoRecovery", "disabled")]).await.0, "Unsupported");
    let cpus = [me, ("CoreCount", "2"), ("ThreadsPerCore", "1")];
    assert_eq!(f.texts("ModifyInstanceCpuOptions", &cpus, "coreCount").await, ["2"]);
    assert_eq!(f.error("ModifyInstanceCpuOptions", &[me, ("CoreCount", "1")]).await.0, "Unsupported");
    assert_eq!(f.error("GetInstanceUefiData", &[me]).await.0, "UnsupportedOperation");
    assert_eq!(f.error("GetConsoleScreenshot", &[me]).await.0, "IncorrectInstanceState");
    assert_eq!(f.error("SendDiagnosticInterrupt", &[me]).await.0, "IncorrectInstanceState");
    let report = [one, ("Status", "impaired"), ("ReasonCode.1", "unresponsive")];
    assert_eq!(f.texts("ReportInstanceStatus", &report, "return").await, ["true"]);
    assert_eq!(f.error("ReportInstanceStatus", &[one, ("Status", "sad"), report[2]]).await.0, "InvalidParameterValue");
    assert_eq!(
        f.texts("DescribeInstanceImageMetadata", &[one], "imageId").await,
        [ImageId::from_random(1).to_string()]
    );
}

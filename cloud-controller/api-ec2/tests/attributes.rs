//! Attributes of instances, images and types, ids, rules of groups: what a client sees, as XML, with two accounts where
//! permissions matter.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

use async_trait::async_trait;
use mallee_api_ec2::Ec2Api;
use mallee_app::cluster_link::ClusterConnector;
use mallee_app::images::ImageService;
use mallee_app::{Actor, Cloud, CloudConfig, OpContext, Parts};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Params};
use mallee_proto::v1::ImportImageReply;
use mallee_proto::{Kind, WireError};
use mallee_runtime::{FaultAction, Faults};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tonic::transport::Channel;

#[derive(Debug)]
struct Alone;

#[async_trait]
impl ClusterConnector for Alone {
    async fn connect(&self, zone: &ZoneName) -> Result<Channel, WireError> {
        Err(WireError::new(Kind::Unavailable, format!("zone {zone} has no cluster controller in this test")))
    }
}

#[async_trait]
impl ImageService for Alone {
    async fn import(&self, _: &AccountId, _: &str, _: &str, _: &ImageId) -> Result<ImportImageReply, WireError> {
        Err(WireError::new(Kind::Unavailable, "no image service in this test"))
    }

    async fn release(&self, _: &str, _: &ImageId) -> Result<(), WireError> {
        Ok(())
    }
}

struct Fixture {
    api: Ec2Api,
    cx: OpContext,
    /// Of another account, which administers nothing.
    other: OpContext,
    store: Store,
    faults: Faults,
    db: TestDb,
}

fn actor(account: AccountId, is_admin: bool) -> Actor {
    Actor { arn: format!("arn:aws:iam::{account}:user/u").into(), account, user_id: "AIDATEST".into(), is_admin }
}

impl Fixture {
    async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let config = CloudConfig {
            region: "eu-1".into(),
            endpoint: "http://127.0.0.1:8773".into(),
            replica: "test".into(),
            zones: vec!["zone-a".parse().unwrap()],
            public_pool: "203.0.113.0/24".parse().unwrap(),
            host_source: None,
            terminated_visible_seconds: 3600,
        };
        let faults = Faults::recording();
        let parts = Parts {
            store: store.clone(),
            clock: db.clock.clone(),
            rng: db.rng.clone(),
            faults: faults.clone(),
            connector: Arc::new(Alone),
            images: Arc::new(Alone),
        };
        let cloud = Cloud::new(config, parts);
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let cx = OpContext::new(actor(access.account, true), "req-1");
        let other = OpContext::new(actor("000000000002".parse().unwrap(), false), "req-1");
        Self { api: Ec2Api::new(cloud), cx, other, store, faults, db }
    }

    async fn call_as(&self, cx: &OpContext, action: &str, parameters: &[(&str, &str)]) -> Result<Element, ApiError> {
        let common = [("Action", action), ("Version", "2016-11-15")];
        let params = Params::from_pairs(common.into_iter().chain(parameters.iter().copied())).unwrap();
        let xml = self.api.call(cx, action, &params).await?;
        Ok(Element::parse(xml.as_bytes(), XmlLimits::bytes(1 << 20)).unwrap())
    }

    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, ApiError> {
        self.call_as(&self.cx, action, parameters).await
    }

    async fn texts(&self, action: &str, parameters: &[(&str, &str)], element: &str) -> Vec<String> {
        texts(&self.call(action, parameters).await.unwrap(), element)
    }

    async fn error_as(&self, cx: &OpContext, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        let error = self.call_as(cx, action, parameters).await.unwrap_err();
        (error.code().as_str(), error.message().to_owned())
    }

    async fn error(&self, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        self.error_as(&self.cx, action, parameters).await
    }

    /// An instance as a launch and its node leave it.
    async fn instance(&self, n: u128, state: InstanceState) -> InstanceId {
        let account = self.cx.account();
        let subnet = subnet_list(&self.store, account, None, None, None, 1).await.unwrap().remove(0);
        let group = security_group_list(&self.store, account, Default::default(), 1).await.unwrap().remove(0);
        let mut tx = self.store.write().await.unwrap();
        let row = InstanceRow {
            id: InstanceId::from_random(n),
            account_id: account.clone(),
            reservation_id: ReservationId::from_random(n),
            launch_index: 0,
            zone: subnet.zone.clone(),
            node_id: None,
            instance_type: "t3.nano".into(),
            image_id: ImageId::from_random(1),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            key_name: None,
            intent: if state == InstanceState::Stopped { RunIntent::Stop } else { RunIntent::Run },
            generation: Generation(1),
            incarnation: Incarnation(1),
            reboot_seq: 0,
            observed_phase: DomainPhase::Running,
            observed_generation: Generation(1),
            observed_incarnation: Incarnation(1),
            observed_network: true,
            observed_reboot_seq: 0,
            state,
            state_reason_code: None,
            state_reason_message: None,
            transition_reason: String::new(),
            released: false,
            launch_ms: 1_700_000_000_000,
            state_changed_ms: 1_700_000_000_000,
            terminated_ms: None,
            client_token: None,
            doc: InstanceDoc { vcpus: 2, memory_mib: 512, tenancy: "default".into(), ..Default::default() },
        };
        instance_insert(&mut tx, &row, Some(b"#!/bin/sh")).await.unwrap();
        let address = u32::from(subnet.cidr.network()) + u32::try_from(n).unwrap() + 10;
        let interface = InterfaceRow {
            id: InterfaceId::from_random(n),
            account_id: account.clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            zone: subnet.zone.clone(),
            mac: MacAddress::from_random(u64::try_from(n).unwrap()),
            private_ip: Ipv4Addr::from(address),
            instance_id: Some(row.id.clone()),
            attachment_id: Some(AttachmentId::from_random(n)),
            device_index: Some(0),
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: 1_700_000_000_000,
        };
        interface_insert(&mut tx, &interface, std::slice::from_ref(&group.id)).await.unwrap();
        tx.commit().await.unwrap();
        row.id
    }

    async fn row(&self, id: &InstanceId) -> InstanceRow {
        instance_fetch(&self.store, id).await.unwrap()
    }

    /// An image that can be started.
    async fn image(&self, name: &str) -> String {
        let new = [("Name", name), ("ImageLocation", "images/x")];
        let id: ImageId = self.texts("RegisterImage", &new, "imageId").await.remove(0).parse().unwrap();
        let mut tx = self.store.write().await.unwrap();
        let row = image_fetch(&mut tx, &id).await.unwrap();
        image_update(&mut tx, ImageState::Pending, &ImageRow { state: ImageState::Available, ..row }).await.unwrap();
        tx.commit().await.unwrap();
        id.to_string()
    }
}

fn texts(element: &Element, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for child in &element.children {
        if child.name == name && child.children.is_empty() {
            out.push(child.text.clone());
        }
        out.extend(texts(child, name));
    }
    out
}

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
    assert_eq!(f.texts("DescribeInstanceCreditSpecifications", &[one], "cpuCredits").await, ["standard"]);
    let credits = |value: &'static str| {
        vec![
            ("InstanceCreditSpecification.1.InstanceId", id.to_string()),
            ("InstanceCreditSpecification.1.CpuCredits", value.to_owned()),
        ]
    };
    for (value, code) in [("standard", None), ("unlimited", Some("InstanceCreditSpecification.NotSupported"))] {
        let wanted = credits(value);
        let wanted: Vec<(&str, &str)> = wanted.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let codes = f.texts("ModifyInstanceCreditSpecification", &wanted, "code").await;
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>());
    }
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

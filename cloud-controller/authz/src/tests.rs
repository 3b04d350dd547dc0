use super::*;
use mallee_awswire::{OperationMeta, Params};
use std::collections::BTreeSet;

const SERVICES: [(Service, &[OperationMeta]); 3] = [
    (Service::Ec2, mallee_ec2_types::ec2::OPERATIONS),
    (Service::Iam, mallee_ec2_types::iam::OPERATIONS),
    (Service::Sts, mallee_ec2_types::sts::OPERATIONS),
];

fn rows(service: Service) -> Vec<&'static Row> {
    match service {
        Service::Ec2 => ec2::TABLES.iter().copied().flatten().collect(),
        Service::Iam => iam::TABLES.iter().copied().flatten().collect(),
        Service::Sts => sts::ROWS.iter().collect(),
        Service::S3 => Vec::new(),
    }
}

#[test]
fn every_generated_operation_has_exactly_one_row() {
    for (service, operations) in SERVICES {
        let names: Vec<&str> = rows(service).iter().map(|row| row.operation).collect();
        let set: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), set.len(), "{service:?}: a row stands twice");
        let generated: BTreeSet<&str> = operations.iter().map(|op| op.name).collect();
        let missing: Vec<_> = generated.difference(&set).collect();
        assert!(missing.is_empty(), "{service:?} without a row: {missing:?}");
        let strays: Vec<_> = set.difference(&generated).collect();
        assert!(strays.is_empty(), "{service:?}: rows of no operation: {strays:?}");
    }
}

/// The parameters that a row reads.
fn paths(row: &Row) -> Vec<&'static str> {
    let mut found = Vec::new();
    for need in row.needs {
        match need.source {
            Source::New => {}
            Source::At(path)
            | Source::AnyKind(path)
            | Source::Own(path)
            | Source::RoleOf(path)
            | Source::Linked(path) => found.push(path),
            Source::Or(path, others) => {
                found.push(path);
                found.extend(others);
            }
            Source::Named(path, name) => {
                found.extend(path);
                found.push(name);
            }
        }
        found.extend(need.keys.iter().filter_map(|key| match key.from {
            From::Param(path) | From::ParamOr(path, _) => Some(path),
            From::Is(_) => None,
        }));
    }
    found.retain(|path| !path.is_empty());
    found
}

#[test]
fn rows_read_parameters_that_their_operations_have() {
    for (service, operations) in SERVICES {
        for row in rows(service) {
            let meta = operations.iter().find(|op| op.name == row.operation).unwrap();
            for path in paths(row) {
                let first = path.split('.').next().unwrap();
                assert!(meta.members.contains(&first), "{}: no parameter {path}", row.operation);
            }
        }
    }
}

/// Whole paths, not only their first part: a request with just this parameter is read by the operation's parser, or is
/// refused for want of another.
#[test]
fn the_parsers_know_every_path() {
    for (service, _) in SERVICES {
        for row in rows(service) {
            for path in paths(row) {
                let name = path.replace('*', "1");
                let params = Params::from_pairs([("Action", row.operation), (name.as_str(), "1")]).unwrap();
                let outcome = match service {
                    Service::Ec2 => mallee_ec2_types::ec2::Ec2Request::parse(row.operation, &params).map(drop),
                    Service::Iam => mallee_ec2_types::iam::IamRequest::parse(row.operation, &params).map(drop),
                    _ => mallee_ec2_types::sts::StsRequest::parse(row.operation, &params).map(drop),
                };
                if let Err(error) = outcome {
                    assert_ne!(error.code().as_str(), "UnknownParameter", "{} {path}: {error}", row.operation);
                }
                assert!(!path::values(&params, path).is_empty(), "{} {path} is not found", row.operation);
            }
        }
    }
}

/// Every operation with an id or name of a resource among its required parameters asks about a resource.
#[test]
fn required_ids_are_asked_about() {
    const EXEMPT: &[&str] = &[
        "CancelBundleTask",
        "CancelConversionTask",
        "GetAccessKeyInfo",
        "GetServiceLinkedRoleDeletionStatus",
        "DescribeSecurityGroupReferences",
        "DescribeStaleSecurityGroups",
    ];
    for (service, operations) in SERVICES {
        for meta in operations.iter().filter(|op| !EXEMPT.contains(&op.name)) {
            let row = row(service, meta.name).unwrap();
            let ids = [
                "InstanceId",
                "VpcId",
                "SubnetId",
                "ImageId",
                "VolumeId",
                "NetworkInterfaceId",
                "GroupId",
                "UserName",
                "RoleName",
                "GroupName",
                "PolicyArn",
                "InstanceProfileName",
                "AccessKeyId",
                "SnapshotId",
            ];
            if row.mode == Mode::Policy && meta.required.iter().any(|m| ids.contains(m)) {
                assert!(!row.needs.is_empty(), "{} asks about no resource", meta.name);
            }
        }
    }
}

fn asked<'a>(service: Service, params: &'a Params) -> Vec<(String, Target<'a>)> {
    let row = row(service, params.action().unwrap()).unwrap();
    plan(service, row, params).questions.into_iter().map(|q| (q.action, q.target)).collect()
}

#[test]
fn a_launch_asks_about_everything_it_uses_and_makes() {
    let params = Params::from_pairs([
        ("Action", "RunInstances"),
        ("ImageId", "ami-1"),
        ("InstanceType", "m1.small"),
        ("KeyName", "k"),
        ("SecurityGroupId.1", "sg-1"),
        ("SecurityGroupId.2", "sg-1"),
        ("IamInstanceProfile.Name", "p"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "team"),
        ("TagSpecification.1.Tag.1.Value", "red"),
    ])
    .unwrap();
    let row = row(Service::Ec2, "RunInstances").unwrap();
    let plan = plan(Service::Ec2, row, &params);
    let questions: Vec<(&str, Target<'_>)> = plan.questions.iter().map(|q| (q.action.as_str(), q.target)).collect();
    let run = "ec2:RunInstances";
    assert_eq!(
        questions,
        [
            (run, Target::Existing(kind::IMAGE, "ami-1")),
            (run, Target::Any(kind::INSTANCE)),
            (run, Target::Any(kind::SUBNET)),
            (run, Target::Existing(kind::GROUP, "sg-1")),
            (run, Target::Any(kind::INTERFACE)),
            (run, Target::Any(kind::VOLUME)),
            (run, Target::Existing(kind::KEY_PAIR, "k")),
            ("iam:PassRole", Target::RoleOf("p")),
            ("ec2:CreateTags", Target::Any(kind::INSTANCE)),
        ]
    );
    let keys = |at: usize| -> Vec<(&str, Vec<&str>)> {
        let keys = &plan.questions[at].keys;
        keys.iter().map(|(name, values)| (name.as_ref(), values.iter().map(String::as_str).collect())).collect()
    };
    assert!(keys(1).contains(&("ec2:InstanceType", vec!["m1.small"])));
    assert!(keys(1).contains(&("aws:RequestTag/team", vec!["red"])));
    assert!(keys(5).is_empty(), "tags of the instance are not the volume's: {:?}", keys(5));
    assert_eq!(keys(7), [("iam:PassedToService", vec!["ec2.amazonaws.com"])]);
    assert!(keys(8).contains(&("ec2:CreateAction", vec!["RunInstances"])));
    assert!(keys(8).contains(&("aws:TagKeys", vec!["team"])));
}

#[test]
fn tags_are_asked_about_on_each_resource() {
    let pairs = [("Action", "CreateTags"), ("ResourceId.1", "i-1"), ("ResourceId.2", "nonsense"), ("Tag.1.Key", "a")];
    let params = Params::from_pairs(pairs).unwrap();
    let action = || "ec2:CreateTags".to_owned();
    assert_eq!(
        asked(Service::Ec2, &params),
        [(action(), Target::Existing(kind::INSTANCE, "i-1")), (action(), Target::None)]
    );
}

#[test]
fn users_mean_themselves_where_they_name_nobody() {
    let params = Params::from_pairs([("Action", "CreateAccessKey")]).unwrap();
    assert_eq!(asked(Service::Iam, &params), [("iam:CreateAccessKey".to_owned(), Target::Own)]);
    let params = Params::from_pairs([("Action", "CreateUser"), ("Path", "/a/"), ("UserName", "bob")]).unwrap();
    assert_eq!(asked(Service::Iam, &params), [("iam:CreateUser".to_owned(), Target::Named(kind::USER, "/a/", "bob"))]);
}

#[test]
fn attributes_are_condition_keys() {
    let pairs = [("Action", "ModifyInstanceAttribute"), ("InstanceId", "i-1"), ("InstanceType.Value", "m1.large")];
    let params = Params::from_pairs(pairs).unwrap();
    let plan = plan(Service::Ec2, row(Service::Ec2, "ModifyInstanceAttribute").unwrap(), &params);
    let keys = &plan.questions[0].keys;
    assert!(keys.contains(&("ec2:Attribute/InstanceType".into(), vec!["m1.large".to_owned()])), "{keys:?}");
    assert!(keys.contains(&("ec2:Attribute".into(), vec!["InstanceType".to_owned()])));
    let pairs = [("Action", "ModifyInstanceAttribute"), ("Attribute", "instanceType"), ("Value", "m1.large")];
    let params = Params::from_pairs(pairs).unwrap();
    let old = super::plan(Service::Ec2, row(Service::Ec2, "ModifyInstanceAttribute").unwrap(), &params);
    assert_eq!(&old.questions[0].keys, keys);
}

#[test]
fn arns_have_their_services_form() {
    assert_eq!(kind::INSTANCE.arn("eu", "1", "i-1"), "arn:aws:ec2:eu:1:instance/i-1");
    assert_eq!(kind::IMAGE.arn("eu", "1", "ami-1"), "arn:aws:ec2:eu::image/ami-1");
    assert_eq!(kind::USER.arn("eu", "1", "/a/bob"), "arn:aws:iam::1:user/a/bob");
    assert_eq!(Kind::of_id("import-ami-1"), Some(kind::IMPORT_IMAGE));
    assert_eq!(Kind::of_id("snap-1"), Some(kind::SNAPSHOT));
    assert_eq!(Kind::of_id("x-1"), None);
}

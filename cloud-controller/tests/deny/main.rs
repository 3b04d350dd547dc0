//! The deny matrix: every operation that is offered, called by everybody who may not, fails with the right code and
//! leaves the database as it was. Made from the tables of operations: a new operation is in it without a word here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod conditions;
mod managed;
mod objects;
mod races;
mod request;
mod sigv2;
mod trails;
mod world;

use mallee_api_ec2::OFFERED as EC2_OFFERED;
use mallee_api_iam::{IAM_OFFERED, STS_OFFERED};
use mallee_app::operation::Offered;
use mallee_authz::{Mode, Service, Target, plan, row};
use mallee_awswire::{OperationMeta, Params};
use world::{Answer, Keys, World};

const ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const NONE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
const S3_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const HOUR: i64 = 3600;

/// Operations that need no signature: what they bring proves who calls.
const UNSIGNED: &[&str] = &["AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"];
/// Parameters that the parser's hints do not lead to.
const OVERRIDES: &[(&str, &[(&str, &str)])] = &[
    (
        "CreateFleet",
        &[
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "web"),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "1"),
            ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
        ],
    ),
    ("CreateLaunchTemplate", &[("LaunchTemplateData.InstanceType", "t3.nano")]),
    ("CreateLaunchTemplateVersion", &[("LaunchTemplateData.InstanceType", "t3.nano")]),
    (
        "ModifyInstanceCapacityReservationAttributes",
        &[("CapacityReservationSpecification.CapacityReservationPreference", "none")],
    ),
    (
        "ModifyInstanceCreditSpecification",
        &[
            ("InstanceCreditSpecification.1.InstanceId", "i-0123456789abcdef0"),
            ("InstanceCreditSpecification.1.CpuCredits", "standard"),
        ],
    ),
    (
        "GetInstanceTypesFromInstanceRequirements",
        &[
            ("InstanceRequirements.MemoryMiB.Min", "1"),
            ("InstanceRequirements.VCpuCount.Min", "1"),
            ("ArchitectureType.1", "x86_64"),
            ("VirtualizationType.1", "hvm"),
        ],
    ),
    ("SearchTransitGatewayRoutes", &[("Filter.1.Name", "state"), ("Filter.1.Value.1", "active")]),
];

struct Case {
    service: &'static str,
    name: &'static str,
    pairs: Vec<(String, String)>,
    mode: Mode,
}

fn cases() -> Vec<Case> {
    let services: [(&str, &[Offered], &[OperationMeta]); 3] = [
        ("ec2", EC2_OFFERED, mallee_ec2_types::ec2::OPERATIONS),
        ("iam", IAM_OFFERED, mallee_ec2_types::iam::OPERATIONS),
        ("sts", STS_OFFERED, mallee_ec2_types::sts::OPERATIONS),
    ];
    let mut cases = Vec::new();
    for (service, offered, operations) in services {
        for operation in offered {
            let meta = operations.iter().find(|op| op.name == operation.name).unwrap();
            let overrides = OVERRIDES.iter().find(|(name, _)| *name == operation.name).map_or(&[][..], |(_, o)| *o);
            let row = row(Service::parse(service).unwrap(), operation.name);
            let mode = row.unwrap_or_else(|| panic!("{} has no row", operation.name)).mode;
            let pairs = request::minimal(service, meta, overrides);
            cases.push(Case { service, name: operation.name, pairs, mode });
        }
    }
    cases
}

/// The codes of a caller who is not believed.
fn unknown_caller(service: &str) -> &'static [&'static str] {
    if service == "ec2" { &["AuthFailure"] } else { &["SignatureDoesNotMatch", "InvalidClientTokenId"] }
}

fn refused(service: &str) -> &'static str {
    if service == "ec2" { "UnauthorizedOperation" } else { "AccessDenied" }
}

async fn expect(world: &World, case: &Case, keys: Option<&Keys>, off: i64, codes: &[&str], what: &str) -> Answer {
    let before = world.fingerprint();
    let answer = world.call_at(case.service, case.name, &case.pairs, keys, off).await;
    let name = case.name;
    assert!(codes.contains(&answer.code.as_str()), "{name} {what}: {} {}", answer.status, answer.text);
    assert!((400..500).contains(&answer.status), "{name} {what}: {}", answer.status);
    assert_eq!(world.fingerprint(), before, "{name} {what} wrote something");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing() {
    let world = World::new().await;
    let wrong = Keys { secret: "not the secret of this key at all, is it".to_owned(), ..world.root.clone() };
    let nobody = Keys { id: "AKIAAAAAAAAAAAAAAAAA".to_owned(), ..world.root.clone() };
    for case in cases().iter().filter(|case| !UNSIGNED.contains(&case.name)) {
        expect(&world, case, None, 0, &["MissingAuthenticationToken"], "unsigned").await;
        expect(&world, case, Some(&wrong), 0, unknown_caller(case.service), "with a wrong signature").await;
        expect(&world, case, Some(&nobody), 0, unknown_caller(case.service), "with an unknown key").await;
        let late = if case.service == "ec2" { "RequestExpired" } else { "SignatureDoesNotMatch" };
        expect(&world, case, Some(&world.root), -HOUR, &[late], "an hour late").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_the_right_get_nothing() {
    let world = World::new().await;
    let plain = world.user("plain", &[], None).await;
    let denied = world.user("denied", &[ALL, NONE], None).await;
    let bounded = world.user("bounded", &[ALL], Some(S3_ONLY)).await;
    world.user("mighty", &[ALL], None).await;
    let session = world.session("mighty", &[S3_ONLY], HOUR * 1000).await;
    world.user("late", &[ALL], None).await;
    let expired = world.session("late", &[ALL], -1000).await;
    for case in cases() {
        let code = [refused(case.service)];
        let expiry = if case.service == "ec2" { "RequestExpired" } else { "ExpiredToken" };
        if !UNSIGNED.contains(&case.name) {
            expect(&world, &case, Some(&expired), 0, &[expiry], "with an expired session").await;
        }
        // What everybody may is denied to nobody; what a role's trust policy decides is in tests of its own.
        if case.mode == Mode::Everybody {
            continue;
        }
        let answer = expect(&world, &case, Some(&denied), 0, &code, "explicitly denied").await;
        assert!(answer.text.contains("with an explicit deny in an identity-based policy"), "{}", answer.text);
        if case.mode == Mode::Handler {
            continue;
        }
        let whys: [(&Keys, &str); 3] = [
            (&plain, "because no identity-based policy allows the"),
            (&bounded, "because no permissions boundary allows the"),
            (&session, "because no session policy allows the"),
        ];
        for (keys, why) in whys {
            let answer = expect(&world, &case, Some(keys), 0, &code, why).await;
            assert!(answer.text.contains(why), "{}: {}", case.name, answer.text);
        }
    }
}

/// Ids of another account are as ids that are nowhere, whatever one may in one's own.
#[tokio::test(flavor = "multi_thread")]
async fn other_accounts_get_nothing() {
    let world = World::new().await;
    let (_, boss) = world.account("111122223333").await;
    let ids = ids_of(&world).await;
    let mut seen = 0;
    for case in cases().iter().filter(|case| case.service == "ec2") {
        let row = row(Service::Ec2, case.name).unwrap();
        let pairs: Vec<(String, String)> = case.pairs.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let params = Params::from_pairs(
            std::iter::once(("Action", case.name)).chain(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        )
        .unwrap();
        let asked = plan(Service::Ec2, row, &params);
        // Every parameter that names a resource gets the id of one of the first account.
        let mut foreign = pairs.clone();
        let mut hit = false;
        for question in &asked.questions {
            let Target::Existing(kind, given) = question.target else { continue };
            let Some((_, id)) = ids.iter().find(|(word, _)| *word == kind.word) else { continue };
            for (_, value) in foreign.iter_mut().filter(|(_, value)| value == given) {
                value.clone_from(id);
                hit = true;
            }
        }
        if !hit {
            continue;
        }
        seen += 1;
        let before = world.fingerprint();
        let answer = world.call("ec2", case.name, &foreign, Some(&boss)).await;
        // Some operations answer for each resource by itself, within a success.
        let refused = (400..500).contains(&answer.status) || answer.text.contains(".NotFound</code>");
        assert!(refused, "{} with foreign ids: {}", case.name, answer.text);
        assert_ne!(answer.code, "UnauthorizedOperation", "{} tells that it is there", case.name);
        assert_eq!(world.fingerprint(), before, "{} wrote something", case.name);
    }
    assert!(seen >= 5, "only {seen} operations were tried with foreign ids");
}

/// Resources of the first account, by the word of their kind.
async fn ids_of(world: &World) -> Vec<(&'static str, String)> {
    let vpc = mallee_store::vpc_default(&world.store, &world.account).await.unwrap().unwrap();
    let group = mallee_store::security_group_by_name(&world.store, &vpc.id, "default").await.unwrap().unwrap();
    let zone = "zone-a".parse().unwrap();
    let subnet = mallee_store::subnet_default(&world.store, &world.account, &zone).await.unwrap().unwrap();
    vec![
        ("vpc", vpc.id.to_string()),
        ("security-group", group.id.to_string()),
        ("subnet", subnet.id.to_string()),
        ("instance", "i-0123456789abcdef0".to_owned()),
    ]
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_allow_what_they_say() {
    let world = World::new().await;
    let look = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"},
        {"Effect":"Allow","Action":"ec2:CreateSecurityGroup","Resource":"*"},
        {"Effect":"Allow","Action":"ec2:CreateTags","Resource":"*",
         "Condition":{"StringEquals":{"ec2:CreateAction":"CreateSecurityGroup"}}},
        {"Effect":"Allow","Action":"ec2:DeleteSecurityGroup","Resource":"*",
         "Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}},
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/open/*"}]}"#;
    let ann = world.user("ann", &[look], None).await;
    assert_eq!(world.call("ec2", "DescribeVpcs", &[], Some(&ann)).await.status, 200);
    // Dry runs answer the question itself.
    let new = |name: &str, tag: &str| {
        pairs(&[
            ("GroupName", name),
            ("GroupDescription", "d"),
            ("TagSpecification.1.ResourceType", "security-group"),
            ("TagSpecification.1.Tag.1.Key", "team"),
            ("TagSpecification.1.Tag.1.Value", tag),
        ])
    };
    let mut dry = new("dry", "red");
    dry.push(("DryRun".to_owned(), "true".to_owned()));
    assert_eq!(world.call("ec2", "CreateSecurityGroup", &dry, Some(&ann)).await.code, "DryRunOperation");
    let dry = pairs(&[("InstanceId.1", "i-0123456789abcdef0"), ("DryRun", "true")]);
    assert_eq!(world.call("ec2", "TerminateInstances", &dry, Some(&ann)).await.code, "UnauthorizedOperation");
    // Tags decide, and are looked up.
    for (name, tag, code) in [("g-red", "red", ""), ("g-blue", "blue", "UnauthorizedOperation")] {
        let made = world.call("ec2", "CreateSecurityGroup", &new(name, tag), Some(&ann)).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let id = made.text.split_once("<groupId>").unwrap().1.split_once('<').unwrap().0.to_owned();
        let gone = world.call("ec2", "DeleteSecurityGroup", &pairs(&[("GroupId", &id)]), Some(&ann)).await;
        assert_eq!(gone.code, code, "{}", gone.text);
    }
    // Malformed requests are told so before anybody is asked.
    assert_eq!(world.call("ec2", "TerminateInstances", &[], Some(&ann)).await.code, "MissingParameter");
    let odd = pairs(&[("InstanceId.1", "i-1"), ("Oddity", "1")]);
    assert_eq!(world.call("ec2", "TerminateInstances", &odd, Some(&ann)).await.code, "UnknownParameter");
    // S3 too.
    world.stock().await;
    assert_eq!(world.s3("GET", "/b/open/x", &ann).await.text, "open/x");
    assert_eq!(world.s3("GET", "/b/closed", &ann).await.code, "AccessDenied");
    assert_eq!(world.s3("GET", "/b/open/x?acl=", &ann).await.code, "AccessDenied");
    assert_eq!(world.s3("PUT", "/b/open/x", &ann).await.code, "AccessDenied");
    // A signature that is not right goes no further.
    for seconds_off in [1000, -1000] {
        let skewed = world.s3_at("GET", "/b/open/x", &ann, seconds_off).await;
        assert_eq!((skewed.status, skewed.code.as_str()), (403, "RequestTimeTooSkewed"));
    }
    for (keys, code) in [
        (Keys { secret: "another".into(), ..ann.clone() }, "SignatureDoesNotMatch"),
        (Keys { id: "AKIA0000000000000000".into(), ..ann.clone() }, "InvalidAccessKeyId"),
        (Keys { token: Some("no token of it".into()), ..ann.clone() }, "InvalidToken"),
    ] {
        assert_eq!(world.s3("GET", "/b/open/x", &keys).await.code, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_can_be_read_by_its_account() {
    let world = World::new().await;
    let denied = world.user("denied", &[ALL, NONE], None).await;
    let stop = pairs(&[("InstanceId.1", "i-0123456789abcdef0")]);
    let answer = world.call("ec2", "StopInstances", &stop, Some(&denied)).await;
    let sentence = format!(
        "You are not authorized to perform this operation. User: arn:aws:iam::{0}:user/denied is not authorized to \
         perform: ec2:StopInstances on resource: arn:aws:ec2:eu-1:{0}:instance/i-0123456789abcdef0 with an explicit \
         deny in an identity-based policy. Encoded authorization failure message: ",
        world.account
    );
    let (_, rest) = answer.text.split_once(sentence.as_str()).unwrap_or_else(|| panic!("{}", answer.text));
    let encoded = rest.split_once('<').unwrap().0;
    let details = mallee_app::sts::message::decode(&world.store, &world.account, encoded).expect("it opens");
    let details: serde_json::Value = serde_json::from_str(&details).unwrap();
    assert_eq!(details["explicitDeny"], true);
    assert_eq!(details["context"]["action"], "ec2:StopInstances");
    let other = "111122223333".parse().unwrap();
    assert!(mallee_app::sts::message::decode(&world.store, &other, encoded).is_none());
}

/// What is changed counts with the next call, without a wait.
#[tokio::test(flavor = "multi_thread")]
async fn rights_and_keys_end_at_once() {
    use mallee_store::{IDENTITY_CHANGE, PrincipalKind, access_key_active_set, change_append, iam_inline_delete};
    let world = World::new().await;
    let ann = world.user("ann", &[ALL], None).await;
    let look = async || world.call("ec2", "DescribeVpcs", &[], Some(&ann)).await;
    assert_eq!(look().await.status, 200);
    let mut tx = world.store.write().await.unwrap();
    iam_inline_delete(&mut tx, PrincipalKind::User, &world.user_id("ann"), "p0").await.unwrap();
    change_append(&mut tx, IDENTITY_CHANGE, &world.account, None);
    tx.commit().await.unwrap();
    assert_eq!(look().await.code, "UnauthorizedOperation");
    let mut tx = world.store.write().await.unwrap();
    access_key_active_set(&mut tx, &ann.id, false).await.unwrap();
    change_append(&mut tx, IDENTITY_CHANGE, &world.account, None);
    tx.commit().await.unwrap();
    assert_eq!(look().await.code, "AuthFailure");
}

/// What a template brings is decided as if the caller had said it, and a name does not hide what an id would be denied.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_no_way_around() {
    let world = World::new().await;
    let root = async |service: &str, action: &str, given: &[(&str, &str)]| {
        let answer = world.call(service, action, &pairs(given), Some(&world.root)).await;
        assert_eq!(answer.status, 200, "{action}: {}", answer.text);
        answer.text
    };
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},
        "Action":"sts:AssumeRole"}}"#;
    root("iam", "CreateRole", &[("RoleName", "strong"), ("AssumeRolePolicyDocument", trust)]).await;
    root("iam", "CreateInstanceProfile", &[("InstanceProfileName", "strong")]).await;
    root("iam", "AddRoleToInstanceProfile", &[("InstanceProfileName", "strong"), ("RoleName", "strong")]).await;
    let image = ("LaunchTemplateData.ImageId", "ami-0123456789abcdef0");
    let profile = ("LaunchTemplateData.IamInstanceProfile.Name", "strong");
    root("ec2", "CreateLaunchTemplate", &[("LaunchTemplateName", "armed"), image, profile]).await;
    let plain = root("ec2", "CreateLaunchTemplate", &[("LaunchTemplateName", "plain"), image]).await;
    let plain = plain.split_once("<launchTemplateId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    root("ec2", "CreatePlacementGroup", &[("GroupName", "pack"), ("Strategy", "cluster")]).await;

    let ec2 = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}}"#;
    let deny = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"ec2:*",
        "Resource":["arn:aws:ec2:*:*:launch-template/{plain}","arn:aws:ec2:*:*:placement-group/pack"]}}}}"#
    );
    let (ann, bob) = (world.user("ann", &[ec2], None).await, world.user("bob", &[ec2, &deny], None).await);
    let launch = |template: &str| {
        pairs(&[("LaunchTemplate.LaunchTemplateName", template), ("MinCount", "1"), ("MaxCount", "1")])
    };
    let answer = world.call("ec2", "RunInstances", &launch("armed"), Some(&ann)).await;
    assert_eq!(answer.code, "UnauthorizedOperation", "{}", answer.text);
    assert!(answer.text.contains("iam:PassRole"), "{}", answer.text);
    // Without a role to pass, the next thing that is wrong is that there is no such image.
    let answer = world.call("ec2", "RunInstances", &launch("plain"), Some(&ann)).await;
    assert_eq!(answer.code, "InvalidAMIID.NotFound", "{}", answer.text);
    let answer = world.call("ec2", "RunInstances", &launch("plain"), Some(&bob)).await;
    assert_eq!(answer.code, "UnauthorizedOperation", "by its name: {}", answer.text);
    let drop = pairs(&[("LaunchTemplateName", "plain")]);
    assert_eq!(world.call("ec2", "DeleteLaunchTemplate", &drop, Some(&bob)).await.code, "UnauthorizedOperation");
    let drop = pairs(&[("GroupName", "pack")]);
    assert_eq!(world.call("ec2", "DeletePlacementGroup", &drop, Some(&bob)).await.code, "UnauthorizedOperation");
    assert_eq!(world.call("ec2", "DeletePlacementGroup", &drop, Some(&ann)).await.status, 200);

    // Nor is a fleet one, which launches for its maker: whoever makes it must have the right to every launch.
    let only = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ec2:CreateFleet","ec2:ModifyFleet"],
        "Resource":"*"}}"#;
    let cat = world.user("cat", &[only], None).await;
    let fleet = |template: &str, kind: &str| {
        pairs(&[
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", template),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "$Latest"),
            ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
            ("Type", kind),
        ])
    };
    for (keys, template, why) in
        [(&ann, "armed", "iam:PassRole"), (&bob, "plain", "ec2:CreateFleet"), (&cat, "plain", "ec2:RunInstances")]
    {
        for kind in ["instant", "maintain"] {
            let before = world.fingerprint();
            let answer = world.call("ec2", "CreateFleet", &fleet(template, kind), Some(keys)).await;
            assert_eq!(answer.code, "UnauthorizedOperation", "{template} {kind}: {}", answer.text);
            assert!(answer.text.contains(why), "{template} {kind}: {}", answer.text);
            assert_eq!(world.fingerprint(), before, "{template} {kind} wrote something");
        }
    }
    let answer = world.call("ec2", "CreateFleet", &fleet("plain", "instant"), Some(&ann)).await;
    assert!(answer.status == 200 && answer.text.contains("InvalidAMIID.NotFound"), "{}", answer.text);
    // Whoever raises the target of another's fleet launches, too.
    let made = root_fleet(&world, &fleet("armed", "maintain")).await;
    let more = pairs(&[("FleetId", &made), ("TargetCapacitySpecification.TotalTargetCapacity", "2")]);
    let answer = world.call("ec2", "ModifyFleet", &more, Some(&ann)).await;
    assert!(answer.text.contains("iam:PassRole"), "{}", answer.text);
    let less = pairs(&[("FleetId", &made), ("TargetCapacitySpecification.TotalTargetCapacity", "0")]);
    assert_eq!(world.call("ec2", "ModifyFleet", &less, Some(&ann)).await.status, 200);
}

/// A fleet that the root makes; its id.
async fn root_fleet(world: &World, pairs: &[(String, String)]) -> String {
    let answer = world.call("ec2", "CreateFleet", pairs, Some(&world.root)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.split_once("<fleetId>").unwrap().1.split_once('<').unwrap().0.to_owned()
}

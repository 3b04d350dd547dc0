//! The credentials of an instance's role on their way to its node: at once, renewed, taken away, and through any fault.

use mallee_proto::v1::RoleCredentials;
use mallee_runtime::FaultAction;
use mallee_tests::{Client, Reply, Step, TestCloud};
use mallee_types::InstanceId;

const IAM: &str = "2010-05-08";
const STS: &str = "2011-06-15";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
const NO_TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
const THREE_HOURS_MS: i64 = 3 * 3_600_000;

async fn iam(cloud: &TestCloud, action: &str, params: &[(&str, &str)]) -> Reply {
    cloud.client().ask("iam", IAM, action, params).await.unwrap_or_else(|error| panic!("{action}: {error}"))
}

/// A profile of this name with a role of the same name.
async fn profile(cloud: &TestCloud, name: &str) {
    iam(cloud, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", TRUST)]).await;
    iam(cloud, "CreateInstanceProfile", &[("InstanceProfileName", name)]).await;
    iam(cloud, "AddRoleToInstanceProfile", &[("InstanceProfileName", name), ("RoleName", name)]).await;
}

/// What the instance's node has recorded, and so its metadata service tells.
async fn held(cloud: &TestCloud, id: &InstanceId) -> Option<RoleCredentials> {
    cloud.host_of(id).await.ledger_disk().intent(id)?.credentials
}

async fn until(
    cloud: &mut TestCloud,
    id: &InstanceId,
    what: &str,
    good: impl Fn(&RoleCredentials) -> bool,
) -> RoleCredentials {
    cloud
        .until(what, async |cloud| match held(cloud, id).await {
            Some(credentials) if good(&credentials) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    held(cloud, id).await.expect("there a moment ago")
}

fn session(cloud: &TestCloud, credentials: &RoleCredentials) -> Client {
    let RoleCredentials { access_key_id, secret_access_key, session_token, .. } = credentials;
    cloud.client().with_session(access_key_id, secret_access_key, session_token)
}

async fn launched(cloud: &mut TestCloud) -> InstanceId {
    let mut id = None;
    cloud.step(Step::Launch, &mut id).await;
    id.expect("launched")
}

#[tokio::test]
async fn an_instance_has_the_credentials_of_its_role_and_of_no_other() {
    let mut cloud = TestCloud::start().await;
    profile(&cloud, "web").await;
    profile(&cloud, "db").await;
    let id = launched(&mut cloud).await;
    assert_eq!(held(&cloud, &id).await, None, "no profile, nothing to tell");
    let give = [("InstanceId", id.as_str()), ("IamInstanceProfile.Name", "web")];
    let reply = cloud.insist("AssociateIamInstanceProfile", &give).await;
    let association = reply.first("associationId").unwrap().to_owned();
    let web = until(&mut cloud, &id, "credentials of web", |c| c.role_name == "web").await;
    assert!(web.access_key_id.starts_with("ASIA") && web.code == "Success", "{web:?}");
    // The session is made a moment after the time it is told from.
    let lasts = web.expires_ms - web.issued_ms;
    assert!((2 * THREE_HOURS_MS..2 * THREE_HOURS_MS + 1000).contains(&lasts), "{lasts}");
    let me = session(&cloud, &web).ask("sts", STS, "GetCallerIdentity", &[]).await.unwrap();
    let arn = me.first("Arn").unwrap();
    assert!(arn.ends_with(&format!(":assumed-role/web/{id}")), "{arn}");
    // The role may nothing yet.
    let refused = session(&cloud, &web).call("DescribeInstances", &[]).await.unwrap_err();
    assert_eq!(refused.code(), "UnauthorizedOperation");
    // Only from where they were delivered to.
    let seen = cloud.insist("DescribeInstances", &[("InstanceId.1", id.as_str())]).await;
    let (vpc, ip) = (seen.first("vpcId").unwrap(), seen.first("privateIpAddress").unwrap());
    for (vpc, allowed) in [("vpc-00000000", false), (vpc, true)] {
        let allow = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*","Condition":{{
            "StringEquals":{{"aws:Ec2InstanceSourceVpc":"{vpc}","aws:Ec2InstanceSourcePrivateIPv4":"{ip}"}},
            "ArnLike":{{"ec2:SourceInstanceARN":"arn:aws:ec2:*:instance/{id}"}}}}}}}}"#
        );
        let put = [("RoleName", "web"), ("PolicyName", "look"), ("PolicyDocument", allow.as_str())];
        iam(&cloud, "PutRolePolicy", &put).await;
        assert_eq!(session(&cloud, &web).call("DescribeInstances", &[]).await.is_ok(), allowed);
    }
    session(&cloud, &web).call("DescribeInstances", &[]).await.unwrap();

    // Another profile: at once.
    let replace = [("AssociationId", association.as_str()), ("IamInstanceProfile.Name", "db")];
    let reply = cloud.insist("ReplaceIamInstanceProfileAssociation", &replace).await;
    let association = reply.first("associationId").unwrap().to_owned();
    let db = until(&mut cloud, &id, "credentials of db", |c| c.role_name == "db").await;
    assert!(db.version > web.version);
    let me = session(&cloud, &db).ask("sts", STS, "GetCallerIdentity", &[]).await.unwrap();
    assert!(me.first("Arn").unwrap().contains("assumed-role/db/"), "{}", me.0);

    // A restart of the node's controller and of the cloud changes nothing.
    cloud.step(Step::Restart, &mut Some(id.clone())).await;
    assert_eq!(held(&cloud, &id).await.as_ref(), Some(&db));

    // EC2 may not assume the role any more: said, and no credentials.
    let trust = |document| [("RoleName", "db"), ("PolicyDocument", document)];
    iam(&cloud, "UpdateAssumeRolePolicy", &trust(NO_TRUST)).await;
    let refused = until(&mut cloud, &id, "a refusal", |c| c.code == "AssumeRoleUnauthorizedAccess").await;
    assert!(refused.secret_access_key.is_empty() && refused.message.contains("EC2 cannot assume the role db"));
    iam(&cloud, "UpdateAssumeRolePolicy", &trust(TRUST)).await;
    until(&mut cloud, &id, "trusted again", |c| c.code == "Success" && !c.access_key_id.is_empty()).await;

    // The profile loses its role; then the instance its profile.
    let role = [("InstanceProfileName", "db"), ("RoleName", "db")];
    iam(&cloud, "RemoveRoleFromInstanceProfile", &role).await;
    let bare = until(&mut cloud, &id, "no role", |c| c.role_name.is_empty()).await;
    assert!(!bare.profile_arn.is_empty() && bare.session_token.is_empty());
    cloud.insist("DisassociateIamInstanceProfile", &[("AssociationId", &association)]).await;
    until(&mut cloud, &id, "no profile", |c| c.profile_arn.is_empty()).await;
    cloud.sound().await;

    let mut id = Some(id);
    cloud.step(Step::Terminate, &mut id).await;
    let id = id.unwrap();
    for host in &cloud.hosts {
        assert_eq!(host.ledger_disk().intent(&id).and_then(|intent| intent.credentials), None, "{}", host.name());
    }
}

#[tokio::test]
async fn credentials_are_renewed_in_time_whatever_fails() {
    let mut cloud = TestCloud::start().await;
    profile(&cloud, "web").await;
    let id = launched(&mut cloud).await;
    let give = [("InstanceId", id.as_str()), ("IamInstanceProfile.Name", "web")];
    cloud.insist("AssociateIamInstanceProfile", &give).await;
    let mut last = until(&mut cloud, &id, "credentials", |c| !c.access_key_id.is_empty()).await;
    let boots = cloud.host_of(&id).await.domain(&id).unwrap().boots;
    let points = ["cloud.credentials", "cloud.credentials.before-commit", "cloud.credentials.committed"];
    for action in [FaultAction::Fail, FaultAction::Kill] {
        for point in points {
            cloud.faults.arm(point, action, 1);
            cloud.clock.shift_ms(THREE_HOURS_MS);
            let next = until(&mut cloud, &id, point, |c| c.version > last.version).await;
            assert!(cloud.faults.hit().contains(&point.to_owned()), "{point}");
            assert_ne!(next.access_key_id, last.access_key_id);
            // The old ones are good for as long again: nobody is caught between two.
            assert!(last.expires_ms >= next.issued_ms + THREE_HOURS_MS - 60_000, "{point}");
            last = next;
            cloud.faults.clear();
        }
    }
    let domain = cloud.host_of(&id).await.domain(&id).unwrap();
    assert_eq!(domain.boots, boots, "the guest noticed nothing");
    cloud.sound().await;
}

#[tokio::test]
async fn a_launch_with_a_profile_has_its_credentials_from_the_start() {
    let mut cloud = TestCloud::start().await;
    profile(&cloud, "web").await;
    let image = cloud.image().await;
    let launch = [
        ("ImageId", image.as_str()),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.nano"),
        ("IamInstanceProfile.Name", "web"),
    ];
    let reply = cloud.insist("RunInstances", &launch).await;
    let id: InstanceId = reply.first("instanceId").unwrap().parse().unwrap();
    cloud.until_state(&id, mallee_types::InstanceState::Running).await;
    let seen = until(&mut cloud, &id, "credentials", |c| c.role_name == "web").await;
    assert_eq!(seen.version, 1, "with the first order");
    // Nobody sees them who explains the instance.
    let shown = format!("{:?}", cloud.host_of(&id).await.ledger_disk().intent(&id));
    assert!(!shown.contains(&seen.secret_access_key) && !shown.contains(&seen.session_token));
}

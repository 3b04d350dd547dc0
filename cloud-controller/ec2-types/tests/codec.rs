//! What handlers and clients see of the generated codec; the full comparison is `conformance/conformance.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

use mallee_awswire::codes::Code;
use mallee_awswire::{ApiError, Operation, Params};
use mallee_ec2_types::{ec2, iam, sts};
use secrecy::ExposeSecret as _;

fn ec2(query: &str) -> Result<ec2::Ec2Request, ApiError> {
    let params = Params::parse(query, b"").unwrap();
    ec2::Ec2Request::parse(params.action().unwrap(), &params)
}

#[test]
fn run_instances() {
    let request = ec2("Action=RunInstances&Version=2016-11-15&ImageId=ami-1&MinCount=1&MaxCount=2&UserData=c2VjcmV0&ClientToken=t\
        &SecurityGroupId.1=sg-1&BlockDeviceMapping.1.Ebs.VolumeSize=8&BlockDeviceMapping.1.DeviceName=/dev/sda1\
        &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web&DryRun=true")
    .unwrap();
    assert_eq!((request.name(), request.dry_run(), request.client_token()), ("RunInstances", true, Some("t")));
    assert!(!format!("{request:?}").contains("c2VjcmV0"), "user data must not be logged");
    let ec2::Ec2Request::RunInstances(r) = request else { panic!() };
    assert_eq!((r.image_id.as_deref(), r.max_count), (Some("ami-1"), Some(2)));
    assert_eq!(r.user_data.as_ref().map(|u| u.expose_secret()), Some("c2VjcmV0"));
    assert_eq!(r.block_device_mappings[0].ebs.as_ref().and_then(|e| e.volume_size), Some(8));
    assert_eq!(r.tag_specifications[0].tags[0].value.as_deref(), Some("web"));
}

#[test]
fn bad_requests_name_the_parameter() {
    for (query, code, message) in [
        (
            "Action=RunInstances&MinCount=1&MaxCount=1&Foo.1.Bar=x",
            Code::UnknownParameter,
            "The parameter Foo.1.Bar is not recognized",
        ),
        ("Action=RunInstances&MinCount=1", Code::MissingParameter, "The request must contain the parameter MaxCount"),
        (
            "Action=RunInstances&MinCount=one&MaxCount=1",
            Code::InvalidParameterValue,
            "Value (one) for parameter MinCount is invalid. Expected an integer of 32 bits.",
        ),
        (
            "Action=RunInstances&MinCount=1&MaxCount=1&Placement.Zone=a",
            Code::UnknownParameter,
            "The parameter Placement.Zone is not recognized",
        ),
        ("Action=RunInstance", Code::InvalidAction, "The action RunInstance is not valid for this web service."),
        (
            "Action=CreateVerifiedAccessInstance",
            Code::UnsupportedOperation,
            "The operation CreateVerifiedAccessInstance is not supported by this cloud.",
        ),
    ] {
        let e = ec2(query).unwrap_err();
        assert_eq!((e.code(), e.message()), (code, message), "{query}");
    }
}

#[test]
fn iam_answers_in_its_own_words() {
    let get = |query: &str| {
        let params = Params::parse(query, b"").unwrap();
        iam::IamRequest::parse(params.action().unwrap(), &params).unwrap_err().message().to_owned()
    };
    assert_eq!(
        get("Action=CreateUser"),
        "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null"
    );
    assert_eq!(
        get("Action=CreateUser&UserName=a%20b"),
        "1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [\\w+=,.@-]+"
    );
    assert!(
        get(&format!("Action=CreateUser&UserName={}", "a".repeat(65))).ends_with("length less than or equal to 64")
    );
    assert!(
        get("Action=UpdateAccessKey&AccessKeyId=AKIAAAAAAAAAAAAAAAAA&Status=Off")
            .contains("Member must satisfy enum value set: [Active, Inactive")
    );
    let secret = get("Action=ChangePassword&OldPassword=hunter2&NewPassword=");
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn replies() {
    let out = ec2::DescribeKeyPairsResult {
        key_pairs: vec![ec2::KeyPairInfo { key_name: Some("k<".to_owned()), ..Default::default() }],
    };
    let xml = ec2::SERVICE.reply(ec2::DescribeKeyPairsRequest::META, Some("2014-10-01"), "id", &out);
    assert!(xml.contains(
        "<DescribeKeyPairsResponse xmlns=\"http://ec2.amazonaws.com/doc/2014-10-01/\"><requestId>id</requestId><keySet><item>"
    ));
    assert!(xml.contains("<keyName>k&lt;</keyName>"));
    // A version that is none must not get into the document.
    let xml = ec2::SERVICE.reply(ec2::DeleteVolumeRequest::META, Some("\"><x>"), "id", &());
    assert!(xml.ends_with(
        "<DeleteVolumeResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id</requestId><return>true</return></DeleteVolumeResponse>"
    ));
    let who = sts::GetCallerIdentityResponse { account: Some("1".to_owned()), ..Default::default() };
    let xml = sts::SERVICE.reply(sts::GetCallerIdentityRequest::META, None, "id", &who);
    assert!(xml.contains(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>1</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>"
    ));
    let xml = iam::SERVICE.reply(iam::DeleteUserRequest::META, None, "id", &());
    assert!(xml.contains("<DeleteUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata>"));
}

#[test]
fn an_attribute_reply_has_only_the_attribute() {
    let out = ec2::InstanceAttribute { instance_id: Some("i-1".to_owned()), ..Default::default() };
    let xml = ec2::SERVICE.reply(ec2::DescribeInstanceAttributeRequest::META, None, "id", &out);
    assert!(xml.contains("<instanceId>i-1</instanceId></DescribeInstanceAttributeResponse>"), "{xml}");
}

#[test]
fn tables_are_sorted_and_complete() {
    for (table, least) in [(ec2::OPERATIONS, 250), (iam::OPERATIONS, 180), (sts::OPERATIONS, 11)] {
        assert!(table.len() >= least);
        assert!(table.windows(2).all(|w| w[0].name < w[1].name));
    }
    assert!(ec2::NOT_GENERATED.windows(2).all(|w| w[0] < w[1]));
    let describe = ec2::DescribeInstancesRequest::META;
    assert!(describe.read_only() && describe.dry_run && !describe.client_token);
    assert_eq!(describe.pagination.and_then(|p| p.limit), Some("MaxResults"));
}

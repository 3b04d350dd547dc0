//! CloudTrail's operations and those of KMS, which speak JSON.

use crate::world::World;
use crate::{ALL, HOUR, NONE, S3_ONLY};
use mallee_api_kms::OFFERED as KMS_OFFERED;
use mallee_cloud_controller::audit::CLOUDTRAIL_OFFERED;

/// The smallest request of each operation; a new one needs one here.
fn body(action: &str) -> &'static str {
    match action {
        "LookupEvents" | "DescribeTrails" | "ListTrails" | "ListPublicKeys" => "{}",
        "CreateTrail" => r#"{"Name":"main","S3BucketName":"logs"}"#,
        "DeleteTrail" | "GetTrail" | "GetTrailStatus" | "StartLogging" | "StopLogging" | "UpdateTrail" => {
            r#"{"Name":"main"}"#
        }
        "GetEventSelectors" => r#"{"TrailName":"main"}"#,
        "PutEventSelectors" => r#"{"TrailName":"main","EventSelectors":[{"ReadWriteType":"All"}]}"#,
        "AddTags" | "RemoveTags" => r#"{"ResourceId":"main","TagsList":[{"Key":"k","Value":"v"}]}"#,
        "ListTags" => r#"{"ResourceIdList":["main"]}"#,
        other => panic!("{other} has no request here"),
    }
}

const KEY: &str = r#"{"KeyId":"12345678-90ab-cdef-1234-567890abcdef"}"#;

fn kms_body(action: &str) -> String {
    let with = |more: &str| KEY.replace('}', &format!(",{more}}}"));
    match action {
        "CreateKey" | "ListKeys" | "ListAliases" => "{}".to_owned(),
        "GenerateRandom" => r#"{"NumberOfBytes":8}"#.to_owned(),
        "CreateAlias" | "UpdateAlias" => KEY.replace("KeyId", "TargetKeyId").replace('}', r#","AliasName":"alias/a"}"#),
        "DeleteAlias" => r#"{"AliasName":"alias/a"}"#.to_owned(),
        "Encrypt" => with(r#""Plaintext":"c2VjcmV0""#),
        // A ciphertext of a key that is not there.
        "Decrypt" => format!(r#"{{"CiphertextBlob":"{}"}}"#, ciphertext()),
        "ReEncrypt" => {
            format!(r#"{{"CiphertextBlob":"{}","SourceKeyId":"alias/a","DestinationKeyId":"alias/b"}}"#, ciphertext())
        }
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => with(r#""KeySpec":"AES_256""#),
        "PutKeyPolicy" => with(r#""Policy":"{}""#),
        "TagResource" => with(r#""Tags":[{"TagKey":"k","TagValue":"v"}]"#),
        "UntagResource" => with(r#""TagKeys":["k"]"#),
        "UpdateKeyDescription" => with(r#""Description":"d""#),
        "CancelKeyDeletion"
        | "DescribeKey"
        | "DisableKey"
        | "DisableKeyRotation"
        | "EnableKey"
        | "EnableKeyRotation"
        | "GetKeyPolicy"
        | "GetKeyRotationStatus"
        | "ListKeyPolicies"
        | "ListKeyRotations"
        | "ListResourceTags"
        | "RotateKeyOnDemand"
        | "ScheduleKeyDeletion" => KEY.to_owned(),
        other => panic!("{other} has no request here"),
    }
}

fn ciphertext() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([1_u8; 100])
}

#[tokio::test(flavor = "multi_thread")]
async fn trails_are_for_those_who_may() {
    for_those_who_may("cloudtrail", CLOUDTRAIL_OFFERED, |action| body(action).to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_for_those_who_may() {
    for_those_who_may("kms", KMS_OFFERED, kms_body).await;
}

async fn for_those_who_may(service: &'static str, offered: &[&str], body: impl Fn(&str) -> String) {
    let world = World::new().await;
    let plain = world.user("plain", &[], None).await;
    let denied = world.user("denied", &[ALL, NONE], None).await;
    let bounded = world.user("bounded", &[ALL], Some(S3_ONLY)).await;
    world.user("mighty", &[ALL], None).await;
    let session = world.session("mighty", &[S3_ONLY], HOUR * 1000).await;
    let wrong =
        crate::world::Keys { secret: "not the secret of this key at all, is it".to_owned(), ..world.root.clone() };
    for action in offered {
        let whys = [
            (&plain, "because no identity-based policy allows the"),
            (&denied, "with an explicit deny in an identity-based policy"),
            (&bounded, "because no permissions boundary allows the"),
            (&session, "because no session policy allows the"),
        ];
        let before = world.fingerprint();
        for (keys, why) in whys {
            let answer = world.json(service, action, &body(action), Some(keys), 0).await;
            assert_eq!(
                (answer.status, answer.code.as_str()),
                (403, "AccessDeniedException"),
                "{action}: {}",
                answer.text
            );
            // Of a ciphertext whose key is not there nobody is told more.
            if *action != "Decrypt" {
                assert!(answer.text.contains(why), "{action}: {}", answer.text);
            }
        }
        for (keys, off) in [(None, 0), (Some(&wrong), 0), (Some(&world.root), -HOUR)] {
            let answer = world.json(service, action, &body(action), keys, off).await;
            assert!((400..=403).contains(&answer.status), "{action}: {} {}", answer.status, answer.text);
            assert_ne!(answer.code, "", "{action}: {}", answer.text);
        }
        assert_eq!(world.fingerprint(), before, "{action} wrote something");
        // Who may is told what is wrong with the request, or has an answer.
        let answer = world.json(service, action, &body(action), Some(&world.root), 0).await;
        assert_eq!(answer.code == "AccessDeniedException", *action == "Decrypt", "{action}: {}", answer.text);
        assert_ne!(answer.code, "SerializationException", "{action}: {}", answer.text);
    }
}

//! CloudTrail's operations, which speak JSON.

use crate::world::World;
use crate::{ALL, HOUR, NONE, S3_ONLY};
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

#[tokio::test(flavor = "multi_thread")]
async fn trails_are_for_those_who_may() {
    let world = World::new().await;
    let plain = world.user("plain", &[], None).await;
    let denied = world.user("denied", &[ALL, NONE], None).await;
    let bounded = world.user("bounded", &[ALL], Some(S3_ONLY)).await;
    world.user("mighty", &[ALL], None).await;
    let session = world.session("mighty", &[S3_ONLY], HOUR * 1000).await;
    let wrong =
        crate::world::Keys { secret: "not the secret of this key at all, is it".to_owned(), ..world.root.clone() };
    for action in CLOUDTRAIL_OFFERED {
        let whys = [
            (&plain, "because no identity-based policy allows the"),
            (&denied, "with an explicit deny in an identity-based policy"),
            (&bounded, "because no permissions boundary allows the"),
            (&session, "because no session policy allows the"),
        ];
        let before = world.fingerprint();
        for (keys, why) in whys {
            let answer = world.json(action, body(action), Some(keys), 0).await;
            assert_eq!(
                (answer.status, answer.code.as_str()),
                (403, "AccessDeniedException"),
                "{action}: {}",
                answer.text
            );
            assert!(answer.text.contains(why), "{action}: {}", answer.text);
        }
        for (keys, off) in [(None, 0), (Some(&wrong), 0), (Some(&world.root), -HOUR)] {
            let answer = world.json(action, body(action), keys, off).await;
            assert!((400..=403).contains(&answer.status), "{action}: {} {}", answer.status, answer.text);
            assert_ne!(answer.code, "", "{action}: {}", answer.text);
        }
        assert_eq!(world.fingerprint(), before, "{action} wrote something");
        // Who may is told what is wrong with the request, or has an answer.
        let answer = world.json(action, body(action), Some(&world.root), 0).await;
        assert_ne!(answer.code, "AccessDeniedException", "{action}: {}", answer.text);
        assert_ne!(answer.code, "SerializationException", "{action}: {}", answer.text);
    }
}

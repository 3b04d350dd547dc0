//! What the store's own services may do in a bucket: what its policy or its list lets their principals do.

use super::bucket::{POLICY, bucket_acl, has_lists, read_policy};
use super::grants::{self, Of};
use crate::deliver::Sender;
use mallee_awswire::ApiError;
use mallee_awswire::xml::timestamp;
use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, evaluate};
use mallee_objects::Bucket;
use mallee_runtime::clock::from_unix_ms;

/// Whether a service may put an object into a bucket on behalf of another one, now; `encrypted`: it asks that it be
/// encrypted.
///
/// # Errors
/// An internal one: what is kept of the bucket cannot be read.
pub(crate) fn service_may_put(
    to: &Bucket,
    key: &str,
    sender: &Sender<'_>,
    encrypted: bool,
    now_ms: i64,
) -> Result<bool, ApiError> {
    let principal = Principal::Service { name: sender.service.into() };
    let mut context = Context::of(&principal);
    context.set("aws:SourceArn", format!("arn:aws:s3:::{}", sender.bucket));
    context.set("aws:SourceAccount", sender.account);
    context.set("s3:x-amz-acl", "bucket-owner-full-control");
    context.set("s3:ObjectCreationOperation", "true");
    if encrypted {
        context.set("s3:x-amz-server-side-encryption", "AES256");
    }
    for key in ["aws:ResourceAccount", "s3:ResourceAccount"] {
        context.set(key, to.account.as_str());
    }
    context.set("aws:CurrentTime", timestamp(from_unix_ms(now_ms)));
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    context.set("aws:ViaAWSService", "false");
    // It is no way over a network.
    context.set("aws:SecureTransport", "true");
    let policy = to.docs.get(POLICY).map(read_policy).transpose()?;
    let grants = match has_lists(to)? {
        true => grants::policy(&bucket_acl(to)?, Of::Bucket, false),
        false => None,
    };
    let grants =
        grants.map(|text| Policy::parse(&text, PolicyKind::Resource)).transpose().map_err(ApiError::internal)?;
    let owner = to.account.parse().map_err(ApiError::internal)?;
    let inputs = Inputs {
        resource: policy.as_ref(),
        grants: grants.as_ref(),
        resource_account: Some(&owner),
        ..Inputs::default()
    };
    let resource = format!("arn:aws:s3:::{}/{key}", to.name);
    let request = Request { principal: &principal, action: "s3:PutObject", resource: &resource, context: &context };
    Ok(evaluate(&request, &inputs).is_allowed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::bucket::ACL;
    use mallee_objects::{Documents, Versioning};
    use mallee_s3_config::{Acl, Document as _, Ownership, OwnershipControls, text};

    const LOGS: &str = "logging.s3.amazonaws.com";

    fn bucket(docs: Documents) -> Bucket {
        Bucket {
            id: 1,
            name: "to".into(),
            account: "111111111111".into(),
            region: "r".into(),
            created_ms: 0,
            versioning: Versioning::Off,
            rev: 1,
            docs,
        }
    }

    fn policy(effect: &str, service: &str, condition: &str) -> Documents {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":{{"Service":"{service}"}},
            "Action":"s3:PutObject","Resource":"arn:aws:s3:::to/logs/*","Condition":{condition}}}]}}"#
        );
        Documents::default().with(POLICY, "", &text)
    }

    #[test]
    fn policies_and_lists() {
        let sender = Sender { service: LOGS, bucket: "from", account: "111111111111", region: "r" };
        let may = |docs: Documents, key| service_may_put(&bucket(docs), key, &sender, false, 0).expect("readable");
        let source =
            r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::from"},"StringEquals":{"aws:SourceAccount":"111111111111"}}"#;
        let other = r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::other"}}"#;
        assert!(!may(Documents::default(), "logs/a"));
        assert!(may(policy("Allow", LOGS, "{}"), "logs/a") && may(policy("Allow", LOGS, source), "logs/a"));
        assert!(!may(policy("Allow", LOGS, "{}"), "a") && !may(policy("Allow", LOGS, other), "logs/a"));
        assert!(!may(policy("Allow", "s3.amazonaws.com", "{}"), "logs/a"));
        // 1970-01-01: what is asked about has what conditions ask for.
        let whose = r#"{"StringEquals":{"s3:ResourceAccount":"111111111111"},
            "DateLessThan":{"aws:CurrentTime":"1970-01-02T00:00:00Z"},"Bool":{"s3:ObjectCreationOperation":"true"}}"#;
        assert!(may(policy("Allow", LOGS, whose), "logs/a"));
        let sealed = policy("Allow", LOGS, r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#);
        assert!(!may(sealed.clone(), "logs/a"));
        assert!(service_may_put(&bucket(sealed), "logs/a", &sender, true, 0).expect("readable"));
        let list = Acl::canned("log-delivery-write", "111111111111", "111111111111").expect("one").to_string();
        let listed = Documents::default().with(ACL, "", &list);
        assert!(!may(listed.clone(), "a"), "lists do not count");
        let writer = text(&OwnershipControls(Ownership::ObjectWriter));
        let counts = |docs: Documents| docs.with(OwnershipControls::KIND, "", &writer).with(ACL, "", &list);
        assert!(may(counts(Documents::default()), "a"));
        assert!(!may(counts(policy("Deny", LOGS, "{}")), "logs/a"));
    }
}

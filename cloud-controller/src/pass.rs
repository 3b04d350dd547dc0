//! Passes: what the front door tells the cloud controller through a Walrus of its own, that it has decided a request
//! already, and the quotas that bind it. Only there is it known where the request came from. A pass is sealed with the
//! database's key, is for one signature and the rights that were found to be there, and is good for a minute; clients
//! never see one.

use mallee_proto::v1::AuthorizeS3Request;
use mallee_store::{Store, StoreError, text_open, text_seal};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

/// The header in which a pass goes to Walrus.
pub const HEADER: &str = "x-mallee-pass";
/// How long one is good, in milliseconds: clocks of replicas may differ by seconds.
const LIFE_MS: i64 = 60_000;
const NAME: &str = "s3 pass";
/// Longest pass, in bytes: most of it are quotas.
const PASS_BYTES_MAX: usize = 32 * 1024;

/// A digest of actions and what on, in their order: a Walrus that reads a request otherwise has to ask.
pub(crate) fn digest<'a>(rights: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for text in rights.flat_map(|(action, resource)| [action, resource]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

/// A pass for the request of this signature, which takes rights of this digest, with its quotas as JSON.
///
/// # Errors
/// None in practice.
pub(crate) fn issue(
    store: &Store,
    access_key_id: &str,
    signature: &[u8],
    rights: &str,
    limits: &str,
    now_ms: i64,
) -> Result<String, StoreError> {
    let text = format!("{access_key_id} {} {rights} {now_ms}\n{limits}", hex::encode(signature));
    Ok(hex::encode(text_seal(store, NAME, &text)?))
}

/// The quotas of a request that came with a pass of its own; `None`: it did not.
pub(crate) fn opened(store: &Store, asked: &AuthorizeS3Request, now_ms: i64) -> Option<String> {
    if asked.pass.is_empty() || asked.pass.len() > PASS_BYTES_MAX {
        return None;
    }
    let text = hex::decode(&asked.pass).ok().and_then(|sealed| text_open(store, NAME, &sealed).ok())?;
    let (head, limits) = text.expose_secret().split_once('\n')?;
    let mut words = head.split(' ');
    let (key, signature, rights) = (words.next(), words.next(), words.next());
    let made = words.next().and_then(|ms| ms.parse::<i64>().ok());
    let asks = digest(asked.questions.iter().map(|question| (question.action.as_str(), question.resource.as_str())));
    let fresh = made.is_some_and(|made| (now_ms - made).abs() <= LIFE_MS);
    let own = key == Some(&asked.access_key_id) && signature == Some(&asked.signature) && !asked.signature.is_empty();
    (fresh && own && rights == Some(&asks)).then(|| limits.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]
mod tests {
    use super::*;
    use mallee_proto::v1::S3Question;
    use mallee_store::test_support::TestDb;

    #[tokio::test]
    async fn a_pass_is_for_one_signature_its_rights_and_one_minute() {
        let store = TestDb::sqlite().await.open().await;
        let question = |action: &str, resource: &str| S3Question { action: action.into(), resource: resource.into() };
        let rights = digest([("s3:GetObject", "arn:aws:s3:::b/k")].into_iter());
        let pass = issue(&store, "AKIA1", &[7; 32], &rights, "{}", 1_000_000).unwrap();
        let asked = AuthorizeS3Request {
            access_key_id: "AKIA1".into(),
            signature: hex::encode([7; 32]),
            pass,
            questions: vec![question("s3:GetObject", "arn:aws:s3:::b/k")],
            ..AuthorizeS3Request::default()
        };
        assert_eq!(opened(&store, &asked, 1_030_000).as_deref(), Some("{}"));
        assert_eq!(opened(&store, &asked, 1_061_000), None);
        let other = |change: fn(&mut AuthorizeS3Request)| {
            let mut asked = asked.clone();
            change(&mut asked);
            opened(&store, &asked, 1_000_000).is_some()
        };
        assert!(!other(|a| a.access_key_id = "AKIA2".into()));
        assert!(!other(|a| a.signature = hex::encode([8; 32])));
        assert!(!other(|a| a.questions[0].action = "s3:PutObject".into()));
        assert!(!other(|a| a.questions[0].resource = "arn:aws:s3:::b/l".into()));
        assert!(!other(|a| a.questions.clear()));
        assert!(!other(|a| a.questions.push(a.questions[0].clone())));
        assert!(!other(|a| a.pass = String::new()));
        assert!(!other(|a| a.pass = "00".repeat(60)));
    }
}

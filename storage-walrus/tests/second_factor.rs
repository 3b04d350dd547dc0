//! Versions that are deleted only with a second factor, where the bucket begins to ask for one while a request is on its
//! way; and who learns of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod inside;

use async_trait::async_trait;
use http::StatusCode;
use inside::Inside;
use mallee_awswire::sigv4::{Fault, SignedRequest};
use mallee_awswire::{ApiError, Code};
use mallee_runtime::FaultAction;
use mallee_walrus::{Authority, Caller, Case, Engine, Identified, Identity, Judgement, SecondFactor};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::OffsetDateTime;

const ACCOUNT: &str = "111111111111";
const LONG: Duration = Duration::from_millis(300);
const FACTOR: &str = "device 123456";
const DELETES: &str = "walrus.delete.commit";
const CONFIGURES: &str = "walrus.config.commit";

/// Everybody is a user of the account, who may what is not kept from them, and has a device.
#[derive(Debug, Default)]
struct Rights {
    /// Resources that nobody may anything of begin with one of these.
    kept: Mutex<Vec<String>>,
    root: AtomicBool,
    /// Codes that were given.
    codes: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, Default)]
struct Everybody(Arc<Rights>);

struct User(Arc<Rights>, Caller);

#[async_trait]
impl Authority for Everybody {
    async fn identify(&self, _: &SignedRequest<'_>, _: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        Ok(None)
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        let root = self.0.root.load(Ordering::Relaxed);
        let caller = Caller { account: ACCOUNT.to_owned(), arn: format!("arn:aws:iam::{ACCOUNT}:user/u"), root };
        Arc::new(User(self.0.clone(), caller))
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        Ok(vec![true; names.len()])
    }

    async fn role(&self, _: &str, _: &str, _: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        Ok(None)
    }
}

#[async_trait]
impl Identity for User {
    fn caller(&self) -> Option<&Caller> {
        Some(&self.1)
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        let kept = self.0.kept.lock().unwrap();
        let is_kept = |resource: &str| kept.iter().any(|prefix| resource.starts_with(prefix));
        let refusals = case.questions.iter().map(|q| is_kept(&q.resource).then(|| "Access Denied".to_owned()));
        Ok(Judgement { refusals: refusals.collect(), ..Judgement::default() })
    }

    async fn prove(&self, factor: &SecondFactor<'_>) -> Result<(), ApiError> {
        let mut codes = self.0.codes.lock().unwrap();
        codes.push(factor.code.to_owned());
        let spent = codes.iter().collect::<HashSet<_>>().len() < codes.len();
        if spent { Err(Code::AccessDenied.error()) } else { Ok(()) }
    }
}

struct World {
    rights: Arc<Rights>,
    inside: Inside,
}

impl World {
    /// With a bucket that has versions, two of `k`: their ids.
    async fn new() -> (Self, [String; 2]) {
        let authority = Everybody::default();
        let rights = authority.0.clone();
        let world = Self { rights, inside: Inside::open(Arc::new(authority)).await };
        assert_eq!(world.send("PUT", "/bkt", "", None).await.0, StatusCode::OK);
        assert_eq!(world.send("PUT", "/bkt?versioning", &versioning("Enabled", ""), None).await.0, StatusCode::OK);
        let mut ids = [String::new(), String::new()];
        for id in &mut ids {
            assert_eq!(world.send("PUT", "/bkt/k", "text", None).await.0, StatusCode::OK);
            *id = world.engine().object("bkt", "k").await.unwrap().info.version.to_string();
        }
        (world, ids)
    }

    fn engine(&self) -> &Engine {
        self.inside.engine()
    }

    async fn guard(&self, on: bool) {
        let versioning = self.engine().bucket("bkt").await.unwrap().versioning;
        self.engine().set_versioning_and_mfa_delete("bkt", versioning, Some(on)).await.unwrap();
    }

    async fn guarded(&self) -> bool {
        self.engine().bucket("bkt").await.unwrap().docs.mfa_delete()
    }

    async fn has(&self, id: &str) -> bool {
        self.send("HEAD", &format!("/bkt/k?versionId={id}"), "", None).await.0 == StatusCode::OK
    }

    async fn send(&self, method: &str, path: &str, body: &str, factor: Option<&str>) -> (StatusCode, String) {
        let factor: Vec<_> = factor.map(|factor| ("x-amz-mfa", factor)).into_iter().collect();
        self.inside.send(method, path, body, &factor).await
    }

    /// As [`Self::send`], and the bucket begins to ask for a second factor when all has been decided, at this point.
    async fn send_and_guard(&self, point: &str, request: [&str; 3], factor: Option<&str>) -> (StatusCode, String) {
        let [method, path, body] = request;
        let struck = self.inside.faults.hit().len();
        self.inside.faults.arm(point, FaultAction::Delay(LONG), 1);
        let guard = async {
            while self.inside.faults.hit().len() == struck {
                tokio::time::sleep(LONG / 30).await;
            }
            self.guard(true).await;
        };
        tokio::join!(self.send(method, path, body, factor), guard).0
    }
}

fn versioning(status: &str, more: &str) -> String {
    format!("<VersioningConfiguration><Status>{status}</Status>{more}</VersioningConfiguration>")
}

fn batch(keys: &[(&str, Option<&str>)]) -> String {
    let object = |(key, version): &(&str, Option<&str>)| {
        let version = version.map(|id| format!("<VersionId>{id}</VersionId>")).unwrap_or_default();
        format!("<Object><Key>{key}</Key>{version}</Object>")
    };
    format!("<Delete>{}</Delete>", keys.iter().map(object).collect::<String>())
}

#[tokio::test]
async fn a_version_is_not_deleted_once_a_factor_is_asked_for() {
    let (world, [one, _]) = World::new().await;
    let path = format!("/bkt/k?versionId={one}");
    let (status, said) = world.send_and_guard(DELETES, ["DELETE", &path, ""], None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    assert!(said.contains("Mfa Authentication") && world.has(&one).await);
    world.guard(false).await;
    let (status, said) = world.send_and_guard(DELETES, ["DELETE", &path, ""], Some(FACTOR)).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    assert!(!world.has(&one).await);
    assert_eq!(*world.rights.codes.lock().unwrap(), ["123456"]);
    // Without a version's name nothing is asked.
    assert_eq!(world.send("DELETE", "/bkt/k", "", None).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nor_is_one_of_a_batch() {
    let (world, [one, two]) = World::new().await;
    // Who may not everything may what is asked, the second time, too.
    *world.rights.kept.lock().unwrap() = vec!["arn:aws:s3:::bkt/*".to_owned()];
    let body = batch(&[("k", Some(&one)), ("other", None)]);
    let (status, said) = world.send_and_guard(DELETES, ["POST", "/bkt?delete", &body], None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    assert!(world.has(&one).await);
    world.guard(false).await;
    let (status, said) = world.send_and_guard(DELETES, ["POST", "/bkt?delete", &body], Some(FACTOR)).await;
    assert!(status == StatusCode::OK && !said.contains("<Error>"), "{status} {said}");
    assert!(!world.has(&one).await && world.has(&two).await);
    assert_eq!(*world.rights.codes.lock().unwrap(), ["123456"]);
}

#[tokio::test]
async fn nor_is_versioning_changed() {
    let (world, _) = World::new().await;
    let suspended = versioning("Suspended", "");
    let (status, said) = world.send_and_guard(CONFIGURES, ["PUT", "/bkt?versioning", &suspended], None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    assert!(said.contains("Mfa Authentication"), "{said}");
    // What asked for no change asks for one by now, and that is the root user's.
    world.guard(false).await;
    let free = versioning("Enabled", "<MfaDelete>Disabled</MfaDelete>");
    let (status, said) = world.send_and_guard(CONFIGURES, ["PUT", "/bkt?versioning", &free], Some(FACTOR)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    assert!(said.contains("root user") && world.guarded().await, "{said}");
    world.guard(false).await;
    world.rights.root.store(true, Ordering::Relaxed);
    let (status, said) = world.send_and_guard(CONFIGURES, ["PUT", "/bkt?versioning", &free], Some(FACTOR)).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert!(!world.guarded().await);
    assert_eq!(*world.rights.codes.lock().unwrap(), ["123456"]);
}

#[tokio::test]
async fn who_may_nothing_does_not_learn_of_it_and_spends_no_code() {
    let (world, [one, two]) = World::new().await;
    *world.rights.kept.lock().unwrap() = vec!["arn:aws:s3:::bkt/".to_owned()];
    let body = batch(&[("k", Some(&one)), ("k", None), ("other", Some("none"))]);
    let without = world.send("POST", "/bkt?delete", &body, Some(FACTOR)).await;
    world.guard(true).await;
    for factor in [None, Some(FACTOR)] {
        assert_eq!(world.send("POST", "/bkt?delete", &body, factor).await, without);
    }
    assert_eq!(without.0, StatusCode::OK);
    assert_eq!(without.1.matches("AccessDenied").count(), 3, "{}", without.1);
    assert_eq!(*world.rights.codes.lock().unwrap(), [""; 0]);
    // Who may some of it proves a factor, or nothing is done.
    *world.rights.kept.lock().unwrap() = vec!["arn:aws:s3:::bkt/other".to_owned()];
    assert_eq!(world.send("POST", "/bkt?delete", &body, None).await.0, StatusCode::FORBIDDEN);
    assert!(world.has(&one).await && world.has(&two).await);
    assert_eq!(world.send("POST", "/bkt?delete", &body, Some(FACTOR)).await.0, StatusCode::OK);
    assert!(!world.has(&one).await && world.has(&two).await);
}

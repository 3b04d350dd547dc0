//! A cloud's whole front door over a real database, and callers of all kinds.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http_body_util::BodyExt as _;
use mallee_app::sts::token_hash;
use mallee_app::test_support::{self, config};
use mallee_app::{Cloud, CloudConfig};
use mallee_audit::{Position, Record, read};
use mallee_awswire::sigv4::derive_signing_key;
use mallee_cloud_controller::audit::Trail;
use mallee_cloud_controller::front::Front;
use mallee_cloud_controller::{CloudAuthority, LocalS3, verifier};
use mallee_runtime::Faults;
use mallee_s3::objects::{Condition, Description, Engine, FileBlobs, Properties, StoreMetadata};
use mallee_s3::{S3, S3Config};
use mallee_store::test_support::TestDb;
use mallee_store::{
    AccessKeyRow, AccountRow, IamBoundaryRow, IamInlinePolicyRow, IamPolicyRow, Json, PrincipalKind, RoleRow,
    SessionDoc, SessionKind, SessionRow, Store, Tx, UserRow, access_key_insert, account_insert, iam_boundary_put,
    iam_inline_put, iam_policy_insert, role_insert, session_insert, user_insert,
};
use mallee_types::AccountId;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tower::ServiceExt as _;

pub const REGION: &str = "eu-1";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "x-amz-target";
pub const HOST: &str = "cloud.test:8773";
/// The domain of its object store's virtual hosts.
pub const DOMAIN: &str = "s3.cloud.test";
/// Objects that are there: bucket and key.
const OBJECTS: [(&str, &str); 4] = [("b", "k"), ("b", "l"), ("b", "open/x"), ("c", "d")];

/// Keys of a caller.
#[derive(Debug, Clone)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

/// What a signature is for, and the operation where a header names it.
struct Signed<'a> {
    service: &'a str,
    target: Option<&'a str>,
    /// Further headers of an S3 request.
    headers: &'a [(&'static str, &'a str)],
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub code: String,
    pub text: String,
}

pub struct World {
    pub store: Store,
    pub cloud: Arc<Cloud>,
    pub account: AccountId,
    pub root: Keys,
    router: axum::Router,
    objects: Engine,
    _blobs: tempfile::TempDir,
    audit: tempfile::TempDir,
    db: TestDb,
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The header that says what the body hashes to: some operations want one.
fn checksum(body: &str) -> Vec<(&'static str, String)> {
    let sum = || STANDARD.encode(Sha256::digest(body));
    if body.is_empty() { Vec::new() } else { vec![("x-amz-checksum-sha256", sum())] }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl World {
    pub async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let config = CloudConfig { region: REGION.into(), endpoint: format!("http://{HOST}"), ..config() };
        let cloud = test_support::cloud(&db, &store, config, Faults::none());
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let blobs = tempfile::tempdir().unwrap();
        let files = FileBlobs::open(blobs.path(), db.clock.clone(), db.rng.clone(), Faults::none()).unwrap();
        let meta = Arc::new(StoreMetadata::new(store.clone()));
        let objects = Engine::new(meta, Arc::new(files), db.clock.clone(), db.rng.clone(), Faults::none());
        let verifier = verifier(&store);
        let authority = Arc::new(CloudAuthority::new(verifier.clone()));
        let audit = tempfile::tempdir().unwrap();
        let trail = Arc::new(Trail::open(audit.path()).await.unwrap());
        authority.attach(&cloud, Some(trail));
        let config = S3Config { region: REGION.into(), domains: vec![DOMAIN.to_owned()], ..S3Config::default() };
        let s3 = mallee_s3::router(S3::new(objects.clone(), authority, config));
        let router = Arc::new(Front::new(cloud.clone(), Arc::new(LocalS3::new(s3)), verifier)).router();
        let root =
            Keys { id: access.access_key_id, secret: access.secret_access_key.expose_secret().to_owned(), token: None };
        Self { store, cloud, account: access.account, root, router, objects, _blobs: blobs, audit, db }
    }

    /// Sees to it that the buckets `b` and `c` and what is in them are there, and nothing else.
    pub async fn stock(&self) {
        for bucket in ["b", "c", "k"] {
            self.objects.ensure_owner(self.account.as_str()).await.unwrap();
            drop(self.objects.create_bucket(bucket, self.account.as_str(), REGION).await);
        }
        for (bucket, key) in OBJECTS {
            let mut sink = self.objects.sink();
            sink.write(key.into()).await.unwrap();
            let what = Description { bucket: bucket.into(), key: key.into(), ..Description::default() };
            self.objects.put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap();
        }
    }

    /// Another account, and its administrator's keys.
    pub async fn account(&self, id: &str) -> (AccountId, Keys) {
        let id: AccountId = id.parse().unwrap();
        let mut tx = self.store.write().await.unwrap();
        let name = format!("account-{id}");
        account_insert(&mut tx, &AccountRow { id: id.clone(), name, created_ms: 0 }).await.unwrap();
        self.cloud.ensure_default_vpc(&mut tx, &id).await.unwrap();
        let keys = self.user_in(&mut tx, &id, "boss", true).await;
        tx.commit().await.unwrap();
        (id, keys)
    }

    async fn user_in(&self, tx: &mut Tx, account: &AccountId, name: &str, is_admin: bool) -> Keys {
        let id = format!("AIDA{}{name}", account.as_str());
        let row = UserRow {
            id: id.clone(),
            account_id: account.clone(),
            name: name.to_owned(),
            path: "/".to_owned(),
            created_ms: 0,
            is_admin,
        };
        user_insert(tx, &row).await.unwrap();
        let keys = Keys {
            id: format!("AKIA{}", sha256(id.as_bytes())[..16].to_ascii_uppercase()),
            secret: sha256(format!("secret of {id}").as_bytes())[..40].to_owned(),
            token: None,
        };
        let key =
            AccessKeyRow { id: keys.id.clone(), user_id: id, account_id: account.clone(), active: true, created_ms: 0 };
        access_key_insert(tx, &key, &keys.secret.clone().into()).await.unwrap();
        keys
    }

    /// The unique id of a user that [`World::user`] made.
    pub fn user_id(&self, name: &str) -> String {
        format!("AIDA{}{name}", self.account.as_str())
    }

    /// A user of the first account with inline policies and a boundary.
    pub async fn user(&self, name: &str, policies: &[&str], boundary: Option<&str>) -> Keys {
        let mut tx = self.store.write().await.unwrap();
        let keys = self.user_in(&mut tx, &self.account, name, false).await;
        let id = self.user_id(name);
        for (at, document) in policies.iter().enumerate() {
            let row = IamInlinePolicyRow {
                principal_kind: PrincipalKind::User,
                principal_id: id.clone(),
                name: format!("p{at}"),
                account_id: self.account.clone(),
                document: (*document).to_owned(),
            };
            iam_inline_put(&mut tx, &row).await.unwrap();
        }
        if let Some(document) = boundary {
            let arn = format!("arn:aws:iam::{}:policy/bound-{name}", self.account);
            let policy = IamPolicyRow {
                id: format!("ANPA{name}"),
                account_id: self.account.clone(),
                name: format!("bound-{name}"),
                path: "/".to_owned(),
                arn: arn.clone(),
                description: String::new(),
                default_version: 1,
                latest_version: 1,
                created_ms: 0,
                updated_ms: 0,
            };
            iam_policy_insert(&mut tx, &policy, document).await.unwrap();
            let row = IamBoundaryRow {
                principal_kind: PrincipalKind::User,
                principal_id: id,
                policy_arn: arn,
                account_id: self.account.clone(),
            };
            iam_boundary_put(&mut tx, &row).await.unwrap();
        }
        tx.commit().await.unwrap();
        keys
    }

    /// A session of a role of the first account that may everything, with session policies. (Of a federated user IAM would
    /// say so whatever its policies are.)
    pub async fn session(&self, user: &str, policies: &[&str], expires_in_ms: i64) -> Keys {
        let token = format!("token of {user}");
        let keys = Keys {
            id: format!("ASIA{}", sha256(user.as_bytes())[..16].to_ascii_uppercase()),
            secret: sha256(format!("session of {user}").as_bytes())[..40].to_owned(),
            token: Some(token.clone()),
        };
        let now_ms = self.cloud.clock().now_ms();
        let role = RoleRow {
            id: format!("AROA{user}"),
            account_id: self.account.clone(),
            name: format!("role-{user}"),
            path: "/".to_owned(),
            description: None,
            trust: r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
            max_session_seconds: 3600,
            created_ms: now_ms,
            last_used_ms: None,
            last_used_region: None,
        };
        let everything = IamInlinePolicyRow {
            principal_kind: PrincipalKind::Role,
            principal_id: role.id.clone(),
            name: "all".to_owned(),
            account_id: self.account.clone(),
            document: r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#
                .to_owned(),
        };
        let row = SessionRow {
            id: keys.id.clone(),
            account_id: self.account.clone(),
            kind: SessionKind::Role,
            principal_id: role.id.clone(),
            name: "guest".to_owned(),
            token_hash: token_hash(&token),
            issued_ms: now_ms,
            expires_ms: now_ms + expires_in_ms,
            doc: Json(SessionDoc {
                policies: Some(policies.iter().map(|p| (*p).to_owned()).collect()),
                ..SessionDoc::default()
            }),
        };
        let mut tx = self.store.write().await.unwrap();
        role_insert(&mut tx, &role).await.unwrap();
        iam_inline_put(&mut tx, &everything).await.unwrap();
        session_insert(&mut tx, &row, &keys.secret.clone().into()).await.unwrap();
        tx.commit().await.unwrap();
        keys
    }

    /// One call of a Query service.
    pub async fn call(&self, service: &str, action: &str, pairs: &[(String, String)], keys: Option<&Keys>) -> Answer {
        self.call_at(service, action, pairs, keys, 0).await
    }

    /// As [`World::call`], signed with a clock that is off by so many seconds.
    pub async fn call_at(
        &self,
        service: &str,
        action: &str,
        pairs: &[(String, String)],
        keys: Option<&Keys>,
        seconds_off: i64,
    ) -> Answer {
        let version = match service {
            "ec2" => "2016-11-15",
            "iam" => "2010-05-08",
            _ => "2011-06-15",
        };
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in pairs {
            form.push_str(&format!("&{}={}", encode(name), encode(value)));
        }
        let mut request = Request::builder().method("POST").uri("/").header("host", HOST).header("content-type", FORM);
        if let Some(keys) = keys {
            for (name, value) in
                self.signature(Signed { service, target: None, headers: &[] }, "POST", "/", &form, keys, seconds_off)
            {
                request = request.header(name, value);
            }
        }
        self.send(request.body(Body::from(form)).unwrap()).await
    }

    /// One call of a service that speaks JSON, signed with a clock that is off by so many seconds.
    pub async fn json(
        &self,
        service: &'static str,
        action: &str,
        body: &str,
        keys: Option<&Keys>,
        seconds_off: i64,
    ) -> Answer {
        let interface = if service == "kms" { "TrentService" } else { "CloudTrail_20131101" };
        let target = format!("{interface}.{action}");
        let mut request = Request::builder().method("POST").uri("/").header("host", HOST).header("content-type", JSON);
        match keys {
            Some(keys) => {
                let service = Signed { service, target: Some(&target), headers: &[] };
                for (name, value) in self.signature(service, "POST", "/", body, keys, seconds_off) {
                    request = request.header(name, value);
                }
            }
            // Only a signature tells a JSON service: a broken one.
            None => {
                let scope = format!("AKIAAAAAAAAAAAAAAAAA/20261121/{REGION}/{service}/aws4_request");
                let broken = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00");
                request = request.header(TARGET, &target).header("authorization", broken);
            }
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The policy of both buckets. It is put as it is: what a client could put is not at stake here.
    pub async fn set_policy(&self, policy: Option<&str>) {
        for bucket in ["b", "c"] {
            match policy {
                Some(text) => self.objects.set_document(bucket, "policy", "", text, &|_| Ok(())).await.unwrap(),
                None => drop(self.objects.remove_document(bucket, "policy", "").await.unwrap()),
            }
        }
    }

    /// What the audit trail has of S3, once it has this one.
    pub async fn records(&self, request_id: &str) -> Vec<Record> {
        for _ in 0..500 {
            let (records, _) = read::since(self.audit.path(), Position::default(), usize::MAX).unwrap();
            if records.iter().any(|record| record.request_id == request_id) {
                return records;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{request_id} has no record")
    }

    /// The object store, as what is behind its door.
    pub const fn objects(&self) -> &Engine {
        &self.objects
    }

    /// Writes an object with these tags, as nobody in particular.
    pub async fn write(&self, bucket: &str, key: &str, body: &'static str, tags: &[(&str, &str)]) {
        let mut sink = self.objects.sink();
        sink.write(body.into()).await.unwrap();
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let properties = Properties { tags, ..Properties::default() };
        let what = Description { bucket: bucket.into(), key: key.into(), properties, ..Description::default() };
        self.objects.put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap();
    }

    /// Takes away what keeps a bucket from the public.
    pub async fn open(&self, bucket: &str) {
        self.objects.set_document(bucket, "public-access-block", "", "", &|_| Ok(())).await.unwrap();
    }

    /// One S3 request that nobody signed.
    pub async fn s3_unsigned(&self, method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in checksum(body) {
            request = request.header(name, value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// One S3 request without a body.
    pub async fn s3(&self, method: &str, path: &str, keys: &Keys) -> Answer {
        self.s3_with(method, path, &[], "", keys).await
    }

    /// As [`World::s3`], signed with a clock that is off by so many seconds.
    pub async fn s3_at(&self, method: &str, path: &str, keys: &Keys, seconds_off: i64) -> Answer {
        let signed = Signed { service: "s3", target: None, headers: &[] };
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        for (name, value) in self.signature(signed, method, path, "", keys, seconds_off) {
            request = request.header(name, value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// One S3 request. Its query is written as it is signed: sorted, and with `=` behind every name.
    pub async fn s3_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
        keys: &Keys,
    ) -> Answer {
        // Of a list of parts it would be that of the object.
        let sum = if path.contains("uploadId=") { Vec::new() } else { checksum(body) };
        let sums = sum.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&'static str, &str)> = headers.iter().copied().chain(sums).collect();
        let headers = headers.as_slice();
        let host = headers.iter().find(|(name, _)| *name == "host").map_or(HOST, |(_, value)| *value);
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        // As clients send it: what has a body says how long it is.
        if !body.is_empty() || matches!(method, "PUT" | "POST") {
            request = request.header("content-length", body.len());
        }
        let signed = Signed { service: "s3", target: None, headers };
        for (name, value) in self.signature(signed, method, path, body, keys, 0) {
            request = request.header(name, value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The answer to a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        let code = code.or_else(|| text.split_once("\"__type\":\"").and_then(|(_, rest)| rest.split_once('"')));
        Answer { status, headers, code: code.map(|(code, _)| code.to_owned()).unwrap_or_default(), text }
    }

    fn signature(
        &self,
        Signed { service, target, headers: further }: Signed<'_>,
        method: &str,
        path: &str,
        body: &str,
        keys: &Keys,
        seconds_off: i64,
    ) -> Vec<(&'static str, String)> {
        let at = self.cloud.clock().now() + time::Duration::seconds(seconds_off);
        let date = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
        let stamp = format!("{date}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
        let mut headers = vec![("host", HOST.to_owned()), ("x-amz-date", stamp.clone())];
        headers.retain(|(name, _)| further.iter().all(|(given, _)| given != name));
        headers.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if service == "s3" {
            headers.push(("x-amz-content-sha256", sha256(body.as_bytes())));
        } else {
            headers
                .push(("content-type", if ["cloudtrail", "kms"].contains(&service) { JSON } else { FORM }.to_owned()));
        }
        headers.extend(target.map(|target| (TARGET, target.to_owned())));
        if let Some(token) = &keys.token {
            headers.push(("x-amz-security-token", token.clone()));
        }
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256(body.as_bytes()));
        let scope = format!("{date}/{REGION}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let key = derive_signing_key(&keys.secret.clone().into(), &date, REGION, service);
        let key = mallee_awswire::sigv4::SigningKey::new(key.expose_secret());
        let signature = hex::encode(key.sign(to_sign.as_bytes()));
        let credential = format!("{}/{scope}", keys.id);
        headers.retain(|(name, _)| *name != "host" && *name != "content-type");
        headers.push((
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"),
        ));
        headers
    }

    /// What the database's files hold: two that are equal mean that nothing was written between.
    pub fn fingerprint(&self) -> String {
        let path = self.db.url.strip_prefix("sqlite:").unwrap();
        let mut hash = Sha256::new();
        for file in [path.to_owned(), format!("{path}-wal")] {
            hash.update(std::fs::read(file).unwrap_or_default());
        }
        hex::encode(hash.finalize())
    }
}

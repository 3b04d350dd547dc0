//! AWS's own SDK for Rust, unmodified but for the HTTP client below: STS of a simulated cloud.

use aws_sdk_sts::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sts::config::{BehaviorVersion, Credentials, Region, RuntimeComponents};
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use aws_sdk_sts::types::Credentials as Issued;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client as Hyper, connect::HttpConnector as Plain};
use hyper_util::rt::TokioExecutor;
use mallee_tests::TestCloud;
use secrecy::ExposeSecret as _;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"agreed"}}}}"#;

/// Plain HTTP: the SDK's own client brings TLS of another crypto provider, which this cloud does without.
#[derive(Debug, Clone)]
struct Http(Hyper<Plain, Full<Bytes>>);

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
            let reply = http.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            let (parts, body) = reply.into_parts();
            let body = body.collect().await.map_err(|error| ConnectorError::io(error.into()))?.to_bytes();
            let reply = http::Response::from_parts(parts, SdkBody::from(body));
            HttpResponse::try_from(reply).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn client(cloud: &TestCloud, credentials: Credentials) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .endpoint_url(format!("http://{}", cloud.client().address()))
        .credentials_provider(credentials)
        .http_client(Http(Hyper::builder(TokioExecutor::new()).build_http()));
    aws_sdk_sts::Client::from_conf(config.build())
}

fn session(issued: &Issued) -> Credentials {
    let token = Some(issued.session_token().to_owned());
    Credentials::new(issued.access_key_id(), issued.secret_access_key(), token, None, "session")
}

#[tokio::test]
async fn awss_sdk_for_rust_uses_sts() {
    let cloud = TestCloud::start().await;
    let plain = cloud.client();
    let iam =
        async |action: &str, params: &[(&str, &str)]| plain.ask("iam", "2010-05-08", action, params).await.unwrap();
    let role = iam("CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)]).await;
    let role = role.first("Arn").unwrap();
    iam("CreateUser", &[("UserName", "u")]).await;
    let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}"#;
    iam("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", allow)]).await;
    let key = iam("CreateAccessKey", &[("UserName", "u")]).await;
    let text = |name| key.first(name).unwrap().to_owned();
    let own = client(&cloud, Credentials::new(text("AccessKeyId"), text("SecretAccessKey"), None, None, "user"));

    let me = own.get_caller_identity().send().await.unwrap();
    assert!(me.arn().unwrap().ends_with(":user/u"), "{me:?}");
    let (_, secret) = plain.keys();
    let administrator = Credentials::new(plain.keys().0, secret.expose_secret(), None, None, "first");
    let first = client(&cloud, administrator).get_caller_identity().send().await.unwrap();
    assert_eq!(first.account(), me.account(), "of the same account");
    assert_ne!(first.arn(), me.arn());

    let issued = own.get_session_token().duration_seconds(900).send().await.unwrap();
    let limited = client(&cloud, session(issued.credentials().unwrap()));
    assert_eq!(limited.get_caller_identity().send().await.unwrap().arn(), me.arn());
    let refused = limited.get_session_token().send().await.unwrap_err().into_service_error();
    assert_eq!(refused.code(), Some("AccessDenied"), "{refused:?}");

    let asked = limited.assume_role().role_arn(role).role_session_name("sdk");
    let refused = asked.clone().send().await.unwrap_err().into_service_error();
    assert_eq!(refused.code(), Some("AccessDenied"), "{refused:?}");
    let assumed = asked.external_id("agreed").send().await.unwrap();
    let who = assumed.assumed_role_user().unwrap();
    let session = client(&cloud, session(assumed.credentials().unwrap()));
    assert_eq!(session.get_caller_identity().send().await.unwrap().arn(), Some(who.arn()));
    assert!(who.arn().ends_with(":assumed-role/r/sdk"), "{who:?}");

    // A refusal that the model names is one that a program can match.
    let broken = own.assume_role().role_arn(role).role_session_name("sdk").external_id("agreed").policy("{");
    let refused = broken.send().await.unwrap_err().into_service_error();
    assert!(refused.is_malformed_policy_document_exception(), "{refused:?}");
}

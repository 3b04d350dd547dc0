//! The administration API: JSON under `/mallee/v1/`, signed like every other call (service name `mallee`), for
//! administrators only. The command line is its first client.

mod check;
mod events;
mod explain;
mod quotas;
mod spot;
mod status;
mod usage;
mod users;

use crate::front::Received;
use crate::tokens::JoinTokens;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use mallee_app::authorize::Ask;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use serde_json::{Value, json};

const ROOT: &str = "/mallee/v1/";
const NO_CONTROL_PORT: &str = "This cloud controller accepts no other daemons; start it with --control ADDR:PORT.";

/// Answers one authenticated call.
///
/// # Errors
/// The error to answer instead.
pub(crate) async fn answer(
    cloud: &Cloud,
    tokens: Option<&JoinTokens>,
    cx: &OpContext,
    request: &Received,
) -> Result<String, ApiError> {
    if !cx.actor.is_admin {
        return Err(Code::AccessDenied.message("Only an administrator of the cloud may make this call."));
    }
    let ask = Ask { action: &format!("mallee:{}", action(request)), resource: "*", ..Ask::default() };
    cloud.require(cx, &ask).await?;
    Ok(route(cloud, tokens, cx, request).await?.to_string() + "\n")
}

/// What an administrator may is a question of policies too: the action is method and subject, `mallee:GetStatus` for
/// `GET /mallee/v1/status`, `mallee:PostJoinTokens` for `POST /mallee/v1/join-tokens`.
pub(crate) fn action(request: &Received) -> String {
    let subject = request.path().strip_prefix(ROOT).unwrap_or_default().split('/').next().unwrap_or_default();
    let method = request.method.as_str().to_ascii_lowercase();
    std::iter::once(method.as_str()).chain(subject.split('-')).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The reply to a call.
pub(crate) fn respond(outcome: Result<String, &ApiError>) -> Response {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            json!({ "code": error.code().as_str(), "message": error.message() }).to_string() + "\n",
        ),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn route(
    cloud: &Cloud,
    tokens: Option<&JoinTokens>,
    cx: &OpContext,
    request: &Received,
) -> Result<Value, ApiError> {
    let unknown = || Code::InvalidAction.message(format!("There is nothing at {} {}.", request.method, request.path()));
    let parts: Vec<&str> = request.path().strip_prefix(ROOT).ok_or_else(unknown)?.split('/').collect();
    match (&request.method, parts.as_slice()) {
        (&Method::GET, ["status"]) => status::status(cloud, request.query()).await,
        (&Method::GET, ["explain", id]) => explain::explain(cloud, id).await,
        (&Method::POST, ["check"]) => check::check(cloud, body(request)?["repair"].as_bool() == Some(true)).await,
        (&Method::POST, ["join-tokens"]) => match tokens {
            Some(tokens) => tokens.issue(&body(request)?).await,
            None => Err(Code::UnsupportedOperation.message(NO_CONTROL_PORT)),
        },
        (&Method::GET, ["quotas", account]) => quotas::list(cloud, account).await,
        (&Method::POST, ["quotas", account]) => quotas::set(cloud, account, &body(request)?).await,
        (&Method::GET, ["quota-requests"]) => quotas::requests(cloud).await,
        (&Method::POST, ["quota-requests", id]) => quotas::decide(cloud, id, &body(request)?).await,
        (&Method::GET, ["spot-prices"]) => spot::prices(cloud).await,
        (&Method::POST, ["spot-prices"]) => spot::set(cloud, &body(request)?).await,
        (&Method::GET, ["events"]) => events::list(cloud, request.query()).await,
        (&Method::POST, ["events"]) => events::announce(cloud, &body(request)?).await,
        (&Method::POST, ["events", id]) => events::end(cloud, id, &body(request)?).await,
        (&Method::GET, ["usage"]) => usage::list(cloud, request.query()).await,
        (&Method::GET, ["usage", bucket]) => usage::bucket(cloud, bucket).await,
        // With tokens there are other processes, of which the object store is one.
        (&Method::POST, ["users"]) => users::import(cloud, cx, &body(request)?, tokens.is_none()).await,
        (&Method::GET, ["images", name]) => status::image(cloud, cx, name, request.query()).await,
        _ => Err(unknown()),
    }
}

fn body(request: &Received) -> Result<Value, ApiError> {
    serde_json::from_slice(&request.body).map_err(|e| Code::InvalidRequest.message(format!("The body is no JSON: {e}")))
}

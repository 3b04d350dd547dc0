//! What a request says beside who sent it: the values of condition keys.

use http::HeaderMap;
use http::header::{AsHeaderName, REFERER, USER_AGENT};
use mallee_app::RequestFacts;
use mallee_awswire::sigv4::{Claim, Placement, SignatureVersion};
use std::net::IpAddr;
use std::sync::Arc;

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Arc<str>> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(Arc::from)
}

/// Of a request that nobody signed, or not well.
pub(crate) fn of_stranger(headers: &HeaderMap, peer: Option<IpAddr>) -> RequestFacts {
    let (user_agent, referer) = (text(headers, USER_AGENT), text(headers, REFERER));
    RequestFacts { source_ip: peer, user_agent, referer, ..RequestFacts::default() }
}

/// Of a verified request. The port speaks plain HTTP: what came over TLS ended it before, and is not told here.
pub(crate) fn of(claim: &Claim, headers: &HeaderMap, peer: Option<IpAddr>) -> RequestFacts {
    RequestFacts {
        source_ip: peer,
        user_agent: text(headers, USER_AGENT),
        referer: text(headers, REFERER),
        secure: false,
        region: Some(claim.region.as_str()).filter(|region| !region.is_empty()).map(Into::into),
        access_key_id: Some(claim.access_key_id.as_str().into()),
        presigned: matches!(claim.placement, Placement::Query { .. }),
        sigv2: claim.version == SignatureVersion::V2,
        signed_ms: claim.signed_at().map(|at| at.unix_timestamp().saturating_mul(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn strangers_have_what_their_headers_say() {
        let headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static("browser")),
            (REFERER, HeaderValue::from_static("https://example.org/")),
        ]);
        let facts = of_stranger(&headers, None);
        assert_eq!(
            (facts.user_agent.as_deref(), facts.referer.as_deref()),
            (Some("browser"), Some("https://example.org/"))
        );
    }
}

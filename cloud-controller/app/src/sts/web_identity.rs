//! AssumeRoleWithWebIdentity: roles for those whom an OpenID Connect provider of the role's account vouches for.

use super::assume::{Assumed, describe, duration, parse_role_arn, session_of};
use super::issue::NewSession;
use super::policies::packed_size;
use super::rights::{context, trusts};
use super::tags::TAGS_MAX;
use super::{SessionPolicies, SessionTags};
use crate::fail::OrFail as _;
use crate::iam::oidc::provider_arn;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Context, Principal};
use mallee_oidc::{Claims, FetchError, JwtError, Provider, Refusal, Token};
use mallee_runtime::clock::from_unix_ms;
use mallee_store::{
    OidcProviderRow, RoleRow, SessionDoc, SessionKind, iam_tag_list, oidc_provider_fetch, role_by_name,
};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

/// The claims in which providers give session tags, and who it really is.
const TAGS_CLAIM: &str = "https://aws.amazon.com/tags";
const SOURCE_CLAIM: &str = "https://aws.amazon.com/source_identity";
const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
/// Characters of a session tag's key and value (AWS: 128 and 256).
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// What AssumeRoleWithWebIdentity is asked. Lengths and ranges are checked by the model.
#[derive(Debug, Default)]
pub struct AssumeRoleWithWebIdentity {
    /// The role.
    pub role_arn: String,
    /// Name of the session.
    pub session_name: String,
    /// The provider's token.
    pub token: SecretString,
    /// How long, in seconds.
    pub seconds: Option<u32>,
    /// Session policies.
    pub policies: SessionPolicies,
}

/// A role assumed, and for whom.
#[derive(Debug)]
pub struct WebAssumed {
    /// The role.
    pub assumed: Assumed,
    /// `sub` of the token.
    pub subject: String,
    /// The audience that the provider is registered with.
    pub audience: String,
    /// ARN of the provider.
    pub provider: String,
}

fn not_authorized() -> ApiError {
    Code::AccessDenied.message(format!("Not authorized to perform {ACTION}"))
}

fn bad_token(error: &JwtError) -> ApiError {
    let moment = |seconds: i64| from_unix_ms(seconds.saturating_mul(1000)).format(&Rfc3339).unwrap_or_default();
    match error {
        JwtError::Malformed => Code::InvalidIdentityToken
            .message("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"),
        JwtError::Missing(claim) => Code::InvalidIdentityToken.message(format!("Missing a required claim: {claim}")),
        JwtError::Expired { now, end } => Code::ExpiredTokenException.message(format!(
            "Token expired: current date/time {} must be before the expiration date/time {}",
            moment(*now),
            moment(*end)
        )),
        JwtError::Early => {
            Code::IdpRejectedClaim.message("The token is not valid yet: its iat or nbf is in the future")
        }
        JwtError::Signature => {
            Code::InvalidIdentityToken.message("No matching key of the identity provider has signed the token")
        }
    }
}

fn refusal(refusal: &Refusal, url: &str) -> ApiError {
    match refusal {
        Refusal::Token(error) => bad_token(error),
        // What the provider's document is like, and where its name leads, is for the operator's eyes.
        Refusal::Keys(error @ FetchError::Refused(_)) => Code::InvalidIdentityToken
            .message("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
            .because(error),
        Refusal::Keys(error @ FetchError::Untrusted(_)) => Code::InvalidIdentityToken
            .message("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
            .because(error),
        Refusal::Keys(error @ FetchError::Unreachable(_)) => Code::IdpCommunicationError
            .message(format!("The identity provider https://{url} could not be reached. Please try again."))
            .because(error),
    }
}

/// The audience that counts: the party that the token was given to, where it names one.
fn audience(claims: &Claims, provider: &OidcProviderRow) -> Result<String, ApiError> {
    let registered = |audience: &&String| provider.client_ids.0.contains(*audience);
    let found = match &claims.authorized_party {
        Some(party) => Some(party).filter(registered),
        None => claims.audiences.iter().find(registered),
    };
    found.cloned().ok_or_else(|| Code::InvalidIdentityToken.message("Incorrect token audience"))
}

/// Session tags as the token gives them: `{"principal_tags": {"key": ["value"]}, "transitive_tag_keys": ["key"]}`.
fn tags(claims: &Claims) -> Result<SessionTags, ApiError> {
    let Some(given) = claims.all.get(TAGS_CLAIM) else { return Ok(SessionTags::default()) };
    let bad = || Code::InvalidIdentityToken.message(format!("The claim {TAGS_CLAIM} does not read"));
    let text = |value: &Value| match value {
        Value::Array(list) if list.len() == 1 => list.first().and_then(Value::as_str).map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    };
    let pairs = given.get("principal_tags").and_then(Value::as_object).ok_or_else(bad)?;
    let tags: Option<Vec<_>> = pairs.iter().map(|(key, value)| Some((key.clone(), text(value)?))).collect();
    let transitive: Option<Vec<String>> = match given.get("transitive_tag_keys") {
        None => Some(Vec::new()),
        Some(list) => list.as_array().and_then(|list| list.iter().map(|key| key.as_str().map(str::to_owned)).collect()),
    };
    let tags = SessionTags { tags: tags.ok_or_else(bad)?, transitive: transitive.ok_or_else(bad)? };
    // What the model says of AssumeRole's parameters holds for claims too.
    let is_tag = |(key, value): &(String, String)| {
        let key_fits = (1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count());
        key_fits && value.chars().count() <= TAG_VALUE_CHARS_MAX && key.chars().chain(value.chars()).all(is_tag_char)
    };
    if tags.tags.len() > TAGS_MAX || !tags.tags.iter().all(is_tag) {
        return Err(bad());
    }
    tags.check()?;
    Ok(tags)
}

fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// Who it really is, as the token gives it.
fn source_identity(claims: &Claims) -> Result<Option<String>, ApiError> {
    let Some(given) = claims.all.get(SOURCE_CLAIM) else { return Ok(None) };
    let fits = |text: &&str| {
        (2..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
    };
    let text = given.as_str().filter(fits);
    let bad = || Code::InvalidIdentityToken.message(format!("The claim {SOURCE_CLAIM} does not read"));
    text.map(|text| Some(text.to_owned())).ok_or_else(bad)
}

impl Cloud {
    /// The caller of an unsigned AssumeRoleWithWebIdentity: nobody yet, in the account of the role that it names.
    ///
    /// # Errors
    /// `ValidationError` for what is no role's ARN.
    pub fn web_stranger(&self, role_arn: &str) -> Result<crate::Actor, ApiError> {
        let (account, ..) = parse_role_arn(role_arn)?;
        Ok(crate::Actor::stranger(account))
    }

    async fn role_of_arn(&self, arn: &str) -> Result<(AccountId, Option<RoleRow>), ApiError> {
        let (account, path, name) = parse_role_arn(arn)?;
        let found = role_by_name(self.store(), &account, &name).await.or_fail()?;
        Ok((account, found.filter(|role| role.path == path && role.name == name)))
    }

    /// `AssumeRoleWithWebIdentity`: the role's trust policy decides by what the token says.
    ///
    /// # Errors
    /// `InvalidIdentityToken`, `ExpiredTokenException`, `IDPCommunicationError`, `IDPRejectedClaim`, `AccessDenied` (also
    /// for roles that are not there), `ValidationError`, `MalformedPolicyDocument`, `PackedPolicyTooLarge`.
    pub async fn assume_role_with_web_identity(
        &self,
        cx: &OpContext,
        asked: AssumeRoleWithWebIdentity,
    ) -> Result<WebAssumed, ApiError> {
        let AssumeRoleWithWebIdentity { role_arn, session_name, token, seconds, policies } = asked;
        let (account, role) = self.role_of_arn(&role_arn).await?;
        let token = Token::parse(token.expose_secret()).map_err(|error| bad_token(&error))?;
        let issuer = token.issuer().map_err(|error| bad_token(&error))?.to_owned();
        let url = issuer.strip_prefix("https://").map(|url| url.trim_end_matches('/')).unwrap_or_default();
        let provider = oidc_provider_fetch(self.store(), &account, url).await.or_fail()?.ok_or_else(|| {
            let issuer = mallee_awswire::texts::clip(&issuer);
            Code::InvalidIdentityToken.message(format!("No OpenIDConnect provider found in your account for {issuer}"))
        })?;
        let now_ms = self.clock().now_ms();
        let asked = Provider { url: &provider.url, thumbprints: &provider.thumbprints.0 };
        let claims = self.oidc().verify(asked, token, now_ms.div_euclid(1000)).await;
        let claims = claims.map_err(|error| refusal(&error, &provider.url))?;
        let audience = audience(&claims, &provider)?;
        let tags = tags(&claims)?;
        let source_identity = source_identity(&claims)?;
        let role = role.ok_or_else(not_authorized)?;

        let vouched = Vouched { provider: &provider, claims: &claims, audience: &audience };
        let mut context = self.web_context(cx, &role, &vouched, now_ms).await?;
        describe(&mut context, &session_name, &tags, source_identity.as_deref());
        let principal = Principal::WebIdentity { provider: provider_arn(&provider).into() };
        let mut needed = vec![ACTION];
        if !tags.tags.is_empty() {
            needed.push("sts:TagSession");
        }
        if source_identity.is_some() {
            needed.push("sts:SetSourceIdentity");
        }
        if !needed.iter().all(|action| trusts(&role, &principal, action, &context)) {
            return Err(not_authorized());
        }
        let seconds = duration(seconds, &role, false)?;
        let packed_percent = packed_size(policies.bytes(), &tags.tags)?;
        let policies = self.session_documents(&account, policies).await?;
        let doc = SessionDoc {
            policies,
            tags: tags.tags,
            transitive_tag_keys: tags.transitive,
            source_identity: source_identity.clone(),
            provider: Some(provider_arn(&provider)),
            ..SessionDoc::default()
        };
        let session = session_of(&role, &session_name);
        let kind = SessionKind::Role;
        let new = NewSession { account, kind, principal_id: role.id, name: session_name, seconds, doc };
        let assumed = Assumed { issued: self.issue(new).await?, session, packed_percent, source_identity };
        Ok(WebAssumed { assumed, subject: claims.subject, audience, provider: provider_arn(&provider) })
    }

    /// The condition keys: of the request, of the role, and `PROVIDER:aud`, `oaud`, `sub` and `amr` of the token.
    async fn web_context(
        &self,
        cx: &OpContext,
        role: &RoleRow,
        vouched: &Vouched<'_>,
        now_ms: i64,
    ) -> Result<Context, ApiError> {
        let Vouched { provider, claims, audience } = vouched;
        let principal = Principal::WebIdentity { provider: provider_arn(provider).into() };
        let mut context = context(cx, now_ms);
        principal.describe(&mut context);
        let key = |name: &str| format!("{}:{name}", provider.url);
        context.set(&key("aud"), audience.as_str());
        context.set_all(&key("oaud"), claims.audiences.iter().map(String::as_str));
        context.set(&key("sub"), claims.subject.as_str());
        context.set_all(&key("amr"), claims.methods.iter().map(String::as_str));
        for tag in iam_tag_list(self.store(), &role.id).await.or_fail()? {
            context.set(&format!("aws:ResourceTag/{}", tag.key), tag.value.as_str());
            context.set(&format!("iam:ResourceTag/{}", tag.key), tag.value);
        }
        Ok(context)
    }
}

/// Whom a provider vouches for.
struct Vouched<'a> {
    provider: &'a OidcProviderRow,
    claims: &'a Claims,
    audience: &'a String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(all: Value) -> Claims {
        let Value::Object(all) = all else { panic!("{all}") };
        let (subject, audiences, methods) = ("s".into(), vec!["a".into()], Vec::new());
        Claims { subject, audiences, authorized_party: None, methods, all }
    }

    #[test]
    fn claims_are_held_to_what_parameters_are_held_to() {
        let tagged = |pairs: Value| tags(&claims(json!({ (TAGS_CLAIM): { "principal_tags": pairs } })));
        assert_eq!(tagged(json!({"team": ["red"]})).unwrap().tags, [("team".into(), "red".into())]);
        assert!(tags(&claims(json!({}))).unwrap().tags.is_empty());
        let many: serde_json::Map<String, Value> = (0..=TAGS_MAX).map(|n| (format!("k{n}"), json!("v"))).collect();
        let (long_key, long_value) = ("k".repeat(TAG_KEY_CHARS_MAX + 1), "v".repeat(TAG_VALUE_CHARS_MAX + 1));
        for bad in [
            json!({ (long_key): "v" }),
            json!({ "k": long_value }),
            json!({ "": "v" }),
            json!({ "k": "${aws:userid}" }),
            json!({ "k*": "v" }),
            json!({ "aws:k": "v" }),
            json!({ "k": ["a", "b"] }),
            Value::Object(many),
        ] {
            assert!(tagged(bad.clone()).is_err(), "{bad}");
        }
        let source = |given: Value| source_identity(&claims(json!({ (SOURCE_CLAIM): given })));
        assert_eq!(source(json!("ann@example.com")).unwrap().as_deref(), Some("ann@example.com"));
        assert_eq!(source_identity(&claims(json!({}))).unwrap(), None);
        for bad in [json!("a"), json!("a b"), json!("x".repeat(65)), json!(7), json!("*")] {
            assert!(source(bad.clone()).is_err(), "{bad}");
        }
    }
}

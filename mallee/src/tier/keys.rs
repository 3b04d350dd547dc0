//! Users' signing keys for a Walrus of its own: asked of the cloud controller, good for one day, region and service. The
//! verifier keeps them for a few seconds.

use super::directory::CloudLink;
use async_trait::async_trait;
use mallee_awswire::sigv2::{Signatory, SignatureQuery};
use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey};
use mallee_proto::Kind;
use mallee_proto::v1::{KeyRefusal, ResolveKeyReply, ResolveKeyRequest};
use mallee_walrus::Caller;

/// Keys from the Directory.
#[derive(Debug)]
pub(super) struct DirectoryKeys(pub CloudLink);

/// Who signed a request, as far as Walrus is told.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    /// As S3 knows it.
    pub caller: Caller,
    /// No policy can stand in its way.
    pub unrestricted: bool,
}

#[async_trait]
impl CredentialSource for DirectoryKeys {
    type Principal = Signer;

    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<Signer>, KeyError> {
        let request = ResolveKeyRequest {
            access_key_id: query.access_key_id.to_owned(),
            date: query.date.to_owned(),
            region: query.region.to_owned(),
            service: query.service.to_owned(),
            session_token: query.session_token.unwrap_or_default().to_owned(),
            ..ResolveKeyRequest::default()
        };
        let (reply, refusal) = self.ask(request).await?;
        if let Some(refusal) = refusal {
            return Err(key_error(refusal));
        }
        let key: &[u8; 32] = reply
            .signing_key
            .as_slice()
            .try_into()
            .map_err(|_| KeyError::Unavailable("the cloud controller sent a key of another length".to_owned()))?;
        let signing_key = SigningKey::new(key);
        let Signatory { principal, expires_at } = signatory(reply);
        Ok(ResolvedKey { principal, signing_key, expires_at })
    }

    /// The switch is the cloud controller's, and so is the comparison.
    fn takes_sigv2(&self) -> bool {
        true
    }

    async fn sigv2(&self, query: SignatureQuery<'_>) -> Result<Option<Signatory<Signer>>, KeyError> {
        let request = ResolveKeyRequest {
            access_key_id: query.access_key_id.to_owned(),
            service: query.service.to_owned(),
            session_token: query.session_token.unwrap_or_default().to_owned(),
            sigv2_string_to_sign: query.string_to_sign.to_owned(),
            sigv2_signature: query.signature.to_vec(),
            ..ResolveKeyRequest::default()
        };
        match self.ask(request).await? {
            (_, Some(KeyRefusal::Mismatch)) => Ok(None),
            (_, Some(refusal)) => Err(key_error(refusal)),
            (reply, None) => Ok(Some(signatory(reply))),
        }
    }
}

impl DirectoryKeys {
    /// The answer, and why it is no.
    async fn ask(&self, request: ResolveKeyRequest) -> Result<(ResolveKeyReply, Option<KeyRefusal>), KeyError> {
        let reply = self.0.resolve_key(request).await.map_err(|error| match error.kind {
            // A day or name that no key is given for.
            Kind::Invalid => KeyError::Unknown,
            _ => KeyError::Unavailable(error.message),
        })?;
        let refusal = (!reply.found).then(|| reply.refusal());
        Ok((reply, refusal))
    }
}

fn key_error(refusal: KeyRefusal) -> KeyError {
    match refusal {
        KeyRefusal::Unknown | KeyRefusal::Mismatch => KeyError::Unknown,
        KeyRefusal::Expired => KeyError::Expired,
        KeyRefusal::InvalidToken => KeyError::InvalidToken,
        KeyRefusal::Sigv2Off => KeyError::Sigv2Off,
    }
}

fn signatory(reply: ResolveKeyReply) -> Signatory<Signer> {
    let caller = Caller { account: reply.account_id, arn: reply.principal_arn, root: reply.root };
    Signatory {
        principal: Signer { caller, unrestricted: reply.unrestricted },
        expires_at: (reply.expires_at_ms != 0).then(|| mallee_runtime::clock::from_unix_ms(reply.expires_at_ms)),
    }
}

//! Users' signing keys for a Walrus of its own: asked of the cloud controller, good for one day, region and service. The
//! verifier keeps them for a few seconds.

use super::directory::CloudLink;
use async_trait::async_trait;
use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey};
use mallee_proto::Kind;
use mallee_proto::v1::ResolveKeyRequest;
use mallee_walrus::Caller;

/// Keys from the Directory.
#[derive(Debug)]
pub(super) struct DirectoryKeys(pub CloudLink);

#[async_trait]
impl CredentialSource for DirectoryKeys {
    type Principal = Caller;

    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<Caller>, KeyError> {
        // There are no sessions yet: a token that comes with a request is not ours.
        if query.session_token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let request = ResolveKeyRequest {
            access_key_id: query.access_key_id.to_owned(),
            date: query.date.to_owned(),
            region: query.region.to_owned(),
            service: query.service.to_owned(),
        };
        let reply = self.0.resolve_key(request).await.map_err(|error| match error.kind {
            // A day or name that no key is given for.
            Kind::Invalid => KeyError::Unknown,
            _ => KeyError::Unavailable(error.message),
        })?;
        if !reply.found {
            return Err(KeyError::Unknown);
        }
        let key: &[u8; 32] = reply
            .signing_key
            .as_slice()
            .try_into()
            .map_err(|_| KeyError::Unavailable("the cloud controller sent a key of another length".to_owned()))?;
        Ok(ResolvedKey {
            principal: Caller { account: reply.account_id, arn: reply.principal_arn },
            signing_key: SigningKey::new(key),
            expires_at: None,
        })
    }
}

//! Messages with secrets in them: what they show of themselves.

use crate::v1::{
    AuthorizeS3Request, DataKeyReply, DataKeyRequest, ResolveKeyReply, ResolveKeyRequest, RoleCredentials,
};
use std::fmt;

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleCredentials")
            .field("version", &self.version)
            .field("profile_arn", &self.profile_arn)
            .field("role_name", &self.role_name)
            .field("code", &self.code)
            .field("access_key_id", &self.access_key_id)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResolveKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key_id, date, region, service, session_token, .. } = self;
        f.debug_struct("ResolveKeyRequest")
            .field("access_key_id", access_key_id)
            .field("scope", &[date, region, service])
            .field("has_token", &!session_token.is_empty())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResolveKeyReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveKeyReply")
            .field("found", &self.found)
            .field("principal_arn", &self.principal_arn)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DataKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeyRequest")
            .field("access_key_id", &self.access_key_id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DataKeyReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeyReply").field("key_arn", &self.key_arn).field("code", &self.code).finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthorizeS3Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeS3Request")
            .field("access_key_id", &self.access_key_id)
            .field("questions", &self.questions.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::InstanceIntent;

    #[test]
    fn an_intent_shows_no_secrets() {
        let credentials = RoleCredentials {
            access_key_id: "ASIA1".into(),
            secret_access_key: "hidden-1".into(),
            session_token: "hidden-2".into(),
            ..RoleCredentials::default()
        };
        let shown = format!("{:?}", InstanceIntent { credentials: Some(credentials), ..InstanceIntent::default() });
        assert!(shown.contains("ASIA1") && !shown.contains("hidden"), "{shown}");
    }
}

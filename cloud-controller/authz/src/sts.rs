//! STS's rows.

use crate::kind::{Kind, ROLE, Service};
use crate::row::{Key, key, rows};

const ROLE_ARN: crate::row::Need = ROLE.at("RoleArn");
const FEDERATED: Kind = Kind { service: Service::Sts, word: "federated-user", is_shared: false };
const ASSUMED: &[Key] = &[
    key("sts:ExternalId", "ExternalId"),
    key("sts:RoleSessionName", "RoleSessionName"),
    key("sts:SourceIdentity", "SourceIdentity"),
    key("sts:TransitiveTagKeys", "TransitiveTagKeys.member.*"),
];

rows! {
    // The role's trust policy decides with the caller's: its handler has both.
    @Handler AssumeRole: ROLE_ARN.keys(ASSUMED);
    @Handler AssumeRoleWithSAML: ROLE_ARN;
    @Handler AssumeRoleWithWebIdentity: ROLE_ARN;
    AssumeRoot: ROLE.at("TargetPrincipal");
    DecodeAuthorizationMessage;
    GetAccessKeyInfo;
    // "No permissions are required", as AWS says.
    @Everybody GetCallerIdentity;
    GetDelegatedAccessToken;
    GetFederationToken: FEDERATED.named(None, "Name");
    // It proves a second factor: policies that ask for one must not stand before it.
    @Everybody GetSessionToken;
    GetWebIdentityToken;
}

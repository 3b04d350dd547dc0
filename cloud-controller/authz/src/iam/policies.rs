//! Managed policies and simulation.

use crate::kind::{POLICY, USER};
use crate::row::{Need, rows};

const ON: Need = POLICY.at("PolicyArn");
/// A user, group or role, by its ARN.
const SOURCE: Need = USER.at("PolicySourceArn");

rows! {
    CreatePolicy: POLICY.named(Some("Path"), "PolicyName");
    CreatePolicyVersion: ON;
    DeletePolicy: ON;
    DeletePolicyVersion: ON;
    GetContextKeysForCustomPolicy;
    GetContextKeysForPrincipalPolicy: SOURCE;
    GetPolicy: ON;
    GetPolicyVersion: ON;
    ListEntitiesForPolicy: ON;
    ListPolicies;
    ListPoliciesGrantingServiceAccess: USER.at("Arn");
    ListPolicyTags: ON;
    ListPolicyVersions: ON;
    SetDefaultPolicyVersion: ON;
    SimulateCustomPolicy;
    SimulatePrincipalPolicy: SOURCE;
    TagPolicy: ON;
    UntagPolicy: ON;
}

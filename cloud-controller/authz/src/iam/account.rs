//! The account: alias, password policy, reports, delegation, organisations.

use crate::row::rows;

rows! {
    AcceptDelegationRequest;
    AcquireRole;
    AssociateDelegationRequest;
    CreateAccountAlias;
    CreateDelegationRequest;
    DeleteAccountAlias;
    DeleteAccountPasswordPolicy;
    DisableOrganizationsRootCredentialsManagement;
    DisableOrganizationsRootSessions;
    DisableOutboundWebIdentityFederation;
    EnableOrganizationsRootCredentialsManagement;
    EnableOrganizationsRootSessions;
    EnableOutboundWebIdentityFederation;
    GenerateCredentialReport;
    GenerateOrganizationsAccessReport;
    GenerateServiceLastAccessedDetails;
    GetAccountAuthorizationDetails;
    GetAccountPasswordPolicy;
    GetAccountProperties;
    GetAccountSummary;
    GetCredentialReport;
    GetDelegationRequest;
    GetHumanReadableSummary;
    GetOrganizationsAccessReport;
    GetOutboundWebIdentityFederationInfo;
    GetRoleTemplateVersion;
    GetServiceLastAccessedDetails;
    GetServiceLastAccessedDetailsWithEntities;
    ListAccountAliases;
    ListDelegationRequests;
    ListOrganizationsFeatures;
    PutAccountProperties;
    RejectDelegationRequest;
    SendDelegationToken;
    SetSecurityTokenServicePreferences;
    UpdateAccountPasswordPolicy;
    UpdateDelegationRequest;
}

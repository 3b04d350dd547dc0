//! Identity providers.

use crate::kind::{OIDC, SAML};
use crate::row::{Need, rows};

const WEB: Need = OIDC.at("OpenIDConnectProviderArn");
const ON_SAML: Need = SAML.at("SAMLProviderArn");

rows! {
    AddClientIDToOpenIDConnectProvider: WEB;
    CreateOpenIDConnectProvider: OIDC.named(None, "Url");
    CreateSAMLProvider: SAML.named(None, "Name");
    DeleteOpenIDConnectProvider: WEB;
    DeleteSAMLProvider: ON_SAML;
    GetOpenIDConnectProvider: WEB;
    GetSAMLProvider: ON_SAML;
    ListOpenIDConnectProviderTags: WEB;
    ListOpenIDConnectProviders;
    ListSAMLProviderTags: ON_SAML;
    ListSAMLProviders;
    RemoveClientIDFromOpenIDConnectProvider: WEB;
    TagOpenIDConnectProvider: WEB;
    TagSAMLProvider: ON_SAML;
    UntagOpenIDConnectProvider: WEB;
    UntagSAMLProvider: ON_SAML;
    UpdateOpenIDConnectProviderThumbprint: WEB;
    UpdateSAMLProvider: ON_SAML;
}

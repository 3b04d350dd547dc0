//! What belongs to an account, for its removal.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

sql! {
    INSTANCES = "SELECT COUNT(*) FROM instances WHERE account_id = $1";
    INTERFACES = "SELECT COUNT(*) FROM interfaces WHERE account_id = $1";
    IMAGES = "SELECT COUNT(*) FROM images WHERE account_id = $1 AND state <> 'deregistered'";
    KEY_PAIRS = "SELECT COUNT(*) FROM key_pairs WHERE account_id = $1";
    ADDRESSES = "SELECT COUNT(*) FROM public_addresses WHERE account_id = $1";
    ELASTIC_IPS = "SELECT COUNT(*) FROM elastic_ips WHERE account_id = $1";
    BUCKETS = "SELECT COUNT(*) FROM s3_buckets WHERE account_id = $1";
    VPCS = "SELECT COUNT(*) FROM vpcs WHERE account_id = $1 AND NOT is_default";
    SUBNETS = "SELECT COUNT(*) FROM subnets WHERE account_id = $1 AND NOT is_default";
    ROUTE_TABLES = "SELECT COUNT(*) FROM route_tables t WHERE t.account_id = $1 AND NOT EXISTS
        (SELECT 1 FROM route_associations a WHERE a.table_id = t.id AND a.subnet_id IS NULL)";
    NETWORK_ACLS = "SELECT COUNT(*) FROM network_acls WHERE account_id = $1 AND NOT is_default";
    GATEWAYS = "SELECT COUNT(*) FROM internet_gateways WHERE account_id = $1 AND vpc_id IS NULL";
    EGRESS_ONLY_GATEWAYS = "SELECT COUNT(*) FROM egress_only_gateways WHERE account_id = $1";
    DHCP_OPTIONS = "SELECT COUNT(*) FROM dhcp_options WHERE account_id = $1 AND NOT is_default";
    TRANSIT_GATEWAYS = "SELECT COUNT(*) FROM transit_gateways WHERE account_id = $1 AND ended_ms IS NULL";
    PREFIX_LISTS = "SELECT COUNT(*) FROM prefix_lists WHERE account_id = $1";
    INSIGHTS = "SELECT COUNT(*) FROM insights_paths WHERE account_id = $1";
    SPOT_REQUESTS = "SELECT COUNT(*) FROM spot_requests WHERE account_id = $1 AND ended_ms IS NULL";
    FLEETS = "SELECT COUNT(*) FROM fleets WHERE account_id = $1 AND is_open";
    CAPACITY = "SELECT COUNT(*) FROM capacity_reservations WHERE account_id = $1 AND ended_ms IS NULL";
    HOSTS = "SELECT COUNT(*) FROM dedicated_hosts WHERE account_id = $1 AND released_ms IS NULL";
    UPLOADS = "SELECT COUNT(*) FROM s3_uploads WHERE account_id = $1";
    TEMPLATES = "SELECT COUNT(*) FROM launch_templates WHERE account_id = $1";
    PLACEMENT = "SELECT COUNT(*) FROM placement_groups WHERE account_id = $1";
    CERTIFICATES = "SELECT COUNT(*) FROM server_certificates WHERE account_id = $1";
    OIDC = "SELECT COUNT(*) FROM oidc_providers WHERE account_id = $1";
    TRAILS = "SELECT COUNT(*) FROM trails WHERE account_id = $1";
    KMS_KEYS = "SELECT COUNT(*) FROM kms_keys WHERE account_id = $1";
    USERS = "SELECT COUNT(*) FROM users WHERE account_id = $1 AND NOT is_admin";
    GROUPS = "SELECT COUNT(*) FROM iam_groups WHERE account_id = $1";
    POLICIES = "SELECT COUNT(*) FROM iam_policies WHERE account_id = $1";
    ROLES = "SELECT COUNT(*) FROM roles WHERE account_id = $1";
    PROFILES = "SELECT COUNT(*) FROM instance_profiles WHERE account_id = $1";
    WIPE_MEMBERS = "DELETE FROM iam_group_members WHERE user_id IN (SELECT id FROM users WHERE account_id = $1)";
    WIPE_KEYS = "DELETE FROM access_keys WHERE account_id = $1";
    WIPE_ATTACHMENTS = "DELETE FROM iam_attachments WHERE account_id = $1";
    WIPE_INLINE = "DELETE FROM iam_inline_policies WHERE account_id = $1";
    WIPE_BOUNDARIES = "DELETE FROM iam_boundaries WHERE account_id = $1";
    WIPE_IAM_TAGS = "DELETE FROM iam_tags WHERE account_id = $1";
    WIPE_TAGS = "DELETE FROM tags WHERE account_id = $1";
    WIPE_TOKENS = "DELETE FROM client_tokens WHERE account_id = $1";
    WIPE_POLICIES = "DELETE FROM iam_policies WHERE account_id = $1";
    WIPE_GROUPS = "DELETE FROM iam_groups WHERE account_id = $1";
    WIPE_PROFILES = "DELETE FROM instance_profiles WHERE account_id = $1";
    WIPE_ROLES = "DELETE FROM roles WHERE account_id = $1";
    WIPE_LOGINS = "DELETE FROM login_profiles WHERE account_id = $1";
    WIPE_MFA = "DELETE FROM mfa_devices WHERE account_id = $1";
    WIPE_SIGNING = "DELETE FROM signing_certificates WHERE account_id = $1";
    WIPE_CERTIFICATES = "DELETE FROM server_certificates WHERE account_id = $1";
    WIPE_SSH = "DELETE FROM ssh_public_keys WHERE account_id = $1";
    WIPE_OIDC = "DELETE FROM oidc_providers WHERE account_id = $1";
    WIPE_REPORTS = "DELETE FROM credential_reports WHERE account_id = $1";
    WIPE_PASSWORDS = "DELETE FROM password_policies WHERE account_id = $1";
    WIPE_TRAILS = "DELETE FROM trails WHERE account_id = $1";
    WIPE_FLOW_LOG_TAILS = "DELETE FROM flow_log_tails WHERE account_id = $1";
    WIPE_KMS_KEYS = "DELETE FROM kms_keys WHERE account_id = $1";
    WIPE_SESSIONS = "DELETE FROM sessions WHERE account_id = $1";
    WIPE_SPOT_REQUESTS = "DELETE FROM spot_requests WHERE account_id = $1";
    WIPE_FLEETS = "DELETE FROM fleets WHERE account_id = $1";
    WIPE_KEY_PAIRS = "DELETE FROM key_pairs WHERE account_id = $1";
    WIPE_TEMPLATES = "DELETE FROM launch_templates WHERE account_id = $1";
    WIPE_PLACEMENT = "DELETE FROM placement_groups WHERE account_id = $1";
    WIPE_CAPACITY = "DELETE FROM capacity_reservations WHERE account_id = $1";
    WIPE_DHCP_OPTIONS = "DELETE FROM dhcp_options WHERE account_id = $1";
    // Those that are live have interfaces, which are in the way.
    WIPE_NAT_GATEWAYS = "DELETE FROM nat_gateways WHERE account_id = $1";
    WIPE_TRANSIT_ATTACHMENTS = "DELETE FROM transit_attachments WHERE account_id = $1";
    WIPE_TRANSIT_TABLES = "DELETE FROM transit_tables WHERE account_id = $1";
    WIPE_TRANSIT_GATEWAYS = "DELETE FROM transit_gateways WHERE account_id = $1";
    WIPE_PREFIX_LISTS = "DELETE FROM prefix_lists WHERE account_id = $1";
    WIPE_ANALYSES = "DELETE FROM insights_analyses WHERE account_id = $1";
    WIPE_INSIGHTS = "DELETE FROM insights_paths WHERE account_id = $1";
    WIPE_HOSTS = "DELETE FROM dedicated_hosts WHERE account_id = $1";
    // What others let it see; what it let others see goes with its images.
    WIPE_PERMISSIONS = "DELETE FROM image_launch_permissions WHERE account_id = $1";
    WIPE_CREATORS = "DELETE FROM resource_creators WHERE creator IN (SELECT id FROM users WHERE account_id = $1)
        OR creator IN (SELECT id FROM roles WHERE account_id = $1)
        OR resource_id IN (SELECT id FROM users WHERE account_id = $1)
        OR resource_id IN (SELECT id FROM iam_groups WHERE account_id = $1)";
    WIPE_USERS = "DELETE FROM users WHERE account_id = $1";
}

async fn counted(tx: &mut Tx, account: &AccountId, texts: &[(&str, &'static str)]) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (what, text) in texts {
        let (count,) = Exec::Tx(tx).one::<(u64,)>(*text, args![account], account).await?;
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    Ok(found)
}

/// What runs or is stored in an account, in words with counts; what belongs to its default network is not counted.
pub async fn account_leftovers(tx: &mut Tx, account: &AccountId) -> Result<Vec<String>, StoreError> {
    let texts = [
        ("instances (terminated ones count while they are shown)", INSTANCES),
        ("network interfaces", INTERFACES),
        ("images", IMAGES),
        ("public addresses", ADDRESSES),
        ("elastic IP addresses", ELASTIC_IPS),
        ("buckets", BUCKETS),
        ("multipart uploads under way", UPLOADS),
        ("VPCs beside the default one", VPCS),
        ("spot requests that are not over", SPOT_REQUESTS),
        ("fleets that are not over", FLEETS),
        ("capacity reservations that are not over", CAPACITY),
        ("dedicated hosts", HOSTS),
    ];
    counted(tx, account, &texts).await
}

/// What an account has besides its administrator and its default network that takes nothing of the cloud: its identities
/// and what is only written down. In words with counts.
pub async fn account_belongings(tx: &mut Tx, account: &AccountId) -> Result<Vec<String>, StoreError> {
    let texts = [
        ("users", USERS),
        ("groups", GROUPS),
        ("policies", POLICIES),
        ("instance profiles", PROFILES),
        ("roles", ROLES),
        ("key pairs", KEY_PAIRS),
        ("launch templates", TEMPLATES),
        ("placement groups", PLACEMENT),
        ("subnets beside the default ones", SUBNETS),
        ("route tables beside the main ones", ROUTE_TABLES),
        ("network ACLs beside the default ones", NETWORK_ACLS),
        ("internet gateways that are not attached", GATEWAYS),
        ("egress-only internet gateways", EGRESS_ONLY_GATEWAYS),
        ("DHCP option sets beside the default one", DHCP_OPTIONS),
        ("transit gateways", TRANSIT_GATEWAYS),
        ("prefix lists", PREFIX_LISTS),
        ("network insights paths", INSIGHTS),
        ("server certificates", CERTIFICATES),
        ("OpenID Connect providers", OIDC),
        ("trails", TRAILS),
        ("KMS keys", KMS_KEYS),
    ];
    counted(tx, account, &texts).await
}

/// Removes what [`account_belongings`] counts, and everything that is noted of the account. What was written of it to the
/// audit trail stays.
pub async fn account_wipe(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    let texts = [
        WIPE_CREATORS,
        WIPE_MEMBERS,
        WIPE_KEYS,
        WIPE_ATTACHMENTS,
        WIPE_INLINE,
        WIPE_BOUNDARIES,
        WIPE_IAM_TAGS,
        WIPE_TAGS,
        WIPE_TOKENS,
        WIPE_POLICIES,
        WIPE_GROUPS,
        WIPE_PROFILES,
        WIPE_ROLES,
        WIPE_LOGINS,
        WIPE_MFA,
        WIPE_SIGNING,
        WIPE_CERTIFICATES,
        WIPE_SSH,
        WIPE_OIDC,
        WIPE_REPORTS,
        WIPE_PASSWORDS,
        WIPE_SESSIONS,
        WIPE_TRAILS,
        WIPE_FLOW_LOG_TAILS,
        WIPE_KMS_KEYS,
        WIPE_SPOT_REQUESTS,
        WIPE_FLEETS,
        WIPE_KEY_PAIRS,
        WIPE_TEMPLATES,
        WIPE_PLACEMENT,
        WIPE_CAPACITY,
        WIPE_HOSTS,
        WIPE_DHCP_OPTIONS,
        // What names another of them first.
        WIPE_TRANSIT_ATTACHMENTS,
        WIPE_TRANSIT_TABLES,
        WIPE_TRANSIT_GATEWAYS,
        WIPE_PREFIX_LISTS,
        WIPE_ANALYSES,
        WIPE_INSIGHTS,
        WIPE_NAT_GATEWAYS,
        WIPE_PERMISSIONS,
        WIPE_USERS,
    ];
    for text in texts {
        Exec::Tx(tx).run(text, args![account]).await?;
    }
    Ok(())
}

//! What counts against quotas: sums of the rows that describe calls show, of an account or of what one user or role of
//! it made. A new kind of resource is one line in `counted!` below, and its delete trigger in a migration.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::select::insert_rows_later;
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::AccountId;

/// Follows a text that counts an account's: only what one creator made. `r` is the table, `$2` the creator.
macro_rules! made_by {
    ($text:expr, $id:literal) => {
        concat!(
            $text,
            " AND EXISTS (SELECT 1 FROM resource_creators c WHERE c.creator = $2 AND c.resource_id = ",
            $id,
            ")"
        )
    };
}

/// `Kind: OF_ACCOUNT, OF_CREATOR, resource id = "text";` – the text counts or sums the rows of the account `$1`.
macro_rules! counted {
    ($($(#[$meta:meta])* $kind:ident: $all:ident, $own:ident, $id:literal = $text:literal;)*) => {
        /// Something that is counted or summed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counted { $($(#[$meta])* $kind),* }

        sql! {
            CREATOR_PUT_ONE = "INSERT INTO resource_creators (resource_id, creator) VALUES ($1, $2)
                ON CONFLICT (resource_id) DO UPDATE SET creator = excluded.creator";
            CREATOR_FORGET = "DELETE FROM resource_creators WHERE resource_id = $1";
            $($all = $text; $own = made_by!($text, $id);)*
        }

        impl Counted {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The texts: of an account, and of one creator in it.
            const fn texts(self) -> (&'static str, &'static str) {
                match self { $(Self::$kind => ($all, $own)),* }
            }
        }
    };
}

counted! {
    /// Instances that are not terminated.
    Instances: INSTANCES, INSTANCES_OWN, "r.id" =
        "SELECT COUNT(*) FROM instances r WHERE r.account_id = $1 AND r.state <> 'terminated'";
    /// Instances that take room on a node: neither stopped nor terminated.
    ActiveInstances: ACTIVE, ACTIVE_OWN, "r.id" = "SELECT COUNT(*) FROM instances r
        WHERE r.account_id = $1 AND r.state IN ('pending', 'running', 'stopping', 'shutting-down')";
    /// Virtual CPUs of those.
    Vcpus: VCPUS, VCPUS_OWN, "r.id" = "SELECT CAST(COALESCE(SUM(r.vcpus), 0) AS BIGINT) FROM instances r
        WHERE r.account_id = $1 AND r.state IN ('pending', 'running', 'stopping', 'shutting-down')";
    /// Memory of those, in MiB.
    MemoryMib: MEMORY, MEMORY_OWN, "r.id" = "SELECT CAST(COALESCE(SUM(r.memory_mib), 0) AS BIGINT) FROM instances r
        WHERE r.account_id = $1 AND r.state IN ('pending', 'running', 'stopping', 'shutting-down')";
    /// Root disks of instances that are not terminated, in bytes: a stopped one keeps its disk.
    DiskBytes: DISK, DISK_OWN, "r.id" = "SELECT CAST(COALESCE(SUM(r.root_disk_bytes), 0) AS BIGINT) FROM instances r
        WHERE r.account_id = $1 AND r.state <> 'terminated'";
    /// Key pairs.
    KeyPairs: KEY_PAIRS, KEY_PAIRS_OWN, "r.id" = "SELECT COUNT(*) FROM key_pairs r WHERE r.account_id = $1";
    /// Security groups, the default ones with them.
    SecurityGroups: SECURITY_GROUPS, SECURITY_GROUPS_OWN, "r.id" =
        "SELECT COUNT(*) FROM security_groups r WHERE r.account_id = $1";
    /// Internet gateways.
    InternetGateways: INTERNET_GATEWAYS, INTERNET_GATEWAYS_OWN, "r.id" =
        "SELECT COUNT(*) FROM internet_gateways r WHERE r.account_id = $1";
    /// Egress-only internet gateways.
    EgressOnlyGateways: EGRESS_ONLY_GATEWAYS, EGRESS_ONLY_GATEWAYS_OWN, "r.id" =
        "SELECT COUNT(*) FROM egress_only_gateways r WHERE r.account_id = $1";
    /// DHCP option sets, the default one with them.
    DhcpOptions: DHCP_OPTIONS, DHCP_OPTIONS_OWN, "r.id" = "SELECT COUNT(*) FROM dhcp_options r WHERE r.account_id = $1";
    /// VPCs, the default one with them.
    Vpcs: VPCS, VPCS_OWN, "r.id" = "SELECT COUNT(*) FROM vpcs r WHERE r.account_id = $1";
    /// Elastic IPs, whether they are associated or not.
    ElasticIps: ELASTIC_IPS, ELASTIC_IPS_OWN, "r.id" = "SELECT COUNT(*) FROM elastic_ips r WHERE r.account_id = $1";
    /// Prefix lists.
    PrefixLists: PREFIX_LISTS, PREFIX_LISTS_OWN, "r.id" = "SELECT COUNT(*) FROM prefix_lists r WHERE r.account_id = $1";
    /// Paths to analyse for reachability.
    InsightsPaths: INSIGHTS_PATHS, INSIGHTS_PATHS_OWN, "r.id" =
        "SELECT COUNT(*) FROM insights_paths r WHERE r.account_id = $1";
    /// Analyses of such paths that are kept.
    InsightsAnalyses: INSIGHTS_ANALYSES, INSIGHTS_ANALYSES_OWN, "r.id" =
        "SELECT COUNT(*) FROM insights_analyses r WHERE r.account_id = $1";
    /// Requests for VPC peering connections that are not answered.
    VpcPeeringRequests: VPC_PEERINGS, VPC_PEERINGS_OWN, "r.id" = "SELECT COUNT(*) FROM vpc_peerings r
        WHERE r.requester_account = $1 AND r.state = 'pending-acceptance'";
    /// Transit gateways that have not ended.
    TransitGateways: TRANSIT_GATEWAYS, TRANSIT_GATEWAYS_OWN, "r.id" =
        "SELECT COUNT(*) FROM transit_gateways r WHERE r.account_id = $1 AND r.state = 'available'";
    /// Network interfaces, those of instances with them.
    NetworkInterfaces: INTERFACES, INTERFACES_OWN, "r.id" = "SELECT COUNT(*) FROM interfaces r WHERE r.account_id = $1";
    /// Launch templates.
    LaunchTemplates: LAUNCH_TEMPLATES, LAUNCH_TEMPLATES_OWN, "r.id" =
        "SELECT COUNT(*) FROM launch_templates r WHERE r.account_id = $1";
    /// Placement groups.
    PlacementGroups: PLACEMENT_GROUPS, PLACEMENT_GROUPS_OWN, "r.id" =
        "SELECT COUNT(*) FROM placement_groups r WHERE r.account_id = $1";
    /// Images that are registered.
    Images: IMAGES, IMAGES_OWN, "r.id" =
        "SELECT COUNT(*) FROM images r WHERE r.account_id = $1 AND r.state <> 'deregistered'";
    /// IAM users, the account's administrator with them.
    Users: USERS, USERS_OWN, "r.id" = "SELECT COUNT(*) FROM users r WHERE r.account_id = $1";
    /// IAM groups.
    Groups: GROUPS, GROUPS_OWN, "r.id" = "SELECT COUNT(*) FROM iam_groups r WHERE r.account_id = $1";
    /// Roles.
    Roles: ROLES, ROLES_OWN, "r.id" = "SELECT COUNT(*) FROM roles r WHERE r.account_id = $1";
    /// Instance profiles.
    InstanceProfiles: PROFILES, PROFILES_OWN, "r.id" =
        "SELECT COUNT(*) FROM instance_profiles r WHERE r.account_id = $1";
    /// Managed policies of the account's own.
    Policies: POLICIES, POLICIES_OWN, "r.id" = "SELECT COUNT(*) FROM iam_policies r WHERE r.account_id = $1";
    /// Server certificates.
    ServerCertificates: CERTIFICATES, CERTIFICATES_OWN, "r.id" =
        "SELECT COUNT(*) FROM server_certificates r WHERE r.account_id = $1";
    /// OpenID Connect providers.
    OidcProviders: OIDC, OIDC_OWN, "'oidc:' || r.account_id || ':' || r.url" = "SELECT COUNT(*) FROM oidc_providers r WHERE r.account_id = $1";
    /// Buckets.
    Buckets: BUCKETS, BUCKETS_OWN, "'bucket:' || r.name" =
        "SELECT COUNT(*) FROM s3_buckets r WHERE r.account_id = $1";
    /// Bytes of all versions in them, and of parts of unfinished uploads.
    BucketBytes: BUCKET_BYTES, BUCKET_BYTES_OWN, "'bucket:' || r.name" =
        "SELECT CAST(COALESCE(SUM(u.version_bytes + u.part_bytes), 0) AS BIGINT) FROM s3_buckets r
        JOIN s3_usage u ON u.bucket_id = r.id WHERE r.account_id = $1";
}

/// How much of something an account has; with a creator, how much of it that user or role made.
///
/// # Errors
/// What the database says.
pub async fn quota_use<'a>(
    exec: impl Into<Exec<'a>>,
    counted: Counted,
    account: &AccountId,
    creator: Option<&str>,
) -> Result<u64, StoreError> {
    let (all, own) = counted.texts();
    let found = match creator {
        None => exec.into().one::<(u64,)>(all, args![account], account).await?,
        Some(creator) => exec.into().one::<(u64,)>(own, args![account, creator], account).await?,
    };
    Ok(found.0)
}

/// The id under which the creator of a bucket is kept: bucket names are no ids.
#[must_use]
pub fn bucket_creator(bucket: &str) -> String {
    format!("bucket:{bucket}")
}

/// The id under which the creator of an OpenID Connect provider is kept: many accounts may have one of the same URL.
#[must_use]
pub fn oidc_creator(account: &AccountId, url: &str) -> String {
    format!("oidc:{account}:{url}")
}

/// Forgets who made a resource: of those kinds that no trigger looks after (users, groups, OpenID Connect providers).
pub async fn creators_forget(tx: &mut Tx, resource: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(CREATOR_FORGET, args![resource]).await.map(drop)
}

/// Notes who makes these resources. Forgotten by triggers when they are deleted.
pub async fn creators_put(tx: &mut Tx, creator: &str, resources: &[String]) -> Result<(), StoreError> {
    if let [one] = resources {
        return tx.later(CREATOR_PUT_ONE, args![one, creator]).await;
    }
    let rows = resources.iter().map(|resource| vec![resource.to_arg(), creator.to_arg()]).collect();
    insert_rows_later(
        tx,
        "INSERT INTO resource_creators (resource_id, creator) VALUES ",
        " ON CONFLICT (resource_id) DO UPDATE SET creator = excluded.creator",
        rows,
    )
    .await
}

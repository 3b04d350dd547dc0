//! VPCs and their subnets.

use crate::StoreError;
use crate::address::private_addresses_forget;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::setting::{setting_fetch, setting_put};
use crate::tx::Tx;
use ipnet::Ipv4Net;
use mallee_types::{AccountId, DhcpOptionsId, Generation, SubnetId, VpcId, ZoneName};

/// The first VXLAN network identifier given to a VPC; lower ones are kept for ourselves.
pub const VNI_FIRST: i64 = 0x1000;
/// The last one (24 bits).
pub const VNI_LAST: i64 = 0x00ff_ffff;
/// The identifier that was given last. One that comes free is not given again before all others were: a node may not
/// have heard yet that its VPC is gone.
const VNI_GIVEN: &str = "vpc_vni_given";

record! {
    /// A virtual private cloud.
    pub struct VpcRow {
        /// `vpc-…`.
        id: VpcId,
        /// Whose.
        account_id: AccountId,
        /// Its address range.
        cidr: Ipv4Net,
        /// Its VXLAN network identifier, unique in the cloud ([`vpc_vni_take`]).
        vni: u32,
        /// The one VPC an account gets by itself.
        is_default: bool,
        /// Instances that do not say otherwise are on hardware of their own account.
        dedicated: bool,
        /// Its resolver answers.
        dns_support: bool,
        /// Public addresses have names.
        dns_hostnames: bool,
        /// What its guests are told by DHCP; without a set no domain.
        dhcp_options_id: Option<DhcpOptionsId>,
        /// Grows with every change.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
    }
    /// A subnet.
    pub struct SubnetRow {
        /// `subnet-…`.
        id: SubnetId,
        /// Whose.
        account_id: AccountId,
        /// In which VPC.
        vpc_id: VpcId,
        /// In which zone.
        zone: ZoneName,
        /// Its address range.
        cidr: Ipv4Net,
        /// The default subnet of its zone.
        is_default: bool,
        /// Instances get a public address unless they say otherwise.
        map_public_ip: bool,
        /// Grows with every change.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
    }
}

impl VpcRow {
    /// Its public addresses have names: a VPC without a resolver has no names either.
    #[must_use]
    pub const fn names_public(&self) -> bool {
        self.dns_support && self.dns_hostnames
    }
}

macro_rules! vpc_columns {
    () => {
        "id, account_id, cidr, vni, is_default, dedicated, dns_support, dns_hostnames, dhcp_options_id, generation,
            created_ms"
    };
}

macro_rules! subnet_columns {
    () => {
        "id, account_id, vpc_id, zone, cidr, is_default, map_public_ip, generation, created_ms"
    };
}

sql! {
    VPC_INSERT = concat!("INSERT INTO vpcs (", vpc_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    VPC_FETCH = concat!("SELECT ", vpc_columns!(), " FROM vpcs WHERE id = $1");
    VPC_DEFAULT = concat!("SELECT ", vpc_columns!(), " FROM vpcs WHERE account_id = $1 AND is_default");
    VPC_LIST = concat!("SELECT ", vpc_columns!(), " FROM vpcs WHERE account_id = $1");
    VPC_LIST_ALL = concat!("SELECT ", vpc_columns!(), " FROM vpcs ORDER BY id");
    VPC_TOUCH = "UPDATE vpcs SET generation = generation + 1 WHERE id = $1";
    VPC_DELETE = "DELETE FROM vpcs WHERE id = $1";
    VPC_NAMELESS = "SELECT id FROM vpcs WHERE NOT (dns_support AND dns_hostnames)";
    VPC_DEDICATED = "UPDATE vpcs SET dedicated = $2, generation = generation + 1 WHERE id = $1 AND dedicated <> $2";
    VPC_DNS_SUPPORT = "UPDATE vpcs SET dns_support = $2, generation = generation + 1
        WHERE id = $1 AND dns_support <> $2";
    VPC_DNS_HOSTNAMES = "UPDATE vpcs SET dns_hostnames = $2, generation = generation + 1
        WHERE id = $1 AND dns_hostnames <> $2";
    // Their descriptions have public names in them, or not any more.
    VPC_SHOWN = "UPDATE instance_versions SET version = version + 1 WHERE instance_id IN
        (SELECT instance_id FROM interfaces WHERE vpc_id = $1 AND instance_id IS NOT NULL)";
    VNI_HIGHEST = "SELECT COALESCE(MAX(vni), 0) FROM vpcs";
    VNI_GAP = "SELECT v.vni + 1 FROM vpcs v WHERE v.vni < $1
        AND NOT EXISTS (SELECT 1 FROM vpcs w WHERE w.vni = v.vni + 1) ORDER BY v.vni LIMIT 1";
    SUBNET_INSERT = concat!("INSERT INTO subnets (", subnet_columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    SUBNET_FETCH = concat!("SELECT ", subnet_columns!(), " FROM subnets WHERE id = $1");
    SUBNET_DEFAULT = concat!("SELECT ", subnet_columns!(), " FROM subnets
        WHERE account_id = $1 AND zone = $2 AND is_default");
    SUBNET_LIST = concat!("SELECT ", subnet_columns!(), " FROM subnets WHERE account_id = $1");
    SUBNET_LIST_ALL = concat!("SELECT ", subnet_columns!(), " FROM subnets ORDER BY id");
    SUBNET_HOLD = "UPDATE subnets SET id = id WHERE id = $1";
    SUBNET_TOUCH = "UPDATE subnets SET generation = generation + 1 WHERE id = $1";
    SUBNET_PUBLIC = "UPDATE subnets SET map_public_ip = $2, generation = generation + 1
        WHERE id = $1 AND map_public_ip <> $2";
    SUBNET_DELETE = "DELETE FROM subnets WHERE id = $1";
}

/// Takes a network identifier for a VPC that this transaction is about to make.
///
/// # Errors
/// [`StoreError::Exhausted`] when all 16 million are in use.
pub async fn vpc_vni_take(tx: &mut Tx) -> Result<u32, StoreError> {
    tx.lock("vni").await?;
    let (highest,) = Exec::Tx(tx).one::<(i64,)>(VNI_HIGHEST, vec![], "vni").await?;
    let given: i64 = setting_fetch(&mut *tx, VNI_GIVEN).await?.and_then(|text| text.parse().ok()).unwrap_or_default();
    let next = highest.max(given).max(VNI_FIRST - 1) + 1;
    let vni = if next <= VNI_LAST {
        setting_put(tx, VNI_GIVEN, &next.to_string()).await?;
        Some(next)
    } else {
        Exec::Tx(tx).maybe::<(i64,)>(VNI_GAP, args![VNI_LAST]).await?.map(|(vni,)| vni)
    };
    vni.and_then(|vni| u32::try_from(vni).ok())
        .ok_or_else(|| StoreError::Exhausted { what: "the range of vxlan network identifiers".to_owned() })
}

/// Makes a VPC. Conflicts: `vpcs_vni`, and `vpcs_account_id` for a second default VPC.
pub async fn vpc_insert(tx: &mut Tx, row: &VpcRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(VPC_INSERT, row.args()).await.map(drop)
}

/// The VPC of this id.
pub async fn vpc_fetch<'a>(exec: impl Into<Exec<'a>>, id: &VpcId) -> Result<VpcRow, StoreError> {
    exec.into().one(VPC_FETCH, args![id], id).await
}

/// The account's default VPC, if it has one.
pub async fn vpc_default<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<Option<VpcRow>, StoreError> {
    exec.into().maybe(VPC_DEFAULT, args![account]).await
}

/// The account's VPCs by id, after `after`.
pub async fn vpc_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[VpcId]>,
    after: Option<&VpcId>,
    limit: u32,
) -> Result<Vec<VpcRow>, StoreError> {
    Select::new(VPC_LIST, args![account]).and("id >", after).and_in("id", ids)?.page(exec.into(), "id", limit).await
}

/// Every VPC of the cloud, by id (reconcilers).
pub async fn vpc_list_all<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<VpcRow>, StoreError> {
    exec.into().all(VPC_LIST_ALL, vec![]).await
}

/// A VPC is not what it was: what is attached to it, or which is its main table.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn vpc_touch(tx: &mut Tx, id: &VpcId) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(VPC_TOUCH, args![id]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Those of these VPCs whose public addresses have no names.
pub async fn vpc_list_nameless<'a>(exec: impl Into<Exec<'a>>, ids: &[VpcId]) -> Result<Vec<VpcId>, StoreError> {
    let select = Select::new(VPC_NAMELESS, vec![]).and_in("id", Some(ids))?;
    let rows: Vec<(VpcId,)> = select.page(exec.into(), "id", crate::PAGE_ROWS_MAX).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// A setting of a VPC that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpcAttribute {
    /// [`VpcRow::dedicated`].
    Dedicated,
    /// [`VpcRow::dns_support`].
    DnsSupport,
    /// [`VpcRow::dns_hostnames`].
    DnsHostnames,
}

/// Sets an attribute; false when it was so already, or the VPC is gone.
pub async fn vpc_attribute_set(
    tx: &mut Tx,
    id: &VpcId,
    attribute: VpcAttribute,
    value: bool,
) -> Result<bool, StoreError> {
    let text = match attribute {
        VpcAttribute::Dedicated => VPC_DEDICATED,
        VpcAttribute::DnsSupport => VPC_DNS_SUPPORT,
        VpcAttribute::DnsHostnames => VPC_DNS_HOSTNAMES,
    };
    let changed = Exec::Tx(tx).run(text, args![id, value]).await? > 0;
    if changed && attribute != VpcAttribute::Dedicated {
        Exec::Tx(tx).run(VPC_SHOWN, args![id]).await?;
    }
    Ok(changed)
}

/// Removes a VPC; [`StoreError::InUse`] while it has subnets, groups, route tables, network ACLs or a
/// gateway.
pub async fn vpc_delete(tx: &mut Tx, id: &VpcId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(VPC_DELETE, args![id]).await? > 0)
}

/// Makes a subnet. Conflicts: `subnets_vpc_id_cidr`, and `subnets_account_id_zone` for a second default subnet.
pub async fn subnet_insert(tx: &mut Tx, row: &SubnetRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(SUBNET_INSERT, row.args()).await.map(drop)
}

/// The subnet of this id.
pub async fn subnet_fetch<'a>(exec: impl Into<Exec<'a>>, id: &SubnetId) -> Result<SubnetRow, StoreError> {
    exec.into().one(SUBNET_FETCH, args![id], id).await
}

/// The account's default subnet in this zone.
pub async fn subnet_default<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    zone: &ZoneName,
) -> Result<Option<SubnetRow>, StoreError> {
    exec.into().maybe(SUBNET_DEFAULT, args![account, zone]).await
}

/// The account's subnets by id, after `after`; each given list must hold.
pub async fn subnet_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[SubnetId]>,
    vpcs: Option<&[VpcId]>,
    after: Option<&SubnetId>,
    limit: u32,
) -> Result<Vec<SubnetRow>, StoreError> {
    let select =
        Select::new(SUBNET_LIST, args![account]).and("id >", after).and_in("id", ids)?.and_in("vpc_id", vpcs)?;
    select.page(exec.into(), "id", limit).await
}

/// Every subnet of the cloud, by id (reconcilers).
pub async fn subnet_list_all<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<SubnetRow>, StoreError> {
    exec.into().all(SUBNET_LIST_ALL, vec![]).await
}

/// Keeps a subnet from going until the transaction ends; false: it has gone.
pub async fn subnet_hold(tx: &mut Tx, id: &SubnetId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SUBNET_HOLD, args![id]).await? > 0)
}

/// A subnet is not what it was: which route table or network ACL it has.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn subnet_touch(tx: &mut Tx, id: &SubnetId) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(SUBNET_TOUCH, args![id]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Sets whether instances get a public address unless they say otherwise; false when it was so already, or the subnet
/// is gone.
pub async fn subnet_map_public_ip_set(tx: &mut Tx, id: &SubnetId, value: bool) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SUBNET_PUBLIC, args![id, value]).await? > 0)
}

/// Removes a subnet, and forgets which of its addresses were kept back; [`StoreError::InUse`] while it has interfaces,
/// instances, a route table of its own or a network ACL.
pub async fn subnet_delete(tx: &mut Tx, id: &SubnetId) -> Result<bool, StoreError> {
    let gone = Exec::Tx(tx).run(SUBNET_DELETE, args![id]).await? > 0;
    private_addresses_forget(tx, id).await?;
    Ok(gone)
}

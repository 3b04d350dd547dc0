//! DHCP option sets: what guests of a VPC are told besides their address.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, DhcpOptionsId, VpcId};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// What a set says. What is not in it is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOptionsDoc {
    /// The domain of the guests' names; several are separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// Resolvers: addresses, or the word for the VPC's own one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domain_name_servers: Vec<String>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp_servers: Vec<Ipv4Addr>,
    /// NetBIOS name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub netbios_name_servers: Vec<Ipv4Addr>,
    /// How NetBIOS names are looked up: 1, 2, 4 or 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netbios_node_type: Option<u8>,
}

record! {
    /// A set of DHCP options. It never changes.
    pub struct DhcpOptionsRow {
        /// `dopt-…`.
        id: DhcpOptionsId,
        /// Whose.
        account_id: AccountId,
        /// The account's default one, which new VPCs have. It says what the cloud says by itself: `doc` is empty.
        is_default: bool,
        /// What it says.
        doc: Json<DhcpOptionsDoc>,
        /// When it was made.
        created_ms: i64,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, is_default, doc, created_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO dhcp_options (", columns!(), ") VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
    LIST = concat!("SELECT ", columns!(), " FROM dhcp_options WHERE account_id = $1");
    DEFAULT = concat!("SELECT ", columns!(), " FROM dhcp_options WHERE account_id = $1 AND is_default");
    // Sets of users' own that a VPC has.
    IN_USE = concat!("SELECT ", columns!(), " FROM dhcp_options WHERE NOT is_default
        AND id IN (SELECT dhcp_options_id FROM vpcs)");
    STRANGE = "SELECT v.id FROM vpcs v JOIN dhcp_options d ON d.id = v.dhcp_options_id
        WHERE d.account_id <> v.account_id ORDER BY v.id";
    DELETE = "DELETE FROM dhcp_options WHERE id = $1";
    ASSOCIATE = "UPDATE vpcs SET dhcp_options_id = $2, generation = generation + 1 WHERE id = $1
        AND COALESCE(dhcp_options_id, '') <> COALESCE($2, '')";
}

/// Makes a set; false when the account has its default set already, and this is to be another.
pub async fn dhcp_options_insert(tx: &mut Tx, row: &DhcpOptionsRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(INSERT, row.args()).await? > 0)
}

/// The account's sets by id, after `after`.
pub async fn dhcp_options_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[DhcpOptionsId]>,
    after: Option<&DhcpOptionsId>,
    limit: u32,
) -> Result<Vec<DhcpOptionsRow>, StoreError> {
    Select::new(LIST, args![account]).and("id >", after).and_in("id", ids)?.page(exec.into(), "id", limit).await
}

/// The account's default set, if it has one.
pub async fn dhcp_options_default<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Option<DhcpOptionsRow>, StoreError> {
    exec.into().maybe(DEFAULT, args![account]).await
}

/// The sets that are no default and that some VPC has, by id: these, or of the whole cloud, after `after`.
pub async fn dhcp_options_list_used<'a>(
    exec: impl Into<Exec<'a>>,
    ids: Option<&[DhcpOptionsId]>,
    after: Option<&DhcpOptionsId>,
    limit: u32,
) -> Result<Vec<DhcpOptionsRow>, StoreError> {
    Select::new(IN_USE, vec![]).and("id >", after).and_in("id", ids)?.page(exec.into(), "id", limit).await
}

/// VPCs that have a set of another account, of which there should be none.
pub async fn vpc_list_strange_dhcp<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<VpcId>, StoreError> {
    let rows: Vec<(VpcId,)> = exec.into().all(STRANGE, vec![]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Gives a VPC this set, or none; false when it is so already, or the VPC is gone. [`StoreError::InUse`] when the set is
/// gone.
pub async fn dhcp_options_associate(tx: &mut Tx, vpc: &VpcId, set: Option<&DhcpOptionsId>) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ASSOCIATE, args![vpc, set]).await? > 0)
}

/// Removes a set; false when it is gone. [`StoreError::InUse`] while a VPC has it.
pub async fn dhcp_options_delete(tx: &mut Tx, id: &DhcpOptionsId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

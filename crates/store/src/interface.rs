//! Network interfaces and the security groups they are in.

use crate::StoreError;
use crate::address::{private_addresses_release, public_address_release};
use crate::elastic_ip::elastic_ip_leave;
use crate::exec::Exec;
use crate::interface_address::interface_address_list;
use crate::interface_attachment::{InterfaceAttachmentRow, interface_attachment_forget};
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows_later};
use crate::tx::Tx;
use crate::value::{Record, Row, words};
use mallee_types::{
    AccountId, AttachmentId, Generation, GroupId, InstanceId, InterfaceId, MacAddress, SubnetId, VpcId, ZoneName,
};
use std::net::Ipv4Addr;

/// Secondary addresses of one interface at most, far above what any instance type allows.
const ADDRESSES_MAX: u32 = 1000;

/// Whose interface it is, in the account that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceKind {
    /// Its user's.
    Interface,
    /// A NAT gateway's: only what is done with the gateway changes it.
    NatGateway,
}
words! {
    InterfaceKind { Interface = "interface", NatGateway = "nat_gateway" }
}

impl InterfaceKind {
    /// AWS's word, as in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::NatGateway => "nat_gateway",
        }
    }
}

record! {
    /// A network interface.
    pub struct InterfaceRow {
        /// `eni-…`.
        id: InterfaceId,
        /// Whose.
        account_id: AccountId,
        /// Its VPC.
        vpc_id: VpcId,
        /// Its subnet.
        subnet_id: SubnetId,
        /// Its subnet's zone.
        zone: ZoneName,
        /// Unique in the cloud.
        mac: MacAddress,
        /// Taken from the subnet ([`crate::private_addresses_take`]); given back by [`interface_delete`].
        private_ip: Ipv4Addr,
        /// What it is attached to.
        instance_id: Option<InstanceId>,
        /// `eni-attach-…`, while attached.
        attachment_id: Option<AttachmentId>,
        /// Its place on the instance, from 0.
        device_index: Option<u32>,
        /// Packets not from or to its address are dropped.
        source_dest_check: bool,
        /// Goes with its instance.
        delete_on_termination: bool,
        /// What the user says it is for.
        description: String,
        /// When it was made.
        created_ms: i64,
        /// Whether it belongs to something that the cloud keeps.
        kind: InterfaceKind,
    }
    /// One interface in one group.
    pub struct InterfaceGroupRow {
        /// The interface.
        interface_id: InterfaceId,
        /// The group.
        group_id: GroupId,
        /// The group's name.
        group_name: String,
    }
}

/// How many these are.
const COLUMNS: usize = 15;

macro_rules! columns {
    () => {
        "id, account_id, vpc_id, subnet_id, zone, mac, private_ip, instance_id, attachment_id, device_index,
        source_dest_check, delete_on_termination, description, created_ms, kind"
    };
}

sql! {
    INSERT = concat!("INSERT INTO interfaces (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
    FETCH = concat!("SELECT ", columns!(), " FROM interfaces WHERE id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM interfaces WHERE 1 = 1");
    ATTACH = "UPDATE interfaces SET instance_id = $2, attachment_id = $3, device_index = $4, delete_on_termination = $5
        WHERE id = $1 AND instance_id IS NULL AND kind = 'interface'";
    DETACH = "UPDATE interfaces SET instance_id = NULL, attachment_id = NULL, device_index = NULL
        WHERE id = $1 AND instance_id IS NOT NULL";
    DELETE = "DELETE FROM interfaces WHERE id = $1 RETURNING subnet_id, private_ip";
    SOURCE_DEST_CHECK = "UPDATE interfaces SET source_dest_check = $2 WHERE id = $1";
    DELETE_ON_TERMINATION = "UPDATE interfaces SET delete_on_termination = $2 WHERE id = $1";
    DESCRIPTION = "UPDATE interfaces SET description = $2 WHERE id = $1";
    GROUPS_CLEAR = "DELETE FROM interface_groups WHERE interface_id = $1";
    GROUPS = "SELECT m.interface_id, m.group_id, g.name FROM interface_groups m
        JOIN security_groups g ON g.id = m.group_id WHERE 1 = 1";
    HOLD = "UPDATE interfaces SET id = id WHERE id = $1";
    LIST_ATTACHED = concat!("SELECT ", columns!(), ", a.attached_ms, a.generation, a.detaching
        FROM interfaces LEFT JOIN interface_attachments a ON a.interface_id = id WHERE 1 = 1");
    LIST_IN_GROUP = concat!("SELECT ", columns!(), " FROM interfaces
        WHERE id IN (SELECT interface_id FROM interface_groups WHERE group_id = $1)");
}

/// Makes an interface in these groups. Conflicts: `interfaces_mac` (draw another), `interfaces_subnet_id_private_ip`.
pub async fn interface_insert(tx: &mut Tx, row: &InterfaceRow, groups: &[GroupId]) -> Result<(), StoreError> {
    interface_insert_later(tx, row, groups).await?;
    tx.run_later().await
}

/// As [`interface_insert`], but what the database has against it is said by the transaction's next query or its commit.
pub async fn interface_insert_later(tx: &mut Tx, row: &InterfaceRow, groups: &[GroupId]) -> Result<(), StoreError> {
    tx.later(INSERT, row.args()).await?;
    groups_insert(tx, &row.id, groups).await
}

async fn groups_insert(tx: &mut Tx, id: &InterfaceId, groups: &[GroupId]) -> Result<(), StoreError> {
    let rows = groups.iter().map(|group| args![id, group]).collect();
    let head = "INSERT INTO interface_groups (interface_id, group_id) VALUES ";
    insert_rows_later(tx, head, " ON CONFLICT (interface_id, group_id) DO NOTHING", rows).await
}

/// The interface of this id.
pub async fn interface_fetch<'a>(exec: impl Into<Exec<'a>>, id: &InterfaceId) -> Result<InterfaceRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// Which interfaces.
#[derive(Debug, Default, Clone, Copy)]
pub struct InterfaceFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [InterfaceId]>,
    /// Only those of these instances.
    pub instances: Option<&'a [InstanceId]>,
    /// Only in this zone.
    pub zone: Option<&'a ZoneName>,
    /// Only in this VPC.
    pub vpc: Option<&'a VpcId>,
    /// Only in this subnet.
    pub subnet: Option<&'a SubnetId>,
    /// Only in this security group.
    pub group: Option<&'a GroupId>,
    /// Only the one with this attachment.
    pub attachment: Option<&'a AttachmentId>,
    /// Only those after this id.
    pub after: Option<&'a InterfaceId>,
}

/// Interfaces, by id.
pub async fn interface_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InterfaceFilter<'_>,
    limit: u32,
) -> Result<Vec<InterfaceRow>, StoreError> {
    let select = match filter.group {
        Some(group) => Select::new(LIST_IN_GROUP, args![group]),
        None => Select::new(LIST, vec![]),
    };
    let select = select
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("zone =", filter.zone)
        .and("vpc_id =", filter.vpc)
        .and("subnet_id =", filter.subnet)
        .and("attachment_id =", filter.attachment)
        .and_in("id", filter.ids)?
        .and_in("instance_id", filter.instances)?;
    select.page(exec.into(), "id", limit).await
}

/// An interface and what is known of its attachment, read at one moment: an attachment that ended between two readings
/// would look like one of which nothing is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAttachedRow {
    /// The interface.
    pub row: InterfaceRow,
    /// Its attachment, if that has a history.
    pub attachment: Option<InterfaceAttachmentRow>,
}

impl Record for InterfaceAttachedRow {
    fn read(from: Row<'_>) -> Result<Self, StoreError> {
        let row = InterfaceRow::read(from)?;
        let mut at = COLUMNS..;
        let mut next = || at.next().unwrap_or_default();
        let attached_ms: Option<i64> = from.get(next())?;
        let generation: Option<Generation> = from.get(next())?;
        let detaching: Option<bool> = from.get(next())?;
        let attachment = attached_ms.zip(generation).zip(detaching).map(|((attached_ms, generation), detaching)| {
            InterfaceAttachmentRow { interface_id: row.id.clone(), attached_ms, generation, detaching }
        });
        Ok(Self { row, attachment })
    }
}

/// These interfaces with their attachments, by id.
pub async fn interface_attached_list<'a>(
    exec: impl Into<Exec<'a>>,
    ids: &[InterfaceId],
    limit: u32,
) -> Result<Vec<InterfaceAttachedRow>, StoreError> {
    Select::new(LIST_ATTACHED, vec![]).and_in("id", Some(ids))?.page(exec.into(), "id", limit).await
}

impl InterfaceRow {
    /// Whether something has it: an instance, or what it was made for.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.instance_id.is_some() || self.kind != InterfaceKind::Interface
    }
}

/// The groups of these interfaces, or of all, by interface and group.
pub async fn interface_group_list<'a>(
    exec: impl Into<Exec<'a>>,
    interfaces: Option<&[InterfaceId]>,
    limit: u32,
) -> Result<Vec<InterfaceGroupRow>, StoreError> {
    let select = Select::new(GROUPS, vec![]).and_in("interface_id", interfaces)?;
    select.page(exec.into(), "interface_id, group_id", limit).await
}

/// Puts the interface in these groups and no other.
pub async fn interface_groups_set(tx: &mut Tx, id: &InterfaceId, groups: &[GroupId]) -> Result<(), StoreError> {
    Exec::Tx(tx).run(GROUPS_CLEAR, args![id]).await?;
    groups_insert(tx, id, groups).await?;
    tx.run_later().await
}

/// Whether packets not from or to its address are dropped from now on.
pub async fn interface_source_dest_check_set(tx: &mut Tx, id: &InterfaceId, on: bool) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(SOURCE_DEST_CHECK, args![id, on]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Whether it goes with its instance from now on.
pub async fn interface_delete_on_termination_set(tx: &mut Tx, id: &InterfaceId, on: bool) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(DELETE_ON_TERMINATION, args![id, on]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Locks an interface until the transaction ends, and reads it: nobody else changes it, its addresses or attachment.
pub async fn interface_fetch_locked(tx: &mut Tx, id: &InterfaceId) -> Result<InterfaceRow, StoreError> {
    Exec::Tx(tx).run(HOLD, args![id]).await?;
    interface_fetch(tx, id).await
}

/// Describes it anew.
pub async fn interface_description_set(tx: &mut Tx, id: &InterfaceId, text: &str) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(DESCRIPTION, args![id, text]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Attaches a free interface. Conflict: `interfaces_instance_id_device_index` when the place is taken.
///
/// # Errors
/// [`StoreError::Stale`] when it is attached already or no user's, [`StoreError::NotFound`] when it is gone.
pub async fn interface_attach(
    tx: &mut Tx,
    id: &InterfaceId,
    instance: &InstanceId,
    attachment: &AttachmentId,
    device_index: u32,
    delete_on_termination: bool,
) -> Result<(), StoreError> {
    let values = args![id, instance, attachment, device_index, delete_on_termination];
    if Exec::Tx(tx).run(ATTACH, values).await? == 0 {
        interface_fetch(&mut *tx, id).await?;
        return Err(StoreError::stale(id));
    }
    Ok(())
}

/// Detaches an interface; true if it was attached.
pub async fn interface_detach(tx: &mut Tx, id: &InterfaceId) -> Result<bool, StoreError> {
    interface_attachment_forget(tx, id).await?;
    Ok(Exec::Tx(tx).run(DETACH, args![id]).await? > 0)
}

/// Removes an interface and gives its private and public addresses back; true if it was there. Elastic IPs are not given
/// back: they are their account's, and only lead nowhere.
pub async fn interface_delete(tx: &mut Tx, id: &InterfaceId) -> Result<bool, StoreError> {
    elastic_ip_leave(tx, id).await?;
    public_address_release(tx, id).await?;
    let more = interface_address_list(&mut *tx, Some(std::slice::from_ref(id)), None, ADDRESSES_MAX).await?;
    let gone = Exec::Tx(tx).maybe::<(SubnetId, Ipv4Addr)>(DELETE, args![id]).await?;
    let Some((subnet, address)) = gone else { return Ok(false) };
    let addresses: Vec<Ipv4Addr> = std::iter::once(address).chain(more.into_iter().map(|row| row.address)).collect();
    private_addresses_release(tx, &subnet, &addresses).await?;
    Ok(true)
}

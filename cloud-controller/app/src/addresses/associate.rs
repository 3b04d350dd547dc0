//! Where an elastic IP leads to.
//!
//! The instances that gain or lose an address are locked first, in order of their ids: whatever else gives or takes
//! their addresses (a start, a stop, an end) holds the same lock. The rows and unique indexes decide the rest: a step that
//! finds them changed is done anew from what they are by then.

use super::AddressRef;
use crate::fail::{OrFail as _, store_failure};
use crate::interfaces::is_users;
use crate::{Cloud, OpContext, load};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    ElasticIpFilter, ElasticIpRow, Exec, InstanceRow, InterfaceFilter, InterfaceRow, StoreError, Tx, change_append,
    elastic_ip_associate, elastic_ip_disassociate, elastic_ip_list, instance_intent_update, instances_fetch_locked,
    interface_address_holders, interface_fetch_locked, interface_list, internet_gateway_hold,
    internet_gateway_list_attached, public_address_release, public_address_take,
};
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use mallee_types::{AddressId, InstanceId, InstanceState, InterfaceId, RunIntent};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// How often a step is done anew when another request changed its rows meanwhile.
const TRIES_MAX: u32 = 5;
/// Interfaces of one instance, at most.
const INTERFACES_MAX: u32 = 100;

/// What an elastic IP is to lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The only interface of this instance.
    Instance(InstanceId),
    /// This interface.
    Interface(InterfaceId),
}

/// An association that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAssociation {
    /// The elastic IP.
    pub address: AddressRef,
    /// Where it is to lead.
    pub target: Target,
    /// The private address of the interface it is to lead to; `None`: its first.
    pub private_ip: Option<Ipv4Addr>,
    /// Another association of the address, and another elastic IP of the interface, ends for this one.
    pub reassociate: bool,
}

/// Which association a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssociationRef {
    /// By its id.
    Id(String),
    /// That of this address, if it has one.
    Address(Ipv4Addr),
}

/// What became of one attempt.
enum Attempt<T> {
    Done(T),
    /// Another request changed what was read.
    Again,
}

/// Whether an error says that another request was faster.
const fn is_race(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict { .. } | StoreError::InUse | StoreError::Stale { .. })
}

/// The value, or another attempt when another request was faster.
macro_rules! or_again {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) if is_race(&error) => return Ok(Attempt::Again),
            Err(error) => return Err(store_failure(error)),
        }
    };
}

fn changed_meanwhile() -> ApiError {
    Code::Unavailable.message("The address was changed by other requests. Please try again.")
}

/// The elastic IP of this private address of the interface; none: of its primary one.
async fn address_of<'a>(
    exec: impl Into<Exec<'a>>,
    interface: &InterfaceId,
    private_ip: Option<Ipv4Addr>,
) -> Result<Option<ElasticIpRow>, StoreError> {
    let filter = ElasticIpFilter { interfaces: Some(std::slice::from_ref(interface)), ..Default::default() };
    let limit = u32::try_from(ADDRESSES_PER_INTERFACE_MAX).unwrap_or(u32::MAX);
    Ok(elastic_ip_list(exec, filter, limit).await?.into_iter().find(|row| row.private_ip == private_ip))
}

async fn interface_now<'a>(exec: impl Into<Exec<'a>>, id: &InterfaceId) -> Result<Option<InterfaceRow>, StoreError> {
    let filter = InterfaceFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    Ok(interface_list(exec, filter, 1).await?.pop())
}

/// Locks the instances that these interfaces are attached to.
async fn lock_instances(tx: &mut Tx, interfaces: &[&InterfaceRow]) -> Result<Vec<InstanceRow>, StoreError> {
    let ids: BTreeSet<InstanceId> = interfaces.iter().filter_map(|interface| interface.instance_id.clone()).collect();
    instances_fetch_locked(tx, &ids).await
}

/// Locks these interfaces, in order of their ids; false when one of them, or the elastic IP, is not as it was read. What
/// changes an interface's instance, or moves a private address with its elastic IP, holds the same locks.
async fn lock_as_read(tx: &mut Tx, row: &ElasticIpRow, interfaces: &[&InterfaceRow]) -> Result<bool, StoreError> {
    let mut interfaces = interfaces.to_vec();
    interfaces.sort_by(|one, other| one.id.cmp(&other.id));
    for seen in interfaces {
        match interface_fetch_locked(tx, &seen.id).await {
            Ok(now) if now == *seen => {}
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let filter = ElasticIpFilter { ids: Some(std::slice::from_ref(&row.id)), ..Default::default() };
    Ok(elastic_ip_list(tx, filter, 1).await?.pop().as_ref() == Some(row))
}

/// The nodes of these instances must hear what their interfaces show now.
pub(crate) async fn tell(tx: &mut Tx, instances: &[InstanceRow]) -> Result<(), StoreError> {
    for row in instances.iter().filter(|row| !row.released) {
        instance_intent_update(tx, row).await?;
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
    }
    Ok(())
}

/// Whether an instance may be given an address.
fn takes(row: &InstanceRow, target: &Target) -> Result<(), ApiError> {
    let pending = row.state == InstanceState::Pending && matches!(target, Target::Instance(_));
    if !pending && row.intent != RunIntent::Terminate {
        return Ok(());
    }
    Err(Code::InvalidInstanceId.message(format!(
        "The {} instance '{}' is not in a valid state for this operation.",
        row.state.name(),
        row.id
    )))
}

/// Fails unless the interface has this secondary address.
async fn has_address<'a>(
    exec: impl Into<Exec<'a>>,
    interface: &InterfaceRow,
    private_ip: Option<Ipv4Addr>,
) -> Result<(), ApiError> {
    let Some(ip) = private_ip else { return Ok(()) };
    let held = interface_address_holders(exec, &interface.subnet_id, &[ip]).await.or_fail()?;
    if held.iter().any(|row| row.interface_id == interface.id) {
        return Ok(());
    }
    let why = format!("The network interface '{}' does not have this private address.", interface.id);
    Err(ApiError::invalid_value("privateIpAddress", &ip.to_string(), &why))
}

fn associated(row: &ElasticIpRow, association: &AddressId) -> ApiError {
    Code::ResourceAlreadyAssociated
        .message(format!("resource {} is already associated with associate-id {association}", row.id))
}

impl Cloud {
    /// The interface that a target is.
    async fn interface_of(&self, cx: &OpContext, target: &Target) -> Result<InterfaceRow, ApiError> {
        match target {
            Target::Interface(id) => {
                let found = interface_now(self.store(), id).await.or_fail()?;
                found
                    .filter(|row| row.account_id == *cx.account())
                    .ok_or_else(|| ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[id.as_str()]))
            }
            Target::Instance(id) => {
                let instance = self.find_instances(cx, &[id.to_string()]).await?.remove(0);
                takes(&instance, target)?;
                let filter = InterfaceFilter { instances: Some(std::slice::from_ref(id)), ..Default::default() };
                let mut interfaces = interface_list(self.store(), filter, INTERFACES_MAX).await.or_fail()?;
                if interfaces.len() > 1 {
                    return Err(Code::InvalidInstanceId.message(format!(
                        "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
                    )));
                }
                interfaces.pop().ok_or_else(changed_meanwhile)
            }
        }
    }

    /// `AssociateAddress`. Repeating it gives the same association.
    ///
    /// # Errors
    /// `Resource.AlreadyAssociated` when something else would have to end for it and must not; `Gateway.NotAttached`
    /// without a way to the world; `InvalidInstanceID` for an instance that can not take it; those of
    /// [`Cloud::find_address`]; ids that are none.
    pub async fn associate_address(
        &self,
        cx: &OpContext,
        new: &NewAssociation,
        dry_run: bool,
    ) -> Result<AddressId, ApiError> {
        for _ in 0..TRIES_MAX {
            if let Attempt::Done(id) = self.try_associate(cx, new, dry_run).await? {
                return Ok(id);
            }
        }
        Err(changed_meanwhile())
    }

    async fn try_associate(
        &self,
        cx: &OpContext,
        new: &NewAssociation,
        dry_run: bool,
    ) -> Result<Attempt<AddressId>, ApiError> {
        let store = self.store();
        let row = self.find_address(store, cx, &new.address).await?;
        let interface = self.interface_of(cx, &new.target).await?;
        is_users(&interface)?;
        // None: the primary one.
        let private_ip = new.private_ip.filter(|ip| *ip != interface.private_ip);
        has_address(store, &interface, private_ip).await?;
        let led = row.interface_id.as_ref() == Some(&interface.id) && row.private_ip == private_ip;
        let there = row.association_id.as_ref().filter(|_| led);
        if let Some(same) = there {
            return if dry_run { Err(Code::DryRunOperation.error()) } else { Ok(Attempt::Done(same.clone())) };
        }
        if let Some(other) = row.association_id.as_ref().filter(|_| !new.reassociate) {
            return Err(associated(&row, other));
        }
        let replaced = address_of(store, &interface.id, private_ip).await.or_fail()?;
        if let Some(other) = replaced.as_ref().filter(|_| !new.reassociate) {
            return Err(Code::ResourceAlreadyAssociated
                .message(format!("resource {} is already associated with address {}", interface.id, other.address)));
        }
        if dry_run {
            self.gateway_of(store, &interface).await?;
            return Err(Code::DryRunOperation.error());
        }
        let left = match &row.interface_id {
            Some(id) => interface_now(store, id).await.or_fail()?,
            None => None,
        };
        left.as_ref().map_or(Ok(()), is_users)?;
        self.faults().point("cloud.address.associate").await.or_fail()?;
        let mut tx = store.write().await.or_fail()?;
        let concerned: Vec<&InterfaceRow> = left.iter().chain([&interface]).collect();
        let instances = or_again!(lock_instances(&mut tx, &concerned).await);
        // It may have been detached, or its instance have ended, before the lock was had.
        if !or_again!(lock_as_read(&mut tx, &row, &concerned).await) {
            return Ok(Attempt::Again);
        }
        has_address(&mut tx, &interface, private_ip).await?;
        if let Some(instance) = instances.iter().find(|instance| interface.instance_id.as_ref() == Some(&instance.id)) {
            takes(instance, &new.target)?;
        }
        or_again!(internet_gateway_hold(&mut tx, &interface.vpc_id).await);
        self.gateway_of(&mut tx, &interface).await?;
        // What it has shown so far: an automatic address goes back to the pool, another elastic IP leads nowhere.
        if private_ip.is_none() {
            or_again!(public_address_release(&mut tx, &interface.id).await);
        }
        if let Some(other) = replaced.as_ref().and_then(|other| other.association_id.as_ref())
            && !or_again!(elastic_ip_disassociate(&mut tx, other).await)
        {
            return Ok(Attempt::Again);
        }
        let id = AddressId::from_random(self.rng().u128());
        if !or_again!(elastic_ip_associate(&mut tx, &row, &id, &interface.id, private_ip).await) {
            return Ok(Attempt::Again);
        }
        if let Some(left) = left.as_ref().filter(|_| row.private_ip.is_none()) {
            or_again!(self.show_automatic(&mut tx, left, &instances).await);
        }
        or_again!(tell(&mut tx, &instances).await);
        self.faults().point("cloud.address.associate.before-commit").await.or_fail()?;
        or_again!(tx.commit().await);
        self.faults().point("cloud.address.associate.committed").await.or_fail()?;
        Ok(Attempt::Done(id))
    }

    /// An address that nothing can reach is not given.
    async fn gateway_of<'a>(&self, exec: impl Into<Exec<'a>>, interface: &InterfaceRow) -> Result<(), ApiError> {
        let vpcs = std::slice::from_ref(&interface.vpc_id);
        if internet_gateway_list_attached(exec, Some(vpcs), None, 1).await.or_fail()?.is_empty() {
            return Err(Code::GatewayNotAttached
                .message(format!("Network {} is not attached to any internet gateway", interface.vpc_id)));
        }
        Ok(())
    }

    /// An interface that an elastic IP has left shows an automatic address again, if its instance runs and came with one
    /// (EC2: "when you disassociate the Elastic IP address from your instance, it receives a new public IP address"). From
    /// an empty pool it gets none before its next start: the elastic IP is free all the same.
    async fn show_automatic(
        &self,
        tx: &mut Tx,
        interface: &InterfaceRow,
        instances: &[InstanceRow],
    ) -> Result<(), StoreError> {
        let mut of_it = instances.iter().filter(|row| interface.instance_id.as_ref() == Some(&row.id));
        if !of_it.any(|row| row.doc.auto_public_ip && row.intent == RunIntent::Run && !row.released) {
            return Ok(());
        }
        // As on EC2: an instance with several interfaces gets none.
        let of = interface.instance_id.as_ref().map(std::slice::from_ref);
        let filter = InterfaceFilter { instances: of, ..Default::default() };
        if interface_list(&mut *tx, filter, 2).await?.len() > 1 {
            return Ok(());
        }
        match public_address_take(tx, self.config().public_pool, &interface.id, &interface.account_id).await {
            Ok(_) => Ok(()),
            Err(StoreError::Exhausted { .. }) => {
                tracing::warn!(interface = %interface.id, "the public pool is empty: it shows no public address for now");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// `DisassociateAddress`. An address that leads nowhere may be disassociated again.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; those of [`Cloud::find_address`].
    pub async fn disassociate_address(
        &self,
        cx: &OpContext,
        association: &AssociationRef,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        for _ in 0..TRIES_MAX {
            if let Attempt::Done(()) = self.try_disassociate(cx, association, dry_run).await? {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    async fn try_disassociate(
        &self,
        cx: &OpContext,
        association: &AssociationRef,
        dry_run: bool,
    ) -> Result<Attempt<()>, ApiError> {
        let row = match association {
            AssociationRef::Address(address) => {
                self.find_address(self.store(), cx, &AddressRef::Address(*address)).await?
            }
            AssociationRef::Id(text) => self.association(cx, text).await?,
        };
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let (Some(id), Some(interface)) = (&row.association_id, &row.interface_id) else {
            return Ok(Attempt::Done(()));
        };
        let interface = interface_now(self.store(), interface).await.or_fail()?;
        interface.as_ref().map_or(Ok(()), is_users)?;
        self.faults().point("cloud.address.disassociate").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let concerned: Vec<&InterfaceRow> = interface.iter().collect();
        let instances = or_again!(lock_instances(&mut tx, &concerned).await);
        // It may have moved, or its interface have got or lost an instance, before the lock was had.
        if !or_again!(lock_as_read(&mut tx, &row, &concerned).await)
            || !or_again!(elastic_ip_disassociate(&mut tx, id).await)
        {
            return Ok(Attempt::Again);
        }
        if let Some(interface) = interface.as_ref().filter(|_| row.private_ip.is_none()) {
            or_again!(self.show_automatic(&mut tx, interface, &instances).await);
        }
        or_again!(tell(&mut tx, &instances).await);
        or_again!(tx.commit().await);
        self.faults().point("cloud.address.disassociate.committed").await.or_fail()?;
        Ok(Attempt::Done(()))
    }

    async fn association(&self, cx: &OpContext, text: &str) -> Result<ElasticIpRow, ApiError> {
        let missing = || Code::InvalidAssociationIdNotFound.with(&[&clip(text)]);
        let id = [text.parse::<AddressId>().map_err(|_| missing())?];
        let filter = ElasticIpFilter { account: Some(cx.account()), associations: Some(&id), ..Default::default() };
        elastic_ip_list(self.store(), filter, 1).await.or_fail()?.pop().ok_or_else(missing)
    }
}

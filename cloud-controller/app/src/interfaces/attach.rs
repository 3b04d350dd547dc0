//! Interfaces and the instances they are attached to.
//!
//! An instance that runs gets and loses interfaces by a new generation of its intent. Until its node says that the domain
//! has the ports of that generation, an interface is `attaching`, or `detaching`: it is free for another instance only
//! when the first one has let go.

use super::too_many_addresses;
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::InstanceObservation;
use mallee_store::{
    Exec, InstanceRow, InterfaceAttachmentRow, InterfaceFilter, InterfaceRow, StoreError, Tx, change_append,
    instance_intent_update, interface_address_list, interface_attach, interface_attachment_list,
    interface_attachment_put, interface_detach, interface_ipv6_list, interface_list,
};
use mallee_types::instance_type::{InstanceType, instance_type};
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use mallee_types::{AttachmentId, Generation, InstanceState, InterfaceId, RunIntent};

/// Interfaces of one instance, at most.
const INTERFACES_MAX: u32 = 100;
/// What ids of attachments begin with that are not to instances.
pub const MANAGED_ATTACHMENT: &str = "ela-attach";
/// The last device index there is (AWS's largest types end there too).
pub const DEVICE_INDEX_MAX: u32 = 31;

/// The interfaces of an instance.
async fn interfaces_of(tx: &mut Tx, row: &InstanceRow) -> Result<Vec<InterfaceRow>, StoreError> {
    let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&row.id)), ..Default::default() };
    interface_list(tx, filter, INTERFACES_MAX).await
}

/// How many addresses of that family of which it has more an interface has.
async fn address_count<'a>(exec: impl Into<Exec<'a>>, id: &InterfaceId) -> Result<usize, StoreError> {
    let (limit, of) = (u32::try_from(ADDRESSES_PER_INTERFACE_MAX).unwrap_or(u32::MAX), Some(std::slice::from_ref(id)));
    let mut exec = exec.into();
    let ipv4 = 1 + interface_address_list(exec.again(), of, None, limit).await?.len();
    Ok(ipv4.max(interface_ipv6_list(exec, of, None, limit).await?.len()))
}

/// Fails if an interface has more addresses of a family than one of an instance of this size may have.
pub(crate) async fn check_addresses<'a>(
    exec: impl Into<Exec<'a>>,
    id: &InterfaceId,
    size: &InstanceType,
) -> Result<(), ApiError> {
    if address_count(exec, id).await.or_fail()? > size.addresses_per_interface as usize {
        return Err(too_many_addresses());
    }
    Ok(())
}

/// Whether an interface is about to leave its instance.
pub(crate) async fn is_leaving(tx: &mut Tx, id: &InterfaceId) -> Result<bool, StoreError> {
    let rows = interface_attachment_list(tx, std::slice::from_ref(id), 1).await?;
    Ok(rows.first().is_some_and(|row| row.detaching))
}

fn size_of(row: &InstanceRow) -> Result<&'static InstanceType, ApiError> {
    instance_type(&row.instance_type)
        .ok_or_else(|| ApiError::internal(format!("{}: unknown type {}", row.id, row.instance_type)))
}

/// Fails if an instance has more interfaces, or addresses on one, than one of this size may have.
pub(crate) async fn check_size(tx: &mut Tx, row: &InstanceRow, size: &InstanceType) -> Result<(), ApiError> {
    let interfaces = interfaces_of(tx, row).await.or_fail()?;
    if interfaces.len() > size.interfaces as usize {
        return Err(too_many(interfaces.len(), size));
    }
    for interface in &interfaces {
        check_addresses(&mut *tx, &interface.id, size).await?;
    }
    Ok(())
}

pub(crate) fn too_many(count: usize, size: &InstanceType) -> ApiError {
    Code::AttachmentLimitExceeded.message(format!("Interface count {count} exceeds the limit for {}", size.name))
}

pub(crate) fn in_use(row: &InterfaceRow) -> ApiError {
    Code::InvalidNetworkInterfaceInUse.with(&[row.id.as_str()])
}

fn wrong_state(row: &InstanceRow) -> ApiError {
    Code::IncorrectState.message(format!("Instance '{}' is not 'running' or 'stopped'.", row.id))
}

/// Whether interfaces may come to it: its node works on it, and its guest runs or is off.
fn takes(row: &InstanceRow) -> Result<(), ApiError> {
    let lasting = matches!(row.state, InstanceState::Running | InstanceState::Stopped);
    if lasting && row.intent != RunIntent::Terminate { Ok(()) } else { Err(wrong_state(row)) }
}

/// Whether the two can be put together at all.
fn fits(instance: &InstanceRow, interface: &InterfaceRow) -> Result<(), ApiError> {
    if instance.zone != interface.zone {
        return Err(ApiError::invalid_combination(
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        ));
    }
    if instance.vpc_id != interface.vpc_id {
        return Err(ApiError::invalid_combination(format!(
            "You have specified two resources that belong to different networks: {} and {}.",
            instance.id, interface.id
        )));
    }
    Ok(())
}

impl Cloud {
    /// `AttachNetworkInterface`.
    ///
    /// # Errors
    /// `InvalidNetworkInterface.InUse`, `AttachmentLimitExceeded`, `PrivateIpAddressLimitExceeded`, `IncorrectState`;
    /// `InvalidParameterValue` for a place that is taken; `InvalidParameterCombination` for another zone or VPC.
    pub async fn attach_interface(
        &self,
        cx: &OpContext,
        id: &str,
        instance: &str,
        device_index: u32,
        dry_run: bool,
    ) -> Result<AttachmentId, ApiError> {
        if device_index > DEVICE_INDEX_MAX {
            let why = format!("Valid values are 1 to {DEVICE_INDEX_MAX}.");
            return Err(ApiError::invalid_value("deviceIndex", &device_index.to_string(), &why));
        }
        let seen = self.find_interface(cx, id).await?;
        let instance = self.find_instances(cx, &[instance.to_owned()]).await?.remove(0);
        fits(&instance, &seen)?;
        takes(&instance)?;
        if seen.is_taken() {
            return Err(in_use(&seen));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.interface.attach").await.or_fail()?;
        let mut held = self.hold_interface(cx, id, std::slice::from_ref(&instance.id)).await?;
        if held.row.instance_id.is_some() {
            return Err(in_use(&held.row));
        }
        let gone = || ApiError::instance_not_found(&[instance.id.as_str()]);
        let mut row = held.instances.pop().ok_or_else(gone)?;
        takes(&row)?;
        let tx = &mut held.tx;
        let (size, there) = (size_of(&row)?, interfaces_of(tx, &row).await.or_fail()?);
        if there.iter().any(|other| other.device_index == Some(device_index)) {
            return Err(Code::InvalidParameterValue.message(format!(
                "Instance '{}' already has an interface attached at device index '{device_index}'.",
                row.id
            )));
        }
        if there.len() >= size.interfaces as usize {
            return Err(too_many(there.len() + 1, size));
        }
        check_addresses(&mut *tx, &held.row.id, size).await?;
        let attachment = AttachmentId::from_random(self.rng().u128());
        interface_attach(tx, &held.row.id, &row.id, &attachment, device_index, false).await.or_fail()?;
        let running = row.state == InstanceState::Running;
        row.doc.interfaces_pending |= running;
        let generation = instance_intent_update(tx, &row).await.or_fail()?;
        let history = InterfaceAttachmentRow {
            interface_id: held.row.id.clone(),
            attached_ms: self.clock().now_ms(),
            generation: if running { generation } else { Generation(0) },
            detaching: false,
        };
        interface_attachment_put(tx, &history).await.or_fail()?;
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        self.faults().point("cloud.interface.attach.before-commit").await.or_fail()?;
        held.tx.commit().await.or_fail()?;
        self.faults().point("cloud.interface.attach.committed").await.or_fail()?;
        Ok(attachment)
    }

    /// `DetachNetworkInterface`. Forced, it is free at once, whatever the guest holds.
    ///
    /// # Errors
    /// `InvalidAttachmentID.NotFound`; `OperationNotPermitted` for an instance's primary interface; `IncorrectState` for
    /// an instance that is about to end, unless forced.
    pub async fn detach_interface(
        &self,
        cx: &OpContext,
        attachment: &str,
        force: bool,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let missing = || Code::InvalidAttachmentIdNotFound.with(&[&mallee_awswire::texts::clip(attachment)]);
        if attachment.starts_with(MANAGED_ATTACHMENT) {
            let text = format!("You are not allowed to manage '{MANAGED_ATTACHMENT}' attachments.");
            return Err(Code::OperationNotPermitted.message(text));
        }
        let wanted: AttachmentId = parse_id(attachment, Code::InvalidAttachmentIdNotFound)?;
        let filter = InterfaceFilter { account: Some(cx.account()), attachment: Some(&wanted), ..Default::default() };
        let seen = interface_list(self.store(), filter, 1).await.or_fail()?.pop().ok_or_else(missing)?;
        if seen.device_index == Some(0) {
            return Err(
                Code::OperationNotPermitted.message("The network interface at device index 0 cannot be detached.")
            );
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.interface.detach").await.or_fail()?;
        let mut held = self.hold_interface(cx, seen.id.as_str(), &[]).await?;
        if held.row.attachment_id.as_ref() != Some(&wanted) {
            return Err(missing());
        }
        let mut row = held.instances.pop().ok_or_else(missing)?;
        // Its node may be away for good: force does not wait for it.
        if row.intent == RunIntent::Terminate && !force {
            return Err(wrong_state(&row));
        }
        let tx = &mut held.tx;
        // What is off, and heard to be, holds nothing.
        let off = row.state == InstanceState::Stopped && row.observed_generation >= row.generation;
        row.doc.interfaces_pending |= !off;
        let generation = instance_intent_update(tx, &row).await.or_fail()?;
        if off || force {
            interface_detach(tx, &held.row.id).await.or_fail()?;
        } else {
            let end = InterfaceAttachmentRow {
                interface_id: held.row.id.clone(),
                attached_ms: held.row.created_ms,
                generation,
                detaching: true,
            };
            interface_attachment_put(tx, &end).await.or_fail()?;
        }
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        self.faults().point("cloud.interface.detach.before-commit").await.or_fail()?;
        held.tx.commit().await.map_err(store_failure)?;
        self.faults().point("cloud.interface.detach.committed").await.or_fail()
    }
}

/// What the node says of the cards of the domain: what came is there, what left is free. Either that it has exactly the
/// ports of a generation, or of each card how it is: one that a guest keeps holds up no other.
pub(crate) async fn settle(
    tx: &mut Tx,
    row: &mut InstanceRow,
    observation: &InstanceObservation,
) -> Result<(), StoreError> {
    let interfaces = interfaces_of(tx, row).await?;
    let ids: Vec<InterfaceId> = interfaces.iter().map(|interface| interface.id.clone()).collect();
    let lingers = |id: &InterfaceId| {
        let mac = interfaces.iter().find(|interface| interface.id == *id).map(|interface| interface.mac.to_string());
        mac.is_none_or(|mac| observation.lingering.contains(&mac))
    };
    let mut pending = false;
    for attachment in interface_attachment_list(&mut *tx, &ids, INTERFACES_MAX).await? {
        if attachment.generation.0 == 0 {
            continue;
        }
        let id = &attachment.interface_id;
        let by_itself = if attachment.detaching {
            !lingers(id)
        } else {
            observation.attached.iter().any(|attached| attached == id.as_str())
        };
        let wanted = attachment.generation.0;
        if wanted > observation.ports_generation && !(by_itself && wanted <= observation.cards_generation) {
            pending = true;
        } else if attachment.detaching {
            interface_detach(tx, &attachment.interface_id).await?;
        } else {
            interface_attachment_put(tx, &InterfaceAttachmentRow { generation: Generation(0), ..attachment }).await?;
        }
    }
    row.doc.interfaces_pending = pending;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_ec2s() {
        let size = instance_type("t3.nano").unwrap();
        assert_eq!(too_many(3, size).message(), "Interface count 3 exceeds the limit for t3.nano");
        assert_eq!(too_many(3, size).code(), Code::AttachmentLimitExceeded);
        assert_eq!(too_many_addresses().message(), "Number of private addresses will exceed limit.");
    }
}

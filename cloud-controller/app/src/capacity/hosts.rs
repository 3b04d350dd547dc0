//! Dedicated hosts: whole nodes that take one account's instances, and only those that ask for the tenancy `host`.
//!
//! A node becomes a host when nothing is on it, chosen and held by its cluster controller like an instance's place. As
//! root disks are on the node, an instance stays on its host: a host is given back when nothing is left on it.

use super::wire_tenancy;
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::instances::run::place::{Keep, Room};
use crate::once::{Once, record};
use crate::quotas::hold_account;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    Exec, HostFilter, HostRow, HostState, InstanceFilter, InstanceRow, StoreError, Tx, change_append,
    client_token_peek, host_count, host_fetch_locked, host_insert, host_list, host_unuse, host_update, host_use,
    host_users, instance_list, tag_put,
};
use mallee_types::instance_type::InstanceType;
use mallee_types::{AccountId, Generation, HostId, InstanceId, NodeId, ZoneName};
use serde::{Deserialize, Serialize};

/// EC2's resource type for tags.
pub const HOST_TAG_KIND: &str = "dedicated-host";
/// Hosts of an account.
const HOSTS_MAX: u64 = 1000;
/// Hosts of one call.
const QUANTITY_MAX: u32 = 100;
/// Rows read at once.
const PAGE: u32 = 1000;
const OPERATION: &str = "AllocateHosts";

/// Which sizes a host takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostSizes {
    /// One type.
    Type(String),
    /// All types of a family, for example `m5`.
    Family(String),
}

/// Hosts that are to be allocated.
#[derive(Debug)]
pub struct NewHosts {
    /// Where.
    pub zone: ZoneName,
    /// What they take.
    pub sizes: HostSizes,
    /// How many.
    pub quantity: u32,
    /// Whether they take instances that name no host.
    pub auto_placement: bool,
    /// Their tags.
    pub tags: Vec<Tag>,
    /// The caller's token.
    pub once: Once,
}

/// How a launch names its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWish {
    /// The host; none: any that takes it.
    pub id: Option<HostId>,
    /// It stays bound to that host.
    pub affinity: bool,
}

/// The family of a type: what is before the dot.
#[must_use]
pub fn family(instance_type: &str) -> &str {
    instance_type.split_once('.').map_or(instance_type, |(family, _)| family)
}

/// Whether a host takes instances of a type.
#[must_use]
pub fn takes(row: &HostRow, instance_type: &str) -> bool {
    match (&row.instance_type, &row.instance_family) {
        (Some(only), _) => only == instance_type,
        (None, Some(of)) => of == family(instance_type),
        (None, None) => false,
    }
}

/// Ids as a token's result has them.
fn ids_of(text: &str) -> Result<Vec<HostId>, ApiError> {
    text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(ApiError::internal)
}

fn takes_not(id: &HostId, instance_type: &str) -> ApiError {
    Code::InvalidParameterValue
        .message(format!("The dedicated host {id} does not take instances of type {instance_type}."))
}

/// The instances on these hosts, stopped ones too.
async fn instances_on<'a>(exec: impl Into<Exec<'a>>, ids: &[HostId]) -> Result<Vec<(HostId, InstanceRow)>, ApiError> {
    let (mut out, mut exec) = (Vec::new(), exec.into());
    for some in ids.chunks(PAGE as usize) {
        let mut after: Option<InstanceId> = None;
        loop {
            let users = host_users(exec.again(), some, after.as_ref(), PAGE).await.or_fail()?;
            let Some((_, last)) = users.last() else { break };
            after = Some(last.clone());
            let ids: Vec<InstanceId> = users.iter().map(|(_, id)| id.clone()).collect();
            let filter = InstanceFilter { ids: Some(&ids), ..Default::default() };
            for row in instance_list(exec.again(), filter, PAGE).await.or_fail()? {
                if let Some((host, _)) = users.iter().find(|(_, id)| *id == row.id) {
                    out.push((host.clone(), row));
                }
            }
        }
    }
    Ok(out)
}

fn occupied(id: &HostId) -> ApiError {
    Code::InvalidHostState.message(format!("Dedicated host {id} cannot be released as it is occupied."))
}

impl Cloud {
    /// The sizes a host may be for, the smallest first.
    async fn sizes_of(&self, sizes: &HostSizes) -> Result<Vec<InstanceType>, ApiError> {
        match sizes {
            HostSizes::Type(name) => Ok(vec![self.size_named(name).await?]),
            HostSizes::Family(name) => {
                let mut found = self.sizes().await?;
                found.retain(|size| family(size.name) == name);
                found.sort_by_key(|size| (size.vcpus, size.memory_mib));
                if found.is_empty() {
                    return Err(ApiError::invalid_value("instanceFamily", name, "There is no such family."));
                }
                Ok(found)
            }
        }
    }

    /// `AllocateHosts`: all of them, or none.
    ///
    /// # Errors
    /// `InsufficientHostCapacity` with reasons when not so many nodes are empty; values that are none.
    pub async fn allocate_hosts(&self, cx: &OpContext, new: NewHosts) -> Result<Vec<HostId>, ApiError> {
        if !(1..=QUANTITY_MAX).contains(&new.quantity) {
            let why = format!("Valid values are 1 to {QUANTITY_MAX}.");
            return Err(ApiError::invalid_value("quantity", &new.quantity.to_string(), &why));
        }
        tags::validate(&new.tags)?;
        if let Some(done) = self.allocated_before(cx, &new.once).await? {
            return Ok(done);
        }
        let sizes = self.sizes_of(&new.sizes).await?;
        let size = sizes.first().ok_or_else(|| ApiError::internal("a family without types"))?;
        self.faults().point("cloud.host.allocate").await.or_fail()?;
        let mut requests = Vec::new();
        let outcome = self.allocate_placed(cx, &new, size, &mut requests).await;
        if !matches!(outcome, Ok((_, true))) {
            for request_id in &requests {
                self.give_back(&new.zone, request_id).await;
            }
        }
        let (ids, _) = outcome?;
        self.faults().point("cloud.host.allocate.committed").await.or_fail()?;
        Ok(ids)
    }

    /// The result of an earlier call with this token.
    async fn allocated_before(&self, cx: &OpContext, once: &Once) -> Result<Option<Vec<HostId>>, ApiError> {
        let Some(token) = &once.token else { return Ok(None) };
        match client_token_peek(self.store(), cx.account(), OPERATION, token).await.or_fail()? {
            Some((hash, _)) if hash != once.params_hash => Err(Code::IdempotentParameterMismatch.error()),
            Some((_, Some(ids))) => ids_of(&ids).map(Some),
            Some((_, None)) | None => Ok(None),
        }
    }

    /// The hosts, and whether this call made them.
    async fn allocate_placed(
        &self,
        cx: &OpContext,
        new: &NewHosts,
        size: &InstanceType,
        requests: &mut Vec<String>,
    ) -> Result<(Vec<HostId>, bool), ApiError> {
        let mut placed: Vec<(HostId, Placement)> = Vec::new();
        for _ in 0..new.quantity {
            let id = HostId::from_random(self.rng().u128());
            let room = Room {
                instance_type: size.name,
                vcpus: size.vcpus,
                memory_mib: size.memory_mib,
                disk_bytes: size.root_disk_gib << 30,
                keep: Some(Keep::Host(id.clone())),
                account: cx.account().to_string(),
                tenancy: wire_tenancy("host"),
                ..Room::default()
            };
            let request_id = self.rng().uuid();
            requests.push(request_id.clone());
            let stand_in = [InstanceId::from_random(self.rng().u128())];
            let placed_on = self.reserve(&new.zone, &request_id, &room, 1, &stand_in).await;
            let placement = placed_on.map_err(|refusal| refusal.error)?.pop();
            placed.push((id, placement.ok_or_else(|| ApiError::internal("a placement without a node"))?));
        }
        self.faults().point("cloud.host.placed").await.or_fail()?;
        let nodes = self.zone_nodes(&new.zone).await;
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, &new.once).await? {
            return Ok((ids_of(&before)?, false));
        }
        hold_account(&mut tx, cx.account()).await?;
        if host_count(&mut tx, cx.account()).await.or_fail()? + u64::from(new.quantity) > HOSTS_MAX {
            return Err(Code::HostLimitExceeded.message(format!("You can have {HOSTS_MAX} dedicated hosts.")));
        }
        for (id, placement) in &placed {
            let node = nodes.iter().find(|node| node.node_id == placement.node_id);
            // What it shows of itself from then on.
            let total = node.and_then(|node| node.total).ok_or_else(|| {
                let text = format!("The node {} has not told what it hands out. Please try again.", placement.node_id);
                Code::Unavailable.message(text)
            })?;
            let (instance_type, instance_family) = match &new.sizes {
                HostSizes::Type(name) => (Some(name.clone()), None),
                HostSizes::Family(name) => (None, Some(name.clone())),
            };
            let row = HostRow {
                id: id.clone(),
                account_id: cx.account().clone(),
                zone: new.zone.clone(),
                node_id: placement.node_id.parse::<NodeId>().map_err(ApiError::internal)?,
                state: HostState::Available,
                generation: Generation(1),
                instance_type,
                instance_family,
                auto_placement: new.auto_placement,
                client_token: new.once.token.clone(),
                vcpus: total.vcpus,
                memory_mib: total.memory_mib,
                disk_bytes: total.disk_bytes,
                created_ms: now_ms,
                released_ms: None,
            };
            host_insert(&mut tx, &row).await.or_fail()?;
            tag_put(&mut tx, &tags::rows(cx.account(), HOST_TAG_KIND, id.as_str(), &new.tags)).await.or_fail()?;
            change_append(&mut tx, load::HOST, id, Some(&new.zone));
        }
        let ids: Vec<HostId> = placed.into_iter().map(|(id, _)| id).collect();
        let texts: Vec<&str> = ids.iter().map(HostId::as_str).collect();
        record(&mut tx, cx, OPERATION, &new.once, &texts.join(",")).await?;
        self.faults().point("cloud.host.allocate.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok((ids, true))
    }

    /// The account's host of this id, unless it was released.
    ///
    /// # Errors
    /// `InvalidHostId.NotFound`, or for an id that is none.
    pub async fn find_host(&self, cx: &OpContext, id: &str) -> Result<HostRow, ApiError> {
        let ids = [parse_id::<HostId>(id, Code::InvalidHostIdMalformed)?];
        let filter = HostFilter {
            account: Some(cx.account()),
            ids: Some(&ids),
            state: Some(HostState::Available),
            ..Default::default()
        };
        let found = host_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidHostIdNotFound.with(&[ids[0].as_str()]))
    }

    /// `ReleaseHosts`, of one host: only when no instance is on it, running or stopped.
    ///
    /// # Errors
    /// `InvalidHostState` while it is occupied; `InvalidHostId.NotFound`.
    pub async fn release_host(&self, cx: &OpContext, id: &str) -> Result<(), ApiError> {
        let row = self.find_host(cx, id).await?;
        self.faults().point("cloud.host.release").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = host_fetch_locked(&mut tx, &row.id).await.or_fail()?;
        if row.state != HostState::Available {
            return Err(Code::InvalidHostIdNotFound.with(&[row.id.as_str()]));
        }
        if !host_users(&mut tx, std::slice::from_ref(&row.id), None, 1).await.or_fail()?.is_empty() {
            return Err(occupied(&row.id));
        }
        row.state = HostState::Released;
        row.released_ms = Some(self.clock().now_ms());
        host_update(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::HOST, &row.id, Some(&row.zone));
        self.faults().point("cloud.host.release.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.host.release.committed").await.or_fail()
    }

    /// `ModifyHosts`, of one host.
    ///
    /// # Errors
    /// Sizes that instances on it are not of; `InvalidHostId.NotFound`.
    pub async fn modify_host(
        &self,
        cx: &OpContext,
        id: &str,
        auto_placement: Option<bool>,
        sizes: Option<&HostSizes>,
    ) -> Result<(), ApiError> {
        let row = self.find_host(cx, id).await?;
        if let Some(sizes) = sizes {
            self.sizes_of(sizes).await?;
        }
        self.faults().point("cloud.host.modify").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = host_fetch_locked(&mut tx, &row.id).await.or_fail()?;
        if row.state != HostState::Available {
            return Err(Code::InvalidHostIdNotFound.with(&[row.id.as_str()]));
        }
        row.auto_placement = auto_placement.unwrap_or(row.auto_placement);
        if let Some(sizes) = sizes {
            (row.instance_type, row.instance_family) = match sizes {
                HostSizes::Type(name) => (Some(name.clone()), None),
                HostSizes::Family(name) => (None, Some(name.clone())),
            };
            for (_, instance) in instances_on(&mut tx, std::slice::from_ref(&row.id)).await? {
                if !takes(&row, &instance.instance_type) {
                    return Err(Code::InvalidParameterValue.message(format!(
                        "Instance {} of type {} is on the dedicated host {}.",
                        instance.id, instance.instance_type, row.id
                    )));
                }
            }
        }
        host_update(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::HOST, &row.id, Some(&row.zone));
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.host.modify.committed").await.or_fail()
    }

    /// The instances on these hosts, stopped ones too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn host_instances(&self, ids: &[HostId]) -> Result<Vec<(HostId, InstanceRow)>, ApiError> {
        instances_on(self.store(), ids).await
    }

    /// The hosts a launch with the tenancy `host` may go to in a zone.
    ///
    /// # Errors
    /// A named host that does not take it; `InsufficientHostCapacity` when no host of the account would.
    pub(crate) async fn host_offer(
        &self,
        account: &AccountId,
        zone: &ZoneName,
        instance_type: &str,
        wish: &HostWish,
    ) -> Result<Vec<HostId>, ApiError> {
        let ids = wish.id.as_ref().map(std::slice::from_ref);
        let filter = HostFilter {
            account: Some(account),
            state: Some(HostState::Available),
            ids,
            zone: Some(zone),
            ..Default::default()
        };
        let rows = host_list(self.store(), filter, PAGE).await.or_fail()?;
        if let Some(id) = &wish.id {
            let row = rows.first().ok_or_else(|| Code::InvalidHostIdNotFound.with(&[id.as_str()]))?;
            if !takes(row, instance_type) {
                return Err(takes_not(id, instance_type));
            }
            return Ok(vec![id.clone()]);
        }
        let open = rows.into_iter().filter(|row| row.auto_placement && takes(row, instance_type));
        let open: Vec<HostId> = open.map(|row| row.id).collect();
        if open.is_empty() {
            return Err(Code::InsufficientHostCapacity.message(format!(
                "There is no dedicated host in {zone} with auto-placement that takes instances of type {instance_type}."
            )));
        }
        Ok(open)
    }

    /// Notes that an instance, whose row is written in this transaction, is on the host its row names (or on none).
    pub(crate) async fn join_host(&self, tx: &mut Tx, row: &InstanceRow) -> Result<(), ApiError> {
        let Some(id) = &row.doc.host else { return host_unuse(tx, &row.id).await.or_fail() };
        let gone = || Code::InvalidHostIdNotFound.with(&[id.as_str()]);
        let host = host_fetch_locked(tx, id).await.map_err(|error| match error {
            StoreError::NotFound { .. } => gone(),
            other => store_failure(other),
        })?;
        if host.state != HostState::Available {
            return Err(gone());
        }
        // It may have been modified since the launch was placed.
        if !takes(&host, &row.instance_type) {
            return Err(takes_not(id, &row.instance_type));
        }
        host_use(tx, &row.id, id).await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_before_the_dot() {
        assert_eq!((family("m5.large"), family("m5")), ("m5", "m5"));
    }
}

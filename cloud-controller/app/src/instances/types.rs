//! Instance types as the cloud's administrator has set them: the built-in figures, with the stored ones over them.

use crate::authorize::Ask;
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{Capacity, NodeState};
use mallee_store::{InstanceTypeRow, instance_type_delete, instance_type_list, instance_type_put};
use mallee_types::ZoneName;
use mallee_types::instance_type::{INSTANCE_TYPES, InstanceType, instance_type};

/// Most vCPUs a type may have (QEMU's `pc` machine takes 255).
const VCPUS_MAX: u32 = 255;
/// Least memory, in MiB: less boots no guest.
const MEMORY_MIB_MIN: u64 = 64;
/// Most memory, in MiB: 16 TiB.
const MEMORY_MIB_MAX: u64 = 16 << 20;
/// Largest root disk, in GiB: 64 TiB.
const DISK_GIB_MAX: u64 = 64 << 10;

/// New figures of a type; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeChange {
    /// Virtual CPUs.
    pub vcpus: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Root disk in GiB.
    pub root_disk_gib: Option<u64>,
    /// Back to the built-in figures, before anything else is put.
    pub reset: bool,
}

/// How many instances of a type fit into a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeCapacity {
    /// The type.
    pub size: InstanceType,
    /// The zone.
    pub zone: ZoneName,
    /// On empty nodes.
    pub maximum: u64,
    /// Beside what runs now.
    pub available: u64,
}

fn overlay(size: &InstanceType, rows: &[InstanceTypeRow]) -> InstanceType {
    match rows.iter().find(|row| row.name == size.name) {
        Some(row) => {
            InstanceType { vcpus: row.vcpus, memory_mib: row.memory_mib, root_disk_gib: row.root_disk_gib, ..*size }
        }
        None => *size,
    }
}

/// How many of `size` fit beside `used` into `total`.
fn fits(size: &InstanceType, total: &Capacity, used: &Capacity) -> u64 {
    let disk = size.root_disk_gib << 30;
    let by_cpu = u64::from(total.vcpus.saturating_sub(used.vcpus)) / u64::from(size.vcpus.max(1));
    let by_memory = total.memory_mib.saturating_sub(used.memory_mib) / size.memory_mib.max(1);
    let by_disk = total.disk_bytes.saturating_sub(used.disk_bytes) / disk.max(1);
    by_cpu.min(by_memory).min(by_disk)
}

fn bounded<T: PartialOrd + Copy + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<T, ApiError> {
    if value < min || value > max {
        let why = format!("Valid values are {min} to {max}.");
        return Err(ApiError::invalid_value(name, &value.to_string(), &why));
    }
    Ok(value)
}

impl Cloud {
    /// Every type, smallest first within its family.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sizes(&self) -> Result<Vec<InstanceType>, ApiError> {
        let rows = instance_type_list(self.store()).await.or_fail()?;
        Ok(INSTANCE_TYPES.iter().map(|size| overlay(&self.offered(size), &rows)).collect())
    }

    /// The type of this name.
    ///
    /// # Errors
    /// `InvalidParameterValue` when there is none.
    pub async fn size_named(&self, name: &str) -> Result<InstanceType, ApiError> {
        let size = instance_type(name).ok_or_else(|| {
            Code::InvalidParameterValue
                .message(format!("Invalid value '{}' for InstanceType.", mallee_awswire::texts::clip(name)))
        })?;
        Ok(overlay(&self.offered(size), &instance_type_list(self.store()).await.or_fail()?))
    }

    /// The built-in figures as this cloud gives them: bandwidth is limited only where it was told to.
    fn offered(&self, size: &InstanceType) -> InstanceType {
        InstanceType { network_mbps: if self.limits_network() { size.network_mbps } else { 0 }, ..*size }
    }

    /// `ModifyInstanceTypeAttribute` of Eucalyptus: new figures for a type, of launches and starts from now on. What
    /// runs keeps what it was given. The type before and after.
    ///
    /// # Errors
    /// `UnauthorizedOperation` for anyone but the cloud's administrator; figures that no node could give.
    pub async fn modify_type(
        &self,
        cx: &OpContext,
        name: &str,
        change: TypeChange,
        dry_run: bool,
    ) -> Result<(InstanceType, InstanceType), ApiError> {
        self.require_types(cx, "ec2:ModifyInstanceTypeAttribute").await?;
        let before = self.size_named(name).await?;
        let built_in = instance_type(name).map_or(before, |size| self.offered(size));
        let base = if change.reset { built_in } else { before };
        let after = InstanceType {
            vcpus: bounded("Cpu", change.vcpus.unwrap_or(base.vcpus), 1, VCPUS_MAX)?,
            memory_mib: bounded(
                "Memory",
                change.memory_mib.unwrap_or(base.memory_mib),
                MEMORY_MIB_MIN,
                MEMORY_MIB_MAX,
            )?,
            root_disk_gib: bounded("Disk", change.root_disk_gib.unwrap_or(base.root_disk_gib), 1, DISK_GIB_MAX)?,
            ..base
        };
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if after == built_in {
            instance_type_delete(&mut tx, name).await.or_fail()?;
        } else {
            let row = InstanceTypeRow {
                name: name.to_owned(),
                vcpus: after.vcpus,
                memory_mib: after.memory_mib,
                root_disk_gib: after.root_disk_gib,
            };
            instance_type_put(&mut tx, &row).await.or_fail()?;
        }
        tx.commit().await.or_fail()?;
        Ok((before, after))
    }

    /// How many instances of each type fit, zone by zone, as the cluster controllers count now.
    ///
    /// # Errors
    /// `UnauthorizedOperation` for anyone but the cloud's administrator: it tells of other tenants.
    pub async fn type_capacity(&self, cx: &OpContext) -> Result<Vec<TypeCapacity>, ApiError> {
        self.require_types(cx, "ec2:DescribeInstanceTypeCapacity").await?;
        self.capacities().await
    }

    /// As [`Cloud::type_capacity`], for the cloud's own use.
    pub(crate) async fn capacities(&self) -> Result<Vec<TypeCapacity>, ApiError> {
        let sizes = self.sizes().await?;
        let mut out = Vec::with_capacity(sizes.len() * self.zones().len());
        for zone in self.zones() {
            let nodes = self.zone_nodes(zone).await;
            for size in &sizes {
                let (mut maximum, mut available) = (0, 0);
                for node in nodes.iter().filter(|node| node.state() == NodeState::Ready) {
                    let (total, used) = (node.total.unwrap_or_default(), node.used.unwrap_or_default());
                    maximum += fits(size, &total, &Capacity::default());
                    available += fits(size, &total, &used);
                }
                out.push(TypeCapacity { size: *size, zone: zone.clone(), maximum, available });
            }
        }
        Ok(out)
    }

    /// Fails for anyone outside the cloud's own account, and in it for those whose policies do not allow it.
    async fn require_types(&self, cx: &OpContext, action: &str) -> Result<(), ApiError> {
        if !cx.actor.is_admin {
            return Err(Code::UnauthorizedOperation.error());
        }
        self.require(cx, &Ask { action, resource: "*", ..Ask::default() }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_thing_decides() {
        let size = instance_type("t3.nano").copied().unwrap();
        let total = Capacity { vcpus: 8, memory_mib: 4096, disk_bytes: 1 << 40 };
        assert_eq!(fits(&size, &total, &Capacity::default()), 4, "by CPU");
        let used = Capacity { vcpus: 2, memory_mib: 3500, disk_bytes: 0 };
        assert_eq!(fits(&size, &total, &used), 1, "by memory");
        let full = Capacity { disk_bytes: 1 << 40, ..used };
        assert_eq!(fits(&size, &total, &full), 0, "by disk");
    }

    #[test]
    fn stored_figures_go_over_the_built_in_ones() {
        let row = InstanceTypeRow { name: "t3.nano".into(), vcpus: 1, memory_mib: 256, root_disk_gib: 4 };
        let size = overlay(instance_type("t3.nano").unwrap(), std::slice::from_ref(&row));
        assert_eq!((size.vcpus, size.memory_mib, size.root_disk_gib, size.burstable), (1, 256, 4, true));
        let other = instance_type("t3.micro").unwrap();
        assert_eq!(overlay(other, &[row]), *other);
    }
}

//! Fleets: a wish for capacity, filled from launch templates, once or for good.
//!
//! Every launch is a row before it is made, and the transaction that makes its instances ends that row: however often
//! it is tried, by whomever, it is made once. [`keeper`] decides and does; [`decide`] and [`plan`] are the pure parts.

pub(crate) mod check;
mod decide;
mod describe;
mod drive;
mod keeper;
mod launch;
mod plan;
mod requests;

pub use drive::drive;
pub use keeper::{FleetKeeperError, keep_fleets};
pub use launch::{FleetHands, FleetLaunch, LaunchOrder};
pub use requests::{FleetChange, FleetRemoval, NewFleet};

use mallee_runtime::task::Nudge;
use mallee_types::FleetId;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "fleet";
/// The tag by which an instance says which fleet launched it.
pub const FLEET_TAG: &str = "aws:ec2:fleet-id";
/// Fleets of an account that the keeper looks after (EC2: 1,000 per Region).
pub const FLEETS_MAX: u64 = 1_000;
/// Most capacity of a fleet, in units (EC2: 10,000).
pub const CAPACITY_MAX: u64 = 10_000;
/// How long events are kept, in milliseconds (EC2: 48 hours), and fleets after their end.
pub const KEPT_MS: i64 = 48 * 3600 * 1000;

/// What this process knows of the work on fleets.
#[derive(Debug, Default)]
pub(crate) struct FleetDesk {
    nudge: Nudge,
    busy: Mutex<BTreeSet<FleetId>>,
}

/// A fleet that is being worked on here, until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy<'a> {
    desk: &'a FleetDesk,
    id: FleetId,
}

impl FleetDesk {
    pub(crate) const fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// Takes a fleet up; `None`: somebody else of this process has it.
    pub(crate) fn take(&self, id: &FleetId) -> Option<Busy<'_>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(id.clone()).then(|| Busy { desk: self, id: id.clone() })
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.desk.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

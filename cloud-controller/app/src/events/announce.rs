//! Announcing events: for the instances on a node, or for named ones, in one transaction.

use super::{rules, tell};
use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    EVENTS_PER_INSTANCE_MAX, EventCode, EventState, InstanceEventFilter, InstanceEventRow, InstanceFilter, InstanceRow,
    PAGE_ROWS_MAX, StoreError, Tx, instance_event_delete, instance_event_insert, instance_event_list,
    instance_fetch_locked, instance_list,
};
use mallee_types::{InstanceEventId, InstanceId, NodeId};

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 255;
/// Instances of one announcement: those of a node fit.
const INSTANCES_MAX: u32 = 2_000;
/// An event is announced for a time no farther away, in milliseconds.
const AHEAD_MS_MAX: i64 = 366 * 24 * 3600 * 1000;

/// For which instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All that are on this node.
    Node(String),
    /// These.
    Instances(Vec<String>),
}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// For which instances.
    pub target: Target,
    /// What happens.
    pub code: EventCode,
    /// Earliest start.
    pub not_before_ms: i64,
    /// Latest end.
    pub not_after_ms: Option<i64>,
    /// Until when an instance's owner may move the start; none: he may not.
    pub deadline_ms: Option<i64>,
    /// For the owners, in words.
    pub description: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// Events that were made.
    pub made: Vec<InstanceEventRow>,
    /// Events that said the same already: of this code, at this time.
    pub known: Vec<InstanceEventRow>,
}

impl Announcement {
    fn check(&self, now_ms: i64) -> Result<(), ApiError> {
        let wrong = |text: &'static str| Err(Code::InvalidParameterValue.message(text));
        let length = self.description.chars().count();
        if length == 0 || length > DESCRIPTION_CHARS_MAX || self.description.chars().any(char::is_control) {
            return wrong("The description is a line of 1 to 255 characters.");
        }
        if self.not_before_ms < now_ms {
            return wrong("The start is in the past.");
        }
        let last = [Some(self.not_before_ms), self.not_after_ms, self.deadline_ms].into_iter().flatten().max();
        if last.is_some_and(|at| at.saturating_sub(now_ms) > AHEAD_MS_MAX) {
            return wrong("Events are announced for a year ahead at most.");
        }
        if self.not_after_ms.is_some_and(|at| at < self.not_before_ms) {
            return wrong("The latest end is before the start.");
        }
        if self.deadline_ms.is_some_and(|at| at < self.not_before_ms) {
            return wrong("The deadline is before the start.");
        }
        Ok(())
    }
}

impl Cloud {
    /// Announces maintenance: one event an instance, for all of them or for none. An instance whose events say so
    /// already gets no second one, so that an announcement may be repeated, also for those that have come since.
    ///
    /// # Errors
    /// `InvalidParameterValue` for times and texts that are none, and nodes that are unknown;
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for a named instance that this cannot happen to;
    /// `ResourceLimitExceeded`.
    pub async fn announce_event(&self, wanted: &Announcement) -> Result<Announced, ApiError> {
        let now_ms = self.clock().now_ms();
        wanted.check(now_ms)?;
        self.faults().point("cloud.event.announce").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let ids = self.concerned(&mut tx, wanted).await?;
        let mut announced = Announced::default();
        for id in &ids {
            let row = match instance_fetch_locked(&mut tx, id).await {
                Err(StoreError::NotFound { .. }) => return Err(ApiError::instance_not_found(&[id.as_str()])),
                other => other.or_fail()?,
            };
            if !rules::concerns(wanted.code, &row) {
                if matches!(wanted.target, Target::Node(_)) {
                    continue;
                }
                let what = format!("given a scheduled event {}", wanted.code.name());
                return Err(Code::IncorrectInstanceState.with(&[row.id.as_str(), &what]));
            }
            self.announce_one(&mut tx, wanted, &row, now_ms, &mut announced).await?;
        }
        if announced.made.is_empty() {
            tx.rollback().await.or_fail()?;
            return Ok(announced);
        }
        self.faults().point("cloud.event.announce.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.event.announce.committed").await.or_fail()?;
        self.event_nudge().wake();
        Ok(announced)
    }

    /// The instances, by id, as everywhere where several are locked.
    async fn concerned(&self, tx: &mut Tx, wanted: &Announcement) -> Result<Vec<InstanceId>, ApiError> {
        let node = match &wanted.target {
            Target::Instances(given) if given.is_empty() => return Err(ApiError::missing_parameter("instances")),
            Target::Instances(given) => return crate::ids::parse_ids(given, Code::InvalidInstanceIdMalformed),
            Target::Node(node) => node,
        };
        let unknown = || {
            let text = format!("There is no node {}.", clip(node));
            Code::InvalidParameterValue.message(text)
        };
        let id: NodeId = node.parse().map_err(|_| unknown())?;
        let filter = InstanceFilter { node: Some(&id), unreleased: true, ..Default::default() };
        let rows = instance_list(&mut *tx, filter, INSTANCES_MAX + 1).await.or_fail()?;
        if rows.len() > INSTANCES_MAX as usize {
            return Err(Code::ResourceLimitExceeded.message(format!(
                "More than {INSTANCES_MAX} instances are on the node; announce it for some of them at a time."
            )));
        }
        let reports = |zone| self.zone_state(zone).nodes().iter().any(|status| status.node_id == *node);
        if rows.is_empty() && !self.zones().iter().any(reports) {
            return Err(unknown());
        }
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    async fn announce_one(
        &self,
        tx: &mut Tx,
        wanted: &Announcement,
        row: &InstanceRow,
        now_ms: i64,
        announced: &mut Announced,
    ) -> Result<(), ApiError> {
        let filter = InstanceEventFilter { instances: Some(std::slice::from_ref(&row.id)), ..Default::default() };
        let mut there = instance_event_list(&mut *tx, filter, PAGE_ROWS_MAX).await.or_fail()?;
        let same = |event: &InstanceEventRow| {
            event.state == EventState::Scheduled
                && event.code == wanted.code
                && event.not_before_ms == wanted.not_before_ms
        };
        if let Some(at) = there.iter().position(same) {
            announced.known.push(there.swap_remove(at));
            return Ok(());
        }
        if there.len() >= EVENTS_PER_INSTANCE_MAX {
            let oldest = there.iter().filter(|event| event.ended_ms.is_some()).min_by_key(|event| event.ended_ms);
            let Some(oldest) = oldest else {
                return Err(Code::ResourceLimitExceeded.message(format!(
                    "The instance '{}' has {EVENTS_PER_INSTANCE_MAX} scheduled events already.",
                    row.id
                )));
            };
            instance_event_delete(tx, &oldest.id).await.or_fail()?;
        }
        let event = InstanceEventRow {
            id: InstanceEventId::from_random(self.rng().u128()),
            account_id: row.account_id.clone(),
            instance_id: row.id.clone(),
            node_id: row.node_id.clone(),
            code: wanted.code,
            state: EventState::Scheduled,
            description: wanted.description.clone(),
            not_before_ms: wanted.not_before_ms,
            not_after_ms: wanted.not_after_ms,
            deadline_ms: wanted.deadline_ms,
            reboot_seq: row.reboot_seq,
            created_ms: now_ms,
            ended_ms: None,
        };
        instance_event_insert(tx, &event).await.or_fail()?;
        tell(tx, row).await.or_fail()?;
        announced.made.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_words_of_an_announcement_make_sense() {
        let fine = Announcement {
            target: Target::Node("node-1".into()),
            code: EventCode::SystemReboot,
            not_before_ms: 1_000,
            not_after_ms: Some(2_000),
            deadline_ms: Some(1_000),
            description: "x".repeat(DESCRIPTION_CHARS_MAX),
        };
        let is_fine = |change: &dyn Fn(&mut Announcement)| {
            let mut wanted = fine.clone();
            change(&mut wanted);
            wanted.check(1_000).is_ok()
        };
        assert!(is_fine(&|_| {}));
        assert!(!is_fine(&|a| a.not_before_ms = 999));
        assert!(!is_fine(&|a| a.not_after_ms = Some(999)));
        assert!(!is_fine(&|a| a.deadline_ms = Some(999)));
        assert!(!is_fine(&|a| a.deadline_ms = Some(1_001 + AHEAD_MS_MAX)));
        assert!(!is_fine(&|a| a.description = String::new()));
        assert!(!is_fine(&|a| a.description.push('x')));
        assert!(!is_fine(&|a| a.description = "two\nlines".into()));
    }
}

//! What ends an event, what it does to its instance, and whether it may be moved: pure.

use mallee_awswire::{ApiError, Code};
use mallee_store::{EventCode, EventState, InstanceEventRow, InstanceRow};
use mallee_types::RunIntent;

/// An event that starts sooner cannot be moved any more, in milliseconds (AWS: five minutes).
const STARTS_SOON_MS: i64 = 5 * 60_000;
/// An event cannot be moved to a time that is nearer, in milliseconds (AWS: an hour).
const MOVED_LEAST_MS: i64 = 60 * 60_000;

/// What has become of an event when its instance is meant to be so, with so many reboots behind it. Disks are on the
/// node: a stop takes no instance away from a host that is worked on, and its events stay. A stop is no retirement.
pub(super) fn ended_by(event: &InstanceEventRow, intent: RunIntent, reboot_seq: u64) -> Option<EventState> {
    use EventCode::{InstanceReboot, InstanceRetirement, InstanceStop, SystemMaintenance, SystemReboot};
    match (intent, event.code) {
        (RunIntent::Terminate, InstanceStop | InstanceRetirement) => Some(EventState::Completed),
        (RunIntent::Terminate, InstanceReboot | SystemReboot | SystemMaintenance) => Some(EventState::Canceled),
        (RunIntent::Stop, InstanceReboot | InstanceStop) => Some(EventState::Completed),
        (RunIntent::Run, InstanceReboot) if reboot_seq > event.reboot_seq => Some(EventState::Completed),
        (RunIntent::Stop, InstanceRetirement | SystemReboot | SystemMaintenance) | (RunIntent::Run, _) => None,
    }
}

/// What the cloud does at the time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// As `RebootInstances` does.
    Reboot,
    /// As `StopInstances` does.
    Stop,
    /// As `TerminateInstances` does.
    Terminate,
    /// Nothing: the administrator works on the host.
    Nothing,
}

/// An instance-store instance that is retired is terminated, as on AWS; so is a spot instance that cannot be stopped
/// because its request is for one instance once. What protects an instance from its owner's calls does not protect it
/// from events, as on AWS.
pub(super) fn act(code: EventCode, row: &InstanceRow) -> Act {
    match code {
        EventCode::InstanceReboot => Act::Reboot,
        EventCode::InstanceStop if row.doc.spot.as_ref().is_some_and(|spot| !spot.persistent) => Act::Terminate,
        EventCode::InstanceStop => Act::Stop,
        EventCode::InstanceRetirement => Act::Terminate,
        EventCode::SystemReboot | EventCode::SystemMaintenance => Act::Nothing,
    }
}

/// Whether an event of this code can be announced for an instance: its work must be able to reach it. One that is
/// stopped has its disk on the host, which goes when the host is retired.
pub(super) fn concerns(code: EventCode, row: &InstanceRow) -> bool {
    match row.intent {
        RunIntent::Run => true,
        RunIntent::Stop => code == EventCode::InstanceRetirement,
        RunIntent::Terminate => false,
    }
}

/// Whether the owner of an event's instance may have it start at `not_before_ms`.
pub(super) fn may_move(event: &InstanceEventRow, not_before_ms: i64, now_ms: i64) -> Result<(), ApiError> {
    let fixed = |why: &str| Err(Code::InstanceEventStartTimeCannotChange.with(&[event.id.as_str(), why]));
    let wrong = |why: &str| Err(Code::InvalidInstanceEventStartTime.with(&[why]));
    let Some(deadline_ms) = event.deadline_ms else {
        return fixed("Only events with an event deadline date can be rescheduled.");
    };
    if event.state != EventState::Scheduled {
        return fixed("The event is completed or canceled.");
    }
    if event.not_before_ms <= now_ms {
        return fixed("Only events that have not yet started can be rescheduled.");
    }
    if event.not_before_ms <= now_ms.saturating_add(STARTS_SOON_MS) {
        return fixed("Events that are scheduled to start in the next 5 minutes can't be rescheduled.");
    }
    if not_before_ms < now_ms.saturating_add(MOVED_LEAST_MS) {
        return wrong("The new event start time must be at least 60 minutes from the current time.");
    }
    if not_before_ms > deadline_ms {
        return wrong("The event can be rescheduled up to the event deadline date.");
    }
    Ok(())
}

/// The description as users see it: AWS puts before it what has become of the event.
#[must_use]
pub fn shown_description(event: &InstanceEventRow) -> String {
    match event.state {
        EventState::Scheduled => event.description.clone(),
        EventState::Completed => format!("[Completed] {}", event.description),
        EventState::Canceled => format!("[Canceled] {}", event.description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventCode::*;

    const NOW: i64 = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn event(code: EventCode) -> InstanceEventRow {
        InstanceEventRow {
            id: mallee_types::InstanceEventId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            instance_id: mallee_types::InstanceId::from_random(1),
            node_id: None,
            code,
            state: EventState::Scheduled,
            description: "work".into(),
            not_before_ms: NOW + 2 * HOUR,
            not_after_ms: None,
            deadline_ms: Some(NOW + 9 * HOUR),
            reboot_seq: 4,
            created_ms: NOW,
            ended_ms: None,
        }
    }

    #[test]
    fn what_the_owner_did_himself_ends_an_event() {
        let (done, off) = (Some(EventState::Completed), Some(EventState::Canceled));
        // Running on, rebooted, stopped, terminated.
        let table = [
            (InstanceReboot, [None, done, done, off]),
            (InstanceStop, [None, None, done, done]),
            (InstanceRetirement, [None, None, None, done]),
            (SystemReboot, [None, None, None, off]),
            (SystemMaintenance, [None, None, None, off]),
        ];
        for (code, want) in table {
            let event = event(code);
            let is = |intent, reboots| ended_by(&event, intent, reboots);
            let got =
                [is(RunIntent::Run, 4), is(RunIntent::Run, 5), is(RunIntent::Stop, 4), is(RunIntent::Terminate, 4)];
            assert_eq!(got, want, "{code:?}");
        }
    }

    #[test]
    fn events_move_within_their_deadline() {
        let fine = event(SystemReboot);
        let code = |event: &InstanceEventRow, to: i64| may_move(event, to, NOW).map_err(|e| e.code());
        let (fixed, wrong) = (Err(Code::InstanceEventStartTimeCannotChange), Err(Code::InvalidInstanceEventStartTime));
        assert_eq!(code(&fine, NOW + HOUR), Ok(()), "earlier too");
        assert_eq!(code(&fine, NOW + 9 * HOUR), Ok(()), "up to the deadline");
        assert_eq!(code(&fine, NOW + 9 * HOUR + 1), wrong);
        assert_eq!(code(&fine, NOW + HOUR - 1), wrong);
        let with = |change: &dyn Fn(&mut InstanceEventRow)| {
            let mut event = fine.clone();
            change(&mut event);
            code(&event, NOW + 3 * HOUR)
        };
        assert_eq!(with(&|e| e.deadline_ms = None), fixed);
        assert_eq!(with(&|e| e.state = EventState::Completed), fixed);
        assert_eq!(with(&|e| e.state = EventState::Canceled), fixed);
        assert_eq!(with(&|e| e.not_before_ms = NOW), fixed);
        assert_eq!(with(&|e| e.not_before_ms = NOW + 5 * 60_000), fixed);
        assert_eq!(with(&|e| e.not_before_ms = NOW + 5 * 60_000 + 1), Ok(()));
    }

    #[test]
    fn what_has_become_of_an_event_stands_before_its_description() {
        let mut event = event(InstanceStop);
        assert_eq!(shown_description(&event), "work");
        event.state = EventState::Completed;
        assert_eq!(shown_description(&event), "[Completed] work");
        event.state = EventState::Canceled;
        assert_eq!(shown_description(&event), "[Canceled] work");
    }
}

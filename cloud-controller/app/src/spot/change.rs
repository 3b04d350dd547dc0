//! Which state of a request follows which: pure changes of its row, one for each thing that can happen to it.
//!
//! A request's state says what may still become of it, its status what happened last; the codes are AWS's. A request
//! that was cancelled stays so, but its status goes on telling what becomes of its instance.

use mallee_store::{InterruptionBehavior, SpotKind, SpotRequestRow, SpotState};
use mallee_types::{InstanceId, ZoneName};

/// A status: AWS's code, and it in words.
pub type Status = (&'static str, &'static str);

/// Not looked at yet.
pub const PENDING_EVALUATION: Status =
    ("pending-evaluation", "Your Spot request has been submitted for review, and is pending evaluation.");
/// Its time has not come.
pub const NOT_SCHEDULED_YET: Status =
    ("not-scheduled-yet", "Your Spot request will not be evaluated until the scheduled date.");
/// No room.
pub const CAPACITY_NOT_AVAILABLE: Status =
    ("capacity-not-available", "There is no Spot capacity available that matches your request.");
const FULFILLED: Status = ("fulfilled", "Your spot request is fulfilled.");
const SCHEDULE_EXPIRED: Status = ("schedule-expired", "Your Spot request expired before it was fulfilled.");
const CANCELED_BEFORE: Status =
    ("canceled-before-fulfillment", "Your Spot request is canceled before it was fulfilled.");
const CANCELED_RUNNING: Status =
    ("request-canceled-and-instance-running", "Your Spot request is canceled, but your instance is still running.");
const MARKED_FOR_TERMINATION: Status =
    ("marked-for-termination", "Your Spot Instance is marked for termination: its capacity is needed.");
const MARKED_FOR_STOP: Status = ("marked-for-stop", "Your Spot Instance is marked for stop: its capacity is needed.");
const TERMINATED_NO_CAPACITY: Status = (
    "instance-terminated-no-capacity",
    "Your Spot Instance was terminated because there is no more Spot capacity available.",
);
const STOPPED_NO_CAPACITY: Status = (
    "instance-stopped-no-capacity",
    "Your Spot Instance was stopped because there is no more Spot capacity available.",
);
const TERMINATED_BY_EVENT: Status =
    ("instance-terminated-no-capacity", "Your Spot Instance was terminated due to a scheduled event of its host.");
const STOPPED_BY_EVENT: Status =
    ("instance-stopped-no-capacity", "Your Spot Instance was stopped due to a scheduled event of its host.");
const TERMINATED_BY_SERVICE: Status =
    ("instance-terminated-by-service", "Your Spot Instance was terminated from a stopped state.");
const TERMINATED_BY_USER: Status =
    ("instance-terminated-by-user", "Spot Instance terminated due to user-initiated termination.");
const STOPPED_BY_USER: Status = ("instance-stopped-by-user", "Spot Instance stopped due to user-initiated stop.");
const SYSTEM_ERROR: Status = ("system-error", "Your Spot Instance was stopped because its node could not bring it up.");
const LAUNCH_FAILED: Status = ("system-error", "Your Spot Instance was terminated because it could not be launched.");

/// How an instance came to its end or stop, other than by an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its owner, or its guest, ended it.
    User,
    /// Its node could not bring it up.
    Failure,
    /// The cloud ended it, for reasons that are not the owner's: its host is worked on or goes, or its request is over.
    Service,
}

fn tell(row: &mut SpotRequestRow, (code, message): Status, now_ms: i64) {
    tell_text(row, code, message, now_ms);
}

/// Sets the status, with a text of its own; the time only moves when something changes. True if it did.
pub fn tell_text(row: &mut SpotRequestRow, code: &str, message: &str, now_ms: i64) -> bool {
    if row.status_code == code && row.status_message == message {
        return false;
    }
    row.status_code = code.to_owned();
    row.status_message = message.to_owned();
    row.status_ms = now_ms;
    true
}

fn end(row: &mut SpotRequestRow, state: SpotState, now_ms: i64) {
    row.state = state;
    row.ended_ms = Some(now_ms);
}

fn expired(row: &SpotRequestRow, now_ms: i64) -> bool {
    row.valid_until_ms.is_some_and(|until| until <= now_ms)
}

/// It has this instance now.
pub fn fulfil(row: &mut SpotRequestRow, instance: &InstanceId, zone: &ZoneName, now_ms: i64) {
    row.state = SpotState::Active;
    row.instance_id = Some(instance.clone());
    row.zone = Some(zone.clone());
    row.interrupt_ms = None;
    tell(row, FULFILLED, now_ms);
}

/// It cannot be fulfilled ever.
pub fn fail(row: &mut SpotRequestRow, message: &str, now_ms: i64) {
    end(row, SpotState::Failed, now_ms);
    tell_text(row, "bad-parameters", message, now_ms);
}

/// Ends an open request whose time has run out; true if it has. An instance that an interruption had stopped is to be
/// terminated with it ([`terminated`]): nothing would start it again.
pub fn expire(row: &mut SpotRequestRow, now_ms: i64) -> bool {
    if row.state != SpotState::Open || !expired(row, now_ms) {
        return false;
    }
    end(row, SpotState::Closed, now_ms);
    tell(row, SCHEDULE_EXPIRED, now_ms);
    true
}

/// Its owner gives it up. What is over already stays as it is.
pub fn cancel(row: &mut SpotRequestRow, now_ms: i64) {
    let status = match row.state {
        SpotState::Closed | SpotState::Cancelled | SpotState::Failed => return,
        SpotState::Open => CANCELED_BEFORE,
        SpotState::Active | SpotState::Disabled => CANCELED_RUNNING,
    };
    end(row, SpotState::Cancelled, now_ms);
    // A notice that was given still stands.
    if row.interrupt_ms.is_none() {
        tell(row, status, now_ms);
    }
}

/// Its instance gets its notice: it is interrupted at `at_ms`.
pub fn mark(row: &mut SpotRequestRow, at_ms: i64, why: &str, now_ms: i64) {
    row.interrupt_ms = Some(at_ms);
    row.interruption = Some(why.to_owned());
    let status = match row.behavior {
        InterruptionBehavior::Terminate => MARKED_FOR_TERMINATION,
        InterruptionBehavior::Stop => MARKED_FOR_STOP,
    };
    tell(row, status, now_ms);
}

/// Its instance is being interrupted.
pub fn interrupt(row: &mut SpotRequestRow, now_ms: i64) {
    row.interrupt_ms = None;
    row.interrupted_ms = Some(now_ms);
    match row.behavior {
        InterruptionBehavior::Terminate => {
            reopen_or_close(row, now_ms);
            tell(row, TERMINATED_NO_CAPACITY, now_ms);
        }
        InterruptionBehavior::Stop => {
            if matches!(row.state, SpotState::Active | SpotState::Disabled) {
                row.state = SpotState::Open;
            }
            tell(row, STOPPED_NO_CAPACITY, now_ms);
        }
    }
}

/// A persistent request without its instance waits for another; others are over.
fn reopen_or_close(row: &mut SpotRequestRow, now_ms: i64) {
    if row.ended_ms.is_some() {
        return;
    }
    if row.kind == SpotKind::Persistent && !expired(row, now_ms) {
        row.state = SpotState::Open;
        row.instance_id = None;
    } else {
        end(row, SpotState::Closed, now_ms);
    }
}

/// Its instance is being terminated, not by an interruption; `was_stopped`: it did not run.
pub fn terminated(row: &mut SpotRequestRow, by: Ending, was_stopped: bool, now_ms: i64) {
    row.interrupt_ms = None;
    match by {
        Ending::User => {
            reopen_or_close(row, now_ms);
            tell(row, TERMINATED_BY_USER, now_ms);
        }
        Ending::Service => {
            reopen_or_close(row, now_ms);
            tell(row, if was_stopped { TERMINATED_BY_SERVICE } else { TERMINATED_BY_EVENT }, now_ms);
        }
        // To launch it over and over would fail over and over.
        Ending::Failure => {
            if row.ended_ms.is_none() {
                end(row, SpotState::Closed, now_ms);
            }
            tell(row, LAUNCH_FAILED, now_ms);
        }
    }
}

/// Its instance is being stopped, not by an interruption.
pub fn stopped(row: &mut SpotRequestRow, by: Ending, now_ms: i64) {
    row.interrupt_ms = None;
    if row.state == SpotState::Active {
        row.state = SpotState::Disabled;
    }
    let status = match by {
        Ending::User => STOPPED_BY_USER,
        Ending::Failure => SYSTEM_ERROR,
        Ending::Service => STOPPED_BY_EVENT,
    };
    tell(row, status, now_ms);
}

/// Its stopped instance is being started again.
pub fn started(row: &mut SpotRequestRow, now_ms: i64) {
    row.interrupt_ms = None;
    if matches!(row.state, SpotState::Disabled | SpotState::Open) {
        row.state = SpotState::Active;
    }
    tell(row, FULFILLED, now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{AccountId, SpotRequestId};

    fn row(kind: SpotKind, behavior: InterruptionBehavior) -> SpotRequestRow {
        SpotRequestRow {
            id: SpotRequestId::from_random(1),
            account_id: "000000000001".parse::<AccountId>().unwrap(),
            state: SpotState::Open,
            status_code: PENDING_EVALUATION.0.into(),
            status_message: PENDING_EVALUATION.1.into(),
            status_ms: 0,
            kind,
            behavior,
            max_price: None,
            zone: None,
            instance_id: None,
            valid_from_ms: None,
            valid_until_ms: None,
            interrupt_ms: None,
            interrupted_ms: None,
            interruption: None,
            created_ms: 0,
            ended_ms: None,
            launch: String::new(),
        }
    }

    fn active(kind: SpotKind, behavior: InterruptionBehavior) -> SpotRequestRow {
        let mut row = row(kind, behavior);
        fulfil(&mut row, &InstanceId::from_random(1), &"zone-a".parse().unwrap(), 1);
        assert_eq!((row.state, row.status_code.as_str(), row.status_ms), (SpotState::Active, "fulfilled", 1));
        row
    }

    fn shown(row: &SpotRequestRow) -> (SpotState, &str, bool, bool) {
        (row.state, row.status_code.as_str(), row.instance_id.is_some(), row.ended_ms.is_some())
    }

    const TERMINATE: InterruptionBehavior = InterruptionBehavior::Terminate;
    const STOP: InterruptionBehavior = InterruptionBehavior::Stop;

    #[test]
    fn an_interruption_closes_a_one_time_request_and_opens_a_persistent_one_again() {
        let mut once = active(SpotKind::OneTime, TERMINATE);
        mark(&mut once, 120, "room", 2);
        assert_eq!((once.status_code.as_str(), once.interrupt_ms), ("marked-for-termination", Some(120)));
        interrupt(&mut once, 120);
        assert_eq!(shown(&once), (SpotState::Closed, "instance-terminated-no-capacity", true, true));
        assert_eq!((once.interrupt_ms, once.interrupted_ms), (None, Some(120)));
        let mut again = active(SpotKind::Persistent, TERMINATE);
        interrupt(&mut again, 120);
        assert_eq!(shown(&again), (SpotState::Open, "instance-terminated-no-capacity", false, false));
        let mut late = active(SpotKind::Persistent, TERMINATE);
        late.valid_until_ms = Some(100);
        interrupt(&mut late, 120);
        assert_eq!(shown(&late), (SpotState::Closed, "instance-terminated-no-capacity", true, true));
    }

    #[test]
    fn a_stopped_instance_stays_with_its_request() {
        let mut row = active(SpotKind::Persistent, STOP);
        mark(&mut row, 120, "room", 2);
        assert_eq!(row.status_code, "marked-for-stop");
        interrupt(&mut row, 120);
        assert_eq!(shown(&row), (SpotState::Open, "instance-stopped-no-capacity", true, false));
        started(&mut row, 130);
        assert_eq!(shown(&row), (SpotState::Active, "fulfilled", true, false));
        stopped(&mut row, Ending::User, 140);
        assert_eq!(shown(&row), (SpotState::Disabled, "instance-stopped-by-user", true, false));
        started(&mut row, 150);
        assert_eq!(shown(&row), (SpotState::Active, "fulfilled", true, false));
    }

    #[test]
    fn who_terminates_gets_another_only_of_a_persistent_request() {
        let mut once = active(SpotKind::OneTime, TERMINATE);
        terminated(&mut once, Ending::User, false, 5);
        assert_eq!(shown(&once), (SpotState::Closed, "instance-terminated-by-user", true, true));
        let mut again = active(SpotKind::Persistent, STOP);
        mark(&mut again, 120, "room", 2);
        terminated(&mut again, Ending::User, false, 5);
        assert_eq!(shown(&again), (SpotState::Open, "instance-terminated-by-user", false, false));
        assert_eq!(again.interrupt_ms, None, "a notice ends with its instance");
        let mut broken = active(SpotKind::Persistent, TERMINATE);
        terminated(&mut broken, Ending::Failure, false, 5);
        assert_eq!(shown(&broken), (SpotState::Closed, "system-error", true, true));
    }

    #[test]
    fn a_cancelled_request_stays_cancelled() {
        let mut open = row(SpotKind::Persistent, TERMINATE);
        cancel(&mut open, 1);
        assert_eq!(shown(&open), (SpotState::Cancelled, "canceled-before-fulfillment", false, true));
        let mut row = active(SpotKind::Persistent, TERMINATE);
        cancel(&mut row, 2);
        assert_eq!(shown(&row), (SpotState::Cancelled, "request-canceled-and-instance-running", true, true));
        mark(&mut row, 120, "room", 3);
        interrupt(&mut row, 120);
        assert_eq!(shown(&row), (SpotState::Cancelled, "instance-terminated-no-capacity", true, true));
        let mut marked = active(SpotKind::OneTime, TERMINATE);
        mark(&mut marked, 120, "room", 3);
        cancel(&mut marked, 4);
        assert_eq!((shown(&marked).1, marked.interrupt_ms), ("marked-for-termination", Some(120)));
        terminated(&mut marked, Ending::User, false, 5);
        assert_eq!(shown(&marked), (SpotState::Cancelled, "instance-terminated-by-user", true, true));
        cancel(&mut marked, 6);
        assert_eq!(marked.status_ms, 5, "a second time changes nothing");
    }

    #[test]
    fn what_the_cloud_ends_is_not_told_as_its_owners_doing() {
        let mut once = active(SpotKind::OneTime, TERMINATE);
        terminated(&mut once, Ending::Service, false, 5);
        assert_eq!(shown(&once), (SpotState::Closed, "instance-terminated-no-capacity", true, true));
        assert_eq!(once.interrupted_ms, None, "no room was made for anybody");
        let mut again = active(SpotKind::Persistent, TERMINATE);
        terminated(&mut again, Ending::Service, false, 5);
        assert_eq!(shown(&again), (SpotState::Open, "instance-terminated-no-capacity", false, false));
        let mut row = active(SpotKind::Persistent, STOP);
        mark(&mut row, 120, "room", 2);
        stopped(&mut row, Ending::Service, 5);
        // Its owner starts it when the work is done: it does not come back by itself to a host that is worked on.
        assert_eq!(shown(&row), (SpotState::Disabled, "instance-stopped-no-capacity", true, false));
        assert_eq!(row.interrupt_ms, None, "a notice ends with what was announced");
        terminated(&mut row, Ending::Service, true, 6);
        assert_eq!(shown(&row), (SpotState::Open, "instance-terminated-by-service", false, false));
    }

    #[test]
    fn a_stopped_instance_goes_with_its_request() {
        let stopped_by_interruption = || {
            let mut row = active(SpotKind::Persistent, STOP);
            row.valid_until_ms = Some(50);
            interrupt(&mut row, 40);
            row
        };
        let mut late = stopped_by_interruption();
        assert!(expire(&mut late, 50));
        terminated(&mut late, Ending::Service, true, 50);
        assert_eq!(shown(&late), (SpotState::Closed, "instance-terminated-by-service", true, true));
        let mut given_up = stopped_by_interruption();
        cancel(&mut given_up, 45);
        terminated(&mut given_up, Ending::Service, true, 45);
        assert_eq!(shown(&given_up), (SpotState::Cancelled, "instance-terminated-by-service", true, true));
    }

    #[test]
    fn only_open_requests_expire() {
        let mut row = row(SpotKind::OneTime, TERMINATE);
        assert!(!expire(&mut row, 50));
        row.valid_until_ms = Some(50);
        assert!(!expire(&mut row, 49) && expire(&mut row, 50));
        assert_eq!(shown(&row), (SpotState::Closed, "schedule-expired", false, true));
        let mut active = active(SpotKind::Persistent, TERMINATE);
        active.valid_until_ms = Some(1);
        assert!(!expire(&mut active, 50));
    }
}

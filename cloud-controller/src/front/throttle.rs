//! How often an account may call: a token bucket per account and operation, as EC2 has them.
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>

use mallee_awswire::server::Service;
use mallee_awswire::{ApiError, Code};
use mallee_types::AccountId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Buckets kept at most. One that has filled up again tells nothing and goes first.
const BUCKETS_MAX: usize = 65_536;
/// A bucket holds the calls of so many seconds.
const BURST_SECONDS: u32 = 2;

/// Calls that each account may make of each operation, per second. Zero: as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRates {
    /// Of an operation that only looks.
    pub looks: u32,
    /// Of an operation that changes something.
    pub changes: u32,
}

impl Default for CallRates {
    /// Far above what one client of a private cloud needs, and well below what would starve the others.
    fn default() -> Self {
        Self { looks: 10_000, changes: 2_000 }
    }
}

/// Thousandths of calls that may still be made, as of a moment.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    milli: u64,
    at_ms: i64,
}

/// The buckets of one cloud controller. (Each replica has its own.)
#[derive(Debug)]
pub struct Throttle {
    rates: CallRates,
    buckets: Mutex<HashMap<(AccountId, String), Bucket>>,
}

impl Throttle {
    /// With these rates and every bucket full.
    #[must_use]
    pub fn new(rates: CallRates) -> Self {
        Self { rates, buckets: Mutex::default() }
    }

    /// Takes one call from the bucket.
    ///
    /// # Errors
    /// `RequestLimitExceeded` (EC2) or `Throttling` when it is empty.
    pub fn take(
        &self,
        service: &Service,
        account: &AccountId,
        action: &str,
        read_only: bool,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let rate = u64::from(if read_only { self.rates.looks } else { self.rates.changes });
        if rate == 0 {
            return Ok(());
        }
        let most = rate * 1000 * u64::from(BURST_SECONDS);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            // Per thousandth of a second `rate` thousandths of calls come in.
            buckets.retain(|_, bucket| filled(*bucket, now_ms, rate, most) < most);
        }
        if buckets.len() >= BUCKETS_MAX {
            buckets.clear();
        }
        let bucket =
            buckets.entry((account.clone(), action.to_owned())).or_insert(Bucket { milli: most, at_ms: now_ms });
        let milli = filled(*bucket, now_ms, rate, most);
        let left = milli.checked_sub(1000);
        *bucket = Bucket { milli: left.unwrap_or(milli), at_ms: now_ms.max(bucket.at_ms) };
        match left {
            Some(_) => Ok(()),
            None if *service == Service::Ec2 => Err(Code::RequestLimitExceeded.error()),
            None => Err(Code::Throttling.error()),
        }
    }
}

fn filled(bucket: Bucket, now_ms: i64, rate: u64, most: u64) -> u64 {
    let passed = u64::try_from(now_ms.saturating_sub(bucket.at_ms)).unwrap_or(0);
    bucket.milli.saturating_add(passed.saturating_mul(rate)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u32) -> AccountId {
        format!("{n:012}").parse().unwrap()
    }

    #[test]
    fn a_burst_then_the_rate_and_nobody_else_is_held_up() {
        let throttle = Throttle::new(CallRates { looks: 10, changes: 5 });
        let mut now_ms = 0;
        let call = |n: u32, action: &str, now_ms: i64| throttle.take(&Service::Ec2, &account(n), action, false, now_ms);
        for _ in 0..10 {
            call(1, "RunInstances", now_ms).unwrap();
        }
        let error = call(1, "RunInstances", now_ms).unwrap_err();
        assert_eq!((error.code(), error.status()), (Code::RequestLimitExceeded, 503));
        call(1, "StopInstances", now_ms).unwrap();
        call(2, "RunInstances", now_ms).unwrap();
        // 5 a second: one each 200 ms, also for a caller who does not stop trying.
        let mut done = 0;
        for _ in 0..1000 {
            now_ms += 1;
            done += u32::from(call(1, "RunInstances", now_ms).is_ok());
        }
        assert_eq!(done, 5);
    }

    #[test]
    fn a_clock_that_goes_back_and_no_limit() {
        let throttle = Throttle::new(CallRates { looks: 0, changes: 1 });
        for _ in 0..100 {
            throttle.take(&Service::Iam, &account(1), "ListUsers", true, 5).unwrap();
        }
        throttle.take(&Service::Iam, &account(1), "CreateUser", false, 10_000).unwrap();
        throttle.take(&Service::Iam, &account(1), "CreateUser", false, 0).unwrap();
        let refused = throttle.take(&Service::Iam, &account(1), "CreateUser", false, 10_000).unwrap_err();
        assert_eq!(refused.code(), Code::Throttling);
    }

    #[test]
    fn the_buckets_are_bounded() {
        let throttle = Throttle::new(CallRates { looks: 1, changes: 1 });
        for n in 0..u32::try_from(BUCKETS_MAX).unwrap() + 10 {
            throttle.take(&Service::Ec2, &account(n), "X", false, i64::from(n)).unwrap();
        }
        assert!(throttle.buckets.lock().unwrap().len() <= BUCKETS_MAX);
    }
}

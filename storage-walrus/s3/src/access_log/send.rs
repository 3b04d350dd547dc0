//! Delivers records: as objects of the buckets that they go to.

use super::SERVICE;
use super::collect::{Line, Source};
use crate::acl::{self, Named, Wanted};
use crate::authz::bucket::{has_lists, public_access};
use crate::deliver::{Sender, Undelivered};
use crate::service::S3;
use bytes::Bytes;
use mallee_objects::{Bucket, Parcel};
use mallee_runtime::clock::from_unix_ms;
use mallee_runtime::{Rng, TaskScope};
use mallee_s3_config::{Acl, LogDate, LogGrant, LogGrantee, LogKeys, LogTarget, Logging, kept};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most bytes of one object of records.
const OBJECT_BYTES_MAX: usize = 4 << 20;
/// Between two looks whether the last requests have ended, when the process does.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// Shortest time between two deliveries.
const PERIOD_MIN: Duration = Duration::from_millis(100);
/// The same where much waits: what could not be delivered may be much.
const HURRY: Duration = Duration::from_secs(1);
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Delivers what waits every `period`, sooner when much waits, and at the end of the scope, when the last requests have
/// ended.
pub fn spawn_log_delivery(scope: &TaskScope, s3: &S3, period: Duration) {
    let (s3, shutdown, period) = (s3.clone(), scope.shutdown().clone(), period.max(PERIOD_MIN));
    scope.spawn(async move {
        let log = s3.access_log().clone();
        while !shutdown.is_stopped() {
            let hurry = async {
                tokio::time::sleep(HURRY).await;
                log.nudge().woken().await;
            };
            tokio::select! {
                () = shutdown.stopped() => {}
                () = hurry => {}
                () = tokio::time::sleep(period) => {}
            }
            s3.deliver_logs().await;
        }
        // The scope drops it when the time for an orderly end is over.
        while log.is_held() {
            tokio::time::sleep(LAST_LOOK).await;
        }
        if !log.is_empty() {
            s3.deliver_logs().await;
        }
    });
}

/// The key of an object of records.
fn key(source: &Source, to: &LogTarget, day: i64, now_ms: i64, unique: u64) -> String {
    let date_ms = match to.keys {
        LogKeys::Partitioned(LogDate::Event) => day.saturating_mul(DAY_MS),
        _ => now_ms,
    };
    let at = from_unix_ms(date_ms);
    let date = format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
    let name = format!("{date}-{:02}-{:02}-{:02}-{unique:016X}", at.hour(), at.minute(), at.second());
    let prefix = &to.prefix;
    match to.keys {
        LogKeys::Unsaid | LogKeys::Simple => format!("{prefix}{name}"),
        LogKeys::Partitioned(_) => {
            let Source { bucket, account, region, .. } = source;
            format!("{prefix}{account}/{region}/{bucket}/{}/{name}", date.replace('-', "/"))
        }
    }
}

/// Records in objects: where the day of a request names the object, by day.
fn objects(to: &LogTarget, lines: Vec<Line>) -> Vec<(i64, Vec<Line>)> {
    let mut days: BTreeMap<i64, Vec<Line>> = BTreeMap::new();
    for line in lines {
        let day = if to.keys == LogKeys::Partitioned(LogDate::Event) { line.day } else { 0 };
        days.entry(day).or_default().push(line);
    }
    let mut objects: Vec<(i64, Vec<Line>)> = Vec::new();
    for (day, lines) in days {
        let mut bytes = OBJECT_BYTES_MAX;
        for line in lines {
            bytes += line.text.len();
            if bytes > OBJECT_BYTES_MAX {
                bytes = line.text.len();
                objects.push((day, Vec::new()));
            }
            if let Some((_, object)) = objects.last_mut() {
                object.push(line);
            }
        }
    }
    objects
}

impl S3 {
    /// Delivers what waits; how many objects were made. What cannot be delivered now waits on, within the limit; what
    /// nobody lets in is dropped.
    pub async fn deliver_logs(&self) -> usize {
        let log = self.access_log();
        let (records, mut dropped) = log.take();
        let mut made = 0;
        for (source, lines) in records {
            let to = match kept::<Logging>(&source.logging) {
                Ok(Logging { to: Some(to) }) => to,
                Ok(Logging { to: None }) => continue,
                Err(error) => {
                    tracing::error!(bucket = source.bucket, %error, "a logging configuration cannot be read");
                    continue;
                }
            };
            for (day, lines) in objects(&to, lines) {
                let count = lines.len();
                match self.deliver_log(&source, &to, day, &lines, self.engine().rng()).await {
                    Ok(()) => made += 1,
                    Err(Undelivered::Refused(why)) => {
                        dropped += u64::try_from(count).unwrap_or_default();
                        tracing::warn!(
                            bucket = source.bucket,
                            target = to.bucket,
                            why,
                            "access logs are not delivered"
                        );
                    }
                    Err(Undelivered::Failed(error)) => {
                        tracing::warn!(bucket = source.bucket, %error, "access logs are delivered later");
                        log.keep(source.clone(), lines);
                    }
                }
            }
        }
        if dropped > 0 {
            tracing::warn!(dropped, "records of requests were dropped");
        }
        made
    }

    async fn deliver_log(
        &self,
        source: &Source,
        to: &LogTarget,
        day: i64,
        lines: &[Line],
        rng: &Rng,
    ) -> Result<(), Undelivered> {
        let now_ms = self.engine().clock().now_ms();
        let sender =
            Sender { service: SERVICE, bucket: &source.bucket, account: &source.account, region: &source.region };
        let target = self.destination(&sender, &to.bucket, Some(&source.account)).await?;
        let parcel = Parcel {
            key: key(source, to, day, now_ms, rng.u64()),
            content_type: "text/plain".to_owned(),
            content_encoding: None,
            metadata: BTreeMap::new(),
            acl: self.acl_of_logs(&target, &to.grants).await?,
            encrypted: false,
            data: Bytes::from(lines.iter().map(|line| line.text.as_str()).collect::<String>()),
        };
        self.engine().faults().point("walrus.log.deliver").await.map_err(|e| Undelivered::Failed(e.into()))?;
        self.deliver(&sender, &target, parcel).await.map(drop)
    }

    /// The list of logs: their owner's, and whom the configuration grants something. Whom there is no more is left out, and
    /// so is the public where the target's public access block keeps lists from it.
    async fn acl_of_logs(&self, target: &Bucket, grants: &[LogGrant]) -> Result<Option<String>, Undelivered> {
        let failed = |error| Undelivered::Refused(format!("{error}"));
        if grants.is_empty() || !has_lists(target).map_err(failed)? {
            return Ok(None);
        }
        let blocks = public_access(target).map_err(failed)?.is_some_and(|block| block.block_public_acls);
        let owner = &target.account;
        let mut list = Acl::private(owner);
        for grant in grants {
            if let Ok(found) = acl::resolve(self, &Wanted::Grants(vec![named(grant)]), owner, owner).await
                && !(blocks && found.is_public())
            {
                list.grants.extend(found.grants);
            }
        }
        Ok(Some(list.to_string()))
    }
}

/// A grant as lists of requests have them.
pub(crate) fn named(LogGrant { grantee, permission }: &LogGrant) -> (Named, mallee_s3_config::Permission) {
    let named = match grantee {
        LogGrantee::Canonical(id) => Named::Canonical(id.clone()),
        LogGrantee::Email(address) => Named::Email(address.clone()),
        LogGrantee::Group(uri) => Named::Group(uri.clone()),
    };
    (named, *permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(keys: LogKeys) -> LogTarget {
        LogTarget { bucket: "to".into(), prefix: "logs/".into(), grants: Vec::new(), keys }
    }

    #[test]
    fn keys() {
        let source = Source {
            bucket: "from".into(),
            account: "111111111111".into(),
            region: "us-east-1".into(),
            logging: String::new(),
        };
        // 2019-02-06T00:00:38Z; the request was the day before.
        let made = |keys| key(&source, &target(keys), 17932, 1_549_411_238_000, 0xAB);
        assert_eq!(made(LogKeys::Unsaid), "logs/2019-02-06-00-00-38-00000000000000AB");
        assert_eq!(made(LogKeys::Simple), "logs/2019-02-06-00-00-38-00000000000000AB");
        let place = "logs/111111111111/us-east-1/from";
        assert_eq!(
            made(LogKeys::Partitioned(LogDate::Delivery)),
            format!("{place}/2019/02/06/2019-02-06-00-00-38-00000000000000AB")
        );
        assert_eq!(
            made(LogKeys::Partitioned(LogDate::Event)),
            format!("{place}/2019/02/05/2019-02-05-00-00-00-00000000000000AB")
        );
    }

    #[test]
    fn records_are_parted_by_day_and_size() {
        let line = |day, bytes| Line { day, text: "x".repeat(bytes) };
        let parted = |keys, lines: Vec<Line>| {
            let objects = objects(&target(keys), lines);
            objects.into_iter().map(|(day, lines)| (day, lines.len())).collect::<Vec<_>>()
        };
        let lines = vec![line(2, 10), line(1, 10), line(2, 10)];
        assert_eq!(parted(LogKeys::Unsaid, lines.clone()), [(0, 3)]);
        assert_eq!(parted(LogKeys::Partitioned(LogDate::Delivery), lines.clone()), [(0, 3)]);
        assert_eq!(parted(LogKeys::Partitioned(LogDate::Event), lines), [(1, 1), (2, 2)]);
        let large = vec![line(1, 3 << 20), line(1, 1 << 20), line(1, 1)];
        assert_eq!(parted(LogKeys::Unsaid, large), [(0, 2), (0, 1)]);
        assert_eq!(parted(LogKeys::Unsaid, Vec::new()), []);
    }
}

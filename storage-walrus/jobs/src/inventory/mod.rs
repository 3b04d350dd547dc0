//! Makes inventories: lists of what is in a bucket, as files in another one
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html>).
//!
//! Once a day a round goes through the buckets by name, and through the inventories of each by id. A list is written in
//! data files, each from a key on; before each file it is noted where the round is and how the file is called, so that
//! another process goes on there: a file may be written twice, under one name. The manifest comes last: whoever sees it
//! sees all of the list.

mod files;
mod row;

use crate::Error;
use crate::lead::Lead;
use bytes::Bytes;
use files::{Data, DataFile, dates, manifest, md5, symlink, uuid};
use mallee_objects::{Bucket, Engine, Error as EngineError, Parcel, Versioning};
use mallee_s3::{S3, Sender, Undelivered};
use mallee_s3_config::inventory::Inventory;
use mallee_s3_config::lifecycle::Day;
use mallee_s3_config::{Document as _, kept};
use mallee_store::{Store, s3_configured_list, s3_inventory_list, s3_job_fetch, s3_job_put};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The name of the job, and of its lease.
const JOB: &str = "s3/inventory";
/// The service, as policies name it.
const SERVICE: &str = "s3.amazonaws.com";
/// Buckets looked for at once.
const BUCKETS: u32 = 100;
/// Rows read at once.
const PAGE: u32 = 1000;
/// Rows of a data file, and its bytes, before the next one is begun.
const FILE_ROWS: u64 = 100_000;
const FILE_BYTES: usize = 4 << 20;
/// Owners whose names are kept in mind during a page.
const OWNERS_MAX: usize = 1000;

/// A list that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Making {
    bucket: String,
    id: String,
    /// When it was begun.
    begun_ms: i64,
    /// The name of the next data file.
    file: String,
    /// Behind which key and rank that goes on.
    key: String,
    rank: i64,
    files: Vec<DataFile>,
}

/// Where the rounds are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// How long the days are that the numbers of days here count. (Another length, other numbers.)
    #[serde(default)]
    day_ms: i64,
    /// The last day whose round has ended.
    #[serde(default)]
    done: Option<i64>,
    /// The day whose round is under way.
    #[serde(default)]
    day: Option<i64>,
    /// The list that the round is at.
    #[serde(default)]
    making: Option<Making>,
}

impl State {
    /// Whether the round of a day is done. (One of days to come is not: the clock was ahead.)
    fn is_done(&self, day: Day, today: i64) -> bool {
        self.day_ms == day.ms() && self.done == Some(today)
    }

    /// Whether it is about the round of a day, which is under way.
    fn is_at(&self, day: Day, today: i64) -> bool {
        self.day_ms == day.ms() && self.day == Some(today)
    }

    /// The day up to which nothing is due any more: a round may be missed, a list of a week is not.
    fn since(&self, day: Day, today: i64) -> i64 {
        self.done.filter(|done| self.day_ms == day.ms() && *done < today).unwrap_or(today - 1)
    }
}

/// The days whose lists are due in a round: those behind the first, up to the second.
type Days = (i64, i64);

/// Why a list stopped.
enum Stop {
    /// This list cannot be made: the others can.
    Refused(String),
    /// The round stops, and goes on later.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<mallee_store::StoreError> for Stop {
    fn from(error: mallee_store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<mallee_runtime::FaultError> for Stop {
    fn from(error: mallee_runtime::FaultError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Undelivered> for Stop {
    fn from(error: Undelivered) -> Self {
        match error {
            Undelivered::Refused(why) => Self::Refused(why),
            Undelivered::Failed(error) => Self::Failed(error.into()),
        }
    }
}

/// Makes inventories. Clones share everything.
#[derive(Debug, Clone)]
pub struct Lister {
    s3: S3,
    store: Store,
    day: Day,
    lead: Lead,
    file_rows: u64,
}

impl Lister {
    /// Over the service and the database of its metadata.
    #[must_use]
    pub fn new(s3: &S3, store: &Store, day: Day) -> Self {
        let lead = Lead::new(store, JOB, s3.engine().rng());
        Self { s3: s3.clone(), store: store.clone(), day, lead, file_rows: FILE_ROWS }
    }

    /// With data files of so many rows (of whole pages of a thousand), for tests.
    #[must_use]
    pub fn with_file_rows(self, file_rows: u64) -> Self {
        Self { file_rows, ..self }
    }

    fn engine(&self) -> &Engine {
        self.s3.engine()
    }

    /// Makes the lists of the day, unless they are made, or another process makes them; how many.
    ///
    /// # Errors
    /// A failing store. What was made stays, and the next round goes on behind it.
    pub async fn run(&self) -> Result<Option<u64>, Error> {
        let today = self.engine().clock().now_ms().div_euclid(self.day.ms());
        if self.state().await?.is_done(self.day, today) || !self.lead.held().await? {
            return Ok(None);
        }
        // Anew: the one who held the lease before may have gone on.
        let mut state = self.state().await?;
        if state.is_done(self.day, today) {
            return Ok(None);
        }
        let mut made = 0;
        let mut from = String::new();
        let days = (state.since(self.day, today), today);
        match state.making.take() {
            Some(making) if state.is_at(self.day, today) => {
                // That list goes on, then those behind it; a bucket before it is not looked at again today.
                from.clone_from(&making.bucket);
                let id = making.id.clone();
                made += self.one(making, &mut state).await?;
                made += self.bucket(&from, &id, days, &mut state).await?;
            }
            // Of a round that was left before its end, on another day: today's begins at the beginning.
            Some(making) => made += self.one(making, &mut state).await?,
            None => {}
        }
        if !state.is_at(self.day, today) {
            // What was done by other days says nothing of these.
            state = State { day_ms: self.day.ms(), done: Some(days.0), day: Some(today), making: None };
        }
        loop {
            let names = s3_configured_list(&self.store, Inventory::KIND, &from, BUCKETS).await?;
            let Some(last) = names.last().cloned() else { break };
            for name in &names {
                made += self.bucket(name, "", days, &mut state).await?;
            }
            from = last;
        }
        self.note(&State { day_ms: self.day.ms(), done: Some(today), ..State::default() }).await?;
        Ok(Some(made))
    }

    /// Makes the lists of a bucket that are due, after an id.
    async fn bucket(&self, name: &str, after: &str, days: Days, state: &mut State) -> Result<u64, Error> {
        let Some(bucket) = self.found(name).await? else { return Ok(0) };
        let mut made = 0;
        for (id, text) in bucket.docs.of(Inventory::KIND).filter(|(id, _)| *id > after) {
            match kept::<Inventory>(text) {
                Ok(inventory) if inventory.is_due(days.0, days.1) => {
                    let making = Making {
                        bucket: name.to_owned(),
                        id: id.to_owned(),
                        begun_ms: self.engine().clock().now_ms(),
                        file: uuid(self.engine().rng().u128()),
                        key: String::new(),
                        rank: i64::MIN,
                        files: Vec::new(),
                    };
                    made += self.one(making, state).await?;
                }
                Ok(_) => {}
                Err(error) => {
                    let cause = error.cause().unwrap_or_default();
                    tracing::error!(bucket = name, id, cause, "an inventory configuration cannot be read");
                }
            }
        }
        Ok(made)
    }

    /// Makes a list, or the rest of one; how many were made.
    async fn one(&self, making: Making, state: &mut State) -> Result<u64, Error> {
        let (bucket, id) = (making.bucket.clone(), making.id.clone());
        match self.list(making, state).await {
            Ok(made) => Ok(u64::from(made)),
            Err(Stop::Refused(why)) => {
                tracing::warn!(bucket, id, why, "an inventory is not delivered");
                Ok(0)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn found(&self, name: &str) -> Result<Option<Bucket>, Error> {
        match self.engine().bucket(name).await {
            Ok(found) => Ok(Some(found)),
            // Deleted since it was listed.
            Err(EngineError::NoBucket) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn list(&self, mut making: Making, state: &mut State) -> Result<bool, Stop> {
        let Some(bucket) = self.found(&making.bucket).await? else { return Ok(false) };
        // Changed or deleted in the middle: it goes on as it is now, or ends.
        let text = bucket.docs.named(Inventory::KIND, &making.id).map(kept::<Inventory>);
        let Some(Ok(inventory)) = text else { return Ok(false) };
        let (prefix, place) = (inventory.prefix.clone().unwrap_or_default(), inventory.place(&bucket.name));
        let mut at = (making.key.clone(), making.rank);
        loop {
            state.making = Some(making.clone());
            self.note(state).await?;
            let mut data = Data::new();
            let mut ended = false;
            while !ended && data.rows < self.file_rows && data.size() < FILE_BYTES {
                let rows = s3_inventory_list(&self.store, bucket.id, &prefix, (&at.0, at.1), PAGE).await?;
                ended = rows.len() < PAGE as usize;
                if let Some(last) = rows.last() {
                    at = (last.key.0.clone(), last.rank);
                }
                let mut owners = HashMap::new();
                for row in rows.iter().filter(|row| inventory.all_versions || (row.latest && !row.marker)) {
                    let owner = self.owner(row.owner.as_ref(), &mut owners).await?;
                    let versioned = bucket.versioning != Versioning::Off;
                    let line = row::line(&inventory, &bucket.name, row, versioned, &owner);
                    data.add(&line).map_err(|error| Stop::Refused(error.to_string()))?;
                }
            }
            // A list of nothing has a file, too.
            if data.rows > 0 || making.files.is_empty() {
                let bytes = data.finish().map_err(|error| Stop::Refused(error.to_string()))?;
                let key = format!("{place}data/{}.csv.gz", making.file);
                let size = u64::try_from(bytes.len()).unwrap_or_default();
                making.files.push(DataFile { key: key.clone(), size, md5: md5(&bytes) });
                self.put(&inventory, &bucket, key, "application/octet-stream", bytes).await?;
            }
            if ended {
                break;
            }
            (making.key, making.rank) = at.clone();
            making.file = uuid(self.engine().rng().u128());
        }
        let (at, hive) = dates(making.begun_ms);
        let manifest = manifest(&inventory, &bucket.name, making.begun_ms, &making.files);
        let checksum = md5(&manifest).into_bytes();
        let hive = format!("{place}hive/dt={hive}/symlink.txt");
        self.put(&inventory, &bucket, hive, "text/plain", symlink(&inventory, &making.files)).await?;
        self.put(&inventory, &bucket, format!("{place}{at}/manifest.json"), "application/json", manifest).await?;
        self.put(&inventory, &bucket, format!("{place}{at}/manifest.checksum"), "text/plain", checksum).await?;
        state.making = None;
        Ok(true)
    }

    async fn owner(&self, account: &str, known: &mut HashMap<String, String>) -> Result<String, Error> {
        if let Some(id) = known.get(account) {
            return Ok(id.clone());
        }
        let id = self.engine().owner(account).await?.canonical_id;
        if known.len() < OWNERS_MAX {
            known.insert(account.to_owned(), id.clone());
        }
        Ok(id)
    }

    async fn put(
        &self,
        inventory: &Inventory,
        source: &Bucket,
        key: String,
        content_type: &str,
        data: Vec<u8>,
    ) -> Result<(), Stop> {
        self.lead.still().await?;
        self.engine().faults().point("walrus.inventory.put").await?;
        let sender =
            Sender { service: SERVICE, bucket: &source.name, account: &source.account, region: &source.region };
        let to = self.s3.destination(&sender, &inventory.to.bucket, inventory.to.account.as_deref()).await?;
        let parcel = Parcel {
            key,
            content_type: content_type.to_owned(),
            content_encoding: None,
            metadata: BTreeMap::new(),
            acl: None,
            encrypted: inventory.to.encrypted,
            data: Bytes::from(data),
        };
        self.s3.deliver(&sender, &to, parcel).await?;
        self.engine().faults().point("walrus.inventory.put.done").await?;
        Ok(())
    }

    async fn state(&self) -> Result<State, Error> {
        let text = s3_job_fetch(&self.store, JOB).await?;
        // What cannot be read is of another release: the round begins anew, which does no harm.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    async fn note(&self, state: &State) -> Result<(), Error> {
        self.lead.still().await?;
        self.engine().faults().point("walrus.inventory.note").await?;
        let mut tx = self.store.write().await?;
        s3_job_put(&mut tx, JOB, &serde_json::to_string(state).unwrap_or_default()).await?;
        tx.commit().await?;
        Ok(())
    }
}

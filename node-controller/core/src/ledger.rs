//! The node's last orders, on disk: what it was told, before it does it. With these the node goes on, and restarts
//! what should run, without anyone above it.
//!
//! ```text
//!  DIR/node            epoch and boot counter
//!  DIR/view2           the network view, which names its sections
//!  DIR/sections/       those, a file each; new ones are there before a view that names them
//!  DIR/view            a network view without sections, of before there were any
//!  DIR/instances/i-…   one record per instance
//!  DIR/quarantine/     what could not be read, kept for people
//! ```
//!
//! A file that cannot be read is put aside and named in the report; it never stops the node: the cluster sends the
//! orders again, and nothing is swept before it has.

mod view;

use crate::durable;
use crate::machine::Record;
use mallee_proto::v1::NodeView;
use mallee_types::InstanceId;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the ledger lives.
#[derive(Clone)]
pub enum Place {
    /// A directory of its own.
    Dir(PathBuf),
    /// Memory that outlives the node controller, for simulations. Clones share it.
    Memory(MemoryDisk),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(dir) => dir.fmt(f),
            Self::Memory(_) => f.write_str("memory"),
        }
    }
}

/// A directory that is not on any disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Files>>);

#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    /// So many changes are still made, then none.
    left: Option<usize>,
}

impl MemoryDisk {
    /// The names of the files, for checks.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.with(|files| files.keys().cloned().collect())
    }

    /// The order that is recorded of an instance, for checks.
    #[must_use]
    pub fn intent(&self, id: &InstanceId) -> Option<mallee_proto::v1::InstanceIntent> {
        let bytes = self.with(|files| files.get(&format!("{INSTANCES}/{id}")).cloned())?;
        let record: Record = prost::Message::decode(durable::unseal(&bytes)?).ok()?;
        record.intent
    }

    /// Loses a file, for tests.
    pub fn lose(&self, name: &str) {
        self.with(|files| files.remove(name));
    }

    /// Flips a bit in the middle of a file, for tests.
    pub fn rot(&self, name: &str) {
        self.with(|files| {
            if let Some(bytes) = files.get_mut(name) {
                let middle = bytes.len() / 2;
                bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
            }
        });
    }

    /// After so many changes more the machine is gone, for tests: nothing changes any more. `None`: it is up again.
    pub fn dies_after(&self, changes: Option<usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left = changes;
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).files)
    }

    /// What happens to a file is whole or not at all.
    fn change(&self, f: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut disk.left {
            Some(0) => return Err(io::Error::other("the machine is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        f(&mut disk.files);
        Ok(())
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeFacts {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    boots: u64,
}

/// What was found on opening.
#[derive(Debug, Default)]
pub struct Opened {
    /// The highest epoch orders were taken from.
    pub epoch: u64,
    /// How often this ledger was opened, this time included.
    pub boot: u64,
    /// The network view.
    pub view: Option<NodeView>,
    /// The instances.
    pub instances: Vec<(InstanceId, Record)>,
    /// Files that could not be read and were put aside, for the operator.
    pub quarantined: Vec<String>,
}

const NODE: &str = "node";
const INSTANCES: &str = "instances";
const QUARANTINE: &str = "quarantine";

/// See the module's documentation. Writes of one object must not overlap; the node's tasks each own theirs.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
    facts: Mutex<NodeFacts>,
    /// Sections of the view that are on disk.
    sections: Mutex<view::Written>,
}

impl Ledger {
    /// Opens (or makes) the ledger and reads all of it.
    ///
    /// # Errors
    /// The directory cannot be made, listed or written.
    pub async fn open(place: Place) -> io::Result<(Self, Opened)> {
        blocking(move || Self::open_now(place)).await
    }

    fn open_now(place: Place) -> io::Result<(Self, Opened)> {
        if let Place::Dir(dir) = &place {
            for part in [INSTANCES, QUARANTINE, view::SECTIONS] {
                std::fs::create_dir_all(dir.join(part)).map_err(|e| named(&e, "cannot make", dir))?;
            }
            remove_unfinished(dir)?;
            remove_unfinished(&dir.join(INSTANCES))?;
            remove_unfinished(&dir.join(view::SECTIONS))?;
        }
        let mut opened = Opened::default();
        let mut facts: NodeFacts = read(&place, NODE, &mut opened)?.unwrap_or_default();
        facts.boots += 1;
        let sections = Mutex::new(view::load(&place, &mut opened)?);
        for name in list(&place, INSTANCES)? {
            match name.parse::<InstanceId>() {
                Ok(id) => {
                    if let Some(record) = read(&place, &format!("{INSTANCES}/{name}"), &mut opened)? {
                        opened.instances.push((id, record));
                    }
                }
                Err(_) => quarantine(&place, &format!("{INSTANCES}/{name}"), &mut opened)?,
            }
        }
        opened.epoch = facts.epoch;
        opened.boot = facts.boots;
        write(&place, NODE, &facts)?;
        Ok((Self { place, facts: Mutex::new(facts), sections }, opened))
    }

    /// Records that orders of this epoch are taken.
    ///
    /// # Errors
    /// It could not be written; nothing changed.
    pub async fn save_epoch(&self, epoch: u64) -> io::Result<()> {
        let boots = self.facts.lock().unwrap_or_else(PoisonError::into_inner).boots;
        let place = self.place.clone();
        self.run(move || write(&place, NODE, &NodeFacts { epoch, boots })).await?;
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).epoch = epoch;
        Ok(())
    }

    /// Records the view that is about to be applied: what of it is not there yet.
    ///
    /// # Errors
    /// It could not be written; it stands whole or the old one does.
    pub async fn save_view(&self, view: Arc<NodeView>) -> io::Result<()> {
        let written = self.sections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = self.place.clone();
        let written = self.run(move || view::save(&place, &view, &written)).await?;
        *self.sections.lock().unwrap_or_else(PoisonError::into_inner) = written;
        Ok(())
    }

    /// Records an instance.
    ///
    /// # Errors
    /// It could not be written; the old record stands.
    pub async fn save_instance(&self, id: &InstanceId, record: Record) -> io::Result<()> {
        let (place, name) = (self.place.clone(), format!("{INSTANCES}/{id}"));
        self.run(move || write(&place, &name, &record)).await
    }

    /// Drops an instance's record. Absent: fine.
    ///
    /// # Errors
    /// It could not be removed.
    pub async fn remove_instance(&self, id: &InstanceId) -> io::Result<()> {
        let (place, name) = (self.place.clone(), format!("{INSTANCES}/{id}"));
        self.run(move || match &place {
            Place::Dir(dir) => durable::remove(&dir.join(name)),
            Place::Memory(disk) => disk.change(|files| _ = files.remove(&name)),
        })
        .await
    }

    /// Disks block, memory does not.
    async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        match self.place {
            Place::Dir(_) => blocking(f).await,
            Place::Memory(_) => f(),
        }
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(io::Error::other)?
}

fn named(error: &io::Error, what: &str, path: &std::path::Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

fn remove_unfinished(dir: &std::path::Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(durable::UNFINISHED) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

/// The names of the files in a part of the ledger, in order.
fn list(place: &Place, part: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    match place {
        Place::Dir(dir) => {
            for entry in std::fs::read_dir(dir.join(part))? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
        }
        Place::Memory(disk) => disk.with(|files| {
            let of_part = |name: &String| Some(name.strip_prefix(part)?.strip_prefix('/')?.to_owned());
            names.extend(files.keys().filter_map(of_part));
        }),
    }
    names.sort();
    Ok(names)
}

fn write(place: &Place, name: &str, message: &impl prost::Message) -> io::Result<()> {
    let bytes = durable::seal(&message.encode_to_vec());
    match place {
        Place::Dir(dir) => {
            durable::replace(&dir.join(name), &bytes).map_err(|e| named(&e, "cannot write", &dir.join(name)))
        }
        Place::Memory(disk) => disk.change(|files| _ = files.insert(name.to_owned(), bytes)),
    }
}

fn read<M: prost::Message + Default>(place: &Place, name: &str, opened: &mut Opened) -> io::Result<Option<M>> {
    let bytes = match place {
        Place::Dir(dir) => match std::fs::read(dir.join(name)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // An unreadable sector is no different from a rotten one.
            Err(_) => Some(Vec::new()),
        },
        Place::Memory(disk) => disk.with(|files| files.get(name).cloned()),
    };
    let Some(bytes) = bytes else { return Ok(None) };
    match durable::unseal(&bytes).and_then(|payload| M::decode(payload).ok()) {
        Some(message) => Ok(Some(message)),
        None => {
            quarantine(place, name, opened)?;
            Ok(None)
        }
    }
}

fn quarantine(place: &Place, name: &str, opened: &mut Opened) -> io::Result<()> {
    let aside = format!("{QUARANTINE}/{}", name.replace('/', "_"));
    match place {
        Place::Dir(dir) => {
            let mut target = dir.join(&aside);
            let mut copy = 1u32;
            while target.exists() {
                target = dir.join(format!("{aside}.{copy}"));
                copy += 1;
            }
            std::fs::rename(dir.join(name), &target)?;
            opened.quarantined.push(target.display().to_string());
        }
        Place::Memory(disk) => {
            disk.with(|files| files.remove(name).map(|bytes| files.insert(aside.clone(), bytes)));
            opened.quarantined.push(aside);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

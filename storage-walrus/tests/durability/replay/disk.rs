//! A disk with its cache: what is durable, and what was written since the last sync.

use super::record::Event;
use crate::value::Random;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The unit in which a write may be torn.
const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is there: the process was killed, the machine was not.
    All,
    /// None of it.
    None,
    /// Any of it: each sector and each name by itself.
    Some,
}

impl Fate {
    pub const ALL: [Self; 3] = [Self::All, Self::None, Self::Some];

    fn keeps(self, random: &mut Random) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Some => random.below(2) == 0,
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

/// A file without its name.
#[derive(Debug, Clone, Default)]
struct Node {
    durable: Vec<u8>,
    /// Since its last sync.
    changes: Vec<Change>,
    /// Its length, as programs see it.
    len: usize,
}

#[derive(Debug, Clone)]
enum Entry {
    Added(PathBuf, usize),
    Removed(PathBuf),
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    nodes: Vec<Node>,
    /// What programs see.
    names: BTreeMap<PathBuf, usize>,
    /// What is durable.
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their directory.
    entries: BTreeMap<PathBuf, Vec<Entry>>,
    dirs: Vec<PathBuf>,
    root: PathBuf,
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

fn apply_change(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Bytes(at, bytes) => {
            if data.len() < at + bytes.len() {
                data.resize(at + bytes.len(), 0);
            }
            data[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Length(len) => data.resize(*len, 0),
    }
}

impl Disk {
    /// Takes a directory as it is, all of it durable.
    pub fn read(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        let mut open = vec![root.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let durable = std::fs::read(&path).unwrap();
                    disk.durable_names.insert(path.clone(), disk.nodes.len());
                    disk.names.insert(path, disk.nodes.len());
                    disk.nodes.push(Node { len: durable.len(), durable, changes: Vec::new() });
                }
            }
            disk.dirs.push(dir);
        }
        disk
    }

    fn node(&mut self, path: &Path) -> &mut Node {
        let id = *self.names.get(path).unwrap_or_else(|| panic!("{} was never made", path.display()));
        &mut self.nodes[id]
    }

    fn note(&mut self, path: &Path, entry: Entry) {
        self.entries.entry(parent(path)).or_default().push(entry);
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Answered => {}
            Event::MadeDir { path } => self.dirs.push(path.clone()),
            Event::Opened { path, emptied } => {
                if !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.nodes.len());
                    self.note(path, Entry::Added(path.clone(), self.nodes.len()));
                    self.nodes.push(Node::default());
                } else if *emptied {
                    let node = self.node(path);
                    node.len = 0;
                    node.changes.push(Change::Length(0));
                }
            }
            Event::Wrote { path, at, data } => {
                let node = self.node(path);
                let at = at.map_or(node.len, |at| usize::try_from(at).unwrap());
                node.len = node.len.max(at + data.len());
                node.changes.push(Change::Bytes(at, data.clone()));
            }
            Event::Length { path, len } => {
                let node = self.node(path);
                node.len = usize::try_from(*len).unwrap();
                node.changes.push(Change::Length(node.len));
            }
            Event::Sync { path } if self.names.contains_key(path) => {
                let node = self.node(path);
                for change in std::mem::take(&mut node.changes) {
                    apply_change(&mut node.durable, &change);
                }
            }
            Event::Sync { path } => {
                for entry in self.entries.remove(path).unwrap_or_default() {
                    settle(&mut self.durable_names, &entry);
                }
            }
            Event::Renamed { from, to } => {
                let id = self.names.remove(from).expect("a file that is renamed is there");
                self.names.insert(to.clone(), id);
                self.note(to, Entry::Added(to.clone(), id));
                self.note(from, Entry::Removed(from.clone()));
            }
            Event::Removed { path } => {
                self.names.remove(path);
                self.note(path, Entry::Removed(path.clone()));
            }
        }
    }

    /// The disk after its power failed now.
    pub fn after_power_failure(&self, fate: Fate, random: &mut Random) -> Self {
        let mut names = self.durable_names.clone();
        for entry in self.entries.values().flatten() {
            if fate.keeps(random) {
                settle(&mut names, entry);
            }
        }
        let nodes = self.nodes.iter().map(|node| Node { durable: node.after(fate, random), ..Node::default() });
        let nodes = nodes.collect();
        Self { nodes, durable_names: names, dirs: self.dirs.clone(), root: self.root.clone(), ..Self::default() }
    }

    /// Writes what is durable to another directory.
    pub fn write(&self, to: &Path) {
        let there = |path: &Path| to.join(path.strip_prefix(&self.root).unwrap());
        for dir in &self.dirs {
            std::fs::create_dir_all(there(dir)).unwrap();
        }
        for (path, id) in &self.durable_names {
            std::fs::write(there(path), &self.nodes[*id].durable).unwrap();
        }
    }
}

fn settle(names: &mut BTreeMap<PathBuf, usize>, entry: &Entry) {
    match entry {
        Entry::Added(path, id) => drop(names.insert(path.clone(), *id)),
        Entry::Removed(path) => drop(names.remove(path)),
    }
}

impl Node {
    fn after(&self, fate: Fate, random: &mut Random) -> Vec<u8> {
        let mut out = self.durable.clone();
        for change in &self.changes {
            match change {
                // Sector by sector; what lies before a sector that is there and after the end reads as zeros.
                Change::Bytes(at, bytes) if fate == Fate::Some => {
                    for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                        if fate.keeps(random) {
                            apply_change(&mut out, &Change::Bytes(at + n * SECTOR, sector.to_vec()));
                        }
                    }
                }
                change => {
                    if fate.keeps(random) {
                        apply_change(&mut out, change);
                    }
                }
            }
        }
        out
    }
}

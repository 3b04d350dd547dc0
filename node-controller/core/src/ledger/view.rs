//! The view of the network in the ledger: its sections each in a file of its own, named after what it says, so that only
//! what changed is written, and the rest of the view, which names them. New sections first, then the view, then what is
//! named no more goes: after a crash at any step the view that stood last is there whole.

use super::{Opened, Place, list, quarantine, read, write};
use mallee_proto::v1::{NodeView, Section};
use mallee_proto::view;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;

/// A view without sections: of a controller of before there were any. (A node of that time finds none here that it would
/// read as one without the other nodes.)
const LISTED: &str = "view";
/// A view without the items of its sections.
const HEAD: &str = "view2";
/// The sections, `KEY.HASH`.
pub(super) const SECTIONS: &str = "sections";
/// Of a section's hash its file is named after so many bytes.
const NAMED_AFTER: usize = 16;

/// The section files that are known to be there whole.
pub(super) type Written = BTreeSet<String>;

/// Where a section is; `None`: it says nothing, and is nowhere.
fn file(section: &Section) -> Option<String> {
    if section.hash.iter().all(|byte| *byte == 0) {
        return None;
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let mut name = format!("{SECTIONS}/{}.", section.key.chars().map(plain).collect::<String>());
    for byte in section.hash.iter().take(NAMED_AFTER) {
        // A text takes what it is given.
        _ = write!(name, "{byte:02x}");
    }
    Some(name)
}

/// Reads the view, and removes sections that it does not name.
pub(super) fn load(place: &Place, opened: &mut Opened) -> io::Result<Written> {
    let listed: Option<NodeView> = read(place, LISTED, opened)?;
    let mut whole = None;
    if let Some(head) = read(place, HEAD, opened)? {
        whole = complete(place, head, opened)?;
        if whole.is_none() {
            quarantine(place, HEAD, opened)?;
        }
    }
    opened.view = listed.into_iter().chain(whole).max_by_key(|view| (view.epoch, view.generation));
    let named: Written = opened.view.iter().flat_map(|view| &view.sections).filter_map(file).collect();
    for name in list(place, SECTIONS)? {
        let name = format!("{SECTIONS}/{name}");
        if !named.contains(&name) {
            forget(place, &name)?;
        }
    }
    Ok(named)
}

/// The view with its sections; `None` when one is not what the view names.
fn complete(place: &Place, mut view: NodeView, opened: &mut Opened) -> io::Result<Option<NodeView>> {
    for section in &mut view.sections {
        let Some(name) = file(section) else { continue };
        match read::<Section>(place, &name, opened)? {
            Some(whole) if (&whole.key, &whole.hash) == (&section.key, &section.hash) => *section = whole,
            Some(_) | None => return Ok(None),
        }
    }
    Ok(Some(view))
}

/// Writes what is not there yet of a view, then the view.
pub(super) fn save(place: &Place, view: &NodeView, written: &Written) -> io::Result<Written> {
    let mut named = Written::new();
    for section in &view.sections {
        let Some(name) = file(section) else { continue };
        if !written.contains(&name) {
            write(place, &name, section)?;
        }
        named.insert(name);
    }
    let (name, other) = if view.sections.is_empty() { (LISTED, HEAD) } else { (HEAD, LISTED) };
    write(place, name, &view::bare(view))?;
    forget(place, other)?;
    for name in written.difference(&named) {
        forget(place, name)?;
    }
    Ok(named)
}

/// Removes what is not needed any more. Should it be there again after a crash, opening the ledger passes over it.
fn forget(place: &Place, name: &str) -> io::Result<()> {
    match place {
        Place::Dir(dir) => match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
        Place::Memory(disk) => disk.change(|files| _ = files.remove(name)),
    }
}

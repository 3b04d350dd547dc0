//! Sections of a view: long lists that many nodes have alike. A node holds one encoded, as it came, and puts a change of
//! it in its place; so neither side takes a list of ten thousand apart for one item.

use super::{Mismatch, Sum};
use crate::v1::{GroupMembers, NodeView, PublicName, Remote, Section, SectionItem, SectionUpdate, VpcView};
use prost::Message as _;
use prost::bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Where every address of a VPC is.
const PLACES: &str = "at/";
/// The addresses of a group's members.
const MEMBERS: &str = "in/";
/// What public names of a VPC mean to those inside.
const NAMES: &str = "by/";
/// `SectionItems.items`, and `SectionItem.address`, on the wire: both are field 1 of a length and so many bytes.
const FIRST_FIELD: u8 = 0x0a;
/// As that, `SectionItem.vtep`.
const SECOND_FIELD: u8 = 0x12;
/// Bytes that are compared at a time.
const BLOCK: usize = 4096;

/// Key of the section that says where every address of a VPC is.
#[must_use]
pub fn places_of(vpc: &str) -> String {
    format!("{PLACES}{vpc}")
}

/// Key of the section with the addresses of a group's members.
#[must_use]
pub fn members_of(group: &str) -> String {
    format!("{MEMBERS}{group}")
}

/// Key of the section that says which private address is behind each public one of a VPC.
#[must_use]
pub fn names_of(vpc: &str) -> String {
    format!("{NAMES}{vpc}")
}

/// What a section says, as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// The addresses of the members of this group.
    Members(&'a str),
    /// Where every address of this VPC is: the underlay address of its node.
    Places(&'a str),
    /// Which private address is behind each public one of this VPC.
    Names(&'a str),
}

/// What the section with this key says; `None`: it is of no kind that is known here.
#[must_use]
pub fn about(key: &str) -> Option<About<'_>> {
    let of = |prefix| key.strip_prefix(prefix);
    let places = || of(PLACES).map(About::Places);
    of(MEMBERS).map(About::Members).or_else(places).or_else(|| of(NAMES).map(About::Names))
}

/// A section that says this: addresses, and what is said of each (of members nothing, "").
#[must_use]
pub fn section_of(key: &str, says: &BTreeMap<String, String>) -> Section {
    let (mut items, mut sum) = (Vec::new(), Sum::default());
    for (address, vtep) in says {
        let body = SectionItem { address: address.clone(), vtep: vtep.clone(), gone: false }.encode_to_vec();
        push_body(&mut items, &body);
        sum = sum.plus(Sum::of(key, &body));
    }
    Section { key: key.to_owned(), hash: sum.to_bytes().to_vec().into(), items: items.into() }
}

/// Adds an item to a section's encoding; they must come by address.
pub fn push(items: &mut Vec<u8>, item: &SectionItem) {
    let body = item.encode_to_vec();
    push_body(items, &body);
}

fn push_body(items: &mut Vec<u8>, body: &[u8]) {
    items.push(FIRST_FIELD);
    // There is room in a vector for any length.
    _ = prost::encode_length_delimiter(body.len(), items);
    items.extend_from_slice(body);
}

/// An item where it stands in the encoding.
#[derive(Debug, Clone, Copy)]
struct Item<'a> {
    address: &'a str,
    body: &'a [u8],
    start: usize,
    end: usize,
}

impl Item<'_> {
    fn decode(self) -> Result<SectionItem, Mismatch> {
        SectionItem::decode(self.body).map_err(|_| Mismatch::Malformed)
    }
}

/// The items of an encoding, in order. Ends after the first that cannot be read.
struct Items<'a> {
    all: &'a [u8],
    at: usize,
    before: Option<&'a str>,
}

impl<'a> Items<'a> {
    const fn of(all: &'a [u8]) -> Self {
        Self { all, at: 0, before: None }
    }

    fn read(&mut self) -> Option<Item<'a>> {
        let start = self.at;
        let (body, left) = first_field(self.all.get(start..)?)?;
        let address = std::str::from_utf8(first_field(body)?.0).ok()?;
        // Each once, by address.
        if self.before.is_some_and(|before| before >= address) {
            return None;
        }
        self.before = Some(address);
        self.at = self.all.len() - left.len();
        Some(Item { address, body, start, end: self.at })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Mismatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.all.len() {
            return None;
        }
        Some(self.read().ok_or_else(|| {
            self.at = self.all.len();
            Mismatch::Malformed
        }))
    }
}

/// What field 1 at the front holds, and what is left.
fn first_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let length = prost::decode_length_delimiter(&mut rest).ok().filter(|_| *tag == FIRST_FIELD)?;
    rest.split_at_checked(length)
}

/// What a section's encoding says: each address, and where it is (of members ""). Ends before what cannot be read.
pub fn items(encoded: &[u8]) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    Items::of(encoded).map_while(|item| {
        let item = item.ok()?;
        let (_, rest) = first_field(item.body)?;
        Some((
            item.address,
            place(rest).map_or_else(|| item.decode().map(|item| item.vtep.into()), |at| Ok(at.into())).ok()?,
        ))
    })
}

/// `SectionItem.vtep`, if there is nothing else.
fn place(fields: &[u8]) -> Option<&str> {
    let Some((tag, mut rest)) = fields.split_first() else { return Some("") };
    let length = prost::decode_length_delimiter(&mut rest).ok().filter(|_| *tag == SECOND_FIELD)?;
    if length == rest.len() { std::str::from_utf8(rest).ok() } else { None }
}

/// Of two encodings of a section, the items of the one and of the other that are not just the same before and after. For
/// one item of ten thousand that is one item, and nothing is taken apart.
#[must_use]
pub fn changed<'a>(old: &'a [u8], new: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let front = alike(old.chunks(BLOCK), new.chunks(BLOCK)) * BLOCK;
    let front = front.min(old.len()).min(new.len());
    let front = front + alike(old[front..].iter(), new[front..].iter());
    let mut start = 0;
    while let Some(end) = end_of_item(old, start).filter(|end| *end <= front) {
        start = end;
    }
    let (old, new) = (&old[start..], &new[start..]);
    let back = alike(old.rchunks(BLOCK), new.rchunks(BLOCK)) * BLOCK;
    let back = back.min(old.len()).min(new.len());
    let back = back + alike(old[..old.len() - back].iter().rev(), new[..new.len() - back].iter().rev());
    let after = |encoded: &[u8], least: usize| {
        let mut at = 0;
        while at < least {
            at = end_of_item(encoded, at)?;
        }
        Some(at)
    };
    let old_end = after(old, old.len() - back);
    let ends = old_end.and_then(|old_end| {
        let new_end = new.len().checked_sub(old.len() - old_end)?;
        // What looks like items at the end of the one may stand inside an item of the other.
        (after(new, new_end) == Some(new_end)).then_some((old_end, new_end))
    });
    ends.map_or((old, new), |(old_end, new_end)| (&old[..old_end], &new[..new_end]))
}

/// How many at the front are the same.
fn alike<T: PartialEq>(one: impl Iterator<Item = T>, other: impl Iterator<Item = T>) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).count()
}

fn end_of_item(encoded: &[u8], start: usize) -> Option<usize> {
    let (_, rest) = first_field(encoded.get(start..)?)?;
    Some(encoded.len() - rest.len())
}

/// Where the encoding may be cut so that each piece has at most `most` bytes, or one item.
pub(super) fn cuts(items: &[u8], most: usize) -> Vec<usize> {
    let (mut cuts, mut begun) = (Vec::new(), 0);
    for item in Items::of(items).flatten() {
        if item.end - begun > most && item.start > begun {
            cuts.push(item.start);
            begun = item.start;
        }
    }
    cuts.push(items.len());
    cuts
}

/// The section that `update` makes of the one held.
pub(super) fn apply(held: Option<&Section>, update: &SectionUpdate) -> Result<Section, Mismatch> {
    let other = || Mismatch::Section { key: update.key.clone() };
    let (sum, items) = if update.base.is_empty() {
        let mut sum = Sum::default();
        for item in Items::of(&update.items) {
            let item = item?;
            if item.decode()?.gone {
                return Err(Mismatch::Malformed);
            }
            sum = sum.plus(Sum::of(&update.key, item.body));
        }
        (sum, update.items.clone())
    } else {
        let held = held.filter(|held| held.hash == update.base).ok_or_else(other)?;
        splice(held, &update.items)?
    };
    if sum.to_bytes()[..] != update.hash[..] {
        return Err(other());
    }
    Ok(Section { key: update.key.clone(), hash: update.hash.clone(), items })
}

fn splice(held: &Section, changes: &[u8]) -> Result<(Sum, Bytes), Mismatch> {
    let mut sum = Sum::from_bytes(&held.hash);
    let mut items = Vec::with_capacity(held.items.len() + changes.len());
    let mut old = Items::of(&held.items).peekable();
    // What is before this is in `items`, or gone.
    let mut copied = 0;
    for change in Items::of(changes) {
        let change = change?;
        let mut until = copied;
        while let Some(same) = old.next_if(|item| item.as_ref().is_ok_and(|item| item.address < change.address)) {
            until = same?.end;
        }
        items.extend_from_slice(held.items.get(copied..until).unwrap_or_default());
        copied = until;
        if let Some(before) = old.next_if(|item| item.as_ref().is_ok_and(|item| item.address == change.address)) {
            let before = before?;
            sum = sum.minus(Sum::of(&held.key, before.body));
            copied = before.end;
        }
        if !change.decode()?.gone {
            sum = sum.plus(Sum::of(&held.key, change.body));
            push_body(&mut items, change.body);
        }
    }
    items.extend_from_slice(held.items.get(copied..).unwrap_or_default());
    Ok((sum, items.into()))
}

/// The update that leads from one section to another of the same key; whole where there was none.
pub(super) fn diff(old: Option<&Section>, new: &Section) -> SectionUpdate {
    let whole =
        SectionUpdate { key: new.key.clone(), base: Bytes::new(), hash: new.hash.clone(), items: new.items.clone() };
    let Some(old) = old.filter(|old| !old.hash.is_empty()) else { return whole };
    let of = |section: &Section| -> BTreeMap<String, Vec<u8>> {
        let items = Items::of(&section.items).flatten();
        items.map(|item| (item.address.to_owned(), item.body.to_vec())).collect()
    };
    let (before, after) = (of(old), of(new));
    let mut items = Vec::new();
    for address in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(address), after.get(address)) {
            (Some(before), Some(after)) if before == after => {}
            (_, Some(after)) => push_body(&mut items, after),
            (_, None) => push(&mut items, &SectionItem { address: address.clone(), vtep: String::new(), gone: true }),
        }
    }
    SectionUpdate { base: old.hash.clone(), items: items.into(), ..whole }
}

/// The view with what its sections say in the lists of the VPCs that name them, as views of format 1 had it: for those who
/// go through all of it. Addresses of a VPC's own ports are no remotes: they are here, whatever is said of where they were.
#[must_use]
pub fn listed(view: &NodeView) -> Cow<'_, NodeView> {
    if view.sections.is_empty() {
        return Cow::Borrowed(view);
    }
    let sections: BTreeMap<&str, &Section> = view.sections.iter().map(|s| (s.key.as_str(), s)).collect();
    let mut listed = NodeView { sections: Vec::new(), ..super::bare(view) };
    for vpc in &mut listed.vpcs {
        for key in std::mem::take(&mut vpc.sections) {
            if let Some(section) = sections.get(key.as_str()) {
                list(vpc, section);
            }
        }
    }
    Cow::Owned(listed)
}

fn list(vpc: &mut VpcView, section: &Section) {
    let items = Items::of(&section.items).flatten();
    match about(&section.key) {
        Some(About::Places(_)) => {}
        Some(About::Members(group)) => {
            let addresses = items.map(|item| item.address.to_owned()).collect();
            vpc.members.push(GroupMembers { group_id: group.to_owned(), addresses });
            return;
        }
        Some(About::Names(_)) => {
            let items = items.filter_map(|item| item.decode().ok());
            vpc.public_names.extend(items.map(|item| PublicName { public_ip: item.address, private_ip: item.vtep }));
            return;
        }
        None => return,
    }
    let six = vpc.ports.iter().flat_map(|port| &port.ipv6_addresses).map(String::as_str);
    let others = vpc.ports.iter().flat_map(|port| &port.secondary).map(|other| other.private_ip.as_str());
    let own: BTreeSet<&str> = vpc.ports.iter().map(|port| port.private_ip.as_str()).chain(others).chain(six).collect();
    let items = items.filter(|item| !own.contains(item.address)).filter_map(|item| item.decode().ok());
    vpc.remotes.extend(items.map(|item| Remote { address: item.address, vtep: item.vtep }));
}

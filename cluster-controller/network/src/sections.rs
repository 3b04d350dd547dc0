//! The sections of views, as the model keeps them: where every address of a VPC is, and who is in a group. A change of the
//! model costs what it changes; what leads a node from the state it was told to the newest is worked out once for all nodes
//! that were told that state.

use mallee_proto::v1::{Section, SectionItem, SectionUpdate};
use mallee_proto::view::{self, Sum};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Most changes of one section that are kept: who was told an older state is told the section whole.
const CHANGES_MAX: usize = 1024;
/// A short list is told whole before it has changed this often.
const CHANGES_MIN: usize = 16;
/// Most updates of one section that are kept encoded, until it changes again.
const ENCODED_MAX: usize = 64;

/// All of them, by key. One that is not there is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sections(HashMap<String, Kept>);

#[derive(Debug, Clone, Default)]
struct Kept {
    /// Address, and where it is: empty in a list of members.
    items: BTreeMap<String, String>,
    sum: Sum,
    /// Which address changed, and the sum before; the newest last.
    changes: VecDeque<(Sum, String)>,
    encoded: Encoded,
}

/// Updates to what a section says now, by what they build on.
#[derive(Debug, Default)]
struct Encoded(Mutex<BTreeMap<Option<Sum>, SectionUpdate>>);

impl Clone for Encoded {
    /// They are made again where they are asked for.
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn item(address: &str, vtep: &str) -> SectionItem {
    SectionItem { address: address.to_owned(), vtep: vtep.to_owned(), gone: false }
}

fn sum_of(key: &str, address: &str, vtep: &str) -> Sum {
    Sum::of(key, &item(address, vtep).encode_to_vec())
}

impl Sections {
    /// Says where an address is (of a member: nowhere in particular, ""); `None`: it is not in the section.
    pub(crate) fn set(&mut self, key: &str, address: &str, vtep: Option<&str>) {
        let held = self.0.get(key).and_then(|kept| kept.items.get(address)).map(String::as_str);
        if held == vtep {
            return;
        }
        let kept = self.0.entry(key.to_owned()).or_default();
        kept.changes.push_back((kept.sum, address.to_owned()));
        if let Some(before) = kept.items.remove(address) {
            kept.sum = kept.sum.minus(sum_of(key, address, &before));
        }
        if let Some(vtep) = vtep {
            kept.sum = kept.sum.plus(sum_of(key, address, vtep));
            kept.items.insert(address.to_owned(), vtep.to_owned());
        }
        while kept.changes.len() > kept.items.len().clamp(CHANGES_MIN, CHANGES_MAX) {
            kept.changes.pop_front();
        }
        kept.encoded = Encoded::default();
        if kept.items.is_empty() {
            self.0.remove(key);
        }
    }

    /// Key and hash of a section, without its items.
    pub(crate) fn bare(&self, key: &str) -> Section {
        let sum = self.0.get(key).map(|kept| kept.sum).unwrap_or_default();
        Section { key: key.to_owned(), hash: sum.to_bytes().to_vec().into(), ..Section::default() }
    }

    /// All of a section.
    pub(crate) fn whole(&self, key: &str) -> Section {
        let SectionUpdate { key, hash, items, .. } = self.update(key, None);
        Section { key, hash, items }
    }

    /// What leads to the section as it is now, from what has this hash; whole from nothing, or from what is long past.
    pub(crate) fn update(&self, key: &str, from: Option<&[u8]>) -> SectionUpdate {
        match self.0.get(key) {
            Some(kept) => kept.update(key, from.map(Sum::from_bytes)),
            None => {
                let Section { key, hash, items } = self.bare(key);
                SectionUpdate { key, hash, items, ..SectionUpdate::default() }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Kept {
    fn update(&self, key: &str, from: Option<Sum>) -> SectionUpdate {
        let mut encoded = self.encoded.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest of equal states: what it says is the same in all of them.
        let since = from.and_then(|from| {
            let at = self.changes.iter().rposition(|(before, _)| *before == from)?;
            Some((from, at))
        });
        if let Some(made) = encoded.get(&since.map(|(from, _)| from)) {
            return made.clone();
        }
        let made = match since {
            Some((from, at)) => self.since(key, from, at),
            None => self.all(key),
        };
        if encoded.len() >= ENCODED_MAX {
            encoded.clear();
        }
        encoded.insert(since.map(|(from, _)| from), made.clone());
        made
    }

    fn all(&self, key: &str) -> SectionUpdate {
        let mut items = Vec::new();
        for (address, vtep) in &self.items {
            view::push(&mut items, &item(address, vtep));
        }
        let hash = self.sum.to_bytes().to_vec().into();
        SectionUpdate { key: key.to_owned(), hash, items: items.into(), ..SectionUpdate::default() }
    }

    fn since(&self, key: &str, from: Sum, at: usize) -> SectionUpdate {
        let changed: BTreeSet<&str> = self.changes.range(at..).map(|(_, address)| address.as_str()).collect();
        let mut items = Vec::new();
        for address in changed {
            let now = match self.items.get(address) {
                Some(vtep) => item(address, vtep),
                None => SectionItem { gone: true, ..item(address, "") },
            };
            view::push(&mut items, &now);
        }
        SectionUpdate {
            key: key.to_owned(),
            base: from.to_bytes().to_vec().into(),
            hash: self.sum.to_bytes().to_vec().into(),
            items: items.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_proto::v1::{NodeView, VpcView};
    use proptest::prelude::*;

    const KEY: &str = "at/vpc-1";

    /// A view with nothing but this section.
    fn view_of(sections: &Sections, generation: u64) -> NodeView {
        let vpc = VpcView { vpc_id: "vpc-1".into(), sections: vec![KEY.into()], ..VpcView::default() };
        NodeView { epoch: 1, generation, vpcs: vec![vpc], sections: vec![sections.whole(KEY)] }
    }

    /// The update from one of them to another, the section as the model tells it.
    fn told(sections: &Sections, before: &NodeView, now: &NodeView) -> mallee_proto::v1::NodeViewUpdate {
        let update = sections.update(KEY, Some(&before.sections[0].hash));
        mallee_proto::v1::NodeViewUpdate { sections: vec![update], ..view::diff(before, now) }
    }

    proptest! {
        /// Whatever state a node was told, what it is told then leads to the newest.
        #[test]
        fn changes_since_lead_from_any_state_to_the_newest(
            changes in proptest::collection::vec((0u32..30, proptest::option::of(0u32..3)), 1..120),
        ) {
            let mut sections = Sections::default();
            let mut states = vec![view_of(&sections, 1)];
            for (generation, (address, vtep)) in (2..).zip(changes) {
                let vtep = vtep.map(|n| format!("192.0.2.{n}"));
                sections.set(KEY, &format!("10.0.0.{address}"), vtep.as_deref());
                states.push(view_of(&sections, generation));
            }
            let newest = NodeView { generation: 1000, ..states.last().unwrap().clone() };
            for state in &states {
                let update = told(&sections, state, &newest);
                prop_assert_eq!(view::apply(state, &update).unwrap(), newest.clone());
                // The same words for the next node, and from a model that has none ready.
                prop_assert_eq!(&told(&sections, state, &newest), &update);
                prop_assert_eq!(&told(&sections.clone(), state, &newest), &update);
            }
        }
    }

    #[test]
    fn a_change_is_told_by_itself_and_what_is_long_past_whole() {
        let mut sections = Sections::default();
        for n in 0..5000 {
            sections.set(KEY, &format!("10.0.{}.{}", n >> 8, n & 255), Some("192.0.2.1"));
        }
        let first = sections.bare(KEY).hash;
        sections.set(KEY, "10.0.3.3", Some("192.0.2.2"));
        let update = sections.update(KEY, Some(&first));
        assert!(update.items.len() < 64 && update.base == first);
        sections.set(KEY, "10.0.3.3", Some("192.0.2.1"));
        assert_eq!(sections.bare(KEY).hash, first, "as it was is as it was");
        for n in 0..=CHANGES_MAX {
            sections.set(KEY, "10.0.4.4", Some(&format!("198.51.100.{n}")));
        }
        let update = sections.update(KEY, Some(&first));
        assert!(update.base.is_empty() && update.items.len() > 100_000);
        for n in 0..5000 {
            sections.set(KEY, &format!("10.0.{}.{}", n >> 8, n & 255), None);
        }
        assert!(sections.is_empty());
        assert!(sections.update(KEY, Some(&first)).items.is_empty());
    }
}

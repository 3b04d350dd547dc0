//! An update that is too large for one message goes in parts; nothing of it is taken before the last.

use super::{Mismatch, section};
use crate::v1::{NodeViewUpdate, SectionUpdate};
use prost::Message as _;

/// About as many bytes of sections go in one part: a quarter of what a message may have.
const PART_BYTES: usize = 4 << 20;
/// Most parts of one update.
const PARTS_MAX: u32 = 64;

/// The messages that tell an update: one, unless it is large.
#[must_use]
pub fn split(update: NodeViewUpdate) -> Vec<NodeViewUpdate> {
    split_at(update, PART_BYTES)
}

pub(super) fn split_at(mut update: NodeViewUpdate, most: usize) -> Vec<NodeViewUpdate> {
    if update.encoded_len() <= most {
        return vec![update];
    }
    let bare = NodeViewUpdate {
        epoch: update.epoch,
        base_generation: update.base_generation,
        generation: update.generation,
        hash: update.hash.clone(),
        ..NodeViewUpdate::default()
    };
    let sections = std::mem::take(&mut update.sections);
    let (mut parts, mut bytes) = (vec![update], 0);
    for whole in sections {
        let mut begun = 0;
        for end in section::cuts(&whole.items, most) {
            let piece = SectionUpdate { items: whole.items.slice(begun..end), ..whole.clone() };
            begun = end;
            if bytes + piece.items.len() > most && bytes > 0 {
                parts.push(bare.clone());
                bytes = 0;
            }
            bytes += piece.items.len();
            if let Some(part) = parts.last_mut() {
                part.sections.push(piece);
            }
        }
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    for (n, part) in (1..).zip(&mut parts) {
        part.parts_left = count - n;
    }
    parts
}

/// The parts of an update that came so far.
#[derive(Debug, Default)]
pub struct Parts(Option<NodeViewUpdate>);

impl Parts {
    /// Takes an update or a part of one; with the last part the whole update is returned. A part that came already is
    /// passed over; one of another update ends this one.
    ///
    /// # Errors
    /// [`Mismatch::Malformed`] of more parts than an update has.
    pub fn take(&mut self, part: NodeViewUpdate) -> Result<Option<NodeViewUpdate>, Mismatch> {
        let of = |update: &NodeViewUpdate| (update.epoch, update.base_generation, update.generation);
        if part.parts_left >= PARTS_MAX {
            self.0 = None;
            return Err(Mismatch::Malformed);
        }
        let whole = match self.0.take() {
            Some(begun) if of(&begun) != of(&part) => part,
            Some(begun) if begun.parts_left == part.parts_left + 1 => join(begun, part),
            Some(begun) => {
                self.0 = Some(begun);
                return Ok(None);
            }
            None => part,
        };
        if whole.parts_left == 0 {
            return Ok(Some(whole));
        }
        self.0 = Some(whole);
        Ok(None)
    }
}

fn join(mut begun: NodeViewUpdate, part: NodeViewUpdate) -> NodeViewUpdate {
    begun.parts_left = part.parts_left;
    begun.vpcs.extend(part.vpcs);
    begun.removed_vpcs.extend(part.removed_vpcs);
    for section in part.sections {
        match begun.sections.last_mut() {
            Some(last) if last.key == section.key => last.items = [&last.items[..], &section.items[..]].concat().into(),
            _ => begun.sections.push(section),
        }
    }
    begun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::SectionItem;

    fn update(sections: usize, items: usize) -> NodeViewUpdate {
        let of = |n: usize| {
            let mut bytes = Vec::new();
            for item in 0..items {
                let address = format!("10.0.0.{item:03}");
                section::push(&mut bytes, &SectionItem { address, ..SectionItem::default() });
            }
            SectionUpdate { key: format!("in/sg-{n}"), items: bytes.into(), ..SectionUpdate::default() }
        };
        let sections = (0..sections).map(of).collect();
        NodeViewUpdate { epoch: 1, generation: 2, hash: vec![7; 32], sections, ..NodeViewUpdate::default() }
    }

    #[test]
    fn parts_make_the_update_again_wherever_it_is_cut() {
        for (sections, items) in [(0, 0), (1, 40), (3, 17), (9, 1), (4, 0)] {
            for most in [1, 20, 100, 333, 100_000] {
                let parts = split_at(update(sections, items), most);
                if parts.len() > PARTS_MAX as usize {
                    continue;
                }
                let mut taken = Parts::default();
                let (last, first) = parts.split_last().unwrap();
                for part in first {
                    // Of what came already nothing comes twice.
                    assert_eq!(taken.take(part.clone()), Ok(None));
                    assert_eq!(taken.take(part.clone()), Ok(None));
                }
                assert_eq!(taken.take(last.clone()), Ok(Some(update(sections, items))), "{sections} {items} {most}");
            }
        }
    }

    #[test]
    fn another_update_ends_the_one_that_was_begun() {
        let parts = split_at(update(3, 40), 300);
        assert!(parts.len() > 2);
        let mut taken = Parts::default();
        assert_eq!(taken.take(parts[0].clone()), Ok(None));
        let later = NodeViewUpdate { generation: 3, ..update(1, 1) };
        assert_eq!(taken.take(later.clone()), Ok(Some(later)));
        for part in &parts[..parts.len() - 1] {
            assert_eq!(taken.take(part.clone()), Ok(None));
        }
        assert!(taken.take(parts[parts.len() - 1].clone()).unwrap().is_some());
        let endless = NodeViewUpdate { parts_left: PARTS_MAX, ..update(1, 1) };
        assert_eq!(taken.take(endless), Err(Mismatch::Malformed));
    }
}

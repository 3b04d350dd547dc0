//! What a node was told, and the next update for it.

use crate::{Model, bare};
use mallee_proto::v1::{NodeView, NodeViewUpdate, Section, SectionUpdate};
use mallee_proto::view;
use std::collections::BTreeMap;

/// The view a node was told last. Kept so that the next update carries only what changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Its sections without their items.
    view: NodeView,
    hash: Vec<u8>,
    /// What the node holds is not what is kept here: the next update carries the view whole.
    unknown: bool,
}

impl Told {
    /// What a node says it holds, when it connects: (epoch, generation, hash). If that is neither the view kept here
    /// nor what the model says now, the next update will be whole, and of a higher generation.
    pub fn node_holds(&mut self, model: &Model, node: &str, epoch: u64, generation: u64, hash: &[u8]) {
        if (epoch, generation, hash) == (self.view.epoch, self.view.generation, self.hash.as_slice()) {
            self.unknown = false;
            return;
        }
        let now = NodeView { epoch, generation, ..bare(model, node) };
        if generation == 0 {
            self.unknown = false;
            self.view = NodeView { generation: self.view.generation, ..NodeView::default() };
            self.hash.clear();
            // The next generation must not be one that an earlier session used.
            self.unknown = self.view.generation > 0;
        } else if view::hash(&now)[..] == *hash {
            *self = Self { view: now, hash: hash.to_vec(), unknown: false };
        } else {
            self.view.generation = self.view.generation.max(generation);
            self.unknown = true;
        }
    }

    /// The node says that its view is not what was meant: the next update is whole.
    pub const fn distrust(&mut self) {
        self.unknown = true;
    }

    /// The generation told last.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.view.generation
    }

    /// The hash of the view told last; empty when nothing was told.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// The view told last, its sections without their items.
    #[must_use]
    pub const fn view(&self) -> &NodeView {
        &self.view
    }

    /// The update to everything the model says now; `None` when the node was told all of it.
    pub fn learn_all(&mut self, model: &Model, node: &str, epoch: u64) -> Option<NodeViewUpdate> {
        if self.unknown {
            let mut next = bare(model, node);
            (next.epoch, next.generation) = (epoch, self.view.generation + 1);
            let sections = next.sections.iter().map(|section| model.sections.update(&section.key, None)).collect();
            return Some(self.tell(next, sections));
        }
        self.learn(model, node, epoch, true)
    }

    /// The update to what the node's own ports need now: ports, their groups and rules, members of groups that were
    /// not named before, VPCs that are new to the node. What it knew of other ports and members stays as it is until
    /// [`Told::learn_all`], so that a burst of launches does not tell each node of each of them by itself. `None` when nothing of that changed.
    pub fn learn_local(&mut self, model: &Model, node: &str, epoch: u64) -> Option<NodeViewUpdate> {
        if self.unknown { self.learn_all(model, node, epoch) } else { self.learn(model, node, epoch, false) }
    }

    fn learn(&mut self, model: &Model, node: &str, epoch: u64, all: bool) -> Option<NodeViewUpdate> {
        let mut next = bare(model, node);
        let held: BTreeMap<&str, &Section> = self.view.sections.iter().map(|s| (s.key.as_str(), s)).collect();
        let mut updates = Vec::new();
        for section in &mut next.sections {
            match held.get(section.key.as_str()) {
                Some(same) if same.hash == section.hash => {}
                // Later.
                Some(before) if !all => section.hash = before.hash.clone(),
                before => updates.push(model.sections.update(&section.key, before.map(|before| &before.hash[..]))),
            }
        }
        if self.view.vpcs == next.vpcs && self.view.sections == next.sections {
            return None;
        }
        (next.epoch, next.generation) = (epoch, self.view.generation + 1);
        Some(self.tell(next, updates))
    }

    /// The update from what was told last to `next`, which is what was told last from now on.
    fn tell(&mut self, next: NodeView, sections: Vec<SectionUpdate>) -> NodeViewUpdate {
        let none = NodeView::default();
        let before = if self.unknown { &none } else { &self.view };
        let hash = view::hash(&next).to_vec();
        let update = NodeViewUpdate { sections, hash: hash.clone(), ..view::diff_unhashed(before, &next) };
        *self = Self { view: next, hash, unknown: false };
        update
    }
}

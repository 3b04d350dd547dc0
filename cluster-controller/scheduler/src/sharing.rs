//! With whom an instance may share its node.

use crate::Node;
use std::collections::{BTreeMap, BTreeSet};

/// What an instance asks of its neighbours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Anybody's instances of this kind.
    #[default]
    Shared,
    /// Only instances of this account that ask the same.
    Dedicated(String),
    /// A node that is one of these dedicated hosts.
    Hosts(BTreeSet<String>),
    /// It is no instance but a dedicated host: nobody.
    Nobody,
}

/// Who is on a node, of those that are not on a dedicated host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guests {
    /// Instances (and reservations) that share with anybody.
    pub shared: u32,
    /// By account: those that share with their own account.
    pub dedicated: BTreeMap<String, u32>,
}

impl Guests {
    /// Nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self { shared: 0, dedicated: BTreeMap::new() }
    }

    /// One more; `account`: it shares with that account only.
    pub fn add(&mut self, account: Option<&str>) {
        match account {
            None => self.shared += 1,
            Some(account) => *self.dedicated.entry(account.to_owned()).or_default() += 1,
        }
    }

    /// One fewer.
    pub fn remove(&mut self, account: Option<&str>) {
        match account {
            None => self.shared = self.shared.saturating_sub(1),
            Some(account) => {
                if let Some(count) = self.dedicated.get_mut(account) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.dedicated.remove(account);
                    }
                }
            }
        }
    }
}

impl Sharing {
    /// Why the node cannot be shared so.
    pub(crate) fn refusal(&self, node: &Node, planned: bool) -> Option<String> {
        let guests = &node.guests;
        match (self, &node.host) {
            (Self::Hosts(hosts), Some(host)) if hosts.contains(host) => None,
            (Self::Hosts(_), Some(host)) => Some(format!("is dedicated host {host}, another was asked for")),
            (Self::Hosts(_), None) => Some("is no dedicated host".to_owned()),
            (_, Some(host)) => Some(format!("is dedicated host {host}")),
            (Self::Shared, None) if guests.dedicated.is_empty() => None,
            (Self::Shared, None) => Some("holds instances with dedicated tenancy".to_owned()),
            (Self::Dedicated(account), None) => {
                let others = guests.dedicated.keys().any(|other| other != account);
                (guests.shared > 0 || others).then(|| "holds instances of others".to_owned())
            }
            (Self::Nobody, None) => {
                let held = node.instances > 0 || guests.shared > 0 || !guests.dedicated.is_empty();
                (held || planned).then(|| format!("is not empty: it holds {} instances", node.instances))
            }
        }
    }
}

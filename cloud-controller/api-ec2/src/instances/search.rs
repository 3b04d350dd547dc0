//! What the store can look up of a request for instances, so that a description of a few reads a few.
//!
//! Filters whose values are all literal and whose property has an index (instance_search.rs of the store) become
//! searches. The one that selects least is followed, page by page; what it gives is read, and all filters decide on that.
//! Where no filter can be searched by (a wildcard; a property without an index), all instances of the account are read.

use crate::common::ROWS;
use crate::filter::{Filters, TAG_PREFIX};
use mallee_app::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{InstanceFilter, InstanceMatches, InstanceTerm, Store, instance_search};
use mallee_types::{AccountId, InstanceId, InstanceState};
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A search that finds no more than these is followed without looking for a better one.
const FEW: usize = 50;

/// What can be looked up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lookup {
    /// Only these, in ascending order.
    pub ids: Option<Vec<InstanceId>>,
    /// Only those that all of these can be said of; the most selective kind first.
    pub terms: Vec<InstanceTerm>,
}

/// What to read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    after: Option<InstanceId>,
    /// Only these.
    ids: Option<Vec<InstanceId>>,
    /// Where the step after this one begins, if `ids` were not all.
    next: Option<InstanceId>,
    rows: u32,
}

/// Literals that are ids (or addresses, …); others name nothing.
fn parsed<T: FromStr>(literals: &[String]) -> Vec<T> {
    literals.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The addresses in names of instances: `PREFIX-10-0-0-1.…`.
fn addresses_in(names: &[String], prefix: &str) -> Vec<Ipv4Addr> {
    let address = |name: &String| {
        let (label, _) = name.split_once('.')?;
        label.strip_prefix(prefix)?.replace('-', ".").parse().ok()
    };
    names.iter().filter_map(address).collect()
}

/// The search for a filter, if there is one. It must find whatever the filter accepts, and may find more.
fn term(name: &str, values: Vec<String>) -> Option<InstanceTerm> {
    if let Some(key) = name.strip_prefix(TAG_PREFIX) {
        return Some(InstanceTerm::Tag { key: key.to_owned(), values });
    }
    let states = |of: &dyn Fn(InstanceState) -> String| {
        InstanceTerm::States(InstanceState::ALL.into_iter().filter(|state| values.contains(&of(*state))).collect())
    };
    Some(match name {
        "instance-state-name" => states(&|state| state.name().to_owned()),
        "instance-state-code" => states(&|state| state.code().to_string()),
        "instance-type" => InstanceTerm::Types(values),
        "image-id" => InstanceTerm::Images(parsed(&values)),
        "key-name" => InstanceTerm::KeyNames(values),
        "subnet-id" => InstanceTerm::Subnets(parsed(&values)),
        "vpc-id" => InstanceTerm::Vpcs(parsed(&values)),
        "tag-key" => InstanceTerm::TagKeys(values),
        "reservation-id" => InstanceTerm::Reservations(parsed(&values)),
        "private-ip-address"
        | "network-interface.private-ip-address"
        | "network-interface.addresses.private-ip-address" => InstanceTerm::PrivateIps(parsed(&values)),
        "private-dns-name" | "network-interface.private-dns-name" | "network-interface.addresses.private-dns-name" => {
            InstanceTerm::PrivateIps(addresses_in(&values, "ip-"))
        }
        "ip-address"
        | "network-interface.association.public-ip"
        | "network-interface.addresses.association.public-ip" => InstanceTerm::PublicIps(parsed(&values)),
        "dns-name" | "network-interface.association.public-dns-name" => {
            InstanceTerm::PublicIps(addresses_in(&values, "ec2-"))
        }
        "network-interface.network-interface-id" => InstanceTerm::Interfaces(parsed(&values)),
        "network-interface.mac-address" => InstanceTerm::Macs(parsed(&values)),
        "group-id" | "instance.group-id" | "network-interface.group-id" => InstanceTerm::Groups(parsed(&values)),
        "group-name" | "instance.group-name" | "network-interface.group-name" => InstanceTerm::GroupNames(values),
        "iam-instance-profile.arn" => InstanceTerm::ProfileArns(values),
        "iam-instance-profile.id" => InstanceTerm::ProfileIds(values),
        _ => return None,
    })
}

/// How much a search usually selects: the least first.
const fn rank(term: &InstanceTerm) -> u8 {
    match term {
        InstanceTerm::PrivateIps(_)
        | InstanceTerm::PublicIps(_)
        | InstanceTerm::Interfaces(_)
        | InstanceTerm::Macs(_)
        | InstanceTerm::Reservations(_) => 0,
        InstanceTerm::Tag { .. } => 1,
        InstanceTerm::Groups(_)
        | InstanceTerm::GroupNames(_)
        | InstanceTerm::ProfileArns(_)
        | InstanceTerm::ProfileIds(_)
        | InstanceTerm::Images(_)
        | InstanceTerm::KeyNames(_)
        | InstanceTerm::Types(_) => 2,
        InstanceTerm::Subnets(_) | InstanceTerm::Vpcs(_) | InstanceTerm::TagKeys(_) => 3,
        InstanceTerm::States(_) => 4,
    }
}

/// The one of two searches that leaves less to read.
fn better(one: InstanceMatches, other: InstanceMatches) -> InstanceMatches {
    use InstanceMatches::{All, First, Many};
    match (one, other) {
        (All(a), All(b)) => All(if b.len() < a.len() { b } else { a }),
        (all @ All(_), _) | (_, all @ All(_)) => all,
        // As many ids that reach further are fewer altogether.
        (First(a), First(b)) => First(if b.last() > a.last() { b } else { a }),
        (first @ First(_), Many) | (Many, first @ First(_)) => first,
        (Many, Many) => Many,
    }
}

impl Lookup {
    /// Ids that were given are looked up; of filters, those whose values are all literal. A literal that is no id (or
    /// state) names nothing.
    pub(super) fn new(ids: Vec<InstanceId>, filters: &Filters) -> Self {
        let mut ids = if ids.is_empty() { filters.literals("instance-id").map(|ids| parsed(&ids)) } else { Some(ids) };
        if let Some(ids) = &mut ids {
            ids.sort();
            ids.dedup();
            return Self { ids: Some(std::mem::take(ids)), terms: Vec::new() };
        }
        let mut terms: Vec<_> = filters.all_literals().filter_map(|(name, values)| term(name, values)).collect();
        terms.sort_by_key(rank);
        Self { ids: None, terms }
    }

    /// Where the next up to `rows` instances are.
    pub(super) async fn step(
        &self,
        store: &Store,
        account: &AccountId,
        after: Option<InstanceId>,
        rows: u32,
    ) -> Result<Step, ApiError> {
        let later = |id: &&InstanceId| after.as_ref().is_none_or(|after| *id > after);
        let given = self.ids.as_ref().map(|ids| ids.iter().filter(later).cloned().collect());
        let mut best = given.map(InstanceMatches::All);
        for term in &self.terms {
            let found = instance_search(store, account, term, after.as_ref(), rows).await.or_fail()?;
            let is_few = matches!(&found, InstanceMatches::All(ids) if ids.len() <= FEW);
            best = Some(match best {
                Some(best) => better(best, found),
                None => found,
            });
            if is_few {
                break;
            }
        }
        let (ids, next) = match best {
            Some(InstanceMatches::All(ids)) => (Some(ids), None),
            Some(InstanceMatches::First(ids)) => (Some(ids.clone()), ids.last().cloned()),
            Some(InstanceMatches::Many) | None => (None, None),
        };
        Ok(Step { after, ids, next, rows })
    }
}

impl Step {
    /// Which rows to read.
    pub(super) fn filter<'a>(&'a self, account: &'a AccountId) -> InstanceFilter<'a> {
        InstanceFilter {
            account: Some(account),
            ids: self.ids.as_deref(),
            // Ids that were found are after it already; SQLite would rather read everything after it than so many ids.
            after: self.after.as_ref().filter(|_| self.ids.is_none()),
            ..Default::default()
        }
    }

    /// How many rows to read at most: ids that were found are looked up at once.
    pub(super) fn rows(&self) -> u32 {
        if self.ids.is_some() { ROWS } else { self.rows }
    }

    /// Where to go on, when these rows were read.
    pub(super) fn next<R>(&self, read: &[R], id: impl Fn(&R) -> InstanceId) -> Option<InstanceId> {
        if self.ids.is_some() {
            return self.next.clone();
        }
        read.last().filter(|_| read.len() >= usize::try_from(self.rows).unwrap_or(usize::MAX)).map(id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::filters::FILTERS;
    use super::*;

    fn lookup(wanted: &[(&str, &[&str])]) -> Lookup {
        let wanted: Vec<(&str, Vec<String>)> = wanted
            .iter()
            .map(|(name, values)| (*name, values.iter().map(|value| (*value).to_owned()).collect()))
            .collect();
        let filters = Filters::new(wanted.iter().map(|(n, v)| (Some(*n), v.as_slice())), FILTERS).unwrap();
        Lookup::new(Vec::new(), &filters)
    }

    #[test]
    fn literal_filters_are_looked_up() {
        let found = lookup(&[
            ("instance-state-name", &["running", "lost"]),
            ("instance-type", &["t3.*"]),
            ("architecture", &["x86_64"]),
            ("tag:Name", &["web"]),
            ("private-dns-name", &["ip-10-0-0-1.eu-1.compute.internal", "ip-10-0-0.x", "web"]),
        ]);
        assert_eq!(found.ids, None);
        let wanted = [
            InstanceTerm::PrivateIps(vec![Ipv4Addr::new(10, 0, 0, 1)]),
            InstanceTerm::Tag { key: "Name".into(), values: vec!["web".into()] },
            InstanceTerm::States(vec![InstanceState::Running]),
        ];
        assert_eq!(found.terms, wanted, "the most selective first; patterns are not looked up");
        assert_eq!(lookup(&[("instance-id", &["i-0000000000000000*"])]), Lookup::default(), "a pattern is no id");
        let found = lookup(&[("instance-id", &["i-00000000000000001", "web"]), ("tag:Name", &["web"])]);
        assert_eq!((found.ids, found.terms), (Some(vec![InstanceId::from_random(1)]), vec![]));
        let given = vec![InstanceId::from_random(1)];
        assert_eq!(Lookup::new(given.clone(), &Filters::default()).ids, Some(given));
    }

    #[test]
    fn what_leaves_less_to_read_is_followed() {
        use InstanceMatches::{All, First, Many};
        let ids = |numbers: &[u128]| numbers.iter().map(|n| InstanceId::from_random(*n)).collect::<Vec<_>>();
        let table = [
            (All(ids(&[1, 2])), All(ids(&[3])), All(ids(&[3]))),
            (First(ids(&[1])), All(ids(&[2, 3])), All(ids(&[2, 3]))),
            (First(ids(&[1, 9])), First(ids(&[1, 2])), First(ids(&[1, 9]))),
            (First(ids(&[1])), Many, First(ids(&[1]))),
            (All(ids(&[])), Many, All(ids(&[]))),
            (Many, Many, Many),
        ];
        for (one, other, wanted) in table {
            assert_eq!(better(one.clone(), other.clone()), wanted);
            assert_eq!(better(other, one), wanted);
        }
    }
}

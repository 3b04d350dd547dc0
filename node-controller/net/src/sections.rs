//! What the sections of a view say, read once: of ten thousand addresses all but a few are as they were.

use crate::check::place;
use crate::config::NetConfig;
use crate::model::Vpc;
use crate::six;
use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_proto::v1::{NodeView, Section, VpcView};
use mallee_proto::view::{self, About};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// The sections of the view that was checked last, as they were read.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    /// Members of groups, by key.
    members: BTreeMap<String, Kept<BTreeSet<Ipv4Addr>>>,
    /// Their IPv6 addresses, where a VPC that has IPv6 names them.
    members6: BTreeMap<String, Kept<BTreeSet<Ipv6Addr>>>,
    /// What public addresses mean, by key.
    names: BTreeMap<String, Kept<BTreeMap<Ipv4Addr, Ipv4Addr>>>,
    /// Where addresses are, by the key and the VPC that names it.
    places: BTreeMap<(String, String), Places>,
    /// As `places`, of IPv6 addresses.
    places6: BTreeMap<(String, String), Places6>,
}

/// What a section says, and as what it was read.
#[derive(Debug, Default)]
struct Kept<T> {
    items: Bytes,
    list: Arc<T>,
}

#[derive(Debug, Default)]
struct Places {
    items: Bytes,
    within: Within,
    list: Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>,
    /// What makes no sense, by address.
    wrong: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Places6 {
    items: Bytes,
    /// What decides which count: addresses that are here, and the VPC's blocks.
    own: BTreeSet<Ipv6Addr>,
    blocks: Vec<Ipv6Net>,
    list: Arc<BTreeMap<Ipv6Addr, Ipv4Addr>>,
}

/// What decides which places count for a VPC.
#[derive(Debug, Default, PartialEq, Eq)]
struct Within {
    /// Addresses of its own ports, as the view has them: they are here, whatever is said of where they were.
    own: BTreeSet<Ipv4Addr>,
    blocks: Vec<Ipv4Net>,
    blocks6: Vec<Ipv6Net>,
}

impl Within {
    fn of(wire: &VpcView, vpc: &Vpc) -> Self {
        let others = wire.ports.iter().flat_map(|port| &port.secondary).map(|other| &other.private_ip);
        let own = wire.ports.iter().map(|port| &port.private_ip).chain(others).filter_map(|ip| ip.parse().ok());
        Self { own: own.collect(), blocks: vpc.blocks().collect(), blocks6: vpc.blocks6.clone() }
    }
}

impl Sections {
    /// Forgets sections that a view has not.
    pub(crate) fn keep_only(&mut self, view: &NodeView) {
        let of =
            |vpc: &'_ VpcView| vpc.sections.iter().map(|key| (key.clone(), vpc.vpc_id.clone())).collect::<Vec<_>>();
        let named: BTreeSet<(String, String)> = view.vpcs.iter().flat_map(of).collect();
        let keys: BTreeSet<&String> = named.iter().map(|(key, _)| key).collect();
        self.members.retain(|key, _| keys.contains(key));
        self.members6.retain(|key, _| keys.contains(key));
        self.names.retain(|key, _| keys.contains(key));
        self.places.retain(|place, _| named.contains(place));
        self.places6.retain(|place, _| named.contains(place));
    }

    /// Puts what a section says into a VPC that names it.
    pub(crate) fn take(
        &mut self,
        section: &Section,
        wire: &VpcView,
        vpc: &mut Vpc,
        config: &NetConfig,
        warnings: &mut Vec<String>,
    ) {
        match view::about(&section.key) {
            Some(About::Places(_)) => {}
            Some(About::Members(group)) => {
                let members = self.members.entry(section.key.clone()).or_default();
                let put = |list: &mut BTreeSet<_>, ip, _: &str| _ = list.insert(ip);
                let read = members.read(section, |list, ip| _ = list.remove(&ip), put);
                vpc.members.insert(group.to_owned(), read);
                if vpc.six() {
                    let members = self.members6.entry(section.key.clone()).or_default();
                    let put = |list: &mut BTreeSet<_>, ip, _: &str| _ = list.insert(ip);
                    let read = members.read(section, |list, ip| _ = list.remove(&ip), put);
                    vpc.members6.insert(group.to_owned(), read);
                }
                return;
            }
            Some(About::Names(_)) => {
                let names = self.names.entry(section.key.clone()).or_default();
                let put = |list: &mut BTreeMap<_, _>, public, private: &str| {
                    if let Ok(private) = private.parse() {
                        list.insert(public, private);
                    }
                };
                let read = names.read(section, |list, public| _ = list.remove(&public), put);
                add(&mut vpc.public_names, read);
                return;
            }
            None => return,
        }
        let places = self.places.entry((section.key.clone(), vpc.id.clone())).or_default();
        let read = places.read(section, Within::of(wire, vpc), vpc, config);
        warnings.extend(places.wrong.values().cloned());
        add(&mut vpc.remotes, read);
        if vpc.six() {
            let places = self.places6.entry((section.key.clone(), vpc.id.clone())).or_default();
            let read = places.read(section, vpc, config);
            if vpc.remotes6.is_empty() {
                vpc.remotes6 = read;
            } else if !read.is_empty() {
                Arc::make_mut(&mut vpc.remotes6).extend(read.iter());
            }
        }
    }
}

/// Adds what was read to what is there. Most often that is nothing, and no list is copied.
fn add(to: &mut Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>, read: Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>) {
    if to.is_empty() {
        *to = read;
    } else if !read.is_empty() {
        Arc::make_mut(to).extend(read.iter());
    }
}

impl<T: Clone> Kept<T> {
    /// The list as the section has it now, made of what it was by what goes and what comes.
    fn read<A: FromStr>(
        &mut self,
        section: &Section,
        remove: impl Fn(&mut T, A),
        put: impl Fn(&mut T, A, &str),
    ) -> Arc<T> {
        let (gone, come) = view::changed(&self.items, &section.items);
        if !(gone.is_empty() && come.is_empty()) {
            let list = Arc::make_mut(&mut self.list);
            for ip in view::items(gone).filter_map(|(address, _)| address.parse().ok()) {
                remove(list, ip);
            }
            for (address, says) in view::items(come) {
                if let Ok(ip) = address.parse() {
                    put(list, ip, &says);
                }
            }
        }
        self.items = section.items.clone();
        Arc::clone(&self.list)
    }
}

impl Places6 {
    fn read(&mut self, section: &Section, vpc: &Vpc, config: &NetConfig) -> Arc<BTreeMap<Ipv6Addr, Ipv4Addr>> {
        let own: BTreeSet<Ipv6Addr> = vpc.devices6.keys().copied().collect();
        if own != self.own || vpc.blocks6 != self.blocks {
            *self = Self { own, blocks: vpc.blocks6.clone(), ..Self::default() };
        }
        let (gone, come) = view::changed(&self.items, &section.items);
        if !(gone.is_empty() && come.is_empty()) {
            let list = Arc::make_mut(&mut self.list);
            for ip in view::items(gone).filter_map(|(address, _)| address.parse().ok()) {
                list.remove(&ip);
            }
            list.extend(view::items(come).filter_map(|(address, vtep)| six::place(address, &vtep, vpc, config)));
        }
        self.items = section.items.clone();
        Arc::clone(&self.list)
    }
}

impl Places {
    fn read(
        &mut self,
        section: &Section,
        within: Within,
        vpc: &Vpc,
        config: &NetConfig,
    ) -> Arc<BTreeMap<Ipv4Addr, Ipv4Addr>> {
        if within != self.within {
            *self = Self { within, ..Self::default() };
        }
        let (gone, come) = view::changed(&self.items, &section.items);
        if !(gone.is_empty() && come.is_empty()) {
            let list = Arc::make_mut(&mut self.list);
            for (address, _) in view::items(gone) {
                self.wrong.remove(address);
                if let Ok(ip) = address.parse() {
                    list.remove(&ip);
                }
            }
            for (address, vtep) in view::items(come) {
                match place(address, &vtep, vpc, config) {
                    Ok(place) => list.extend(place.filter(|(ip, _)| !self.within.own.contains(ip))),
                    Err(why) => drop(self.wrong.insert(address.to_owned(), why)),
                }
            }
        }
        self.items = section.items.clone();
        Arc::clone(&self.list)
    }
}

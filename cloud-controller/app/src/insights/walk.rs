//! One packet's way, and its answer's: which stations they pass, and where they can go no further. A pure function of the
//! network; which ports get through is `evaluate`'s.

use super::answer::{ShownRoute, Why};
use super::net::{Down, Interface, Net, Route, Routed, Subnet, Target};
use std::net::Ipv4Addr;

/// One end of a way.
#[derive(Debug, Clone, Copy)]
pub enum Spot<'a> {
    /// An interface.
    Interface(&'a Interface),
    /// The world, by an internet gateway.
    Gateway(&'a str),
    /// The other VPC, by a peering connection.
    Peering(&'a str),
}

/// A station.
#[derive(Debug, Clone)]
pub(super) enum Step<'a> {
    Instance(&'a str),
    Interface(&'a Interface),
    /// The groups are asked about packets to or from this address; not about answers.
    Groups {
        interface: &'a Interface,
        egress: bool,
        remote: Ipv4Addr,
        answer: bool,
    },
    Acl {
        subnet: &'a Subnet,
        id: &'a str,
        of: &'a str,
        egress: bool,
        remote: Ipv4Addr,
    },
    Table {
        id: &'a str,
        vpc: &'a str,
        route: ShownRoute,
    },
    Peering {
        id: &'a str,
        from: &'a str,
    },
    Gateway {
        id: &'a str,
        vpc: &'a str,
    },
}

/// The stations up to the end, or to where it goes no further, and why.
#[derive(Debug, Default)]
pub(super) struct Way<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) whys: Vec<Why>,
    pub(super) warning: Option<String>,
}

/// A way of packets from one end to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg<'a> {
    pub(super) net: &'a Net,
    pub(super) from: Spot<'a>,
    pub(super) to: Spot<'a>,
    /// As the interfaces on the way see them.
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// They answer what came before: groups are not asked.
    pub(super) answer: bool,
}

/// A route as it is shown.
pub(super) fn shown(net: &Net, vpc: &str, route: &Route) -> ShownRoute {
    let (target, active) = match &route.target {
        Target::Gateway(id) => (id, net.vpcs.get(vpc).is_some_and(|vpc| vpc.gateway.as_ref() == Some(id))),
        Target::Peering(id) => (id, net.across(id, vpc).is_some()),
        Target::Other(id) => (id, true),
    };
    ShownRoute { cidr: route.destination.to_string(), list: route.list.clone(), target: target.clone(), active }
}

/// Whether an end can send and get packets at all.
fn is_up(interface: &Interface) -> Option<Why> {
    let why = match interface.down.as_ref()? {
        Down::Attachment => Why {
            component: Some(interface.id.clone()),
            attached_to: interface.instance.clone(),
            ..Why::new("BAD_STATE_ATTACHMENT")
        },
        Down::Instance(state) => {
            Why { component: interface.instance.clone(), state: Some(state.clone()), ..Why::new("BAD_STATE") }
        }
    };
    Some(Why { vpc: Some(interface.vpc.clone()), ..why })
}

impl<'a> Leg<'a> {
    pub(super) fn walk(&self) -> Way<'a> {
        let mut way = Way::default();
        let went = match self.from {
            Spot::Interface(interface) => self.leave(&mut way, interface),
            Spot::Gateway(id) => self.begin_at_gateway(&mut way, id),
            Spot::Peering(id) => self.begin_at_peering(&mut way, id),
        };
        if went {
            match self.to {
                Spot::Interface(interface) => self.enter(&mut way, interface),
                // That it came there, the table said.
                Spot::Gateway(_) | Spot::Peering(_) => {}
            }
        }
        way
    }

    /// The ACL of a subnet, unless both ends are in it: of what is on the way to or from the world none is.
    fn acl(&self, way: &mut Way<'a>, interface: &'a Interface, egress: bool, remote: Ipv4Addr) {
        let Some(subnet) = self.net.subnets.get(&interface.subnet) else { return };
        let world = matches!(self.from, Spot::Gateway(_)) || matches!(self.to, Spot::Gateway(_));
        if let Some(id) = subnet.acl.as_ref().filter(|_| world || !subnet.cidr.contains(&remote)) {
            way.steps.push(Step::Acl { subnet, id, of: &interface.subnet, egress, remote });
        }
    }

    /// From an interface to where its subnet's table leads; false where that is not the way to the end.
    fn leave(&self, way: &mut Way<'a>, interface: &'a Interface) -> bool {
        let (net, remote) = (self.net, self.destination);
        way.steps.extend(interface.instance.as_deref().map(Step::Instance));
        way.steps.push(Step::Interface(interface));
        if let Some(why) = is_up(interface) {
            way.whys.push(why);
            return false;
        }
        way.steps.push(Step::Groups { interface, egress: true, remote, answer: self.answer });
        self.acl(way, interface, true, remote);
        let Some(subnet) = net.subnets.get(&interface.subnet) else { return false };
        match net.routed(subnet, remote) {
            Routed::Local(block) => self.locally(way, interface, subnet, &block.to_string()),
            Routed::By(route) => self.by_route(way, interface, subnet, route),
            Routed::Nowhere => {
                way.whys.push(self.no_route(subnet));
                false
            }
        }
    }

    fn table(way: &mut Way<'a>, subnet: &'a Subnet, route: ShownRoute) {
        if let Some(id) = &subnet.table {
            way.steps.push(Step::Table { id, vpc: &subnet.vpc, route });
        }
    }

    fn locally(&self, way: &mut Way<'a>, from: &Interface, subnet: &'a Subnet, block: &str) -> bool {
        match self.to {
            Spot::Interface(to) if to.vpc == from.vpc => {
                if !subnet.cidr.contains(&self.destination) {
                    let (cidr, target) = (block.to_owned(), "local".to_owned());
                    Self::table(way, subnet, ShownRoute { cidr, target, active: true, list: None });
                }
                true
            }
            Spot::Gateway(id) => {
                way.whys.push(Why {
                    gateway: Some(id.to_owned()),
                    address: Some(self.destination),
                    vpc: Some(from.vpc.clone()),
                    ..Why::new("IGW_DESTINATION_ADDRESS_IN_VPC_CIDRS")
                });
                false
            }
            Spot::Interface(_) | Spot::Peering(_) => {
                way.whys.push(self.no_route(subnet));
                false
            }
        }
    }

    fn by_route(&self, way: &mut Way<'a>, from: &'a Interface, subnet: &'a Subnet, route: &'a Route) -> bool {
        let net = self.net;
        let seen = shown(net, &from.vpc, route);
        if !seen.active {
            way.whys.push(Why { route: Some(seen), ..self.at_table("BAD_STATE_ROUTE", subnet) });
            return false;
        }
        match (&route.target, self.to) {
            (Target::Gateway(id), Spot::Gateway(end)) if id == end => {
                Self::table(way, subnet, seen);
                way.steps.push(Step::Gateway { id: end, vpc: &subnet.vpc });
                self.may_pass_out(way, from, end)
            }
            (Target::Peering(id), Spot::Peering(end)) if id == end => {
                Self::table(way, subnet, seen);
                way.steps.push(Step::Peering { id: end, from: &subnet.vpc });
                self.fits_across(way, end, &from.vpc)
            }
            (Target::Peering(id), Spot::Interface(to)) if net.across(id, &from.vpc) == Some(&to.vpc) => {
                Self::table(way, subnet, seen);
                way.steps.push(Step::Peering { id, from: &subnet.vpc });
                self.fits_across(way, id, &from.vpc)
            }
            (Target::Other(id), _) => {
                way.warning = Some(format!(
                    "The analysis does not follow routes to {id}. What lies behind it was not looked at."
                ));
                way.whys.push(Why { route: Some(seen), ..self.at_table("UNKNOWN_DESTINATION", subnet) });
                false
            }
            (Target::Gateway(_) | Target::Peering(_), _) => {
                way.whys.push(self.elsewhere(subnet, seen));
                false
            }
        }
    }

    /// Over a connection goes what is for the peer's own addresses.
    fn fits_across(&self, way: &mut Way<'a>, peering: &str, from: &str) -> bool {
        let fits = self.net.across(peering, from).is_some_and(|peer| self.net.is_in(peer, self.destination));
        if !fits {
            way.whys.push(Why {
                peering: Some(peering.to_owned()),
                address: Some(self.destination),
                ..Why::new("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR")
            });
        }
        fits
    }

    /// To the world goes who has a public address.
    fn may_pass_out(&self, way: &mut Way<'a>, from: &Interface, gateway: &str) -> bool {
        let public = from.addresses.iter().any(|(private, public)| *private == self.source && public.is_some());
        if !public {
            way.whys.push(Why {
                gateway: Some(gateway.to_owned()),
                vpc: Some(from.vpc.clone()),
                address: Some(self.source),
                interface: Some(from.id.clone()),
                ..Why::new("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
            });
        }
        public
    }

    fn begin_at_gateway(&self, way: &mut Way<'a>, id: &'a str) -> bool {
        let Spot::Interface(to) = self.to else { return false };
        let Some((vpc, entry)) = self.net.vpcs.get_key_value(&to.vpc) else { return false };
        if entry.gateway.as_deref() != Some(id) {
            way.whys.push(Why {
                component: Some(id.to_owned()),
                attached_to: Some(to.vpc.clone()),
                ..Why::new("BAD_STATE_ATTACHMENT")
            });
            return false;
        }
        way.steps.push(Step::Gateway { id, vpc });
        if self.net.is_in(vpc, self.source) {
            way.whys.push(Why {
                gateway: Some(id.to_owned()),
                vpc: Some(vpc.clone()),
                address: Some(self.source),
                ..Why::new("GATEWAY_REJECTS_SPOOFED_TRAFFIC")
            });
            return false;
        }
        let public = to.addresses.iter().any(|(private, public)| *private == self.destination && public.is_some());
        if !public {
            way.whys.push(Why {
                gateway: Some(id.to_owned()),
                vpc: Some(vpc.clone()),
                address: Some(self.destination),
                interface: Some(to.id.clone()),
                ..Why::new("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS")
            });
        }
        public
    }

    fn begin_at_peering(&self, way: &mut Way<'a>, id: &'a str) -> bool {
        let Spot::Interface(to) = self.to else { return false };
        let Some(peer) = self.net.across(id, &to.vpc) else {
            let of = self.net.peerings.get(id).is_some_and(|peering| peering.vpcs.contains(&to.vpc));
            let code = if of { "BAD_STATE" } else { "NO_POSSIBLE_DESTINATION" };
            way.whys.push(Why { component: Some(id.to_owned()), vpc: Some(to.vpc.clone()), ..Why::new(code) });
            return false;
        };
        way.steps.push(Step::Peering { id, from: peer });
        let fits = self.net.is_in(peer, self.source);
        if !fits {
            way.whys.push(Why {
                peering: Some(id.to_owned()),
                address: Some(self.source),
                ..Why::new("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR")
            });
        }
        fits
    }

    /// Into the subnet of an interface, and to it.
    fn enter(&self, way: &mut Way<'a>, interface: &'a Interface) {
        let remote = self.source;
        self.acl(way, interface, false, remote);
        way.steps.push(Step::Groups { interface, egress: false, remote, answer: self.answer });
        way.steps.push(Step::Interface(interface));
        way.steps.extend(interface.instance.as_deref().map(Step::Instance));
        way.whys.extend(is_up(interface));
    }

    /// Its id; of a gateway that is not there none.
    fn end(&self) -> Option<String> {
        let id = match self.to {
            Spot::Interface(interface) => &interface.id,
            Spot::Gateway(id) | Spot::Peering(id) => id,
        };
        Some(id.to_owned()).filter(|id| !id.is_empty())
    }

    fn at_table(&self, code: &str, subnet: &Subnet) -> Why {
        Why {
            table: subnet.table.clone(),
            vpc: Some(subnet.vpc.clone()),
            destination: self.end(),
            address: Some(self.destination),
            ..Why::new(code)
        }
    }

    /// No route leads there; a route to where it should lead may be for other addresses.
    fn no_route(&self, subnet: &Subnet) -> Why {
        match self.route_there(subnet) {
            Some(route) => Why { route: Some(route), ..self.at_table("CANNOT_ROUTE", subnet) },
            None => self.at_table("NO_ROUTE_TO_DESTINATION", subnet),
        }
    }

    /// A route leads elsewhere; a shorter one may lead there.
    fn elsewhere(&self, subnet: &Subnet, taken: ShownRoute) -> Why {
        let shorter = |route: &ShownRoute| {
            route.cidr.parse::<ipnet::Ipv4Net>().is_ok_and(|cidr| cidr.contains(&self.destination))
        };
        match self.route_there(subnet) {
            Some(route) if shorter(&route) => {
                Why { route: Some(taken), ..self.at_table("MORE_SPECIFIC_ROUTE", subnet) }
            }
            Some(route) => Why { route: Some(route), ..self.at_table("CANNOT_ROUTE", subnet) },
            None => self.at_table("NO_ROUTE_TO_DESTINATION", subnet),
        }
    }

    /// A route to where this should lead, best one that has the address.
    fn route_there(&self, subnet: &Subnet) -> Option<ShownRoute> {
        let leads = |route: &&Route| match (&route.target, self.to) {
            (Target::Gateway(id), Spot::Gateway(end)) | (Target::Peering(id), Spot::Peering(end)) => id == end,
            (Target::Peering(id), Spot::Interface(to)) => {
                to.vpc != subnet.vpc && self.net.across(id, &subnet.vpc) == Some(&to.vpc)
            }
            _ => false,
        };
        let routes = subnet.table.as_ref().and_then(|table| self.net.tables.get(table)).into_iter().flatten();
        let best = routes.filter(leads).max_by_key(|route| route.destination.contains(&self.destination))?;
        Some(shown(self.net, &subnet.vpc, best))
    }
}

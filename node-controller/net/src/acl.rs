//! Network ACLs in a VPC's packet filter. They stand before what conntrack would accept: a flow that is known needs their
//! leave as any other, which is what tells them from groups. Both ways are judged at the node that holds the endpoint, by
//! the addresses that it sees (translated already on the way in, not yet on the way out), and fragments are whole by then.
//! What an instance says to its router (DHCP, names, metadata) is not forwarded and so never gets here.

use crate::model::{AclEntry, Subnet, Vpc};
use crate::names::rule_name;
use crate::nft::{list, matches};

/// How chains and maps of one direction are named.
struct Side {
    egress: bool,
    /// Begins the names of chains of ACLs, and of subnets.
    acl: &'static str,
    subnet: &'static str,
    map: &'static str,
    /// Where the other side's address stands, and the device that it is told by.
    address: &'static str,
    device: &'static str,
}

const SIDES: [Side; 2] = [
    Side { egress: true, acl: "ao", subnet: "no", map: "acl_out", address: "daddr", device: "oifname" },
    Side { egress: false, acl: "ai", subnet: "ni", map: "acl_in", address: "saddr", device: "iifname" },
];

/// The rule of a base chain that asks the ACLs of one direction; nothing where no port has one. A packet that passes comes
/// back to the rule after it.
pub(crate) fn ask(vpc: &Vpc, egress: bool) -> &'static str {
    match (guarded(vpc).next(), egress) {
        (None, _) => "",
        (Some(_), true) => "\t\tiifname vmap @acl_out\n",
        (Some(_), false) => "\t\toifname vmap @acl_in\n",
    }
}

/// Ports whose subnet has an ACL: the device, the subnet, and the ACL's id.
fn guarded(vpc: &Vpc) -> impl Iterator<Item = (&String, &Subnet, &String)> {
    vpc.ports.iter().filter_map(|(device, port)| Some((device, &port.subnet, port.subnet.acl.as_ref()?)))
}

fn judge(entry: &AclEntry, six: bool) -> String {
    let verdict = if entry.allow { "return" } else { "counter drop" };
    matches(&entry.rule, six).into_iter().map(|matches| format!("\t\t{matches}{verdict}\n")).collect()
}

/// The chains of ACLs and subnets, and which device goes to which.
pub(crate) fn chains(out: &mut String, vpc: &Vpc) {
    if guarded(vpc).next().is_none() {
        return;
    }
    for Side { egress, acl: start, .. } in &SIDES {
        for (id, entries) in &vpc.acls {
            let entries = entries.iter().filter(|entry| entry.rule.egress == *egress);
            let lines: String = entries.map(|entry| judge(entry, vpc.six())).collect();
            put!(out, "\tchain {start}_{} {{\n{lines}\t\tcounter drop\n\t}}\n", rule_name(id));
        }
    }
    for Side { acl: start, subnet: own, map, address, device: by, .. } in &SIDES {
        for subnet in &vpc.subnets {
            let Some(acl) = &subnet.acl else { continue };
            // Within the subnet nothing is asked. What comes from the world, or goes there, is never within it.
            let within6 = subnet.cidr6.map_or_else(String::new, |net| format!("\t\tip6 {address} {net} return\n"));
            put!(
                out,
                "\tchain {own}_{} {{\n\t\t{by} != \"igw\" ip {address} {} return\n{within6}\t\tgoto {start}_{}\n\t}}\n",
                rule_name(&subnet.id),
                subnet.cidr,
                rule_name(acl)
            );
        }
        let elements =
            guarded(vpc).map(|(device, subnet, _)| format!("\"{device}\" : jump {own}_{}", rule_name(&subnet.id)));
        putln!(out, "\tmap {map} {{ type ifname : verdict;{} }}", list(elements));
    }
}

//! What tables have counted, out of what `nft` says of them.

use super::table::{FLAGS, SIDES, Side};
use crate::exec::{failed, run};
use mallee_node_core::network::NetworkError;
use mallee_proto::v1::Flow;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A flow of one interface: source, destination, protocol, ports.
pub(super) type Key = (Ipv4Addr, Ipv4Addr, u32, u32, u32);

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Count {
    packets: u64,
    bytes: u64,
}

/// What a table counted of one device: by way, seen and passed.
#[derive(Debug, Default)]
pub(super) struct Counted {
    flows: BTreeMap<(bool, Key), [Count; 2]>,
    flags: BTreeMap<Key, u32>,
    pub(super) full: bool,
}

/// What `nft -j` prints; other objects and fields are passed over without being kept.
#[derive(Deserialize)]
pub(super) struct Printed {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) table: Option<Table>,
    pub(super) set: Option<Set>,
}

#[derive(Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) size: usize,
    #[serde(default)]
    elem: Vec<Element>,
}

/// With a counter, or without.
#[derive(Deserialize)]
struct Element {
    elem: Option<WithCounter>,
    concat: Option<Concat>,
}

#[derive(Deserialize)]
struct WithCounter {
    val: Val,
    counter: Option<Count>,
}

#[derive(Deserialize)]
struct Val {
    concat: Concat,
}

struct Concat(Key);

impl<'de> Deserialize<'de> for Concat {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Concat;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("two addresses, a protocol and perhaps two ports")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Concat, A::Error> {
                let missing = || A::Error::custom("a key has at least three parts");
                let source = parts.next_element()?.ok_or_else(missing)?;
                let destination = parts.next_element()?.ok_or_else(missing)?;
                let protocol = parts.next_element()?.ok_or_else(missing)?;
                let (from, to) = (parts.next_element()?, parts.next_element()?);
                Ok(Concat((source, destination, protocol, from.unwrap_or(0), to.unwrap_or(0))))
            }
        }
        from.deserialize_seq(Parts)
    }
}

pub(super) fn printed(out: &[u8]) -> Result<Vec<Item>, NetworkError> {
    let read: Result<Printed, _> = typed(out);
    Ok(read?.nftables)
}

fn typed<T: DeserializeOwned>(out: &[u8]) -> Result<T, NetworkError> {
    serde_json::from_slice(out).map_err(|e| failed(format!("the answer of nft is unknown: {e}")))
}

/// The elements of one set: at most [`FLOWS_MAX`] of them are ever in memory as text.
fn elements(table: &str, set: &str) -> Result<Vec<(Key, Count)>, NetworkError> {
    let out = run("nft", &["-n", "-j", &format!("list set inet {table} {set}")], "")?;
    Ok(printed(&out)?.into_iter().filter_map(|item| item.set).flat_map(|set| set.elem).filter_map(counted).collect())
}

fn counted(element: Element) -> Option<(Key, Count)> {
    match element {
        Element { elem: Some(WithCounter { val: Val { concat: Concat(key) }, counter }), .. } => {
            Some((key, counter.unwrap_or_default()))
        }
        Element { concat: Some(Concat(key)), .. } => Some((key, Count::default())),
        Element { .. } => None,
    }
}

/// What a table counted of one device whose sets have this room. What was not seen did not pass, and has no flags.
pub(super) fn read(table: &str, device: &str, size: usize) -> Result<Counted, NetworkError> {
    let (mut all, mut ports) = (Counted::default(), false);
    for kind in ["w", "o"] {
        for ingress in [false, true] {
            for Side { start, passed, .. } in SIDES.iter().filter(|side| side.ingress == ingress) {
                let found = elements(table, &format!("{start}{kind}_{device}"))?;
                if found.is_empty() {
                    break;
                }
                ports |= kind == "w";
                all.full |= found.len() >= size;
                for (key, count) in found {
                    all.flows.entry((ingress, key)).or_default()[usize::from(*passed)] = count;
                }
            }
        }
    }
    for (name, _, bits) in FLAGS.iter().filter(|_| ports) {
        let found = elements(table, &format!("{name}_{device}"))?;
        all.full |= found.len() >= size;
        for (key, _) in found {
            *all.flags.entry(key).or_default() |= bits;
        }
    }
    Ok(all)
}

/// The records of one device: what passed was accepted, what was seen besides was rejected.
pub(super) fn flows(counted: &Counted) -> Vec<Flow> {
    let mut out = Vec::with_capacity(counted.flows.len());
    for ((ingress, key), [seen, passed]) in &counted.flows {
        let (source, destination, protocol, source_port, destination_port) = *key;
        let rejected = Count {
            packets: seen.packets.saturating_sub(passed.packets),
            bytes: seen.bytes.saturating_sub(passed.bytes),
        };
        for (accepted, Count { packets, bytes }) in [(true, *passed), (false, rejected)] {
            if packets == 0 {
                continue;
            }
            out.push(Flow {
                ingress: *ingress,
                accepted,
                source: source.into(),
                destination: destination.into(),
                protocol,
                source_port,
                destination_port,
                packets,
                bytes,
                tcp_flags: counted.flags.get(key).copied().unwrap_or_default(),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::*;

    #[test]
    fn elements_are_read_with_and_without_counters_and_ports() {
        let text = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"set": {"family": "inet", "name": "outsw_t1",
            "table": "flow_1_0", "size": 9, "comment": "vpc-1 subnet-1 i-1 eni-1", "elem": [
            {"elem": {"val": {"concat": ["10.0.0.1", "10.0.0.2", 6, 3, 4]}, "counter": {"packets": 5, "bytes": 6}}},
            {"concat": ["10.0.0.1", "10.0.0.2", 6, 3, 5]}, {"concat": ["10.0.0.1", "10.0.0.2", 1]}]}}]}"#;
        let set = printed(text).unwrap().into_iter().find_map(|item| item.set).unwrap();
        let owner = Owner::parse(set.comment.as_deref().unwrap()).unwrap();
        assert_eq!(owner.comment(), set.comment);
        let found: Vec<(Key, Count)> = set.elem.into_iter().filter_map(counted).collect();
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(
            found.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            [(a, b, 6, 3, 4), (a, b, 6, 3, 5), (a, b, 1, 0, 0)]
        );
        assert_eq!((found[0].1.packets, found[0].1.bytes, found[1].1.packets), (5, 6, 0));
        assert!(printed(b"{\"nftables\": [{\"set\"").is_err());
    }
}

//! What this kernel can do, tried out in a namespace that lives as long as the trial.

use crate::exec::{failed, ip_batch, nft};
use crate::shape;
use mallee_node_core::network::NetworkError;
use nix::sched::{CloneFlags, unshare};
use tracing::warn;

/// Optional features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Sets that hold `ct count`: a cap on tracked flows per port.
    pub connlimit: bool,
    /// The overlay between nodes.
    pub vxlan: bool,
    /// Devices of their own for packets that routes lead to ports here, on the overlay.
    pub hops: bool,
    /// Sets that count what they see: flow logs.
    pub flow_logs: bool,
    /// What limits bandwidth: the queues, and a device to queue on what guests send.
    pub shaping: bool,
}

const REQUIRED: [(&str, &str); 3] = [
    (
        "nftables with connection tracking and NAT",
        "table inet t { map m { type ifname : verdict; }\n chain a { type filter hook forward priority 0; ct state established accept\n iifname vmap @m\n }\n \
         chain b { type nat hook prerouting priority -100; dnat ip to 192.0.2.1\n }\n }\n",
    ),
    (
        "nftables matching on payload",
        "table inet p { chain a { type filter hook prerouting priority raw; @th,288,48 0x1 drop\n notrack\n }\n }\n",
    ),
    (
        "the arp family of nftables",
        "table arp t { chain a { type filter hook input priority 0; arp saddr ip 192.0.2.1 drop\n }\n }\n",
    ),
];

/// Tries every feature the design uses. What is optional and missing is logged with what it costs.
///
/// # Errors
/// [`NetworkError::Unsupported`] names the first feature without which there is no network.
pub(crate) fn probe() -> Result<Features, NetworkError> {
    let trial = std::thread::Builder::new().name("mallee-probe".to_owned()).spawn(trial);
    let trial = trial.map_err(|e| failed(format!("thread: {e}")))?;
    let features = trial.join().map_err(|_| failed("the feature probe died"))??;
    if !features.connlimit {
        warn!("kernel without nft sets of \"ct count\": one instance can fill the host's connection table");
    }
    if !features.vxlan {
        warn!("kernel without vxlan: instances on other nodes cannot be reached");
    }
    if features.vxlan && !features.hops {
        warn!("kernel without macvlan: routes to instances of this node lead nowhere from other nodes");
    }
    if !features.flow_logs {
        warn!("kernel without nft sets that count: flow logs say of all traffic that it is not recorded");
    }
    if !features.shaping {
        warn!("kernel without ifb, htb, cls_u32 or act_mirred, or no tc: bandwidth limits of instances do not hold");
    }
    Ok(features)
}

fn trial() -> Result<Features, NetworkError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|e| {
        NetworkError::Unsupported(format!("cannot make a network namespace ({e}), run the node controller as root"))
    })?;
    let missing = |what: &str, error: NetworkError| match error {
        NetworkError::Failed(why) => NetworkError::Unsupported(format!("{what} ({why})")),
        other => other,
    };
    for (what, rules) in REQUIRED {
        nft(rules).map_err(|e| missing(what, e))?;
    }
    ip_batch(&["link add pa type veth peer name pb".to_owned()]).map_err(|e| missing("veth", e))?;
    ip_batch(&["tuntap add dev pt mode tap".to_owned()]).map_err(|e| missing("tap devices", e))?;
    let connlimit = nft("table inet c { set s { type ifname; size 8; flags dynamic; }\n \
         chain a { type filter hook forward priority filter; ct state new add @s { iifname ct count over 1 } drop\n }\n }\n")
        .is_ok();
    let vxlan = ip_batch(&["link add vx type vxlan id 1 dstport 4789 local 127.0.0.1 nolearning".to_owned()]).is_ok();
    let hop = "link add link vx name mh address 02:6e:00:00:00:01 type macvlan mode private";
    let hops = vxlan && ip_batch(&[hop.to_owned()]).is_ok();
    let flow_logs =
        nft("table inet f { set s { type ipv4_addr . inet_proto . inet_service; size 8; flags dynamic; }\n \
         chain a { type filter hook forward priority filter - 10; \
         meta l4proto udp add @s { ip saddr . meta l4proto . th dport counter }\n }\n }\n")
        .is_ok();
    let shaping = shape::trial("pa").is_ok();
    Ok(Features { connlimit, vxlan, hops, flow_logs, shaping })
}

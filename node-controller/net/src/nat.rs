//! NAT gateways. One is a port as any other, with the source check off and routes that lead to it; behind it is no guest but a
//! namespace of ours, which knows the gateway's flows and sends each of them from one of its addresses. So what it needs of its VPC
//! (its public address, its way there, ACLs, flow logs, how others find it) is as it is for instances.

use crate::config::MTU;
use crate::engine::KernelNetwork;
use crate::exec::{delete_links, inside, ip_batch, sysctls};
use crate::model::{Port, Vpc};
use crate::nft::Rules;
use crate::plan::{Desired, GATEWAY_MAC, LinkWant, diff, main_route};
use crate::settings::router_settings;
use crate::{ns, observe, swap};
use mallee_node_core::network::NetworkError;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tracing::warn;

/// The gateway's end of its port.
const END: &str = "eth0";

/// What a gateway lets through: what instances begin, and the answers. Nobody begins anything with itself. New flows are spread
/// over the addresses that take some; one that is there keeps its address, whatever becomes of the others, while that is the
/// gateway's.
fn rules(port: &Port) -> String {
    let own: Vec<Ipv4Addr> = port.addresses().map(|(ip, _)| ip).collect();
    let taking: Vec<Ipv4Addr> = own.iter().copied().filter(|ip| !port.nat_draining.contains(ip)).collect();
    let own = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let flow = "meta l4proto { tcp, udp }";
    let to = |ip: &Ipv4Addr| {
        format!("\t\toifname \"{END}\" {flow} snat ip to {ip}:1024-65535\n\t\toifname \"{END}\" snat ip to {ip}\n")
    };
    let (mut chains, mut spread) = (String::new(), String::new());
    match taking.as_slice() {
        [one] => spread = to(one),
        several => {
            for (n, ip) in several.iter().enumerate() {
                chains += &format!("\tchain by{n} {{\n{}\t}}\n", to(ip));
            }
            let by: Vec<String> = (0..several.len()).map(|n| format!("{n} : goto by{n}")).collect();
            let by = format!("mod {} vmap {{ {} }}", several.len(), by.join(", "));
            spread += &format!("\t\t{flow} jhash ip saddr . ip daddr . th sport . th dport {by}\n");
            spread += &format!("\t\tjhash ip saddr . ip daddr {by}\n");
        }
    }
    format!(
        "table inet nat {{\n{chains}\
         \tchain forward {{ type filter hook forward priority filter; policy drop;\n\
         \t\tct state established,related accept\n\
         \t\tct state invalid counter drop\n\
         \t\tiifname \"{END}\" oifname \"{END}\" meta l4proto {{ tcp, udp, icmp }} accept\n\
         \t\tcounter drop\n\t}}\n\
         \tchain input {{ type filter hook input priority filter; policy drop;\n\
         \t\tcounter drop\n\t}}\n\
         \tchain out {{ type nat hook postrouting priority srcnat; policy accept;\n\
         \t\tip saddr {{ {own} }} return\n\
         {spread}\t}}\n}}\n"
    )
}

/// What a gateway's namespace should hold. Both ends know each other's MAC: nobody asks.
fn desired(port: &Port) -> Desired {
    let gateway = port.subnet.gateway;
    let mut want = Desired::default();
    want.links.insert(END.to_owned(), LinkWant { mac: Some(port.mac), mtu: MTU });
    want.lo.extend(port.addresses().map(|(ip, _)| ip.to_string()));
    want.routes.insert(main_route("default"), format!("via {gateway} dev {END} onlink"));
    want.neighbours.insert((END.to_owned(), gateway.to_string()), GATEWAY_MAC.to_string());
    want
}

/// Ends the gateway's port, from its namespace.
pub(crate) fn cut() -> Result<(), NetworkError> {
    delete_links(std::iter::once(END.to_owned()))
}

impl KernelNetwork {
    /// The gateways of a VPC that are on this host. One that stands keeps its flows; one that cannot be made keeps nothing
    /// else of the VPC waiting: returned are the interfaces of such, each with the reason.
    pub(crate) async fn apply_nats(&self, vpc: &Vpc) -> BTreeMap<String, NetworkError> {
        let mut failed = BTreeMap::new();
        for port in vpc.ports.values() {
            if let Some(ns) = &port.nat
                && let Err(error) = self.apply_nat(vpc, port, ns).await
            {
                warn!(vpc = %vpc.id, port = port.interface_id, %error, "a NAT gateway could not be made");
                failed.insert(port.interface_id.clone(), error);
            }
        }
        failed
    }

    async fn apply_nat(&self, vpc: &Vpc, port: &Port, ns: &str) -> Result<(), NetworkError> {
        self.step("nat").await?;
        let name = ns.to_owned();
        inside(None, move || ns::ensure(&name).map(drop)).await?;
        // Before it has a device.
        let text = rules(port);
        inside(Some(ns), move || {
            sysctls(&router_settings(false))?;
            swap::load(&Rules::plain(text), None)
        })
        .await?;
        self.link(vpc, port, ns).await?;
        let want = desired(port);
        inside(Some(ns), move || ip_batch(&diff(&want, &observe::observe()?, |_| false).ip)).await?;
        self.step("natted").await
    }

    /// The port's two ends: made in the gateway's namespace, and the VPC's end moved when it is as it should be.
    async fn link(&self, vpc: &Vpc, port: &Port, ns: &str) -> Result<(), NetworkError> {
        let device = port.device.clone();
        let here = inside(Some(&vpc.ns), move || Ok(observe::has(&device))).await?;
        if here && inside(Some(ns), || Ok(observe::has(END))).await? {
            return Ok(());
        }
        let device = port.device.clone();
        inside(Some(&vpc.ns), move || if here { delete_links(std::iter::once(device)) } else { Ok(()) }).await?;
        let (device, id, to) = (port.device.clone(), port.interface_id.clone(), vpc.ns.clone());
        inside(Some(ns), move || {
            if observe::has(END) {
                delete_links(std::iter::once(END.to_owned()))?;
            }
            ip_batch(&[
                format!("link add {device} type veth peer name {END}"),
                format!("link set {device} address {GATEWAY_MAC} mtu {MTU} alias {id} addrgenmode none"),
                format!("link set {END} addrgenmode none"),
                format!("link set {device} netns {to}"),
            ])
        })
        .await
    }
}

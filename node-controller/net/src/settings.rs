//! Kernel settings (sysctl) of namespaces and ports.

/// The settings of a VPC's namespace. A new one inherits the host's, whatever those are, so each is said. `six`: the VPC has
/// IPv6; else the kernel has none there, and forgets what it had.
pub(crate) fn router_settings(six: bool) -> Vec<(String, &'static str)> {
    let mut settings = vec![
        ("bridge/bridge-nf-call-iptables".to_owned(), "0"),
        ("bridge/bridge-nf-call-ip6tables".to_owned(), "0"),
        ("bridge/bridge-nf-call-arptables".to_owned(), "0"),
        ("ipv4/neigh/default/proxy_delay".to_owned(), "0"),
    ];
    settings.retain(|(path, _)| std::path::Path::new("/proc/sys/net").join(path).exists());
    for scope in ["all", "default"] {
        for (key, value) in [
            ("rp_filter", "0"),
            ("send_redirects", "0"),
            ("accept_redirects", "0"),
            ("arp_ignore", "0"),
            ("arp_accept", "0"),
        ] {
            settings.push((format!("ipv4/conf/{scope}/{key}"), value));
        }
        if six {
            // Its addresses are those that it is given, and what it hears from guests tells it nothing.
            for (key, value) in
                [("addr_gen_mode", "1"), ("accept_ra", "0"), ("accept_redirects", "0"), ("forwarding", "1")]
            {
                settings.push((format!("ipv6/conf/{scope}/{key}"), value));
            }
        }
        settings.push((format!("ipv6/conf/{scope}/disable_ipv6"), if six { "0" } else { "1" }));
    }
    settings.push(("ipv4/conf/all/proxy_arp".to_owned(), "0"));
    settings.push(("ipv4/ip_forward".to_owned(), "1"));
    settings
}

pub(crate) fn port_settings(device: &str) -> Vec<(String, &'static str)> {
    vec![
        (format!("ipv4/conf/{device}/rp_filter"), "0"),
        (format!("ipv4/conf/{device}/send_redirects"), "0"),
        (format!("ipv4/conf/{device}/forwarding"), "1"),
        (format!("ipv4/conf/{device}/proxy_arp"), "1"),
        (format!("ipv4/neigh/{device}/proxy_delay"), "0"),
    ]
}

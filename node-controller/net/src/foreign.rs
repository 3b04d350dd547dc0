//! The firewalls of others on the host. Docker sets the host's forward policy to drop, and no table of ours can overrule that.
//! The place it keeps for its users' rules is `DOCKER-USER`; ours go there, or to the top of `FORWARD` where another tool set
//! the policy. Of both families, each by its program.

use crate::exec::run;
use mallee_node_core::network::NetworkError;
use tracing::warn;

/// Of IPv4.
pub(crate) const IPTABLES: &str = "iptables";
/// Of IPv6.
pub(crate) const IP6TABLES: &str = "ip6tables";

fn passing_rules(link: &str) -> [Vec<String>; 2] {
    ["-i", "-o"].map(|way| {
        let words = [way, link, "-m", "comment", "--comment", "mallee", "-j", "ACCEPT"];
        words.iter().map(|w| (*w).to_owned()).collect()
    })
}

fn act(program: &str, action: &str, chain: &str, rule: &[String]) -> Result<(), NetworkError> {
    let mut args = vec!["-w", "5", action, chain];
    args.extend(rule.iter().map(String::as_str));
    run(program, &args, "").map(drop)
}

/// Its rules; `None` where it is not there.
fn listing(program: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&run(program, &["-w", "5", "-S"], "").ok()?).into_owned())
}

/// Has what is forwarded from and to this device pass.
pub(crate) fn pass(program: &str, link: &str) {
    let Some(listing) = listing(program).filter(|all| all.lines().any(|line| line == "-P FORWARD DROP")) else {
        return;
    };
    let chain = if listing.lines().any(|line| line == "-N DOCKER-USER") { "DOCKER-USER" } else { "FORWARD" };
    for rule in passing_rules(link) {
        if act(program, "-C", chain, &rule).is_err()
            && let Err(error) = act(program, "-I", chain, &rule)
        {
            warn!(%error, "the host's firewall drops forwarded packets: public addresses reach no further than this host");
        }
    }
}

/// Takes back what [`pass`] did.
pub(crate) fn remove(program: &str, link: &str) {
    let Some(listing) = listing(program) else { return };
    for chain in ["DOCKER-USER", "FORWARD"] {
        for rule in passing_rules(link) {
            if listing.lines().any(|l| l.starts_with(&format!("-A {chain} ")) && l.contains(link)) {
                // Gone already is as good.
                drop(act(program, "-D", chain, &rule));
            }
        }
    }
}

//! What a simulated guest writes to its serial console: made when it is asked for, from the instance and its boots, so
//! that thousands of guests keep no text.

use crate::host::SimDomain;
use mallee_node_core::DomainState;
use mallee_types::InstanceId;
use mallee_types::limits::CONSOLE_BYTES_MAX;

/// Boots shown; older ones have scrolled away.
const BOOTS_SHOWN: u32 = 4;

/// The console log: one boot after the other, with the markers that clients look for the host keys between.
pub(crate) fn text(id: &InstanceId, domain: &SimDomain) -> String {
    let mut text = String::new();
    for boot in domain.boots.saturating_sub(BOOTS_SHOWN)..domain.boots {
        text.push_str(&one_boot(id, domain, boot + 1));
    }
    for _ in 0..domain.interrupts.min(BOOTS_SHOWN) {
        text.push_str("[   12.000000] Uhhuh. NMI received for unknown reason 30 on CPU 0.\n");
    }
    match domain.state {
        DomainState::Off { crashed: false } if domain.boots > 0 => text.push_str("[   42.000000] reboot: Power down\n"),
        DomainState::Off { .. } | DomainState::Paused | DomainState::Running => {}
    }
    let surplus = text.len().saturating_sub(CONSOLE_BYTES_MAX);
    text.split_off(surplus)
}

fn one_boot(id: &InstanceId, domain: &SimDomain, boot: u32) -> String {
    let host = id.as_str();
    let mib = domain.memory_mib;
    let cpus = domain.vcpus;
    let print = fingerprint(host);
    format!(
        "[    0.000000] Linux version 6.1.0-simulated (mallee) #1 SMP\n\
         [    0.000000] Command line: console=ttyS0 no_timer_check\n\
         [    0.010000] Memory: {mib}M available, {cpus} CPUs\n\
         [    0.900000] simulated boot {boot} of {host}\n\
         cloud-init: running 'init' on {host}\n\
         ci-info: net device eth0 up\n\
         ec2: \n\
         ec2: #############################################################\n\
         ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\n\
         ec2: 256 SHA256:{print} root@{host} (ED25519)\n\
         ec2: -----END SSH HOST KEY FINGERPRINTS-----\n\
         ec2: #############################################################\n\
         \n{host} login: \n"
    )
}

/// 43 characters that look like a fingerprint and are the same for one instance at every boot.
fn fingerprint(of: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut mixed = 0xcbf2_9ce4_8422_2325_u64;
    let mut print = String::with_capacity(43);
    for (n, byte) in of.bytes().cycle().take(43).enumerate() {
        mixed = (mixed ^ u64::from(byte) ^ n as u64).wrapping_mul(0x0100_0000_01b3);
        print.push(char::from(LETTERS[usize::from((mixed >> 32).to_le_bytes()[0]) % LETTERS.len()]));
    }
    print
}

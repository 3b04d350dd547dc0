//! The domain's XML, as a pure function of what is asked.
//!
//! Choices, and why:
//! - machine `pc` rather than `q35`: the tiny image reaches userspace equally fast within the noise of a busy machine
//!   (6 to 10 CPU-seconds emulated on either, a few runs each), it needs 4 MiB less, and devices can be plugged without
//!   root ports laid out beforehand;
//! - emulated CPU `maximum`: no slower than `qemu64` within that noise, and distributions that want x86-64-v2 boot;
//! - `cache='writeback'`: every instance of an image shares its pages in the host's cache, and a guest's flush still
//!   reaches the disk;
//! - the backing chain is written out and ends in an empty element, so that QEMU never follows a name in an image's
//!   header; the image is not relabelled, so that QEMU's user gets no right to change it;
//! - the console goes to virtlogd, which bounds the file (2 MiB and three old ones) and outlives libvirtd;
//! - no video, no USB, no network boot ROM: fewer devices start faster and are fewer to attack.

use crate::mark;
use mallee_node_core::{DomainSpec, HypervisorError, NicSpec};
use mallee_types::MacAddress;
use std::path::Path;

/// The most network cards one domain can carry (PCI slots, less what we use ourselves, less room for volumes).
pub(crate) const NICS_MAX: usize = 8;

/// What the driver adds to the specification.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Use KVM (else emulation).
    pub(crate) kvm: bool,
    /// The root disk.
    pub(crate) disk: &'a Path,
    /// The console's log.
    pub(crate) console: &'a Path,
}

/// Writes `text` so that it stays text inside an attribute or an element.
fn escape(text: &str) -> Result<String, HypervisorError> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() => {
                return Err(HypervisorError::Refused(format!("control character in {text:?}; rename it")));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escape_path(path: &Path) -> Result<String, HypervisorError> {
    match path.to_str() {
        Some(text) if path.is_absolute() => escape(text),
        _ => Err(HypervisorError::Refused(format!("path {} is not absolute UTF-8; move it", path.display()))),
    }
}

/// Memory of the guest's screen in KiB: enough for text, and for 1280 × 1024 pixels.
const VIDEO_KIB: u32 = 8192;

/// The definition of one network card.
pub(crate) fn card(nic: &NicSpec) -> Result<String, HypervisorError> {
    Ok(format!(
        "
    <interface type='ethernet'>
      <mac address='{}'/>
      <target dev='{}' managed='no'/>
      <model type='virtio'/>
      <mtu size='{}'/>
      <rom enabled='no'/>
    </interface>",
        nic.mac,
        escape(&nic.tap)?,
        nic.mtu
    ))
}

/// The network cards of a domain as libvirt writes it: their addresses, in its order.
pub(crate) fn cards(domain: &str) -> Vec<MacAddress> {
    let inside = domain.split("<interface type=").skip(1).filter_map(|rest| rest.split_once("</interface>"));
    let mac = |(text, _): (&str, &str)| {
        let (_, rest) = text.split_once("<mac address='")?;
        rest.split_once('\'')?.0.parse().ok()
    };
    inside.filter_map(mac).collect()
}

/// The definition of the domain of `spec`.
pub(crate) fn domain(spec: &DomainSpec, around: &Surroundings<'_>) -> Result<String, HypervisorError> {
    let refuse = |why: String| Err(HypervisorError::Refused(why));
    if spec.vcpus == 0 || spec.memory_mib == 0 {
        return refuse(format!("instance {} asks for no CPU or no memory", spec.instance));
    }
    if spec.nics.len() > NICS_MAX {
        return refuse(format!(
            "instance {} asks for {} network cards; at most {NICS_MAX} fit",
            spec.instance,
            spec.nics.len()
        ));
    }
    let id = escape(spec.instance.as_str())?;
    let uuid = mark::uuid(&spec.instance);
    let kind = if around.kvm { "kvm" } else { "qemu" };
    let cpu = if around.kvm { "host-model" } else { "maximum" };
    let (vcpus, memory, incarnation) = (spec.vcpus, spec.memory_mib, spec.incarnation);
    let name = mark::name(&spec.instance);
    let namespace = mark::NAMESPACE;
    let serial = id.replace('-', "");
    let disk = escape_path(around.disk)?;
    let console = escape_path(around.console)?;
    let vram = VIDEO_KIB;
    let image = escape_path(&spec.image.path)?;
    let format = escape(&spec.image.format)?;
    let mut nics = String::new();
    for nic in &spec.nics {
        nics.push_str(&card(nic)?);
    }
    Ok(format!(
        "<domain type='{kind}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <metadata>
    <mallee:instance xmlns:mallee='{namespace}' id='{id}' incarnation='{incarnation}'/>
  </metadata>
  <memory unit='MiB'>{memory}</memory>
  <vcpu placement='static'>{vcpus}</vcpu>
  <sysinfo type='smbios'>
    <bios>
      <entry name='vendor'>Amazon EC2</entry>
    </bios>
    <system>
      <entry name='manufacturer'>Amazon EC2</entry>
      <entry name='product'>Amazon EC2</entry>
      <entry name='serial'>{uuid}</entry>
      <entry name='uuid'>{uuid}</entry>
    </system>
    <baseBoard>
      <entry name='manufacturer'>Amazon EC2</entry>
      <entry name='asset'>{id}</entry>
    </baseBoard>
    <chassis>
      <entry name='manufacturer'>Amazon EC2</entry>
      <entry name='asset'>Amazon EC2</entry>
    </chassis>
  </sysinfo>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <smbios mode='sysinfo'/>
  </os>
  <features>
    <acpi/>
    <apic/>
    <vmport state='off'/>
  </features>
  <cpu mode='{cpu}'>
    <topology sockets='1' dies='1' cores='{vcpus}' threads='1'/>
  </cpu>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='writeback' discard='unmap'/>
      <source file='{disk}'/>
      <backingStore type='file'>
        <format type='{format}'/>
        <source file='{image}'>
          <seclabel model='dac' relabel='no'/>
        </source>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
      <serial>{serial}</serial>
      <boot order='1'/>
    </disk>
    <controller type='usb' model='none'/>{nics}
    <serial type='pty'>
      <log file='{console}' append='on'/>
      <target port='0'/>
    </serial>
    <video>
      <model type='vga' vram='{vram}' heads='1'/>
    </video>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
    <memballoon model='virtio' autodeflate='on' freePageReporting='on'/>
  </devices>
</domain>
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_node_core::hypervisor::CachedImageRef;
    use mallee_types::Incarnation;

    fn spec() -> DomainSpec {
        DomainSpec {
            instance: "i-0123456789abcdef0".parse().unwrap(),
            incarnation: Incarnation(3),
            vcpus: 2,
            memory_mib: 512,
            image: CachedImageRef {
                digest: "ab".repeat(32),
                path: "/var/lib/mallee/images/abab".into(),
                format: "qcow2".into(),
            },
            root_disk_bytes: 8 << 30,
            nics: vec![NicSpec { tap: "mt0123abcd".into(), mac: MacAddress([2, 0, 0, 0, 0, 5]), mtu: 8951 }],
        }
    }

    fn render(spec: &DomainSpec, kvm: bool) -> Result<String, HypervisorError> {
        let disk = Path::new("/var/lib/mallee/instances/i-0123456789abcdef0/disk.qcow2");
        let console = Path::new("/var/lib/mallee/instances/i-0123456789abcdef0/console.log");
        domain(spec, &Surroundings { kvm, disk, console })
    }

    #[test]
    fn the_xml_is_as_agreed() {
        assert_eq!(render(&spec(), false).unwrap(), include_str!("../tests/golden/emulated.xml"));
        let mut bare = spec();
        bare.nics.clear();
        bare.image.format = "raw".into();
        assert_eq!(render(&bare, true).unwrap(), include_str!("../tests/golden/kvm-no-nic-raw.xml"));
    }

    #[test]
    fn the_cards_of_a_domain_are_read_back() {
        let mut two = spec();
        let mac = MacAddress([2, 0, 0, 0, 0, 6]);
        two.nics.push(NicSpec { tap: "mt2".into(), mac, mtu: 1450 });
        let xml = render(&two, false).unwrap();
        assert_eq!(cards(&xml), [two.nics[0].mac, mac]);
        assert!(xml.contains(&card(&two.nics[1]).unwrap()), "hot or cold, a card is defined alike");
        two.nics.clear();
        assert_eq!(cards(&render(&two, false).unwrap()), []);
    }

    #[test]
    fn a_hostile_string_stays_text_or_is_refused() {
        let mut hostile = spec();
        hostile.nics[0].tap = "t'/><disk a=\"&<>".into();
        let xml = render(&hostile, false).unwrap();
        assert!(xml.contains("<target dev='t&apos;/&gt;&lt;disk a=&quot;&amp;&lt;&gt;' managed='no'/>"), "{xml}");
        for bad in ["a\0b", "a\nb", "a\u{1b}b"] {
            hostile.nics[0].tap = bad.into();
            assert!(matches!(render(&hostile, false), Err(HypervisorError::Refused(_))), "{bad:?}");
        }
        let mut relative = spec();
        relative.image.path = "json:{}".into();
        assert!(matches!(render(&relative, false), Err(HypervisorError::Refused(_))));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let mut none = spec();
        none.vcpus = 0;
        assert!(matches!(render(&none, false), Err(HypervisorError::Refused(_))));
        let mut many = spec();
        many.nics = vec![many.nics[0].clone(); NICS_MAX + 1];
        assert!(matches!(render(&many, false), Err(HypervisorError::Refused(_))));
    }
}

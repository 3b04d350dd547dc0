//! What an instance may read about itself, as a tree of names. Built from the applied view where the network is
//! concerned, from the instance's intent otherwise; pure.

use crate::model::{Port, Vpc};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mallee_proto::v1::{InstanceIntent, MaintenanceEvent, Metadata, RoleCredentials, SpotLife};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Characters of a line of PEM.
const PEM_LINE: usize = 64;
/// The dated versions a client may put first in its path; all mean the same tree. `latest` is one more.
pub(super) const VERSIONS: [&str; 27] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
];
/// The first disk of a guest: the hypervisor driver gives it as the first virtio block device.
const ROOT_DEVICE: &str = "vda";

/// A directory or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Entries: name in the path, and how a listing shows it.
    Dir(BTreeMap<String, (String, Node)>),
    /// Bytes as they are.
    Value(Vec<u8>),
}

impl Node {
    fn dir() -> Self {
        Self::Dir(BTreeMap::new())
    }

    /// Puts a value at a path; directories on the way are made.
    fn put(&mut self, path: &str, value: impl AsRef<[u8]>) {
        self.insert(path, None, Self::Value(value.as_ref().to_vec()));
    }

    /// As `put`, unless the value is empty: what an instance does not have is not there.
    fn put_some(&mut self, path: &str, value: &str) {
        if !value.is_empty() {
            self.put(path, value);
        }
    }

    fn insert(&mut self, path: &str, shown: Option<&str>, node: Self) {
        let Self::Dir(entries) = self else { return };
        match path.split_once('/') {
            None => {
                let plain = if matches!(node, Self::Dir(_)) { format!("{path}/") } else { path.to_owned() };
                entries.insert(path.to_owned(), (shown.map_or(plain, str::to_owned), node));
            }
            Some((first, rest)) => {
                let entry = entries.entry(first.to_owned()).or_insert_with(|| (format!("{first}/"), Self::dir()));
                entry.1.insert(rest, shown, node);
            }
        }
    }

    /// The node at a path; empty parts (doubled slashes) do not count. A value is no directory.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        let mut node = self;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let Self::Dir(entries) = node else { return None };
            node = &entries.get(part)?.1;
        }
        (!path.ends_with('/') || matches!(node, Self::Dir(_))).then_some(node)
    }

    /// The body: a value's bytes, or one line per entry.
    pub(super) fn body(&self) -> Vec<u8> {
        match self {
            Self::Value(bytes) => bytes.clone(),
            Self::Dir(entries) => {
                entries.values().map(|(shown, _)| shown.as_str()).collect::<Vec<_>>().join("\n").into_bytes()
            }
        }
    }
}

/// The tree below a version: `meta-data`, `dynamic`, `user-data`.
pub(super) fn tree(intent: &InstanceIntent, vpc: &Vpc, port: &Port) -> Node {
    let mut root = Node::dir();
    let Some(spec) = &intent.spec else { return root };
    let metadata = spec.metadata.clone().unwrap_or_default();
    // Whichever of its interfaces it asks by, an instance is told of its first.
    let first = spec.ports.iter().find(|wire| wire.device_index == 0);
    let first = first.and_then(|wire| vpc.ports.values().find(|port| port.interface_id == wire.interface_id));
    let port = first.unwrap_or(port);
    let mut data = meta_data(intent, &metadata, vpc, port);
    for wire in &spec.ports {
        interface(&mut data, intent, &metadata, vpc, wire);
    }
    if let Some(credentials) = &intent.credentials {
        role(&mut data, credentials);
    }
    root.insert("meta-data", Some("meta-data"), data);
    let mut dynamic = Node::dir();
    match &metadata.identity {
        Some(signed) => {
            dynamic.put("instance-identity/document", &signed.document);
            // On AWS one is DSA with SHA-1.
            dynamic.put("instance-identity/pkcs7", lines(&signed.pkcs7));
            dynamic.put("instance-identity/rsa2048", lines(&signed.pkcs7));
            dynamic.put("instance-identity/signature", lines(&signed.signature));
        }
        // Of a cloud that signs nothing yet.
        None => dynamic.put("instance-identity/document", identity(intent, &metadata, port)),
    }
    root.insert("dynamic", Some("dynamic"), dynamic);
    if !metadata.user_data.is_empty() {
        root.put("user-data", &metadata.user_data);
    }
    root
}

/// Base64 in lines, as between the first and the last line of PEM.
fn lines(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let lines = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy);
    lines.collect::<Vec<_>>().join("\n")
}

/// A guest's name as DHCP tells it: like AWS with all of the option set's domain name, be it several.
fn full_name(vpc: &Vpc, port: &Port) -> String {
    let host = super::dns::host_name(port);
    match &vpc.dhcp.domain_name {
        Some(domain) => format!("{host}.{domain}"),
        None => host,
    }
}

fn meta_data(intent: &InstanceIntent, m: &Metadata, vpc: &Vpc, port: &Port) -> Node {
    let mut d = Node::dir();
    let host = full_name(vpc, port);
    let instance_type = intent.spec.as_ref().map_or("", |spec| spec.instance_type.as_str());
    d.put_some("ami-id", &m.image_id);
    d.put("ami-launch-index", m.launch_index.to_string());
    // What EC2 says of images that have no bundle manifest.
    d.put("ami-manifest-path", "(unknown)");
    d.put("block-device-mapping/ami", ROOT_DEVICE);
    d.put("block-device-mapping/root", format!("/dev/{ROOT_DEVICE}"));
    d.put("events/maintenance/history", events(m, |state| state != "active"));
    d.put("events/maintenance/scheduled", events(m, |state| state == "active"));
    d.put("hostname", &host);
    d.put("instance-action", "none");
    d.put("instance-id", &intent.id);
    d.put("instance-life-cycle", if m.spot.is_some() { "spot" } else { "on-demand" });
    if let Some(spot) = m.spot.as_ref().filter(|spot| spot.notice_ms > 0) {
        notice(&mut d, spot);
    }
    d.put_some("instance-type", instance_type);
    d.put("local-hostname", &host);
    d.put("local-ipv4", port.ip.to_string());
    d.put("mac", port.mac.to_string());
    d.put_some("placement/availability-zone", &m.zone);
    d.put_some("placement/group-name", &m.placement_group_name);
    if m.partition_number > 0 {
        d.put("placement/partition-number", m.partition_number.to_string());
    }
    d.put_some("placement/region", &m.region);
    d.put("profile", "default-hvm");
    if let Some(public) = port.public_ip {
        if !vpc.public_names_off {
            d.put_some("public-hostname", &m.public_hostname);
        }
        d.put("public-ipv4", public.to_string());
    }
    for (index, key) in m.keys.iter().enumerate() {
        let mut dir = Node::dir();
        dir.put("openssh-key", format!("{}\n", key.openssh.trim_end()));
        d.insert(&format!("public-keys/{index}"), Some(&format!("{index}={}", key.name)), dir);
    }
    d.put_some("reservation-id", &m.reservation_id);
    if !m.group_names.is_empty() {
        d.put("security-groups", m.group_names.join("\n"));
    }
    d.put("services/domain", &vpc.domain);
    d.put("services/partition", "aws");
    if m.options.as_ref().is_some_and(|o| o.instance_tags) {
        let mut tags = Node::dir();
        for (key, value) in m.tags.iter().filter(|(key, _)| !key.contains('/') && !key.is_empty()) {
            tags.put(key, value);
        }
        d.insert("tags/instance", None, tags);
    }
    d
}

/// Maintenance events in these states, as a JSON array of objects, their members in EC2's order.
fn events(m: &Metadata, wanted: impl Fn(&str) -> bool) -> String {
    let told: Vec<String> = m.events.iter().filter(|event| wanted(&event.state)).map(event).collect();
    if told.is_empty() { "[]".to_owned() } else { format!("[ {} ]", told.join(", ")) }
}

fn event(event: &MaintenanceEvent) -> String {
    let mut members = vec![
        ("NotBefore", event_time(event.not_before_ms)),
        ("Code", event.code.clone()),
        ("Description", event.description.clone()),
        ("EventId", event.id.clone()),
    ];
    if event.not_after_ms > 0 {
        members.push(("NotAfter", event_time(event.not_after_ms)));
    }
    members.push(("State", event.state.clone()));
    object(&members)
}

/// `21 Jan 2019 09:00:43 GMT`, as EC2 writes the times of events.
fn event_time(ms: i64) -> String {
    let t = mallee_runtime::clock::from_unix_ms(ms);
    let (hour, minute, second) = t.to_hms();
    let month: String = t.month().to_string().chars().take(3).collect();
    format!("{} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", t.day(), t.year())
}

/// The notice of a spot instance: before it is given there is nothing at these paths, as on EC2.
fn notice(d: &mut Node, spot: &SpotLife) {
    let time = notice_time(spot.notice_ms);
    let action = if spot.stops { "stop" } else { "terminate" };
    d.put("spot/instance-action", format!("{{\"action\": \"{action}\", \"time\": \"{time}\"}}"));
    if !spot.stops {
        d.put("spot/termination-time", time);
    }
}

/// To the second, as EC2 writes it.
fn notice_time(ms: i64) -> String {
    let t = mallee_runtime::clock::from_unix_ms(ms);
    let (hour, minute, second) = t.to_hms();
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", t.year(), u8::from(t.month()), t.day())
}

fn interface(d: &mut Node, intent: &InstanceIntent, m: &Metadata, vpc: &Vpc, wire: &mallee_proto::v1::Port) {
    let at = |key: &str| format!("network/interfaces/macs/{}/{key}", wire.mac.to_ascii_lowercase());
    d.put(&at("device-number"), wire.device_index.to_string());
    d.put(&at("interface-id"), &wire.interface_id);
    let others = wire.secondary.iter().map(|other| other.private_ip.as_str());
    let addresses: Vec<&str> = std::iter::once(wire.private_ip.as_str()).chain(others).collect();
    d.put(&at("local-ipv4s"), addresses.join("\n"));
    d.put(&at("mac"), wire.mac.to_ascii_lowercase());
    d.put(&at("owner-id"), &intent.account_id);
    d.put(&at("security-group-ids"), wire.group_ids.join("\n"));
    let names: Vec<&str> = match wire.group_names.as_slice() {
        [] => wire.group_ids.iter().filter_map(|id| name_of_group(m, id)).collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    d.put(&at("security-groups"), names.join("\n"));
    d.put(&at("subnet-id"), &wire.subnet_id);
    d.put(&at("vpc-id"), &wire.vpc_id);
    if wire.vpc_id == vpc.id {
        d.put(&at("vpc-ipv4-cidr-block"), vpc.cidr.to_string());
        let blocks: Vec<String> = vpc.blocks().map(|block| block.to_string()).collect();
        d.put(&at("vpc-ipv4-cidr-blocks"), blocks.join("\n"));
        if let Some(subnet) = vpc.subnets.iter().find(|s| s.id == wire.subnet_id) {
            d.put(&at("subnet-ipv4-cidr-block"), subnet.cidr.to_string());
        }
    }
    // The view knows the public address of this moment; the intent may be older.
    if let Some(port) = vpc.ports.values().find(|p| p.interface_id == wire.interface_id) {
        d.put(&at("local-hostname"), full_name(vpc, port));
        let shown: Vec<_> = port.addresses().filter_map(|(ip, public)| Some((public?, ip))).collect();
        for (public, ip) in &shown {
            d.put(&at(&format!("ipv4-associations/{public}")), ip.to_string());
        }
        let public: Vec<String> = shown.iter().map(|(public, _)| public.to_string()).collect();
        d.put_some(&at("public-ipv4s"), &public.join("\n"));
        if port.public_ip.is_some() && !vpc.public_names_off {
            let name = if wire.device_index == 0 { &m.public_hostname } else { &wire.public_hostname };
            d.put_some(&at("public-hostname"), name);
        }
    }
}

/// A moment as the metadata service writes it, in whole seconds.
fn moment(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The instance profile and its role's credentials, as EC2 words them.
fn role(d: &mut Node, c: &RoleCredentials) {
    if c.profile_arn.is_empty() {
        return;
    }
    let mut info = vec![("Code", c.code.clone())];
    if !c.message.is_empty() {
        info.push(("Message", c.message.clone()));
    }
    info.push(("LastUpdated", moment(c.issued_ms)));
    let mut keys = info.clone();
    info.extend([("InstanceProfileArn", c.profile_arn.clone()), ("InstanceProfileId", c.profile_id.clone())]);
    d.put("iam/info", object(&info));
    if c.role_name.is_empty() {
        return;
    }
    if !c.access_key_id.is_empty() {
        keys.extend([
            ("Type", "AWS-HMAC".to_owned()),
            ("AccessKeyId", c.access_key_id.clone()),
            ("SecretAccessKey", c.secret_access_key.clone()),
            ("Token", c.session_token.clone()),
            ("Expiration", moment(c.expires_ms)),
        ]);
    }
    d.put(&format!("iam/security-credentials/{}", c.role_name), object(&keys));
}

/// A JSON object of texts, its members in this order, as EC2 writes them.
fn object(members: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| format!("  \"{name}\" : {}", serde_json::Value::from(value.as_str()));
    format!("{{\n{}\n}}", members.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

fn name_of_group<'a>(m: &'a Metadata, id: &str) -> Option<&'a str> {
    let index = m.group_ids.iter().position(|known| known == id)?;
    m.group_names.get(index).map(String::as_str)
}

fn identity(intent: &InstanceIntent, m: &Metadata, port: &Port) -> String {
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { std::env::consts::ARCH };
    let launched =
        OffsetDateTime::from_unix_timestamp(m.launch_time_ms / 1000).ok().and_then(|t| t.format(&Rfc3339).ok());
    let document = serde_json::json!({
        "accountId": intent.account_id,
        "architecture": architecture,
        "availabilityZone": m.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": m.image_id,
        "instanceId": intent.id,
        "instanceType": intent.spec.as_ref().map(|spec| spec.instance_type.clone()),
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": launched,
        "privateIp": port.ip.to_string(),
        "ramdiskId": null,
        "region": m.region,
        "version": "2017-09-30",
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

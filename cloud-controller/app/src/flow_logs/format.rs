//! Records as text: which fields there are, and what a flow says in each.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html>

use mallee_awswire::ApiError;
use mallee_proto::v1::{Flow, FlowWindow};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The format of a flow log that is asked for none.
pub const DEFAULT_FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
     ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";
/// Longest format, in bytes.
const FORMAT_BYTES_MAX: usize = 2048;
/// In place of what does not apply.
const NONE: &str = "-";

/// Every field that can be asked for, with the version of records that it came with.
const FIELDS: [(&str, u8); 29] = [
    ("version", 2),
    ("account-id", 2),
    ("interface-id", 2),
    ("srcaddr", 2),
    ("dstaddr", 2),
    ("srcport", 2),
    ("dstport", 2),
    ("protocol", 2),
    ("packets", 2),
    ("bytes", 2),
    ("start", 2),
    ("end", 2),
    ("action", 2),
    ("log-status", 2),
    ("vpc-id", 3),
    ("subnet-id", 3),
    ("instance-id", 3),
    ("tcp-flags", 3),
    ("type", 3),
    ("pkt-srcaddr", 3),
    ("pkt-dstaddr", 3),
    ("region", 4),
    ("az-id", 4),
    ("sublocation-type", 4),
    ("sublocation-id", 4),
    ("pkt-src-aws-service", 5),
    ("pkt-dst-aws-service", 5),
    ("flow-direction", 5),
    ("traffic-path", 5),
];

fn known(name: &str) -> Option<(&'static str, u8)> {
    FIELDS.into_iter().find(|(field, _)| *field == name)
}

/// The fields of a format: `${version} ${srcaddr}`.
///
/// # Errors
/// `InvalidParameterValue` names what is no field.
pub fn parse(text: &str) -> Result<Vec<&'static str>, ApiError> {
    let wrong = |why: &str| Err(ApiError::invalid_value("LogFormat", &mallee_awswire::texts::clip(text), why));
    if text.len() > FORMAT_BYTES_MAX {
        return wrong("The format is too long.");
    }
    let mut fields: Vec<&'static str> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let name = word.strip_prefix("${").and_then(|word| word.strip_suffix('}'));
        match name.and_then(known) {
            Some((field, _)) if fields.contains(&field) => return wrong(&format!("The field {field} is given twice.")),
            Some((field, _)) => fields.push(field),
            None => {
                let word = mallee_awswire::texts::clip(word);
                return wrong(&format!("{word} is not a field of versions 2 to 5 in the form ${{field}}."));
            }
        }
    }
    if fields.is_empty() { wrong("The format has no field.") } else { Ok(fields) }
}

/// What all records of a window have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub window: &'a FlowWindow,
    pub account: &'a str,
    pub region: &'a str,
    /// Of the subnet; empty: not known any more.
    pub zone_id: &'a str,
    /// The VPC's blocks; none: not known any more.
    pub vpc: &'a [ipnet::Ipv4Net],
}

/// The first line of a file.
pub(super) fn head(fields: &[&str]) -> String {
    fields.join(" ") + "\n"
}

/// The version that records of these fields bear.
fn version(fields: &[&str]) -> u8 {
    fields.iter().filter_map(|field| known(field)).map(|(_, version)| version).max().unwrap_or(2)
}

/// Adds a record: of a flow, or of a window that has none (`status` says why).
pub(super) fn line(out: &mut String, fields: &[&str], about: &About<'_>, flow: Option<&Flow>, status: &str) {
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        let before = out.len();
        match flow {
            _ if window_field(out, field, fields, about, status) => {}
            Some(flow) => flow_field(out, field, about, flow),
            None => {}
        }
        if out.len() == before {
            out.push_str(NONE);
        }
    }
    out.push('\n');
}

/// A field that records without a flow have, too. False: it is none of these.
fn window_field(out: &mut String, field: &str, fields: &[&str], about: &About<'_>, status: &str) -> bool {
    let window = about.window;
    let text = match field {
        "version" => return write!(out, "{}", version(fields)).is_ok(),
        "start" => return write!(out, "{}", window.start_s).is_ok(),
        "end" => return write!(out, "{}", window.end_s).is_ok(),
        "account-id" => about.account,
        "interface-id" => &window.interface_id,
        "vpc-id" => &window.vpc_id,
        "subnet-id" => &window.subnet_id,
        "instance-id" => &window.instance_id,
        "region" => about.region,
        "az-id" => about.zone_id,
        "log-status" => status,
        _ => return false,
    };
    out.push_str(text);
    true
}

fn flow_field(out: &mut String, field: &str, about: &About<'_>, flow: &Flow) {
    let number = match field {
        "srcport" => u64::from(flow.source_port),
        "dstport" => u64::from(flow.destination_port),
        "protocol" => u64::from(flow.protocol),
        "packets" => flow.packets,
        "bytes" => flow.bytes,
        "tcp-flags" => u64::from(flow.tcp_flags),
        _ => {
            let text = match field {
                "srcaddr" | "pkt-srcaddr" => Ipv4Addr::from(flow.source).to_string(),
                "dstaddr" | "pkt-dstaddr" => Ipv4Addr::from(flow.destination).to_string(),
                "action" => if flow.accepted { "ACCEPT" } else { "REJECT" }.to_owned(),
                "type" => "IPv4".to_owned(),
                "flow-direction" => if flow.ingress { "ingress" } else { "egress" }.to_owned(),
                // Said of what leaves only: to another resource of the VPC. Other ways are not told apart.
                "traffic-path" if !flow.ingress => {
                    let within = about.vpc.iter().any(|block| block.contains(&Ipv4Addr::from(flow.destination)));
                    if within { "1" } else { NONE }.to_owned()
                }
                _ => return,
            };
            out.push_str(&text);
            return;
        }
    };
    out.push_str(&number.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> FlowWindow {
        FlowWindow {
            vpc_id: "vpc-1".into(),
            subnet_id: "subnet-1".into(),
            instance_id: "i-1".into(),
            interface_id: "eni-1".into(),
            start_s: 1_700_000_000,
            end_s: 1_700_000_060,
            ..FlowWindow::default()
        }
    }

    fn flow() -> Flow {
        Flow {
            accepted: true,
            source: Ipv4Addr::new(10, 0, 0, 4).into(),
            destination: Ipv4Addr::new(10, 0, 9, 5).into(),
            protocol: 6,
            source_port: 49152,
            destination_port: 443,
            packets: 10,
            bytes: 600,
            tcp_flags: 3,
            ..Flow::default()
        }
    }

    fn shown(format: &str, flow: Option<&Flow>, status: &str) -> String {
        let window = window();
        let vpc = &["10.0.0.0/16".parse().unwrap(), "10.9.0.0/20".parse().unwrap()];
        let about = About { window: &window, account: "123456789012", region: "local", zone_id: "loc1-az1", vpc };
        let mut out = String::new();
        line(&mut out, &parse(format).unwrap(), &about, flow, status);
        out
    }

    #[test]
    fn a_record_of_the_default_format() {
        let text = shown(DEFAULT_FORMAT, Some(&flow()), "OK");
        let ok = "2 123456789012 eni-1 10.0.0.4 10.0.9.5 49152 443 6 10 600 1700000000 1700000060 ACCEPT OK\n";
        assert_eq!(text, ok);
        let text = shown(DEFAULT_FORMAT, None, "NODATA");
        assert_eq!(text, "2 123456789012 eni-1 - - - - - - - 1700000000 1700000060 - NODATA\n");
    }

    #[test]
    fn a_record_bears_the_newest_version_of_its_fields() {
        let format = "${version} ${vpc-id} ${subnet-id} ${instance-id} ${tcp-flags} ${type} ${pkt-srcaddr} \
                      ${pkt-dstaddr} ${region} ${az-id} ${sublocation-id} ${flow-direction} ${traffic-path}";
        let rest = "vpc-1 subnet-1 i-1 3 IPv4 10.0.0.4 10.0.9.5 local loc1-az1 - egress 1\n";
        assert_eq!(shown(format, Some(&flow()), "OK"), format!("5 {rest}"));
        assert_eq!(shown("${version} ${tcp-flags}", Some(&flow()), "OK"), "3 3\n");
        let second = Flow { destination: Ipv4Addr::new(10, 9, 0, 7).into(), ..flow() };
        assert_eq!(shown("${traffic-path} ${version}", Some(&second), "OK"), "1 5\n");
        let world = Flow { destination: Ipv4Addr::new(198, 51, 100, 7).into(), ..flow() };
        assert_eq!(shown("${traffic-path} ${version}", Some(&world), "OK"), "- 5\n");
        let rejected = Flow { accepted: false, ingress: true, ..flow() };
        assert_eq!(shown("${action} ${flow-direction} ${traffic-path}", Some(&rejected), "OK"), "REJECT ingress -\n");
    }

    #[test]
    fn what_is_no_field_is_refused_by_name() {
        for (format, named) in [
            ("${version} ${colour}", "colour"),
            ("version", "version"),
            ("${version} ${version}", "twice"),
            ("", "no field"),
            ("${ecs-cluster-name}", "ecs-cluster-name"),
        ] {
            let error = parse(format).unwrap_err();
            assert!(error.message().contains(named), "{format}: {}", error.message());
        }
        assert_eq!(parse(DEFAULT_FORMAT).unwrap().len(), 14);
    }
}

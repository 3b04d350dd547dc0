//! How a domain is known as ours: its name, its UUID, and its metadata. Name and metadata must both agree before a
//! domain is touched; a domain that only looks like ours by its name is foreign.

use mallee_types::{Incarnation, InstanceId};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Every domain of ours is called this and the instance's id.
pub(crate) const NAME_PREFIX: &str = "mallee-";
/// The namespace of our element in a domain's `<metadata>`.
pub(crate) const NAMESPACE: &str = "urn:mallee:domain:1";
/// Longest metadata element that is looked at, in bytes.
const METADATA_MAX: usize = 4096;

/// The domain's name.
pub(crate) fn name(id: &InstanceId) -> String {
    format!("{NAME_PREFIX}{id}")
}

/// The instance whose domain would be called `name`.
pub(crate) fn instance_of(name: &str) -> Option<InstanceId> {
    name.strip_prefix(NAME_PREFIX)?.parse().ok()
}

/// A UUID that begins with `ec2` (by which cloud-init knows its platform) and holds the digits of the id, so that no
/// two instances share one: `ec2`, the number of digits, the digits, zeros.
pub(crate) fn uuid(id: &InstanceId) -> String {
    let digits = id.as_str().trim_start_matches("i-");
    let hex = format!("ec2{:02x}{digits:0<27}", digits.len());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// Instance and incarnation from our metadata element; `None` when it is not in the shape we write.
pub(crate) fn parse_metadata(xml: &str) -> Option<(InstanceId, Incarnation)> {
    if xml.len() > METADATA_MAX {
        return None;
    }
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                if element.local_name().as_ref() != "instance" {
                    return None;
                }
                let attribute = |name: &str| {
                    let value = element.try_get_attribute(name).ok()??;
                    Some(value.value.into_owned())
                };
                return Some((attribute("id")?.parse().ok()?, Incarnation(attribute("incarnation")?.parse().ok()?)));
            }
            Event::Decl(_) | Event::Comment(_) | Event::Text(_) => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_uuids_are_one_to_one() {
        let ids = ["i-0123abcd", "i-0123abcd000000000", "i-00000000", "i-00000000000000000", "i-fffffffffffffffff"];
        let uuids: BTreeSet<_> = ids.iter().map(|text| uuid(&id(text))).collect();
        assert_eq!(uuids.len(), ids.len());
        for uuid in &uuids {
            assert!(uuid.starts_with("ec2"), "{uuid}");
            assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
        }
        assert_eq!(uuid(&id("i-0123456789abcdef0")), "ec211012-3456-789a-bcde-f00000000000");
        assert_eq!(instance_of("mallee-i-0123abcd"), Some(id("i-0123abcd")));
        for foreign in ["i-0123abcd", "mallee-", "mallee-vol-0123abcd", "mallee-i-0123ABCD", "other"] {
            assert_eq!(instance_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn only_our_own_metadata_reads() {
        let ours = r#"<m:instance xmlns:m="urn:mallee:domain:1" id="i-0123abcd" incarnation="7"/>"#;
        assert_eq!(parse_metadata(ours), Some((id("i-0123abcd"), Incarnation(7))));
        assert_eq!(
            parse_metadata("<instance id='i-0123abcd' incarnation='7'></instance>").map(|m| m.1),
            Some(Incarnation(7))
        );
        for bad in [
            "",
            "<instance/>",
            "<instance id='i-0123abcd'/>",
            "<instance id='x' incarnation='7'/>",
            "<instance id='i-0123abcd' incarnation='-1'/>",
            "<other id='i-0123abcd' incarnation='7'/>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><instance id='i-0123abcd' incarnation='7'/>",
        ] {
            assert_eq!(parse_metadata(bad), None, "{bad}");
        }
    }
}

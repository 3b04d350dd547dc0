//! Where the records of the requests to a bucket go
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLogging.html>).

use crate::document::malformed;
use crate::{Document, GRANTS_MAX, Permission};
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Longest prefix of the keys of logs, in bytes: what follows it fits into a key.
const PREFIX_BYTES_MAX: usize = 700;

/// The logging of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logging {
    /// Where to; none: no records are kept.
    pub to: Option<LogTarget>,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTarget {
    /// The bucket.
    pub bucket: String,
    /// What its keys begin with.
    pub prefix: String,
    /// Who may do what with the logs, besides the bucket's owner.
    pub grants: Vec<LogGrant>,
    /// What follows the prefix.
    pub keys: LogKeys,
}

/// Who is granted something of the logs, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogGrantee {
    /// By a canonical id.
    Canonical(String),
    /// By an address of electronic mail.
    Email(String),
    /// A group, by its URI.
    Group(String),
}

impl LogGrantee {
    const fn parts(&self) -> (&'static str, &'static str, &String) {
        match self {
            Self::Canonical(id) => ("CanonicalUser", "ID", id),
            Self::Email(address) => ("AmazonCustomerByEmail", "EmailAddress", address),
            Self::Group(uri) => ("Group", "URI", uri),
        }
    }
}

/// A grant on logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGrant {
    /// To whom.
    pub grantee: LogGrantee,
    /// `READ`, `WRITE` or `FULL_CONTROL`.
    pub permission: Permission,
}

/// How keys of logs are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogKeys {
    /// Not said: as [`LogKeys::Simple`].
    #[default]
    Unsaid,
    /// The time of delivery.
    Simple,
    /// Account, region, bucket and day, then the time.
    Partitioned(LogDate),
}

/// Which time partitions keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDate {
    /// The day of the request, without a time of day.
    Event,
    /// The time of delivery.
    Delivery,
}

fn grant(element: &Element) -> Option<LogGrant> {
    let [_, _] = element.children.as_slice() else { return None };
    let grantee = element.child("Grantee").filter(|_| element.name == "Grant")?;
    let kind = grantee.attributes.iter().find(|(name, _)| name == "type").map(|(_, value)| value.as_str())?;
    let value = |name| grantee.child_text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let grantee = match kind {
        "CanonicalUser" => LogGrantee::Canonical(value("ID")?),
        "AmazonCustomerByEmail" => LogGrantee::Email(value("EmailAddress")?),
        "Group" => LogGrantee::Group(value("URI")?),
        _ => return None,
    };
    let permission = Permission::parse(element.child_text("Permission")?.trim())?;
    matches!(permission, Permission::Read | Permission::Write | Permission::FullControl)
        .then_some(LogGrant { grantee, permission })
}

fn keys(element: &Element) -> Option<LogKeys> {
    let [form] = element.children.as_slice() else { return None };
    match form.name.as_str() {
        "SimplePrefix" if form.children.is_empty() => Some(LogKeys::Simple),
        // AWS takes one without a source as one of the time of delivery.
        "PartitionedPrefix" => {
            Some(LogKeys::Partitioned(match form.child_text("PartitionDateSource").map(str::trim) {
                Some("EventTime") => LogDate::Event,
                Some("DeliveryTime") | None => LogDate::Delivery,
                Some(_) => return None,
            }))
        }
        _ => None,
    }
}

fn target(element: &Element) -> Option<LogTarget> {
    let (mut bucket, mut prefix, mut grants, mut form) = (None, None, Vec::new(), None);
    for child in &element.children {
        match child.name.as_str() {
            "TargetBucket" if bucket.is_none() => bucket = Some(child.text.trim().to_owned()),
            "TargetPrefix" if prefix.is_none() => prefix = Some(child.text.clone()),
            "TargetGrants" if grants.is_empty() => {
                grants = child.children.iter().map(grant).collect::<Option<Vec<_>>>()?;
            }
            "TargetObjectKeyFormat" if form.is_none() => form = Some(keys(child)?),
            _ => return None,
        }
    }
    (grants.len() <= GRANTS_MAX).then_some(())?;
    Some(LogTarget {
        bucket: bucket.filter(|name| !name.is_empty())?,
        prefix: prefix?,
        grants,
        keys: form.unwrap_or_default(),
    })
}

impl Document for Logging {
    const KIND: &'static str = "logging";
    const ROOT: &'static str = "BucketLoggingStatus";
    const ELEMENTS_MAX: usize = 1000;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let to = match root.children.as_slice() {
            [] => None,
            [enabled] if enabled.name == "LoggingEnabled" => Some(target(enabled).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        };
        if to.as_ref().is_some_and(|to| to.prefix.len() > PREFIX_BYTES_MAX) {
            return Err(Code::InvalidArgument.message("The prefix of the logs' keys is too long."));
        }
        Ok(Self { to })
    }

    fn write(&self, w: &mut XmlWriter) {
        let Some(to) = &self.to else { return };
        w.open("LoggingEnabled");
        w.text("TargetBucket", &to.bucket);
        w.text("TargetPrefix", &to.prefix);
        if !to.grants.is_empty() {
            w.open("TargetGrants");
            for LogGrant { grantee, permission } in &to.grants {
                let (kind, name, value) = grantee.parts();
                w.open("Grant");
                // The writer sets one attribute; the second rides in the name.
                w.open_attr("Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"", "xsi:type", kind);
                w.text(name, value);
                w.close("Grantee");
                w.text("Permission", permission.name());
                w.close("Grant");
            }
            w.close("TargetGrants");
        }
        if to.keys != LogKeys::Unsaid {
            w.open("TargetObjectKeyFormat");
            match to.keys {
                LogKeys::Unsaid => {}
                LogKeys::Simple => w.empty("SimplePrefix"),
                LogKeys::Partitioned(date) => {
                    w.open("PartitionedPrefix");
                    let source = match date {
                        LogDate::Event => "EventTime",
                        LogDate::Delivery => "DeliveryTime",
                    };
                    w.text("PartitionDateSource", source);
                    w.close("PartitionedPrefix");
                }
            }
            w.close("TargetObjectKeyFormat");
        }
        w.close("LoggingEnabled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    fn read(inner: &str) -> Result<Logging, Code> {
        let root = Logging::ROOT;
        let xsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
        parse::<Logging>(format!("<{root} {xsi}>{inner}</{root}>").as_bytes()).map_err(|error| error.code())
    }

    fn enabled(more: &str) -> String {
        format!("<LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix>p/</TargetPrefix>{more}</LoggingEnabled>")
    }

    fn grants(kind: &str, inner: &str, permission: &str) -> String {
        enabled(&format!(
            "<TargetGrants><Grant><Grantee xsi:type=\"{kind}\">{inner}</Grantee><Permission>{permission}</Permission></Grant></TargetGrants>"
        ))
    }

    fn format(inner: &str) -> String {
        enabled(&format!("<TargetObjectKeyFormat>{inner}</TargetObjectKeyFormat>"))
    }

    #[test]
    fn bodies() {
        let plain = LogTarget { bucket: "b".into(), prefix: "p/".into(), grants: Vec::new(), keys: LogKeys::Unsaid };
        let by = |date: &str| {
            format(&format!("<PartitionedPrefix><PartitionDateSource>{date}</PartitionDateSource></PartitionedPrefix>"))
        };
        let keys = |keys| Some(LogTarget { keys, ..plain.clone() });
        let granted =
            |grantee, permission| Some(LogTarget { grants: vec![LogGrant { grantee, permission }], ..plain.clone() });
        for (body, to) in [
            (String::new(), None),
            (enabled(""), Some(plain.clone())),
            (format("<SimplePrefix/>"), keys(LogKeys::Simple)),
            (by("EventTime"), keys(LogKeys::Partitioned(LogDate::Event))),
            (by("DeliveryTime"), keys(LogKeys::Partitioned(LogDate::Delivery))),
            (format("<PartitionedPrefix/>"), keys(LogKeys::Partitioned(LogDate::Delivery))),
            (
                grants("CanonicalUser", "<ID>a</ID><DisplayName>n</DisplayName>", "READ"),
                granted(LogGrantee::Canonical("a".into()), Permission::Read),
            ),
            (
                grants("AmazonCustomerByEmail", "<EmailAddress>a@b</EmailAddress>", "WRITE"),
                granted(LogGrantee::Email("a@b".into()), Permission::Write),
            ),
            (
                grants("Group", "<URI>g</URI>", "FULL_CONTROL"),
                granted(LogGrantee::Group("g".into()), Permission::FullControl),
            ),
        ] {
            let found = read(&body).expect("good");
            assert_eq!(found.to, to, "{body}");
            assert_eq!(kept::<Logging>(&text(&found)).expect("kept"), found);
        }
        let long = format!(
            "<LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix>{}</TargetPrefix></LoggingEnabled>",
            "x".repeat(701)
        );
        assert_eq!(read(&long), Err(Code::InvalidArgument));
        for bad in [
            "<Other/>".to_owned(),
            "<LoggingEnabled/>".to_owned(),
            "<LoggingEnabled><TargetBucket>b</TargetBucket></LoggingEnabled>".to_owned(),
            enabled("<TargetPrefix/>"),
            enabled("<Colour/>"),
            by("Noon"),
            format(""),
            format("<SimplePrefix/><PartitionedPrefix/>"),
            grants("Group", "<URI>g</URI>", "READ_ACP"),
            grants("Group", "", "READ"),
            grants("Somebody", "<ID>a</ID>", "READ"),
            enabled("") + &enabled(""),
        ] {
            assert_eq!(read(&bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

//! What is known of an operation from the model, and the envelopes of its replies.

use crate::error::Flavour;
use crate::query::FromQuery;
use crate::xml::{ToXml, XmlWriter};

/// Pagination members of an operation, by their API names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagination {
    /// Request member that carries the token (`NextToken`, `Marker`).
    pub token: &'static str,
    /// Request member that limits a page (`MaxResults`, `MaxItems`), if any.
    pub limit: Option<&'static str>,
}

/// One row of a service's generated operation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationMeta {
    /// The action, such as `RunInstances`.
    pub name: &'static str,
    /// Wire names of the required members.
    pub required: &'static [&'static str],
    /// Wire names of all top-level members.
    pub members: &'static [&'static str],
    /// True if the request has `DryRun`.
    pub dry_run: bool,
    /// True if the request has `ClientToken` (or another member that the model marks as idempotency token).
    pub client_token: bool,
    /// Pagination, if the operation has it.
    pub pagination: Option<Pagination>,
    /// Element around the result in query replies (`GetUserResult`); empty for EC2.
    pub result_wrapper: &'static str,
    /// False if the model gives the operation no output at all.
    pub has_output: bool,
}

impl OperationMeta {
    /// True for `Describe…`, `Get…`, `List…`, `Search…`, `Simulate…`: calls that change nothing.
    #[must_use]
    pub fn read_only(&self) -> bool {
        ["Describe", "Get", "List", "Search", "Simulate", "Export", "Decode"].iter().any(|p| self.name.starts_with(p))
    }
}

/// A generated request: knows its operation and its reply.
pub trait Operation: FromQuery {
    /// The operation's row.
    const META: &'static OperationMeta;
    /// The reply.
    type Output: ToXml;
}

/// A service of the query or EC2 protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceMeta {
    /// Name in the credential scope and in policies (`ec2`, `iam`, `sts`).
    pub name: &'static str,
    /// EC2 or query.
    pub flavour: Flavour,
    /// The model's API version, used where a request gives none.
    pub api_version: &'static str,
    /// XML namespace up to the version.
    pub xmlns_base: &'static str,
    /// What follows the version in the namespace.
    pub xmlns_tail: &'static str,
}

impl ServiceMeta {
    /// The whole reply of an operation, XML declaration included.
    ///
    /// `version` is what the request said (echoed in the namespace for EC2, whose clients compare it).
    pub fn reply(&self, op: &OperationMeta, version: Option<&str>, request_id: &str, output: &dyn ToXml) -> String {
        let version = match (self.flavour, version) {
            (Flavour::Ec2, Some(v)) if is_version(v) => v,
            _ => self.api_version,
        };
        let mut w = XmlWriter::document();
        let root = format!("{}Response", op.name);
        w.open_ns(&root, &format!("{}{version}{}", self.xmlns_base, self.xmlns_tail));
        if self.flavour == Flavour::Ec2 {
            w.text("requestId", request_id);
            if op.has_output {
                output.to_xml(&mut w);
            } else {
                w.text("return", "true");
            }
        } else {
            if op.has_output {
                w.open(op.result_wrapper);
                output.to_xml(&mut w);
                w.close(op.result_wrapper);
            }
            w.open("ResponseMetadata");
            w.text("RequestId", request_id);
            w.close("ResponseMetadata");
        }
        w.close(&root);
        w.finish()
    }
}

/// True for a date such as `2016-11-15`, the only form of an API version.
fn is_version(v: &str) -> bool {
    v.len() == 10 && v.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}

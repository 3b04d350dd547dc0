//! A bucket as a web site (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Routing rules of one web site.
pub const ROUTING_RULES_MAX: usize = 50;

/// What a web site does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Website {
    /// It sends everybody elsewhere.
    Elsewhere {
        /// The host.
        host: String,
        /// The protocol; none: that of the request.
        protocol: Option<String>,
    },
    /// It shows objects.
    Pages(Pages),
}

/// How a web site shows objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pages {
    /// What is appended to a key that is empty or ends with `/`.
    pub index: String,
    /// The key of the page that is shown in place of an error.
    pub error: Option<String>,
    /// Redirects, the first one that fits counts.
    pub rules: Vec<RoutingRule>,
}

/// A redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingRule {
    /// The key begins so.
    pub prefix: Option<String>,
    /// The request came to this error. Without it the rule is looked at before the object is.
    pub status: Option<u16>,
    /// Where to.
    pub to: Redirect,
}

/// Where a redirect goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirect {
    /// The host; none: that of the request.
    pub host: Option<String>,
    /// The protocol; none: that of the request.
    pub protocol: Option<String>,
    /// The status of the reply; none: 301.
    pub status: Option<u16>,
    /// What becomes of the key.
    pub key: NewKey,
}

/// What a redirect makes of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NewKey {
    /// It stays.
    #[default]
    Same,
    /// The prefix that was looked for gives place to this one.
    Prefix(String),
    /// It is this one.
    Whole(String),
}

fn invalid(text: impl Into<String>) -> ApiError {
    Code::InvalidRequest.message(text.into())
}

fn argument(text: &'static str, name: &str, value: &str) -> ApiError {
    let value = mallee_awswire::texts::clip(value).into_owned();
    Code::InvalidArgument.message(text).field("ArgumentName", name).field("ArgumentValue", value)
}

/// The texts of children, each of which may be there once and no other.
fn texts<const N: usize>(element: &Element, names: [&str; N]) -> Result<[Option<String>; N], ApiError> {
    let mut found = [const { None }; N];
    for child in &element.children {
        let at = names.iter().position(|name| *name == child.name).ok_or_else(malformed)?;
        let slot = found.get_mut(at).ok_or_else(malformed)?;
        if !child.children.is_empty() || slot.replace(child.text.trim().to_owned()).is_some() {
            return Err(malformed());
        }
    }
    Ok(found)
}

fn check_host(host: &str) -> Result<(), ApiError> {
    let plain = host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#\\@".contains(&b));
    if host.is_empty() || !plain { Err(malformed()) } else { Ok(()) }
}

fn check_protocol(protocol: Option<&String>) -> Result<(), ApiError> {
    match protocol.map(String::as_str) {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(invalid(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.",
        )),
    }
}

impl RoutingRule {
    fn read(rule: &Element) -> Result<Self, ApiError> {
        if rule.name != "RoutingRule" || rule.all("Condition").count() > 1 || rule.all("Redirect").count() != 1 {
            return Err(malformed());
        }
        if rule.children.iter().any(|child| !["Condition", "Redirect"].contains(&child.name.as_str())) {
            return Err(malformed());
        }
        let (mut prefix, mut status) = (None, None);
        if let Some(condition) = rule.child("Condition") {
            let [wanted, code] = texts(condition, ["KeyPrefixEquals", "HttpErrorCodeReturnedEquals"])?;
            if wanted.is_none() && code.is_none() {
                return Err(invalid(
                    "Condition cannot be empty. To redirect all requests without a condition, the condition element \
                     shouldn't be present.",
                ));
            }
            prefix = wanted;
            status = code
                .map(|code| {
                    let number = code.parse::<u16>().ok().filter(|number| (400..600).contains(number));
                    number.ok_or_else(|| {
                        let code = mallee_awswire::texts::clip(&code).into_owned();
                        invalid(format!(
                            "The provided HTTP error code ({code}) is not valid. Valid codes are 4XX or 5XX."
                        ))
                    })
                })
                .transpose()?;
        }
        let to = Redirect::read(rule.child("Redirect").ok_or_else(malformed)?)?;
        Ok(Self { prefix, status, to })
    }

    fn write(&self, w: &mut XmlWriter) {
        w.open("RoutingRule");
        if self.prefix.is_some() || self.status.is_some() {
            w.open("Condition");
            optional(w, "KeyPrefixEquals", self.prefix.as_ref());
            if let Some(status) = self.status {
                w.display("HttpErrorCodeReturnedEquals", status);
            }
            w.close("Condition");
        }
        w.open("Redirect");
        optional(w, "HostName", self.to.host.as_ref());
        if let Some(status) = self.to.status {
            w.display("HttpRedirectCode", status);
        }
        optional(w, "Protocol", self.to.protocol.as_ref());
        match &self.to.key {
            NewKey::Same => {}
            NewKey::Prefix(prefix) => w.text("ReplaceKeyPrefixWith", prefix),
            NewKey::Whole(key) => w.text("ReplaceKeyWith", key),
        }
        w.close("Redirect");
        w.close("RoutingRule");
    }

    /// Whether it is about this key and this outcome; `None`: before the object was looked at.
    #[must_use]
    pub fn fits(&self, key: &str, status: Option<u16>) -> bool {
        self.status == status && self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The key to go to.
    #[must_use]
    pub fn new_key(&self, key: &str) -> String {
        match &self.to.key {
            NewKey::Same => key.to_owned(),
            NewKey::Whole(whole) => whole.clone(),
            NewKey::Prefix(new) => {
                let old = self.prefix.as_deref().unwrap_or_default();
                format!("{new}{}", key.strip_prefix(old).unwrap_or(key))
            }
        }
    }
}

impl Redirect {
    fn read(redirect: &Element) -> Result<Self, ApiError> {
        let names = ["HostName", "HttpRedirectCode", "Protocol", "ReplaceKeyPrefixWith", "ReplaceKeyWith"];
        let [host, code, protocol, prefix, whole] = texts(redirect, names)?;
        if redirect.children.is_empty() {
            return Err(malformed());
        }
        check_protocol(protocol.as_ref())?;
        if let Some(host) = &host {
            check_host(host)?;
        }
        let key = match (prefix, whole) {
            (Some(_), Some(_)) => {
                return Err(invalid("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
            }
            (Some(prefix), None) => NewKey::Prefix(prefix),
            (None, Some(whole)) => NewKey::Whole(whole),
            (None, None) => NewKey::Same,
        };
        let status = code.map(|code| match code.parse::<u16>() {
            Ok(number @ 301..=399) => Ok(number),
            _ => {
                let code = mallee_awswire::texts::clip(&code).into_owned();
                let text = "is not valid. Valid codes are 3XX except 300.";
                Err(invalid(format!("The provided HTTP redirect code ({code}) {text}")))
            }
        });
        Ok(Self { host, protocol, status: status.transpose()?, key })
    }
}

fn optional(w: &mut XmlWriter, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        w.text(name, value);
    }
}

impl Document for Website {
    const KIND: &'static str = "website";
    const ROOT: &'static str = "WebsiteConfiguration";

    fn read(root: &Element) -> Result<Self, ApiError> {
        const NAMES: [&str; 4] = ["RedirectAllRequestsTo", "IndexDocument", "ErrorDocument", "RoutingRules"];
        for (at, child) in root.children.iter().enumerate() {
            let again = root.children.iter().skip(at + 1).any(|other| other.name == child.name);
            if again || !NAMES.contains(&child.name.as_str()) {
                return Err(malformed());
            }
        }
        if let Some(elsewhere) = root.child("RedirectAllRequestsTo") {
            if root.children.len() > 1 {
                let text = "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.";
                return Err(argument(text, "RedirectAllRequestsTo", "not null"));
            }
            let [host, protocol] = texts(elsewhere, ["HostName", "Protocol"])?;
            let host = host.ok_or_else(malformed)?;
            check_host(&host)?;
            check_protocol(protocol.as_ref())?;
            return Ok(Self::Elsewhere { host, protocol });
        }
        let Some(index) = root.child("IndexDocument") else {
            let text = "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty";
            return Err(argument(text, "IndexDocument", "null"));
        };
        let [suffix] = texts(index, ["Suffix"])?;
        let index = suffix.unwrap_or_default();
        if index.is_empty() || index.contains('/') {
            return Err(argument("The IndexDocument Suffix is not well formed", "IndexDocument", &index));
        }
        let error = match root.child("ErrorDocument") {
            None => None,
            Some(document) => {
                let [key] = texts(document, ["Key"])?;
                Some(key.filter(|key| !key.is_empty()).ok_or_else(malformed)?)
            }
        };
        let rules = match root.child("RoutingRules") {
            None => Vec::new(),
            Some(list) if list.children.is_empty() => return Err(malformed()),
            Some(list) if list.children.len() > ROUTING_RULES_MAX => {
                return Err(invalid(format!(
                    "The number of routing rules must not exceed the allowed limit of {ROUTING_RULES_MAX} rules."
                )));
            }
            Some(list) => list.children.iter().map(RoutingRule::read).collect::<Result<_, _>>()?,
        };
        Ok(Self::Pages(Pages { index, error, rules }))
    }

    fn write(&self, w: &mut XmlWriter) {
        let Pages { index, error, rules } = match self {
            Self::Elsewhere { host, protocol } => {
                w.open("RedirectAllRequestsTo");
                w.text("HostName", host);
                optional(w, "Protocol", protocol.as_ref());
                w.close("RedirectAllRequestsTo");
                return;
            }
            Self::Pages(pages) => pages,
        };
        w.open("IndexDocument");
        w.text("Suffix", index);
        w.close("IndexDocument");
        if let Some(key) = error {
            w.open("ErrorDocument");
            w.text("Key", key);
            w.close("ErrorDocument");
        }
        if !rules.is_empty() {
            w.open("RoutingRules");
            rules.iter().for_each(|rule| rule.write(w));
            w.close("RoutingRules");
        }
    }
}

#[cfg(test)]
mod tests;

//! Whom buckets may notify: what the administrator has declared, by name.

use http::Uri;
use mallee_s3_config::notification::{Service, TargetArn, is_name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One that may be notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How: `arn:aws:sns:…` names webhooks, `arn:aws:sqs:…` queues.
    pub service: Service,
    /// Where: an `http` or `https` URL. Of a queue, its own, which takes `SendMessage` unsigned.
    pub url: Uri,
}

/// Those that were declared. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    by_name: Arc<BTreeMap<String, Target>>,
    private: bool,
}

impl Targets {
    /// From declarations `NAME=URL` of webhooks and of queues. `private`: they may be at addresses that are not public.
    ///
    /// # Errors
    /// One line that says which declaration is wrong.
    pub fn declared(webhooks: &[String], queues: &[String], private: bool) -> Result<Self, String> {
        let mut by_name = BTreeMap::new();
        let all =
            webhooks.iter().map(|text| (Service::Sns, text)).chain(queues.iter().map(|text| (Service::Sqs, text)));
        for (service, text) in all {
            let wrong = |why: &str| format!("{text:?} declares no target of notifications: {why}");
            let (name, url) = text.split_once('=').ok_or_else(|| wrong("it is not NAME=URL"))?;
            if !is_name(name) {
                return Err(wrong("names have letters, digits, '-', '_' and '.', at most 80 in all"));
            }
            let url: Uri = url.parse().map_err(|_| wrong("that is no URL"))?;
            let host = url.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
            if !matches!(url.scheme_str(), Some("http" | "https")) || !host {
                return Err(wrong("it needs an http or https URL with a host, and without a user"));
            }
            if by_name.insert(name.to_owned(), Target { service, url }).is_some() {
                return Err(wrong("the name is declared already"));
            }
        }
        Ok(Self { by_name: Arc::new(by_name), private })
    }

    /// Whether they may be at addresses that are not public.
    #[must_use]
    pub const fn may_be_private(&self) -> bool {
        self.private
    }

    /// The target of an ARN, if it was declared.
    #[must_use]
    pub fn find(&self, arn: &str) -> Option<&Target> {
        self.declared_as(arn).map(|(_, target)| target)
    }

    /// The same, with the name it was declared under: the ARNs of all accounts and regions lead to one target.
    #[must_use]
    pub fn declared_as(&self, arn: &str) -> Option<(&str, &Target)> {
        let arn = TargetArn::parse(arn)?;
        let (name, target) = self.by_name.get_key_value(&arn.name)?;
        (target.service == arn.service).then_some((name.as_str(), target))
    }

    /// Names and how they are told.
    pub fn all(&self) -> impl Iterator<Item = (&str, Service)> {
        self.by_name.iter().map(|(name, target)| (name.as_str(), target.service))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn declarations() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let targets =
            Targets::declared(&list(&["hook=https://h.example/x?y=1"]), &list(&["q=http://q:9324/1/q"]), false);
        let targets = targets.unwrap();
        assert_eq!(targets.find("arn:aws:sns:r:111111111111:hook").unwrap().url.path(), "/x");
        assert!(targets.find("arn:aws:sqs:r:222222222222:q").is_some());
        for unknown in ["arn:aws:sqs:r:111111111111:hook", "arn:aws:sns:r:111111111111:x", "hook"] {
            assert!(targets.find(unknown).is_none(), "{unknown}");
        }
        for bad in ["x", "=http://h/", "a b=http://h/", "x=ftp://h/", "x=/path", "x=http://u@h/"] {
            assert!(Targets::declared(&list(&[bad]), &[], true).is_err(), "{bad}");
        }
        assert!(Targets::declared(&list(&["x=http://h/"]), &list(&["x=http://h/"]), true).is_err());
    }
}

//! Which other web sites' pages may use a bucket
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Rules of one bucket.
pub const CORS_RULES_MAX: usize = 100;
/// Longest id of a rule, in characters.
const ID_CHARS_MAX: usize = 255;
/// What a page may ask for.
const METHODS: &[&str] = &["GET", "PUT", "HEAD", "POST", "DELETE"];

/// The rules of a bucket; the first one that fits a request counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// In their order.
    pub rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsRule {
    /// Its name.
    pub id: Option<String>,
    /// Methods that are allowed.
    pub methods: Vec<String>,
    /// Origins that are allowed, each with at most one `*`.
    pub origins: Vec<String>,
    /// Headers that may be sent, each with at most one `*`.
    pub headers: Vec<String>,
    /// Headers of replies that the page may see.
    pub expose: Vec<String>,
    /// For how many seconds a browser may remember the answer.
    pub max_age: Option<u32>,
}

/// Whether a text is what a pattern says, which may have one `*` for any text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.strip_prefix(start).is_some_and(|rest| rest.len() >= end.len() && rest.ends_with(end))
        }
    }
}

impl CorsRule {
    /// Whether it allows a request from this origin, with this method and these headers.
    #[must_use]
    pub fn allows(&self, origin: &str, method: &str, headers: &[&str]) -> bool {
        let header = |name: &&str| {
            let name = name.to_ascii_lowercase();
            self.headers.iter().any(|allowed| fits(&allowed.to_ascii_lowercase(), &name))
        };
        self.methods.iter().any(|allowed| allowed == method)
            && self.origins.iter().any(|allowed| fits(allowed, origin))
            && headers.iter().all(header)
    }

    /// Whether every origin is as good as any other.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    fn read(rule: &Element) -> Result<Self, ApiError> {
        if rule.name != "CORSRule" {
            return Err(malformed());
        }
        let mut read = Self::default();
        for child in &rule.children {
            let text = child.text.trim().to_owned();
            match child.name.as_str() {
                "ID" if read.id.is_none() => read.id = Some(text),
                "AllowedMethod" => read.methods.push(text),
                "AllowedOrigin" => read.origins.push(text),
                "AllowedHeader" => read.headers.push(text),
                "ExposeHeader" => read.expose.push(text),
                "MaxAgeSeconds" if read.max_age.is_none() => {
                    let seconds = text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
                    read.max_age = Some(seconds.ok_or_else(malformed)?);
                }
                _ => return Err(malformed()),
            }
        }
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), ApiError> {
        let refuse = |text: String| Err(Code::InvalidRequest.message(text));
        if self.methods.is_empty() || self.origins.is_empty() {
            return Err(Code::MalformedXml.error());
        }
        if self.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
            return Err(
                Code::InvalidArgument.message(format!("ID length should not exceed allowed limit of {ID_CHARS_MAX}"))
            );
        }
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            let method = mallee_awswire::texts::clip(method);
            return refuse(format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}"));
        }
        let wild = |text: &&String| text.matches('*').count() > 1;
        for (what, list) in [("AllowedOrigin", &self.origins), ("AllowedHeader", &self.headers)] {
            if let Some(value) = list.iter().find(wild) {
                let value = mallee_awswire::texts::clip(value);
                return refuse(format!("{what} \"{value}\" can not have more than one wildcard."));
            }
        }
        if let Some(value) = self.expose.iter().find(|value| value.contains('*')) {
            let value = mallee_awswire::texts::clip(value);
            return refuse(format!(
                "ExposeHeader \"{value}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
            ));
        }
        // They become headers of replies.
        if self.expose.iter().any(|name| name.is_empty() || name.chars().any(|c| c.is_control() || !c.is_ascii())) {
            return Err(Code::MalformedXml.error());
        }
        Ok(())
    }
}

impl Document for Cors {
    const KIND: &'static str = "cors";
    const ROOT: &'static str = "CORSConfiguration";
    const MUST_HASH: bool = true;

    fn read(root: &Element) -> Result<Self, ApiError> {
        if root.children.is_empty() {
            return Err(Code::MalformedXml.error());
        }
        if root.children.len() > CORS_RULES_MAX {
            return Err(Code::InvalidRequest.message(format!(
                "The number of CORS rules should not exceed allowed limit of {CORS_RULES_MAX} rules."
            )));
        }
        Ok(Self { rules: root.children.iter().map(CorsRule::read).collect::<Result<_, _>>()? })
    }

    fn write(&self, w: &mut XmlWriter) {
        for rule in &self.rules {
            w.open("CORSRule");
            if let Some(id) = &rule.id {
                w.text("ID", id);
            }
            let lists = [
                ("AllowedMethod", &rule.methods),
                ("AllowedOrigin", &rule.origins),
                ("AllowedHeader", &rule.headers),
                ("ExposeHeader", &rule.expose),
            ];
            for (name, values) in lists {
                for value in values {
                    w.text(name, value);
                }
            }
            if let Some(seconds) = rule.max_age {
                w.display("MaxAgeSeconds", seconds);
            }
            w.close("CORSRule");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    fn read(rules: &str) -> Result<Cors, (Code, String)> {
        parse(format!("<CORSConfiguration>{rules}</CORSConfiguration>").as_bytes())
            .map_err(|e| (e.code(), e.message().to_owned()))
    }

    fn rule(inside: &str) -> String {
        format!("<CORSRule>{inside}</CORSRule>")
    }

    const LEAST: &str = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>";

    #[test]
    fn what_is_kept_is_what_was_put() {
        let full = rule(
            "<ID>one</ID><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
             <AllowedOrigin>http://*.example.com</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>\
             <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds>",
        );
        let cors = read(&(full + &rule(LEAST))).expect("good");
        assert_eq!(cors.rules.len(), 2);
        assert_eq!(cors.rules[0].max_age, Some(3000));
        assert_eq!(kept::<Cors>(&text(&cors)).expect("kept"), cors);
        assert!(read(&rule(LEAST).repeat(100)).is_ok());
    }

    #[test]
    fn what_is_refused() {
        let long = format!("{LEAST}<ID>{}</ID>", "i".repeat(256));
        for (rules, code, says) in [
            (String::new(), Code::MalformedXml, ""),
            (rule("<AllowedMethod>GET</AllowedMethod>"), Code::MalformedXml, ""),
            (rule("<AllowedOrigin>*</AllowedOrigin>"), Code::MalformedXml, ""),
            (rule(&format!("{LEAST}<Other/>")), Code::MalformedXml, ""),
            (rule(&format!("{LEAST}<MaxAgeSeconds>-1</MaxAgeSeconds>")), Code::MalformedXml, ""),
            (rule(&format!("{LEAST}<MaxAgeSeconds>x</MaxAgeSeconds>")), Code::MalformedXml, ""),
            (rule(LEAST).repeat(101), Code::InvalidRequest, "100 rules"),
            (rule(&long), Code::InvalidArgument, "255"),
            (rule(&LEAST.replace("GET", "PATCH")), Code::InvalidRequest, "Unsupported method is PATCH"),
            (rule(&LEAST.replace("GET", "get")), Code::InvalidRequest, "Unsupported method is get"),
            (rule(&LEAST.replace('*', "http://*.*")), Code::InvalidRequest, "AllowedOrigin \"http://*.*\" can not"),
            (
                rule(&format!("{LEAST}<AllowedHeader>*a*</AllowedHeader>")),
                Code::InvalidRequest,
                "AllowedHeader \"*a*\"",
            ),
            (rule(&format!("{LEAST}<ExposeHeader>x-*</ExposeHeader>")), Code::InvalidRequest, "ExposeHeader \"x-*\""),
        ] {
            let (found, text) = read(&rules).expect_err("bad");
            assert_eq!(found, code, "{rules:.200}");
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn patterns() {
        let rule = CorsRule {
            methods: vec!["GET".into()],
            origins: vec!["http://*.example.com".into(), "https://a.org".into()],
            headers: vec!["X-Amz-*".into(), "range".into()],
            ..CorsRule::default()
        };
        for (origin, method, headers, allowed) in [
            ("http://a.example.com", "GET", &[][..], true),
            ("http://.example.com", "GET", &[], true),
            ("http://example.com", "GET", &[], false),
            ("HTTP://a.example.com", "GET", &[], false),
            ("https://a.org", "GET", &["Range", "x-amz-Date"], true),
            ("https://a.org", "PUT", &[], false),
            ("https://a.org", "GET", &["x-other"], false),
        ] {
            assert_eq!(rule.allows(origin, method, headers), allowed, "{origin} {method} {headers:?}");
        }
        assert!(!fits("ab*ba", "aba"), "the star's two sides do not overlap");
    }
}

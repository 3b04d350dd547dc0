//! Documents of random words of S3's: none makes a reader panic, and what is read is what is kept.
//! `PROPTEST_CASES=1000000` looks for longer.

use mallee_s3_config::{Cors, Document, PublicAccessBlock, Tagging, Website, kept, parse, text};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "AllowedHeader",
    "AllowedMethod",
    "AllowedOrigin",
    "BlockPublicAcls",
    "CORSConfiguration",
    "CORSRule",
    "Condition",
    "ErrorDocument",
    "ExposeHeader",
    "HostName",
    "HttpErrorCodeReturnedEquals",
    "HttpRedirectCode",
    "ID",
    "IndexDocument",
    "Key",
    "KeyPrefixEquals",
    "MaxAgeSeconds",
    "Protocol",
    "PublicAccessBlockConfiguration",
    "Redirect",
    "RedirectAllRequestsTo",
    "ReplaceKeyPrefixWith",
    "ReplaceKeyWith",
    "RoutingRule",
    "RoutingRules",
    "Suffix",
    "Tag",
    "TagSet",
    "Tagging",
    "Value",
    "WebsiteConfiguration",
];
const VALUES: &[&str] =
    &["GET", "*", "http://*.a", "a", "404", "302", "https", "index.html", "true", "", "3000", "&amp;"];

fn element() -> impl Strategy<Value = String> {
    let leaf = (prop::sample::select(NAMES), prop::sample::select(VALUES))
        .prop_map(|(name, value)| format!("<{name}>{value}</{name}>"));
    leaf.prop_recursive(4, 40, 6, |inner| {
        (prop::sample::select(NAMES), prop::collection::vec(inner, 0..6))
            .prop_map(|(name, children)| format!("<{name}>{}</{name}>", children.concat()))
    })
}

/// A rule of each kind with more or less of what it may have.
fn likely() -> impl Strategy<Value = String> {
    let some = |names: &'static [&'static str]| {
        let one = (prop::sample::select(names), prop::sample::select(VALUES))
            .prop_map(|(name, value)| format!("<{name}>{value}</{name}>"));
        prop::collection::vec(one, 0..6).prop_map(|all| all.concat())
    };
    prop_oneof![
        some(&["AllowedMethod", "AllowedOrigin", "AllowedHeader", "MaxAgeSeconds", "ID"]).prop_map(|inside| format!(
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>{inside}</CORSRule></CORSConfiguration>"
        )),
        (some(&["KeyPrefixEquals", "HttpErrorCodeReturnedEquals"]), some(&["HostName", "Protocol", "ReplaceKeyWith"]))
            .prop_map(|(condition, to)| format!(
                "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules><RoutingRule>\
                 <Condition>{condition}</Condition><Redirect>{to}</Redirect></RoutingRule></RoutingRules>\
                 </WebsiteConfiguration>"
            )),
    ]
}

fn as_kept<D: Document + PartialEq + std::fmt::Debug>(xml: &str) -> Result<(), TestCaseError> {
    if let Ok(document) = parse::<D>(xml.as_bytes()) {
        let again: D = kept(&text(&document)).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(again, document);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_read_is_what_is_kept(xml in prop_oneof![element(), likely()]) {
        as_kept::<Cors>(&xml)?;
        as_kept::<Website>(&xml)?;
        as_kept::<Tagging>(&xml)?;
        as_kept::<PublicAccessBlock>(&xml)?;
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(parse::<Cors>(&bytes));
        drop(parse::<Website>(&bytes));
    }
}

use super::*;
use crate::{kept, parse, text};

fn read(inside: &str) -> Result<Website, (Code, String)> {
    parse(format!("<WebsiteConfiguration>{inside}</WebsiteConfiguration>").as_bytes())
        .map_err(|e| (e.code(), e.message().to_owned()))
}

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";

fn rules(inside: &str) -> String {
    format!("{INDEX}<RoutingRules>{inside}</RoutingRules>")
}

fn rule(inside: &str) -> String {
    rules(&format!("<RoutingRule>{inside}</RoutingRule>"))
}

#[test]
fn what_is_kept_is_what_was_put() {
    let full = format!(
        "{INDEX}<ErrorDocument><Key>oops/e.html</Key></ErrorDocument><RoutingRules><RoutingRule><Condition>\
         <KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect>\
         <ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule><RoutingRule><Condition>\
         <HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect>\
         <HostName>other.example</HostName><HttpRedirectCode>302</HttpRedirectCode><Protocol>https</Protocol>\
         <ReplaceKeyWith>gone.html</ReplaceKeyWith></Redirect></RoutingRule></RoutingRules>"
    );
    for inside in [
        full.as_str(),
        INDEX,
        "<RedirectAllRequestsTo><HostName>example.com</HostName></RedirectAllRequestsTo>",
        "<RedirectAllRequestsTo><HostName>example.com</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>",
    ] {
        let site = read(inside).expect("good");
        assert_eq!(kept::<Website>(&text(&site)).expect("kept"), site);
    }
    let Ok(Website::Pages(pages)) = read(&full) else { panic!("it has pages") };
    let [before, after] = pages.rules.as_slice() else { panic!("it has two rules") };
    assert!(before.fits("docs/a", None) && !before.fits("docs/a", Some(404)) && !before.fits("x", None));
    assert_eq!(before.new_key("docs/a"), "documents/a");
    assert!(after.fits("any", Some(404)) && !after.fits("any", None) && !after.fits("any", Some(403)));
    assert_eq!(after.new_key("any"), "gone.html");
}

#[test]
fn what_is_refused() {
    let elsewhere = "<RedirectAllRequestsTo><HostName>h</HostName></RedirectAllRequestsTo>";
    let to = "<Redirect><HostName>h</HostName></Redirect>";
    let with = |inside: &str| rule(&format!("<Redirect>{inside}</Redirect>"));
    for (inside, code, says) in [
        (String::new(), Code::InvalidArgument, "A value for IndexDocument Suffix must be provided"),
        (format!("{elsewhere}{INDEX}"), Code::InvalidArgument, "in conjunction"),
        ("<RedirectAllRequestsTo/>".into(), Code::MalformedXml, ""),
        (elsewhere.replace("<HostName>h<", "<HostName>h/x<"), Code::MalformedXml, ""),
        (elsewhere.replace("</R", "<Protocol>ftp</Protocol></R"), Code::InvalidRequest, "Invalid protocol"),
        (INDEX.replace("index", "a/index"), Code::InvalidArgument, "not well formed"),
        ("<IndexDocument/>".into(), Code::InvalidArgument, "not well formed"),
        (format!("{INDEX}{INDEX}"), Code::MalformedXml, ""),
        (format!("{INDEX}<ErrorDocument/>"), Code::MalformedXml, ""),
        (format!("{INDEX}<Other/>"), Code::MalformedXml, ""),
        (rules(""), Code::MalformedXml, ""),
        (rule(""), Code::MalformedXml, ""),
        (rule("<Redirect/>"), Code::MalformedXml, ""),
        (rule(&format!("<Condition/>{to}")), Code::InvalidRequest, "Condition cannot be empty"),
        (
            rule(&format!("<Condition><HttpErrorCodeReturnedEquals>302</HttpErrorCodeReturnedEquals></Condition>{to}")),
            Code::InvalidRequest,
            "HTTP error code (302)",
        ),
        (with("<HttpRedirectCode>300</HttpRedirectCode>"), Code::InvalidRequest, "redirect code (300)"),
        (with("<HttpRedirectCode>404</HttpRedirectCode>"), Code::InvalidRequest, "redirect code (404)"),
        (with("<Protocol>gopher</Protocol>"), Code::InvalidRequest, "Invalid protocol"),
        (
            with("<ReplaceKeyPrefixWith>a</ReplaceKeyPrefixWith><ReplaceKeyWith>b</ReplaceKeyWith>"),
            Code::InvalidRequest,
            "but not both",
        ),
        (rules(&format!("<RoutingRule>{to}</RoutingRule>").repeat(51)), Code::InvalidRequest, "50 rules"),
    ] {
        let (found, text) = read(&inside).expect_err("bad");
        assert_eq!(found, code, "{inside:.300}");
        assert!(text.contains(says), "{text}");
    }
}

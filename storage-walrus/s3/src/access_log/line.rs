//! A record as a line (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>).

use mallee_awswire::sigv4::uri_encode;
use mallee_runtime::clock::from_unix_ms;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Bytes of a field that others write, before it is cut.
const FIELD_BYTES_MAX: usize = 2048;
/// Parameters of a query that let whoever reads them do what their maker may.
const SECRET: [&str; 3] = ["x-amz-signature", "x-amz-security-token", "signature"];

/// A record. What is `None` is unknown, or there is none of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Canonical id of the bucket's owner.
    pub(crate) owner: String,
    pub(crate) bucket: String,
    pub(crate) time_ms: i64,
    pub(crate) address: Option<String>,
    /// Canonical id, ARN of a user, or a service.
    pub(crate) requester: Option<String>,
    pub(crate) request_id: String,
    pub(crate) operation: Cow<'static, str>,
    pub(crate) key: Option<String>,
    /// The first line of the request.
    pub(crate) uri: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<Cow<'static, str>>,
    pub(crate) sent: u64,
    pub(crate) size: Option<u64>,
    pub(crate) total_ms: Option<u64>,
    pub(crate) turn_around_ms: Option<u64>,
    pub(crate) referer: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) host_id: Option<String>,
    pub(crate) signature: Option<&'static str>,
    pub(crate) authentication: Option<&'static str>,
    pub(crate) host: Option<String>,
    /// It took an access control list to allow the request.
    pub(crate) acl_required: bool,
}

/// A word: without white space, whoever wrote it.
fn word(line: &mut String, text: Option<&str>) {
    line.push(' ');
    match text.filter(|text| !text.is_empty()) {
        Some(text) => plain(line, text, true),
        None => line.push('-'),
    }
}

/// Text within quotation marks.
fn quoted(line: &mut String, text: Option<&str>) {
    line.push_str(" \"");
    match text.filter(|text| !text.is_empty()) {
        Some(text) => plain(line, text, false),
        None => line.push('-'),
    }
    line.push('"');
}

/// Whoever reads lines splits them at spaces and quotation marks: what would mislead him is escaped.
fn plain(line: &mut String, text: &str, spaces: bool) {
    for byte in text.bytes().take(FIELD_BYTES_MAX) {
        match byte {
            b'"' | b'\\' => escape(line, byte),
            b' ' if spaces => line.push_str("%20"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => escape(line, byte),
        }
    }
}

fn escape(line: &mut String, byte: u8) {
    line.push('%');
    line.extend(
        [byte >> 4, byte & 15]
            .map(|half| char::from_digit(u32::from(half), 16).unwrap_or_default().to_ascii_uppercase()),
    );
}

fn number(line: &mut String, n: Option<u64>) {
    match n {
        Some(n) => line.extend([" ", &n.to_string()]),
        None => line.push_str(" -"),
    }
}

/// `GET /b/k?x HTTP/1.1`, without what lets others use it again.
pub(crate) fn first_line(method: &str, path_and_query: &str, version: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else {
        return format!("{method} {path_and_query} {version}");
    };
    // A name may be written with escapes, too.
    let secret = |name: &str| {
        let name = percent_decode_str(name).decode_utf8_lossy();
        SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if secret(name) => format!("{name}=HIDDEN"),
        _ => pair.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(hide).collect();
    format!("{method} {path}?{} {version}", query.join("&"))
}

impl Record {
    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let mut line = String::with_capacity(512);
        plain(&mut line, &self.owner, true);
        word(&mut line, Some(&self.bucket));
        let at = from_unix_ms(self.time_ms);
        let month = at.month().to_string();
        let month = month.get(..3).unwrap_or_default();
        let (year, day) = (at.year(), at.day());
        let time = format!("[{day:02}/{month}/{year}:{:02}:{:02}:{:02} +0000]", at.hour(), at.minute(), at.second());
        line.extend([" ", &time]);
        word(&mut line, self.address.as_deref());
        word(&mut line, self.requester.as_deref());
        word(&mut line, Some(&self.request_id));
        word(&mut line, Some(&self.operation));
        let key = self.key.as_deref().map(|key| {
            let mut escaped = String::new();
            uri_encode(&mut escaped, key.as_bytes(), true);
            escaped
        });
        match key.filter(|key| !key.is_empty()) {
            // A key has an end of its own, and escapes make it longer.
            Some(key) => line.extend([" ", &key]),
            None => line.push_str(" -"),
        }
        quoted(&mut line, self.uri.as_deref());
        number(&mut line, self.status.map(u64::from));
        word(&mut line, self.error.as_deref());
        number(&mut line, Some(self.sent).filter(|sent| *sent > 0));
        number(&mut line, self.size);
        number(&mut line, self.total_ms);
        number(&mut line, self.turn_around_ms);
        quoted(&mut line, self.referer.as_deref());
        quoted(&mut line, self.agent.as_deref());
        word(&mut line, self.version.as_deref());
        word(&mut line, self.host_id.as_deref());
        word(&mut line, self.signature);
        // Cipher suite: what encrypts connections stands before the store.
        line.push_str(" -");
        word(&mut line, self.authentication);
        word(&mut line, self.host.as_deref());
        // TLS version and access point; behind it the region of the caller.
        line.push_str(" - -");
        word(&mut line, self.acl_required.then_some("Yes"));
        line.push_str(" -\n");
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_field_in_its_place() {
        let record = Record {
            owner: "79a5".into(),
            bucket: "b".into(),
            time_ms: 1_549_411_238_000,
            address: Some("192.0.2.3".into()),
            requester: Some("arn:aws:iam::1:user/a b".into()),
            request_id: "3E57".into(),
            operation: "REST.GET.OBJECT".into(),
            key: Some("a b/\"c\"\n\u{e9}".into()),
            uri: Some("GET /b/a%20b HTTP/1.1".into()),
            status: Some(404),
            error: Some("NoSuchKey".into()),
            sent: 297,
            size: Some(5),
            total_ms: Some(38),
            turn_around_ms: Some(7),
            referer: Some("http://x/\"y\"".into()),
            agent: Some("curl/8 \\\"\r\n".into()),
            version: Some("v".into()),
            host_id: Some("h".into()),
            signature: Some("SigV4"),
            authentication: Some("AuthHeader"),
            host: Some("h:1".into()),
            acl_required: true,
        };
        assert_eq!(
            record.line(),
            "79a5 b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 arn:aws:iam::1:user/a%20b 3E57 REST.GET.OBJECT \
             a%20b/%22c%22%0A%C3%A9 \"GET /b/a%20b HTTP/1.1\" 404 NoSuchKey 297 5 38 7 \"http://x/%22y%22\" \
             \"curl/8 %5C%22%0D%0A\" v h SigV4 - AuthHeader h:1 - - Yes -\n"
        );
        let nothing = Record { owner: "o".into(), bucket: "b".into(), request_id: "r".into(), ..Record::default() };
        assert_eq!(
            nothing.line(),
            "o b [01/Jan/1970:00:00:00 +0000] - - r - - \"-\" - - - - - - \"-\" \"-\" - - - - - - - - - -\n"
        );
        let long = Record { agent: Some("x".repeat(5000)), ..nothing };
        assert!(long.line().len() < FIELD_BYTES_MAX + 200);
    }

    #[test]
    fn what_was_signed_is_not_given_away() {
        let path = "/b/k?X-Amz-Date=1&X-Amz-Signature=abc&x&Signature=d";
        let line = first_line("GET", path, "HTTP/1.1");
        assert_eq!(line, "GET /b/k?X-Amz-Date=1&X-Amz-Signature=HIDDEN&x&Signature=HIDDEN HTTP/1.1");
        assert_eq!(first_line("GET", "/b/k", "HTTP/1.1"), "GET /b/k HTTP/1.1");
        let line = first_line("GET", "/b/k?x%2Damz%2DSecurity-Token=t", "HTTP/1.1");
        assert_eq!(line, "GET /b/k?x%2Damz%2DSecurity-Token=HIDDEN HTTP/1.1");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_the_fields_stay_as_many(text in ".{0,60}") {
            let some = Some(text.clone());
            let record = Record {
                owner: "o".into(),
                bucket: "b".into(),
                requester: some.clone(),
                key: some.clone(),
                uri: some.clone(),
                referer: some.clone(),
                agent: some.clone(),
                version: some.clone(),
                host: some,
                ..Record::default()
            };
            let line = record.line();
            proptest::prop_assert!(line.ends_with('\n') && line.matches('\n').count() == 1 && line.is_ascii());
            proptest::prop_assert_eq!(line.matches('"').count(), 6);
            // Outside of the quotation marks.
            let outside: String = line.split('"').step_by(2).collect();
            proptest::prop_assert_eq!(outside.split_whitespace().count(), 25);
        }
    }
}

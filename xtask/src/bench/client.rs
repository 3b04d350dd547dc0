//! A client that costs little: it signs every request before the clock starts and keeps its connection open.
//!
//! A signature is good for minutes, and the server verifies it each time it comes, so what is measured is the server's
//! whole work and next to none of ours, with which it shares the machine.

use anyhow::{Context as _, Result, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

const EC2: Service = Service { name: "ec2", version: "2016-11-15" };
const IAM: Service = Service { name: "iam", version: "2010-05-08" };
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// Longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head of a reply, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest body of a reply, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes asked of the socket at once.
pub const READ_BYTES: usize = 256 << 10;

/// Address and keys of a cloud.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it listens.
    pub address: SocketAddr,
    key: String,
    secret: SecretString,
    region: String,
}

/// A service of the Query protocol.
#[derive(Debug, Clone, Copy)]
struct Service {
    name: &'static str,
    version: &'static str,
}

/// A request as the bytes that go over the wire.
#[derive(Debug, Clone)]
pub struct Prepared(Vec<u8>);

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Access {
    /// From the `env` file of a state directory.
    pub fn read(state: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(state.join("env"))?;
        let value = |name: &str| {
            let found = text.lines().find_map(|l| l.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
            found.map(|v| v.trim_matches('\'').to_owned()).with_context(|| format!("{name} is not in the file env"))
        };
        let endpoint = value("AWS_ENDPOINT_URL")?;
        Ok(Self {
            address: endpoint.trim_start_matches("http://").parse().context("the endpoint is no address")?,
            key: value("AWS_ACCESS_KEY_ID")?,
            secret: SecretString::from(value("AWS_SECRET_ACCESS_KEY")?),
            region: value("AWS_DEFAULT_REGION")?,
        })
    }

    /// A server whose address and keys are known.
    pub fn known(address: SocketAddr, key: &str, secret: &str, region: &str) -> Self {
        let (key, secret, region) = (key.to_owned(), SecretString::from(secret.to_owned()), region.to_owned());
        Self { address, key, secret, region }
    }

    /// The same cloud, with other keys.
    pub fn with_keys(&self, key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: SecretString::from(secret.to_owned()), ..self.clone() }
    }

    /// A signed EC2 request.
    pub fn ec2(&self, action: &str, params: &[(&str, &str)]) -> Result<Prepared> {
        self.query(EC2, action, params)
    }

    /// A signed IAM request.
    pub fn iam(&self, action: &str, params: &[(&str, &str)]) -> Result<Prepared> {
        self.query(IAM, action, params)
    }

    /// The head of a signed S3 request with a body of this length. `path` is encoded, with its query in the order of
    /// its names; without `payload` the signature does not cover the body.
    pub fn s3(&self, method: &str, path: &str, length: usize, payload: Option<&[u8]>) -> Result<Vec<u8>> {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        let body = payload.map_or(SignableBody::UnsignedPayload, SignableBody::Bytes);
        let uri = format!("http://{}{path}", self.address);
        let signed = self.sign("s3", SignableRequest::new(method, &uri, std::iter::empty(), body)?, settings)?;
        Ok(format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{signed}content-length: {length}\r\n\r\n", self.address)
            .into())
    }

    /// The headers that sign a request.
    fn sign(&self, service: &str, request: SignableRequest<'_>, settings: SigningSettings) -> Result<String> {
        let identity: Identity = Credentials::new(&self.key, self.secret.expose_secret(), None, None, "bench").into();
        let settings = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let (instructions, _) = sign(request, &settings)?.into_parts();
        let mut text = String::new();
        for (name, value) in instructions.headers() {
            write!(text, "{name}: {value}\r\n")?;
        }
        Ok(text)
    }

    fn query(&self, service: Service, action: &str, params: &[(&str, &str)]) -> Result<Prepared> {
        let mut form = format!("Action={action}&Version={}", service.version);
        for (name, value) in params {
            write!(form, "&{}={}", encode(name), encode(value))?;
        }
        let uri = format!("http://{}/", self.address);
        let request = SignableRequest::new("POST", &uri, [FORM].into_iter(), SignableBody::Bytes(form.as_bytes()))?;
        let signed = self.sign(service.name, request, SigningSettings::default())?;
        let mut text = format!("POST / HTTP/1.1\r\nhost: {}\r\n{}: {}\r\n", self.address, FORM.0, FORM.1);
        write!(text, "{signed}content-length: {}\r\n\r\n{form}", form.len())?;
        Ok(Prepared(text.into_bytes()))
    }

    /// `GET /health`: what a request costs that does nothing.
    pub fn health(&self) -> Prepared {
        Prepared(format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", self.address).into_bytes())
    }
}

/// One kept connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; READ_BYTES] })
    }

    /// Sends a request and reads the whole reply: status and body.
    pub fn answer(&mut self, request: &Prepared) -> Result<(u16, &[u8])> {
        self.stream.write_all(&request.0)?;
        let mut filled = 0;
        let mut wanted: Option<(u16, usize, usize)> = None;
        loop {
            if self.buffer.len() - filled < READ_BYTES / 4 {
                self.buffer.resize(filled + READ_BYTES, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            filled += read;
            if wanted.is_none() {
                wanted = head(&self.buffer[..filled])?;
            }
            if let Some((status, from, to)) = wanted
                && filled >= to
            {
                return Ok((status, &self.buffer[from..to]));
            }
        }
    }

    /// As [`Self::answer`]; any status but 200 is an error with the server's words.
    pub fn call(&mut self, request: &Prepared) -> Result<&[u8]> {
        let (status, body) = self.answer(request)?;
        if status != 200 {
            bail!("status {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }
}

/// Status, begin and end of the body; `None` while the head is not complete.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).take(HEAD_BYTES_MAX).position(|w| w == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            bail!("the head of the reply has more than {HEAD_BYTES_MAX} bytes");
        }
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).context("the head of the reply is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let (status, length) = status.zip(length).with_context(|| format!("a reply without status or length: {text}"))?;
    if length > BODY_BYTES_MAX {
        bail!("a reply of {length} bytes");
    }
    Ok(Some((status, end + 4, end + 4 + length)))
}

/// The texts of all elements of this name, in order.
pub fn elements<'a>(body: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    body.split(&open).skip(1).filter_map(|rest| rest.split_once(&close).map(|(text, _)| text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_to_its_length() {
        let reply = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(head(reply).expect("a head"), Some((503, 40, 43)));
        assert_eq!(head(&reply[..20]).expect("not yet"), None);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }

    #[test]
    fn elements_are_found_in_order() {
        assert_eq!(elements("<a><id>1</id><b/><id>2</id></a>", "id"), ["1", "2"]);
    }
}

//! A small S3 client that tells exactly what came back: it repeats nothing and hides nothing.

use mallee_awswire::sigv4::derive_signing_key;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const KEY: &str = "AKIAWALRUSTEST000001";
const SECRET: &str = "walrus/test+secret";
const REGION: &str = "us-east-1";
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first text in this element.
    pub fn element(&self, name: &str) -> Option<String> {
        elements(&self.text(), name).into_iter().next()
    }
}

/// Texts of all elements of this name.
pub fn elements(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(open.as_str()).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(t, _)| t.to_owned()).collect()
}

pub struct Client {
    address: SocketAddr,
    socket: Option<TcpStream>,
}

fn hex_sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, socket: None }
    }

    pub fn get(&mut self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], b"")
    }

    pub fn put(&mut self, path: &str, body: &[u8]) -> Result<Reply> {
        self.send("PUT", path, &[], body)
    }

    pub fn delete(&mut self, path: &str) -> Result<Reply> {
        self.send("DELETE", path, &[], b"")
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Reply> {
        self.send("POST", path, &[], body)
    }

    /// `path` with its query, both plain or percent-encoded already, the query sorted.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let head = self.head(method, path, headers, body.len());
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(self.address)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
                socket
            }
        };
        // A server that refuses early may close before it has read everything: its answer counts.
        let sent = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
        let reply = read_reply(&mut socket, method == "HEAD");
        match (reply, sent) {
            (Ok(reply), sent) => {
                // After a refusal the server may close: it need not read the rest of a body.
                if sent.is_ok() && reply.status < 400 {
                    self.socket = Some(socket);
                }
                Ok(reply)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], len: usize) -> String {
        let now = time::OffsetDateTime::now_utc();
        let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
        let stamp = format!("{date}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
        let host = self.address.to_string();
        let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query.split('&').filter(|q| !q.is_empty());
        let query: Vec<String> = query.map(|q| if q.contains('=') { q.to_owned() } else { format!("{q}=") }).collect();
        let mut signed: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        signed.push(("host".to_owned(), host));
        signed.push(("x-amz-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
        signed.push(("x-amz-date".to_owned(), stamp.clone()));
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(n, _)| n.as_str()).collect();
        let names = names.join(";");
        let mut canonical = format!("{method}\n{path_only}\n{}\n", query.join("&"));
        for (name, value) in &signed {
            writeln!(canonical, "{name}:{value}").unwrap();
        }
        write!(canonical, "\n{names}\nUNSIGNED-PAYLOAD").unwrap();
        let scope = format!("{date}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex_sha256(canonical.as_bytes()));
        let key = derive_signing_key(&SECRET.into(), &date, REGION, "s3");
        let key = mallee_awswire::sigv4::SigningKey::new(key.expose_secret());
        let signature = hex::encode(key.sign(text.as_bytes()));
        let mut out = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in &signed {
            write!(out, "{name}: {value}\r\n").unwrap();
        }
        write!(
            out,
            "authorization: AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             content-length: {len}\r\n\r\n"
        )
        .unwrap();
        out
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the connection was cut")
}

/// Reads until the text is in; what follows it stays in `held`.
fn until(socket: &mut TcpStream, held: &mut Vec<u8>, end: &[u8]) -> Result<Vec<u8>> {
    loop {
        if let Some(at) = held.windows(end.len()).position(|w| w == end) {
            let rest = held.split_off(at + end.len());
            let mut found = std::mem::replace(held, rest);
            found.truncate(at);
            return Ok(found);
        }
        more(socket, held)?;
    }
}

fn more(socket: &mut TcpStream, held: &mut Vec<u8>) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let n = socket.read(&mut buffer)?;
    if n == 0 {
        return Err(cut());
    }
    held.extend_from_slice(&buffer[..n]);
    Ok(())
}

fn exactly(socket: &mut TcpStream, held: &mut Vec<u8>, len: usize) -> Result<Vec<u8>> {
    while held.len() < len {
        more(socket, held)?;
    }
    let rest = held.split_off(len);
    Ok(std::mem::replace(held, rest))
}

fn read_reply(socket: &mut TcpStream, no_body: bool) -> Result<Reply> {
    let mut held = Vec::new();
    let head = String::from_utf8_lossy(&until(socket, &mut held, b"\r\n\r\n")?).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).ok_or_else(cut)?;
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let mut reply = Reply { status, headers: lines.filter_map(header).collect(), body: Vec::new() };
    if no_body || status == 204 || status == 304 {
        return Ok(reply);
    }
    if reply.header("transfer-encoding").is_some() {
        loop {
            let size = until(socket, &mut held, b"\r\n")?;
            let size = usize::from_str_radix(String::from_utf8_lossy(&size).trim(), 16).map_err(|_| cut())?;
            let chunk = exactly(socket, &mut held, size + 2)?;
            if size == 0 {
                return Ok(reply);
            }
            reply.body.extend_from_slice(&chunk[..size]);
        }
    }
    let len = reply.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    reply.body = exactly(socket, &mut held, len)?;
    Ok(reply)
}

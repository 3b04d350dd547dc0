#![allow(clippy::unwrap_used)]
use super::*;
use crate::peer::patience::Patience;
use mallee_awswire::Flavour;
use mallee_awswire::sigv4::{
    Body as SignedBody, CredentialSource, KeyError, KeyQuery, PathRules, ResolvedKey, SignedRequest, SigningKey,
    Verifier, VerifierConfig, derive_signing_key,
};
use std::os::unix::fs::PermissionsExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

fn peer(url: &str) -> Peer {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "s").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Peer::read(&format!("{url},kind=s3,key=A,secret-file={}", file.display())).unwrap()
}

fn request(method: Method, key: &str, query: Vec<(&'static str, String)>, body: PeerBody) -> PeerRequest {
    let (bucket, key) = ("b".to_owned(), key.to_owned());
    PeerRequest { method, bucket, key, query, headers: vec![], body, now_ms: 5000 }
}

fn nothing() -> PeerBody {
    PeerBody::Bytes(Bytes::new())
}

fn zeros(count: usize, each: usize) -> PeerBody {
    let chunk = Bytes::from(vec![0; each]);
    let data = futures::stream::iter(0..count).map(move |_| Ok(chunk.clone()));
    PeerBody::Stream((count * each) as u64, data.boxed())
}

#[test]
fn targets() {
    let of = |key: &str, query| target(&request(Method::PUT, key, query, nothing()));
    assert_eq!(of("", vec![("versioning", String::new())]), "/b?versioning=");
    assert_eq!(of("a b/ü+%41//../c", vec![]), "/b/a%20b/%C3%BC%2B%2541//../c");
    let query = vec![("partNumber", "7".to_owned()), ("uploadId", "a/b=".to_owned())];
    assert_eq!(of("k", query), "/b/k?partNumber=7&uploadId=a%2Fb%3D");
}

/// The one key that there is.
struct Key;

#[async_trait::async_trait]
impl CredentialSource for Key {
    type Principal = ();

    async fn signing_key(&self, q: KeyQuery<'_>) -> Result<ResolvedKey<()>, KeyError> {
        let key = derive_signing_key(&"s".into(), q.date, q.region, q.service);
        Ok(ResolvedKey { principal: (), signing_key: SigningKey::new(key.expose_secret()), expires_at: None })
    }
}

/// Also where the port is said though it is the default one.
#[tokio::test]
async fn what_is_signed_is_what_is_sent() {
    for url in ["http://h", "http://h:80", "http://h:9000", "https://h", "https://h:443", "https://h:80"] {
        let sent = peer(url).signed(request(Method::PUT, "a b", vec![("tagging", String::new())], nothing())).unwrap();
        assert_eq!(sent.headers().get_all(HOST).iter().count(), 1);
        let signed = SignedRequest {
            method: sent.method().as_str(),
            path: sent.uri().path(),
            query: sent.uri().query().unwrap_or_default(),
            headers: sent.headers(),
            authority: None,
            body: SignedBody::Bytes(b""),
            service: "s3",
            flavour: Flavour::S3,
            rules: PathRules::S3,
            host_bucket: None,
        };
        let now = time::OffsetDateTime::from_unix_timestamp(5).unwrap();
        let known = Verifier::new(Key, VerifierConfig::default()).verify(&signed, now).await;
        assert!(matches!(known, Ok(Some(_))), "{url}: {known:?}");
    }
}

/// A store that treats each connection so; where it is, and patience for little.
async fn store<F: Future<Output = ()> + Send>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    // What the kernel takes by itself is soon full.
    socket.set_recv_buffer_size(128 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let mut peer = peer(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            treat(connection).await;
        }
    });
    let (short, long) = (Duration::from_millis(700), Duration::from_secs(60));
    peer.patience = Patience { connect: long, step: short, answer: short, after_stream: short, post: long };
    peer
}

fn is_later(answer: Result<PeerAnswer, Unreplicated>) {
    match answer {
        Err(Unreplicated::Later(why)) => assert!(why.contains("silent for 700ms"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_store_that_reads_and_is_silent() {
    let peer = store(async |mut connection: TcpStream| {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(connection.read(&mut buffer).await, Ok(1..)) {}
    })
    .await;
    is_later(peer.send("far", request(Method::PUT, "k", vec![], zeros(100, 1000))).await);
    is_later(peer.send("far", request(Method::HEAD, "k", vec![], nothing())).await);
}

#[tokio::test]
async fn a_store_that_reads_nothing() {
    let peer = store(async |connection: TcpStream| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(connection);
    })
    .await;
    is_later(peer.send("far", request(Method::PUT, "k", vec![], zeros(1 << 20, 1 << 16))).await);
}

#[tokio::test]
async fn a_store_whose_answer_never_ends() {
    let peer = store(async |mut connection: TcpStream| {
        let mut buffer = vec![0; 1024];
        drop(connection.read(&mut buffer).await);
        drop(connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await);
        while connection.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    is_later(peer.send("far", request(Method::GET, "k", vec![], nothing())).await);
}

/// As stores do at the end of an upload: that it is good so far, white space for as long as it takes, and how it ended.
#[tokio::test]
async fn an_answer_to_a_post_takes_its_time() {
    let peer = store(async |mut connection: TcpStream| {
        let mut buffer = vec![0; 1024];
        drop(connection.read(&mut buffer).await);
        drop(connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n").await);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(connection.write_all(b" ").await);
        }
        drop(connection.write_all(b"<a/>").await);
    })
    .await;
    let since = Instant::now();
    let answer = peer.send("far", request(Method::POST, "k", vec![], nothing())).await.unwrap();
    assert!(answer.status.is_success() && answer.body.ends_with(b" <a/>"), "{answer:?}");
    assert!(since.elapsed() > peer.patience.step, "{:?}: it was not slow", since.elapsed());
}

/// It takes longer than any step may, and is not left.
#[tokio::test]
async fn a_slow_store_is_waited_for() {
    const BYTES: usize = 8 << 20;
    let mut peer = store(async |mut connection: TcpStream| {
        let (mut buffer, mut left) = (vec![0; 128 * 1024], BYTES);
        while let Ok(count @ 1..) = connection.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                drop(connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    peer.patience.after_stream = Duration::from_secs(60);
    let since = Instant::now();
    let answer = peer.send("far", request(Method::PUT, "k", vec![], zeros(BYTES >> 16, 1 << 16))).await.unwrap();
    assert!(answer.status.is_success());
    assert!(since.elapsed() > peer.patience.step, "{:?}: it was not slow", since.elapsed());
}

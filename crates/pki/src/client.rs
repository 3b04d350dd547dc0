//! The calling end over TCP: TLS 1.3 to a daemon whose role (and id) its certificate must prove. Host names prove
//! nothing here and are not checked.

use crate::{CredentialStore, PkiError, Role, tls};
use hyper_util::rt::TokioIo;
use mallee_runtime::Clock;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::error::Error as StdError;
use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Chain, Join, ReadHalf, WriteHalf, join};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// Time for TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of HTTP/2 pings, and how long one may stay unanswered.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// In TLS 1.3 a server judges our certificate after our side of the handshake is done. An HTTP/2 server speaks first,
/// so its first bytes say that it took us, or why not. One that is silent this long is believed to have.
const VERDICT_WAIT: Duration = Duration::from_secs(1);
/// Bytes read while waiting for that; a SETTINGS frame has fewer.
const VERDICT_BYTES: usize = 1024;
/// Never sent (no SNI) and never checked; the library wants a name.
const NAME: &str = "mallee.invalid";

/// Whom a caller expects.
#[derive(Debug)]
struct Expected {
    trust: Trust,
    role: Role,
    id: Option<String>,
}

/// By what the server is believed.
#[derive(Debug)]
enum Trust {
    /// A CA, and the cloud it signs for.
    Ca { roots: RootCertStore, cloud: String },
    /// The hash of a CA that the server must show.
    Pin([u8; 32]),
}

impl Expected {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let refuse = |why: String| Err(tls::refusal(tls::Refusal(why)));
        // The chain has one link, as our CA signs no other CAs: what else the server sends proves nothing.
        let identity = match &self.trust {
            Trust::Ca { roots, cloud } => {
                let identity = tls::verify_chain(certificate, roots, now)?;
                if identity.cloud != *cloud {
                    return refuse(format!("the server is {identity}, of another cloud"));
                }
                identity
            }
            Trust::Pin(pin) => {
                let Some(ca) = others.iter().find(|other| tls::sha256(other) == *pin) else {
                    return refuse("the server is not of the cloud that made this join token".to_owned());
                };
                let roots = tls::roots(&ca.clone().into_owned())
                    .map_err(|error| tls::refusal(tls::Refusal(error.to_string())))?;
                tls::verify_chain(certificate, &roots, now)?
            }
        };
        if identity.role != self.role || self.id.as_ref().is_some_and(|id| *id != identity.id) {
            let id = self.id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
            return refuse(format!(
                "the server is {identity}, not the {}{id} that was expected there",
                self.role.name()
            ));
        }
        Ok(())
    }
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &tls::provider().signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &tls::provider().signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_config(expected: Expected, clock: &Clock, store: Option<&CredentialStore>) -> Result<ClientConfig, PkiError> {
    let time = Arc::new(tls::ClockTime(clock.clone()));
    let builder = ClientConfig::builder_with_details(tls::provider(), time)
        .with_protocol_versions(tls::VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(expected));
    let mut config = match store {
        Some(store) => builder.with_client_cert_resolver(Arc::new(store.clone())),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![tls::ALPN.to_vec()];
    config.enable_sni = false;
    // A resumed session would skip the check of the server's certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What a failed handshake means, for the operator.
fn explain(error: &io::Error) -> String {
    use rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "the server's certificate is not from this cloud's CA".to_owned()
        }
        Some(Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "the server's certificate has expired, or this host's clock is wrong".to_owned()
        }
        Some(Tls::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            "the server's certificate is not valid yet: one of the two clocks is wrong".to_owned()
        }
        Some(Tls::InvalidCertificate(CertificateError::Other(rustls::OtherError(why)))) => why.to_string(),
        Some(Tls::AlertReceived(AlertDescription::CertificateRequired)) => {
            "the server wants a certificate of its cloud".to_owned()
        }
        Some(Tls::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError)) => {
            "the server refused our certificate: it is not from the server's CA".to_owned()
        }
        Some(Tls::AlertReceived(AlertDescription::CertificateExpired)) => {
            "the server refused our certificate: it has expired, or the server's clock is wrong".to_owned()
        }
        Some(Tls::AlertReceived(other)) => format!("the server refused the connection ({other:?})"),
        Some(Tls::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
        _ => error.to_string(),
    }
}

/// A connection with the bytes that were read ahead put back.
type Io = TokioIo<Join<Chain<Cursor<Vec<u8>>, ReadHalf<TlsStream<TcpStream>>>, WriteHalf<TlsStream<TcpStream>>>>;

async fn dial(host: &str, port: u16, config: Arc<ClientConfig>) -> io::Result<Io> {
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
    let mut first = vec![0u8; VERDICT_BYTES];
    let length = match tokio::time::timeout(VERDICT_WAIT, stream.read(&mut first)).await {
        Ok(Ok(0)) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
        Ok(read) => read?,
        Err(_) => 0,
    };
    first.truncate(length);
    let (read, write) = tokio::io::split(stream);
    Ok(TokioIo::new(join(Cursor::new(first).chain(read), write)))
}

/// The innermost cause: the outer ones only say "transport error".
fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn open(uri: &str, config: ClientConfig) -> Result<Channel, PkiError> {
    let failed = |cause: String| PkiError::Connect { uri: uri.to_owned(), cause };
    let no_address = || failed("it is no address of the form https://HOST:PORT".to_owned());
    let parsed: http::Uri = uri.parse().map_err(|_| no_address())?;
    let (Some("https"), Some(host), Some(port)) = (parsed.scheme_str(), parsed.host(), parsed.port_u16()) else {
        return Err(no_address());
    };
    let (host, config): (Arc<str>, _) = (host.trim_matches(['[', ']']).into(), Arc::new(config));
    let connector = tower::service_fn(move |_: http::Uri| {
        let (host, config) = (host.clone(), config.clone());
        async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, dial(&host, port, config)).await {
                Ok(Ok(io)) => Ok(io),
                Ok(Err(error)) => Err(io::Error::new(error.kind(), explain(&error))),
                Err(_) => {
                    let text = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                }
            }
        }
    });
    Endpoint::from(parsed)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| failed(cause(&error)))
}

/// A channel to the daemon at `https://HOST:PORT`, which must prove, by a certificate of our CA, that it has the role
/// `expect` in our cloud (and the id `expect_id`, if given). The first connection is made at once; later ones, after
/// a break, by the channel itself, with the same checks and the credentials of that moment.
///
/// # Errors
/// [`PkiError::Connect`] with the address and the cause, within five seconds.
pub async fn connect(
    uri: &str,
    store: &CredentialStore,
    expect: Role,
    expect_id: Option<&str>,
) -> Result<Channel, PkiError> {
    let credentials = store.current();
    let trust = Trust::Ca { roots: tls::roots(credentials.ca())?, cloud: credentials.identity().cloud.clone() };
    let expected = Expected { trust, role: expect, id: expect_id.map(str::to_owned) };
    open(uri, client_config(expected, store.clock(), Some(store))?).await
}

/// A channel for enrolment: no certificate of ours; the server must be a cloud controller whose CA, shown in its
/// chain, has this SHA-256. Its validity is judged by the host's clock.
///
/// # Errors
/// As [`connect`].
pub async fn connect_pinned(uri: &str, ca_sha256: [u8; 32]) -> Result<Channel, PkiError> {
    let expected = Expected { trust: Trust::Pin(ca_sha256), role: Role::Cloud, id: None };
    open(uri, client_config(expected, &Clock::system(), None)?).await
}

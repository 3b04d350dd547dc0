//! Joining a cloud: once with a token, afterwards with the certificate that it gave.

use super::directory::{CloudLink, Whereabouts};
use super::{Around, PKI_DIR};
use crate::state::StateDir;
use anyhow::{Context as _, Result, anyhow, bail};
use mallee_pki::{CredentialStore, Credentials, JoinToken, Role, connect_pinned, pending_key_and_csr, spawn_rotator};
use mallee_proto::WireError;
use mallee_proto::v1::EnrolRequest;
use mallee_proto::v1::enrolment_client::EnrolmentClient;
use mallee_runtime::TaskScope;
use mallee_runtime::task::{Nudge, spawn_periodic};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::PathBuf;
use std::time::Duration;
use tonic::Request;

/// The zone that the token named, in the state directory.
const ZONE_FILE: &str = "zone";
/// Where the other tiers were when last heard of, in the state directory.
const ENDPOINTS_FILE: &str = "endpoints.json";
/// Longest wait for a certificate.
const ENROL_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a daemon says where it is: a cloud whose database was restored hears of it by itself.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(30);

/// How a daemon joins.
#[derive(Debug, Clone, clap::Args)]
pub struct JoinArgs {
    /// The control port of the cloud controller.
    // Required, but for the subcommands of `mallee node`: that is why it is optional here.
    #[arg(long, value_name = "https://HOST:PORT", required = true)]
    pub join: Option<String>,
    /// A token that `mallee node token` printed; needed at the first start only.
    #[arg(long, env = "MALLEE_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
}

impl JoinArgs {
    /// The address of the control port, with its host and port.
    ///
    /// # Errors
    /// When it is missing, or not of the form `https://HOST:PORT`.
    pub fn uri(&self) -> Result<(&str, String, u16)> {
        let uri = self.join.as_deref().unwrap_or_default().trim_end_matches('/');
        let parsed = uri.parse::<http::Uri>().ok();
        let parts = parsed.as_ref().map(|parsed| (parsed.scheme_str(), parsed.host(), parsed.port_u16()));
        match parts {
            Some((Some("https"), Some(host), Some(port))) => Ok((uri, host.trim_matches(['[', ']']).to_owned(), port)),
            _ => bail!("{uri:?} is no address of the form https://HOST:PORT; correct --join"),
        }
    }
}

/// A daemon that has joined.
#[derive(Debug)]
pub(super) struct Member {
    pub credentials: CredentialStore,
    pub link: CloudLink,
    /// Its name: of a cluster controller, the zone.
    pub id: String,
    zone: Option<String>,
    dir: PathBuf,
    endpoints: PathBuf,
}

impl Member {
    /// With what the state directory holds, else with the token. `wish`: the name it would like.
    ///
    /// # Errors
    /// One line that says what to do.
    pub async fn join(dir: &StateDir, args: &JoinArgs, role: Role, wish: &str, around: &Around) -> Result<Self> {
        let pki = dir.join(PKI_DIR);
        let (uri, _, _) = args.uri()?;
        let credentials = match Credentials::load(&pki, &around.clock)? {
            Some(credentials) => credentials,
            None => enrol(dir, uri, args.token.as_ref(), role, wish, around).await?,
        };
        let identity = credentials.identity().clone();
        if identity.role != role {
            bail!(
                "{} holds the certificate of {identity}; give this {} a --state directory of its own",
                pki.display(),
                role.name()
            );
        }
        let zone = std::fs::read_to_string(dir.join(ZONE_FILE)).ok().map(|zone| zone.trim().to_owned());
        let credentials = CredentialStore::new(credentials, &around.clock);
        let link = CloudLink::new(uri.to_owned(), credentials.clone());
        tracing::info!(%identity, "a member of the cloud");
        Ok(Self { credentials, link, id: identity.id, zone, dir: pki, endpoints: dir.join(ENDPOINTS_FILE) })
    }

    /// The zone it belongs to.
    ///
    /// # Errors
    /// When the state directory has lost it.
    pub fn zone(&self) -> Result<&str> {
        self.zone.as_deref().filter(|zone| !zone.is_empty()).with_context(|| {
            format!(
                "the zone of this node is not known any more; remove {} and join again with a new token",
                self.dir.display()
            )
        })
    }

    /// Where the other tiers are.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(self.link.clone(), self.endpoints.clone())
    }

    /// Keeps the certificate fresh until the scope stops.
    pub fn rotate(&self, scope: &TaskScope, around: &Around) {
        let link = self.link.clone();
        let renew = move |csr| {
            let link = link.clone();
            async move { link.renew(csr).await.map_err(|error| error.message) }
        };
        spawn_rotator(
            scope,
            self.credentials.clone(),
            self.dir.clone(),
            around.clock.clone(),
            around.rng.clone(),
            renew,
        );
    }

    /// Says where it serves, now and every while, until the scope stops: `(role, zone, uri)`.
    pub fn announce(&self, scope: &TaskScope, around: &Around, endpoints: Vec<(&'static str, String, String)>) {
        let link = self.link.clone();
        spawn_periodic(scope, "announce", ANNOUNCE_PERIOD, Nudge::default(), around.rng.clone(), move || {
            let (link, endpoints) = (link.clone(), endpoints.clone());
            async move {
                for (role, zone, uri) in &endpoints {
                    link.announce(role, zone, uri).await?;
                }
                Ok::<_, WireError>(())
            }
        });
    }
}

async fn enrol(
    dir: &StateDir,
    uri: &str,
    token: Option<&SecretString>,
    role: Role,
    wish: &str,
    around: &Around,
) -> Result<Credentials> {
    let name = role.name();
    let token = token.with_context(|| {
        format!("this {name} has not joined yet: run `mallee node token --role {name}` at the cloud controller, and give what it prints with --token")
    })?;
    let token = JoinToken::parse(token.expose_secret())?;
    let channel = connect_pinned(uri, token.ca_sha256()).await?;
    // If the reply is lost, the next start asks again with the same token and key, and gets another.
    let (key, csr) = pending_key_and_csr(&dir.join(PKI_DIR))?;
    let mut request = Request::new(EnrolRequest { token: token.text(), csr, name: wish.to_owned() });
    request.set_timeout(ENROL_TIMEOUT);
    let reply = EnrolmentClient::new(channel).enrol(request).await;
    let reply = reply.map_err(|status| anyhow!("{}", WireError::from(status).message))?.into_inner();
    let credentials =
        Credentials::new(key, &reply.certificate, &reply.ca_certificate, token.ca_sha256(), &around.clock)?;
    if credentials.identity().role != role {
        let got = credentials.identity().role.name();
        bail!("the token was for a {got}, and is used up; make another: mallee node token --role {name}");
    }
    // First: whoever has credentials must know their zone.
    let file = dir.join(ZONE_FILE);
    std::fs::write(&file, format!("{}\n", reply.zone)).with_context(|| format!("cannot write {}", file.display()))?;
    credentials.save(&dir.join(PKI_DIR))?;
    Ok(credentials)
}

//! What an operator may switch on that is off by itself.

use mallee_app::Cloud;
use mallee_walrus::{NewBuckets, WalrusConfig};

/// What new buckets are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum S3NewBuckets {
    /// As AWS makes them: without access control lists, and nothing of them is public.
    #[default]
    Closed,
    /// As AWS made them until 2023: access control lists count, and nothing is kept from the public.
    Open,
}

impl From<S3NewBuckets> for NewBuckets {
    fn from(wanted: S3NewBuckets) -> Self {
        match wanted {
            S3NewBuckets::Closed => Self::Closed,
            S3NewBuckets::Open => Self::Open,
        }
    }
}

/// Switches of a cloud controller.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Switches {
    /// A provider of web identities that may be at a private address (HOST or HOST:PORT, as in its URL); once for each.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub private_issuer: Vec<String>,
    /// Accept AWS signature version 2 too, which is weaker, from clients that know no other.
    #[arg(long)]
    pub allow_sigv2: bool,
    /// Limit what instances send and receive to the baseline bandwidth that AWS names for their type; off: only the hosts'
    /// own links limit them. What was launched before keeps what it has until its type changes.
    #[arg(long)]
    pub network_limits: bool,
}

/// Switches of an object store.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct S3Switches {
    /// Take keys that clients bring (SSE-C) over plain HTTP, too: where what ends TLS before this port is trusted.
    #[arg(long)]
    pub s3_sse_c_over_http: bool,
    /// Encrypt every object (SSE-S3) where neither the request nor the bucket says how. Reads cost more CPU then.
    #[arg(long)]
    pub s3_encrypt_all: bool,
}

impl S3Switches {
    /// Has the object store follow them.
    pub(crate) const fn apply(&self, config: &mut WalrusConfig) {
        config.sse_c_over_http = self.s3_sse_c_over_http;
        config.encrypt_all = self.s3_encrypt_all;
    }
}

impl Switches {
    /// Whether any is on.
    pub(crate) const fn is_any(&self) -> bool {
        self.allow_sigv2 || self.network_limits || !self.private_issuer.is_empty()
    }

    /// Has the cloud follow them.
    pub(crate) fn apply(&self, cloud: &Cloud) {
        if self.allow_sigv2 {
            cloud.allow_sigv2();
        }
        if self.network_limits {
            cloud.limit_network();
        }
        cloud.oidc().allow_private(self.private_issuer.iter().cloned());
    }
}

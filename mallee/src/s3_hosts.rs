//! Hosts of buckets: below which domains a name is a bucket, and below which it is a bucket's web site.

use anyhow::{Result, bail};
use mallee_walrus::WalrusConfig;

/// Domains of S3. Every tier that S3 requests come to must be told the same.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct S3Hosts {
    /// A domain below which hosts are buckets (BUCKET.DOMAIN, virtual-host style); once for each. Nothing else may be
    /// reached by names below it.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub s3_domain: Vec<String>,
    /// A domain below which hosts are the web sites of buckets (BUCKET.DOMAIN); once for each.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub s3_website_domain: Vec<String>,
}

/// Reads a domain: labels of letters, digits and dashes, in lower case.
fn domain(text: &str) -> Result<String> {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && label.len() <= 63 && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.len() > 190 || !text.split('.').all(label) {
        bail!("a domain is like s3.example.com, without a port and without a dot at its ends");
    }
    Ok(text.to_ascii_lowercase())
}

impl S3Hosts {
    /// All of them, for a front door.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        [&self.s3_domain[..], &self.s3_website_domain[..]].concat()
    }

    /// Has Walrus know them.
    pub(crate) fn apply(&self, config: &mut WalrusConfig) {
        config.domains.clone_from(&self.s3_domain);
        config.websites.clone_from(&self.s3_website_domain);
    }
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn domains() {
        assert_eq!(domain("S3.example.com").expect("good"), "s3.example.com");
        assert!(domain("localhost").is_ok());
        for bad in ["", ".", "s3.example.com:80", ".s3", "s3.", "-a.b", "a_b", "http://s3"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}

//! Where the blobs are, as an operator writes it down:
//!
//! ```text
//! s3://BUCKET/PREFIX?endpoint=http://127.0.0.1:7480&region=default
//! fs:///mnt/shared/walrus
//! webhdfs://NAMENODE:9870/walrus?user=mallee
//! ```

use mallee_objects::Error;
use opendal::Operator;
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::services::{Fs, S3, Webhdfs};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::time::Duration;
use url::Url;

/// How often a request that may succeed later is made.
const ATTEMPTS: usize = 4;
/// The longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The credentials for another S3.
#[derive(Debug, Clone)]
pub struct RemoteKeys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret: SecretString,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct RemotePlace {
    url: Url,
    keys: Option<RemoteKeys>,
}

/// A place that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; give s3://BUCKET/PREFIX?endpoint=URL&region=NAME, fs:///DIRECTORY or webhdfs://HOST:PORT/DIRECTORY?user=NAME"
)]
pub struct BadPlace(String);

impl fmt::Display for RemotePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

/// Parameters of each scheme.
const PARAMETERS: &[(&str, &[&str])] = &[("s3", &["endpoint", "region"]), ("fs", &[]), ("webhdfs", &["user"])];

impl RemotePlace {
    /// Reads a place. Another S3 takes `keys`.
    ///
    /// # Errors
    /// [`BadPlace`].
    pub fn parse(text: &str, keys: Option<RemoteKeys>) -> Result<Self, BadPlace> {
        let bad = |why: String| Err(BadPlace(why));
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return bad(format!("{text:?} is no place for blobs: {error}")),
        };
        let Some((scheme, known)) = PARAMETERS.iter().find(|(scheme, _)| *scheme == url.scheme()) else {
            return bad(format!("blobs cannot be kept at {}:", url.scheme()));
        };
        if let Some((name, _)) = url.query_pairs().find(|(name, _)| !known.contains(&name.as_ref())) {
            return bad(format!("{scheme} has no parameter {name:?}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("credentials do not belong in the place of the blobs".to_owned());
        }
        let place = Self { url, keys };
        match *scheme {
            "s3" if place.url.host_str().is_none_or(str::is_empty) => bad("the bucket is missing".to_owned()),
            "s3" if place.parameter("endpoint").is_none() => bad("the endpoint is missing".to_owned()),
            "s3" if place.keys.is_none() => bad("keys for the other S3 are missing".to_owned()),
            "webhdfs" if place.url.host_str().is_none_or(str::is_empty) => bad("the host is missing".to_owned()),
            "fs" if place.url.host_str().is_some_and(|host| !host.is_empty()) => {
                bad("a directory begins with a third slash".to_owned())
            }
            "fs" if place.url.path() == "/" => bad("the directory is missing".to_owned()),
            _ => Ok(place),
        }
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned()).filter(|v| !v.is_empty())
    }

    /// What speaks to it.
    pub(crate) fn operator(&self) -> Result<Operator, Error> {
        // The HTTP client asks for the provider of the process.
        drop(rustls::crypto::ring::default_provider().install_default());
        opendal_http_transport_reqwest::install_default();
        let root = match self.url.path() {
            "" => "/",
            path => path,
        };
        let made = match (self.url.scheme(), &self.keys) {
            ("s3", Some(keys)) => {
                let s3 = S3::default()
                    .root(root)
                    .bucket(self.url.host_str().unwrap_or_default())
                    .endpoint(&self.parameter("endpoint").unwrap_or_default())
                    .region(self.parameter("region").as_deref().unwrap_or("us-east-1"))
                    .access_key_id(&keys.access_key_id)
                    .secret_access_key(keys.secret.expose_secret())
                    .disable_config_load()
                    .disable_ec2_metadata();
                Operator::new(s3)
            }
            ("fs", _) => Operator::new(Fs::default().root(root).atomic_write_dir(&format!("{root}/tmp"))),
            _ => {
                let host = self.url.host_str().unwrap_or_default();
                let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let hdfs = Webhdfs::default().root(root).endpoint(&format!("http://{host}{port}"));
                let hdfs = hdfs.atomic_write_dir(&format!("{root}/tmp/"));
                Operator::new(match self.parameter("user") {
                    Some(user) => hdfs.user_name(&user),
                    None => hdfs,
                })
            }
        };
        let operator = made.map_err(|e| crate::failure(self.url.as_str(), "cannot be used", &e))?;
        let timeout = TimeoutLayer::new().with_timeout(TIMEOUT).with_io_timeout(TIMEOUT);
        let retry = RetryLayer::new().with_max_times(ATTEMPTS - 1).with_jitter();
        Ok(operator.layer(timeout).layer(retry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Option<RemoteKeys> {
        Some(RemoteKeys { access_key_id: "A".into(), secret: "hidden".into() })
    }

    #[test]
    fn places() {
        for good in [
            "s3://bucket/some/prefix?endpoint=http://127.0.0.1:7480&region=x",
            "fs:///mnt/shared/walrus",
            "webhdfs://name:9870/walrus?user=u",
        ] {
            let place = RemotePlace::parse(good, keys()).expect(good);
            assert_eq!(place.to_string(), good);
            assert!(place.operator().is_ok(), "{good}");
            assert!(!format!("{place:?}").contains("hidden"));
        }
        for bad in [
            "",
            "bucket",
            "ftp://x/y",
            "s3://bucket",
            "s3:///x?endpoint=http://h",
            "s3://k:s@bucket/?endpoint=http://h",
            "s3://bucket/?endpoint=http://h&acl=public",
            "fs://mnt/shared",
            "fs:///",
            "webhdfs:///walrus",
        ] {
            assert!(RemotePlace::parse(bad, keys()).is_err(), "{bad}");
        }
        assert!(RemotePlace::parse("s3://bucket/?endpoint=http://h", None).is_err(), "without keys");
    }
}

//! What can go wrong with keys, certificates and connections.

use std::io;
use std::path::{Path, PathBuf};

/// A failed operation of this crate; its text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or directory could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried: `read`, `write`, ….
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is there but is not usable as it is; the text names it and says what to do.
    #[error("{0}")]
    State(String),
    /// The CA refuses a signing request.
    #[error("the certificate request is refused: {0}")]
    Request(String),
    /// A certificate does not fit its key, its CA, or its time.
    #[error("the certificate is not usable: {0}")]
    Certificate(String),
    /// Nobody renewed a certificate.
    #[error("no new certificate: {0}")]
    Renewal(String),
    /// A text is no join token.
    #[error("this is no join token; copy the whole text that `mallee node token` printed")]
    Token,
    /// No connection.
    #[error("cannot connect to {uri}: {cause}")]
    Connect {
        /// Where to.
        uri: String,
        /// Why not.
        cause: String,
    },
    /// The TLS library refused a configuration, or key generation failed.
    #[error("the TLS library failed: {0}")]
    Crypto(String),
}

impl PkiError {
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<rustls::Error> for PkiError {
    fn from(error: rustls::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

//! One typed error across process boundaries: raised in one tier, read as the same value in another.

use crate::v1::{ErrorDetail, ErrorKind};
use prost::Message as _;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The binary header that carries the detail.
const HEADER: &str = "mallee-error-bin";
/// Detail texts longer than this are cut, so that headers stay within HTTP/2's default limit.
const TEXT_BYTES_MAX: usize = 2048;

/// What went wrong, coarse enough to decide on and fine enough to map to an AWS code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing named does not exist (or the caller may not know that it does).
    NotFound,
    /// The request can never succeed as it is.
    Invalid,
    /// The thing is in a state that does not allow this now.
    Conflict,
    /// The caller's identity may not do this.
    Forbidden,
    /// No room.
    Capacity,
    /// The caller's term of leadership is over.
    StaleEpoch,
    /// Try again: nothing was done, or repeating it is harmless.
    Unavailable,
    /// A defect, or a broken host.
    Internal,
}

impl Kind {
    const fn grpc(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::Invalid => Code::InvalidArgument,
            Self::Conflict => Code::FailedPrecondition,
            Self::Forbidden => Code::PermissionDenied,
            Self::Capacity => Code::ResourceExhausted,
            Self::StaleEpoch => Code::Aborted,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    const fn wire(self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Invalid => ErrorKind::Invalid,
            Self::Conflict => ErrorKind::Conflict,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::Capacity => ErrorKind::Capacity,
            Self::StaleEpoch => ErrorKind::StaleEpoch,
            Self::Unavailable => ErrorKind::Unavailable,
            Self::Internal => ErrorKind::Internal,
        }
    }

    const fn from_wire(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::Capacity => Self::Capacity,
            ErrorKind::StaleEpoch => Self::StaleEpoch,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Internal | ErrorKind::Unspecified => Self::Internal,
        }
    }

    const fn from_grpc(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::FailedPrecondition | Code::AlreadyExists => Self::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => Self::Forbidden,
            Code::ResourceExhausted => Self::Capacity,
            Code::Aborted => Self::StaleEpoch,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unavailable,
            Code::Ok | Code::Unknown | Code::Internal | Code::Unimplemented | Code::DataLoss => Self::Internal,
        }
    }

    /// Whether trying the same again can help.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

/// An error of one tier as another sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// The kind.
    pub kind: Kind,
    /// For the operator: names the cause and the host.
    pub message: String,
    /// For the tenant; empty = none.
    pub tenant_message: String,
    /// The AWS code to answer; empty = derived from the kind.
    pub aws_code: String,
}

impl WireError {
    /// An error for the operator only.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), tenant_message: String::new(), aws_code: String::new() }
    }

    /// Adds what the tenant is told.
    #[must_use]
    pub fn for_tenant(mut self, aws_code: impl Into<String>, message: impl Into<String>) -> Self {
        self.aws_code = aws_code.into();
        self.tenant_message = message.into();
        self
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        let detail = ErrorDetail {
            kind: error.kind.wire().into(),
            message: cut(&error.message),
            tenant_message: cut(&error.tenant_message),
            aws_code: error.aws_code,
        };
        let mut status = Self::new(error.kind.grpc(), detail.message.clone());
        let value = MetadataValue::from_bytes(&detail.encode_to_vec());
        status.metadata_mut().insert_bin(HEADER, value);
        status
    }
}

impl From<Status> for WireError {
    fn from(status: Status) -> Self {
        let detail = status
            .metadata()
            .get_bin(HEADER)
            .and_then(|value| value.to_bytes().ok())
            .and_then(|bytes| ErrorDetail::decode(bytes).ok());
        match detail {
            Some(detail) => Self {
                kind: Kind::from_wire(detail.kind()),
                message: detail.message,
                tenant_message: detail.tenant_message,
                aws_code: detail.aws_code,
            },
            None => Self::new(Kind::from_grpc(status.code()), status.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_the_wire_unchanged() {
        let error = WireError::new(Kind::Capacity, "node-1: 0 of 2 vcpus free")
            .for_tenant("InsufficientInstanceCapacity", "There is no Spot capacity");
        assert_eq!(WireError::from(Status::from(error.clone())), error);
    }

    #[test]
    fn a_status_without_detail_keeps_its_meaning() {
        let error = WireError::from(Status::unavailable("connection refused"));
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.kind.retryable());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let error = WireError::new(Kind::Internal, "ü".repeat(5000));
        assert!(WireError::from(Status::from(error)).message.len() <= TEXT_BYTES_MAX);
    }
}

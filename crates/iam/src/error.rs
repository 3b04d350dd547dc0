//! Why a policy document is refused, in AWS's words.

use thiserror::Error;

/// Why [`crate::Policy::parse`] refused a document.
///
/// The text is what AWS answers with the code `MalformedPolicyDocument` (IAM and STS) or `MalformedPolicy` (S3);
/// [`PolicyError::TooLarge`] is `LimitExceeded` in IAM and `PackedPolicyTooLarge` in STS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The document is no JSON, nests too deep, or repeats a key.
    #[error("This policy contains invalid Json")]
    InvalidJson {
        /// What is wrong, for a log or a linter.
        why: JsonError,
    },
    /// JSON that does not follow the policy grammar.
    #[error("Syntax errors in policy.")]
    Syntax {
        /// Which element, for a log or a linter.
        why: String,
    },
    /// A managed policy must say `2012-10-17`.
    #[error("Policy document must be version 2012-10-17 or greater.")]
    Version,
    /// A value that its operator cannot read (a date that is none).
    #[error("The policy failed legacy parsing")]
    LegacyParsing,
    /// Two statements with one Sid.
    #[error("Statement IDs (SID) in a single policy must be unique.")]
    DuplicateSid,
    /// A Sid with other characters than letters and digits, where only those are allowed.
    #[error(
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
    )]
    BadSid,
    /// Neither `Action` nor `NotAction`.
    #[error("Policy statement must contain actions.")]
    NoActions,
    /// Neither `Resource` nor `NotResource`.
    #[error("Policy statement must contain resources.")]
    NoResources,
    /// `Principal` in a policy that is attached to one.
    #[error("Policy document should not specify a principal.")]
    PrincipalNotAllowed,
    /// A field that this kind of policy must not have.
    #[error("Has prohibited field {0}")]
    Prohibited(&'static str),
    /// A field that this kind of policy must have.
    #[error("Missing required field {0}")]
    Missing(&'static str),
    /// A principal that is none.
    #[error("Invalid principal in policy: {0}")]
    InvalidPrincipal(String),
    /// A trust policy about something else than assuming.
    #[error("AssumeRole policy may only specify STS AssumeRole actions.")]
    NotAssumeRole,
    /// An action without `service:`.
    #[error("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")]
    NoVendor,
    /// An action of three parts.
    #[error("Actions/Condition can contain only one colon.")]
    ManyColons,
    /// A service name with odd characters.
    #[error("Vendor {0} is not valid")]
    Vendor(String),
    /// A resource that is neither ARN nor `*`.
    #[error("Resource {0} must be in ARN format or \"*\".")]
    NotArn(String),
    /// An ARN of a partition that is not ours.
    #[error("Partition \"{partition}\" is not valid for resource \"{resource}\".")]
    Partition {
        /// The partition given.
        partition: String,
        /// The whole ARN, filled up with `*`.
        resource: String,
    },
    /// A wildcard in the service field of an ARN, or nothing after it.
    #[error("Resource vendor must be fully qualified and cannot contain regexes.")]
    ResourceVendor,
    /// A region where the service has none.
    #[error("{service} {resource} {verb} contain region information.")]
    Region {
        /// `IAM resource` or `Resource`.
        service: &'static str,
        /// The ARN.
        resource: String,
        /// `cannot` or `can not`: AWS spells it both ways.
        verb: &'static str,
    },
    /// An IAM resource of no kind that IAM has.
    #[error(
        "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, instance-profile/, \
         mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/."
    )]
    IamPath,
    /// More characters (white space not counted) than this kind of policy may have.
    #[error("Cannot exceed quota for PolicySize: {limit}")]
    TooLarge {
        /// The limit, in characters without white space.
        limit: usize,
    },
}

/// Why a text is no JSON that a policy may be written in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// The ways in which a text is no JSON for us.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonErrorKind {
    /// Not what the grammar of JSON has here.
    #[error("unexpected character or end")]
    Unexpected,
    /// A string with a raw control character, a bad escape or half a surrogate pair.
    #[error("malformed string")]
    BadString,
    /// A number that JSON does not write so.
    #[error("malformed number")]
    BadNumber,
    /// One key twice in one object: readers differ on which one counts, so neither does.
    #[error("duplicate key {0:?}")]
    DuplicateKey(String),
    /// Nested deeper than any policy is.
    #[error("nested too deep")]
    TooDeep,
    /// Something follows the document.
    #[error("text after the document")]
    Trailing,
}

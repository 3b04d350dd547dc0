//! What lists tell of objects.

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a list tells of each object, in AWS's order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// AWS's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

fields! {
    /// Its bytes.
    Size,
    /// When it was written.
    LastModifiedDate,
    /// Its entity tag.
    ETag,
    /// Its storage class.
    StorageClass,
    /// Whether it was uploaded in parts.
    IsMultipartUploaded,
    /// State of its replication.
    ReplicationStatus,
    /// How it is encrypted.
    EncryptionStatus,
    /// Until when it is retained.
    ObjectLockRetainUntilDate,
    /// How it is retained.
    ObjectLockMode,
    /// Whether it is on legal hold.
    ObjectLockLegalHoldStatus,
    /// Whether the bucket's key of KMS encrypts it.
    BucketKeyStatus,
    /// Of which kinds its checksums are.
    ChecksumAlgorithm,
    /// Whose it is, by canonical id.
    ObjectOwner,
}

/// Fields of AWS that lists do not have here.
const OTHERS: &[&str] = &[
    "IntelligentTieringAccessTier",
    "IntelligentTieringReferenceDate",
    "LifecycleExpirationDate",
    "ObjectAccessControlList",
    "ObjectLockEventHoldDuration",
    "ObjectLockEventHoldStatus",
];

impl Field {
    /// Reads AWS's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

/// Whether AWS has a field of this name.
pub(super) fn is_known(name: &str) -> bool {
    Field::parse(name).is_some() || OTHERS.contains(&name)
}

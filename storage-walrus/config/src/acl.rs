//! Access control lists of buckets and objects (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>).
//! Accounts are named by their numbers here; that clients name them by canonical ids is the protocol's affair.

use std::fmt;

/// Grants of one list.
pub const GRANTS_MAX: usize = 100;

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// All that follows.
    FullControl,
    /// To change a bucket's objects.
    Write,
    /// To change the list.
    WriteAcp,
    /// To list a bucket, to read an object.
    Read,
    /// To read the list.
    ReadAcp,
}

impl Permission {
    /// All.
    pub const ALL: [Self; 5] = [Self::FullControl, Self::Write, Self::WriteAcp, Self::Read, Self::ReadAcp];

    /// S3's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Write => "WRITE",
            Self::WriteAcp => "WRITE_ACP",
            Self::Read => "READ",
            Self::ReadAcp => "READ_ACP",
        }
    }

    /// Reads S3's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == text)
    }
}

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantee {
    /// An account, by its number.
    Account(String),
    /// Everybody, whether they signed or not.
    AllUsers,
    /// Everybody who signed, of whatever account.
    AuthenticatedUsers,
    /// The service that delivers access logs.
    LogDelivery,
    /// EC2, which reads images.
    Ec2,
}

const GROUPS: [(Grantee, &str); 3] = [
    (Grantee::AllUsers, "http://acs.amazonaws.com/groups/global/AllUsers"),
    (Grantee::AuthenticatedUsers, "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"),
    (Grantee::LogDelivery, "http://acs.amazonaws.com/groups/s3/LogDelivery"),
];
/// The canonical id that EC2 has at AWS.
pub const EC2_CANONICAL_ID: &str = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c";
const EC2: &str = "ec2";

impl Grantee {
    /// The group of a URI.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        GROUPS.iter().find(|(_, known)| *known == uri).map(|(group, _)| group.clone())
    }

    /// The URI of a group.
    #[must_use]
    pub fn uri(&self) -> Option<&'static str> {
        GROUPS.iter().find(|(group, _)| group == self).map(|(_, uri)| *uri)
    }

    /// Whether it is the public.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// A list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl {
    /// Its grants, in their order.
    pub grants: Vec<Grant>,
}

/// The canned lists.
const CANNED: &[&str] = &[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
    "ec2-bundle-read",
];

impl Acl {
    /// The owner alone, with full control.
    #[must_use]
    pub fn private(owner: &str) -> Self {
        let grantee = Grantee::Account(owner.to_owned());
        Self { grants: vec![Grant { grantee, permission: Permission::FullControl }] }
    }

    /// A canned list, for what this account owns in a bucket of that one (of a bucket both are the same); `None`: there is
    /// no such one.
    #[must_use]
    pub fn canned(name: &str, owner: &str, bucket_owner: &str) -> Option<Self> {
        use Permission::{FullControl, Read, ReadAcp, Write};
        if !CANNED.contains(&name) {
            return None;
        }
        let more: &[(Grantee, Permission)] = match name {
            "public-read" => &[(Grantee::AllUsers, Read)],
            "public-read-write" => &[(Grantee::AllUsers, Read), (Grantee::AllUsers, Write)],
            "authenticated-read" => &[(Grantee::AuthenticatedUsers, Read)],
            "aws-exec-read" | "ec2-bundle-read" => &[(Grantee::Ec2, Read)],
            "bucket-owner-read" if owner != bucket_owner => &[(Grantee::Account(bucket_owner.to_owned()), Read)],
            "bucket-owner-full-control" if owner != bucket_owner => {
                &[(Grantee::Account(bucket_owner.to_owned()), FullControl)]
            }
            "log-delivery-write" => &[(Grantee::LogDelivery, Write), (Grantee::LogDelivery, ReadAcp)],
            _ => &[],
        };
        let mut acl = Self::private(owner);
        let grant =
            |(grantee, permission): &(Grantee, Permission)| Grant { grantee: grantee.clone(), permission: *permission };
        acl.grants.extend(more.iter().map(grant));
        Some(acl)
    }

    /// Whether it grants anything to the public.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// Whether nobody but this account has anything of it.
    #[must_use]
    pub fn is_private(&self, owner: &str) -> bool {
        self.grants.iter().all(|grant| matches!(&grant.grantee, Grantee::Account(account) if account == owner))
    }

    /// Reads back what [`Acl`]'s `Display` wrote; `None`: it is damaged, or of a later release.
    #[must_use]
    pub fn kept(text: &str) -> Option<Self> {
        let grant = |line: &str| {
            let (permission, grantee) = line.split_once(' ')?;
            let grantee = match grantee {
                EC2 => Grantee::Ec2,
                uri if uri.contains(':') => Grantee::of_uri(uri)?,
                account => Grantee::Account(account.to_owned()),
            };
            Some(Grant { grantee, permission: Permission::parse(permission)? })
        };
        let grants = text.lines().map(grant).collect::<Option<Vec<_>>>()?;
        Some(Self { grants })
    }
}

/// As it is kept: a grant per line, its permission and its grantee.
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for grant in &self.grants {
            let grantee = match &grant.grantee {
                Grantee::Account(account) => account,
                Grantee::Ec2 => EC2,
                group => group.uri().unwrap_or_default(),
            };
            writeln!(f, "{} {grantee}", grant.permission.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canned_lists_and_how_they_are_kept() {
        let text = |name| Acl::canned(name, "1", "2").map(|acl| acl.to_string().replace('\n', ";"));
        let all = "http://acs.amazonaws.com/groups/global/AllUsers";
        assert_eq!(text("private").as_deref(), Some("FULL_CONTROL 1;"));
        assert_eq!(text("public-read-write"), Some(format!("FULL_CONTROL 1;READ {all};WRITE {all};")));
        assert_eq!(text("bucket-owner-read").as_deref(), Some("FULL_CONTROL 1;READ 2;"));
        assert_eq!(text("bucket-owner-full-control").as_deref(), Some("FULL_CONTROL 1;FULL_CONTROL 2;"));
        assert_eq!(text("aws-exec-read").as_deref(), Some("FULL_CONTROL 1;READ ec2;"));
        assert_eq!(text("unknown"), None);
        for name in CANNED {
            let acl = Acl::canned(name, "1", "2").expect("one");
            assert_eq!(Acl::kept(&acl.to_string()).as_ref(), Some(&acl), "{name}");
            assert_eq!(acl.is_public(), name.starts_with("public") || *name == "authenticated-read", "{name}");
            assert_eq!(acl.is_private("1"), *name == "private", "{name}");
            assert_eq!(Acl::canned(name, "1", "1").expect("one").grants.first(), acl.grants.first());
        }
        assert_eq!(Acl::kept("READ"), None);
        assert_eq!(Acl::kept("EAT 1\n"), None);
        assert_eq!(Acl::kept("READ urn:x\n"), None);
    }
}

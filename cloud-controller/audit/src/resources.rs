//! What a call was about, told from the ids and names in it.

use crate::Resource;
use std::collections::BTreeSet;

/// Resources one record lists at most.
pub const RESOURCES_MAX: usize = 50;

/// Prefixes of ids, with CloudFormation's names of the kinds.
const IDS: &[(&str, &str)] = &[
    ("acl", "AWS::EC2::NetworkAcl"),
    ("ami", "AWS::EC2::Ami"),
    ("cr", "AWS::EC2::CapacityReservation"),
    ("dopt", "AWS::EC2::DHCPOptions"),
    ("eipalloc", "AWS::EC2::EIP"),
    ("eni", "AWS::EC2::NetworkInterface"),
    ("fleet", "AWS::EC2::EC2Fleet"),
    ("h", "AWS::EC2::Host"),
    ("i", "AWS::EC2::Instance"),
    ("igw", "AWS::EC2::InternetGateway"),
    ("key", "AWS::EC2::KeyPair"),
    ("lt", "AWS::EC2::LaunchTemplate"),
    ("nat", "AWS::EC2::NatGateway"),
    ("pg", "AWS::EC2::PlacementGroup"),
    ("pl", "AWS::EC2::PrefixList"),
    ("rtb", "AWS::EC2::RouteTable"),
    ("sg", "AWS::EC2::SecurityGroup"),
    ("snap", "AWS::EC2::Snapshot"),
    ("subnet", "AWS::EC2::Subnet"),
    ("vol", "AWS::EC2::Volume"),
    ("vpc", "AWS::EC2::VPC"),
    ("vpce", "AWS::EC2::VPCEndpoint"),
    ("pcx", "AWS::EC2::VPCPeeringConnection"),
];

/// Parameters whose value is a name.
const NAMES: &[(&str, &str)] = &[
    ("GroupName", "AWS::IAM::Group"),
    ("InstanceProfileName", "AWS::IAM::InstanceProfile"),
    ("KeyName", "AWS::EC2::KeyPair"),
    ("PolicyArn", "AWS::IAM::Policy"),
    ("PolicyName", "AWS::IAM::Policy"),
    ("RoleArn", "AWS::IAM::Role"),
    ("RoleName", "AWS::IAM::Role"),
    ("UserName", "AWS::IAM::User"),
];

/// The kind of an id (`i-0123…`), if it has the form of one.
fn kind_of(word: &str) -> Option<&'static str> {
    let (prefix, digits) = word.split_once('-')?;
    let is_id = matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    IDS.iter().find(|(id, _)| is_id && *id == prefix).map(|(_, kind)| *kind)
}

/// Those that the parameters name.
#[must_use]
pub fn of<'a>(service: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Resource> {
    let mut found = Found::default();
    for (name, value) in pairs {
        if let Some(kind) = kind_of(value) {
            found.add(kind, value);
        }
        let named = NAMES.iter().find(|(parameter, _)| *parameter == name);
        match named {
            // A group of EC2 is a security group.
            Some(("GroupName", _)) if service == "ec2" => found.add("AWS::EC2::SecurityGroup", value),
            Some((_, kind)) => found.add(kind, value),
            None => {}
        }
    }
    found.0.into_iter().collect()
}

/// With those that a call made: their ids are in its reply.
#[must_use]
pub fn with_made(named: Vec<Resource>, reply: &str) -> Vec<Resource> {
    let mut found = Found(named.into_iter().collect());
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    for word in reply.split(|c| !is_word(c)) {
        if let Some(kind) = kind_of(word) {
            found.add(kind, word);
        }
    }
    found.0.into_iter().collect()
}

/// In order, each once, up to [`RESOURCES_MAX`].
#[derive(Default)]
struct Found(BTreeSet<Resource>);

impl Found {
    fn add(&mut self, kind: &str, name: &str) {
        if self.0.len() < RESOURCES_MAX {
            self.0.insert(Resource { kind: kind.to_owned(), name: name.to_owned(), arn: None, account_id: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_told() {
        let pairs = [("ImageId", "ami-0123456789abcdef0"), ("KeyName", "k"), ("ClientToken", "i-am-no-id")];
        let reply = "<r><instanceId>i-0123456789abcdef0</instanceId><groupId>sg-01234567</groupId></r>";
        let found: Vec<String> =
            with_made(of("ec2", pairs), reply).into_iter().map(|r| format!("{} {}", r.kind, r.name)).collect();
        assert_eq!(
            found,
            [
                "AWS::EC2::Ami ami-0123456789abcdef0",
                "AWS::EC2::Instance i-0123456789abcdef0",
                "AWS::EC2::KeyPair k",
                "AWS::EC2::SecurityGroup sg-01234567",
            ]
        );
    }

    #[test]
    fn a_list_has_an_end() {
        let reply: String = (0..200).map(|n| format!("<id>i-{n:08x}</id>")).collect();
        assert_eq!(with_made(Vec::new(), &reply).len(), RESOURCES_MAX);
    }
}

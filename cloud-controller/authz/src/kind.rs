//! Kinds of resources and the form of their ARNs.

/// A service whose operations are in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `ec2:`
    Ec2,
    /// `iam:`
    Iam,
    /// `sts:`
    Sts,
    /// `s3:`
    S3,
}

impl Service {
    /// The prefix of its actions.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::S3 => "s3",
        }
    }

    /// The service of this name in the credential scope.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ec2, Self::Iam, Self::Sts, Self::S3].into_iter().find(|service| service.prefix() == name)
    }
}

/// A kind of resource, as its ARNs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The service in the ARN.
    pub service: Service,
    /// What stands before the id (`instance` in `…:instance/i-1`), which for EC2 is the resource type of its tags.
    pub word: &'static str,
    /// EC2: the ARN has no account, because who may use one need not own it (images, snapshots).
    pub is_shared: bool,
}

const fn ec2(word: &'static str) -> Kind {
    Kind { service: Service::Ec2, word, is_shared: false }
}

const fn iam(word: &'static str) -> Kind {
    Kind { service: Service::Iam, word, is_shared: false }
}

impl Kind {
    /// The ARN of the resource that `tail` names below its word: an id, a name with its path, or `*`.
    #[must_use]
    pub fn arn(&self, region: &str, account: &str, tail: &str) -> String {
        let word = self.word;
        match self.service {
            Service::Ec2 if self.is_shared => format!("arn:aws:ec2:{region}::{word}/{tail}"),
            Service::Ec2 => format!("arn:aws:ec2:{region}:{account}:{word}/{tail}"),
            // A path brings its own slash: `user/path/name`.
            _ => format!("arn:aws:{}::{account}:{word}/{}", self.service.prefix(), tail.trim_start_matches('/')),
        }
    }

    /// The EC2 kind with this resource type.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        BY_PREFIX.iter().map(|(_, kind)| *kind).chain(WITHOUT_PREFIX.iter().copied()).find(|kind| kind.word == word)
    }

    /// The EC2 kind whose ids begin so.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        let (prefix, _) = id.rsplit_once('-')?;
        BY_PREFIX.iter().find(|(known, _)| *known == prefix).map(|(_, kind)| *kind)
    }
}

macro_rules! kinds {
    ($table:ident of $make:ident: $($prefix:literal $name:ident = $word:literal;)*) => {
        $(pub(crate) const $name: Kind = $make($word);)*
        /// Prefixes of ids and what they are.
        const $table: &[(&str, Kind)] = &[$(($prefix, $name)),*];
    };
}

kinds! { ACCOUNT_KINDS of ec2:
    "i" INSTANCE = "instance";
    "sg" GROUP = "security-group";
    "sgr" RULE = "security-group-rule";
    "key" KEY_PAIR = "key-pair";
    "vpc" VPC = "vpc";
    "subnet" SUBNET = "subnet";
    "eni" INTERFACE = "network-interface";
    "vol" VOLUME = "volume";
    "eipalloc" ADDRESS = "elastic-ip";
    "lt" TEMPLATE = "launch-template";
    "pg" PLACEMENT = "placement-group";
    "cr" RESERVATION = "capacity-reservation";
    "h" HOST = "dedicated-host";
    "fleet" FLEET = "fleet";
    "sir" SPOT = "spot-instances-request";
    "acl" ACL = "network-acl";
    "igw" INTERNET_GATEWAY = "internet-gateway";
    "eigw" EGRESS_GATEWAY = "egress-only-internet-gateway";
    "nat" NAT_GATEWAY = "natgateway";
    "cagw" CARRIER_GATEWAY = "carrier-gateway";
    "cgw" CUSTOMER_GATEWAY = "customer-gateway";
    "vgw" VPN_GATEWAY = "vpn-gateway";
    "vpn" VPN = "vpn-connection";
    "rtb" ROUTE_TABLE = "route-table";
    "dopt" DHCP_OPTIONS = "dhcp-options";
    "pl" PREFIX_LIST = "prefix-list";
    "pcx" PEERING = "vpc-peering-connection";
    "tgw" TRANSIT_GATEWAY = "transit-gateway";
    "tgw-attach" TRANSIT_ATTACHMENT = "transit-gateway-attachment";
    "tgw-rtb" TRANSIT_TABLE = "transit-gateway-route-table";
    "vpce" ENDPOINT = "vpc-endpoint";
    "fl" FLOW_LOG = "vpc-flow-log";
    "nip" INSIGHTS_PATH = "network-insights-path";
    "nia" INSIGHTS_ANALYSIS = "network-insights-analysis";
    "replacevol" ROOT_TASK = "replace-root-volume-task";
    "import-ami" IMPORT_IMAGE = "import-image-task";
    "import-snap" IMPORT_SNAPSHOT = "import-snapshot-task";
    "export-i" EXPORT_INSTANCE = "export-instance-task";
    "iew" EVENT_WINDOW = "instance-event-window";
    "ipv4pool-ec2" IPV4_POOL = "ipv4pool-ec2";
}

/// Machine images.
pub(crate) const IMAGE: Kind = Kind { service: Service::Ec2, word: "image", is_shared: true };
/// Snapshots of volumes.
pub(crate) const SNAPSHOT: Kind = Kind { service: Service::Ec2, word: "snapshot", is_shared: true };
const BUNDLE_TASK: Kind = ec2("bundle-task");

const BY_PREFIX: &[(&str, Kind)] = {
    const COUNT: usize = ACCOUNT_KINDS.len() + 2;
    const ALL: [(&str, Kind); COUNT] = {
        let mut all = [("ami", IMAGE); COUNT];
        all[1] = ("snap", SNAPSHOT);
        let mut at = 0;
        while at < ACCOUNT_KINDS.len() {
            all[at + 2] = ACCOUNT_KINDS[at];
            at += 1;
        }
        all
    };
    &ALL
};
const WITHOUT_PREFIX: &[Kind] = &[BUNDLE_TASK];

pub(crate) const USER: Kind = iam("user");
pub(crate) const IAM_GROUP: Kind = iam("group");
pub(crate) const ROLE: Kind = iam("role");
pub(crate) const PROFILE: Kind = iam("instance-profile");
pub(crate) const POLICY: Kind = iam("policy");
pub(crate) const MFA: Kind = iam("mfa");
pub(crate) const OIDC: Kind = iam("oidc-provider");
pub(crate) const SAML: Kind = iam("saml-provider");
pub(crate) const CERTIFICATE: Kind = iam("server-certificate");

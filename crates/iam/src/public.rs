//! Which policies of resources let in everybody, as S3 understands "public": a statement that allows, names everyone, and
//! has no condition that confines it to fixed values
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>).

use crate::condition::{Condition, Operand, Operator, Quantifier};
use crate::policy::{Effect, Policy, Statement};
use crate::principal_pattern::PrincipalPattern;
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Keys whose fixed values tell who may come, or from where.
const CONFINING: &[&str] = &[
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];
const SOURCE_IP: &str = "aws:sourceip";
/// Networks that are broader are the public.
const BROADEST: (u8, u8) = (8, 32);
/// Addresses of nobody in particular, which are always somebody's own.
const PRIVATE: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];
const LOCAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

impl Policy {
    /// Whether it is public.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }

    /// Whom its statements name: accounts' numbers, ARNs and unique ids, without services and providers.
    pub fn named_principals(&self) -> impl Iterator<Item = &str> {
        let patterns = self.statements.iter().flat_map(|statement| &statement.principal).flat_map(|set| &set.items);
        patterns.filter_map(|pattern| match pattern {
            PrincipalPattern::Account(account) => Some(account.as_str()),
            PrincipalPattern::Arn(text) | PrincipalPattern::UniqueId(text) => Some(text.as_ref()),
            PrincipalPattern::Everyone | PrincipalPattern::Service(_) | PrincipalPattern::Federated(_) => None,
        })
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let everyone =
            self.principal.as_ref().is_some_and(|set| set.negated || set.items.contains(&PrincipalPattern::Everyone));
        self.effect == Effect::Allow && everyone && !self.conditions.iter().any(Condition::confines)
    }
}

impl Condition {
    /// Whether it holds for fixed values of a confining key only.
    fn confines(&self) -> bool {
        let must_be_there = !self.if_exists && self.quantifier != Quantifier::All;
        if !must_be_there || self.operands.is_empty() {
            return false;
        }
        if *self.key == *SOURCE_IP {
            return self.operator == Operator::IpAddress && self.operands.iter().all(is_narrow);
        }
        let is_equality = matches!(
            self.operator,
            Operator::StringEquals | Operator::StringEqualsIgnoreCase | Operator::StringLike | Operator::Arn
        );
        CONFINING.contains(&&*self.key) && is_equality && self.operands.iter().all(Operand::is_fixed)
    }
}

fn is_narrow(operand: &Operand) -> bool {
    match operand {
        Operand::Net(IpNet::V4(net)) => {
            let own = |(address, length): &(Ipv4Addr, u8)| {
                let mask = u32::MAX << (32 - u32::from(*length));
                net.prefix_len() >= *length && net.addr().to_bits() & mask == address.to_bits()
            };
            net.prefix_len() >= BROADEST.0 || PRIVATE.iter().any(own)
        }
        Operand::Net(IpNet::V6(net)) => {
            let own = net.prefix_len() >= LOCAL.1 && net.addr().segments()[0] & 0xfe00 == LOCAL.0.segments()[0];
            net.prefix_len() >= BROADEST.1 || own
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Policy, PolicyKind};

    fn is_public(effect: &str, principal: &str, condition: &str) -> bool {
        let condition = if condition.is_empty() { String::new() } else { format!(r#","Condition":{condition}"#) };
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":{principal},
            "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"{condition}}}]}}"#
        );
        Policy::parse(&text, PolicyKind::Resource).unwrap_or_else(|e| panic!("{text}: {e}")).is_public()
    }

    #[test]
    fn everybody_without_a_fixed_condition() {
        for principal in [r#""*""#, r#"{"AWS":"*"}"#, r#"{"AWS":["111111111111","*"]}"#] {
            assert!(is_public("Allow", principal, ""), "{principal}");
            assert!(!is_public("Deny", principal, ""), "{principal}");
        }
        assert!(!is_public("Allow", r#"{"AWS":"arn:aws:iam::111111111111:root"}"#, ""));
        assert!(!is_public("Allow", r#"{"Service":"logging.s3.amazonaws.com"}"#, ""));
        for confined in [
            r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}"#,
            r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#,
            r#"{"StringLike":{"AWS:PrincipalOrgID":"o-1"}}"#,
            r#"{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:eu-1:111111111111:topic"}}"#,
            r#"{"StringEquals":{"s3:prefix":"x"},"StringEqualsIgnoreCase":{"aws:SourceAccount":"111111111111"}}"#,
        ] {
            assert!(!is_public("Allow", r#""*""#, confined), "{confined}");
        }
        for open in [
            r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","0.0.0.0/0"]}}"#,
            r#"{"IpAddress":{"aws:SourceIp":"2000::/3"}}"#,
            r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
            r#"{"IpAddressIfExists":{"aws:SourceIp":"203.0.113.0/24"}}"#,
            r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#,
            r#"{"StringEquals":{"aws:SourceVpc":"${aws:username}"}}"#,
            r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}"#,
            r#"{"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-1"}}"#,
            r#"{"StringEquals":{"s3:prefix":"x"}}"#,
            r#"{"Bool":{"aws:SecureTransport":"true"}}"#,
        ] {
            assert!(is_public("Allow", r#""*""#, open), "{open}");
        }
    }

    #[test]
    fn whom_it_names() {
        let text = r#"{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/a"],
            "Service":"x.amazonaws.com"},"Action":"s3:*","Resource":"*"}]}"#;
        let policy = Policy::parse(text, PolicyKind::Resource).expect("good");
        let named: Vec<&str> = policy.named_principals().collect();
        assert_eq!(named, ["111111111111", "arn:aws:iam::111111111111:user/a"]);
        assert!(!policy.is_public());
    }
}

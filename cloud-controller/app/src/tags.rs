//! Tags: the rules of their keys and values, and setting and removing them.

mod launch;
mod network;

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use launch::LaunchKind;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    ElasticIpFilter, ImageFilter, InstanceFilter, InterfaceFilter, SecurityGroupFilter, Store, TagRow, Tx,
    change_append, elastic_ip_list, image_list, instance_fetch_locked, instance_intent_update, instance_list,
    interface_list, key_pair_list, security_group_list, security_group_rule_list, subnet_list, tag_count, tag_delete,
    tag_list_of, tag_put, vpc_list,
};
use mallee_types::limits::TAGS_PER_RESOURCE_MAX;
use mallee_types::{
    AccountId, AllocationId, GroupId, GroupRuleId, ImageId, InstanceId, InterfaceId, KeyPairId, SubnetId, VpcId,
};
use network::NetworkKind;

/// Longest key, in characters (EC2: 128, from 1).
const KEY_CHARS_MAX: usize = 128;
/// Longest value, in characters (EC2: 256).
const VALUE_CHARS_MAX: usize = 256;
/// Resources one call may tag (EC2: 1000).
const RESOURCES_MAX: usize = 1000;

/// What EC2 says to a key that is not the caller's to set.
const RESERVED: &str =
    "Value ( aws: ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use";

/// A tag as a request gives it.
pub type Tag = (String, String);

/// Keys that only the cloud itself may set or remove.
fn is_reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"))
}

fn reserved() -> ApiError {
    Code::InvalidParameterValue.message(RESERVED)
}

/// Checks the tags of one resource.
///
/// # Errors
/// EC2's errors for keys, values, repeated keys and too many.
pub fn validate(tags: &[Tag]) -> Result<(), ApiError> {
    if tags.len() > TAGS_PER_RESOURCE_MAX {
        return Err(Code::TagLimitExceeded.with(&[&TAGS_PER_RESOURCE_MAX.to_string()]));
    }
    for (position, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() {
            return Err(Code::InvalidParameterValue.message("Tag key cannot be null or empty"));
        }
        if is_reserved(key) {
            return Err(reserved());
        }
        if key.chars().count() > KEY_CHARS_MAX {
            return Err(Code::InvalidParameterValue.message("Tag key exceeds the maximum length of 128 characters"));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(Code::InvalidParameterValue.message("Tag value exceeds the maximum length of 256 characters"));
        }
        if key.contains('\0') || value.contains('\0') {
            return Err(Code::InvalidParameterValue.message("Tag keys and values cannot contain the NUL character"));
        }
        if tags[..position].iter().any(|(other, _)| other == key) {
            return Err(Code::InvalidParameterValue
                .message(format!("Duplicate tag key '{}' specified.", mallee_awswire::texts::clip(key))));
        }
    }
    Ok(())
}

/// Rows for a resource's tags.
#[must_use]
pub fn rows(account: &AccountId, kind: &str, id: &str, tags: &[Tag]) -> Vec<TagRow> {
    tags.iter()
        .map(|(key, value)| TagRow {
            resource_id: id.to_owned(),
            key: key.clone(),
            value: value.clone(),
            resource_type: kind.to_owned(),
            account_id: account.clone(),
        })
        .collect()
}

/// The kind of a taggable resource, told by its id.
enum Kind {
    Instance(InstanceId),
    Image(ImageId),
    Group(GroupId),
    Rule(GroupRuleId),
    KeyPair(KeyPairId),
    Vpc(VpcId),
    Subnet(SubnetId),
    Interface(InterfaceId),
    Address(AllocationId),
    Launch(LaunchKind),
    Network(NetworkKind),
}

impl Kind {
    fn parse(id: &str) -> Result<Self, ApiError> {
        let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
        let bad = |code: Code| move |_| ApiError::malformed(code, &mallee_awswire::texts::clip(id));
        Ok(match prefix {
            "i" => Self::Instance(id.parse().map_err(bad(Code::InvalidInstanceIdMalformed))?),
            "ami" => Self::Image(id.parse().map_err(bad(Code::InvalidAmiIdMalformed))?),
            "sg" => Self::Group(id.parse().map_err(bad(Code::InvalidGroupIdMalformed))?),
            "sgr" => Self::Rule(id.parse().map_err(bad(Code::InvalidSecurityGroupRuleIdMalformed))?),
            "key" => Self::KeyPair(id.parse().map_err(|_| Code::InvalidId.with(&[&mallee_awswire::texts::clip(id)]))?),
            "vpc" => Self::Vpc(id.parse().map_err(bad(Code::InvalidVpcIdMalformed))?),
            "subnet" => Self::Subnet(id.parse().map_err(bad(Code::InvalidSubnetIdMalformed))?),
            "eipalloc" => Self::Address(
                id.parse().map_err(|_| Code::InvalidAllocationIdNotFound.with(&[&mallee_awswire::texts::clip(id)]))?,
            ),
            "eni" => Self::Interface(id.parse().map_err(bad(Code::InvalidNetworkInterfaceIdMalformed))?),
            other => match (LaunchKind::parse(other, id), NetworkKind::parse(other, id)) {
                (Some(kind), _) => Self::Launch(kind?),
                (None, Some(kind)) => Self::Network(kind?),
                (None, None) => return Err(Code::InvalidId.with(&[&mallee_awswire::texts::clip(id)])),
            },
        })
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Instance(_) => "instance",
            Self::Image(_) => "image",
            Self::Group(_) => "security-group",
            Self::Rule(_) => "security-group-rule",
            Self::KeyPair(_) => "key-pair",
            Self::Vpc(_) => "vpc",
            Self::Subnet(_) => "subnet",
            Self::Interface(_) => "network-interface",
            Self::Address(_) => crate::addresses::TAG_KIND,
            Self::Launch(kind) => kind.name(),
            Self::Network(kind) => kind.name(),
        }
    }

    async fn require(&self, store: &Store, account: &AccountId) -> Result<(), ApiError> {
        let one = 1;
        let (found, code, id) = match self {
            Self::Instance(id) => {
                let filter = InstanceFilter {
                    account: Some(account),
                    ids: Some(std::slice::from_ref(id)),
                    ..Default::default()
                };
                (instance_list(store, filter, one).await.or_fail()?.len(), Code::InvalidInstanceIdNotFound, id.as_str())
            }
            Self::Image(id) => {
                let filter = ImageFilter {
                    visible_to: Some(account),
                    ids: Some(std::slice::from_ref(id)),
                    ..Default::default()
                };
                let images = image_list(store, filter, one).await.or_fail()?;
                let own = images.iter().filter(|image| image.account_id == *account).count();
                (own, Code::InvalidAmiIdNotFound, id.as_str())
            }
            Self::Group(id) => {
                let filter = SecurityGroupFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
                (
                    security_group_list(store, account, filter, one).await.or_fail()?.len(),
                    Code::InvalidGroupNotFound,
                    id.as_str(),
                )
            }
            Self::Rule(id) => {
                let ids = Some(std::slice::from_ref(id));
                let rules = security_group_rule_list(store, account, None, ids, None, one).await.or_fail()?;
                (rules.len(), Code::InvalidSecurityGroupRuleIdNotFound, id.as_str())
            }
            Self::KeyPair(id) => {
                let ids = Some(std::slice::from_ref(id));
                (
                    key_pair_list(store, account, ids, None, None, one).await.or_fail()?.len(),
                    Code::InvalidKeyPairNotFound,
                    id.as_str(),
                )
            }
            Self::Vpc(id) => {
                let ids = Some(std::slice::from_ref(id));
                (
                    vpc_list(store, account, ids, None, one).await.or_fail()?.len(),
                    Code::InvalidVpcIdNotFound,
                    id.as_str(),
                )
            }
            Self::Subnet(id) => {
                let ids = Some(std::slice::from_ref(id));
                (
                    subnet_list(store, account, ids, None, None, one).await.or_fail()?.len(),
                    Code::InvalidSubnetIdNotFound,
                    id.as_str(),
                )
            }
            Self::Launch(kind) => return kind.require(store, account).await,
            Self::Network(kind) => return kind.require(store, account).await,
            Self::Address(id) => {
                let ids = Some(std::slice::from_ref(id));
                let filter = ElasticIpFilter { account: Some(account), ids, ..Default::default() };
                let found = elastic_ip_list(store, filter, one).await.or_fail()?.len();
                (found, Code::InvalidAllocationIdNotFound, id.as_str())
            }
            Self::Interface(id) => {
                let filter = InterfaceFilter {
                    account: Some(account),
                    ids: Some(std::slice::from_ref(id)),
                    ..Default::default()
                };
                (
                    interface_list(store, filter, one).await.or_fail()?.len(),
                    Code::InvalidNetworkInterfaceIdNotFound,
                    id.as_str(),
                )
            }
        };
        if found == 0 { Err(ApiError::not_found(code, &[id])) } else { Ok(()) }
    }

    /// The metadata service of an instance may show its tags: its node must hear of them.
    async fn note(&self, tx: &mut Tx) -> Result<(), ApiError> {
        let Self::Instance(id) = self else { return Ok(()) };
        let row = instance_fetch_locked(tx, id).await.or_fail()?;
        if row.doc.metadata.tags && !row.released {
            // Only an intent of a new generation is news to the node.
            instance_intent_update(tx, &row).await.or_fail()?;
            change_append(tx, crate::load::INSTANCE, id, Some(&row.zone));
        }
        Ok(())
    }
}

fn kinds(resources: &[String]) -> Result<Vec<Kind>, ApiError> {
    if resources.is_empty() {
        return Err(ApiError::missing_parameter("resourceIdSet"));
    }
    if resources.len() > RESOURCES_MAX {
        return Err(
            Code::InvalidParameterValue.message(format!("At most {RESOURCES_MAX} resources can be tagged at once."))
        );
    }
    resources.iter().map(|id| Kind::parse(id)).collect()
}

impl Cloud {
    /// `CreateTags`: sets tags over those of the same key, on all resources or on none.
    ///
    /// # Errors
    /// EC2's: a missing resource, a bad tag, too many.
    pub async fn create_tags(
        &self,
        cx: &OpContext,
        resources: &[String],
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<(), ApiError> {
        if tags.is_empty() {
            return Err(ApiError::missing_parameter("Tag"));
        }
        validate(tags)?;
        let kinds = kinds(resources)?;
        for kind in &kinds {
            kind.require(self.store(), cx.account()).await?;
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        for (id, kind) in resources.iter().zip(&kinds) {
            tag_put(&mut tx, &rows(cx.account(), kind.name(), id, tags)).await.or_fail()?;
            if tag_count(&mut tx, cx.account(), id).await.or_fail()? > TAGS_PER_RESOURCE_MAX as u64 {
                return Err(Code::TagLimitExceeded.with(&[&TAGS_PER_RESOURCE_MAX.to_string()]));
            }
            kind.note(&mut tx).await?;
        }
        tx.commit().await.or_fail()
    }

    /// `DeleteTags`: a key alone removes the tag, a key with a value only if it has that value, nothing removes all.
    ///
    /// # Errors
    /// EC2's for ids that are none.
    pub async fn delete_tags(
        &self,
        cx: &OpContext,
        resources: &[String],
        tags: &[(String, Option<String>)],
        dry_run: bool,
    ) -> Result<(), ApiError> {
        if tags.iter().any(|(key, _)| is_reserved(key)) {
            return Err(reserved());
        }
        let kinds = kinds(resources)?;
        for kind in &kinds {
            kind.require(self.store(), cx.account()).await?;
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if tags.is_empty() {
            tag_delete(&mut tx, cx.account(), resources, None, None).await.or_fail()?;
        }
        for (key, value) in tags {
            tag_delete(&mut tx, cx.account(), resources, Some(key), value.as_deref()).await.or_fail()?;
        }
        for kind in &kinds {
            kind.note(&mut tx).await?;
        }
        tx.commit().await.or_fail()
    }

    /// The tags of one resource.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tags_of(&self, resource: &str) -> Result<Vec<TagRow>, ApiError> {
        tag_list_of(self.store(), resource).await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_tags() {
        let tag = |k: &str, v: &str| vec![(k.to_owned(), v.to_owned())];
        assert!(validate(&tag("Name", "")).is_ok());
        assert!(validate(&tag("", "x")).is_err());
        assert!(validate(&tag("AWS:x", "x")).is_err());
        assert!(validate(&tag(&"k".repeat(129), "x")).is_err());
        assert!(validate(&tag("k", &"ü".repeat(256))).is_ok());
        assert!(validate(&tag("k", &"ü".repeat(257))).is_err());
        assert!(validate(&[tag("k", "1"), tag("k", "2")].concat()).is_err());
        let many: Vec<Tag> = (0..51).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(validate(&many).unwrap_err().code(), Code::TagLimitExceeded);
    }
}

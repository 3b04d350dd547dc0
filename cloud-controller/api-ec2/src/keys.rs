//! Key pairs.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, choice, dry_run, fill, filters, next_key, only, rows, tag_filter_values, tags_of_one, tags_on,
    time, values_of, wire_tags,
};
use crate::filter::Filterable;
use crate::page::Page;
use mallee_app::OpContext;
use mallee_app::ids::{parse_id, parse_ids};
use mallee_app::keys::TAG_KIND;
use mallee_app::keys::material::KeyKind;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    CreateKeyPairRequest, DeleteKeyPairRequest, DeleteKeyPairResult, DescribeKeyPairsRequest, DescribeKeyPairsResult,
    ImportKeyPairRequest, ImportKeyPairResult, KeyPair, KeyPairInfo,
};
use mallee_store::{KeyPairKind, KeyPairRow, key_pair_list};
use mallee_types::KeyPairId;

/// What DescribeKeyPairs filters by.
const FILTERS: [&str; 4] = ["fingerprint", "key-name", "key-pair-id", "tag-key"];

impl Filterable for KeyPairInfo {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "fingerprint" => values_of(&self.key_fingerprint),
            "key-name" => values_of(&self.key_name),
            "key-pair-id" => values_of(&self.key_pair_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn info(row: KeyPairRow, tags: &mut TagMap, with_public_key: bool) -> KeyPairInfo {
    KeyPairInfo {
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        create_time: time(row.created_ms),
        key_fingerprint: Some(row.fingerprint),
        key_name: Some(row.name),
        key_pair_id: Some(row.id.to_string()),
        key_type: Some(
            match row.kind {
                KeyPairKind::Rsa => "rsa",
                KeyPairKind::Ed25519 => "ed25519",
            }
            .into(),
        ),
        public_key: with_public_key.then_some(row.public_openssh),
    }
}

/// The keys asked for that are not there, if any.
fn require(found: &[KeyPairInfo], names: &[String], ids: &[KeyPairId]) -> Result<(), ApiError> {
    let missing_name = names.iter().find(|name| !found.iter().any(|key| key.key_name.as_ref() == Some(*name)));
    if let Some(name) = missing_name {
        return Err(Code::InvalidKeyPairNotFound.with(&[&mallee_awswire::texts::clip(name)]));
    }
    let missing_id = ids.iter().find(|id| !found.iter().any(|key| key.key_pair_id.as_deref() == Some(id.as_str())));
    missing_id.map_or(Ok(()), |id| Err(Code::InvalidKeyPairNotFound.with(&[id.as_str()])))
}

impl Ec2Api {
    pub(crate) async fn create_key_pair(&self, cx: &OpContext, r: CreateKeyPairRequest) -> Result<KeyPair, ApiError> {
        let CreateKeyPairRequest { dry_run, key_format, key_name, key_type, tag_specifications } = r;
        let kinds = [("rsa", KeyKind::Rsa), ("ed25519", KeyKind::Ed25519)];
        let kind = choice("KeyType", key_type.as_deref(), &kinds)?.unwrap_or(KeyKind::Rsa);
        choice("KeyFormat", key_format.as_deref(), &[("pem", ()), ("ppk", ())])?;
        only("KeyFormat", key_format.as_deref(), &["pem"])?;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let name = key_name.unwrap_or_default();
        let (row, private) = self.cloud.create_key_pair(cx, &name, kind, &tags, dry_run == Some(true)).await?;
        Ok(KeyPair {
            key_fingerprint: Some(row.fingerprint),
            key_material: Some(private),
            key_name: Some(row.name),
            key_pair_id: Some(row.id.to_string()),
            tags: wire_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        })
    }

    pub(crate) async fn import_key_pair(
        &self,
        cx: &OpContext,
        r: ImportKeyPairRequest,
    ) -> Result<ImportKeyPairResult, ApiError> {
        let ImportKeyPairRequest { dry_run, key_name, public_key_material, tag_specifications } = r;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let (name, public) = (key_name.unwrap_or_default(), public_key_material.unwrap_or_default());
        let row = self.cloud.import_key_pair(cx, &name, &public, &tags, dry_run == Some(true)).await?;
        Ok(ImportKeyPairResult {
            key_fingerprint: Some(row.fingerprint),
            key_name: Some(row.name),
            key_pair_id: Some(row.id.to_string()),
            tags: wire_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        })
    }

    pub(crate) async fn describe_key_pairs(
        &self,
        cx: &OpContext,
        r: DescribeKeyPairsRequest,
    ) -> Result<DescribeKeyPairsResult, ApiError> {
        let DescribeKeyPairsRequest { dry_run: dry, filters: wanted, include_public_key, key_names, key_pair_ids } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let ids: &Vec<KeyPairId> = &parse_ids(&key_pair_ids, Code::InvalidId)?;
        if key_names.len() > mallee_app::ids::IDS_MAX {
            return Err(Code::InvalidParameterValue.message("At most 1000 key names can be given in one request."));
        }
        dry_run(dry)?;
        let names = &key_names;
        let read = |after: Option<String>| async move {
            let ids = (!ids.is_empty()).then_some(ids.as_slice());
            let names = (!names.is_empty()).then_some(names.as_slice());
            let rows = rows(key_pair_list(self.store(), cx.account(), ids, names, after.as_deref(), ROWS).await)?;
            let next = next_key(&rows, |row| row.name.clone());
            let mut tags = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let found = rows.into_iter().map(|row| info(row, &mut tags, include_public_key == Some(true))).collect();
            Ok(Chunk { found, next })
        };
        let page = Page::all("DescribeKeyPairs");
        let (mut key_pairs, _) =
            fill(&page, None, read, |key: &KeyPairInfo| key.key_name.clone().unwrap_or_default()).await?;
        require(&key_pairs, &key_names, ids)?;
        key_pairs.retain(|key| filters.accept(key));
        Ok(DescribeKeyPairsResult { key_pairs })
    }

    pub(crate) async fn delete_key_pair(
        &self,
        cx: &OpContext,
        r: DeleteKeyPairRequest,
    ) -> Result<DeleteKeyPairResult, ApiError> {
        let DeleteKeyPairRequest { dry_run, key_name, key_pair_id } = r;
        if key_name.is_none() && key_pair_id.is_none() {
            return Err(ApiError::missing_parameter("KeyName or KeyPairId"));
        }
        let id: Option<KeyPairId> = key_pair_id.map(|id| parse_id(&id, Code::InvalidId)).transpose()?;
        let gone = self.cloud.delete_key_pair(cx, key_name.as_deref(), id.as_ref(), dry_run == Some(true)).await?;
        Ok(DeleteKeyPairResult { key_pair_id: gone.map(|id| id.to_string()), return_: Some(true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_ec2_shows_them() {
        let row = KeyPairRow {
            id: KeyPairId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            name: "k".into(),
            kind: KeyPairKind::Ed25519,
            fingerprint: "ab:cd".into(),
            public_openssh: "ssh-ed25519 AAAA k".into(),
            created_ms: 0,
        };
        let id = row.id.to_string();
        let mut tags = TagMap::from([(id.clone(), wire_tags([("Env", "prod")]))]);
        let shown = info(row.clone(), &mut tags, false);
        assert_eq!((shown.key_type.as_deref(), shown.public_key.as_ref()), (Some("ed25519"), None));
        for (name, value) in [
            ("fingerprint", "ab:cd"),
            ("key-name", "k"),
            ("key-pair-id", id.as_str()),
            ("tag-key", "Env"),
            ("tag:Env", "prod"),
        ] {
            assert_eq!(shown.values(name), [value], "{name}");
        }
        let shown = [info(row, &mut TagMap::new(), true)];
        assert_eq!(shown[0].public_key.as_deref(), Some("ssh-ed25519 AAAA k"));
        assert!(require(&shown, &["k".into()], &[]).is_ok());
        let error = require(&shown, &["k".into(), "other".into()], &[]).unwrap_err();
        assert_eq!(error.message(), "The key pair 'other' does not exist");
        assert!(require(&shown, &[], &[KeyPairId::from_random(2)]).is_err());
    }
}

//! Writing what is brought, or what has changed of it.

use super::incoming::changed;
use super::{Plan, Unreplicated, refused};
use crate::authz::bucket::{has_lists, object_acl, public_access};
use crate::service::S3;
use crate::sse;
use mallee_objects::crypt::{DataKey, Encryption};
use mallee_objects::{
    Bucket, Description, Error, Found, Marker, OBJECT_LOCK, Object, Properties, REPLICA, ReplicaBytes, Stored, Tags,
    VersionName, retain_by_default,
};
use mallee_s3_config::DefaultEncryption;

/// Brings a delete marker.
pub(super) async fn marker(
    s3: &S3,
    plan: &Plan<'_>,
    to: &Bucket,
    key: &str,
    marker: Marker,
) -> Result<(), Unreplicated> {
    if !plan.rule.delete_markers {
        return Ok(());
    }
    plan.role.may_bring_marker(plan, to, key).await?;
    s3.engine().put_replica_marker(&to.name, key, marker).await?;
    Ok(())
}

/// Brings an object, or what has changed of it since it was brought.
pub(super) async fn object(s3: &S3, plan: &Plan<'_>, to: &Bucket, object: &Object) -> Result<(), Unreplicated> {
    let info = &object.info;
    let which = VersionName::from(info.version);
    let there = s3.engine().find(&to.name, &info.key, Some(which).into()).await?;
    let tags_there = match &there {
        Some(Found::Object(there)) => &there.info.properties.tags,
        _ => &Tags::new(),
    };
    let rights = plan.role.may_bring(plan, to, object, *tags_there != info.properties.tags).await?;
    let given = given(plan, to, object, rights.tags)?;
    match there {
        Some(Found::Object(_)) => return change(s3, plan, to, object, given, rights.tags).await,
        Some(Found::Marker(_)) => return Err(refused("a delete marker has the place of the version")),
        // What is changed of a replica is brought back to where it came from, if it is there still.
        None if info.properties.replication.as_deref() == Some(REPLICA) => return Ok(()),
        None => {}
    }
    let s3 = match rights.limits {
        Some(limits) => s3.limited(limits),
        None => s3.clone(),
    };
    let properties = retain_by_default(&to.docs, given, s3.engine().clock().now_ms())?;
    let (encryption, stored) = bytes(&s3, to, object).await?;
    let what = Description {
        bucket: to.name.clone(),
        key: info.key.clone(),
        etag: info.etag.clone(),
        content_type: info.content_type.clone(),
        attributes: info.attributes.clone(),
        checksums: info.checksums.clone(),
        properties: Properties { encryption, ..properties },
        // Done above: its days begin with the replica, not with the object.
        retain_by_default: false,
    };
    let bytes = stored.map_or(ReplicaBytes::Of(object), ReplicaBytes::New);
    match s3.engine().put_replica(what, info.version, info.created_ms, bytes).await {
        Ok(_) => Ok(()),
        Err(Error::Gone) => {
            // Looked up again when it is tried again: what is kept of it is not what is there.
            s3.engine().forget(&plan.source.name, &info.key);
            Err(Unreplicated::Later("the object was deleted meanwhile".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether replicas are of whoever owns the objects, with their lists.
fn keeps_owner(plan: &Plan<'_>, to: &Bucket) -> Result<bool, Unreplicated> {
    Ok(has_lists(to)? && !plan.rule.destination.to_owner)
}

/// What is said of a replica that is new there.
fn given(plan: &Plan<'_>, to: &Bucket, object: &Object, with_tags: bool) -> Result<Properties, Unreplicated> {
    let Properties { class, owner, tags, acl, retention, legal_hold, hold_known, .. } = &object.info.properties;
    if (retention.is_some() || *legal_hold) && to.docs.get(OBJECT_LOCK).is_none() {
        return Err(refused("the object is locked, and the destination bucket has no object lock"));
    }
    let owner = owner.clone().unwrap_or_else(|| plan.source.account.clone());
    let (owner, acl) = if keeps_owner(plan, to)? { (owner, acl.clone()) } else { (to.account.clone(), None) };
    if let Some(list) = &acl
        && public_access(to)?.is_some_and(|block| block.block_public_acls)
        && object_acl(Some(list), &owner)?.is_public()
    {
        return Err(refused("the destination bucket blocks public access control lists"));
    }
    Ok(Properties {
        class: plan.rule.destination.class.clone().unwrap_or_else(|| class.clone()),
        owner: Some(owner),
        tags: if with_tags { tags.clone() } else { Tags::new() },
        acl,
        retention: *retention,
        legal_hold: *legal_hold,
        hold_known: *hold_known,
        encryption: None,
        replication: Some(REPLICA.to_owned()),
    })
}

/// Gives the version that is there the list and locks of this one, and (`with_tags`) its tags. What this one says nothing of
/// is left as it is there.
async fn change(
    s3: &S3,
    plan: &Plan<'_>,
    to: &Bucket,
    object: &Object,
    given: Properties,
    with_tags: bool,
) -> Result<(), Unreplicated> {
    let (with_list, now_ms) = (keeps_owner(plan, to)?, s3.engine().clock().now_ms());
    let change = move |there: &mallee_objects::ObjectInfo| {
        let (old, given) = (there.properties.clone(), given.clone());
        // A list is about an owner: that of another is another list.
        let acl = if with_list && old.owner == given.owner { given.acl.clone() } else { old.acl.clone() };
        Ok(Properties { acl, ..changed(&old, &given, with_tags, now_ms, true) })
    };
    let (key, which) = (&object.info.key, VersionName::from(object.info.version));
    s3.engine().change_properties(&to.name, key, Some(which).into(), &change).await?;
    Ok(())
}

/// How the replica is encrypted, and its bytes where they are not shared with the source: what is not encrypted there is,
/// where the destination encrypts what it is given.
async fn bytes(s3: &S3, to: &Bucket, object: &Object) -> Result<(Option<String>, Option<Stored>), Unreplicated> {
    let kept = object.info.properties.encryption.clone();
    let document = sse::default_of(s3, to)?;
    match Encryption::from_text(kept.as_deref())? {
        Some(Encryption::Kms(_)) => return Err(refused("objects under keys of KMS are not replicated")),
        Some(Encryption::Customer { .. })
            if document.as_ref().is_some_and(|document| document.blocks_customer_keys) =>
        {
            return Err(refused("the destination bucket does not allow keys that customers bring (SSE-C)"));
        }
        Some(_) => return Ok((kept, None)),
        None => {}
    }
    match document.map(|document| document.default) {
        None => Ok((None, None)),
        Some(DefaultEncryption::Kms(_)) => {
            Err(refused("the destination bucket encrypts with keys of KMS, which are not given to replications"))
        }
        Some(DefaultEncryption::Store) => {
            let (store, rng) = (s3.engine(), s3.engine().rng());
            let vault = store.vault().ok_or_else(|| refused("there is no key to encrypt with"))?;
            let key = DataKey::random(rng);
            let encryption = vault.seal(rng, &key)?.to_text()?;
            let mut reader = store.read(object, 0, object.info.size).await?;
            let mut sink = store.sink_with(Some(&key))?;
            while let Some(data) = reader.next().await {
                sink.write(data?).await?;
            }
            Ok((Some(encryption), Some(sink.finish().await?)))
        }
    }
}

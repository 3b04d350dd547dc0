//! New material for keys, by itself from time to time or on demand.

use crate::ask::{Asker, Conditions, Reach, add_material};
use crate::keys::{DAY_MS, OfKey, material_id, seconds};
use crate::page::Page;
use crate::state::Needs;
use crate::{ON_DEMAND_ROTATIONS_MAX, unsupported};
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{KmsReason, Tx, kms_material_list};
use serde::Deserialize;
use serde_json::{Value, json};

/// Days between two rotations when nobody says (AWS: 365).
pub(crate) const PERIOD_DAYS: u32 = 365;
/// At least and at most.
const PERIOD_DAYS_RANGE: (i64, i64) = (90, 2560);
/// Rotations on a page when the request does not say.
const PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Enable {
    key_id: String,
    rotation_period_in_days: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct List {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
    include_key_material: Option<String>,
}

pub(crate) async fn enable(asker: &Asker<'_>, asked: Enable) -> Result<(), ApiError> {
    let (least, most) = PERIOD_DAYS_RANGE;
    let days = asked.rotation_period_in_days.unwrap_or_else(|| i64::from(PERIOD_DAYS));
    let whole = u32::try_from(days).ok().filter(|_| (least..=most).contains(&days)).ok_or_else(|| {
        crate::invalid(&days.to_string(), "rotationPeriodInDays", &format!("have value between {least} and {most}"))
    })?;
    let conditions = vec![("kms:RotationPeriodInDays".to_owned(), vec![days.to_string()])];
    let found = asker.permitted("kms:EnableKeyRotation", &asked.key_id, Reach::Own, conditions).await?;
    let now_ms = asker.cloud.clock().now_ms();
    asker
        .change(&found, Needs::Enabled, async |row, _| {
            row.doc.0.rotation_days = Some(whole);
            row.rotate_ms = Some(now_ms + days * DAY_MS);
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn disable(asker: &Asker<'_>, asked: OfKey) -> Result<(), ApiError> {
    let found = asker.permitted("kms:DisableKeyRotation", &asked.key_id, Reach::Own, Conditions::new()).await?;
    asker
        .change(&found, Needs::Enabled, async |row, _| {
            (row.doc.0.rotation_days, row.rotate_ms) = (None, None);
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn status(asker: &Asker<'_>, asked: OfKey) -> Result<Value, ApiError> {
    let found = asker.permitted("kms:GetKeyRotationStatus", &asked.key_id, Reach::Own, Conditions::new()).await?;
    let mut shown = json!({ "KeyId": found.arn, "KeyRotationEnabled": false });
    // A key that is about to go is not rotated.
    let rotated = found.check(Needs::Alive).is_ok();
    if let (Some(members), Some(days), Some(at_ms)) =
        (shown.as_object_mut(), found.row.doc.0.rotation_days.filter(|_| rotated), found.row.rotate_ms)
    {
        members.insert("KeyRotationEnabled".to_owned(), json!(true));
        members.insert("RotationPeriodInDays".to_owned(), json!(days));
        members.insert("NextRotationDate".to_owned(), json!(seconds(at_ms)));
    }
    Ok(shown)
}

/// Gives a key new material; the old one still decrypts.
pub(crate) async fn rotate(tx: &mut Tx, key: &str, reason: KmsReason, now_ms: i64) -> Result<(), ApiError> {
    let there = kms_material_list(&mut *tx, key).await.or_fail()?;
    let asked = there.iter().filter(|material| material.reason == KmsReason::OnDemand).count();
    if reason == KmsReason::OnDemand && asked >= ON_DEMAND_ROTATIONS_MAX {
        let text = format!("A key is rotated on demand at most {ON_DEMAND_ROTATIONS_MAX} times.");
        return Err(Code::LimitExceededException.message(text));
    }
    let n = there.last().map_or(1, |newest| newest.n + 1);
    add_material(tx, key, n, reason, now_ms).await
}

pub(crate) async fn on_demand(asker: &Asker<'_>, asked: OfKey) -> Result<Value, ApiError> {
    let found = asker.permitted("kms:RotateKeyOnDemand", &asked.key_id, Reach::Own, Conditions::new()).await?;
    let now_ms = asker.cloud.clock().now_ms();
    asker
        .change(&found, Needs::Enabled, async |row, tx| rotate(tx, &row.id, KmsReason::OnDemand, now_ms).await)
        .await?;
    Ok(json!({ "KeyId": found.arn }))
}

pub(crate) async fn list(asker: &Asker<'_>, asked: List) -> Result<Value, ApiError> {
    // ROTATIONS_ONLY is what is meant without a word.
    if asked.include_key_material.is_some_and(|word| word != "ROTATIONS_ONLY") {
        return Err(unsupported("IncludeKeyMaterial"));
    }
    let page = Page::read(asked.limit, asked.marker.as_deref(), PAGE)?;
    let found = asker.permitted("kms:ListKeyRotations", &asked.key_id, Reach::Own, Conditions::new()).await?;
    let mut all = kms_material_list(asker.cloud.store(), &found.row.id).await.or_fail()?;
    all.retain(|material| material.reason != KmsReason::Made);
    let place = |n: u32| format!("{n:08}");
    Ok(page.of(
        "Rotations",
        all,
        |material| place(material.n),
        |material| {
            json!({
                "KeyId": found.arn,
                "KeyMaterialId": material_id(&material.key_id, material.n),
                "RotationDate": seconds(material.created_ms),
                "RotationType": if material.reason == KmsReason::Automatic { "AUTOMATIC" } else { "ON_DEMAND" },
            })
        },
    ))
}

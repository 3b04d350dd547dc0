//! Capacity reservations.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, choice, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, time, time_text, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::capacity::{NewReservation, PLATFORM, ReservationChange, TAG_KIND};
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_id, parse_ids, require_all};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, CapacityUsed, InstanceDoc, capacity_list, capacity_used,
};
use mallee_types::{CapacityReservationId, ZoneName};
use time::OffsetDateTime;

/// What DescribeCapacityReservations filters by.
const FILTERS: [&str; 14] = [
    "availability-zone",
    "availability-zone-id",
    "end-date",
    "end-date-type",
    "instance-match-criteria",
    "instance-platform",
    "instance-type",
    "outpost-arn",
    "owner-id",
    "placement-group-arn",
    "start-date",
    "state",
    "tag-key",
    "tenancy",
];
/// Page sizes.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 1..=1000;
/// Who may use one that is open, and one that is targeted.
const CRITERIA: [(&str, bool); 2] = [("open", false), ("targeted", true)];

impl Filterable for CapacityReservation {
    fn values(&self, name: &str) -> Vec<String> {
        let date = |date: &Option<OffsetDateTime>| {
            let ms = date.map(|date| i64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX));
            ms.map(time_text).into_iter().collect()
        };
        match name {
            "availability-zone" => values_of(&self.availability_zone),
            "availability-zone-id" => values_of(&self.availability_zone_id),
            "end-date" => date(&self.end_date),
            "end-date-type" => values_of(&self.end_date_type),
            "instance-match-criteria" => values_of(&self.instance_match_criteria),
            "instance-platform" => values_of(&self.instance_platform),
            "instance-type" => values_of(&self.instance_type),
            "outpost-arn" => values_of(&self.outpost_arn),
            "owner-id" => values_of(&self.owner_id),
            "placement-group-arn" => values_of(&self.placement_group_arn),
            "start-date" => date(&self.start_date),
            "state" => values_of(&self.state),
            "tenancy" => values_of(&self.tenancy),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// The words of a choice that only has to be one of them.
fn words(list: &[&'static str]) -> Vec<(&'static str, ())> {
    list.iter().map(|word| (*word, ())).collect()
}

fn number(count: u32) -> Option<i32> {
    i32::try_from(count).ok()
}

/// Slots in all, and those in use.
fn counts(row: &CapacityReservationRow, used: &CapacityUsed) -> (u32, u32) {
    // One that has ended has no slots to be used.
    let users = used.get(&row.id).filter(|_| row.state == CapacityState::Active);
    (row.count(), users.map_or(0, |nodes| nodes.values().sum()))
}

fn shape(row: CapacityReservationRow, used: &CapacityUsed, tags: &mut TagMap, look: Look<'_>) -> CapacityReservation {
    let (total, users) = counts(&row, used);
    let available = if row.state == CapacityState::Active { total.saturating_sub(users) } else { 0 };
    CapacityReservation {
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        available_instance_count: number(available),
        capacity_reservation_arn: Some(look.arn(&row.account_id, TAG_KIND, row.id.as_str())),
        create_date: time(row.created_ms),
        ebs_optimized: Some(row.ebs_optimized),
        end_date: row.end_ms.and_then(time),
        end_date_type: Some(if row.end_ms.is_some() { "limited" } else { "unlimited" }.to_owned()),
        ephemeral_storage: Some(row.ephemeral_storage),
        instance_match_criteria: Some(row.match_criteria),
        instance_platform: Some(row.platform),
        instance_type: Some(row.instance_type),
        owner_id: Some(row.account_id.to_string()),
        reservation_type: Some("default".to_owned()),
        start_date: time(row.created_ms),
        state: Some(row.state.name().to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        tenancy: Some(row.tenancy),
        total_instance_count: number(total),
        capacity_reservation_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

/// A date as it is kept.
fn millis(date: OffsetDateTime) -> Result<i64, ApiError> {
    i64::try_from(date.unix_timestamp_nanos() / 1_000_000)
        .map_err(|_| ApiError::invalid_value("endDate", "…", "It is out of range."))
}

/// When a reservation ends: `None` when the request says nothing of it, `Some(None)`: never.
fn end(kind: Option<&str>, date: Option<OffsetDateTime>) -> Result<Option<Option<i64>>, ApiError> {
    let kind = choice("EndDateType", kind, &[("limited", true), ("unlimited", false)])?;
    match (kind, date) {
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some(None)),
        (Some(true) | None, Some(date)) => millis(date).map(|ms| Some(Some(ms))),
        (Some(true), None) => {
            Err(ApiError::invalid_combination("The parameter EndDate is needed when EndDateType is 'limited'"))
        }
        (Some(false), Some(_)) => {
            Err(ApiError::invalid_combination("The parameter EndDate cannot be used when EndDateType is 'unlimited'"))
        }
    }
}

/// How many instances a reservation is for.
fn count(given: i32) -> Result<u32, ApiError> {
    u32::try_from(given)
        .map_err(|_| ApiError::invalid_value("instanceCount", &given.to_string(), "Minimum value is 1."))
}

fn id(given: Option<String>) -> Result<String, ApiError> {
    given.ok_or_else(|| ApiError::missing_parameter("CapacityReservationId"))
}

/// A wish about reservations: the preference, and the one that is named.
pub(crate) fn wish(
    given: Option<CapacityReservationSpecification>,
) -> Result<(Option<String>, Option<CapacityReservationId>), ApiError> {
    let CapacityReservationSpecification { capacity_reservation_preference: preference, capacity_reservation_target } =
        given.unwrap_or_default();
    let words = words(enums::CAPACITY_RESERVATION_PREFERENCE);
    choice("CapacityReservationSpecification.CapacityReservationPreference", preference.as_deref(), &words)?;
    let Some(target) = capacity_reservation_target else { return Ok((preference, None)) };
    let CapacityReservationTarget { capacity_reservation_id, capacity_reservation_resource_group_arn } = target;
    refuse(
        "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn",
        capacity_reservation_resource_group_arn.is_some(),
    )?;
    let Some(target) = capacity_reservation_id else {
        return Err(ApiError::missing_parameter(
            "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId",
        ));
    };
    if matches!(preference.as_deref(), Some("none" | "open")) {
        return Err(ApiError::invalid_combination(
            "The parameter CapacityReservationTarget cannot be used with this CapacityReservationPreference",
        ));
    }
    let target = parse_id(&target, Code::InvalidCapacityReservationIdMalformed)?;
    Ok((preference, Some(target)))
}

/// The wish of an instance as it is shown: where it has none, what that means.
pub(crate) fn shown_wish(doc: &InstanceDoc) -> (Option<String>, Option<CapacityReservationTargetResponse>) {
    let preference = match (&doc.capacity_preference, &doc.capacity_target) {
        (Some(preference), _) => Some(preference.clone()),
        (None, None) => Some("open".into()),
        (None, Some(_)) => None,
    };
    let target = doc.capacity_target.as_ref().map(|id| CapacityReservationTargetResponse {
        capacity_reservation_id: Some(id.to_string()),
        capacity_reservation_resource_group_arn: None,
    });
    (preference, target)
}

impl Ec2Api {
    /// The zone a request names by its name or by its id.
    pub(crate) fn named_zone(&self, name: Option<String>, id: Option<String>) -> Result<ZoneName, ApiError> {
        let look = self.look();
        match (name, id) {
            (Some(_), Some(_)) => Err(ApiError::invalid_combination(
                "The parameter AvailabilityZoneId cannot be used with the parameter AvailabilityZone",
            )),
            (Some(name), None) => self.cloud.known_zone(&name),
            (None, Some(id)) => {
                let zone = look.zones.iter().find(|zone| look.zone_id(zone).as_ref() == Some(&id)).cloned();
                zone.ok_or_else(|| {
                    Code::InvalidParameterValue
                        .message(format!("Invalid availability zone-id: [{}]", mallee_awswire::texts::clip(&id)))
                })
            }
            (None, None) => Err(ApiError::missing_parameter("AvailabilityZone")),
        }
    }

    async fn shown_reservation(
        &self,
        cx: &OpContext,
        row: CapacityReservationRow,
    ) -> Result<CapacityReservation, ApiError> {
        let used = capacity_used(self.store(), std::slice::from_ref(&row.id)).await.or_fail()?;
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        Ok(shape(row, &used, &mut tags, self.look()))
    }

    pub(crate) async fn create_capacity_reservation(
        &self,
        cx: &OpContext,
        r: CreateCapacityReservationRequest,
        params: &Params,
    ) -> Result<CreateCapacityReservationResult, ApiError> {
        let CreateCapacityReservationRequest {
            availability_zone,
            availability_zone_id,
            client_token,
            commitment_duration,
            delivery_preference,
            dry_run,
            ebs_optimized,
            end_date,
            end_date_type,
            ephemeral_storage,
            instance_count,
            instance_match_criteria,
            instance_platform,
            instance_type,
            outpost_arn,
            placement_group_arn,
            start_date,
            tag_specifications,
            tenancy,
        } = r;
        refuse("CommitmentDuration", commitment_duration.is_some())?;
        refuse("DeliveryPreference", delivery_preference.is_some())?;
        refuse("OutpostArn", outpost_arn.is_some())?;
        refuse("PlacementGroupArn", placement_group_arn.is_some())?;
        refuse("StartDate", start_date.is_some())?;
        let platforms = words(enums::CAPACITY_RESERVATION_INSTANCE_PLATFORM);
        let platform = instance_platform.ok_or_else(|| ApiError::missing_parameter("InstancePlatform"))?;
        choice("InstancePlatform", Some(&platform), &platforms)?;
        // No image of this cloud is of another one: nothing could ever use it.
        only("InstancePlatform", Some(&platform), &[PLATFORM])?;
        let tenancies = [("default", false), ("dedicated", true)];
        let new = NewReservation {
            instance_type: instance_type.ok_or_else(|| ApiError::missing_parameter("InstanceType"))?,
            count: count(instance_count.ok_or_else(|| ApiError::missing_parameter("InstanceCount"))?)?,
            zone: self.named_zone(availability_zone, availability_zone_id)?,
            dedicated: choice("Tenancy", tenancy.as_deref(), &tenancies)?.unwrap_or(false),
            targeted: choice("InstanceMatchCriteria", instance_match_criteria.as_deref(), &CRITERIA)?.unwrap_or(false),
            end_ms: end(end_date_type.as_deref(), end_date)?.flatten(),
            ebs_optimized: ebs_optimized == Some(true),
            ephemeral_storage: ephemeral_storage == Some(true),
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
            once: Once { token: client_token, params_hash: hex::encode(params.fingerprint()) },
        };
        let row = self.cloud.create_capacity_reservation(cx, new, dry_run == Some(true)).await?;
        Ok(CreateCapacityReservationResult { capacity_reservation: Some(self.shown_reservation(cx, row).await?) })
    }

    pub(crate) async fn describe_capacity_reservations(
        &self,
        cx: &OpContext,
        r: DescribeCapacityReservationsRequest,
    ) -> Result<DescribeCapacityReservationsResult, ApiError> {
        let DescribeCapacityReservationsRequest {
            capacity_reservation_ids: given,
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeCapacityReservations", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<CapacityReservationId> = &parse_ids(&given, Code::InvalidCapacityReservationIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<CapacityReservationId>| async move {
            let filter = CapacityFilter {
                account: Some(cx.account()),
                ids: some_ids,
                after: after.as_ref(),
                ..Default::default()
            };
            let list = rows(capacity_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            if let Some(ids) = some_ids {
                let there = |id: &CapacityReservationId| list.iter().any(|row| row.id == *id);
                require_all(ids, there, Code::InvalidCapacityReservationIdNotFound)?;
            }
            let found: Vec<CapacityReservationId> = list.iter().map(|row| row.id.clone()).collect();
            let used = capacity_used(self.store(), &found).await.or_fail()?;
            let mut tags = tags_on(self.store(), cx.account(), found.iter().map(ToString::to_string)).await?;
            let found = list.into_iter().map(|row| shape(row, &used, &mut tags, self.look()));
            Ok(Chunk { found: found.filter(|one| filters.accept(one)).collect(), next })
        };
        let key = |one: &CapacityReservation| one.capacity_reservation_id.clone().unwrap_or_default();
        let (capacity_reservations, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeCapacityReservationsResult { capacity_reservations, next_token })
    }

    pub(crate) async fn modify_capacity_reservation(
        &self,
        cx: &OpContext,
        r: ModifyCapacityReservationRequest,
    ) -> Result<ModifyCapacityReservationResult, ApiError> {
        let ModifyCapacityReservationRequest {
            accept,
            accept_modification_terms,
            additional_info,
            capacity_reservation_id,
            dry_run,
            end_date,
            end_date_type,
            instance_count,
            instance_match_criteria,
            quote_id,
            start_date,
        } = r;
        refuse("Accept", accept == Some(true))?;
        refuse("AcceptModificationTerms", accept_modification_terms.is_some())?;
        refuse("AdditionalInfo", additional_info.is_some())?;
        refuse("QuoteId", quote_id.is_some())?;
        refuse("StartDate", start_date.is_some())?;
        let change = ReservationChange {
            count: instance_count.map(count).transpose()?,
            end_ms: end(end_date_type.as_deref(), end_date)?,
            targeted: choice("InstanceMatchCriteria", instance_match_criteria.as_deref(), &CRITERIA)?,
        };
        let id = id(capacity_reservation_id)?;
        if change == ReservationChange::default() {
            return Err(ApiError::missing_parameter("InstanceCount"));
        }
        self.cloud.modify_capacity_reservation(cx, &id, change, dry_run == Some(true)).await?;
        Ok(ModifyCapacityReservationResult { return_: Some(true), ..Default::default() })
    }

    pub(crate) async fn cancel_capacity_reservation(
        &self,
        cx: &OpContext,
        r: CancelCapacityReservationRequest,
    ) -> Result<CancelCapacityReservationResult, ApiError> {
        let CancelCapacityReservationRequest { apply_cancellation_charges, capacity_reservation_id, dry_run, quote_id } =
            r;
        refuse("ApplyCancellationCharges", apply_cancellation_charges.is_some())?;
        refuse("QuoteId", quote_id.is_some())?;
        let id = id(capacity_reservation_id)?;
        self.cloud.cancel_capacity_reservation(cx, &id, dry_run == Some(true)).await?;
        Ok(CancelCapacityReservationResult { return_: Some(true) })
    }

    pub(crate) async fn get_capacity_reservation_usage(
        &self,
        cx: &OpContext,
        r: GetCapacityReservationUsageRequest,
    ) -> Result<GetCapacityReservationUsageResult, ApiError> {
        let GetCapacityReservationUsageRequest { capacity_reservation_id, dry_run: dry, max_results, next_token } = r;
        let row = self.cloud.find_capacity_reservation(cx, &id(capacity_reservation_id)?).await?;
        let page = page("GetCapacityReservationUsage", max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        dry_run(dry)?;
        let used = capacity_used(self.store(), std::slice::from_ref(&row.id)).await.or_fail()?;
        let (total, users) = counts(&row, &used);
        let usage = InstanceUsage { account_id: Some(row.account_id.to_string()), used_instance_count: number(users) };
        let key = |usage: &InstanceUsage| usage.account_id.clone().unwrap_or_default();
        let (instance_usages, next_token) = page.cut((users > 0).then_some(usage), key);
        let active = row.state == CapacityState::Active;
        Ok(GetCapacityReservationUsageResult {
            available_instance_count: number(if active { total.saturating_sub(users) } else { 0 }),
            capacity_reservation_id: Some(row.id.to_string()),
            instance_type: Some(row.instance_type),
            instance_usages,
            next_token,
            state: Some(row.state.name().to_owned()),
            total_instance_count: number(total),
            ..Default::default()
        })
    }

    pub(crate) async fn modify_instance_capacity_reservation_attributes(
        &self,
        cx: &OpContext,
        r: ModifyInstanceCapacityReservationAttributesRequest,
    ) -> Result<ModifyInstanceCapacityReservationAttributesResult, ApiError> {
        let ModifyInstanceCapacityReservationAttributesRequest {
            capacity_reservation_specification,
            dry_run,
            instance_id,
        } = r;
        let id = instance_id.ok_or_else(|| ApiError::missing_parameter("InstanceId"))?;
        let specification = capacity_reservation_specification
            .ok_or_else(|| ApiError::missing_parameter("CapacityReservationSpecification"))?;
        let (preference, target) = wish(Some(specification))?;
        self.cloud.modify_instance_capacity(cx, &id, preference, target, dry_run == Some(true)).await?;
        Ok(ModifyInstanceCapacityReservationAttributesResult { return_: Some(true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_dates_or_never() {
        let date = OffsetDateTime::from_unix_timestamp(7).ok();
        assert_eq!(end(None, None).unwrap(), None);
        assert_eq!(end(Some("unlimited"), None).unwrap(), Some(None));
        assert_eq!(end(Some("limited"), date).unwrap(), Some(Some(7000)));
        assert_eq!(end(None, date).unwrap(), Some(Some(7000)));
        assert!(end(Some("limited"), None).is_err() && end(Some("unlimited"), date).is_err());
        assert!(end(Some("sometime"), None).is_err());
    }

    #[test]
    fn wishes_that_contradict_themselves() {
        let target = |id: &str| {
            Some(CapacityReservationTarget { capacity_reservation_id: Some(id.into()), ..Default::default() })
        };
        let ask = |preference: Option<&str>, target| {
            let preference = preference.map(str::to_owned);
            wish(Some(CapacityReservationSpecification {
                capacity_reservation_preference: preference,
                capacity_reservation_target: target,
            }))
        };
        assert_eq!(wish(None).unwrap(), (None, None));
        assert!(ask(Some("capacity-reservations-only"), None).is_ok() && ask(Some("perhaps"), None).is_err());
        let id = "cr-0123456789abcdef0";
        assert_eq!(ask(None, target(id)).unwrap().1.unwrap().as_str(), id);
        assert!(ask(Some("none"), target(id)).is_err() && ask(Some("open"), target(id)).is_err());
        assert_eq!(ask(None, target("i-1")).unwrap_err().code(), Code::InvalidCapacityReservationIdMalformed);
        assert!(ask(None, Some(CapacityReservationTarget::default())).is_err());
    }
}

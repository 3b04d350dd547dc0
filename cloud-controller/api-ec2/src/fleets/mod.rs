//! Fleets: from the wire's requests to wishes, and back to what came of them.

mod candidates;
mod describe;
mod hands;
mod options;
mod parts;
mod shown;

use crate::Ec2Api;
use crate::common::{choice, refuse, tags_for};
use candidates::Wish;
use mallee_app::OpContext;
use mallee_app::fleets::{NewFleet, TAG_KIND};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, FromQuery as _, Params};
use mallee_ec2_types::ec2::{
    CreateFleetRequest, CreateFleetResult, DeleteFleetError, DeleteFleetErrorItem, DeleteFleetSuccessItem,
    DeleteFleetsRequest, DeleteFleetsResult, ModifyFleetRequest, ModifyFleetResult,
};
use mallee_store::{FleetDoc, FleetKind, FleetRow};
use time::OffsetDateTime;

/// Fleets that one call may delete (EC2: 125).
const DELETIONS_MAX: usize = 125;
const KINDS: [(&str, FleetKind); 3] =
    [("instant", FleetKind::Instant), ("request", FleetKind::Request), ("maintain", FleetKind::Maintain)];
const POLICIES: [(&str, bool); 2] = [("termination", true), ("no-termination", false)];

fn stored(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The request as it is kept to be shown: without what only the call is about.
fn kept(params: &Params) -> Vec<(String, String)> {
    const GONE: [&str; 3] = ["TagSpecification", "ClientToken", "DryRun"];
    let head = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let kept = params.iter().filter(|(name, _)| !GONE.contains(&head(name).as_str()));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The request as it was kept.
fn request_of(row: &FleetRow) -> Result<CreateFleetRequest, ApiError> {
    let pairs = row.doc.0.request.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    CreateFleetRequest::from_query(Params::from_pairs(pairs)?.root()).map_err(ApiError::internal)
}

impl Ec2Api {
    pub(crate) async fn create_fleet(
        &self,
        cx: &OpContext,
        r: CreateFleetRequest,
        params: &Params,
    ) -> Result<CreateFleetResult, ApiError> {
        let once = Once { token: r.client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        // Before the templates are looked at: they may have changed, or gone, since the first call.
        let row = match self.cloud.fleet_made_before(cx, &once).await? {
            Some(row) => row,
            None => {
                let dry_run = r.dry_run == Some(true);
                let new = self.new_fleet(cx, r, params).await?;
                self.cloud.create_fleet(cx, new, &once, dry_run).await?
            }
        };
        if row.kind != FleetKind::Instant {
            return Ok(CreateFleetResult { fleet_id: Some(row.id.to_string()), ..Default::default() });
        }
        Box::pin(self.cloud.fulfil_fleet(self, &row.id)).await?;
        self.launched(cx, &row).await
    }

    async fn new_fleet(&self, cx: &OpContext, r: CreateFleetRequest, params: &Params) -> Result<NewFleet, ApiError> {
        let CreateFleetRequest {
            client_token: _,
            context,
            dry_run: _,
            excess_capacity_termination_policy: excess,
            launch_template_configs: configs,
            on_demand_options,
            replace_unhealthy_instances,
            reserved_capacity_options,
            spot_options,
            tag_specifications,
            target_capacity_specification: target,
            terminate_instances_with_expiration,
            type_,
            valid_from,
            valid_until,
        } = r;
        refuse("Context", context.is_some())?;
        refuse("ReservedCapacityOptions", reserved_capacity_options.is_some())?;
        let kind = choice("Type", type_.as_deref(), &KINDS)?.unwrap_or(FleetKind::Maintain);
        let mut doc = FleetDoc {
            request: kept(params),
            terminate_excess: choice("ExcessCapacityTerminationPolicy", excess.as_deref(), &POLICIES)?.unwrap_or(true),
            terminate_expired: terminate_instances_with_expiration == Some(true),
            replace_unhealthy: replace_unhealthy_instances == Some(true),
            valid_from_ms: valid_from.map(stored),
            valid_until_ms: valid_until.map(stored),
            on_demand_options: options::on_demand(on_demand_options, kind)?,
            spot_options: options::spot(spot_options, kind)?,
            ..FleetDoc::default()
        };
        if doc.replace_unhealthy && kind != FleetKind::Maintain {
            return Err(Code::InvalidFleetConfig
                .message("ReplaceUnhealthyInstances is supported only for fleets of type maintain"));
        }
        self.check_times(&doc, kind)?;
        let target = target.ok_or_else(|| ApiError::missing_parameter("TargetCapacitySpecification"))?;
        let unit = options::target(&mut doc, target)?;
        let allowed: &[&str] = match kind {
            FleetKind::Instant => &[TAG_KIND, "instance", "network-interface", "volume"],
            FleetKind::Request | FleetKind::Maintain => &[TAG_KIND],
        };
        let mut tags = Vec::new();
        for (of, list) in tags_for(tag_specifications, allowed)? {
            match of.as_str() {
                TAG_KIND => tags = list,
                "instance" => doc.instance_tags = list,
                "network-interface" => doc.interface_tags = list,
                // Launches make no volumes, but what is written is checked.
                _ => mallee_app::tags::validate(&list)?,
            }
        }
        let wish = Wish {
            kind,
            unit,
            // A target of none is nobody's right to ask for, but it may be raised later: then it is asked again.
            on_demand: doc.on_demand > 0 || doc.spot == 0,
            spot: doc.spot > 0,
            instance_tags: &doc.instance_tags,
            interface_tags: &doc.interface_tags,
        };
        doc.candidates = Box::pin(self.candidates(cx, configs, wish)).await?;
        Ok(NewFleet { kind, doc, tags })
    }

    fn check_times(&self, doc: &FleetDoc, kind: FleetKind) -> Result<(), ApiError> {
        let now_ms = self.cloud.clock().now_ms();
        if kind == FleetKind::Instant && doc.valid_from_ms.is_some_and(|from| from > now_ms) {
            return Err(
                Code::InvalidFleetConfig.message("An instant fleet is launched at once: ValidFrom is not supported")
            );
        }
        let from = doc.valid_from_ms.unwrap_or(now_ms).max(now_ms);
        if doc.valid_until_ms.is_some_and(|until| until <= from) {
            return Err(Code::InvalidFleetConfig.message("ValidUntil must be in the future and after ValidFrom"));
        }
        Ok(())
    }

    pub(crate) async fn modify_fleet(
        &self,
        cx: &OpContext,
        r: ModifyFleetRequest,
        params: &Params,
    ) -> Result<ModifyFleetResult, ApiError> {
        let ModifyFleetRequest {
            context,
            dry_run,
            excess_capacity_termination_policy: excess,
            fleet_id,
            launch_template_configs,
            target_capacity_specification: target,
        } = r;
        refuse("Context", context.is_some())?;
        let id = fleet_id.unwrap_or_default();
        let row = self.cloud.find_fleet(cx, &id).await?;
        let terminate_excess = choice("ExcessCapacityTerminationPolicy", excess.as_deref(), &POLICIES)?;
        if terminate_excess.is_none() && launch_template_configs.is_empty() && target.is_none() {
            return Err(ApiError::missing_parameter("TargetCapacitySpecification"));
        }
        // What it will be is what the caller must have the right to launch, whoever made the fleet.
        let mut after = row.doc.0.clone();
        let mut before = request_of(&row)?;
        let was = before.target_capacity_specification.take().unwrap_or_default();
        let specification = match target.clone() {
            Some(target) => options::completed(target, was)?,
            None => was,
        };
        let unit = options::target(&mut after, specification)?;
        let wish = Wish {
            kind: row.kind,
            unit,
            on_demand: after.on_demand > 0 || after.spot == 0,
            spot: after.spot > 0,
            instance_tags: &[],
            interface_tags: &[],
        };
        let grows = after.on_demand > row.doc.0.on_demand || after.spot > row.doc.0.spot;
        let candidates = if launch_template_configs.is_empty() {
            if grows {
                Box::pin(self.may_still_launch(cx, &after.candidates, wish)).await?;
            }
            None
        } else {
            Some(Box::pin(self.candidates(cx, launch_template_configs, wish)).await?)
        };
        let given = kept(params);
        let (on_demand, spot) = (after.on_demand, after.spot);
        let asked_of = &row.doc.0;
        let change = |doc: &mut FleetDoc| {
            // Of what it is by now nobody was asked.
            let same = (&doc.candidates, doc.on_demand, doc.spot);
            if same != (&asked_of.candidates, asked_of.on_demand, asked_of.spot) {
                return Err(Code::Unavailable.message("The fleet was changed by another request. Please try again."));
            }
            if let Some(terminate) = terminate_excess {
                doc.terminate_excess = terminate;
                replace(&mut doc.request, &given, "ExcessCapacityTerminationPolicy", "ExcessCapacityTerminationPolicy");
            }
            if target.is_some() {
                (doc.on_demand, doc.spot) = (on_demand, spot);
                options::replace_target(&mut doc.request, &given);
            }
            if let Some(candidates) = &candidates {
                doc.candidates.clone_from(candidates);
                replace(&mut doc.request, &given, "LaunchTemplateConfig", "LaunchTemplateConfigs");
            }
            Ok(())
        };
        self.cloud.modify_fleet(cx, &id, &change, dry_run == Some(true)).await?;
        Ok(ModifyFleetResult { return_: Some(true) })
    }

    pub(crate) async fn delete_fleets(
        &self,
        cx: &OpContext,
        r: DeleteFleetsRequest,
    ) -> Result<DeleteFleetsResult, ApiError> {
        let DeleteFleetsRequest { dry_run, fleet_ids, terminate_instances } = r;
        let terminate = terminate_instances.unwrap_or(true);
        if fleet_ids.len() > DELETIONS_MAX {
            return Err(Code::InvalidParameterValue
                .message(format!("At most {DELETIONS_MAX} fleets can be deleted in one request.")));
        }
        crate::common::dry_run(dry_run)?;
        let mut out = DeleteFleetsResult::default();
        let mut seen: Vec<&String> = Vec::new();
        for id in &fleet_ids {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            match self.cloud.delete_fleet(cx, id, terminate).await? {
                Ok((before, after)) => out.successful_fleet_deletions.push(DeleteFleetSuccessItem {
                    current_fleet_state: Some(shown::state(after).to_owned()),
                    fleet_id: Some(id.clone()),
                    previous_fleet_state: Some(shown::state(before).to_owned()),
                }),
                Err((code, message)) => out.unsuccessful_fleet_deletions.push(DeleteFleetErrorItem {
                    error: Some(DeleteFleetError { code: Some(code.to_owned()), message: Some(message) }),
                    fleet_id: Some(id.clone()),
                }),
            }
        }
        Ok(out)
    }
}

/// Puts what is given under one name in the place of what was there under another.
fn replace(request: &mut Vec<(String, String)>, given: &[(String, String)], from: &str, to: &str) {
    let tail = |name: &str, head: &str| -> Option<String> {
        let rest = name.strip_prefix(head)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| rest.to_owned())
    };
    request.retain(|(name, _)| tail(name, to).is_none());
    let new = given.iter().filter_map(|(name, value)| Some((format!("{to}{}", tail(name, from)?), value.clone())));
    request.extend(new);
}

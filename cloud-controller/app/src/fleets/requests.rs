//! CreateFleet, ModifyFleet and DeleteFleets: each is one transaction that writes the wish; the keeper fulfils it.

use super::launch::FleetHands;
use super::{FLEETS_MAX, TAG_KIND, drive};
use crate::fail::OrFail as _;
use crate::ids::parse_id;
use crate::once::{Once, record};
use crate::quotas::hold_account;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    FleetDoc, FleetEventKind, FleetKind, FleetLaunchState, FleetRow, FleetState, Json, StoreError, fleet_count,
    fleet_fetch, fleet_hold, fleet_insert, fleet_launch_end, fleet_launch_list, fleet_update, tag_put,
};
use mallee_types::FleetId;
use std::time::Duration;

const OPERATION: &str = "CreateFleet";
/// How often a fleet that another call works on is looked at.
const WAIT: Duration = Duration::from_millis(20);
/// How often at most: a minute.
const WAITS_MAX: usize = 3_000;

/// A fleet that is to be made.
#[derive(Debug)]
pub struct NewFleet {
    /// How long it cares.
    pub kind: FleetKind,
    /// What it wants.
    pub doc: FleetDoc,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What ModifyFleet changes of what a fleet wants.
pub type FleetChange<'a> = &'a (dyn Fn(&mut FleetDoc) -> Result<(), ApiError> + Send + Sync);

/// What the deletion of one fleet came to: its state before and after, or EC2's code and the words.
pub type FleetRemoval = Result<(FleetState, FleetState), (&'static str, String)>;

impl Cloud {
    /// The account's fleet of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a fleet that is not there or another account's.
    pub async fn find_fleet(&self, cx: &OpContext, id: &str) -> Result<FleetRow, ApiError> {
        let parsed: FleetId = parse_id(id, Code::InvalidFleetIdMalformed)?;
        match fleet_fetch(self.store(), &parsed).await {
            Ok(row) if row.account_id == *cx.account() => Ok(row),
            Ok(_) | Err(StoreError::NotFound { .. }) => Err(Code::InvalidFleetIdNotFound.with(&[&clip(id)])),
            Err(error) => Err(crate::fail::store_failure(error)),
        }
    }

    /// The fleet that an earlier call with this token made.
    ///
    /// # Errors
    /// For a token that was used for another fleet.
    pub async fn fleet_made_before(&self, cx: &OpContext, once: &Once) -> Result<Option<FleetRow>, ApiError> {
        let Some(token) = &once.token else { return Ok(None) };
        match mallee_store::client_token_peek(self.store(), cx.account(), OPERATION, token).await.or_fail()? {
            Some((hash, _)) if hash != once.params_hash => Err(Code::IdempotentParameterMismatch.error()),
            Some((_, Some(id))) => self.find_fleet(cx, &id).await.map(Some),
            Some((_, None)) | None => Ok(None),
        }
    }

    /// `CreateFleet`: the wish; [`Cloud::fulfil_fleet`] or the keeper fulfils it.
    ///
    /// # Errors
    /// EC2's for the tags, the token, and too many fleets.
    pub async fn create_fleet(
        &self,
        cx: &OpContext,
        new: NewFleet,
        once: &Once,
        dry_run: bool,
    ) -> Result<FleetRow, ApiError> {
        for tags in [&new.tags, &new.doc.instance_tags, &new.doc.interface_tags] {
            tags::validate(tags)?;
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            drop(tx);
            return self.find_fleet(cx, &before).await;
        }
        hold_account(&mut tx, cx.account()).await?;
        if fleet_count(&mut tx, cx.account()).await.or_fail()? >= FLEETS_MAX {
            return Err(Code::InvalidFleetConfig.message(format!(
                "An account may have {FLEETS_MAX} fleets that are submitted, active or being deleted"
            )));
        }
        let mut doc = new.doc;
        doc.maker = cx.as_maker().map(serde_json::to_value).transpose().map_err(ApiError::internal)?;
        let row = FleetRow {
            id: FleetId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            kind: new.kind,
            state: FleetState::Submitted,
            version: 1,
            is_open: true,
            created_by: cx.actor.arn.to_string(),
            created_ms: self.clock().now_ms(),
            deleted_ms: None,
            client_token: once.token.clone(),
            attempts: 0,
            doc: Json(doc),
        };
        fleet_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        let text = "The fleet was submitted".to_owned();
        self.fleet_event(&mut tx, &row.id, FleetEventKind::Fleet, "submitted", text, None).await?;
        record(&mut tx, cx, OPERATION, once, row.id.as_str()).await?;
        self.faults().point("cloud.fleet.create.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.fleet.create.committed").await.or_fail()?;
        if row.kind != FleetKind::Instant {
            self.fleet_nudge().wake();
        }
        Ok(row)
    }

    /// Launches what an instant fleet wants, before its caller is answered. Whoever calls again goes on where the
    /// first one stopped.
    ///
    /// # Errors
    /// What may pass; what is refused for good stands in the fleet's launches.
    pub async fn fulfil_fleet(&self, hands: &dyn FleetHands, id: &FleetId) -> Result<(), ApiError> {
        for _ in 0..WAITS_MAX {
            if let Some(_busy) = self.fleets().take(id) {
                return drive(self, hands, id).await;
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(Code::Unavailable.message(format!("{id} is being worked on; try again")))
    }

    /// `ModifyFleet`.
    ///
    /// # Errors
    /// EC2's for a fleet that is not there, that is not maintained, or that is deleted; those of `change`.
    pub async fn modify_fleet(
        &self,
        cx: &OpContext,
        id: &str,
        change: FleetChange<'_>,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let row = self.find_fleet(cx, id).await?;
        modifiable(&row)?;
        let mut doc = row.doc.0;
        change(&mut doc)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        fleet_hold(&mut tx, &row.id).await.or_fail()?;
        let mut row = fleet_fetch(&mut tx, &row.id).await.or_fail()?;
        modifiable(&row)?;
        change(&mut row.doc.0)?;
        row.doc.0.retry_ms = 0;
        row.doc.0.failures = 0;
        row.doc.0.activity = "pending_fulfillment".into();
        row.state = FleetState::Modifying;
        fleet_update(&mut tx, &mut row).await.or_fail()?;
        // What was decided for the old target is decided anew.
        cancel_planned(&mut tx, &row.id).await.or_fail()?;
        let text = "The fleet is being modified".to_owned();
        self.fleet_event(&mut tx, &row.id, FleetEventKind::Fleet, "modify_in_progress", text, None).await?;
        self.faults().point("cloud.fleet.modify.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.fleet.modify.committed").await.or_fail()?;
        self.fleet_nudge().wake();
        Ok(())
    }

    /// `DeleteFleets`, each by itself: it launches nothing more, and its instances are terminated if that is said.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_fleet(&self, cx: &OpContext, id: &str, terminate: bool) -> Result<FleetRemoval, ApiError> {
        let row = match self.find_fleet(cx, id).await {
            Ok(row) => row,
            Err(error) if error.code() == Code::InvalidFleetIdMalformed => {
                return Ok(Err(("fleetIdMalformed", error.message().to_owned())));
            }
            Err(error) if error.code() == Code::InvalidFleetIdNotFound => {
                return Ok(Err(("fleetIdDoesNotExist", error.message().to_owned())));
            }
            Err(error) => return Err(error),
        };
        let mut tx = self.store().write().await.or_fail()?;
        fleet_hold(&mut tx, &row.id).await.or_fail()?;
        let mut row = fleet_fetch(&mut tx, &row.id).await.or_fail()?;
        let before = row.state;
        if before == FleetState::Deleted || (before == FleetState::DeletedTerminating && terminate) {
            tx.rollback().await.or_fail()?;
            return Ok(Ok((before, before)));
        }
        if !terminate && row.kind == FleetKind::Instant {
            tx.rollback().await.or_fail()?;
            let text = "A fleet of type instant is deleted with its instances: NoTerminateInstances is not supported";
            return Ok(Err(("fleetNotInDeletableState", text.to_owned())));
        }
        if !terminate && before == FleetState::DeletedTerminating {
            tx.rollback().await.or_fail()?;
            return Ok(Err(("fleetNotInDeletableState", format!("The fleet {id} is terminating its instances"))));
        }
        row.state = if terminate { FleetState::DeletedTerminating } else { FleetState::DeletedRunning };
        row.is_open = true;
        row.deleted_ms.get_or_insert(self.clock().now_ms());
        fleet_update(&mut tx, &mut row).await.or_fail()?;
        cancel_planned(&mut tx, &row.id).await.or_fail()?;
        let (word, text) = if terminate {
            ("deleted_terminating", "The fleet is deleted and its instances are terminated")
        } else {
            ("deleted_running", "The fleet is deleted; its instances run on")
        };
        self.fleet_event(&mut tx, &row.id, FleetEventKind::Fleet, word, text.to_owned(), None).await?;
        self.faults().point("cloud.fleet.delete.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.fleet.delete.committed").await.or_fail()?;
        self.fleet_nudge().wake();
        Ok(Ok((before, row.state)))
    }
}

fn modifiable(row: &FleetRow) -> Result<(), ApiError> {
    if row.kind != FleetKind::Maintain {
        return Err(Code::Unsupported.message(format!("{}: only fleets of type maintain can be modified", row.id)));
    }
    if !matches!(row.state, FleetState::Submitted | FleetState::Active | FleetState::Modifying) {
        return Err(Code::IncorrectState.message(format!("The fleet {} is deleted and cannot be modified", row.id)));
    }
    Ok(())
}

async fn cancel_planned(tx: &mut mallee_store::Tx, id: &FleetId) -> Result<(), StoreError> {
    for mut launch in fleet_launch_list(&mut *tx, id).await? {
        if launch.state == FleetLaunchState::Planned {
            launch.state = FleetLaunchState::Cancelled;
            fleet_launch_end(tx, &launch).await?;
        }
    }
    Ok(())
}

//! Route tables: made, given to subnets, deleted.

use super::TABLE_TAG_KIND;
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::once::{Once, record};
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    RouteAssociationFilter, RouteAssociationRow, RouteTableFilter, RouteTableRow, StoreError, Tx, change_append,
    route_association_delete, route_association_insert, route_association_list, route_association_replace,
    route_table_delete, route_table_insert, route_table_list, route_table_number, subnet_touch, tag_delete_of, tag_put,
    vpc_touch,
};
use mallee_types::{Generation, RouteAssociationId, RouteTableId};

/// The operation's name in the log of client tokens.
const CREATE: &str = "CreateRouteTable";

impl Cloud {
    /// The table of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a table that is not there.
    pub async fn find_route_table(&self, cx: &OpContext, id: &str) -> Result<RouteTableRow, ApiError> {
        let id: RouteTableId = parse_id(id, Code::InvalidRouteTableIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let filter = RouteTableFilter { account: Some(cx.account()), ids, ..Default::default() };
        let found = route_table_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidRouteTableIdNotFound.with(&[id.as_str()]))
    }

    /// The association of this id, of a table of the account.
    async fn find_association(&self, cx: &OpContext, id: &str) -> Result<RouteAssociationRow, ApiError> {
        let unknown = || Code::InvalidAssociationIdNotFound.with(&[&mallee_awswire::texts::clip(id)]);
        let parsed: RouteAssociationId = id.parse().map_err(|_| unknown())?;
        let filter = RouteAssociationFilter { id: Some(&parsed), ..Default::default() };
        let row = route_association_list(self.store(), filter).await.or_fail()?.pop().ok_or_else(unknown)?;
        match self.find_route_table(cx, row.table_id.as_str()).await {
            Ok(_) => Ok(row),
            Err(error) if error.code() == Code::InvalidRouteTableIdNotFound => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// `CreateRouteTable`: one that leads to the VPC's own addresses only.
    ///
    /// # Errors
    /// `RouteTableLimitExceeded`, tags that are none, a VPC that is not there.
    pub async fn create_route_table(
        &self,
        cx: &OpContext,
        vpc: &str,
        tags: &[Tag],
        once: &Once,
        dry_run: bool,
    ) -> Result<RouteTableId, ApiError> {
        let vpc = self.find_vpc(cx, vpc).await?;
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateRouteTable", TABLE_TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, CREATE, once).await? {
            return made.parse().map_err(ApiError::internal);
        }
        // First: whoever else makes tables in the VPC waits, and counts this one.
        let number = route_table_number(&mut tx, &vpc.id).await.or_fail()?;
        let vpcs = Some(std::slice::from_ref(&vpc.id));
        let filter = RouteTableFilter { vpcs, ..Default::default() };
        let there = route_table_list(&mut tx, filter, mallee_store::ROUTE_TABLES_MAX).await.or_fail()?;
        within(&mut tx, cx.account(), &quotas::ROUTE_TABLES_PER_VPC, there.len() + 1).await?;
        let row = RouteTableRow {
            id: RouteTableId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            number,
            vpc_id: vpc.id,
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        allowance.made(&mut tx, &[row.id.to_string()]).await?;
        route_table_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TABLE_TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        change_append(&mut tx, load::ROUTE_TABLE, &row.id, None);
        record(&mut tx, cx, CREATE, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row.id)
    }

    /// `DeleteRouteTable`.
    ///
    /// # Errors
    /// `DependencyViolation` while a subnet has it, or while it is the main one.
    pub async fn delete_route_table(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_route_table(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let needed = || {
            let text = format!("The routeTable '{}' has dependencies and cannot be deleted.", row.id);
            Code::DependencyViolation.message(text)
        };
        let mut tx = self.store().write().await.or_fail()?;
        match route_table_delete(&mut tx, &row.id).await {
            Ok(true) => {}
            Ok(false) => return Err(Code::InvalidRouteTableIdNotFound.with(&[row.id.as_str()])),
            Err(StoreError::InUse) => return Err(needed()),
            Err(error) => return Err(store_failure(error)),
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        change_append(&mut tx, load::ROUTE_TABLE, &row.id, None);
        match tx.commit().await {
            Err(StoreError::InUse) => Err(needed()),
            done => done.or_fail(),
        }
    }

    /// `AssociateRouteTable`: the subnet has this table from now on.
    ///
    /// # Errors
    /// `Resource.AlreadyAssociated` for a subnet that has another table of its own.
    pub async fn associate_route_table(
        &self,
        cx: &OpContext,
        table: &str,
        subnet: &str,
        dry_run: bool,
    ) -> Result<RouteAssociationId, ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let subnet = self.find_subnet(cx, subnet).await?;
        if table.vpc_id != subnet.vpc_id {
            return Err(Code::InvalidParameterValue
                .message(format!("Route table {} and subnet {} belong to different networks", table.id, subnet.id)));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        let filter = RouteAssociationFilter { subnet: Some(&subnet.id), ..Default::default() };
        let taken = || {
            Code::ResourceAlreadyAssociated.message(format!(
                "the specified association for route table {} conflicts with an existing association",
                table.id
            ))
        };
        if let Some(held) = route_association_list(&mut tx, filter).await.or_fail()?.pop() {
            return if held.table_id == table.id { Ok(held.id) } else { Err(taken()) };
        }
        let row = RouteAssociationRow {
            id: RouteAssociationId::from_random(self.rng().u128()),
            table_id: table.id.clone(),
            vpc_id: table.vpc_id.clone(),
            subnet_id: Some(subnet.id.clone()),
        };
        match route_association_insert(&mut tx, &row).await {
            Ok(()) => {}
            Err(error) if error.is_conflict("route_associations_subnet_id") => return Err(taken()),
            Err(StoreError::InUse) => {
                // One of the two has just been deleted.
                drop(tx);
                self.find_route_table(cx, table.id.as_str()).await?;
                self.find_subnet(cx, subnet.id.as_str()).await?;
                return Err(Code::Unavailable.message("The resource was changed by another request. Please try again."));
            }
            Err(error) => return Err(store_failure(error)),
        }
        tell_association(&mut tx, &row).await?;
        tx.commit().await.or_fail()?;
        Ok(row.id)
    }

    /// `DisassociateRouteTable`: the subnet has the VPC's main table from now on.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidParameterValue` for the main table.
    pub async fn disassociate_route_table(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_association(cx, id).await?;
        if row.subnet_id.is_none() {
            return Err(Code::InvalidParameterValue
                .message(format!("cannot disassociate the main route table association {}", row.id)));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !route_association_delete(&mut tx, &row.id).await.or_fail()? {
            return Err(Code::InvalidAssociationIdNotFound.with(&[row.id.as_str()]));
        }
        tell_association(&mut tx, &row).await?;
        tx.commit().await.or_fail()
    }

    /// `ReplaceRouteTableAssociation`: gives the subnet another table, or the VPC another main one.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidParameterValue` for a table of another VPC.
    pub async fn replace_route_table_association(
        &self,
        cx: &OpContext,
        id: &str,
        table: &str,
        dry_run: bool,
    ) -> Result<RouteAssociationId, ApiError> {
        let row = self.find_association(cx, id).await?;
        let table = self.find_route_table(cx, table).await?;
        if table.vpc_id != row.vpc_id {
            return Err(Code::InvalidParameterValue
                .message(format!("route table {} and association {} belong to different networks", table.id, row.id)));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let new = RouteAssociationId::from_random(self.rng().u128());
        let mut tx = self.store().write().await.or_fail()?;
        match route_association_replace(&mut tx, &row.id, &new, &table.id).await {
            Ok(true) => {}
            Ok(false) => return Err(Code::InvalidAssociationIdNotFound.with(&[row.id.as_str()])),
            Err(StoreError::InUse) => return Err(Code::InvalidRouteTableIdNotFound.with(&[table.id.as_str()])),
            Err(error) => return Err(store_failure(error)),
        }
        tell_association(&mut tx, &row).await?;
        tx.commit().await.or_fail()?;
        Ok(new)
    }
}

/// Which table a subnet has, or which is a VPC's main one, is told with the subnet or the VPC.
async fn tell_association(tx: &mut Tx, row: &RouteAssociationRow) -> Result<(), ApiError> {
    match &row.subnet_id {
        Some(subnet) => {
            subnet_touch(tx, subnet).await.or_fail()?;
            change_append(tx, load::SUBNET, subnet, None);
        }
        None => {
            vpc_touch(tx, &row.vpc_id).await.or_fail()?;
            change_append(tx, load::VPC, &row.vpc_id, None);
        }
    }
    Ok(())
}

//! Credit specifications of burstable instances. No guest is throttled and none pays: the choice is kept and shown.

use super::search::Lookup;
use crate::Ec2Api;
use crate::common::{Chunk, Reach, choice, dry_run, fill, filters, page, rows as read_rows, values_of};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::parse_ids;
use mallee_app::instances::modify::Change;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{CpuCredits, InstanceRow, instance_list};
use mallee_types::InstanceId;
use mallee_types::instance_type::instance_type;

/// What can be chosen, as EC2 words it.
pub(super) const WORDS: [(&str, CpuCredits); 2] =
    [("standard", CpuCredits::Standard), ("unlimited", CpuCredits::Unlimited)];

/// The instance's choice; where it made none, what AWS has for its family.
pub(crate) fn shown(row: &InstanceRow) -> &'static str {
    let of_family = if row.instance_type.starts_with("t2.") { CpuCredits::Standard } else { CpuCredits::Unlimited };
    let credits = row.doc.credits.unwrap_or(of_family);
    WORDS.iter().find(|(_, meaning)| *meaning == credits).map_or("", |(word, _)| word)
}

/// Whether it is of a type that has CPU credits.
pub(crate) fn is_burstable(row: &InstanceRow) -> bool {
    instance_type(&row.instance_type).is_some_and(|size| size.burstable)
}

impl Filterable for InstanceCreditSpecification {
    fn values(&self, name: &str) -> Vec<String> {
        if name == "instance-id" { values_of(&self.instance_id) } else { Vec::new() }
    }
}

impl Ec2Api {
    pub(crate) async fn describe_instance_credit_specifications(
        &self,
        cx: &OpContext,
        r: DescribeInstanceCreditSpecificationsRequest,
    ) -> Result<DescribeInstanceCreditSpecificationsResult, ApiError> {
        let DescribeInstanceCreditSpecificationsRequest {
            dry_run: dry,
            filters: wanted,
            instance_ids,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &["instance-id"])?;
        let operation = "DescribeInstanceCreditSpecifications";
        let page = page(operation, max_results, next_token.as_deref(), 5..=1000, &instance_ids)?;
        let ids: Vec<InstanceId> = parse_ids(&instance_ids, Code::InvalidInstanceIdMalformed)?;
        dry_run(dry)?;
        self.require_instances(cx, &ids).await?;
        let by_id = !ids.is_empty();
        let (store, lookup) = (self.store(), &Lookup::new(ids, filters));
        let mut reach = Reach::new(&page);
        let read = |after: Option<InstanceId>| {
            let count = reach.next();
            async move {
                let step = lookup.step(store, cx.account(), after, count).await?;
                let rows = read_rows(instance_list(store, step.filter(cx.account()), step.rows()).await)?;
                let next = step.next(&rows, |row| row.id.clone());
                if by_id && let Some(row) = rows.iter().find(|row| !is_burstable(row)) {
                    return Err(Code::UnsupportedOperation.message(format!(
                        "The instance '{}' is of type {}, which has no CPU credits.",
                        row.id, row.instance_type
                    )));
                }
                let shapes = rows.iter().filter(|row| is_burstable(row) && !row.released).map(|row| {
                    InstanceCreditSpecification {
                        cpu_credits: Some(shown(row).into()),
                        instance_id: Some(row.id.to_string()),
                    }
                });
                Ok(Chunk { found: shapes.filter(|shape| filters.accept(shape)).collect(), next })
            }
        };
        let key = |shape: &InstanceCreditSpecification| shape.instance_id.clone().unwrap_or_default();
        let (instance_credit_specifications, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeInstanceCreditSpecificationsResult { instance_credit_specifications, next_token })
    }

    /// Each instance for itself. The same choice again changes nothing, so a repeated token is harmless.
    pub(crate) async fn modify_instance_credit_specification(
        &self,
        cx: &OpContext,
        r: ModifyInstanceCreditSpecificationRequest,
    ) -> Result<ModifyInstanceCreditSpecificationResult, ApiError> {
        let ModifyInstanceCreditSpecificationRequest {
            client_token: _repeating_is_harmless,
            dry_run: dry,
            instance_credit_specifications: wanted,
        } = r;
        if wanted.is_empty() {
            return Err(ApiError::missing_parameter("InstanceCreditSpecification"));
        }
        if wanted.len() > mallee_app::ids::IDS_MAX {
            let most = mallee_app::ids::IDS_MAX.to_string();
            return Err(Code::RequestResourceCountExceeded.with(&[&most]));
        }
        dry_run(dry)?;
        let mut out = ModifyInstanceCreditSpecificationResult::default();
        for InstanceCreditSpecificationRequest { cpu_credits, instance_id } in wanted {
            let id = instance_id.unwrap_or_default();
            let credits = choice("CpuCredits", cpu_credits.as_deref(), &WORDS)?
                .ok_or_else(|| ApiError::missing_parameter("CpuCredits"))?;
            let refusal = match self.cloud.find_instances(cx, std::slice::from_ref(&id)).await {
                Ok(rows) if !rows.iter().all(is_burstable) => {
                    Some((NOT_SUPPORTED, "The instance's type has no CPU credits.".to_owned()))
                }
                Ok(_) => {
                    let changed = self.cloud.modify_instance(cx, &id, &Change::Credits(credits), false).await;
                    changed.err().map(|error| (error.code().as_str(), error.message().to_owned()))
                }
                Err(error) => Some((error.code().as_str(), error.message().to_owned())),
            };
            let instance_id = Some(id);
            match refusal {
                None => out
                    .successful_instance_credit_specifications
                    .push(SuccessfulInstanceCreditSpecificationItem { instance_id }),
                Some((code, message)) => {
                    let error = UnsuccessfulInstanceCreditSpecificationItemError {
                        code: Some(code.into()),
                        message: Some(message),
                    };
                    out.unsuccessful_instance_credit_specifications
                        .push(UnsuccessfulInstanceCreditSpecificationItem { error: Some(error), instance_id });
                }
            }
        }
        Ok(out)
    }
}

/// EC2's code of an instance that cannot be as asked.
const NOT_SUPPORTED: &str = "InstanceCreditSpecification.NotSupported";

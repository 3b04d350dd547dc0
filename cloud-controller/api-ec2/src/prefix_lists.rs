//! Managed prefix lists, their entries and what refers to them. AWS's own lists, of its services, there are none here.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, refuse, rows, tag_filter_values, tags_of_one,
    tags_on, values_of,
};
use crate::filter::Filterable;
use ipnet::IpNet;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::once::Once;
use mallee_app::prefix_lists::{ListChange, NewEntry, NewList, TAG_KIND, require_version};
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    PrefixListEntryRow, PrefixListFamily, PrefixListFilter, PrefixListRow, prefix_list_entries, prefix_list_list,
    prefix_list_uses,
};
use mallee_types::PrefixListId as ListId;

/// What DescribeManagedPrefixLists filters by.
const FILTERS: [&str; 4] = ["owner-id", "prefix-list-id", "prefix-list-name", "tag-key"];
/// What DescribePrefixLists filters by.
const SERVICE_FILTERS: [&str; 2] = ["prefix-list-id", "prefix-list-name"];
/// A page of lists or entries may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 1..=100;
/// A page of AWS's own lists, and of references, may have so many.
const LONG_PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;
const REFERENCE_PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=255;
/// The state of a list that has just been deleted: nothing else tells of it.
const DELETED: &str = "delete-complete";

/// Where a page of entries begins: after this block of this version.
#[derive(Debug, Clone, Copy)]
struct EntryKey {
    version: i64,
    cidr: IpNet,
}

impl std::str::FromStr for EntryKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (version, cidr) = text.split_once(':').ok_or(())?;
        Ok(Self { version: version.parse().map_err(drop)?, cidr: cidr.parse().map_err(drop)? })
    }
}

impl Filterable for ManagedPrefixList {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "owner-id" => values_of(&self.owner_id),
            "prefix-list-id" => values_of(&self.prefix_list_id),
            "prefix-list-name" => values_of(&self.prefix_list_name),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: &PrefixListRow, look: Look<'_>, tags: &mut TagMap) -> ManagedPrefixList {
    ManagedPrefixList {
        address_family: Some(row.family.word().to_owned()),
        max_entries: i32::try_from(row.max_entries).ok(),
        owner_id: Some(row.account_id.to_string()),
        prefix_list_arn: Some(look.arn(&row.account_id, TAG_KIND, row.id.as_str())),
        prefix_list_id: Some(row.id.to_string()),
        prefix_list_name: Some(row.name.clone()),
        state: Some(row.state.word().to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        version: Some(row.version),
        ..Default::default()
    }
}

fn entry(row: PrefixListEntryRow) -> PrefixListEntry {
    PrefixListEntry { cidr: Some(row.cidr.to_string()), description: row.description }
}

/// A block of an entry in its canonical form, of whichever family.
fn block(text: Option<String>) -> Result<IpNet, ApiError> {
    let text = text.ok_or_else(|| ApiError::missing_parameter("cidr"))?;
    let parsed: Option<IpNet> = text.parse().ok();
    parsed.map(|block| block.trunc()).ok_or_else(|| {
        ApiError::invalid_value("cidr", &text, "This is not a valid CIDR block of the prefix list's address family.")
    })
}

/// Of which addresses a new list is to be.
fn family(text: Option<String>) -> Result<PrefixListFamily, ApiError> {
    let text = text.ok_or_else(|| ApiError::missing_parameter("addressFamily"))?;
    let known = [PrefixListFamily::Ipv4, PrefixListFamily::Ipv6].into_iter().find(|family| family.word() == text);
    known.ok_or_else(|| ApiError::invalid_value("addressFamily", &text, "Valid values are IPv4 and IPv6."))
}

fn new_entries(entries: Vec<AddPrefixListEntry>) -> Result<Vec<NewEntry>, ApiError> {
    let new = |AddPrefixListEntry { cidr, description }| Ok(NewEntry { cidr: block(cidr)?, description });
    entries.into_iter().map(new).collect()
}

fn required(id: Option<String>) -> Result<String, ApiError> {
    id.ok_or_else(|| ApiError::missing_parameter("prefixListId"))
}

impl Ec2Api {
    async fn prefix_list_shown(&self, cx: &OpContext, row: &PrefixListRow) -> Result<ManagedPrefixList, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        Ok(shape(row, self.look(), &mut tags))
    }

    pub(crate) async fn create_managed_prefix_list(
        &self,
        cx: &OpContext,
        r: CreateManagedPrefixListRequest,
        params: &Params,
    ) -> Result<CreateManagedPrefixListResult, ApiError> {
        let CreateManagedPrefixListRequest {
            address_family,
            client_token,
            dry_run,
            entries,
            max_entries,
            prefix_list_name,
            tag_specifications,
        } = r;
        let list = NewList {
            family: family(address_family)?,
            name: prefix_list_name.ok_or_else(|| ApiError::missing_parameter("prefixListName"))?,
            max_entries: max_entries.ok_or_else(|| ApiError::missing_parameter("maxEntries"))?,
            entries: new_entries(entries)?,
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let once = Once { token: client_token, params_hash: hex::encode(params.fingerprint()) };
        let row = self.cloud.create_prefix_list(cx, &list, &once, dry_run == Some(true)).await?;
        Ok(CreateManagedPrefixListResult { prefix_list: Some(self.prefix_list_shown(cx, &row).await?) })
    }

    pub(crate) async fn modify_managed_prefix_list(
        &self,
        cx: &OpContext,
        r: ModifyManagedPrefixListRequest,
    ) -> Result<ModifyManagedPrefixListResult, ApiError> {
        let ModifyManagedPrefixListRequest {
            add_entries,
            current_version,
            dry_run,
            ipam_prefix_list_resolver_sync_enabled,
            max_entries,
            prefix_list_id,
            prefix_list_name,
            remove_entries,
        } = r;
        refuse("IpamPrefixListResolverSyncEnabled", ipam_prefix_list_resolver_sync_enabled.is_some())?;
        let id = required(prefix_list_id)?;
        let change = ListChange {
            name: prefix_list_name,
            max_entries,
            add: new_entries(add_entries)?,
            remove: remove_entries.into_iter().map(|entry| block(entry.cidr)).collect::<Result<_, _>>()?,
            current_version,
        };
        let row = self.cloud.modify_prefix_list(cx, &id, &change, dry_run == Some(true)).await?;
        Ok(ModifyManagedPrefixListResult { prefix_list: Some(self.prefix_list_shown(cx, &row).await?) })
    }

    pub(crate) async fn restore_managed_prefix_list_version(
        &self,
        cx: &OpContext,
        r: RestoreManagedPrefixListVersionRequest,
    ) -> Result<RestoreManagedPrefixListVersionResult, ApiError> {
        let RestoreManagedPrefixListVersionRequest { current_version, dry_run, prefix_list_id, previous_version } = r;
        let id = required(prefix_list_id)?;
        let previous = previous_version.ok_or_else(|| ApiError::missing_parameter("previousVersion"))?;
        let current = current_version.ok_or_else(|| ApiError::missing_parameter("currentVersion"))?;
        let row = self.cloud.restore_prefix_list(cx, &id, previous, current, dry_run == Some(true)).await?;
        Ok(RestoreManagedPrefixListVersionResult { prefix_list: Some(self.prefix_list_shown(cx, &row).await?) })
    }

    pub(crate) async fn delete_managed_prefix_list(
        &self,
        cx: &OpContext,
        r: DeleteManagedPrefixListRequest,
    ) -> Result<DeleteManagedPrefixListResult, ApiError> {
        let DeleteManagedPrefixListRequest { dry_run, prefix_list_id } = r;
        let row = self.cloud.delete_prefix_list(cx, &required(prefix_list_id)?, dry_run == Some(true)).await?;
        let mut gone = shape(&row, self.look(), &mut TagMap::new());
        gone.state = Some(DELETED.to_owned());
        Ok(DeleteManagedPrefixListResult { prefix_list: Some(gone) })
    }

    pub(crate) async fn describe_managed_prefix_lists(
        &self,
        cx: &OpContext,
        r: DescribeManagedPrefixListsRequest,
    ) -> Result<DescribeManagedPrefixListsResult, ApiError> {
        let DescribeManagedPrefixListsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            prefix_list_ids,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeManagedPrefixLists";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &prefix_list_ids)?;
        let ids: &Vec<ListId> = &parse_ids(&prefix_list_ids, Code::InvalidPrefixListIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<ListId>| async move {
            let filter = PrefixListFilter { account: Some(cx.account()), ids: some_ids, after: after.as_ref() };
            let list = rows(prefix_list_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidPrefixListIdNotFound)?;
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, self.look(), &mut tags));
            Ok(Chunk { found: shapes.filter(|list| filters.accept(list)).collect(), next })
        };
        let key = |list: &ManagedPrefixList| list.prefix_list_id.clone().unwrap_or_default();
        let (prefix_lists, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeManagedPrefixListsResult { next_token, prefix_lists })
    }

    pub(crate) async fn get_managed_prefix_list_entries(
        &self,
        cx: &OpContext,
        r: GetManagedPrefixListEntriesRequest,
    ) -> Result<GetManagedPrefixListEntriesResult, ApiError> {
        let GetManagedPrefixListEntriesRequest {
            dry_run: dry,
            max_results,
            next_token,
            prefix_list_id,
            target_version,
        } = r;
        let page = page("GetManagedPrefixListEntries", max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        let list = &self.cloud.find_prefix_list(cx, &required(prefix_list_id)?).await?;
        // The pages of one listing are of one version, however often the list changes meanwhile.
        let begun = page.after::<EntryKey>()?.map(|key| key.version);
        let version = target_version.or(begun).unwrap_or(list.version);
        require_version(list, version)?;
        dry_run(dry)?;
        let read = |after: Option<EntryKey>| async move {
            let after = after.map(|key| key.cidr);
            let read = prefix_list_entries(self.store(), &list.id, version, after.as_ref(), ROWS).await;
            let found = rows(read)?;
            let next = next_key(&found, |row| EntryKey { version, cidr: row.cidr });
            Ok(Chunk { found: found.into_iter().map(entry).collect(), next })
        };
        let key = |entry: &PrefixListEntry| format!("{version}:{}", entry.cidr.as_deref().unwrap_or_default());
        let (entries, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(GetManagedPrefixListEntriesResult { entries, next_token })
    }

    pub(crate) async fn get_managed_prefix_list_associations(
        &self,
        cx: &OpContext,
        r: GetManagedPrefixListAssociationsRequest,
    ) -> Result<GetManagedPrefixListAssociationsResult, ApiError> {
        let GetManagedPrefixListAssociationsRequest { dry_run: dry, max_results, next_token, prefix_list_id } = r;
        let operation = "GetManagedPrefixListAssociations";
        let page = page(operation, max_results, next_token.as_deref(), REFERENCE_PAGE_SIZES, &[])?;
        let list = self.cloud.find_prefix_list(cx, &required(prefix_list_id)?).await?;
        dry_run(dry)?;
        let uses = prefix_list_uses(self.store(), &list.id).await.or_fail()?;
        // Route tables' ids come before those of groups.
        let ids = uses.tables.iter().map(ToString::to_string).chain(uses.groups.iter().map(ToString::to_string));
        let found = ids.map(|id| PrefixListAssociation {
            resource_id: Some(id),
            resource_owner: Some(list.account_id.to_string()),
        });
        let (prefix_list_associations, next_token) =
            page.cut(found, |one: &PrefixListAssociation| one.resource_id.clone().unwrap_or_default());
        Ok(GetManagedPrefixListAssociationsResult { next_token, prefix_list_associations })
    }

    /// Lists of AWS's services, for their endpoints: there are none, and so none of any id.
    pub(crate) async fn describe_prefix_lists(
        &self,
        _cx: &OpContext,
        r: DescribePrefixListsRequest,
    ) -> Result<DescribePrefixListsResult, ApiError> {
        let DescribePrefixListsRequest { dry_run: dry, filters: wanted, max_results, next_token, prefix_list_ids } = r;
        filters(&wanted, &SERVICE_FILTERS)?;
        page("DescribePrefixLists", max_results, next_token.as_deref(), LONG_PAGE_SIZES, &prefix_list_ids)?;
        let ids: Vec<ListId> = parse_ids(&prefix_list_ids, Code::InvalidPrefixListIdMalformed)?;
        dry_run(dry)?;
        require_all(&ids, |_| false, Code::InvalidServicePrefixListIdNotFound)?;
        Ok(DescribePrefixListsResult::default())
    }
}

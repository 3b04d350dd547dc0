//! I3 of prefix lists: none has more entries than it may, nor entries of versions to come or of the other family.

use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{
    PrefixListEntryRow, PrefixListFamily, PrefixListFilter, PrefixListRow, prefix_list_entries_now, prefix_list_list,
};
use mallee_types::PrefixListId;

/// Lists read at once.
const PAGE: u32 = 100;

/// How many lists there are, and what is wrong: about which, and why.
pub(crate) async fn differences(cloud: &Cloud) -> Result<(usize, Vec<(String, String)>), ApiError> {
    let (mut count, mut found) = (0, Vec::new());
    let mut after: Option<PrefixListId> = None;
    loop {
        let filter = PrefixListFilter { after: after.as_ref(), ..Default::default() };
        let lists = prefix_list_list(cloud.store(), filter, PAGE).await.or_fail()?;
        let Some(last) = lists.last() else { return Ok((count, found)) };
        count += lists.len();
        let ids: Vec<PrefixListId> = lists.iter().map(|list| list.id.clone()).collect();
        let entries = prefix_list_entries_now(cloud.store(), Some(&ids)).await.or_fail()?;
        after = Some(last.id.clone());
        found.extend(lists.iter().filter_map(|list| Some((list.id.to_string(), of_list(list, &entries)?))));
    }
}

fn of_list(list: &PrefixListRow, entries: &[PrefixListEntryRow]) -> Option<String> {
    let own = || entries.iter().filter(|entry| entry.list_id == list.id);
    let count = own().count();
    if count > list.max_entries as usize {
        return Some(format!("has {count} entries, and may have {}", list.max_entries));
    }
    if let Some(strange) = own().find(|entry| PrefixListFamily::of(&entry.cidr) != list.family) {
        return Some(format!("has {}, and is a list of {}", strange.cidr, list.family.word()));
    }
    let early = own().find(|entry| entry.since > list.version)?;
    Some(format!("has {} from version {} on, and is at {}", early.cidr, early.since, list.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_store::PrefixListState;

    #[test]
    fn too_many_entries_and_those_of_versions_to_come_or_another_family_are_found() {
        let list = PrefixListRow {
            id: PrefixListId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            name: "n".into(),
            max_entries: 2,
            version: 3,
            state: PrefixListState::Created,
            created_ms: 0,
            family: PrefixListFamily::Ipv4,
        };
        let entry = |n: u8, since| PrefixListEntryRow {
            list_id: list.id.clone(),
            cidr: format!("10.{n}.0.0/16").parse().unwrap(),
            since,
            until: None,
            description: None,
        };
        assert_eq!(of_list(&list, &[entry(1, 1), entry(2, 3)]), None);
        assert!(of_list(&list, &[entry(1, 1), entry(2, 1), entry(3, 1)]).unwrap().contains("has 3 entries"));
        assert!(of_list(&list, &[entry(1, 4)]).unwrap().contains("is at 3"));
        let six = PrefixListRow { family: PrefixListFamily::Ipv6, ..list.clone() };
        assert!(of_list(&six, &[entry(1, 1)]).unwrap().contains("is a list of IPv6"));
        let of_six = PrefixListEntryRow { cidr: "2001:db8::/32".parse().unwrap(), ..entry(1, 1) };
        assert!(of_list(&list, std::slice::from_ref(&of_six)).unwrap().contains("is a list of IPv4"));
        assert_eq!(of_list(&six, &[of_six]), None);
    }
}

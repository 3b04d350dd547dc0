#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::lifecycle::Minimum;
use crate::parse;
use proptest::prelude::*;

/// A day of a second.
const DAY: i64 = 1000;

fn day() -> Day {
    Day::of_seconds(1)
}

/// What is to be done with each version of a key, the newest first.
fn plan(lifecycle: &Lifecycle, key: &str, versions: &[Version], now_ms: i64, day: Day) -> Vec<Option<Action>> {
    let mut planner = Planner::new(lifecycle, key, now_ms, day);
    versions.iter().map(|version| planner.next(version, versions.len() == 1)).collect()
}

fn rules(text: &str) -> Lifecycle {
    let body = format!("<LifecycleConfiguration>{text}</LifecycleConfiguration>");
    parse(body.as_bytes()).unwrap_or_else(|e| panic!("{text}: {} {}", e.code().as_str(), e.message()))
}

fn rule(id: &str, filter: &str, actions: &str) -> String {
    format!("<Rule><ID>{id}</ID><Filter>{filter}</Filter><Status>Enabled</Status>{actions}</Rule>")
}

fn days(days: u32) -> String {
    format!("<Expiration><Days>{days}</Days></Expiration>")
}

fn object(written_days: i64) -> Version {
    Version {
        written_ms: written_days * DAY,
        marker: false,
        size: 1 << 20,
        class: "STANDARD".into(),
        tags: BTreeMap::new(),
    }
}

fn marker(written_days: i64) -> Version {
    Version { marker: true, size: 0, ..object(written_days) }
}

fn planned(text: &str, versions: &[Version], now_days: i64) -> Vec<Option<Action>> {
    plan(&rules(text), "a/k", versions, now_days * DAY, day())
}

fn to(class: &str) -> Option<Action> {
    Some(Action::Transition(class.to_owned()))
}

#[test]
fn current_versions_expire() {
    let (expire, none) = (vec![Some(Action::Expire)], vec![None]);
    let five = rule("r", "<Prefix>a/</Prefix>", &days(5));
    assert_eq!(planned(&five, &[object(1)], 5), none);
    assert_eq!(planned(&five, &[object(1)], 6), expire);
    assert_eq!(planned(&rule("r", "<Prefix>b/</Prefix>", &days(5)), &[object(1)], 9), none);
    assert_eq!(planned(&five.replace("Enabled", "Disabled"), &[object(1)], 9), none);
    let date = rule("r", "", "<Expiration><Date>2020-01-01T00:00:00Z</Date></Expiration>");
    assert_eq!(planned(&date, &[object(1)], 9), none);
    assert_eq!(planned(&date, &[object(1)], 1_577_836_800), expire);
    let tag = rule("r", "<Tag><Key>k</Key><Value>v</Value></Tag>", &days(1));
    let tagged = Version { tags: BTreeMap::from([("k".into(), "v".into())]), ..object(1) };
    assert_eq!(planned(&tag, &[object(1)], 9), none);
    assert_eq!(planned(&tag, &[tagged], 9), expire);
    let sizes =
        "<And><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan><ObjectSizeLessThan>20</ObjectSizeLessThan></And>";
    for (size, goes) in [(10, false), (11, true), (19, true), (20, false)] {
        let found = planned(&rule("r", sizes, &days(1)), &[Version { size, ..object(1) }], 9);
        assert_eq!(found == expire, goes, "{size}");
    }
    // The earliest of several.
    let several = rule("slow", "", &days(100)) + &rule("fast", "", &days(2));
    assert_eq!(planned(&several, &[object(1)], 3), expire);
    let due = expiration_of(&rules(&several), "a/k", &object(1), day());
    assert_eq!(due, Some(Due { at_ms: 3 * DAY, rule: "fast".into() }));
}

#[test]
fn older_versions_go() {
    let (remove, keep) = (Some(Action::Remove), None);
    let one =
        rule("r", "", "<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays></NoncurrentVersionExpiration>");
    // It counts from when the newer one came.
    let three = [object(9), object(5), object(1)];
    assert_eq!(planned(&one, &three, 6), [keep.clone(), keep.clone(), keep.clone()]);
    assert_eq!(planned(&one, &three, 7), [keep.clone(), keep.clone(), remove.clone()]);
    assert_eq!(planned(&one, &three, 11), [keep.clone(), remove.clone(), remove.clone()]);
    let kept = one.replace("<NoncurrentDays>", "<NewerNoncurrentVersions>1</NewerNoncurrentVersions><NoncurrentDays>");
    assert_eq!(planned(&kept, &three, 99), [keep.clone(), keep.clone(), remove.clone()]);
    // Older delete markers are older versions.
    assert_eq!(planned(&one, &[object(9), marker(5)], 99), [keep, remove]);
}

#[test]
fn delete_markers_go_when_they_are_alone() {
    let told = rule("r", "", "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>");
    assert_eq!(planned(&told, &[marker(1)], 1), [Some(Action::Remove)]);
    assert_eq!(planned(&told, &[marker(2), object(1)], 99), [None, None]);
    assert_eq!(planned(&told.replace("true", "false"), &[marker(1)], 99), [None]);
    assert_eq!(planned(&rule("r", "", &days(5)), &[marker(1)], 5), [None]);
    assert_eq!(planned(&rule("r", "", &days(5)), &[marker(1)], 6), [Some(Action::Remove)]);
}

#[test]
fn classes_change_downwards_only() {
    let ia = "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>";
    let cold = "<Transition><Days>60</Days><StorageClass>GLACIER_IR</StorageClass></Transition>";
    let both = rule("r", "", &format!("{ia}{cold}{}", days(90)));
    assert_eq!(planned(&both, &[object(0)], 29), [None]);
    assert_eq!(planned(&both, &[object(0)], 30), [to("STANDARD_IA")]);
    assert_eq!(planned(&both, &[object(0)], 60), [to("GLACIER_IR")]);
    assert_eq!(planned(&both, &[object(0)], 90), [Some(Action::Expire)]);
    let there = Version { class: "GLACIER_IR".into(), ..object(0) };
    assert_eq!(planned(&both, &[there], 60), [None]);
    let small = Version { size: 1000, ..object(0) };
    assert_eq!(planned(&both, std::slice::from_ref(&small), 60), [None]);
    let sized = rule("r", "<ObjectSizeGreaterThan>10</ObjectSizeGreaterThan>", ia);
    assert_eq!(planned(&sized, &[small], 60), [to("STANDARD_IA")]);
    let old = "<NoncurrentVersionTransition><NoncurrentDays>30</NoncurrentDays><StorageClass>ONEZONE_IA</StorageClass>\
               </NoncurrentVersionTransition>";
    assert_eq!(planned(&rule("r", "", old), &[object(1), object(0)], 31), [None, to("ONEZONE_IA")]);
    assert!(!class_may_become("ONEZONE_IA", "GLACIER_IR") && !class_may_become("STANDARD", "STANDARD"));
}

#[test]
fn uploads_are_given_up() {
    let text = rule(
        "r",
        "<Prefix>a/</Prefix>",
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    );
    let rules = rules(&text);
    assert_eq!(abort_due(&rules, "a/k", DAY, day()).map(|due| due.at_ms), Some(3 * DAY));
    assert_eq!(abort_due(&rules, "b", DAY, day()), None);
}

fn any_rule() -> impl Strategy<Value = String> {
    let filter = prop_oneof![Just(""), Just("<Prefix>a/</Prefix>"), Just("<Prefix>b</Prefix>")];
    let keep = prop_oneof![
        Just(String::new()),
        (1u32..4).prop_map(|n| format!("<NewerNoncurrentVersions>{n}</NewerNoncurrentVersions>"))
    ];
    (filter, 1u32..8, 1u32..8, keep, any::<bool>()).prop_map(|(filter, current, old, keep, on)| {
        let noncurrent = format!(
            "<NoncurrentVersionExpiration>{keep}<NoncurrentDays>{old}</NoncurrentDays></NoncurrentVersionExpiration>"
        );
        let text = rule("ID", filter, &(days(current) + &noncurrent));
        if on { text } else { text.replace("Enabled", "Disabled") }
    })
}

proptest! {
    /// Later nothing is kept that went earlier; what rules keep is kept; and nothing is due before its rule says.
    #[test]
    fn plans_hold(
        texts in proptest::collection::vec(any_rule(), 1..4),
        ages in proptest::collection::vec((0i64..10, any::<bool>()), 1..6),
        now in 0i64..30,
    ) {
        let text: String = texts.iter().enumerate().map(|(n, t)| t.replace(">ID<", &format!(">r{n}<"))).collect();
        let lifecycle = rules(&text);
        let mut ages = ages;
        ages.sort_by_key(|age| std::cmp::Reverse(age.0));
        let versions: Vec<Version> = ages.iter().map(|(at, m)| if *m { marker(*at) } else { object(*at) }).collect();
        let at = |now: i64| plan(&lifecycle, "a/k", &versions, now * DAY, day());
        let (earlier, later) = (at(now), at(now + 1));
        for (n, action) in earlier.iter().enumerate() {
            prop_assert!(action.is_none() || later[n].is_some(), "{n}");
        }
        let about: Vec<_> = lifecycle.rules.iter().filter(|r| r.enabled && r.filter.is_about_key("a/k")).collect();
        if about.is_empty() {
            prop_assert!(earlier.iter().all(Option::is_none));
        }
        if let Some(keep) = about.iter().map(|r| r.noncurrent.and_then(|n| n.keep).unwrap_or(0)).min() {
            let gone = earlier.iter().skip(1).take(keep as usize).any(Option::is_some);
            prop_assert!(!gone, "one that every rule keeps");
        }
        // With a marker on top and something behind it, the key stays deleted.
        if versions[0].marker && versions.len() > 1 {
            prop_assert!(earlier[0].is_none());
        }
    }

    #[test]
    fn documents_read_back(texts in proptest::collection::vec(any_rule(), 1..4)) {
        let text: String = texts.iter().enumerate().map(|(n, t)| t.replace(">ID<", &format!(">r{n}<"))).collect();
        let lifecycle = rules(&text);
        prop_assert_eq!(crate::kept::<Lifecycle>(&crate::text(&lifecycle)).unwrap(), lifecycle);
    }
}

#[test]
fn made_ids_are_no_rules_own() {
    let found = rules(&(rule("", "<Prefix>a</Prefix>", &days(1)) + &rule("rule-1", "<Prefix>b</Prefix>", &days(1))));
    let ids: Vec<&str> = found.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["rule-2", "rule-1"]);
}

#[test]
fn the_minimum_is_kept_and_not_sent() {
    let varies = Lifecycle { minimum: Minimum::Varies, ..rules(&rule("r", "", &days(1))) };
    let kept_text = crate::text(&varies);
    assert_eq!(crate::kept::<Lifecycle>(&kept_text), Ok(varies.clone()));
    let sent = crate::whole(&varies).finish();
    assert!(!sent.contains("Minimum"), "{sent}");
    assert_eq!(crate::kept::<Lifecycle>(&sent).map(|rules| rules.minimum), Ok(Minimum::All));
    assert!(parse::<Lifecycle>(kept_text.as_bytes()).is_err(), "clients cannot say it so");
}

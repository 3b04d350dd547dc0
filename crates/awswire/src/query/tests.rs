use super::*;
use time::OffsetDateTime;
use time::macros::datetime;

fn params(q: &str) -> Params {
    Params::parse(q, b"").unwrap()
}

#[test]
fn names_values_and_protocol_parameters() {
    let p = Params::parse(
        "Action=DescribeInstances&Version=2016-11-15&X-Amz-Date=x&AWSAccessKeyId=k",
        b"Filter.1.Name=a%20b+c&Filter.1.Value.1=%C3%A9&B=\n",
    )
    .unwrap();
    assert_eq!(p.action(), Some("DescribeInstances"));
    assert_eq!(p.version(), Some("2016-11-15"));
    assert_eq!(p.len(), 3);
    assert_eq!(p.get("Filter.1.Name"), Some("a b c"));
    assert_eq!(p.get("Filter.1.Value.1"), Some("é"));
    assert_eq!(p.get("B"), Some(""));
    assert_eq!(p.get("Filter"), None);
    assert!(!format!("{p:?}").contains("a b c"));
}

#[test]
fn a_subtree_stays_together_beside_names_that_sort_between() {
    let p = params("A.1=x&A-b=1&A=&A.2=y&AB=2&A%21=3");
    let names: Vec<_> = p.root().children().map(|n| n.name().to_owned()).collect();
    assert_eq!(names, ["A", "A!", "A-b", "AB"]);
    let a = p.root().children().next().unwrap();
    assert_eq!(Leaf::flat::<String>(a).unwrap(), ["x", "y"]);
}

#[test]
fn list_indexes_sort_as_numbers_and_may_have_gaps() {
    let p = params("Id.10=c&Id.2=b&Id.1=a&Id.9000=d");
    let id = p.root().children().next().unwrap();
    assert_eq!(Leaf::flat::<String>(id).unwrap(), ["a", "b", "c", "d"]);
    for bad in ["Id.0=a", "Id.01=a", "Id.x=a", "Id.=a", "Id.99999999999=a", "Id.10001=a", "Id=a", "Id.+1=x"] {
        let p = params(bad);
        let id = p.root().children().next().unwrap();
        assert!(Leaf::flat::<String>(id).is_err(), "{bad}");
    }
}

#[test]
fn member_lists_and_maps() {
    let p = params("L.member.2=b&L.member.1=a&M.entry.1.key=k&M.entry.1.value=v");
    let mut c = p.root().children();
    assert_eq!(Leaf::wrapped::<String>(c.next().unwrap(), "member").unwrap(), ["a", "b"]);
    assert_eq!(Leaf::map::<String>(c.next().unwrap(), "key", "value").unwrap(), [("k".to_owned(), "v".to_owned())]);
    let p = params("L.other.1=a");
    let e = Leaf::wrapped::<String>(p.root().children().next().unwrap(), "member").unwrap_err();
    assert_eq!(e.message(), "The parameter L.other.1 is not recognized");
}

#[test]
fn leaves() {
    fn one<T: FromQuery>(v: &str) -> Result<T, ApiError> {
        let p = Params::from_pairs([("V", v)]).unwrap();
        T::from_query(p.root().children().next().unwrap())
    }
    assert!(one::<bool>("true").unwrap() && !one::<bool>("False").unwrap());
    assert_eq!(
        one::<bool>("maybe").unwrap_err().message(),
        "Value (maybe) for parameter V is invalid. Expected true or false."
    );
    assert_eq!(one::<i32>("-5").unwrap(), -5);
    assert!(one::<i32>("2147483648").is_err());
    assert!(one::<f64>("NaN").is_err());
    assert_eq!(one::<Vec<u8>>("aGk=").unwrap(), b"hi");
    assert_eq!(one::<Vec<u8>>("aG\nk").unwrap(), b"hi");
    assert!(one::<Vec<u8>>("a*").is_err());
    let t = datetime!(2026-01-02 03:04:05 UTC);
    for text in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z", "2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05"]
    {
        assert_eq!(one::<OffsetDateTime>(text).unwrap(), t, "{text}");
    }
    assert_eq!(one::<OffsetDateTime>("2026-01-02").unwrap(), datetime!(2026-01-02 00:00 UTC));
    assert!(one::<OffsetDateTime>("yesterday").is_err());
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    for bad in ["A=%", "A=%4", "A=%zz", "A=%ff", "A=%c3&B=%a9", "A=1&A=2", "=x", "Action=a&Action=b"] {
        let e = Params::parse(bad, b"").unwrap_err();
        assert_eq!(e.code(), Code::MalformedQueryString, "{bad}");
    }
    let deep = format!("{}=1", vec!["A"; MAX_DEPTH + 1].join("."));
    assert!(Params::parse(&deep, b"").is_err());
    let long = format!("{}=1", "A".repeat(MAX_NAME_BYTES + 1));
    assert!(Params::parse(&long, b"").is_err());
    let many: String = (0..=MAX_PARAMS).map(|i| format!("P{i}=1&")).collect();
    assert_eq!(Params::parse(&many, b"").unwrap_err().code(), Code::InvalidRequest);
    let enough: String = (0..MAX_PARAMS).map(|i| format!("P{i}=1&")).collect();
    assert_eq!(Params::parse(&enough, b"").unwrap().len(), MAX_PARAMS);
    let big = vec![b'a'; MAX_QUERY_BYTES + 1];
    assert_eq!(Params::parse("", &big).unwrap_err().status(), 413);
}

#[test]
fn fingerprints_ignore_order_token_and_dry_run() {
    let a = params("Action=R&A=1&B=2&ClientToken=x");
    let b = params("B=2&ClientToken=x&Action=R&A=1&DryRun=true");
    let c = params("Action=R&A=1&B=3&ClientToken=x");
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_ne!(a.fingerprint(), c.fingerprint());
}

proptest::proptest! {
    #[test]
    fn never_panics_and_gives_back_what_was_given(query in ".{0,200}", body in proptest::collection::vec(0u8..=255, 0..200)) {
        if let Ok(p) = Params::parse(&query, &body) {
            fn walk(n: Node<'_>, count: &mut usize) {
                if n.own_value().is_some() { *count += 1; }
                for c in n.children() { walk(c, count); }
            }
            let mut count = 0;
            walk(p.root(), &mut count);
            proptest::prop_assert_eq!(count, p.len());
        }
    }
}

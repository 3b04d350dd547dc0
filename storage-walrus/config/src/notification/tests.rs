#![allow(clippy::expect_used)]

use super::*;
use crate::{kept, parse, text};

const QUEUE: &str = "arn:aws:sqs:local:111111111111:jobs";

fn queue(id: &str, events: &[&str], rules: &[(&str, &str)]) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    let rules: String = rules
        .iter()
        .map(|(name, value)| format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>"))
        .collect();
    let filter = if rules.is_empty() { rules } else { format!("<Filter><S3Key>{rules}</S3Key></Filter>") };
    format!("<QueueConfiguration><Id>{id}</Id><Queue>{QUEUE}</Queue>{events}{filter}</QueueConfiguration>")
}

fn read(inner: &str) -> Result<Notification, Code> {
    parse(format!("<NotificationConfiguration>{inner}</NotificationConfiguration>").as_bytes()).map_err(|e| e.code())
}

#[test]
fn documents_read_back() {
    let both = queue("a", &["s3:ObjectCreated:*"], &[("prefix", "in/"), ("Suffix", ".jpg")])
        + "<TopicConfiguration><Topic>arn:aws:sns:local:111111111111:hook</Topic><Event>s3:ObjectRemoved:*</Event></TopicConfiguration>";
    let found = read(&both).expect("good");
    assert_eq!(kept::<Notification>(&text(&found)).expect("kept"), found);
    assert_eq!(found.configurations[1].id, "configuration-2");
    assert_eq!(read(""), Ok(Notification::default()));
    let named = queue("", &["s3:ObjectCreated:*"], &[]) + &queue("configuration-1", &["s3:ObjectRemoved:*"], &[]);
    let named = read(&named).expect("the id that was made is another one");
    assert_eq!(named.configurations[0].id, "configuration-2");
    let one = &found.configurations[0];
    for (event, key, wanted) in [
        ("ObjectCreated:Put", "in/a.jpg", true),
        ("ObjectCreated:Copy", "in/.jpg", true),
        ("ObjectCreated:Put", "in/a.png", false),
        ("ObjectCreated:Put", "a.jpg", false),
        ("ObjectRemoved:Delete", "in/a.jpg", false),
    ] {
        assert_eq!(one.wants(event, key), wanted, "{event} {key}");
    }
}

#[test]
fn what_is_refused() {
    let created = ["s3:ObjectCreated:*"];
    let two = |a: &[(&str, &str)], b: &[(&str, &str)]| read(&(queue("a", &created, a) + &queue("b", &created, b)));
    assert_eq!(two(&[], &[]), Err(Code::InvalidArgument));
    assert_eq!(two(&[("prefix", "a")], &[("prefix", "ab")]), Err(Code::InvalidArgument));
    assert_eq!(two(&[("prefix", "a"), ("suffix", "x")], &[("suffix", "yx")]), Err(Code::InvalidArgument));
    assert!(two(&[("prefix", "a")], &[("prefix", "b")]).is_ok());
    assert!(two(&[("prefix", "a"), ("suffix", "x")], &[("prefix", "a"), ("suffix", "y")]).is_ok());
    assert!(read(&(queue("a", &created, &[]) + &queue("b", &["s3:ObjectRemoved:*"], &[]))).is_ok());
    let overlapping = queue("a", &created, &[]) + &queue("b", &["s3:ObjectCreated:Put"], &[]);
    assert_eq!(read(&overlapping), Err(Code::InvalidArgument));
    let same = queue("a", &created, &[]) + &queue("a", &["s3:ObjectRemoved:*"], &[]);
    assert_eq!(read(&same), Err(Code::InvalidArgument));
    for (events, rules, code) in [
        (vec!["s3:ObjectCreated:Nothing"], vec![], Code::InvalidArgument),
        (vec![], vec![], Code::MalformedXml),
        (vec!["s3:ObjectCreated:*"], vec![("infix", "x")], Code::InvalidArgument),
        (vec!["s3:ObjectCreated:*"], vec![("prefix", "x"), ("Prefix", "y")], Code::InvalidArgument),
    ] {
        assert_eq!(read(&queue("a", &events, &rules)), Err(code), "{events:?} {rules:?}");
    }
    assert_eq!(read("<EventBridgeConfiguration/>"), Err(Code::NotImplemented));
    let function = "<CloudFunctionConfiguration><CloudFunction>x</CloudFunction></CloudFunctionConfiguration>";
    assert_eq!(read(function), Err(Code::InvalidArgument));
}

#[test]
fn arns() {
    let good = TargetArn::parse(QUEUE).expect("good");
    assert_eq!((good.to_string().as_str(), good.name.as_str()), (QUEUE, "jobs"));
    for bad in ["", "arn:aws:sqs:local:1:jobs", "arn:aws:s3:local:111111111111:jobs", "arn:aws:sqs::111111111111:jobs"]
    {
        assert_eq!(TargetArn::parse(bad), None, "{bad}");
    }
    assert_eq!(TargetArn::parse(&format!("{QUEUE}:x")), None);
}

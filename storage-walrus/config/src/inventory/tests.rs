use super::*;
use crate::{kept, parse, text};

const TO: &str = "<Destination><S3BucketDestination><Bucket>arn:aws:s3:::to</Bucket><Format>CSV</Format></S3BucketDestination></Destination>";

fn to(inner: &str) -> String {
    format!("<Destination><S3BucketDestination>{inner}</S3BucketDestination></Destination>")
}

fn body(destination: &str, id: &str, more: &str) -> String {
    format!(
        "<InventoryConfiguration>{destination}<IsEnabled>true</IsEnabled><Id>{id}</Id>\
         <IncludedObjectVersions>Current</IncludedObjectVersions>{more}\
         <Schedule><Frequency>Daily</Frequency></Schedule></InventoryConfiguration>"
    )
}

fn read(text: &str) -> Result<Inventory, Code> {
    parse::<Inventory>(text.as_bytes()).map_err(|error| error.code())
}

#[test]
fn bodies() {
    let plain = Inventory {
        id: "a.b-c_1".into(),
        enabled: true,
        to: Destination { bucket: "to".into(), account: None, prefix: None, encrypted: false },
        prefix: None,
        all_versions: false,
        fields: Vec::new(),
        frequency: Frequency::Daily,
    };
    assert_eq!(read(&body(TO, "a.b-c_1", "")), Ok(plain.clone()));
    let full =
        to("<AccountId>111111111111</AccountId><Bucket>arn:aws:s3:::to</Bucket><Format>CSV</Format><Prefix>p</Prefix>\
                   <Encryption><SSE-S3/></Encryption>");
    let more = "<Filter><Prefix>in/</Prefix></Filter>\
                <OptionalFields><Field>ETag</Field><Field>Size</Field><Field>Size</Field></OptionalFields>";
    let full = body(&full, "x", more).replace("Current", "All").replace("Daily", "Weekly");
    let account = Some("111111111111".to_owned());
    let wanted = Inventory {
        id: "x".into(),
        to: Destination { bucket: "to".into(), account, prefix: Some("p".into()), encrypted: true },
        prefix: Some("in/".into()),
        all_versions: true,
        fields: vec![Field::Size, Field::ETag],
        frequency: Frequency::Weekly,
        ..plain
    };
    assert_eq!(read(&full), Ok(wanted.clone()));
    assert_eq!(kept::<Inventory>(&text(&wanted)).expect("kept"), wanted);
    let fields = Field::ALL.iter().map(|field| format!("<Field>{}</Field>", field.name())).collect::<String>();
    let all = read(&body(TO, "x", &format!("<OptionalFields>{fields}</OptionalFields>"))).expect("good");
    assert_eq!(all.fields, Field::ALL);
}

#[test]
fn what_is_refused() {
    let field = |name| format!("<OptionalFields><Field>{name}</Field></OptionalFields>");
    let bucket = "<Bucket>arn:aws:s3:::to</Bucket>";
    for (text, code) in [
        (body("", "x", ""), Code::MalformedXml),
        (body(TO, "a b", ""), Code::MalformedXml),
        (body(TO, &"x".repeat(65), ""), Code::MalformedXml),
        (body(TO, "x", "<Colour/>"), Code::MalformedXml),
        (body(TO, "x", &field("Colour")), Code::MalformedXml),
        (body(TO, "x", &field("ObjectAccessControlList")), Code::NotImplemented),
        (body(TO, "x", &field("IntelligentTieringAccessTier")), Code::NotImplemented),
        (body(&to(&format!("{bucket}<Format>ORC</Format>")), "x", ""), Code::NotImplemented),
        (body(&to(&format!("{bucket}<Format>Parquet</Format>")), "x", ""), Code::NotImplemented),
        (body(&to(&format!("{bucket}<Format>XML</Format>")), "x", ""), Code::MalformedXml),
        (body(&to(bucket), "x", ""), Code::MalformedXml),
        (body(&to("<Format>CSV</Format>"), "x", ""), Code::MalformedXml),
        (body(&to("<Bucket>to</Bucket><Format>CSV</Format>"), "x", ""), Code::InvalidS3DestinationBucket),
        (
            body(
                &to(&format!(
                    "{bucket}<Format>CSV</Format><Encryption><SSE-KMS><KeyId>k</KeyId></SSE-KMS></Encryption>"
                )),
                "x",
                "",
            ),
            Code::NotImplemented,
        ),
        (body(TO, "x", "").replace("Daily", "Hourly"), Code::MalformedXml),
        (body(TO, "x", "").replace("Current", "Some"), Code::MalformedXml),
        (body(TO, "x", "").replace("true", "yes"), Code::MalformedXml),
    ] {
        assert_eq!(read(&text), Err(code), "{text}");
    }
}

#[test]
fn days_places_and_columns() {
    let mut inventory = read(&body(TO, "x", "<OptionalFields><Field>Size</Field></OptionalFields>")).expect("good");
    assert!((0..7).all(|day| inventory.is_due(day - 1, day)));
    assert!(inventory.is_due(-9, 0) && !inventory.is_due(0, 0));
    assert_eq!(inventory.columns(), ["Bucket", "Key", "Size"]);
    assert_eq!(inventory.place("from"), "from/x/");
    inventory.frequency = Frequency::Weekly;
    inventory.all_versions = true;
    inventory.to.prefix = Some("p".to_owned());
    // 1970-01-04 was a Sunday.
    assert_eq!((-7..14).filter(|day| inventory.is_due(day - 1, *day)).collect::<Vec<_>>(), [-4, 3, 10]);
    assert!(inventory.is_due(2, 5) && inventory.is_due(0, 40), "the Sunday was missed");
    assert!(!inventory.is_due(3, 9) && !inventory.is_due(-3, 2));
    assert_eq!(inventory.columns(), ["Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size"]);
    assert_eq!(inventory.place("from"), "p/from/x/");
    inventory.to.prefix = Some("p/".to_owned());
    assert_eq!(inventory.place("from"), "p/from/x/");
    inventory.enabled = false;
    assert!((0..7).all(|day| !inventory.is_due(day - 1, day)));
}

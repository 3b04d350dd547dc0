//! A download goes on to its end, whatever becomes of the object meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_runtime::Faults;
use support::{ACCOUNT, BUCKET, Kind, World, bytes};

#[tokio::test]
async fn parts_of_an_object_that_is_overwritten_or_deleted_are_read_to_the_end() {
    for kind in [Kind::Memory, Kind::Sqlite] {
        for deleted in [false, true] {
            let world = World::new(kind).await;
            let engine = world.engine(Faults::none());
            engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
            let upload = support::start_upload(&engine, "k").await.unwrap();
            let (one, two) = (bytes(1, 600_000), bytes(2, 500_000));
            let parts = vec![
                support::put_part(&engine, &upload, 1, one.clone()).await.unwrap(),
                support::put_part(&engine, &upload, 2, two.clone()).await.unwrap(),
            ];
            support::complete(&engine, &upload, parts).await.unwrap();
            let object = engine.object(BUCKET, "k").await.unwrap();
            let mut reader = engine.read(&object, 0, object.info.size).await.unwrap();
            let mut got = reader.next().await.unwrap().unwrap().to_vec();
            match deleted {
                true => support::delete(&engine, &["k"]).await.unwrap(),
                false => support::put(&engine, "k", bytes(3, 9_000), &mallee_objects::Condition::None).await.unwrap(),
            }
            assert_eq!(engine.collect().await.unwrap(), 0, "both are being read");
            while let Some(data) = reader.next().await {
                got.extend_from_slice(&data.expect("it is there to the end"));
            }
            assert_eq!(got, [one, two].concat());
            drop(reader);
            // Whoever looked the object up before sees that it is gone, not half of it.
            assert!(engine.read(&object, 0, 10).await.is_ok(), "not deleted yet");
        }
    }
}

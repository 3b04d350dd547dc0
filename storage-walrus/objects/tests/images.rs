//! The image service: import, read, release.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use futures::StreamExt as _;
use mallee_objects::images::{ImageStore, ImagesService};
use mallee_objects::{Condition, Engine};
use mallee_proto::v1::images_server::Images as _;
use mallee_proto::v1::{
    ImportImageReply, ImportImageRequest, ListImagesRequest, ReadImageRequest, ReleaseImageRequest,
};
use mallee_proto::{Kind as ErrorKind, WireError};
use mallee_runtime::Faults;
use sha2::{Digest as _, Sha256};
use support::{ACCOUNT, BUCKET, Kind, World};
use tonic::Request;

fn disk(seed: u64, len: usize) -> Bytes {
    let mut disk = support::bytes(seed, len).to_vec();
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.into()
}

async fn import(
    service: &ImagesService,
    account: &str,
    key: &str,
    holder: &str,
) -> Result<ImportImageReply, WireError> {
    let request = ImportImageRequest {
        account_id: account.into(),
        bucket: BUCKET.into(),
        key: key.into(),
        holder: holder.into(),
    };
    service.import(Request::new(request)).await.map(tonic::Response::into_inner).map_err(WireError::from)
}

async fn read(service: &ImagesService, digest: &str, offset: u64) -> Result<Vec<u8>, WireError> {
    let request = ReadImageRequest { digest: digest.into(), offset };
    let mut stream = service.read(Request::new(request)).await?.into_inner();
    let (mut out, mut chunks) = (Vec::new(), Vec::new());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?.data;
        chunks.push(chunk.len());
        out.extend_from_slice(&chunk);
    }
    // Aligned reads come in whole blocks.
    assert!(offset != 0 || chunks.iter().rev().skip(1).all(|n| *n >= mallee_objects::blob::BLOCK_BYTES), "{chunks:?}");
    Ok(out)
}

async fn fresh(kind: Kind) -> (World, Engine, ImagesService) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let service = ImagesService::new(ImageStore::new(engine.clone()));
    (world, engine, service)
}

#[tokio::test]
async fn an_image_outlives_its_object() {
    for kind in [Kind::Memory, Kind::Sqlite, Kind::Postgres] {
        let (world, engine, service) = fresh(kind).await;
        // In one blob, inline, and in parts.
        for (n, len) in [(1, 3 << 20), (2, 1024)] {
            support::put(&engine, &format!("o{n}"), disk(n, len), &Condition::None).await.unwrap();
        }
        let whole = disk(3, 2 << 20);
        let upload = support::start_upload(&engine, "o3").await.unwrap();
        let mut parts = Vec::new();
        for (i, part) in [whole.slice(..1_000_000), whole.slice(1_000_000..)].into_iter().enumerate() {
            parts.push(support::put_part(&engine, &upload, u32::try_from(i).unwrap() + 1, part).await.unwrap());
        }
        support::complete(&engine, &upload, parts).await.unwrap();
        for (n, len) in [(1, 3 << 20), (2, 1024), (3, 2 << 20)] {
            let key = format!("o{n}");
            let image = import(&service, ACCOUNT, &key, "ami-1").await.unwrap();
            assert_eq!(image.digest, hex::encode(Sha256::digest(disk(n, len))));
            assert_eq!((image.format.as_str(), image.size_bytes), ("raw", len as u64));
            assert_eq!(image.virtual_size_bytes, len as u64);
            assert_eq!(import(&service, ACCOUNT, &key, "ami-1").await.unwrap(), image, "repeating it is harmless");
            assert_eq!(import(&service, ACCOUNT, &key, "ami-2").await.unwrap(), image);
            support::delete(&engine, &[&key]).await.unwrap();
            assert_eq!(read(&service, &image.digest, 0).await.unwrap(), disk(n, len));
            assert_eq!(read(&service, &image.digest, 1000).await.unwrap(), disk(n, len)[1000..]);
            assert_eq!(read(&service, &image.digest, len as u64).await.unwrap(), b"");
            let beyond = read(&service, &image.digest, len as u64 + 1).await.unwrap_err();
            assert_eq!(beyond.kind, ErrorKind::NotFound);
        }
        let listed = service.list(Request::new(ListImagesRequest {})).await.unwrap().into_inner().images;
        assert_eq!(listed.len(), 3);
        support::collect(&engine).await;
        assert_eq!(support::files(&world.blobs_dir()).len(), 3, "one file for each image");
        for image in listed {
            assert_eq!(image.holders, ["ami-1", "ami-2"]);
            for holder in ["ami-1", "ami-2", "ami-2", "nobody"] {
                let request = ReleaseImageRequest { digest: image.digest.clone(), holder: holder.into() };
                service.release(Request::new(request)).await.unwrap();
            }
            assert_eq!(read(&service, &image.digest, 0).await.unwrap_err().kind, ErrorKind::NotFound);
        }
        support::collect(&engine).await;
        assert!(support::files(&world.blobs_dir()).is_empty());
    }
}

#[tokio::test]
async fn what_is_no_image_is_refused_and_leaves_nothing() {
    let (world, engine, service) = fresh(Kind::Memory).await;
    let mut backing = vec![0; 1 << 17];
    backing[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    backing[15] = 200;
    for (key, data, says) in [
        ("text", Bytes::from("just text"), "no disk image"),
        ("empty", Bytes::new(), "empty"),
        ("backing", backing.into(), "backing file"),
        ("vmdk", Bytes::from([b"KDMV".to_vec(), vec![0; 100_000]].concat()), "VMDK"),
    ] {
        support::put(&engine, key, data, &Condition::None).await.unwrap();
        let error = import(&service, ACCOUNT, key, "ami-1").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.tenant_message.contains(says), "{error:?}");
    }
    support::put(&engine, "good", disk(1, 4096), &Condition::None).await.unwrap();
    for (account, key) in [("222222222222", "good"), (ACCOUNT, "absent")] {
        let error = import(&service, account, key, "ami-1").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
        assert_eq!(error.message, format!("there is no object s3://{BUCKET}/{key}"));
    }
    assert_eq!(import(&service, ACCOUNT, "good", "").await.unwrap_err().kind, ErrorKind::Invalid);
    support::clear(&engine).await;
    assert!(support::files(&world.blobs_dir()).is_empty());
}

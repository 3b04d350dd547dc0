//! What a simulated cloud starts with: an image named `tiny`, so that there is something to launch.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mallee_app::images::RegisterRequest;
use mallee_app::{Actor, Cloud, OpContext};
use mallee_objects::{Condition, Description, Engine};
use mallee_types::AccountId;

/// Where the image lies.
const BUCKET: &str = "images";
const KEY: &str = "tiny.raw";
/// Its name.
const NAME: &str = "tiny";
/// A disk of one MiB whose boot sector halts: what a simulated guest needs of a disk.
const DISK_BYTES: usize = 1 << 20;
/// MD5 of the disk: the entity tag of an object put whole.
const DISK_ETAG: &str = "2f4855aa723ea7d9c8eddbb69a59ba53";

fn disk() -> Bytes {
    let mut disk = vec![0u8; DISK_BYTES];
    // cli; hlt; jmp back to hlt; and the boot signature.
    disk[..4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.into()
}

/// Uploads and registers the image unless the account has it. Repeating it is harmless.
pub(super) async fn seed(cloud: &Cloud, engine: &Engine, account: &AccountId, region: &str) -> Result<()> {
    let cx = OpContext::new(Actor::root(account.clone(), true), "seed");
    if cloud.image_by_name(&cx, NAME).await.map_err(failed)?.is_some() {
        // An earlier start may have died between registering and importing it.
        return mallee_app::images::keep_images(cloud).await.context("cannot finish the simulated image");
    }
    if engine.bucket(BUCKET).await.is_err() {
        engine.create_bucket(BUCKET, account.as_str(), region).await.context("cannot make the bucket for images")?;
    }
    let mut sink = engine.sink();
    sink.write(disk()).await?;
    let stored = sink.finish().await?;
    let what = Description {
        bucket: BUCKET.into(),
        key: KEY.into(),
        etag: DISK_ETAG.into(),
        content_type: "application/octet-stream".into(),
        ..Description::default()
    };
    engine.put_object(what, stored, &Condition::default()).await.context("cannot store the simulated image")?;
    let request = RegisterRequest {
        name: NAME.into(),
        description: "a disk for simulated guests".into(),
        location: format!("{BUCKET}/{KEY}"),
        architecture: "x86_64".into(),
        root_device_name: "/dev/vda".into(),
        tags: Vec::new(),
        dry_run: false,
    };
    cloud.register_image(&cx, &request).await.map_err(failed)?;
    // Nobody should meet it pending: a simulated cloud is ready when it says so.
    mallee_app::images::keep_images(cloud).await.context("cannot register the simulated image")
}

fn failed(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

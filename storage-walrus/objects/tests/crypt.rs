//! Bytes that are stored encrypted: what is written is read, whatever the range; what was tampered with is not given out,
//! though its checksums are right; nothing plain is in the files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use mallee_objects::crypt::{DataKey, Encryption, Vault, stored_size};
use mallee_objects::{
    Checksums, Condition, Content, Description, Engine, Error, Object, ObjectInfo, Part, Properties, UploadDoc,
};
use mallee_runtime::{Faults, Rng};
use mallee_store::test_support::TestDb;
use support::{ACCOUNT, BUCKET, Kind, World};

const CHUNK: usize = 65_536;

struct Sealed {
    engine: Engine,
    vault: Vault,
    world: World,
    db: TestDb,
}

impl Sealed {
    async fn new(kind: Kind) -> Self {
        let (world, db) = (World::new(kind).await, TestDb::sqlite().await);
        let vault = Vault::new(db.open().await);
        let engine = world.engine(Faults::none()).with_vault(vault.clone());
        engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
        Self { engine, vault, world, db }
    }

    fn key(&self) -> (DataKey, String) {
        let key = DataKey::random(self.engine.rng());
        let text = self.vault.seal(self.engine.rng(), &key).unwrap().to_text().unwrap();
        (key, text)
    }

    fn what(key: &str, encryption: &str) -> Description {
        Description {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            properties: Properties { encryption: Some(encryption.to_owned()), ..Properties::default() },
            ..Description::default()
        }
    }

    async fn put(&self, key: &str, data: &[u8]) -> (Object, DataKey) {
        let (data_key, text) = self.key();
        let mut sink = self.engine.sealed_sink(&data_key).unwrap();
        for piece in data.chunks(70_001) {
            sink.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let stored = sink.finish().await.unwrap();
        assert_eq!(stored.size, stored_size(data.len() as u64));
        self.engine.put_object(Self::what(key, &text), stored, &Condition::None).await.unwrap();
        (self.engine.object(BUCKET, key).await.unwrap(), data_key)
    }

    /// The stream as it is stored.
    async fn stored(&self, object: &Object) -> Vec<u8> {
        let info = ObjectInfo { size: stored_size(object.info.size), ..object.info.clone() };
        let raw = Object { info, content: object.content.clone() };
        support::read(&self.engine, &raw, 0, raw.info.size).await.unwrap()
    }

    /// An object whose stored stream is this one, checksums and sizes all right.
    async fn forged(&self, like: &Object, stream: &[u8]) -> Object {
        let mut sink = self.engine.sink();
        sink.write(Bytes::copy_from_slice(stream)).await.unwrap();
        let text = like.info.properties.encryption.as_deref().unwrap();
        let stored = sink.finish().await.unwrap();
        self.engine.put_object(Self::what("forged", text), stored, &Condition::None).await.unwrap();
        self.engine.object(BUCKET, "forged").await.unwrap()
    }

    async fn read(&self, object: &Object, key: &DataKey, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        let mut reader = self.engine.read_sealed(object, key, offset, len).await?;
        let mut out = Vec::new();
        while let Some(data) = reader.next().await {
            out.extend_from_slice(&data?);
        }
        Ok(out)
    }

    async fn is_refused(&self, object: &Object, key: &DataKey, what: &str) {
        let read = self.read(object, key, 0, object.info.size).await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{what}: {:?}", read.map(|data| data.len()));
    }
}

fn ranges(size: usize) -> Vec<(usize, usize)> {
    let edges = [0, 1, 65_487, 65_488, 65_489, 131_007, 131_008, 131_009, size / 2, size.saturating_sub(1), size];
    let mut out = Vec::new();
    for from in edges {
        for to in edges {
            if from < to && to <= size {
                out.push((from, to));
            }
        }
    }
    out
}

async fn what_is_written_is_read(kind: Kind) {
    let sealed = Sealed::new(kind).await;
    for size in [0, 1, 4000, 65_487, 65_488, 65_489, 131_008, 131_009, 700_000] {
        let data = support::bytes(size as u64, size);
        let (object, key) = sealed.put("k", &data).await;
        assert_eq!(object.info.size, size as u64);
        assert_eq!(matches!(object.content, Content::Inline(_)), size <= 4000);
        for (from, to) in ranges(size) {
            let read = sealed.read(&object, &key, from as u64, (to - from) as u64).await.unwrap();
            assert!(read == data[from..to], "{from}..{to} of {size}");
        }
        let own = sealed.engine.own_key(&object).unwrap().unwrap();
        assert_eq!(sealed.read(&object, &own, 0, size as u64).await.unwrap(), data);
        sealed.is_refused_by_another(&object).await;
    }
}

impl Sealed {
    async fn is_refused_by_another(&self, object: &Object) {
        if object.info.size > 0 {
            self.is_refused(object, &DataKey::random(&Rng::seeded(9)), "another key").await;
        }
    }

    async fn upload(&self, key: &str, parts: &[Bytes]) -> (Object, DataKey) {
        let (data_key, text) = self.key();
        let properties = Properties { encryption: Some(text), ..Properties::default() };
        let doc = UploadDoc { properties, ..UploadDoc::default() };
        let upload = self.engine.create_upload(BUCKET, key, ACCOUNT, doc).await.unwrap();
        let mut done: Vec<Part> = Vec::new();
        for (number, data) in (1..).zip(parts) {
            let mut part = self.engine.sealed_part(&data_key, number).unwrap();
            part.write(data.clone()).await.unwrap();
            let stored = part.finish().await.unwrap();
            assert_eq!(stored.size(), data.len() as u64);
            let sums = Checksums::default();
            done.push(self.engine.put_part(&upload.id, number, "00".to_owned(), sums, stored).await.unwrap());
        }
        support::complete(&self.engine, &upload, done).await.unwrap();
        (self.engine.object(BUCKET, key).await.unwrap(), data_key)
    }
}

async fn parts_are_streams_of_their_own(kind: Kind) {
    let sealed = Sealed::new(kind).await;
    let parts = [support::bytes(1, 70_000), support::bytes(2, 70_000), support::bytes(3, 9)];
    let whole = parts.concat();
    let (object, key) = sealed.upload("k", &parts).await;
    assert_eq!(object.info.size, whole.len() as u64);
    for (from, to) in ranges(whole.len()) {
        let read = sealed.read(&object, &key, from as u64, (to - from) as u64).await.unwrap();
        assert!(read == whole[from..to], "{from}..{to}");
    }
    let usage = sealed.engine.usage(BUCKET).await.unwrap();
    assert_eq!((usage.bytes, usage.part_bytes), (whole.len() as u64, 0));
    // Two parts of one size, exchanged.
    let Content::Parts(list) = &object.content else { panic!("no parts") };
    let mut swapped = list.clone();
    (swapped[0].blob, swapped[1].blob) = (list[1].blob.clone(), list[0].blob.clone());
    let swapped = Object { content: Content::Parts(swapped), ..object.clone() };
    sealed.is_refused(&swapped, &key, "exchanged parts").await;
    sealed.is_refused_by_another(&object).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory() {
    what_is_written_is_read(Kind::Memory).await;
    parts_are_streams_of_their_own(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sqlite() {
    what_is_written_is_read(Kind::Sqlite).await;
    parts_are_streams_of_their_own(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres() {
    parts_are_streams_of_their_own(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_tampered_with_is_not_given_out() {
    let sealed = Sealed::new(Kind::Memory).await;
    let data = support::bytes(1, 300_000);
    let (object, key) = sealed.put("k", &data).await;
    let good = sealed.stored(&object).await;
    assert_eq!(sealed.read(&sealed.forged(&object, &good).await, &key, 0, 300_000).await.unwrap(), data);
    for at in [0, 31, 32, 40_000, CHUNK - 16, CHUNK - 1, CHUNK, 2 * CHUNK + 7, good.len() - 17, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        sealed.is_refused(&sealed.forged(&object, &bad).await, &key, &format!("byte {at}")).await;
    }
    let mut bad = good.clone();
    let (first, second) = bad[CHUNK..3 * CHUNK].split_at_mut(CHUNK);
    first.swap_with_slice(second);
    sealed.is_refused(&sealed.forged(&object, &bad).await, &key, "exchanged chunks").await;
    for chunks in 1..=4 {
        let cut = sealed.forged(&object, &good[..chunks * CHUNK]).await;
        sealed.is_refused(&cut, &key, &format!("cut off after {chunks} chunks")).await;
    }
    let mut longer = good.clone();
    longer.extend_from_slice(&good[good.len() - 100..]);
    sealed.is_refused(&sealed.forged(&object, &longer).await, &key, "made longer").await;
    // Another stream under the same key is another stream.
    let mut sink = sealed.engine.sealed_sink(&key).unwrap();
    sink.write(support::bytes(2, 300_000)).await.unwrap();
    let text = object.info.properties.encryption.clone().unwrap();
    let other = sink.finish().await.unwrap();
    sealed.engine.put_object(Sealed::what("other", &text), other, &Condition::None).await.unwrap();
    let other = sealed.stored(&sealed.engine.object(BUCKET, "other").await.unwrap()).await;
    let mixed = [&good[..CHUNK], &other[CHUNK..2 * CHUNK], &good[2 * CHUNK..]].concat();
    sealed.is_refused(&sealed.forged(&object, &mixed).await, &key, "a chunk of another stream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_plain_is_in_the_files() {
    let sealed = Sealed::new(Kind::Sqlite).await;
    let canary = b"a canary that nobody else writes";
    let large = canary.repeat(10_000);
    let (small, _) = sealed.put("small", canary).await;
    sealed.put("large", &large).await;
    sealed.upload("parts", &[Bytes::from(large.clone()), Bytes::from_static(canary)]).await;
    assert!(matches!(small.content, Content::Inline(_)));
    let folder = std::path::Path::new(sealed.db.url.strip_prefix("sqlite:").unwrap()).parent().unwrap().to_owned();
    let mut seen = 0;
    for file in support::files(sealed.world.dir.path()).into_iter().chain(support::files(&folder)) {
        let bytes = std::fs::read(&file).unwrap();
        seen += bytes.len();
        assert!(!bytes.windows(16).any(|w| w == &canary[..16]), "{}", file.display());
    }
    assert!(seen > large.len() * 2);
    // The sealing is for its own name only.
    let (key, text) = sealed.key();
    drop(key);
    let Some(Encryption::Store { id, dek }) = Encryption::from_text(Some(&text)).unwrap() else { panic!("{text}") };
    assert!(sealed.vault.open(&id, &dek).is_ok());
    assert!(sealed.vault.open(&id.replace(&id[..1], "x"), &dek).is_err());
}

#[tokio::test]
async fn what_the_cloud_puts_is_encrypted_where_everything_is() {
    use mallee_proto::v1::PutObjectRequest;
    use mallee_proto::v1::objects_server::Objects as _;
    let db = TestDb::sqlite().await;
    let store = db.open().await;
    let world = World::new(Kind::Memory).await;
    let engine = world.engine_over(mallee_objects::metadata_of(store.clone()), Faults::none());
    let engine = engine.with_vault(Vault::new(store.clone()));
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    for encrypt_all in [false, true] {
        let service = mallee_objects::ObjectsService::new(engine.clone(), store.clone()).encrypting(encrypt_all);
        let put = PutObjectRequest {
            account_id: ACCOUNT.to_owned(),
            bucket: BUCKET.to_owned(),
            key: "log".to_owned(),
            data: b"records".to_vec(),
            ..PutObjectRequest::default()
        };
        service.put(tonic::Request::new(put)).await.unwrap();
        let object = engine.object(BUCKET, "log").await.unwrap();
        let sealed = Encryption::from_text(object.info.properties.encryption.as_deref()).unwrap();
        assert_eq!(matches!(sealed, Some(Encryption::Store { .. })), encrypt_all);
        assert_eq!((sealed.is_some(), object.info.size), (encrypt_all, 7));
    }
}

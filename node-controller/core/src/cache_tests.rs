use super::*;
use futures::stream;
use mallee_runtime::FaultAction;
use std::sync::atomic::AtomicUsize;

const CHUNK: usize = 1000;

/// An image store in memory that counts, and that can break off, lie, or have lost the image.
#[derive(Debug, Default)]
struct Store {
    images: Mutex<HashMap<String, Vec<u8>>>,
    offsets: Mutex<Vec<u64>>,
    break_after: AtomicUsize,
}

impl Store {
    fn put(&self, bytes: &[u8]) -> Image {
        let digest = hex::encode(Sha256::digest(bytes));
        self.images.lock().unwrap().insert(digest.clone(), bytes.to_vec());
        let size_bytes = bytes.len() as u64;
        Image { digest, format: "qcow2".into(), size_bytes, virtual_size_bytes: 1 << 30 }
    }

    fn reads(&self) -> Vec<u64> {
        self.offsets.lock().unwrap().clone()
    }
}

#[async_trait]
impl ImageSource for Store {
    async fn read(&self, digest: &str, offset: u64) -> Result<ImageBytes, ImageError> {
        self.offsets.lock().unwrap().push(offset);
        let images = self.images.lock().unwrap();
        let bytes = images.get(digest).ok_or_else(|| ImageError::NotFound(digest.to_owned()))?;
        let rest = bytes[usize::try_from(offset).unwrap()..].to_vec();
        let mut chunks: Vec<_> = rest.chunks(CHUNK).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let most = self.break_after.swap(0, Ordering::Relaxed);
        if most > 0 {
            chunks.truncate(most);
            chunks.push(Err(ImageError::Unavailable("connection reset".into())));
        }
        Ok(stream::iter(chunks).boxed())
    }
}

struct Setup {
    dir: tempfile::TempDir,
    store: Arc<Store>,
}

impl Setup {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: Arc::default() }
    }

    fn cache(&self, bytes_max: u64) -> FileImageCache {
        self.cache_with(bytes_max, Faults::none())
    }

    fn cache_with(&self, bytes_max: u64, faults: Faults) -> FileImageCache {
        let source = Arc::clone(&self.store) as Arc<dyn ImageSource>;
        FileImageCache::open(self.dir.path().into(), bytes_max, source, Clock::system(), faults).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn an_image_is_fetched_once_by_many_and_never_again() {
    let setup = Setup::new();
    let image = setup.store.put(&[7; 10_500]);
    let cache = Arc::new(setup.cache(1 << 20));
    let all = (0..20).map(|_| {
        let (cache, image) = (Arc::clone(&cache), image.clone());
        tokio::spawn(async move { cache.ensure(&image).await.unwrap() })
    });
    for held in futures::future::join_all(all).await {
        assert_eq!(std::fs::read(held.unwrap().path).unwrap(), [7; 10_500]);
    }
    assert_eq!(setup.store.reads(), [0]);
    let again = setup.cache(1 << 20);
    assert_eq!(again.held().await.join(" "), image.digest);
    assert_eq!(again.ensure(&image).await.unwrap().format, "qcow2");
    assert_eq!(setup.store.reads(), [0], "a restart downloads nothing");
}

#[tokio::test]
async fn a_broken_download_is_resumed_where_it_ended() {
    let setup = Setup::new();
    let image = setup.store.put(&(0..9_999u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
    setup.store.break_after.store(4, Ordering::Relaxed);
    let error = setup.cache(1 << 20).ensure(&image).await.unwrap_err();
    assert!(matches!(error, ImageError::Unavailable(_)), "{error}");
    assert!(setup.cache(1 << 20).held().await.is_empty(), "half an image is none");
    setup.cache(1 << 20).ensure(&image).await.unwrap();
    assert_eq!(setup.store.reads(), [0, 4000]);
    assert_eq!(setup.files(), [image.digest]);
}

#[tokio::test]
async fn what_does_not_hash_to_its_name_is_thrown_away() {
    let setup = Setup::new();
    let good = vec![1; 5000];
    let image = setup.store.put(&good);
    let wrongs: [&[u8]; 2] = [&[2; 5000], &[1; 5001]];
    for wrong in wrongs {
        setup.store.images.lock().unwrap().insert(image.digest.clone(), wrong.to_vec());
        let error = setup.cache(1 << 20).ensure(&image).await.unwrap_err();
        assert_eq!(error, ImageError::Damaged(image.digest.clone()));
        assert!(setup.files().is_empty(), "nothing wrong to build on");
    }
    setup.store.images.lock().unwrap().insert(image.digest.clone(), good[..4000].to_vec());
    assert!(matches!(setup.cache(1 << 20).ensure(&image).await, Err(ImageError::Unavailable(_))), "too short so far");
    setup.store.images.lock().unwrap().insert(image.digest.clone(), good);
    setup.cache(1 << 20).ensure(&image).await.unwrap();
    // A file that lost its tail after all is fetched again.
    std::fs::write(setup.dir.path().join(&image.digest), b"short").unwrap();
    let held = setup.cache(1 << 20).ensure(&image).await.unwrap();
    assert_eq!(std::fs::metadata(held.path).unwrap().len(), 5000);
}

#[tokio::test]
async fn names_that_are_no_digests_never_reach_the_disk() {
    let setup = Setup::new();
    for digest in ["", "../../etc/passwd", "ABCDEF", &"A".repeat(64), &"0".repeat(63)] {
        let image = Image { digest: digest.to_owned(), size_bytes: 1, ..Image::default() };
        assert_eq!(setup.cache(1 << 20).ensure(&image).await, Err(ImageError::NotFound(digest.to_owned())));
    }
    let image = Image { digest: "0".repeat(64), size_bytes: 1, ..Image::default() };
    assert_eq!(setup.cache(1 << 20).ensure(&image).await, Err(ImageError::NotFound("0".repeat(64))));
    assert!(setup.files().is_empty());
}

#[tokio::test]
async fn the_least_recently_used_idle_image_goes_first() {
    let setup = Setup::new();
    let clock = Clock::system();
    let source = Arc::clone(&setup.store) as Arc<dyn ImageSource>;
    let cache = FileImageCache::open(setup.dir.path().into(), 2500, source, clock.clone(), Faults::none()).unwrap();
    let images: Vec<Image> = (0..4u8).map(|n| setup.store.put(&[n; 1000])).collect();
    for image in &images {
        clock.shift_ms(1000);
        cache.ensure(image).await.unwrap();
    }
    clock.shift_ms(1000);
    cache.ensure(&images[1]).await.unwrap();
    cache.evict(&[images[0].digest.clone()]).await.unwrap();
    let mut left = vec![images[0].digest.clone(), images[1].digest.clone()];
    left.sort();
    assert_eq!(cache.held().await, left, "in use and recently used stay");
    assert_eq!(setup.files(), left);
    let big = setup.store.put(&[9; 3000]);
    assert!(matches!(cache.ensure(&big).await, Err(ImageError::Full(_))));
}

#[tokio::test]
async fn a_kill_at_any_point_leaves_a_cache_that_goes_on() {
    let record = Faults::recording();
    let setup = Setup::new();
    let image = setup.store.put(&[3; 3500]);
    setup.cache_with(1 << 20, record.clone()).ensure(&image).await.unwrap();
    let points = record.passed();
    assert!(points.len() >= 4, "{points:?}");
    for point in points {
        let setup = Setup::new();
        let image = setup.store.put(&[3; 3500]);
        let faults = Faults::recording();
        faults.arm(&point, FaultAction::Kill, 1);
        let cache = setup.cache_with(1 << 20, faults.clone());
        tokio::select! {
            _ = cache.ensure(&image) => panic!("{point} did not strike"),
            () = faults.killed() => {}
        }
        drop(cache);
        let held = setup.cache(1 << 20).ensure(&image).await.unwrap();
        assert_eq!(std::fs::read(held.path).unwrap(), [3; 3500], "{point}");
        assert_eq!(setup.files(), [image.digest], "{point}");
    }
}

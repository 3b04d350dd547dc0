//! Renewal of a daemon's certificate, long before it expires, while it serves.

use crate::{CredentialStore, Credentials, PkiError, new_key_and_csr};
use mallee_runtime::{Backoff, Clock, Rng, TaskScope};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest sleep: the wall clock may be set, and a suspended host's monotonic clock stands still.
const LOOK_PERIOD: Duration = Duration::from_secs(60);
/// Delay after the first failure; it doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest delay after a failure.
const RETRY_MOST: Duration = Duration::from_secs(600);
/// How long one renewal may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(30);

/// When two thirds of a certificate's life are over, in milliseconds since 1970.
fn due_ms(credentials: &Credentials) -> i64 {
    let (from, to) = (credentials.not_before(), credentials.not_after());
    let life: time::Duration = to - from;
    let due: time::OffsetDateTime = from + life * 2 / 3;
    due.unix_timestamp().saturating_mul(1000)
}

/// Renews what the store holds when two thirds of its life are over, until the scope stops: a new key, `renew` (which
/// takes a PKCS#10 request and answers certificate and CA, all DER), saved in `dir`, swapped in. After a failure it
/// tries again with a growing delay; the old certificate stays in use.
pub fn spawn_rotator<F, Fut>(scope: &TaskScope, store: CredentialStore, dir: PathBuf, clock: Clock, rng: Rng, renew: F)
where
    F: Fn(Vec<u8>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(Vec<u8>, Vec<u8>), String>> + Send,
{
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST, rng);
        while !shutdown.is_stopped() {
            let left_ms = due_ms(&store.current()).saturating_sub(clock.now_ms());
            let wait = match u64::try_from(left_ms) {
                Ok(left_ms) if left_ms > 0 => Duration::from_millis(left_ms).min(LOOK_PERIOD),
                _ => match renew_once(&store, &dir, &clock, &renew).await {
                    Ok(()) => {
                        backoff.reset();
                        let now = store.current();
                        tracing::info!(identity = %now.identity(), serial = now.serial(), until = %now.not_after(), "certificate renewed");
                        continue;
                    }
                    Err(error) => {
                        let until = store.current().not_after();
                        tracing::warn!(%error, %until, "the certificate was not renewed; it will be tried again");
                        backoff.next_delay()
                    }
                },
            };
            tokio::select! {
                () = shutdown.stopped() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}

async fn renew_once<F, Fut>(store: &CredentialStore, dir: &Path, clock: &Clock, renew: &F) -> Result<(), PkiError>
where
    F: Fn(Vec<u8>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<(Vec<u8>, Vec<u8>), String>> + Send,
{
    let (key, csr) = new_key_and_csr()?;
    let answer = tokio::time::timeout(RENEW_TIMEOUT, renew(csr)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", RENEW_TIMEOUT.as_secs())));
    let (certificate, ca) = answer.map_err(PkiError::Renewal)?;
    let old = store.current();
    let fresh = Credentials::new(key, &certificate, &ca, old.ca_sha256(), clock)?;
    if fresh.identity() != old.identity() {
        return Err(PkiError::Certificate(format!("it names {} instead of {}", fresh.identity(), old.identity())));
    }
    if due_ms(&fresh) <= clock.now_ms() {
        return Err(PkiError::Certificate(
            "the new one is about to expire as well: look at the CA and the clocks".to_owned(),
        ));
    }
    // On disk first: a crash in between costs nothing, a certificate that only memory knows would be lost with it.
    let dir = dir.to_owned();
    let saved = tokio::task::spawn_blocking(move || fresh.save(&dir).map(|()| fresh)).await;
    let fresh = saved.map_err(|error| PkiError::Crypto(error.to_string()))??;
    store.swap(fresh)
}

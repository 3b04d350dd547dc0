//! A Walrus for client tests: `walrus_serve DIR [DOMAIN]` keeps everything under DIR, listens on a free port of
//! 127.0.0.1, and prints the port on its first line of output. Two accounts, keys `AKIAWALRUSTEST000001` and `…2`, both
//! with the secret `walrus/test+secret`. Ends when its standard input ends. `WALRUS_RESERVE` are the bytes that stay free.
#![allow(clippy::print_stdout)]

use anyhow::Context as _;
use mallee_awswire::sigv4::{Verifier, VerifierConfig};
use mallee_runtime::{Clock, Faults, Rng, Shutdown, TaskScope};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_walrus::{StaticKey, StaticKeys, VerifierAuth, Walrus, WalrusConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    mallee_runtime::telemetry::init();
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().context("usage: walrus_serve DIR [DOMAIN]")?);
    std::fs::create_dir_all(&dir)?;
    let (clock, rng) = (Clock::system(), Rng::system());
    let url = format!("sqlite:{}", dir.join("walrus.db").display());
    let store = Store::open(StoreConfig::new(url), clock.clone(), rng.clone(), SealKey::random(&rng)?).await?;
    let keys = [("AKIAWALRUSTEST000001", "111111111111"), ("AKIAWALRUSTEST000002", "222222222222")];
    let keys = StaticKeys::new(keys.map(|(id, account)| StaticKey {
        access_key_id: id.to_owned(),
        secret: "walrus/test+secret".into(),
        account: account.to_owned(),
    }));
    let verifier = Arc::new(Verifier::new(keys, VerifierConfig::default()));
    let auth = Arc::new(VerifierAuth::new(verifier, Clone::clone));
    let mut config = WalrusConfig::new(dir.join("objects"), "us-east-1");
    config.domains = arguments.collect();
    config.open = true;
    if let Ok(reserve) = std::env::var("WALRUS_RESERVE") {
        config.reserve = reserve.parse().context("WALRUS_RESERVE is a number of bytes")?;
    }
    let walrus = Walrus::open(config, store, auth, clock, rng, Faults::none()).await?;
    let scope = TaskScope::new(&Shutdown::new());
    walrus.spawn_background(&scope);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let until_input_ends = async {
        let mut input = tokio::io::stdin();
        let mut byte = [0; 64];
        while matches!(input.read(&mut byte).await, Ok(n) if n > 0) {}
    };
    tokio::select! {
        () = mallee_serve::serve(listener, walrus.router(), scope.clone()) => {}
        () = until_input_ends => {}
    }
    scope.stop(Duration::from_secs(2)).await;
    // A read of standard input cannot be interrupted; nothing is left to wait for.
    Ok(())
}

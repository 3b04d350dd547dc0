//! A Walrus for client tests: `walrus_serve DIR [--open] [DOMAIN [WEBSITES]]` keeps everything under DIR, makes buckets as
//! AWS does (with `--open` as it did before 2023), listens on a free port of 127.0.0.1, and prints the port on its first
//! line of output. Two accounts, keys `AKIAWALRUSTEST000001` and `…2`, both with the secret `walrus/test+secret`. Ends when
//! its standard input ends. `WALRUS_RESERVE` are the bytes that stay free, `WALRUS_PACK` those of a full pack.
#![allow(clippy::print_stdout)]

use anyhow::Context as _;
use mallee_runtime::{Clock, Faults, Rng, Shutdown, TaskScope};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_walrus::{Day, NewBuckets, Peers, StaticAuthority, StaticKey, Targets, Walrus, WalrusConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// As the binary: what is measured here is to be what users get.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let mut table = Vec::new();
    for (id, account) in keys {
        let (access_key_id, secret) = (id.to_owned(), "walrus/test+secret".into());
        table.push(StaticKey { access_key_id, secret, account: account.parse()? });
    }
    let auth = Arc::new(StaticAuthority::new(table));
    let mut config = WalrusConfig::new(dir.join("objects"), "us-east-1");
    // `WALRUS_DAY`: seconds of a lifecycle day. `WALRUS_LOGS`: those between two deliveries of access logs. `WALRUS_WEBHOOK`, `WALRUS_QUEUE`: targets of
    // notifications, NAME=URL.
    let given = |name| std::env::var(name).ok();
    if let Some(seconds) = given("WALRUS_DAY") {
        config.jobs.day = Day::of_seconds(seconds.parse()?);
    }
    if let Some(seconds) = given("WALRUS_LOGS") {
        config.jobs.log_delivery = Duration::from_secs(seconds.parse()?);
    }
    let of = |name| given(name).iter().flat_map(|all| all.split(' ')).map(str::to_owned).collect::<Vec<_>>();
    config.jobs.targets =
        Targets::declared(&of("WALRUS_WEBHOOK"), &of("WALRUS_QUEUE"), true).map_err(anyhow::Error::msg)?;
    // `WALRUS_PEER`: other object stores, as `--s3-peer` has them.
    config.jobs.peers = Peers::declared(&of("WALRUS_PEER")).map_err(anyhow::Error::msg)?;
    let (switches, domains): (Vec<String>, Vec<String>) = arguments.partition(|argument| argument == "--open");
    let mut domains = domains.into_iter();
    config.domains = domains.next().into_iter().collect();
    config.websites = domains.collect();
    config.new_buckets = if switches.is_empty() { NewBuckets::Closed } else { NewBuckets::Open };
    config.sse_c_over_http = true;
    if let Ok(reserve) = std::env::var("WALRUS_RESERVE") {
        config.reserve = reserve.parse().context("WALRUS_RESERVE is a number of bytes")?;
    }
    if let Some(bytes) = given("WALRUS_PACK") {
        config.pack_bytes = bytes.parse().context("WALRUS_PACK is a number of bytes")?;
    }
    let walrus = Walrus::open(config, store, auth, clock, rng, Faults::none()).await?;
    let scope = TaskScope::new(&Shutdown::new());
    walrus.spawn_background(&scope);
    // `WALRUS_PORT`: the port, instead of a free one.
    let port = given("WALRUS_PORT").map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
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

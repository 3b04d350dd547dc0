//! How many small objects a second: with one client, and with many.

use crate::client::Client;
use crate::server::Server;
use std::time::{Duration, Instant};

const FOR: Duration = Duration::from_secs(5);

#[test]
#[ignore = "a measurement: run it by name on a quiet machine"]
fn puts_per_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Server::start(&folder.path().join("data"));
    assert_eq!(Client::new(server.address).put("/bkt", b"").unwrap().status, 200);
    for (clients, size) in [(1, 1_000), (32, 1_000), (1, 8_000), (32, 8_000)] {
        let (address, began) = (server.address, Instant::now());
        let threads: Vec<_> = (0..clients)
            .map(|name| {
                std::thread::spawn(move || {
                    let (mut client, mut done, body) = (Client::new(address), 0u32, vec![7; size]);
                    while began.elapsed() < FOR {
                        let reply = client.put(&format!("/bkt/c{name}/k{done}"), &body).unwrap();
                        assert_eq!(reply.status, 200, "{}", reply.text());
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let done: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        println!("{clients} clients, {size} bytes: {:.0} puts/s", f64::from(done) / began.elapsed().as_secs_f64());
    }
}

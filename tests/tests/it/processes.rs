//! Every tier as a process of its own, over TCP with mutual TLS: joined by tokens, used as a user uses it, and each
//! killed with -9 in turn while instances run. Simulated hosts; all traffic on the loopback.

use mallee_pki::{CredentialStore, Credentials, Role, connect};
use mallee_proto::v1::directory_client::DirectoryClient;
use mallee_proto::v1::{AnnounceRequest, Endpoint};
use mallee_runtime::Clock;
use mallee_tests::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Whatever is awaited must have happened by then.
const PATIENCE: Duration = Duration::from_secs(25);
/// A process that was told to stop must be gone by then.
const STOP_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// The binary under test: `MALLEE_BIN`, else that of this build.
fn binary() -> PathBuf {
    let named = std::env::var_os("MALLEE_BIN").map(PathBuf::from);
    let beside = || {
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("target/PROFILE/deps").join("mallee")
    };
    let path = named.unwrap_or_else(beside);
    assert!(path.is_file(), "{} is missing: run `cargo build -p mallee`, or set MALLEE_BIN", path.display());
    path
}

/// One tier: how it is started, again and again, and the process that runs.
#[derive(Debug)]
struct Tier {
    name: &'static str,
    args: Vec<String>,
    child: Option<Child>,
}

/// The processes of one cloud. Dropping it kills what is left of them.
struct Processes {
    binary: PathBuf,
    dir: tempfile::TempDir,
    tiers: Vec<Tier>,
}

impl Drop for Processes {
    fn drop(&mut self) {
        for tier in &mut self.tiers {
            if let Some(mut child) = tier.child.take() {
                drop(child.kill());
                drop(child.wait());
            }
            if std::thread::panicking() {
                let log = std::fs::read_to_string(log(self.dir.path(), tier.name)).unwrap_or_default();
                let from = log.len().saturating_sub(3000);
                eprintln!("--- {}\n{}", tier.name, String::from_utf8_lossy(&log.as_bytes()[from..]));
            }
        }
    }
}

fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

impl Processes {
    fn new() -> Self {
        Self { binary: binary(), dir: tempfile::tempdir().unwrap(), tiers: Vec::new() }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, state: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--state").arg(self.state(state)).args(args).stdin(Stdio::null());
        for name in ["AWS_ENDPOINT_URL", "MALLEE_STATE", "MALLEE_DATABASE", "MALLEE_WALRUS_DATABASE", "MALLEE_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    fn run(&self, state: &str, args: &[&str]) -> Output {
        self.command(state, args).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; what it printed.
    fn ask(&self, args: &[&str]) -> String {
        let output = self.run("cloud", args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "mallee {args:?}: {err}");
        out.trim().to_owned()
    }

    fn token(&self, role: &str) -> String {
        self.ask(&["node", "token", "--role", role])
    }

    /// Starts a tier for the first time: the token is given once, and never again.
    fn add(&mut self, name: &'static str, args: &[&str], token: Option<&str>) {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        self.tiers.push(Tier { name, args, child: None });
        self.start(name, token);
    }

    fn tier(&mut self, name: &str) -> &mut Tier {
        self.tiers.iter_mut().find(|tier| tier.name == name).expect("a tier of this name")
    }

    fn start(&mut self, name: &'static str, token: Option<&str>) {
        let args = self.tier(name).args.clone();
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(token.iter().flat_map(|token| ["--token", token]));
        let log = File::options().create(true).append(true).open(log(self.dir.path(), name)).unwrap();
        let mut command = self.command(name, &args);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("the binary starts");
        self.tier(name).child = Some(child);
    }

    /// kill -9.
    fn kill(&mut self, name: &str) {
        let mut child = self.tier(name).child.take().expect("it runs");
        assert!(child.try_wait().unwrap().is_none(), "{name} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How often a node has reached its cluster controller, by its log.
    fn sessions(&self, node: &str) -> usize {
        let log = std::fs::read_to_string(log(self.dir.path(), node)).unwrap();
        log.matches("\"session with the cluster controller\"").count()
    }

    /// SIGTERM, to all, from the last started to the first; each must end well.
    fn stop(&mut self) {
        for tier in self.tiers.iter_mut().rev() {
            let mut child = tier.child.take().expect("it runs");
            let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
            assert!(told.success());
            let deadline = Instant::now() + STOP_MAX;
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                if Instant::now() > deadline {
                    drop(child.kill());
                    drop(child.wait());
                    panic!("{} did not end within {STOP_MAX:?}", tier.name);
                }
                #[allow(clippy::disallowed_methods, reason = "no runtime here; a child's end wakes nobody")]
                std::thread::sleep(LOOK);
            };
            assert!(status.success(), "{} ended with {status}", tier.name);
        }
    }
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

/// Tries until it works.
async fn eventually<T, F: AsyncFnMut() -> Result<T, String>>(what: &str, mut attempt: F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let failed = match attempt().await {
            Ok(done) => return done,
            Err(failed) => failed,
        };
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}: {failed}");
        tokio::time::sleep(LOOK).await;
    }
}

/// What `mallee env` says, as a client.
fn client(processes: &Processes) -> Client {
    let env = processes.ask(&["env"]);
    let value = |name: &str| {
        let line = env.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.expect("the variable").trim_matches('\'').to_owned()
    };
    let address = value("AWS_ENDPOINT_URL").trim_start_matches("http://").parse().unwrap();
    let secret = value("AWS_SECRET_ACCESS_KEY").into();
    Client::new(address, value("AWS_ACCESS_KEY_ID"), secret, value("AWS_DEFAULT_REGION"))
}

async fn launch(client: &Client, image: &str, count: u32, token: &str) -> Vec<String> {
    let count = count.to_string();
    let params = [
        ("ImageId", image),
        ("InstanceType", "t3.nano"),
        ("MinCount", &count),
        ("MaxCount", &count),
        ("ClientToken", token),
    ];
    // As an SDK does: the token makes it one launch.
    eventually("a launch", async || {
        let reply = client.call("RunInstances", &params).await.map_err(|error| error.to_string())?;
        Ok(reply.all("instanceId").into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    })
    .await
    .into_iter()
    .collect()
}

async fn all_running(client: &Client, ids: &[String]) {
    let names: Vec<String> = (1..=ids.len()).map(|n| format!("InstanceId.{n}")).collect();
    let params: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(ids.iter().map(String::as_str)).collect();
    eventually("instances run", async || {
        let reply = client.call("DescribeInstances", &params).await.map_err(|error| error.to_string())?;
        let running = reply.0.matches("<code>16</code><name>running</name>").count();
        if running == ids.len() { Ok(()) } else { Err(format!("{running} of {}", ids.len())) }
    })
    .await;
}

/// Which life each instance is in, and on which node.
fn lives(processes: &Processes, ids: &[String]) -> BTreeMap<String, (String, String)> {
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect("as it says").0.to_owned()
    };
    let life = |id: &String| {
        let text = processes.ask(&["explain", id]);
        (id.clone(), (between(&text, "incarnation ", ")"), between(&text, "and node ", ".")))
    };
    ids.iter().map(life).collect()
}

/// A node's own certificate opens the Directory, but lets it announce nothing.
async fn a_node_announces_nothing(processes: &Processes, control: &str) {
    let clock = Clock::system();
    let credentials = Credentials::load(&processes.state("node-1").join("pki"), &clock).unwrap();
    let credentials = CredentialStore::new(credentials.expect("it has joined"), &clock);
    let channel = connect(control, &credentials, Role::Cloud, None).await.unwrap();
    for role in ["cluster", "walrus", "s3", "node"] {
        let endpoint = Endpoint { role: role.into(), zone: "local-1a".into(), uri: "https://192.0.2.1:8774".into() };
        let request = AnnounceRequest { endpoint: Some(endpoint) };
        let refused = DirectoryClient::new(channel.clone()).announce(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{role}: {refused}");
    }
}

/// Temporary credentials and policies decide about objects, through the cloud's port and at Walrus's own.
async fn sessions_reach_objects(client: &Client, walrus: SocketAddr) {
    const TRUST: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}"#;
    const ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*","sts:*"],"Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}}"#;
    const READ: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::papers/open/*"}}"#;
    let iam =
        async |action: &str, params: &[(&str, &str)]| client.ask("iam", "2010-05-08", action, params).await.unwrap();
    client.s3("PUT", "/papers", "").await.unwrap();
    for key in ["/papers/open/1", "/papers/closed/1"] {
        client.s3("PUT", key, "text").await.unwrap();
    }
    iam("CreateUser", &[("UserName", "u")]).await;
    iam("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", ALL)]).await;
    let key = iam("CreateAccessKey", &[("UserName", "u")]).await;
    let user = Client::new(
        client.address(),
        key.first("AccessKeyId").unwrap().to_owned(),
        key.first("SecretAccessKey").unwrap().to_owned().into(),
        "local".to_owned(),
    );
    let role = iam("CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)]).await;
    iam("PutRolePolicy", &[("RoleName", "r"), ("PolicyName", "p"), ("PolicyDocument", ALL)]).await;
    let asked = [("RoleArn", role.first("Arn").unwrap()), ("RoleSessionName", "me"), ("Policy", READ)];
    let session = user.ask("sts", "2011-06-15", "AssumeRole", &asked).await.unwrap();
    let text = |name| session.first(name).unwrap();
    let limited = user.with_session(text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken"));
    for address in [client.address(), walrus] {
        user.at(address).s3("GET", "/papers/closed/1", "").await.unwrap();
        let session = limited.at(address);
        assert_eq!(session.s3("GET", "/papers/open/1", "").await.unwrap().0, "text", "{address}");
        for (method, path) in [("GET", "/papers/closed/1"), ("PUT", "/papers/open/2"), ("GET", "/papers")] {
            let refused = session.s3(method, path, "").await.unwrap_err();
            assert_eq!(refused.code(), "AccessDenied", "{address} {method} {path}: {refused}");
            assert!(refused.to_string().contains("no session policy allows"), "{refused}");
        }
        let wrong = user.with_session(text("AccessKeyId"), text("SecretAccessKey"), "another").at(address);
        let refused = wrong.s3("GET", "/papers/open/1", "").await.unwrap_err();
        assert_eq!(refused.code(), "InvalidToken", "{address}: {refused}");
    }
    // A user without a right has none at Walrus's own port either.
    iam("DeleteUserPolicy", &[("UserName", "u"), ("PolicyName", "p")]).await;
    for address in [client.address(), walrus] {
        let refused = user.at(address).s3("GET", "/papers/open/1", "").await.unwrap_err();
        assert_eq!(refused.code(), "AccessDenied", "{address}: {refused}");
    }
}

/// Quotas bind what is written, through the cloud's port and at Walrus's own: what was set for an account its root too,
/// and a user's policy the user.
async fn quotas_bind_at_both_ports(processes: &Processes, client: &Client, walrus: SocketAddr) {
    const FEW: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Limit","Action":"s3:PutObject","Resource":"*",
         "Condition":{"NumericLessThanEquals":{"s3:quota-bucketobjectnumber":"1"}}}]}"#;
    let doors = [client.address(), walrus];
    let told = client.ask("sts", "2011-06-15", "GetCallerIdentity", &[]).await.unwrap();
    let account = told.first("Account").unwrap();
    let buckets = client.s3("GET", "/", "").await.unwrap().0.matches("<Bucket>").count();
    processes.ask(&["quota", "set", account, "s3/L-DC2B2D3D", &(buckets + 1).to_string()]);
    client.at(walrus).s3("PUT", "/few", "").await.unwrap();
    for address in doors {
        let refused = client.at(address).s3("PUT", "/more", "").await.unwrap_err();
        assert_eq!(refused.code(), "TooManyBuckets", "{address}: {refused}");
    }
    processes.ask(&["quota", "set", account, "s3/L-DC2B2D3D", "--default"]);
    client.at(walrus).s3("PUT", "/more", "").await.unwrap();

    let iam =
        async |action: &str, params: &[(&str, &str)]| client.ask("iam", "2010-05-08", action, params).await.unwrap();
    iam("CreateUser", &[("UserName", "few")]).await;
    iam("PutUserPolicy", &[("UserName", "few"), ("PolicyName", "p"), ("PolicyDocument", FEW)]).await;
    let key = iam("CreateAccessKey", &[("UserName", "few")]).await;
    let text = |name| key.first(name).unwrap().to_owned();
    let user = Client::new(client.address(), text("AccessKeyId"), text("SecretAccessKey").into(), "local".to_owned());
    for (address, bucket) in doors.into_iter().zip(["few", "more"]) {
        let user = user.at(address);
        user.s3("PUT", &format!("/{bucket}/1"), "text").await.unwrap();
        user.s3("PUT", &format!("/{bucket}/1"), "over it").await.unwrap();
        let refused = user.s3("PUT", &format!("/{bucket}/2"), "text").await.unwrap_err();
        assert_eq!(refused.code(), "QuotaExceeded", "{address}: {refused}");
        client.at(address).s3("PUT", &format!("/{bucket}/2"), "text").await.unwrap();
    }
}

/// One line that says why.
fn refused(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was let in");
    assert!(text.contains(why), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("mallee: ")).count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tier_in_a_process_of_its_own() {
    let mut processes = Processes::new();
    let [api, control, cluster, s3, images] = free_ports();
    let join = format!("https://{control}");
    let text = [api, control, cluster, s3, images].map(|address| address.to_string());
    let [api, control, cluster, s3, images] = text.each_ref().map(String::as_str);

    processes.add("cloud", &["cloud", "--listen", api, "--control", control], None);
    let token = eventually("the cloud answers", async || {
        let output = processes.run("cloud", &["node", "token", "--role", "walrus"]);
        if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    })
    .await;
    let token = String::from_utf8(token).unwrap();

    // Nobody serves S3 yet: said in S3's words.
    let early = processes.run("cloud", &["image", "tiny", "--add", processes.binary.to_str().unwrap()]);
    refused(&early, "The object store has not joined this cloud yet.");
    let data = processes.dir.path().join("objects").display().to_string();
    let walrus = ["walrus", "--join", &join, "--listen", s3, "--control", images, "--data", &data];
    processes.add("walrus", &walrus, Some(token.trim()));
    let token = processes.token("cluster");
    processes.add("cluster", &["cluster", "--join", &join, "--listen", cluster], Some(&token));
    for (name, address) in [("node-1", "10.64.0.1"), ("node-2", "10.64.0.2")] {
        let token = processes.token("node");
        let node = ["node", "--join", &join, "--name", name, "--address", address, "--simulate-host"];
        processes.add(name, &node, Some(&token));
        eventually("the node joins", async || {
            let there = processes.state(name).join("pki/credentials.pem").exists();
            if there { Ok(()) } else { Err("no certificate yet".to_owned()) }
        })
        .await;
        let used = ["node", "--join", &join, "--name", "thief", "--token", &token, "--simulate-host"];
        refused(&processes.run("thief", &used), "this join token was used already");
    }
    let unknown = ["node", "--join", &join, "--simulate-host"];
    refused(&processes.run("stranger", &unknown), "mallee node token");
    a_node_announces_nothing(&processes, &join).await;

    // A disk of four MiB goes through the cloud's own port to Walrus, is registered, and launched.
    processes.ask(&["status", "--wait", "--timeout", "25"]);
    let disk = processes.dir.path().join("disk.raw");
    let mut bytes: Vec<u8> = (0..4u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&disk, &bytes).unwrap();
    let disk = disk.to_str().unwrap();
    let image = eventually("the image", async || {
        let output = processes.run("cloud", &["image", "tiny", "--add", disk]);
        if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    })
    .await;
    let image = String::from_utf8(image).unwrap().trim().to_owned();
    let client = client(&processes);
    let mut ids = launch(&client, &image, 3, "first").await;
    assert_eq!(ids.len(), 3);
    all_running(&client, &ids).await;
    let first = lives(&processes, &ids);
    let nodes: BTreeSet<&str> = first.values().map(|(_, node)| node.as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["node-1", "node-2"]), "both nodes take part");

    sessions_reach_objects(&client, s3.parse().unwrap()).await;
    quotas_bind_at_both_ports(&processes, &client, s3.parse().unwrap()).await;

    // Without the cloud controller nodes and cluster find each other, by what they remember.
    processes.kill("cloud");
    for name in ["cluster", "node-1"] {
        processes.kill(name);
        let before = processes.sessions("node-1");
        processes.start(name, None);
        eventually("a session without the cloud controller", async || {
            if processes.sessions("node-1") > before { Ok(()) } else { Err(format!("{name} restarted")) }
        })
        .await;
    }
    processes.start("cloud", None);

    for name in ["cluster", "walrus", "cloud", "node-1", "node-2"] {
        processes.kill(name);
        if name == "walrus" {
            let status = processes.ask(&["status"]);
            let row = status.lines().find(|line| line.starts_with("walrus")).expect("a row of Walrus");
            assert!(row.contains(" away ") && row.contains('Z'), "its state, and since when: {row}");
            let away = processes.run("cloud", &["image", "away", "--add", disk]);
            refused(&away, "The object store does not answer.");
        }
        processes.start(name, None);
        let more = launch(&client, &image, 1, &format!("after-{name}")).await;
        ids.extend(more);
        all_running(&client, &ids).await;
        let now = lives(&processes, &ids);
        for (id, life) in &first {
            assert_eq!(now.get(id), Some(life), "{id} after {name} was killed");
        }
    }
    // S3 and images work through the restarted processes too.
    let again = eventually("another image", async || {
        let output = processes.run("cloud", &["image", "again", "--add", disk]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    });
    again.await;
    processes.stop();
}

//! `mallee`: the command line.

mod audit;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mallee::{down, tier, up};
use mallee_cli::{
    Access, CheckArgs, Client, EventCommand, ExplainArgs, ImageArgs, QuotaCommand, SpotPriceArgs, StatusArgs,
    TokenArgs, UsageArgs, UserArgs,
};
use std::path::PathBuf;
use std::process::ExitCode;

/// Calls of the API allocate much and briefly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An EC2- and S3-compatible cloud for your own machines.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    /// Directory of the cloud's state (default: /var/lib/mallee as root, else the XDG data directory).
    #[arg(long, global = true, env = "MALLEE_STATE")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum Command {
    /// Run a whole cloud in this process.
    Up(up::UpArgs),
    /// Stop the cloud of this state directory; instances run on.
    Down(down::DownArgs),
    /// Print the environment that AWS tools need: eval "$(mallee env)".
    Env,
    /// Show every service and node.
    Status(StatusArgs),
    /// Show why an instance is where it is, or nowhere.
    Explain(ExplainArgs),
    /// Compare intent, observation and host truth.
    Check(CheckArgs),
    /// Print an image's id by its name; with --add, upload and register a disk first.
    Image(ImageArgs),
    /// Show and set the quotas of accounts; grant or refuse requests for more.
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Announce maintenance of instances, list what is announced, and say what became of it.
    #[command(subcommand)]
    Event(EventCommand),
    /// Show what an hour of a spot instance costs, or set it for a type.
    SpotPrice(SpotPriceArgs),
    /// Make a user known who has keys and names already: of an account, which is made if need be.
    User(UserArgs),
    /// Show what accounts and buckets hold in the object store.
    Usage(UsageArgs),
    /// Follow the audit trail's chain and say whether it is whole.
    Audit,
    /// Run the cloud controller alone: the API, and the port where the other daemons join.
    Cloud(tier::CloudArgs),
    /// Run the cluster controller of a zone alone.
    Cluster(tier::ClusterArgs),
    /// Run the node controller of this host alone, or make tokens with which daemons join.
    Node(NodeLine),
    /// Run the object store alone, or check one that does not run.
    Walrus(WalrusLine),
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct NodeLine {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    #[command(flatten)]
    run: tier::NodeArgs,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Make a one-time token with which another daemon joins.
    Token(TokenArgs),
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct WalrusLine {
    #[command(subcommand)]
    command: Option<WalrusCommand>,
    #[command(flatten)]
    run: tier::WalrusArgs,
}

#[derive(Debug, Subcommand)]
enum WalrusCommand {
    /// Hold rows, references, counters and files of the object store against each other; it must not run.
    Check(tier::WalrusCheckArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    mallee_runtime::telemetry::init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(run(cli));
    // Blocking calls into libvirt may still hang; nothing waits for them.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One line: what is wrong and what to do.
#[allow(clippy::print_stderr)]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("mallee: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<()> {
    // A directory that is named is that cloud; else the environment says which, as it does to every AWS tool.
    let named = cli.state.is_some();
    let state = cli.state.unwrap_or_else(mallee_cli::default_state_dir);
    let client = || if named { Access::read(&state) } else { Access::find(&state) }.map(Client::new);
    match cli.command {
        Command::Up(args) => up::up(&state, &args).await,
        Command::Down(args) => down::down(&state, &args).await,
        Command::Env => mallee_cli::env(&state),
        Command::Status(args) => mallee_cli::status(client, &args).await,
        Command::Explain(args) => mallee_cli::explain(&client()?, &args).await,
        Command::Check(args) => mallee_cli::check(&client()?, &args).await,
        Command::Image(args) => mallee_cli::image(&client()?, &args).await,
        Command::Quota(command) => mallee_cli::quota(&client()?, &command).await,
        Command::Event(command) => mallee_cli::event(&client()?, &command).await,
        Command::SpotPrice(args) => mallee_cli::spot_price(&client()?, &args).await,
        Command::User(args) => mallee_cli::user(&client()?, &args).await,
        Command::Usage(args) => mallee_cli::usage(&client()?, &args).await,
        Command::Audit => audit::audit(&state),
        Command::Cloud(args) => tier::cloud(&state, &args).await,
        Command::Cluster(args) => tier::cluster(&state, &args).await,
        Command::Walrus(WalrusLine { command: Some(WalrusCommand::Check(args)), .. }) => {
            tier::walrus_check(&state, &args).await
        }
        Command::Walrus(WalrusLine { command: None, run }) => tier::walrus(&state, &run).await,
        Command::Node(NodeLine { command: Some(NodeCommand::Token(args)), .. }) => {
            mallee_cli::node_token(&client()?, &args).await
        }
        Command::Node(NodeLine { command: None, run }) => tier::node(&state, &run).await,
    }
}

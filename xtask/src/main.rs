//! Developer tasks: `cargo xtask <task>`. Each task lives in its own module.

mod bench;
mod codegen;
mod compat;
mod mask;
mod tidy;
mod tree;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "developer tasks of Mallee")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Generate the EC2, IAM and STS types and codecs from the botocore models.
    Codegen(codegen::Args),
    /// Check the rules of the tree that the compiler does not: who may depend on whom, file sizes, forbidden words.
    Tidy,
    /// Measure the budgets of the design and write docs/performance.md.
    Bench(bench::Args),
    /// Write docs/compatibility.md: every operation, whether it is offered, and what tests it.
    Compat(compat::Args),
}

#[allow(clippy::print_stderr, reason = "the one place where a task's error becomes a line")]
fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Codegen(args) => codegen::run(&args),
        Task::Tidy => tidy::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Compat(args) => compat::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

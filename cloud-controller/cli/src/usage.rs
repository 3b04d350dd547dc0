//! `mallee usage`: what accounts and buckets hold in the object store.

use crate::Client;
use crate::client::encode;
use crate::commands::{rows, say, text};
use anyhow::Result;
use serde_json::Value;

/// `mallee usage`.
#[derive(Debug, Clone, clap::Args)]
pub struct UsageArgs {
    /// A bucket: what it holds of each storage class.
    #[arg(conflicts_with_all = ["account", "buckets"])]
    pub bucket: Option<String>,
    /// The buckets of this account, by its number or name.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// The buckets of all accounts.
    #[arg(long, conflicts_with = "account")]
    pub buckets: bool,
    /// Print the raw answers, one a line: a page each.
    #[arg(long)]
    pub json: bool,
}

/// The columns that all rows have.
const COLUMNS: [(&str, &str); 5] = [
    ("OBJECTS", "objects"),
    ("BYTES", "bytes"),
    ("VERSIONS", "versions"),
    ("VERSION BYTES", "version_bytes"),
    ("PART BYTES", "part_bytes"),
];

/// Prints what accounts hold; of an account, or of all, what the buckets hold; of a bucket, what it holds of each class.
///
/// # Errors
/// When the cloud does not answer, or there is no such account or bucket.
pub async fn usage(client: &Client, args: &UsageArgs) -> Result<()> {
    if let Some(bucket) = &args.bucket {
        let answer = client.get(&format!("/mallee/v1/usage/{}", encode(bucket))).await?;
        print(&answer, args.json, &Table { rows: "classes", names: &[("CLASS", "class", 20)], head: true });
        return Ok(());
    }
    let (path, table) = if args.buckets || args.account.is_some() {
        let names: &[Name] = &[("ACCOUNT", "account", 12), ("BUCKET", "bucket", 40)];
        ("/mallee/v1/usage?by=bucket", Table { rows: "buckets", names, head: true })
    } else {
        let names: &[Name] = &[("ACCOUNT", "account", 12), ("NAME", "account_name", 30), ("BUCKETS", "buckets", 8)];
        ("/mallee/v1/usage?by=account", Table { rows: "accounts", names, head: true })
    };
    let account = args.account.as_deref().map(|account| format!("&account={}", encode(account))).unwrap_or_default();
    let (mut after, mut head) = (String::new(), true);
    loop {
        let answer = client.get(&format!("{path}{account}&after={}", encode(&after))).await?;
        print(&answer, args.json, &Table { head, ..table });
        match answer["next"].as_str() {
            Some(next) if *next != after => after = next.to_owned(),
            _ => return Ok(()),
        }
        head = false;
    }
}

/// Title, key and width of a column that names what a row is about.
type Name = (&'static str, &'static str, usize);

#[derive(Clone, Copy)]
struct Table {
    /// Where the answer has its rows.
    rows: &'static str,
    names: &'static [Name],
    /// Whether the titles come first.
    head: bool,
}

fn print(answer: &Value, json: bool, table: &Table) {
    if json {
        return say(answer);
    }
    let line = |name: &dyn Fn(&Name) -> String, count: &dyn Fn(&str, &str) -> String| {
        let names = table.names.iter().map(|column| format!("{:<1$}", name(column), column.2));
        let counts = COLUMNS.iter().map(|(title, key)| format!("{:>16}", count(title, key)));
        names.chain(counts).collect::<Vec<_>>().join(" ")
    };
    if table.head {
        say(line(&|(title, ..)| (*title).to_owned(), &|title, _| title.to_owned()));
    }
    for row in rows(answer, table.rows) {
        let name = |(_, key, _): &Name| row[*key].as_u64().map_or_else(|| text(row, key).to_owned(), |n| n.to_string());
        say(line(&name, &|_, key| row[key].as_u64().unwrap_or_default().to_string()));
    }
}

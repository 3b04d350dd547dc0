//! `mallee user`.

use crate::Client;
use crate::commands::{say, text};
use anyhow::Result;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

/// `mallee user`.
#[derive(Debug, Clone, clap::Args)]
pub struct UserArgs {
    /// The name of the account; it is made unless there is one.
    pub account: String,
    /// The user (default: the account's administrator); it is made unless there is one, and may nothing by itself.
    #[arg(long)]
    pub user: Option<String>,
    /// The id of an access key that the user has.
    #[arg(long, value_name = "ID", requires = "secret_key")]
    pub access_key: Option<String>,
    /// Its secret.
    #[arg(long, value_name = "SECRET", requires = "access_key", env = "MALLEE_USER_SECRET", hide_env_values = true)]
    pub secret_key: Option<SecretString>,
    /// The account's canonical id in S3; before it first uses S3.
    #[arg(long, value_name = "ID")]
    pub canonical_id: Option<String>,
    /// The account's display name in S3 (default: its name).
    #[arg(long, value_name = "NAME", requires = "canonical_id")]
    pub display_name: Option<String>,
    /// The account's e-mail address in S3.
    #[arg(long, value_name = "ADDRESS", requires = "canonical_id")]
    pub email: Option<String>,
}

/// Makes a user known who has keys and names already, and prints the account's number.
///
/// # Errors
/// When something is another's.
pub async fn user(client: &Client, args: &UserArgs) -> Result<()> {
    // The audit trail knows secrets by AWS's name of them.
    let body = json!({
        "account": args.account,
        "user": args.user,
        "access_key_id": args.access_key,
        "secretAccessKey": args.secret_key.as_ref().map(|secret| secret.expose_secret()),
        "canonical_id": args.canonical_id,
        "display_name": args.display_name,
        "email": args.email,
    });
    let answer = client.post("/mallee/v1/users", &body).await?;
    say(format_args!("{} {}", text(&answer, "account"), text(&answer, "user")));
    Ok(())
}

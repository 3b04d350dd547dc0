//! `mallee spot-price`.

use crate::Client;
use crate::commands::{rows, say, text};
use anyhow::Result;
use serde_json::json;

/// `mallee spot-price [TYPE PRICE]`.
#[derive(Debug, Clone, clap::Args)]
pub struct SpotPriceArgs {
    /// A type whose price is to be set.
    #[arg(requires = "price")]
    pub instance_type: Option<String>,
    /// US dollars an hour from now on, for example 0.0042; 0: nothing.
    pub price: Option<String>,
}

/// Sets a type's price; without one, prints those of all types that cost something.
///
/// # Errors
/// When the type or the price is none.
pub async fn spot_price(client: &Client, args: &SpotPriceArgs) -> Result<()> {
    if let (Some(instance_type), Some(price)) = (&args.instance_type, &args.price) {
        let body = json!({ "instance_type": instance_type, "price": price });
        let answer = client.post("/mallee/v1/spot-prices", &body).await?;
        say(format_args!("{} {}", text(&answer, "instance_type"), text(&answer, "price")));
        return Ok(());
    }
    let answer = client.get("/mallee/v1/spot-prices").await?;
    for row in rows(&answer, "prices").filter(|row| text(row, "price").parse::<f64>().is_ok_and(|price| price > 0.0)) {
        say(format_args!("{:<16} {}", text(row, "instance_type"), text(row, "price")));
    }
    Ok(())
}

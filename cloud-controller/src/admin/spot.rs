//! `mallee spot-price`: what an hour of a spot instance costs, by type.

use mallee_app::Cloud;
use mallee_app::spot::Price;
use mallee_awswire::ApiError;
use serde_json::{Value, json};

/// Every type's price of now.
pub(super) async fn prices(cloud: &Cloud) -> Result<Value, ApiError> {
    let now_ms = cloud.clock().now_ms();
    let points = cloud.spot_prices(&[], now_ms, now_ms).await?;
    let rows = points.iter().map(|point| {
        json!({ "instance_type": point.instance_type, "price": point.price.to_string(), "since_ms": point.from_ms })
    });
    Ok(json!({ "prices": rows.collect::<Vec<_>>() }))
}

/// Sets one from now on.
pub(super) async fn set(cloud: &Cloud, body: &Value) -> Result<Value, ApiError> {
    let text = |key: &'static str| body[key].as_str().ok_or_else(|| ApiError::missing_parameter(key));
    let (name, given) = (text("instance_type")?, text("price")?);
    let price: Price = given
        .parse()
        .map_err(|error| ApiError::invalid_value("price", &mallee_awswire::texts::clip(given), &format!("{error}.")))?;
    cloud.set_spot_price(name, price).await?;
    Ok(json!({ "instance_type": name, "price": price.to_string() }))
}

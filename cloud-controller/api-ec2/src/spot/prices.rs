//! DescribeSpotPriceHistory.

use super::describe::PRODUCT;
use super::market::stored;
use crate::Ec2Api;
use crate::common::{dry_run, filters, page, time, time_text, values_of};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{DescribeSpotPriceHistoryRequest, DescribeSpotPriceHistoryResult, SpotPrice};

/// What DescribeSpotPriceHistory filters by.
const FILTERS: [&str; 6] =
    ["availability-zone", "availability-zone-id", "instance-type", "product-description", "spot-price", "timestamp"];
/// How far back prices are told, in milliseconds (EC2: 90 days).
const HISTORY_MS: i64 = 90 * 24 * 3600 * 1000;
/// What the one product is called by those who ask for it.
const PRODUCTS: [&str; 2] = [PRODUCT, "Linux/UNIX (Amazon VPC)"];
/// Types one request may name.
const TYPES_MAX: usize = 1000;

impl Filterable for SpotPrice {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "availability-zone" => values_of(&self.availability_zone),
            "availability-zone-id" => values_of(&self.availability_zone_id),
            "instance-type" => values_of(&self.instance_type),
            "product-description" => values_of(&self.product_description),
            "spot-price" => values_of(&self.spot_price),
            "timestamp" => self.timestamp.map(|at| time_text(stored(at))).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// By type and zone, the newest first.
fn key(price: &SpotPrice) -> String {
    let age = i64::MAX - price.timestamp.map_or(0, stored);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{} {} {age:020}", text(&price.instance_type), text(&price.availability_zone))
}

impl Ec2Api {
    pub(crate) async fn describe_spot_price_history(
        &self,
        _: &OpContext,
        r: DescribeSpotPriceHistoryRequest,
    ) -> Result<DescribeSpotPriceHistoryResult, ApiError> {
        let DescribeSpotPriceHistoryRequest {
            availability_zone,
            availability_zone_id,
            dry_run: dry,
            end_time,
            filters: wanted,
            instance_types,
            max_results,
            next_token,
            product_descriptions,
            start_time,
        } = r;
        let filters = filters(&wanted, &FILTERS)?;
        let page = page("DescribeSpotPriceHistory", max_results, next_token.as_deref(), 1..=1000, &[])?;
        if availability_zone.is_some() && availability_zone_id.is_some() {
            return Err(ApiError::invalid_combination(
                "The parameter AvailabilityZoneId cannot be used with the parameter AvailabilityZone",
            ));
        }
        if instance_types.len() > TYPES_MAX {
            let text = format!("At most {TYPES_MAX} instance types can be given in one request.");
            return Err(Code::InvalidParameterValue.message(text));
        }
        let (look, now_ms) = (self.look(), self.cloud.clock().now_ms());
        let end_ms = end_time.map_or(now_ms, stored).min(now_ms);
        let start_ms = start_time.map_or(i64::MIN, stored).max(now_ms - HISTORY_MS);
        if start_time.map_or(i64::MIN, stored) > end_time.map_or(i64::MAX, stored) {
            return Err(Code::InvalidParameterValue.message("The start time must not be later than the end time."));
        }
        dry_run(dry)?;
        let asked = product_descriptions.is_empty()
            || product_descriptions.iter().any(|product| PRODUCTS.contains(&product.as_str()));
        // A start in the future asks for what holds then: what holds now, as far as is known.
        let points = self.cloud.spot_prices(&instance_types, start_ms.min(end_ms), end_ms).await?;
        let zones = look.zones.iter().filter(|zone| {
            availability_zone.as_ref().is_none_or(|name| name == zone.as_str())
                && availability_zone_id.as_ref().is_none_or(|id| look.zone_id(zone).as_ref() == Some(id))
        });
        let mut prices: Vec<SpotPrice> = Vec::new();
        for zone in zones.filter(|_| asked) {
            prices.extend(points.iter().map(|point| SpotPrice {
                availability_zone: Some(zone.to_string()),
                availability_zone_id: look.zone_id(zone),
                instance_type: Some(point.instance_type.clone()),
                product_description: Some(PRODUCT.to_owned()),
                spot_price: Some(point.price.to_string()),
                timestamp: time(point.from_ms),
            }));
        }
        prices.retain(|price| filters.accept(price));
        prices.sort_by_cached_key(key);
        let (spot_price_history, next_token) = page.cut(prices, key);
        Ok(DescribeSpotPriceHistoryResult { next_token, spot_price_history })
    }
}

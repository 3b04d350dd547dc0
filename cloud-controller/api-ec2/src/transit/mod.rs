//! Transit gateways, what is attached to them, and their tables.

mod attachments;
mod gateways;
mod routes;
mod tables;

use crate::common::choice;
use mallee_awswire::ApiError;

/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;
/// What is attached.
const VPC: &str = "vpc";

const SWITCH: [(&str, bool); 2] = [("enable", true), ("disable", false)];

/// A switch of the options: `enable` or `disable`.
fn switch(name: &str, given: Option<&str>) -> Result<Option<bool>, ApiError> {
    choice(name, given, &SWITCH)
}

const fn word(on: bool) -> &'static str {
    if on { "enable" } else { "disable" }
}

/// What this cloud cannot do may be switched off only.
fn off(name: &str, given: Option<&str>) -> Result<(), ApiError> {
    match switch(name, given)? {
        Some(true) => Err(ApiError::unsupported_parameter(name)),
        _ => Ok(()),
    }
}

fn required(name: &str, given: Option<String>) -> Result<String, ApiError> {
    given.ok_or_else(|| ApiError::missing_parameter(name))
}

fn attachment_id(given: Option<String>) -> Result<String, ApiError> {
    required("TransitGatewayAttachmentId", given)
}

fn table_id(given: Option<String>) -> Result<String, ApiError> {
    required("TransitGatewayRouteTableId", given)
}

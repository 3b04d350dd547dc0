//! How spot instances are asked for: what launches, templates and requests have in common.

use crate::common::{choice, only, refuse};
use mallee_app::spot::{Price, SpotOptions};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{InstanceMarketOptionsRequest, SpotMarketOptions};
use mallee_store::{InterruptionBehavior, ShutdownBehavior, SpotKind};
use time::OffsetDateTime;

pub(crate) const KINDS: [(&str, SpotKind); 2] = [("one-time", SpotKind::OneTime), ("persistent", SpotKind::Persistent)];
pub(crate) const BEHAVIORS: [(&str, InterruptionBehavior); 2] =
    [("terminate", InterruptionBehavior::Terminate), ("stop", InterruptionBehavior::Stop)];

/// The word of a kind or behaviour.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> Option<String> {
    words.iter().find(|(_, meaning)| meaning == value).map(|(word, _)| (*word).to_owned())
}

/// A price that a request names: above nothing.
pub(super) fn price(parameter: &str, text: Option<&str>) -> Result<Option<Price>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<Price>() {
        Ok(price) if !price.is_zero() => Ok(Some(price)),
        Ok(_) => Err(ApiError::invalid_value(parameter, text, "A price is above zero.")),
        Err(error) => Err(ApiError::invalid_value(parameter, &mallee_awswire::texts::clip(text), &format!("{error}."))),
    }
}

/// A time of a request, as it is stored.
pub(super) fn stored(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// What an interruption is to do: an instance that is only stopped needs a request that lives on.
pub(super) fn behavior(parameter: &str, text: Option<&str>, kind: SpotKind) -> Result<InterruptionBehavior, ApiError> {
    // Hibernation needs the guest's memory on a disk that outlives it.
    if text == Some("hibernate") {
        only(parameter, text, &["terminate", "stop"])?;
    }
    let behavior = choice(parameter, text, &BEHAVIORS)?.unwrap_or_default();
    if behavior == InterruptionBehavior::Stop && kind == SpotKind::OneTime {
        return Err(ApiError::invalid_combination(
            "The interruption behavior 'stop' can only be used with a persistent Spot Instance request.",
        ));
    }
    Ok(behavior)
}

/// The market options of a launch; `None`: instances that are not interrupted.
pub(crate) fn options(options: Option<InstanceMarketOptionsRequest>) -> Result<Option<SpotOptions>, ApiError> {
    let Some(InstanceMarketOptionsRequest { market_type, spot_options }) = options else { return Ok(None) };
    let market = market_type.ok_or_else(|| ApiError::missing_parameter("InstanceMarketOptions.MarketType"))?;
    only("InstanceMarketOptions.MarketType", Some(&market), &["spot"])?;
    let SpotMarketOptions {
        block_duration_minutes,
        instance_interruption_behavior,
        max_price,
        spot_instance_type,
        valid_until,
    } = spot_options.unwrap_or_default();
    let name = |field: &str| format!("InstanceMarketOptions.SpotOptions.{field}");
    refuse(&name("BlockDurationMinutes"), block_duration_minutes.is_some())?;
    let kind = choice(&name("SpotInstanceType"), spot_instance_type.as_deref(), &KINDS)?.unwrap_or_default();
    let parameter = name("InstanceInterruptionBehavior");
    let behavior = behavior(&parameter, instance_interruption_behavior.as_deref(), kind)?;
    if kind == SpotKind::Persistent && behavior == InterruptionBehavior::Terminate {
        return Err(ApiError::invalid_combination(
            "For RunInstances, persistent Spot Instance requests are only supported when InstanceInterruptionBehavior \
             is set to either hibernate or stop.",
        ));
    }
    if valid_until.is_some() && kind == SpotKind::OneTime {
        return Err(ApiError::invalid_combination(
            "ValidUntil is not supported for a one-time Spot Instance request: it is fulfilled at once or not at all.",
        ));
    }
    Ok(Some(SpotOptions {
        max_price: price(&name("MaxPrice"), max_price.as_deref())?,
        kind,
        behavior,
        valid_until_ms: valid_until.map(stored),
        tags: Vec::new(),
        fulfils: None,
    }))
}

/// What a guest's own power-off means. A spot instance of a one-time request cannot be stopped.
pub(crate) fn shutdown(
    spot: Option<&SpotOptions>,
    asked: Option<ShutdownBehavior>,
) -> Result<ShutdownBehavior, ApiError> {
    let one_time = spot.is_some_and(|spot| spot.kind == SpotKind::OneTime);
    match asked {
        Some(ShutdownBehavior::Stop) if one_time => Err(ApiError::invalid_combination(
            "InstanceInitiatedShutdownBehavior 'stop' can not be used with a one-time Spot Instance request.",
        )),
        None if one_time => Ok(ShutdownBehavior::Terminate),
        asked => Ok(asked.unwrap_or_default()),
    }
}

/// A launch that tags requests it does not make.
pub(crate) fn tags_without_spot() -> ApiError {
    Code::InvalidParameterValue
        .message(format!("'{}' can only be tagged by a launch of Spot Instances.", mallee_app::spot::TAG_KIND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(spot_options: SpotMarketOptions) -> Result<Option<SpotOptions>, ApiError> {
        options(Some(InstanceMarketOptionsRequest {
            market_type: Some("spot".into()),
            spot_options: Some(spot_options),
        }))
    }

    #[test]
    fn a_launch_says_how_it_gives_way() {
        assert_eq!(options(None).unwrap(), None);
        let plain = spot(SpotMarketOptions::default()).unwrap().unwrap();
        assert_eq!(plain, SpotOptions::default());
        let stays = SpotMarketOptions {
            instance_interruption_behavior: Some("stop".into()),
            max_price: Some("0.0045".into()),
            spot_instance_type: Some("persistent".into()),
            valid_until: Some(OffsetDateTime::UNIX_EPOCH),
            ..Default::default()
        };
        let got = spot(stays).unwrap().unwrap();
        assert_eq!(
            (got.kind, got.behavior, got.valid_until_ms),
            (SpotKind::Persistent, InterruptionBehavior::Stop, Some(0))
        );
        assert_eq!(got.max_price.unwrap().to_string(), "0.004500");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let refused = |o: SpotMarketOptions| spot(o).unwrap_err();
        let hours = SpotMarketOptions { block_duration_minutes: Some(60), ..Default::default() };
        assert!(refused(hours).message().contains("BlockDurationMinutes"));
        let hibernate =
            SpotMarketOptions { instance_interruption_behavior: Some("hibernate".into()), ..Default::default() };
        assert!(refused(hibernate).message().contains("hibernate"));
        let stop = SpotMarketOptions { instance_interruption_behavior: Some("stop".into()), ..Default::default() };
        assert_eq!(refused(stop).code(), Code::InvalidParameterCombination);
        let ends = SpotMarketOptions { spot_instance_type: Some("persistent".into()), ..Default::default() };
        assert_eq!(refused(ends).code(), Code::InvalidParameterCombination, "as RunInstances of EC2");
        let until = SpotMarketOptions { valid_until: Some(OffsetDateTime::UNIX_EPOCH), ..Default::default() };
        assert_eq!(refused(until).code(), Code::InvalidParameterCombination);
        for text in ["0", "-1", "cheap"] {
            let price = SpotMarketOptions { max_price: Some(text.into()), ..Default::default() };
            assert_eq!(refused(price).code(), Code::InvalidParameterValue, "{text}");
        }
        let block = InstanceMarketOptionsRequest { market_type: Some("capacity-block".into()), spot_options: None };
        assert!(options(Some(block)).unwrap_err().message().contains("capacity-block"));
    }

    #[test]
    fn a_one_time_instance_ends_when_its_guest_does() {
        let once = SpotOptions::default();
        let stays = SpotOptions { kind: SpotKind::Persistent, ..SpotOptions::default() };
        assert_eq!(shutdown(Some(&once), None).unwrap(), ShutdownBehavior::Terminate);
        assert!(shutdown(Some(&once), Some(ShutdownBehavior::Stop)).is_err());
        assert_eq!(shutdown(Some(&stays), None).unwrap(), ShutdownBehavior::Stop);
        assert_eq!(shutdown(None, None).unwrap(), ShutdownBehavior::Stop);
    }
}

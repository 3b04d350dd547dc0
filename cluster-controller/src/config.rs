//! What an operator can set (section `[cluster]` of the configuration); every default is fit for production.

use mallee_cluster_core::Settings;
use mallee_scheduler::Strategy;
use mallee_types::ZoneName;
use serde::Deserialize;
use std::time::Duration;

/// Configuration of a cluster controller.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// The availability zone it runs, for example `local-1a`.
    pub zone: String,
    /// How nodes are chosen: `spread` (the emptiest first, the default) or `pack` (the fullest first).
    #[serde(default = "default_strategy")]
    pub strategy: String,
    /// Milliseconds between signs of life of a node.
    #[serde(default = "default_heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Milliseconds of silence after which a node is offline.
    #[serde(default = "default_offline_after_ms")]
    pub offline_after_ms: u64,
    /// Milliseconds a node keeps what no intent names before it sweeps it.
    #[serde(default = "default_sweep_grace_ms")]
    pub sweep_grace_ms: u64,
    /// Milliseconds that nodes which hold instances have to report after a restart, before placing begins without
    /// them.
    #[serde(default = "default_warm_up_ms")]
    pub warm_up_ms: u64,
}

fn default_strategy() -> String {
    Strategy::default().name().to_owned()
}
const fn default_heartbeat_ms() -> u64 {
    2_000
}
const fn default_offline_after_ms() -> u64 {
    10_000
}
const fn default_sweep_grace_ms() -> u64 {
    60_000
}
const fn default_warm_up_ms() -> u64 {
    15_000
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The zone's name is none.
    #[error("cluster.zone: {0:?} is no zone name: use up to 32 lower-case letters, digits, dashes and dots")]
    Zone(String),
    /// The strategy is not known.
    #[error("cluster.strategy: {0:?} is not known: use \"spread\" or \"pack\"")]
    Strategy(String),
    /// A node would be offline between two signs of life.
    #[error(
        "cluster.offline_after_ms: {offline_after_ms} must be at least twice cluster.heartbeat_ms ({heartbeat_ms}), which must be above zero"
    )]
    Heartbeat {
        /// As configured.
        heartbeat_ms: u64,
        /// As configured.
        offline_after_ms: u64,
    },
}

impl ClusterConfig {
    /// The defaults for a zone.
    #[must_use]
    pub fn for_zone(zone: impl Into<String>) -> Self {
        Self {
            zone: zone.into(),
            strategy: default_strategy(),
            heartbeat_ms: default_heartbeat_ms(),
            offline_after_ms: default_offline_after_ms(),
            sweep_grace_ms: default_sweep_grace_ms(),
            warm_up_ms: default_warm_up_ms(),
        }
    }

    /// The settings of the core.
    ///
    /// # Errors
    /// [`ConfigError`] naming the option and what it should be.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let zone: ZoneName = self.zone.parse().map_err(|_| ConfigError::Zone(self.zone.clone()))?;
        let strategy =
            Strategy::from_name(&self.strategy).ok_or_else(|| ConfigError::Strategy(self.strategy.clone()))?;
        let (heartbeat_ms, offline_after_ms) = (self.heartbeat_ms, self.offline_after_ms);
        if heartbeat_ms == 0 || offline_after_ms < heartbeat_ms.saturating_mul(2) {
            return Err(ConfigError::Heartbeat { heartbeat_ms, offline_after_ms });
        }
        Ok(Settings {
            zone,
            strategy,
            heartbeat: Duration::from_millis(heartbeat_ms),
            offline_after: Duration::from_millis(offline_after_ms),
            sweep_grace: Duration::from_millis(self.sweep_grace_ms),
            warm_up: Duration::from_millis(self.warm_up_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_all_that_is_needed_and_mistakes_are_named() {
        let config: ClusterConfig = toml::from_str("zone = 'local-1a'").unwrap();
        assert_eq!(config, ClusterConfig::for_zone("local-1a"));
        assert!(config.settings().is_ok());
        let error = |text: &str| toml::from_str::<ClusterConfig>(text).unwrap().settings().unwrap_err();
        assert!(matches!(error("zone = 'Local 1'"), ConfigError::Zone(_)));
        assert!(matches!(error("zone = 'a'\nstrategy = 'random'"), ConfigError::Strategy(_)));
        assert!(matches!(error("zone = 'a'\nheartbeat_ms = 6000"), ConfigError::Heartbeat { .. }));
        assert!(toml::from_str::<ClusterConfig>("zone = 'a'\nzones = 2").is_err());
    }
}

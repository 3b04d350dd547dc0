//! Is Walrus there? Looked at now and then, and whenever somebody asks for the state of the services.

use crate::Cloud;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

/// What was seen of Walrus last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalrusState {
    /// What is wrong with it; `None`: it answers.
    pub trouble: Option<String>,
    /// Since when it has answered, or not, in Unix milliseconds, as far as this replica has seen; 0: not looked yet.
    pub since_ms: i64,
}

/// The state as it was seen last, shared by those who look.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<WalrusState>);

impl Watched {
    fn saw(&self, trouble: Option<String>, now_ms: i64) -> WalrusState {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since_ms == 0 || state.trouble.is_some() != trouble.is_some() {
            state.since_ms = now_ms;
        }
        state.trouble = trouble;
        state.clone()
    }
}

impl Cloud {
    /// Asks Walrus for a sign of life.
    pub async fn look_at_walrus(&self) -> WalrusState {
        let trouble = self.image_service().reach().await.err().map(|error| error.message);
        self.walrus_watched().saw(trouble, self.clock().now_ms())
    }
}

/// One pass of the background task.
///
/// # Errors
/// None.
pub async fn watch_walrus(cloud: &Cloud) -> Result<(), Infallible> {
    cloud.look_at_walrus().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_changes_with_the_state_only() {
        let watched = Watched::default();
        let away = |why: &str| Some(why.to_owned());
        assert_eq!(watched.saw(away("a"), 10).since_ms, 10);
        let still = watched.saw(away("b"), 20);
        assert_eq!((still.since_ms, still.trouble), (10, away("b")));
        assert_eq!(watched.saw(None, 30), WalrusState { trouble: None, since_ms: 30 });
        assert_eq!(watched.saw(None, 40).since_ms, 30);
        assert_eq!(watched.saw(away("c"), 50).since_ms, 50);
    }
}

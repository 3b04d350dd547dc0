//! What can be done with a key in which state. Pure.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>

use mallee_awswire::{ApiError, Code};
use mallee_store::KmsState;

/// What an operation needs of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it looks, or changes what a key has in every state.
    Any,
    /// That the key is not about to go.
    Alive,
    /// That it is enabled.
    Enabled,
    /// That it is about to go.
    Going,
}

/// Whether a key in this state, named so, can be used.
///
/// # Errors
/// `KMSInvalidStateException`, `DisabledException`.
pub(crate) fn check(needs: Needs, state: KmsState, arn: &str) -> Result<(), ApiError> {
    match (needs, state) {
        (Needs::Any, _)
        | (Needs::Alive, KmsState::Enabled | KmsState::Disabled)
        | (Needs::Enabled, KmsState::Enabled)
        | (Needs::Going, KmsState::PendingDeletion) => Ok(()),
        (Needs::Alive | Needs::Enabled, KmsState::PendingDeletion) => Err(Code::KMSInvalidStateException.with(&[arn])),
        (Needs::Enabled, KmsState::Disabled) => Err(Code::DisabledException.with(&[arn])),
        (Needs::Going, KmsState::Enabled | KmsState::Disabled) => {
            Err(Code::KMSInvalidStateException.message(format!("{arn} is not pending deletion.")))
        }
    }
}

/// The word of KeyMetadata.
pub(crate) const fn word(state: KmsState) -> &'static str {
    match state {
        KmsState::Enabled => "Enabled",
        KmsState::Disabled => "Disabled",
        KmsState::PendingDeletion => "PendingDeletion",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KmsState::{Disabled, Enabled, PendingDeletion};

    #[test]
    fn the_table_of_states() {
        let answer = |needs, state| check(needs, state, "k").err().map(|e| e.code());
        let (invalid, disabled) = (Some(Code::KMSInvalidStateException), Some(Code::DisabledException));
        for (needs, answers) in [
            (Needs::Any, [None, None, None]),
            (Needs::Alive, [None, None, invalid]),
            (Needs::Enabled, [None, disabled, invalid]),
            (Needs::Going, [invalid, invalid, None]),
        ] {
            assert_eq!([Enabled, Disabled, PendingDeletion].map(|state| answer(needs, state)), answers, "{needs:?}");
        }
    }
}

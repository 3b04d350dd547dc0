//! The three numbers by which a late or repeated message is told from a current one (DESIGN §2).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);
        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self { Self(self.0 + 1) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    )*};
}

counters! {
    /// Grows with every change of an object's desired state; a receiver keeps the highest.
    Generation;
    /// Which life of an instance: a node runs at most one domain per instance, of the highest it knows.
    Incarnation;
    /// A controller's term of leadership; orders of an older term are refused.
    Epoch;
}

//! Which node gets an instance: filters that refuse, then an ordered score among the nodes that pass. Pure.
//!
//! A decision keeps, for every node up to a bound, which filter refused it and why, or how it scored, so that
//! `mallee explain` can say why an instance is where it is, or nowhere. Text is made only for the rows that are
//! kept: a scan over ten thousand nodes allocates for the few it talks about.

mod decide;
mod filter;
mod group;
mod node;
mod preempt;
mod score;
mod sharing;
mod slots;

pub use decide::{Decision, PASSED_ROWS_MAX, Planned, ROWS_MAX, Row, Verdict, decide, decide_many};
pub use filter::{FILTERS, Filter};
pub use group::{Group, GroupStrategy};
pub use node::{ImageKey, Node, NodeState, Request, Resources};
pub use preempt::{PREEMPTED_FOR_MAX, Preemptible, make_room};
pub use score::{Score, Strategy};
pub use sharing::{Guests, Sharing};
pub use slots::{NodeSlots, Slots};

#[cfg(test)]
mod preempt_tests;
#[cfg(test)]
mod tests;

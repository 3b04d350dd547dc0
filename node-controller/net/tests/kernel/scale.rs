//! What changes cost where there is much.

use crate::crowd::{one_of_ten_thousand, start};
use crate::lab::Lab;

/// A change of one is at least so many times cheaper than the whole way. Of what is built for users it is twice as many
/// (`cargo xtask bench --only network`).
const CHEAPER: u32 = 5;
const TIMES: u32 = 20;

/// Its CPU is that of the process, which `cargo nextest` gives each test for itself.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_thousand_costs_what_changed() {
    let mut lab = Lab::new();
    let (alone, whole) = one_of_ten_thousand(&mut lab, TIMES).await;
    assert!(lab.faults.passed().contains(&"net.apply.delta.done".to_owned()));
    assert!(alone.cpu * CHEAPER <= whole.cpu, "{alone:?} is not much less than {whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_among_many_instances_loses_no_packet() {
    for (vpcs, instances) in [(1, 200), (20, 10)] {
        let (took, sent, lost) = start(&mut Lab::new(), vpcs, instances).await;
        assert!(sent > 10 && lost.is_empty(), "{vpcs} VPCs: {lost:?} of {sent} in {took:?}");
    }
}

use crate::setup::{Lab, eventually, id, intent};
use mallee_proto::v1::{DomainPhase as Phase, RunIntent as Intent};
use std::time::Duration;

#[tokio::test]
async fn what_nothing_names_goes_but_only_after_a_complete_list_and_the_grace() {
    let mut lab = Lab::started().await;
    for n in [1, 2] {
        lab.cluster.want(intent(n, 1, Intent::Run));
        lab.phase(&id(n), 1, Phase::Running).await;
    }
    // The cloud lost instance 1; the ledger of the node still holds it. Then the ledger loses it as well.
    for ledger_too in [false, true] {
        lab.kill().await;
        lab.cluster.with(|known| {
            known.intents.remove(&id(1));
            known.says_end = false;
            known.observed.clear();
        });
        lab.start().await;
        lab.phase(&id(2), 1, Phase::Running).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(lab.host.running().len(), 2, "swept without a complete list");
        lab.cluster.with(|known| known.says_end = true);
        lab.cluster.hang_up();
        let began = tokio::time::Instant::now();
        eventually("it is swept", || {
            let left = lab.host.leftovers();
            if left.iter().any(|name| name.ends_with(&format!(" {}", id(1)))) {
                Err(format!("{left:?}"))
            } else {
                Ok(())
            }
        })
        .await;
        assert!(began.elapsed() >= Duration::from_millis(100), "the grace");
        eventually("its record is gone", || {
            let names = lab.host.ledger_disk().names();
            if names.contains(&format!("instances/{}", id(1))) { Err(format!("{names:?}")) } else { Ok(()) }
        })
        .await;
        assert_eq!(lab.host.running(), [id(2).parse().unwrap()], "the other one is not touched");
        if !ledger_too {
            lab.cluster.want(intent(1, 2, Intent::Run));
            lab.phase(&id(1), 2, Phase::Running).await;
            lab.kill().await;
            lab.host.ledger_disk().lose(&format!("instances/{}", id(1)));
            lab.start().await;
        }
    }
}

#[tokio::test]
async fn a_rotten_record_is_told_and_healed_by_the_cluster() {
    let mut lab = Lab::started().await;
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&id(1), 1, Phase::Running).await;
    lab.kill().await;
    lab.host.ledger_disk().rot(&format!("instances/{}", id(1)));
    lab.cluster.with(|known| known.observed.clear());
    lab.start().await;
    lab.phase(&id(1), 1, Phase::Running).await;
    let warnings = lab.cluster.with(|known| known.hellos.last().unwrap().warnings.clone());
    assert!(warnings.iter().any(|w| w.contains(&id(1))), "{warnings:?}");
    assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().boots, 1, "the guest ran through it all");
}

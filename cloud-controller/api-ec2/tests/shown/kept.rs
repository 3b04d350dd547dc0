//! Descriptions that are kept beside descriptions that are made anew, under changes of every kind, on both databases
//! and (PostgreSQL) from two replicas: never a byte of difference.

use crate::world::{World, cloud};
use mallee_api_ec2::Ec2Api;
use mallee_runtime::Rng;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    a_kept_description_is_the_one_that_would_be_made,
    what_a_transaction_undid_is_not_shown
);

/// Changes made in one run.
const STEPS: u64 = 400;
/// Instances and interfaces that they are made to.
const INSTANCES: u64 = 12;
const INTERFACES: u64 = 16;

impl World {
    /// One change of something, chosen by chance; some choices find nothing to change.
    async fn change(&self, tx: &mut Tx, rng: &Rng, step: u64) {
        let n = rng.below(INSTANCES);
        let id = InstanceId::from_random(u128::from(n));
        let m = rng.below(INTERFACES);
        let eni = InterfaceId::from_random(u128::from(m));
        let instance = instance_fetch(&mut *tx, &id).await.ok();
        let interface = interface_fetch(&mut *tx, &eni).await.ok();
        match (rng.below(10), instance, interface) {
            (_, None, _) => self.insert_instance(tx, &id, n).await,
            (_, Some(_), None) => self.insert_interface(tx, &eni, (!step.is_multiple_of(3)).then_some(id), m).await,
            (0, Some(mut row), _) => {
                row.state = if step.is_multiple_of(2) { InstanceState::Stopped } else { InstanceState::Running };
                row.doc.monitoring = step.is_multiple_of(3);
                instance_observe(tx, &row).await.unwrap();
            }
            (1, Some(mut row), _) => {
                row.transition_reason = format!("step {step}");
                instance_intent_update(tx, &row).await.unwrap();
            }
            (2, Some(mut row), _) if rng.below(3) == 0 => {
                // Attached interfaces go first, as a release has it.
                let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&id)), ..Default::default() };
                for interface in interface_list(&mut *tx, filter, 100).await.unwrap() {
                    tag_delete_of(tx, interface.id.as_str()).await.unwrap();
                    interface_delete(tx, &interface.id).await.unwrap();
                }
                (row.state, row.released, row.terminated_ms) = (InstanceState::Terminated, true, Some(1));
                instance_observe(tx, &row).await.unwrap();
            }
            (2 | 3, Some(_), _) => tag_put(tx, &[self.tag(id.to_string(), "instance", step)]).await.unwrap(),
            (4, _, Some(_)) => tag_put(tx, &[self.tag(eni.to_string(), "network-interface", step)]).await.unwrap(),
            (5, _, Some(_)) => tag_delete_of(tx, eni.as_str()).await.map(drop).unwrap(),
            (6, _, Some(_)) => {
                let groups: Vec<GroupId> = self.groups.iter().filter(|_| rng.below(2) == 0).cloned().collect();
                interface_groups_set(tx, &eni, &groups).await.unwrap();
            }
            (7, _, Some(row)) => {
                if public_address_release(tx, &eni).await.unwrap().is_none() {
                    let pool = self.cloud.config().public_pool;
                    public_address_take(tx, pool, &eni, &row.account_id).await.unwrap();
                }
            }
            (8, Some(instance), Some(row)) if !instance.released => {
                if !interface_detach(tx, &eni).await.unwrap() {
                    let attachment = AttachmentId::from_random(u128::from(step));
                    let index = u32::try_from(m).unwrap();
                    interface_attach(tx, &row.id, &id, &attachment, index, step.is_multiple_of(2)).await.unwrap();
                }
            }
            (_, _, Some(_)) => assert!(interface_delete(tx, &eni).await.unwrap()),
        }
    }
}

async fn a_kept_description_is_the_one_that_would_be_made(db: TestDb) {
    let seed = 7;
    let rng = Rng::seeded(seed);
    let world = World::new(db).await;
    let here = Ec2Api::new(world.cloud.clone());
    // On PostgreSQL every second look is another replica's, whose own cache hears of nothing.
    let other_store = if world.db.is_postgres() { world.db.open().await } else { world.store.clone() };
    let there = Ec2Api::new(cloud(&world.db, &other_store));
    let looks: [&[(&str, &str)]; 4] = [
        &[],
        &[("Filter.1.Name", "tag:k1"), ("Filter.1.Value.1", "*1*")],
        &[("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", "running")],
        &[("Filter.1.Name", "network-interface.group-name"), ("Filter.1.Value.1", "group 1")],
    ];
    let mut sizes = std::collections::BTreeSet::new();
    for step in 0..STEPS {
        let mut tx = world.store.write().await.unwrap();
        for _ in 0..=rng.below(3) {
            world.change(&mut tx, &rng, step).await;
        }
        if rng.below(8) == 0 {
            tx.rollback().await.unwrap();
        } else {
            tx.commit().await.unwrap();
        }
        let filters = looks[usize::try_from(rng.below(4)).unwrap()];
        let kept = world.describe(if step.is_multiple_of(2) { &here } else { &there }, filters).await;
        let anew = world.describe(&Ec2Api::new(world.cloud.clone()), filters).await;
        assert_eq!(kept, anew, "seed {seed}, step {step}, filters {filters:?}");
        sizes.insert(anew.len());
    }
    assert!(sizes.len() > 50, "the replies hardly ever changed: {sizes:?}");
}

async fn what_a_transaction_undid_is_not_shown(db: TestDb) {
    let world = World::new(db).await;
    let api = Ec2Api::new(world.cloud.clone());
    let id = InstanceId::from_random(1);
    let mut tx = world.store.write().await.unwrap();
    world.insert_instance(&mut tx, &id, 1).await;
    tx.commit().await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    tag_put(&mut tx, &[world.tag(id.to_string(), "instance", 1)]).await.unwrap();
    assert!(!world.describe(&api, &[]).await.contains("k1"), "not committed");
    tx.rollback().await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    tag_put(&mut tx, &[world.tag(id.to_string(), "instance", 2)]).await.unwrap();
    tx.commit().await.unwrap();
    let shown = world.describe(&api, &[]).await;
    assert!(shown.contains("k2") && !shown.contains("k1"), "{shown}");
}

//! Network cards that come and go while the domain runs.

use super::*;
use mallee_proto::v1::Port;

impl World {
    /// The instance is to have these ports, by a later order, and the view has them already.
    fn ports(&mut self, generation: u64, ports: &[u8]) {
        self.ports = ports.to_vec();
        self.order(with_ports(intent(generation, RUN), ports));
    }

    fn cards(&self) -> Vec<MacAddress> {
        let mut cards = self.domain.as_ref().unwrap().nics.clone();
        cards.sort();
        cards
    }
}

fn with_ports(mut intent: InstanceIntent, ports: &[u8]) -> InstanceIntent {
    let port = |n: &u8| Port { interface_id: format!("eni-{n}"), mac: mac(*n).to_string(), ..Default::default() };
    intent.spec.as_mut().unwrap().ports = ports.iter().map(port).collect();
    intent
}

fn macs(ports: &[u8]) -> Vec<MacAddress> {
    ports.iter().map(|n| mac(*n)).collect()
}

#[test]
fn a_card_comes_with_its_tap_before_it_is_plugged_and_goes_when_no_port_has_it() {
    use Effect as E;
    let mut world = World::launched();
    world.ports(2, &[1, 2]);
    assert_eq!(world.machine.observation().map_or(0, |seen| seen.ports_generation), 0);
    let seen = world.settle();
    assert_eq!(world.log, [E::Save, E::HotTaps, E::AttachCards, E::Observe, E::Plug]);
    assert_eq!((world.cards(), seen.ports_generation, seen.network_applied), (macs(&[1, 2]), 2, true));
    world.log.clear();
    world.ports(3, &[1]);
    let seen = world.settle();
    assert_eq!(world.log, [E::Save, E::DetachCards, E::Observe]);
    assert_eq!((world.cards(), seen.ports_generation, seen.phase()), (macs(&[1]), 3, DomainPhase::Running));
    // Both at once: the new one first.
    world.log.clear();
    world.ports(4, &[1, 3]);
    world.settle();
    world.ports(5, &[1, 2]);
    world.settle();
    assert_eq!(world.cards(), macs(&[1, 2]));
    let at = |effect| world.log.iter().rposition(|done| *done == effect);
    assert!(at(E::Plug) < at(E::DetachCards) && at(E::AttachCards) < at(E::Plug));
}

#[test]
fn cards_are_brought_to_the_ports_wherever_the_node_is_killed() {
    for (from, to) in [(&[1][..], &[1, 2, 3][..]), (&[1, 2, 3], &[1]), (&[1, 2], &[1, 3])] {
        for killed_after in 0..12 {
            let mut world = World::launched();
            world.ports(2, from);
            world.settle();
            world.ports(3, to);
            // Before the order is recorded it is as if it had not come: the cluster repeats it.
            for _ in 0..killed_after {
                world.step();
            }
            world.restart();
            world.ports(3, to);
            let seen = world.settle();
            assert_eq!(world.cards(), macs(to), "{from:?} to {to:?}, killed after {killed_after}");
            assert_eq!((seen.ports_generation, seen.phase(), world.resets), (3, DomainPhase::Running, 0));
        }
    }
}

#[test]
fn a_step_that_fails_is_done_again_and_the_guest_runs_on() {
    for effect in [Effect::HotTaps, Effect::AttachCards, Effect::DetachCards, Effect::Plug] {
        for class in [StepClass::Transient, StepClass::Scarce, StepClass::Permanent] {
            let mut world = World::launched();
            world.fail = vec![(effect, error(class)); 5];
            world.ports(2, &[1, 2]);
            world.settle();
            world.ports(3, &[1]);
            let seen = world.settle();
            assert_eq!((seen.phase(), seen.ports_generation), (DomainPhase::Running, 3), "{effect:?} {class:?}");
            assert_eq!(world.cards(), macs(&[1]));
        }
    }
}

#[test]
fn a_guest_that_keeps_a_card_keeps_nothing_else_waiting() {
    let mut world = World::launched();
    world.ports(2, &[1, 2]);
    world.settle();
    world.fail = vec![(Effect::DetachCards, error(StepClass::Transient)); 100];
    world.ports(3, &[1]);
    while world.fail.len() > 95 {
        assert!(world.step());
    }
    let seen = world.machine.observation().unwrap();
    assert_eq!((seen.phase(), seen.ports_generation), (DomainPhase::Running, 0), "not yet");
    assert_eq!((seen.cards_generation, seen.lingering), (3, vec![mac(2).to_string()]));
    assert!(seen.activity.contains("it broke"));
    world.ports(4, &[1, 3]);
    world.log.clear();
    while world.log.last() != Some(&Effect::DetachCards) {
        assert!(world.step());
    }
    assert!(world.cards().contains(&mac(3)), "the new card is there before the old one is asked for again");
    let seen = world.machine.observation().unwrap();
    assert_eq!((seen.cards_generation, seen.attached), (4, vec![view(1).interface_id, view(3).interface_id]));
    assert_eq!((seen.lingering, seen.network_applied), (vec![mac(2).to_string()], true));
    world.fail.clear();
    world.settle();
    assert_eq!(world.cards(), macs(&[1, 3]));
}

#[test]
fn a_domain_that_starts_has_all_its_cards() {
    // The ports change between the taps and the start, and between the start and the first instruction.
    for after in [Effect::CreateTaps, Effect::StartPaused, Effect::Plug] {
        let mut world = World::new();
        world.order(intent(1, RUN));
        while world.log.last() != Some(&after) {
            assert!(world.step());
        }
        world.ports(2, &[1, 2]);
        let seen = world.settle();
        assert_eq!(world.cards(), macs(&[1, 2]), "after {after:?}");
        assert!(!world.log.contains(&Effect::AttachCards), "after {after:?}: {:?}", world.log);
        assert_eq!((seen.phase(), seen.ports_generation), (DomainPhase::Running, 2));
    }
    // Changed while it is off: so it starts.
    let mut world = World::launched();
    world.order(intent(2, STOP));
    assert_eq!(world.settle().ports_generation, 2, "what is stopped has what it is told");
    world.ports(3, &[1, 2]);
    world.settle();
    assert_eq!(world.cards(), macs(&[1, 2]));
    assert!(!world.log.contains(&Effect::AttachCards));
}

/// What comes and is not there yet takes nothing from what is.
#[test]
fn a_card_that_cannot_be_had_takes_the_network_from_no_other() {
    // The order is there before the view has its port; then the port could not be applied.
    let mut world = World::launched();
    let ready = |world: &World| world.machine.observation().map(|seen| (seen.network_applied, seen.ports_generation));
    world.machine.order(Arc::new(with_ports(intent(2, RUN), &[1, 2])));
    world.machine.set_ports(Ports::Missing { why: "not yet".into(), applied: vec![view(1)] });
    while world.step() {}
    assert_eq!(ready(&world), Some((true, 0)));
    // The one it has changes in the view, and is still the one it has.
    let changed = PortView { public_ip: "203.0.113.9".into(), ..view(1) };
    world.machine.set_ports(Ports::Missing { why: "not yet".into(), applied: vec![changed] });
    assert_eq!(ready(&world), Some((true, 0)));
    // It cannot be applied itself: it is off the network, and says so.
    world.machine.set_ports(Ports::missing("it broke"));
    assert_eq!(ready(&world), Some((false, 0)));
    // The node controller dies; then the new card cannot be attached for ever. The old ones are plugged, and one that
    // nobody orders any more is taken out.
    let mut world = World::launched();
    world.ports(2, &[1, 2]);
    world.settle();
    world.restart();
    world.fail = vec![(Effect::AttachCards, error(StepClass::Permanent)); 1000];
    world.ports(3, &[1, 3]);
    world.log.clear();
    while world.fail.len() > 990 {
        assert!(world.step());
    }
    assert_eq!(ready(&world), Some((true, 0)));
    assert_eq!(world.cards(), macs(&[1]));
    world.fail.clear();
    assert_eq!((world.settle().ports_generation, world.cards()), (3, macs(&[1, 3])));
}

/// A tap that a card has is not made anew: that would cut the card off.
#[test]
fn after_a_card_was_given_the_domain_is_looked_at_until_it_is_seen() {
    let mut world = World::launched();
    world.ports(2, &[1, 2]);
    world.fail = vec![(Effect::Observe, error(StepClass::Transient)); 3];
    world.log.clear();
    assert_eq!(world.settle().ports_generation, 2);
    assert_eq!(world.log.iter().filter(|done| **done == Effect::HotTaps).count(), 1, "{:?}", world.log);
}

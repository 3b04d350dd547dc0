//! Any sequence of events, from random.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Order(u8, u64),
    GuestOff,
    Crash,
    Vanish,
    Restart,
    Steps(u8),
    Fail(u8, u8),
    Port(bool),
    Ports(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u8..3, 0u64..3).prop_map(|(run, reboot)| Event::Order(run, reboot)),
        1 => Just(Event::GuestOff),
        1 => Just(Event::Crash),
        1 => Just(Event::Vanish),
        2 => Just(Event::Restart),
        6 => (0u8..14).prop_map(Event::Steps),
        2 => (0u8..17, 0u8..3).prop_map(|(effect, class)| Event::Fail(effect, class)),
        1 => any::<bool>().prop_map(Event::Port),
        2 => (0u8..8).prop_map(Event::Ports),
    ]
}

const EFFECTS: [Effect; 17] = [
    Effect::Save,
    Effect::Observe,
    Effect::EnsureImage,
    Effect::AcquireSlot,
    Effect::PrepareDisk,
    Effect::CreateTaps,
    Effect::StartPaused,
    Effect::Plug,
    Effect::Resume,
    Effect::Reset,
    Effect::Shutdown,
    Effect::PowerOff,
    Effect::Unplug,
    Effect::Remove,
    Effect::HotTaps,
    Effect::AttachCards,
    Effect::DetachCards,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 8 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before, the last order is what the world ends in.
    #[test]
    fn the_last_order_always_wins(events in proptest::collection::vec(event(), 0..40), last in 0u8..3) {
        let intents = [RUN, STOP, TERMINATE];
        let mut world = World::new();
        let mut generation = 0;
        let mut gone_for_good = false;
        let mut reboots = 0;
        for event in events {
            match event {
                Event::Order(run, reboot) => {
                    let run = if gone_for_good { TERMINATE } else { intents[usize::from(run)] };
                    gone_for_good |= run == TERMINATE;
                    generation += 1;
                    reboots += reboot;
                    world.order(InstanceIntent { reboot_seq: reboots, ..intent(generation, run) });
                }
                Event::GuestOff if world.state() == Some(ON) => world.set_domain(OFF),
                Event::Crash if world.state() == Some(ON) => world.set_domain(CRASHED),
                Event::Vanish => { world.domain = None; world.plugged = false; world.machine.look(); }
                Event::GuestOff | Event::Crash => {}
                Event::Restart => {
                    world.restart();
                    // The cluster repeats what it wants.
                    if generation > 0 {
                        let current = world.machine.intent().map_or(0, |i| i.generation);
                        prop_assert!(current <= generation);
                    }
                }
                Event::Steps(n) => for _ in 0..n { if !world.step() { break } },
                Event::Fail(effect, class) => {
                    let class = [StepClass::Transient, StepClass::Scarce, StepClass::Permanent][usize::from(class)];
                    world.fail.push((EFFECTS[usize::from(effect)], error(class)));
                }
                Event::Port(ready) => world.port_ready(ready),
                Event::Ports(some) => {
                    world.ports = (1..=3).filter(|n| n == &1 || some & (1 << n) != 0).collect();
                    world.port_ready(true);
                }
            }
        }
        world.fail.clear();
        world.port_ready(true);
        let run = if gone_for_good { TERMINATE } else { intents[usize::from(last)] };
        generation += 1;
        world.order(InstanceIntent { reboot_seq: reboots, ..intent(generation, run) });
        world.machine.look();
        let mut seen = world.settle();
        if run == RUN && seen.phase() == DomainPhase::Stopped {
            // The guest had powered itself off before the order came, unseen: that is told first.
            prop_assert_eq!(seen.reason.unwrap().code, "Client.InstanceInitiatedShutdown");
            generation += 1;
            world.order(InstanceIntent { reboot_seq: reboots, ..intent(generation, run) });
            seen = world.settle();
        }
        prop_assert_eq!(seen.generation, generation);
        match run {
            RUN => {
                prop_assert_eq!(seen.phase(), DomainPhase::Running);
                prop_assert!(seen.network_applied && world.plugged && world.state() == Some(ON));
                let mut cards = world.domain.as_ref().map_or_else(Vec::new, |domain| domain.nics.clone());
                cards.sort();
                prop_assert_eq!(cards, world.ports.iter().map(|n| mac(*n)).collect::<Vec<_>>());
                prop_assert_eq!(seen.ports_generation, generation);
                prop_assert_eq!(seen.reboot_seq, reboots);
            }
            STOP => {
                prop_assert_eq!(seen.phase(), DomainPhase::Stopped);
                prop_assert!(!world.plugged && world.state() != Some(ON) && world.state() != Some(DomainState::Paused));
            }
            _ => prop_assert!(seen.gone && world.domain.is_none() && !world.disk && !world.plugged && !world.tap),
        }
        prop_assert_eq!(&world.saved, &world.machine.to_record());
    }
}

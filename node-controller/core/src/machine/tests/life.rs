//! Each situation by itself.

use super::*;

#[test]
fn a_launch_is_these_steps_in_this_order() {
    use Effect as E;
    let mut world = World::new();
    world.order(intent(1, RUN));
    let seen = world.settle();
    let steps = [
        E::Save,
        E::Observe,
        E::EnsureImage,
        E::AcquireSlot,
        E::PrepareDisk,
        E::CreateTaps,
        E::StartPaused,
        E::Plug,
        E::Save,
        E::Resume,
    ];
    assert_eq!(world.log, steps);
    assert_eq!((seen.phase(), seen.network_applied, seen.generation), (DomainPhase::Running, true, 1));
    assert_eq!(seen.activity, "");
}

#[test]
fn a_launch_waits_for_the_port_with_the_disk_ready_and_no_slot_held() {
    let mut world = World::new();
    world.order(intent(1, RUN));
    world.port_ready(false);
    while world.log.last() != Some(&Effect::PrepareDisk) {
        assert!(world.step());
    }
    assert_eq!(world.machine.next(world.now), Next::Wait(Some(600_000)));
    assert!(!world.machine.holds_slot());
    assert_eq!(world.machine.observation().unwrap().activity, "waiting: not yet");
    world.port_ready(true);
    assert_eq!(world.settle().phase(), DomainPhase::Running);
}

#[test]
fn a_port_that_never_comes_fails_the_launch_and_says_so() {
    let mut world = World::new();
    world.order(intent(1, RUN));
    world.port_ready(false);
    let seen = world.settle();
    assert_eq!(seen.phase(), DomainPhase::Failed);
    let reason = seen.reason.unwrap();
    assert_eq!(reason.code, "Server.InternalError");
    assert_eq!(reason.message, "Server.InternalError: node-1: not launched within 600 s: not yet");
}

#[test]
fn failures_of_a_launch_are_told_apart() {
    let launch = [Effect::EnsureImage, Effect::PrepareDisk, Effect::CreateTaps, Effect::StartPaused, Effect::Plug];
    for effect in launch {
        let mut world = World::new();
        world.fail = vec![(effect, error(StepClass::Permanent))];
        world.order(intent(1, RUN));
        let seen = world.settle();
        assert_eq!(seen.phase(), DomainPhase::Failed, "{effect:?}");
        assert!(seen.reason.unwrap().message.contains("node-1: it broke"));
        assert!(!world.plugged && !world.tap, "{effect:?} left its port behind");
        assert_ne!(world.state(), Some(DomainState::Paused), "{effect:?} left a held domain behind");
        world.restart();
        assert_eq!(world.settle().phase(), DomainPhase::Failed, "a restart does not forget the failure");
        world.order(intent(2, RUN));
        assert_eq!(world.settle().phase(), DomainPhase::Running, "a newer generation tries again");

        let mut world = World::new();
        world.fail = vec![(effect, error(StepClass::Scarce)); 3];
        world.order(intent(1, RUN));
        assert_eq!(world.settle().phase(), DomainPhase::Failed, "{effect:?} scarce");

        let mut world = World::new();
        world.fail = vec![(effect, error(StepClass::Transient)); 7];
        world.order(intent(1, RUN));
        assert_eq!(world.settle().phase(), DomainPhase::Running, "{effect:?} transient");
        assert!(world.now >= 12_600, "seven waits, each twice the last");

        let mut world = World::new();
        world.fail = vec![(effect, error(StepClass::Transient)); 1000];
        world.order(intent(1, RUN));
        let seen = world.settle();
        assert_eq!(seen.phase(), DomainPhase::Failed, "{effect:?} for ever");
        assert!(seen.reason.unwrap().message.ends_with("not launched within 600 s: it broke"));
    }
}

#[test]
fn stop_asks_then_insists() {
    let mut world = World::launched();
    world.order(intent(2, STOP));
    let seen = world.settle();
    assert_eq!((seen.phase(), seen.generation, seen.reason), (DomainPhase::Stopped, 2, None));
    assert_eq!(world.log.iter().filter(|e| **e == Effect::Shutdown).count(), 1);
    assert!(!world.log.contains(&Effect::PowerOff));
    assert!(world.disk && !world.plugged);

    let mut world = World::launched();
    world.obeys = false;
    world.order(intent(2, STOP));
    assert_eq!(world.settle().phase(), DomainPhase::Stopped);
    assert_eq!(world.now, 60_000, "the plug is pulled after the grace");
    assert_eq!(world.log.iter().filter(|e| **e == Effect::Shutdown).count(), 6, "pressed again and again");
    world.order(intent(3, RUN));
    assert_eq!(world.settle().phase(), DomainPhase::Running);
}

#[test]
fn a_power_button_that_fails_holds_nothing_up() {
    // Once: pressed again at once, not after the time a pressed button gets.
    let mut world = World::launched();
    world.fail.push((Effect::Shutdown, error(StepClass::Transient)));
    world.order(intent(2, STOP));
    assert_eq!(world.settle().phase(), DomainPhase::Stopped);
    assert!(world.now <= 1_000 && !world.log.contains(&Effect::PowerOff), "{} {:?}", world.now, world.log);

    // Always: the plug is pulled when the guest's time is up, not when the next try would have been.
    for (wanted, grace) in [(STOP, 60_000), (TERMINATE, 5_000)] {
        let mut world = World::launched();
        world.fail = vec![(Effect::Shutdown, error(StepClass::Transient)); 1000];
        world.order(intent(2, wanted));
        world.settle();
        assert_eq!(world.now, grace);
        assert!(world.log.contains(&Effect::PowerOff), "{:?}", world.log);
    }

    // There is no button: the plug is pulled at once.
    let mut world = World::launched();
    world.fail.push((Effect::Shutdown, error(StepClass::Permanent)));
    world.order(intent(2, STOP));
    assert_eq!(world.settle().phase(), DomainPhase::Stopped);
    assert_eq!((world.now, world.log.iter().filter(|e| **e == Effect::Shutdown).count()), (0, 1), "{:?}", world.log);
}

#[test]
fn a_guest_that_powers_itself_off_stays_off_until_asked() {
    let mut world = World::launched();
    world.set_domain(OFF);
    let seen = world.settle();
    assert_eq!((seen.phase(), seen.generation), (DomainPhase::Stopped, 1));
    assert_eq!(seen.reason.clone().unwrap().code, "Client.InstanceInitiatedShutdown");
    world.restart();
    assert_eq!(world.settle(), seen, "a restart does not start it");
    world.order(intent(1, RUN));
    assert_eq!(world.settle(), seen, "the same order again does not start it");
    world.order(intent(2, STOP));
    let stopped = world.settle();
    assert_eq!((stopped.phase(), stopped.generation), (DomainPhase::Stopped, 2));
    assert_eq!(stopped.reason, seen.reason, "why it is off does not change");
    world.order(intent(3, RUN));
    assert_eq!(world.settle().phase(), DomainPhase::Running);

    let mut world = World::launched();
    world.set_domain(OFF);
    world.settle();
    world.order(intent(2, RUN));
    assert_eq!(world.settle().phase(), DomainPhase::Running);
}

#[test]
fn a_guest_off_while_nobody_looked_is_known_as_such() {
    let mut world = World::launched();
    world.set_domain(OFF);
    world.restart();
    assert_eq!(world.settle().reason.unwrap().code, "Client.InstanceInitiatedShutdown");
}

#[test]
fn start_after_a_stop_that_was_cut_off_starts() {
    let mut world = World::launched();
    world.order(intent(2, STOP));
    while world.state() == Some(ON) {
        world.step();
    }
    world.restart();
    world.order(intent(3, RUN));
    assert_eq!(world.settle().phase(), DomainPhase::Running, "off by order is not off by the guest");
}

#[test]
fn a_crashed_domain_is_restarted_a_few_times() {
    for gone in [false, true] {
        let mut world = World::launched();
        for round in 1..=3 {
            if gone {
                world.domain = None
            } else {
                world.set_domain(CRASHED)
            }
            world.plugged = false;
            world.machine.look();
            let seen = world.settle();
            assert_eq!(seen.phase(), DomainPhase::Running, "round {round}");
            assert!(seen.network_applied);
            let text = seen.reason.unwrap().message;
            assert_eq!(text, format!("node-1: the domain died; restarted automatically ({round} of 3)"));
        }
        world.set_domain(CRASHED);
        let seen = world.settle();
        assert_eq!(seen.phase(), DomainPhase::Failed);
        assert!(seen.reason.unwrap().message.contains("crashed 4 times"));
        world.order(intent(2, RUN));
        assert_eq!(world.settle().phase(), DomainPhase::Running);
    }
}

#[test]
fn crashes_far_apart_are_not_added_up() {
    let mut world = World::launched();
    for _ in 0..10 {
        world.now += 600_000;
        world.set_domain(CRASHED);
        assert_eq!(world.settle().phase(), DomainPhase::Running);
    }
}

#[test]
fn a_reboot_is_done_once_and_remembered() {
    let mut world = World::launched();
    let reboot = InstanceIntent { reboot_seq: 1, ..intent(2, RUN) };
    world.order(reboot.clone());
    assert_eq!(world.settle().reboot_seq, 1);
    world.restart();
    world.order(InstanceIntent { generation: 3, ..reboot });
    world.settle();
    assert_eq!(world.resets, 1);
    world.order(InstanceIntent { reboot_seq: 3, ..intent(4, RUN) });
    assert_eq!(world.settle().reboot_seq, 3);
    assert_eq!(world.resets, 2, "two asked for at once are one");
    world.order(InstanceIntent { reboot_seq: 4, ..intent(5, STOP) });
    world.settle();
    world.order(InstanceIntent { reboot_seq: 4, ..intent(6, RUN) });
    world.settle();
    assert_eq!(world.resets, 2, "a fresh boot is as good as a reboot");
}

#[test]
fn a_guest_that_does_not_reboot_is_reset() {
    let mut world = World::launched();
    world.obeys = false;
    let began = world.now;
    world.order(InstanceIntent { reboot_seq: 1, ..intent(2, RUN) });
    assert_eq!(world.settle().reboot_seq, 1);
    assert_eq!(world.resets, 1);
    let asked = world.log.iter().filter(|effect| **effect == Effect::Reboot).count();
    assert_eq!(asked, 6, "asked every ten seconds of a minute");
    assert_eq!(world.now - began, 60_000);
}

#[test]
fn a_guest_that_cannot_be_asked_is_reset_at_once() {
    let mut world = World::launched();
    let began = world.now;
    let error = StepError { class: StepClass::Permanent, code: "Server.InternalError", message: "no button".into() };
    world.fail.push((Effect::Reboot, error));
    world.order(InstanceIntent { reboot_seq: 1, ..intent(2, RUN) });
    assert_eq!(world.settle().reboot_seq, 1);
    assert_eq!((world.resets, world.now - began), (1, 0));
}

#[test]
fn a_guest_that_goes_off_where_it_should_reboot_is_started_again() {
    let mut world = World::launched();
    world.obeys = false;
    world.order(InstanceIntent { reboot_seq: 1, ..intent(2, RUN) });
    while !world.log.contains(&Effect::Reboot) {
        world.step();
    }
    world.set_domain(OFF);
    let seen = world.settle();
    assert_eq!((seen.phase(), seen.reboot_seq), (DomainPhase::Running, 1));
}

#[test]
fn a_reboot_of_the_guests_own_is_not_the_one_that_was_asked_for() {
    let mut world = World::launched();
    world.machine.rebooted();
    assert_eq!(world.settle().reboot_seq, 0);
}

#[test]
fn a_guest_that_reboots_while_it_is_terminated_is_asked_again_at_once() {
    let mut world = World { obeys: false, ..World::launched() };
    world.order(InstanceIntent { reboot_seq: 1, ..intent(2, RUN) });
    while !world.log.contains(&Effect::Reboot) {
        world.step();
    }
    let began = world.now;
    world.order(InstanceIntent { reboot_seq: 1, ..intent(3, TERMINATE) });
    while !world.log.contains(&Effect::Shutdown) {
        world.step();
    }
    // The guest was on its way down to reboot and has not heard the button; the new boot does.
    world.machine.rebooted();
    world.obeys = true;
    assert!(world.settle().gone);
    assert_eq!(world.now, began, "nothing was waited for");
    assert!(!world.log.contains(&Effect::PowerOff), "the plug was not pulled");
}

#[test]
fn a_guest_that_hears_its_button_some_seconds_after_a_reboot_is_not_left_to_wait() {
    // (Whether the first press after the reboot fails, when the guest begins to hear, presses until then.)
    for (fails, heard_after, presses) in [(false, 3_500, 5), (true, 3_500, 5), (false, 30_000, 31)] {
        let mut world = World::launched();
        let asked = world.now;
        world.deaf_until = u64::MAX;
        world.order(intent(2, STOP));
        while !world.log.contains(&Effect::Shutdown) {
            world.step();
        }
        world.machine.rebooted();
        world.deaf_until = asked + heard_after;
        if fails {
            world.fail.push((Effect::Shutdown, error(StepClass::Transient)));
        }
        world.log.clear();
        assert_eq!(world.settle().phase(), DomainPhase::Stopped);
        let within = heard_after..heard_after + 1_000;
        assert!(within.contains(&(world.now - asked)), "off after {} ms", world.now - asked);
        assert!(!world.log.contains(&Effect::PowerOff), "the plug was not pulled");
        let pressed = world.log.iter().filter(|effect| **effect == Effect::Shutdown).count();
        assert_eq!(pressed, presses + usize::from(fails));
    }
}

#[test]
fn terminate_removes_everything_from_every_state() {
    type Start = (&'static str, fn() -> World);
    let starts: [Start; 5] = [
        ("nothing", World::new),
        ("running", World::launched),
        ("deaf", || World { obeys: false, ..World::launched() }),
        ("stopped", || {
            let mut world = World::launched();
            world.order(intent(2, STOP));
            world.settle();
            world
        }),
        ("failed", || {
            let mut world = World::new();
            world.fail = vec![(Effect::StartPaused, error(StepClass::Permanent))];
            world.order(intent(1, RUN));
            world.settle();
            world
        }),
    ];
    for (name, start) in starts {
        let mut world = start();
        let began = world.now;
        world.order(intent(9, TERMINATE));
        let seen = world.settle();
        assert!(seen.gone && seen.generation == 9 && seen.phase() == DomainPhase::Absent, "{name}: {seen:?}");
        assert!(world.domain.is_none() && !world.disk && !world.plugged && !world.tap, "{name}");
        assert!(world.now - began <= 5_000, "{name}: the short grace");
        world.restart();
        assert!(world.settle().gone, "{name}: still told after a restart");
        assert!(!world.machine.is_finished(), "{name}");
        world.machine.forget();
        assert!(world.machine.is_finished(), "{name}: until it is heard");
    }
}

#[test]
fn an_order_that_comes_while_another_is_being_recorded_is_recorded_too() {
    let mut world = World::launched();
    world.order(intent(2, STOP));
    assert_eq!(world.machine.next(world.now), Next::Do(Effect::Save));
    let older = world.machine.to_record();
    world.order(intent(3, RUN));
    world.saved = older;
    world.machine.finished_step(Ok(Done::Plain), &[], world.now);
    assert!(world.machine.observation().is_none(), "nothing is said of an order that is not recorded");
    assert_eq!(world.machine.next(world.now), Next::Do(Effect::Save), "it is not acted on before");
    world.saved = world.machine.to_record();
    world.machine.finished_step(Ok(Done::Plain), &[], world.now);
    world.restart();
    assert_eq!(world.settle().generation, 3);
}

#[test]
fn terminate_goes_on_when_the_ledger_cannot_be_written() {
    let mut world = World::launched();
    world.fail = vec![(Effect::Save, error(StepClass::Transient)); 3];
    world.order(intent(2, TERMINATE));
    while world.disk {
        assert!(world.step());
    }
    assert!(world.machine.observation().is_none_or(|o| !o.gone), "gone is not said before it is recorded");
    assert!(world.settle().gone);
}

#[test]
fn older_orders_and_older_lives_change_nothing() {
    let mut world = World::launched();
    world.order(intent(5, RUN));
    world.settle();
    assert_eq!(world.order(intent(5, STOP)), Taken::Stale);
    assert_eq!(world.order(intent(4, TERMINATE)), Taken::Stale);
    world.order(InstanceIntent { incarnation: 2, ..intent(6, RUN) });
    let port = PortView { incarnation: 2, ..view(1) };
    world.machine.set_ports(Ports::Ready(vec![port]));
    let seen = world.settle();
    assert_eq!((seen.phase(), seen.incarnation), (DomainPhase::Running, 2));
    assert_eq!(world.domain.as_ref().unwrap().incarnation, Incarnation(2));
    assert!(world.log.contains(&Effect::PowerOff), "the old life is ended before the new one starts");
    assert_eq!(world.order(intent(7, TERMINATE)), Taken::OlderLife);
    assert_eq!(world.settle().phase(), DomainPhase::Running);
}

#[test]
fn later_credentials_are_recorded_and_change_nothing_else() {
    let with = |generation, version| {
        let credentials = mallee_proto::v1::RoleCredentials { version, ..Default::default() };
        InstanceIntent { credentials: Some(credentials), ..intent(generation, RUN) }
    };
    let mut world = World::launched();
    assert_eq!(world.order(with(1, 3)), Taken::Credentials);
    world.settle();
    assert_eq!(world.log, [Effect::Save], "the guest does not notice");
    assert_eq!(world.saved.intent.as_ref().unwrap().credentials_version(), 3);
    assert_eq!(world.order(with(1, 2)), Taken::Stale);
    assert_eq!(world.order(intent(1, RUN)), Taken::Stale);
    assert_eq!(world.order(with(2, 2)), Taken::Yes, "a later order counts whatever it brings");
    assert_eq!(world.order(InstanceIntent { incarnation: 2, ..with(2, 9) }), Taken::Stale);
    // An instance that was given up is not tried again because its credentials are rotated.
    let mut world = World::launched();
    world.set_domain(OFF);
    world.settle();
    assert_eq!(world.order(with(1, 4)), Taken::Credentials);
    world.settle();
    assert_eq!(world.state(), Some(OFF), "the guest powered itself off, and stays off");
    world.restart();
    assert_eq!(world.machine.intent().unwrap().credentials_version(), 4, "after a restart they are still there");
}

#[test]
fn a_domain_of_a_newer_life_is_not_touched() {
    let mut world = World::launched();
    world.domain.as_mut().unwrap().incarnation = Incarnation(9);
    world.machine.look();
    world.log.clear();
    let seen = world.settle();
    assert_eq!(seen.phase(), DomainPhase::Failed);
    world.order(intent(2, TERMINATE));
    world.settle();
    assert_eq!(world.state(), Some(ON));
    assert!(world.log.iter().all(|e| matches!(e, Effect::Save | Effect::Observe)), "{:?}", world.log);
}

#[test]
fn a_restart_says_nothing_false_about_a_healthy_instance() {
    for (order, phase) in [(intent(1, RUN), DomainPhase::Running), (intent(2, STOP), DomainPhase::Stopped)] {
        let mut world = World::launched();
        world.order(order);
        world.settle();
        world.restart();
        let mut said = vec![];
        while world.step() {
            said.extend(world.machine.observation().map(|o| (o.phase(), o.network_applied)));
        }
        said.dedup();
        assert_eq!(said, [(phase, phase == DomainPhase::Running)]);
    }
}

#[test]
fn an_instance_that_nothing_names_is_swept_but_one_named_again_is_kept() {
    let mut world = World::new();
    world.set_domain(ON);
    world.disk = true;
    world.machine.sweep();
    assert!(world.settle().gone);
    assert!(world.machine.is_finished());
    assert!(world.domain.is_none() && !world.disk);

    let mut world = World::launched();
    world.machine.sweep();
    world.order(intent(1, RUN));
    assert_eq!(world.settle().phase(), DomainPhase::Running);
    assert!(world.log.is_empty(), "named again in time: {:?}", world.log);
}

//! An interface goes from one instance to another, whichever of the two is told first.

use super::*;

/// An instance that has the interface, its two addresses and groups; or no interface.
fn holder(n: u32, node: &str, has: bool) -> InstanceIntent {
    let mut intent = instance(3, node, 1, &[1, 2], 1);
    intent.id = format!("i-{n}");
    let ports = &mut intent.spec.as_mut().unwrap().ports;
    ports[0].secondary = vec![PortAddress { private_ip: "10.0.1.77".into(), ..PortAddress::default() }];
    if !has {
        ports.clear();
    }
    intent
}

#[test]
fn who_has_an_interface_now_keeps_it_when_who_had_it_is_told_later() {
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "a")] {
        for ends in [false, true] {
            let mut want = small();
            want.set_instance(&holder(11, to, true), true);
            let mut model = small();
            model.set_instance(&holder(10, from, true), true);
            model.set_instance(&holder(11, to, true), true);
            if ends {
                model.remove_instance("i-10");
            } else {
                model.set_instance(&holder(10, from, false), true);
            }
            for node in ["a", "b"] {
                assert_eq!(compile(&model, node), compile(&want, node), "{from} to {to}, on {node}");
            }
            // And it goes whole.
            model.remove_instance("i-11");
            for node in ["a", "b"] {
                assert_eq!(compile(&model, node), compile(&small(), node), "{from} to {to}, on {node}");
            }
        }
    }
}

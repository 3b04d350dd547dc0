//! Flow logs: which ports have their traffic recorded.

use super::*;
use mallee_proto::v1::{FlowLog, ObjectKind};

fn log(id: &str, generation: u64, resource_id: &str) -> FlowLog {
    FlowLog { id: id.into(), generation, vpc_id: "vpc-1".into(), resource_id: resource_id.into() }
}

fn recorded(model: &Model, node: &str) -> Vec<bool> {
    compile(model, node).vpcs[0].ports.iter().map(|port| port.flow_log).collect()
}

#[test]
fn ports_of_what_is_logged_are_recorded_while_it_is() {
    for resource in ["vpc-1", "subnet-1", "eni-1"] {
        let mut model = small();
        let before = (compile(&model, "a"), view::hash(&compile(&model, "a")));
        model.set_flow_log(log("fl-1", 1, resource));
        model.set_flow_log(log("fl-2", 1, resource));
        assert_eq!(recorded(&model, "a"), [true], "{resource}");
        assert_eq!(recorded(&model, "b"), [resource != "eni-1"], "{resource}");
        model.remove_flow_log("fl-1");
        model.remove_flow_log("fl-1");
        assert_eq!(recorded(&model, "a"), [true], "there is another");
        model.remove_flow_log("fl-2");
        let after = compile(&model, "a");
        assert_eq!((view::hash(&after), after), (before.1, before.0), "as if there had never been one");
        model.set_flow_log(log("fl-3", 1, "eni-9"));
        assert_eq!(recorded(&model, "a"), [false], "somebody else's");
    }
}

#[test]
fn a_change_of_a_flow_log_touches_the_nodes_of_its_vpc() {
    let mut model = small();
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_flow_log(log("fl-1", 2, "subnet-1"));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    model.set_flow_log(log("fl-1", 1, "subnet-9"));
    assert!(model.take_touched_nodes().is_empty(), "an older generation changes nothing");
    assert_eq!(
        model.objects().into_iter().filter(|(kind, _)| *kind == ObjectKind::FlowLog).collect::<Vec<_>>(),
        [(ObjectKind::FlowLog, "fl-1".to_owned())]
    );
    // A port that comes later is recorded, too, and its node learns of it in the same view.
    model.set_instance(&instance(3, "a", 1, &[1], 1), true);
    assert_eq!(recorded(&model, "a"), [true, true]);
    drop(model.take_touched_nodes());
    model.remove_flow_log("fl-1");
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
}

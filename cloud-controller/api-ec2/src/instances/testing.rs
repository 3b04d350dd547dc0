//! An instance to try shapes, filters and checks on.

use mallee_app::instances::view::InstanceView;
use mallee_store::{InstanceDoc, InstanceRow, MetadataOptions};
use mallee_types::{
    DomainPhase, Generation, ImageId, Incarnation, InstanceId, InstanceState, ReservationId, RunIntent, SubnetId, VpcId,
};

/// A running instance with one interface.
pub(crate) fn view() -> InstanceView {
    InstanceView {
        row: InstanceRow {
            id: InstanceId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            reservation_id: ReservationId::from_random(4),
            launch_index: 0,
            zone: "zone-a".parse().unwrap(),
            node_id: Some("node-1".parse().unwrap()),
            instance_type: "t3.nano".into(),
            image_id: ImageId::from_random(5),
            vpc_id: VpcId::from_random(1),
            subnet_id: SubnetId::from_random(2),
            key_name: Some("k".into()),
            intent: RunIntent::Run,
            generation: Generation(1),
            incarnation: Incarnation(1),
            reboot_seq: 0,
            observed_phase: DomainPhase::Running,
            observed_generation: Generation(1),
            observed_incarnation: Incarnation(1),
            observed_network: true,
            observed_reboot_seq: 0,
            state: InstanceState::Running,
            state_reason_code: None,
            state_reason_message: None,
            transition_reason: String::new(),
            released: false,
            launch_ms: 1_700_000_000_000,
            state_changed_ms: 1_700_000_001_000,
            terminated_ms: None,
            client_token: Some("token-1".into()),
            doc: InstanceDoc {
                vcpus: 2,
                memory_mib: 512,
                architecture: "x86_64".into(),
                root_device_name: "/dev/vda".into(),
                metadata: MetadataOptions { enabled: true, tokens_required: true, hop_limit: 2, tags: false },
                tenancy: "default".into(),
                guest_heard: true,
                booted_ms: 1_700_000_001_000,
                ..Default::default()
            },
        },
        interfaces: vec![crate::interfaces::tests::view()],
        tags: vec![("Name".into(), "web-1".into())],
        profile: None,
    }
}

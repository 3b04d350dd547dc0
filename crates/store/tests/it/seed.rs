//! Rows that tests start from.

use mallee_store::*;
use mallee_types::*;

pub const ACCOUNT: &str = "000000000001";

pub fn account() -> AccountId {
    ACCOUNT.parse().unwrap()
}

pub fn zone() -> ZoneName {
    "local-1a".parse().unwrap()
}

/// An account with a default VPC and subnet.
pub async fn world(store: &Store, subnet_cidr: &str) -> (VpcRow, SubnetRow) {
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: account(), name: "first".into(), created_ms: 1 }).await.unwrap();
    let vpc = VpcRow {
        id: VpcId::from_random(1),
        account_id: account(),
        cidr: "172.31.0.0/16".parse().unwrap(),
        vni: vpc_vni_take(&mut tx).await.unwrap(),
        is_default: true,
        dedicated: false,
        dns_support: true,
        dns_hostnames: true,
        dhcp_options_id: None,
        generation: Generation(1),
        created_ms: 1,
    };
    vpc_insert(&mut tx, &vpc).await.unwrap();
    let subnet = SubnetRow {
        id: SubnetId::from_random(1),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        zone: zone(),
        cidr: subnet_cidr.parse().unwrap(),
        is_default: true,
        map_public_ip: true,
        generation: Generation(1),
        created_ms: 1,
    };
    subnet_insert(&mut tx, &subnet).await.unwrap();
    tx.commit().await.unwrap();
    (vpc, subnet)
}

pub fn group(vpc: &VpcRow, n: u128, name: &str) -> SecurityGroupRow {
    SecurityGroupRow {
        id: GroupId::from_random(n),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        name: name.into(),
        description: "d".into(),
        generation: Generation(1),
        created_ms: 1,
    }
}

pub fn interface(subnet: &SubnetRow, n: u128, ip: std::net::Ipv4Addr) -> InterfaceRow {
    InterfaceRow {
        id: InterfaceId::from_random(n),
        account_id: account(),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        zone: zone(),
        mac: MacAddress::from_random(u64::try_from(n).unwrap()),
        private_ip: ip,
        instance_id: None,
        attachment_id: None,
        device_index: None,
        source_dest_check: true,
        delete_on_termination: true,
        description: String::new(),
        created_ms: 1,
        kind: InterfaceKind::Interface,
    }
}

pub fn instance(subnet: &SubnetRow, n: u128) -> InstanceRow {
    InstanceRow {
        id: InstanceId::from_random(n),
        account_id: account(),
        reservation_id: ReservationId::from_random(n / 10),
        launch_index: 0,
        zone: zone(),
        node_id: None,
        instance_type: "t3.nano".into(),
        image_id: ImageId::from_random(1),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        key_name: Some("k".into()),
        intent: RunIntent::Run,
        generation: Generation(1),
        incarnation: Incarnation(1),
        reboot_seq: 0,
        observed_phase: DomainPhase::Absent,
        observed_generation: Generation(0),
        observed_incarnation: Incarnation(0),
        observed_network: false,
        observed_reboot_seq: 0,
        state: InstanceState::Pending,
        state_reason_code: None,
        state_reason_message: None,
        transition_reason: String::new(),
        released: false,
        launch_ms: 1,
        state_changed_ms: 1,
        terminated_ms: None,
        client_token: None,
        doc: InstanceDoc { vcpus: 2, memory_mib: 512, hostname: "h".into(), ..InstanceDoc::default() },
    }
}

//! A cloud without nodes, whose database tests write themselves.

use mallee_api_ec2::Ec2Api;
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_awswire::Params;
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::sync::Arc;

/// Groups of the default subnet's VPC.
const GROUPS: u64 = 3;

pub struct World {
    pub db: TestDb,
    pub store: Store,
    pub cloud: Arc<Cloud>,
    pub cx: OpContext,
    pub subnet: SubnetRow,
    pub groups: Vec<GroupId>,
}

pub fn cloud(db: &TestDb, store: &Store) -> Arc<Cloud> {
    test_support::cloud(db, store, config(), Faults::none())
}

impl World {
    pub async fn new(db: TestDb) -> Self {
        let store = db.open().await;
        let cloud = cloud(&db, &store);
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let actor = Actor::root(access.account, true);
        let cx = OpContext::new(actor, "req-1");
        let subnet = subnet_list(&store, cx.account(), None, None, None, 1).await.unwrap().remove(0);
        let mut tx = store.write().await.unwrap();
        let mut groups = Vec::new();
        for n in 0..GROUPS {
            let row = SecurityGroupRow {
                id: GroupId::from_random(u128::from(n)),
                account_id: cx.account().clone(),
                vpc_id: subnet.vpc_id.clone(),
                name: format!("group {n}"),
                description: "d".into(),
                generation: Generation(1),
                created_ms: 1,
            };
            security_group_insert(&mut tx, &row).await.unwrap();
            groups.push(row.id);
        }
        tx.commit().await.unwrap();
        Self { db, store, cloud, cx, subnet, groups }
    }

    pub fn tag(&self, resource: String, kind: &str, n: u64) -> TagRow {
        TagRow {
            resource_id: resource,
            key: format!("k{}", n % 3),
            value: format!("v<{n}>"),
            resource_type: kind.into(),
            account_id: self.cx.account().clone(),
        }
    }

    pub fn instance(&self, id: &InstanceId, n: u64) -> InstanceRow {
        InstanceRow {
            id: id.clone(),
            account_id: self.cx.account().clone(),
            reservation_id: ReservationId::from_random(u128::from(n % 4)),
            launch_index: u32::try_from(n).unwrap(),
            zone: self.subnet.zone.clone(),
            node_id: None,
            instance_type: "t3.nano".into(),
            image_id: ImageId::from_random(1),
            vpc_id: self.subnet.vpc_id.clone(),
            subnet_id: self.subnet.id.clone(),
            key_name: None,
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
            state_changed_ms: 1_700_000_000_000,
            terminated_ms: None,
            client_token: None,
            doc: InstanceDoc { architecture: "x86_64".into(), tenancy: "default".into(), ..Default::default() },
        }
    }

    pub async fn insert_instance(&self, tx: &mut Tx, id: &InstanceId, n: u64) {
        instance_insert(tx, &self.instance(id, n), None).await.unwrap();
    }

    pub async fn insert_interface(&self, tx: &mut Tx, id: &InterfaceId, instance: Option<InstanceId>, n: u64) {
        let address = private_addresses_take(tx, &self.subnet.id, self.subnet.cidr, 1).await.unwrap().remove(0);
        let row = InterfaceRow {
            id: id.clone(),
            account_id: self.cx.account().clone(),
            vpc_id: self.subnet.vpc_id.clone(),
            subnet_id: self.subnet.id.clone(),
            zone: self.subnet.zone.clone(),
            mac: MacAddress::from_random(self.db.rng.u64()),
            private_ip: address,
            attachment_id: instance.as_ref().map(|_| AttachmentId::from_random(u128::from(n))),
            device_index: instance.as_ref().map(|_| u32::try_from(n).unwrap()),
            instance_id: instance,
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: 1_700_000_000_000,
            kind: InterfaceKind::Interface,
        };
        interface_insert(tx, &row, &self.groups[..1]).await.unwrap();
    }

    pub async fn describe(&self, api: &Ec2Api, filters: &[(&str, &str)]) -> String {
        let common = [("Action", "DescribeInstances"), ("Version", "2016-11-15")];
        let params = Params::from_pairs(common.into_iter().chain(filters.iter().copied())).unwrap();
        api.call(&self.cx, "DescribeInstances", &params).await.unwrap()
    }
}

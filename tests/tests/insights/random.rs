//! Small networks, drawn at random: VPCs of which two have the same addresses, peerings, tables, ACLs, groups, interfaces.

use mallee_store::*;
use mallee_types::*;
use std::net::Ipv4Addr;

/// Draws numbers, always the same for one seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % n
    }

    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// In so many of ten.
    fn often(&mut self, of_ten: usize) -> bool {
        self.below(10) < of_ten
    }
}

/// What was made.
#[derive(Default)]
pub struct Made {
    pub interfaces: Vec<InterfaceId>,
    pub gateways: Vec<InternetGatewayId>,
    pub peerings: Vec<VpcPeeringId>,
}

const BLOCKS: [&str; 3] = ["10.0.0.0/16", "10.1.0.0/16", "10.0.0.0/16"];
const CIDRS: [&str; 7] =
    ["0.0.0.0/0", "0.0.0.0/0", "198.51.100.0/24", "10.0.0.0/16", "10.1.0.0/16", "10.0.1.0/24", "10.1.2.0/24"];
const RANGES: [(i64, i64); 6] = [(0, 65535), (22, 22), (80, 80), (22, 80), (1024, 65535), (0, 1023)];

fn rule(
    dice: &mut Dice,
    group: &SecurityGroupRow,
    n: u128,
    others: &[GroupId],
    list: &PrefixListId,
) -> SecurityGroupRuleRow {
    let protocol = dice.one(&[-1, 6, 6, 17]);
    let ports = Some(dice.one(&RANGES)).filter(|_| protocol != -1);
    let mut row = SecurityGroupRuleRow {
        id: GroupRuleId::from_random(n),
        group_id: group.id.clone(),
        account_id: group.account_id.clone(),
        egress: dice.often(5),
        protocol,
        from_port: ports.map(|ports| ports.0),
        to_port: ports.map(|ports| ports.1),
        cidr: None,
        peer_group: None,
        peer_account: None,
        description: None,
        prefix_list: None,
        peer_vpc: None,
        peering: None,
    };
    match dice.below(6) {
        0 => {
            row.peer_group = Some(dice.one(others));
            row.peer_account = Some(group.account_id.clone());
        }
        1 => row.prefix_list = Some(list.clone()),
        _ => row.cidr = Some(dice.one(&CIDRS).to_owned()),
    }
    row
}

/// Makes one, in the account.
pub async fn network(store: &Store, account: &AccountId, zone: &ZoneName, seed: u64) -> Made {
    let dice = &mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut made, mut n) = (Made::default(), 1000u128);
    let mut next = || {
        n += 1;
        n
    };
    let mut tx = store.write().await.unwrap();
    let list = PrefixListRow {
        id: PrefixListId::from_random(next()),
        account_id: account.clone(),
        name: "some".into(),
        max_entries: 5,
        version: 1,
        state: PrefixListState::Created,
        created_ms: 1,
        family: PrefixListFamily::Ipv4,
    };
    prefix_list_insert(&mut tx, &list).await.unwrap();
    let entry = |cidr: &str| PrefixListEntryRow {
        list_id: list.id.clone(),
        cidr: cidr.parse().unwrap(),
        since: 1,
        until: None,
        description: None,
    };
    prefix_list_entries_insert(&mut tx, &[entry("198.51.100.0/25"), entry("10.1.0.0/17")]).await.unwrap();
    let mut vpcs = Vec::new();
    for block in BLOCKS {
        let vpc = VpcRow {
            id: VpcId::from_random(next()),
            account_id: account.clone(),
            cidr: block.parse().unwrap(),
            vni: vpc_vni_take(&mut tx).await.unwrap(),
            is_default: false,
            dedicated: false,
            dns_support: true,
            dns_hostnames: true,
            dhcp_options_id: None,
            generation: Generation(1),
            created_ms: 1,
        };
        vpc_insert(&mut tx, &vpc).await.unwrap();
        let gateway = InternetGatewayRow {
            id: InternetGatewayId::from_random(next()),
            account_id: account.clone(),
            vpc_id: dice.often(8).then(|| vpc.id.clone()),
            created_ms: 1,
        };
        internet_gateway_insert(&mut tx, &gateway).await.unwrap();
        made.gateways.push(gateway.id);
        vpcs.push(vpc);
    }
    for (one, other) in [(0, 1), (2, 1)] {
        let state = if dice.often(7) { VpcPeeringState::Active } else { VpcPeeringState::PendingAcceptance };
        let row = VpcPeeringRow {
            id: VpcPeeringId::from_random(next()),
            requester_account: account.clone(),
            requester_vpc: vpcs[one].id.clone(),
            accepter_account: account.clone(),
            accepter_vpc: vpcs[other].id.clone(),
            state,
            decided_by: None,
            requester_dns: false,
            accepter_dns: false,
            generation: Generation(1),
            created_ms: 10,
            expires_ms: i64::MAX / 2,
            requester_until_ms: None,
            accepter_until_ms: None,
        };
        vpc_peering_insert(&mut tx, &row).await.unwrap();
        made.peerings.push(row.id);
    }
    let mut groups = Vec::new();
    for vpc in &vpcs {
        for name in ["a", "b"] {
            let row = SecurityGroupRow {
                id: GroupId::from_random(next()),
                account_id: account.clone(),
                vpc_id: vpc.id.clone(),
                name: name.into(),
                description: String::new(),
                generation: Generation(1),
                created_ms: 1,
            };
            security_group_insert(&mut tx, &row).await.unwrap();
            groups.push(row);
        }
    }
    let ids: Vec<GroupId> = groups.iter().map(|group| group.id.clone()).collect();
    for group in &groups {
        for _ in 0..2 + dice.below(9) {
            let row = rule(dice, group, next(), &ids, &list.id);
            // Two alike are refused: one is enough.
            let same = security_group_rules_of(&mut tx, &group.id)
                .await
                .unwrap()
                .into_iter()
                .any(|held| SecurityGroupRuleRow { id: row.id.clone(), ..held } == row);
            if !same {
                security_group_rule_insert(&mut tx, &row).await.unwrap();
            }
        }
    }
    for (nth, vpc) in vpcs.iter().enumerate() {
        let mut tables = Vec::new();
        for number in 1..=2 {
            let table = RouteTableRow {
                id: RouteTableId::from_random(next()),
                account_id: account.clone(),
                vpc_id: vpc.id.clone(),
                number,
                generation: Generation(1),
                created_ms: 1,
            };
            route_table_insert(&mut tx, &table).await.unwrap();
            let peers = if nth == 1 { "10.0.0.0/16" } else { "10.1.0.0/16" };
            let longer = if nth == 1 { "10.0.1.0/24" } else { "10.1.2.0/24" };
            for to in ["0.0.0.0/0", "198.51.0.0/16", peers, longer, "list"] {
                let (kind, target) = match dice.below(4) {
                    0 => continue,
                    1 => (TO_INTERNET_GATEWAY, dice.one(&made.gateways).to_string()),
                    _ if to.ends_with("/0") => (TO_INTERNET_GATEWAY, made.gateways[nth].to_string()),
                    _ => (TO_VPC_PEERING, dice.one(&made.peerings).to_string()),
                };
                let destination = match to {
                    "list" => RouteDestination::List(list.id.clone()),
                    block => RouteDestination::Block(block.parse().unwrap()),
                };
                let row =
                    RouteRow { table_id: table.id.clone(), destination, target_kind: kind.into(), target_id: target };
                route_insert(&mut tx, &row).await.unwrap();
            }
            tables.push(table.id);
        }
        let id = RouteAssociationId::from_random(next());
        let main = RouteAssociationRow { id, table_id: tables[0].clone(), vpc_id: vpc.id.clone(), subnet_id: None };
        route_association_insert(&mut tx, &main).await.unwrap();
        for third in 1..=2u8 {
            let [a, b, ..] = vpc.cidr.network().octets();
            let subnet = SubnetRow {
                id: SubnetId::from_random(next()),
                account_id: account.clone(),
                vpc_id: vpc.id.clone(),
                zone: zone.clone(),
                cidr: format!("{a}.{b}.{third}.0/24").parse().unwrap(),
                is_default: false,
                map_public_ip: false,
                generation: Generation(1),
                created_ms: 1,
            };
            subnet_insert(&mut tx, &subnet).await.unwrap();
            if dice.often(5) {
                let id = RouteAssociationId::from_random(next());
                let subnet_id = Some(subnet.id.clone());
                let own = RouteAssociationRow { id, table_id: tables[1].clone(), vpc_id: vpc.id.clone(), subnet_id };
                route_association_insert(&mut tx, &own).await.unwrap();
            }
            let acl = NetworkAclRow {
                id: NetworkAclId::from_random(next()),
                account_id: account.clone(),
                vpc_id: vpc.id.clone(),
                is_default: false,
                generation: Generation(1),
                created_ms: 1,
            };
            network_acl_insert(&mut tx, &acl).await.unwrap();
            for egress in [false, true] {
                for number in 1..=dice.below(4) {
                    let protocol = dice.one(&[-1, -1, 6, 17]);
                    let ports = Some(dice.one(&RANGES)).filter(|_| protocol != -1);
                    let row = NetworkAclEntryRow {
                        acl_id: acl.id.clone(),
                        egress,
                        number: u32::try_from(number).unwrap(),
                        allow: dice.often(8),
                        protocol,
                        cidr: dice.one(&CIDRS).parse().unwrap(),
                        from_port: ports.map(|ports| ports.0),
                        to_port: ports.map(|ports| ports.1),
                    };
                    network_acl_entry_insert(&mut tx, &row).await.unwrap();
                }
                if dice.often(7) {
                    let row = NetworkAclEntryRow {
                        acl_id: acl.id.clone(),
                        egress,
                        number: 100,
                        allow: true,
                        protocol: -1,
                        cidr: "0.0.0.0/0".parse().unwrap(),
                        from_port: None,
                        to_port: None,
                    };
                    network_acl_entry_insert(&mut tx, &row).await.unwrap();
                }
            }
            let id = NetworkAclAssociationId::from_random(next());
            let row = NetworkAclAssociationRow { id, acl_id: acl.id.clone(), subnet_id: subnet.id.clone() };
            network_acl_association_insert(&mut tx, &row).await.unwrap();
            for last in 10..10 + 1 + u8::from(dice.often(4)) {
                let n = next();
                let instance = instance(account, zone, &subnet, n, dice);
                instance_insert(&mut tx, &instance, None).await.unwrap();
                let interface = InterfaceRow {
                    id: InterfaceId::from_random(n),
                    account_id: account.clone(),
                    vpc_id: vpc.id.clone(),
                    subnet_id: subnet.id.clone(),
                    zone: zone.clone(),
                    mac: MacAddress::from_random(u64::try_from(n).unwrap()),
                    private_ip: Ipv4Addr::new(a, b, third, last),
                    instance_id: Some(instance.id.clone()).filter(|_| dice.often(9)),
                    attachment_id: Some(AttachmentId::from_random(n)),
                    device_index: Some(0),
                    source_dest_check: true,
                    delete_on_termination: true,
                    description: String::new(),
                    created_ms: 1,
                    kind: InterfaceKind::Interface,
                };
                let own: Vec<GroupId> = groups.iter().filter(|g| g.vpc_id == vpc.id).map(|g| g.id.clone()).collect();
                let own = if dice.often(5) { own } else { vec![dice.one(&own)] };
                let free = interface.instance_id.is_none();
                let interface = InterfaceRow {
                    attachment_id: interface.attachment_id.filter(|_| !free),
                    device_index: interface.device_index.filter(|_| !free),
                    ..interface
                };
                interface_insert(&mut tx, &interface, &own).await.unwrap();
                if dice.often(3) {
                    let address = Ipv4Addr::new(a, b, third, last + 100);
                    let row = InterfaceAddressRow {
                        interface_id: interface.id.clone(),
                        subnet_id: subnet.id.clone(),
                        address,
                        position: 1,
                    };
                    interface_addresses_insert(&mut tx, &[row]).await.unwrap();
                }
                if dice.often(8) {
                    let public = Ipv4Addr::new(203, 0, 113, u8::try_from(n % 200).unwrap() + 1);
                    public_address_give(&mut tx, public, &interface.id, account).await.unwrap();
                }
                made.interfaces.push(interface.id);
            }
        }
    }
    tx.commit().await.unwrap();
    made
}

fn instance(account: &AccountId, zone: &ZoneName, subnet: &SubnetRow, n: u128, dice: &mut Dice) -> InstanceRow {
    let runs = dice.often(9);
    InstanceRow {
        id: InstanceId::from_random(n),
        account_id: account.clone(),
        reservation_id: ReservationId::from_random(n),
        launch_index: 0,
        zone: zone.clone(),
        node_id: Some(dice.one(&["node0", "node1"]).parse().unwrap()),
        instance_type: "t3.nano".into(),
        image_id: ImageId::from_random(1),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        key_name: None,
        intent: if runs { RunIntent::Run } else { RunIntent::Stop },
        generation: Generation(1),
        incarnation: Incarnation(1),
        reboot_seq: 0,
        observed_phase: DomainPhase::Running,
        observed_generation: Generation(1),
        observed_incarnation: Incarnation(1),
        observed_network: true,
        observed_reboot_seq: 0,
        state: if runs { InstanceState::Running } else { InstanceState::Stopped },
        state_reason_code: None,
        state_reason_message: None,
        transition_reason: String::new(),
        released: false,
        launch_ms: 1,
        state_changed_ms: 1,
        terminated_ms: None,
        client_token: None,
        doc: InstanceDoc { vcpus: 2, memory_mib: 512, tenancy: "default".into(), ..Default::default() },
    }
}

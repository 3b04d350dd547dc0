//! Fills the database of a cloud that does not run with stopped instances, for `cargo xtask bench --only scale`.
//!
//! ```text
//! fill DATABASE ZONE COUNT     DATABASE: sqlite:PATH of a cloud that has been started once
//! ```
//!
//! Every row is written by the functions that the cloud itself writes with, so triggers, versions and addresses are
//! as they would be. The instances have been stopped before any node took them: the cloud has nothing to do for them.
//! Ten of them differ from all others in everything that can be filtered by; a tenth as many belong to another account.
//! It prints, one object a line, where the ten are (`rare SUBNET VPC GROUP IMAGE`) and some of the others from all over
//! (`known INSTANCE ADDRESS INTERFACE`).

#![allow(clippy::print_stdout, reason = "the report of a tool")]

use mallee_runtime::{Clock, Rng};
use mallee_store::*;
use mallee_types::*;
use std::error::Error;
use std::net::Ipv4Addr;

/// Instances that differ from the others.
const RARE: u32 = 10;
/// Of those, ten more that are terminated: state is what these differ in.
const TERMINATED: u32 = 10;
/// Instances in one subnet (a /16).
const PER_SUBNET: u32 = 50_000;
/// Instances of one launch.
const PER_LAUNCH: u32 = 10;
/// Instances that are printed.
const KNOWN: u32 = 500;
/// Instances written in one transaction.
const PER_COMMIT: u32 = 1000;
/// The account that nobody calls from.
const OTHER: &str = "999999999999";

/// Where instances go: a VPC with one subnet and one group.
struct Place {
    subnet: SubnetRow,
    group: GroupId,
}

/// Numbers that are nowhere near each other for neighbours, as ids of instances are.
fn spread(n: u64) -> u128 {
    let mut mixed = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    u128::from(mixed ^ (mixed >> 31)) << 4 | u128::from(n & 0xf)
}

struct Fill {
    store: Store,
    zone: ZoneName,
    now_ms: i64,
    /// Objects made so far: of each kind, ids never meet.
    made: u64,
}

impl Fill {
    fn next(&mut self) -> u128 {
        self.made += 1;
        spread(self.made)
    }

    async fn place(&mut self, account: &AccountId, net: u8) -> Result<Place, StoreError> {
        let (vpc_id, subnet_id, group_id) = (self.next(), self.next(), self.next());
        let mut tx = self.store.write().await?;
        let cidr: Vec<_> = format!("10.{net}.0.0/16").parse().into_iter().collect();
        let cidr = *cidr.first().ok_or_else(|| StoreError::Config("no network".to_owned()))?;
        let vpc = VpcRow {
            id: VpcId::from_random(vpc_id),
            account_id: account.clone(),
            cidr,
            vni: vpc_vni_take(&mut tx).await?,
            is_default: false,
            dedicated: false,
            dns_support: true,
            dns_hostnames: true,
            dhcp_options_id: None,
            generation: Generation(1),
            created_ms: self.now_ms,
        };
        vpc_insert(&mut tx, &vpc).await?;
        let subnet = SubnetRow {
            id: SubnetId::from_random(subnet_id),
            account_id: account.clone(),
            vpc_id: vpc.id.clone(),
            zone: self.zone.clone(),
            cidr,
            is_default: false,
            map_public_ip: false,
            generation: Generation(1),
            created_ms: self.now_ms,
        };
        subnet_insert(&mut tx, &subnet).await?;
        let group = SecurityGroupRow {
            id: GroupId::from_random(group_id),
            account_id: account.clone(),
            vpc_id: vpc.id,
            name: format!("group-{net}"),
            description: "for measurements".into(),
            generation: Generation(1),
            created_ms: self.now_ms,
        };
        security_group_insert(&mut tx, &group).await?;
        tx.commit().await?;
        Ok(Place { subnet, group: group.id })
    }

    fn row(&mut self, account: &AccountId, place: &Place, reservation: u128, n: u32, rare: bool) -> InstanceRow {
        InstanceRow {
            id: InstanceId::from_random(self.next()),
            account_id: account.clone(),
            reservation_id: ReservationId::from_random(reservation),
            launch_index: n % PER_LAUNCH,
            zone: self.zone.clone(),
            node_id: None,
            instance_type: if rare { "t3.large" } else { "t3.nano" }.into(),
            image_id: ImageId::from_random(if rare { 2 } else { 1 }),
            vpc_id: place.subnet.vpc_id.clone(),
            subnet_id: place.subnet.id.clone(),
            key_name: Some(if rare { "rare" } else { "usual" }.into()),
            intent: RunIntent::Stop,
            generation: Generation(2),
            incarnation: Incarnation(1),
            reboot_seq: 0,
            observed_phase: DomainPhase::Absent,
            observed_generation: Generation(2),
            observed_incarnation: Incarnation(1),
            observed_network: false,
            observed_reboot_seq: 0,
            state: InstanceState::Stopped,
            state_reason_code: Some("Client.UserInitiatedShutdown".into()),
            state_reason_message: Some("Client.UserInitiatedShutdown: User initiated shutdown".into()),
            transition_reason: "User initiated".into(),
            released: false,
            launch_ms: self.now_ms,
            state_changed_ms: self.now_ms,
            terminated_ms: None,
            client_token: None,
            doc: InstanceDoc {
                vcpus: 2,
                memory_mib: 512,
                root_disk_bytes: 1 << 30,
                architecture: "x86_64".into(),
                root_device_name: "/dev/vda".into(),
                tenancy: "default".into(),
                ..InstanceDoc::default()
            },
        }
    }

    /// One instance with its interface, address, group and tags; a terminated one has given back all but its tags.
    async fn instance(
        &mut self,
        tx: &mut Tx,
        place: &Place,
        mut row: InstanceRow,
        n: u32,
    ) -> Result<Option<InterfaceRow>, StoreError> {
        let (account, id) = (row.account_id.clone(), row.id.clone());
        let is_rare = row.instance_type != "t3.nano";
        let terminated = (RARE..RARE + TERMINATED).contains(&n);
        if terminated {
            (row.intent, row.state, row.released) = (RunIntent::Terminate, InstanceState::Terminated, true);
            row.terminated_ms = Some(self.now_ms);
        }
        instance_insert(tx, &row, None).await?;
        let tag = |key: &str, value: String| TagRow {
            resource_id: id.to_string(),
            key: key.into(),
            value,
            resource_type: "instance".into(),
            account_id: account.clone(),
        };
        let mut tags = vec![tag("Name", format!("web-{n}")), tag("Env", "prod".into())];
        if is_rare {
            tags.push(tag("Team", "rare".into()));
        }
        tag_put(tx, &tags).await?;
        if terminated {
            return Ok(None);
        }
        let first = u32::from(place.subnet.cidr.network()) + 10;
        let private_ip = Ipv4Addr::from(first + n % PER_SUBNET);
        private_address_take_exact(tx, &place.subnet.id, private_ip).await?;
        let number = self.next();
        let interface = InterfaceRow {
            id: InterfaceId::from_random(number),
            account_id: account,
            vpc_id: row.vpc_id,
            subnet_id: row.subnet_id,
            zone: row.zone,
            mac: MacAddress::from_random(self.made),
            private_ip,
            instance_id: Some(id),
            attachment_id: Some(AttachmentId::from_random(number)),
            device_index: Some(0),
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: self.now_ms,
            kind: InterfaceKind::Interface,
        };
        interface_insert(tx, &interface, std::slice::from_ref(&place.group)).await?;
        Ok(Some(interface))
    }

    async fn instances(
        &mut self,
        account: &AccountId,
        first_net: u8,
        count: u32,
        print: bool,
    ) -> Result<(), StoreError> {
        let rare_place = self.place(account, first_net).await?;
        let mut place = self.place(account, first_net + 1).await?;
        let mut tx = self.store.write().await?;
        let mut reservation = 0;
        for n in 0..count {
            if n > 0 && n % PER_SUBNET == 0 {
                tx.commit().await?;
                let net = u8::try_from(n / PER_SUBNET).unwrap_or(u8::MAX);
                place = self.place(account, first_net + 1 + net).await?;
                tx = self.store.write().await?;
            }
            if n % PER_LAUNCH == 0 {
                reservation = self.next();
            }
            let rare = n < RARE;
            let place = if rare { &rare_place } else { &place };
            let row = self.row(account, place, reservation, n, rare);
            let (id, image) = (row.id.clone(), row.image_id.clone());
            let interface = self.instance(&mut tx, place, row, n).await?;
            if print && n == 0 {
                let Place { subnet, group } = place;
                println!("rare {} {} {group} {image}", subnet.id, subnet.vpc_id);
            } else if print
                && !rare
                && n % (count / KNOWN).max(1) == 1
                && let Some(interface) = interface
            {
                println!("known {id} {} {}", interface.private_ip, interface.id);
            }
            if n % PER_COMMIT == PER_COMMIT - 1 {
                tx.commit().await?;
                tx = self.store.write().await?;
            }
        }
        tx.commit().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [database, zone, count] = given.as_slice() else { return Err("usage: fill DATABASE ZONE COUNT".into()) };
    let count: u32 = count.parse()?;
    let (clock, rng) = (Clock::system(), Rng::seeded(1));
    let seal = SealKey::random(&rng)?;
    let store = Store::open(StoreConfig::new(database), clock.clone(), rng, seal).await?;
    let account = cloud_account(&store).await?.ok_or("the cloud has not been started once")?;
    let other: AccountId = OTHER.parse()?;
    let mut fill = Fill { zone: zone.parse()?, now_ms: clock.now_ms(), made: 0, store };
    let mut tx = fill.store.write().await?;
    account_insert(&mut tx, &AccountRow { id: other.clone(), name: "other".into(), created_ms: 1 }).await?;
    tx.commit().await?;
    fill.instances(&account, 100, count, true).await?;
    fill.instances(&other, 200, count / 10, false).await?;
    fill.store.close().await;
    Ok(())
}

//! What filters find by looking it up is what they find by reading everything: each request is made twice, the second
//! time with one more value in each filter, a pattern that nothing matches, which nobody can look up.

use crate::world::World;
use mallee_api_ec2::Ec2Api;
use mallee_runtime::Rng;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::collections::BTreeSet;

mallee_store::store_test_suite!(
    what_is_looked_up_is_what_reading_everything_finds,
    pages_of_what_is_looked_up_have_everything_once
);

const INSTANCES: u64 = 60;
const TRIALS: usize = 300;
/// Matches nothing, and cannot be looked up.
const NOTHING: &str = "nothing-*-such";

/// Filters with values that occur, and some that do not.
struct Vocabulary(Vec<(String, Vec<String>)>);

impl Vocabulary {
    fn add(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => self.0.push((name.to_owned(), vec![value, "absent".to_owned()])),
        }
    }

    /// Up to three filters of up to three values.
    fn filters(&self, rng: &Rng) -> Vec<(String, Vec<String>)> {
        let pick = |count: usize| usize::try_from(rng.below(u64::try_from(count).unwrap())).unwrap();
        let filter = |_| {
            let (name, values) = &self.0[pick(self.0.len())];
            let values = (0..=pick(3)).map(|_| values[pick(values.len())].clone()).collect();
            (name.clone(), values)
        };
        (0..=pick(3)).map(filter).collect()
    }
}

/// As parameters of a request; spoiled ones cannot be looked up.
fn params(filters: &[(String, Vec<String>)], spoiled: bool) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (at, (name, values)) in filters.iter().enumerate() {
        out.push((format!("Filter.{}.Name", at + 1), name.clone()));
        let more = spoiled.then(|| NOTHING.to_owned());
        for (nth, value) in values.iter().cloned().chain(more).enumerate() {
            out.push((format!("Filter.{}.Value.{}", at + 1, nth + 1), value));
        }
    }
    out
}

async fn described(world: &World, api: &Ec2Api, params: &[(String, String)]) -> String {
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.describe(api, &params).await
}

/// The texts of all elements of a name.
fn elements(reply: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    reply.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
}

/// A second VPC with a subnet and a group that has a name of the first one's.
async fn second_subnet(world: &World, account: &AccountId, n: u128) -> (SubnetRow, GroupId) {
    let mut tx = world.store.write().await.unwrap();
    let vpc = VpcRow {
        id: VpcId::from_random(n),
        account_id: account.clone(),
        cidr: world.subnet.cidr,
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
    let (id, vpc_id) = (SubnetId::from_random(n), vpc.id.clone());
    let subnet = SubnetRow { id, vpc_id, account_id: account.clone(), is_default: false, ..world.subnet.clone() };
    subnet_insert(&mut tx, &subnet).await.unwrap();
    let group = SecurityGroupRow {
        id: GroupId::from_random(1000 + n),
        account_id: account.clone(),
        vpc_id: vpc.id,
        name: "group 1".into(),
        description: "d".into(),
        generation: Generation(1),
        created_ms: 1,
    };
    security_group_insert(&mut tx, &group).await.unwrap();
    tx.commit().await.unwrap();
    (subnet, group.id)
}

/// Instances that differ in whatever can be looked up, a third of them another account's, and the words for it all.
async fn fill(world: &World, rng: &Rng) -> Vocabulary {
    let mine = world.cx.account().clone();
    let other: AccountId = "999999999999".parse().unwrap();
    let mut tx = world.store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: other.clone(), name: "other".into(), created_ms: 1 }).await.unwrap();
    tx.commit().await.unwrap();
    let (second, second_group) = second_subnet(world, &mine, 7).await;
    let (foreign, foreign_group) = second_subnet(world, &other, 8).await;
    let mut words = Vocabulary(Vec::new());
    let mut tx = world.store.write().await.unwrap();
    for n in 0..INSTANCES {
        let id = InstanceId::from_random(u128::from(rng.u64()));
        let (account, subnet, groups) = match n % 3 {
            0 => (&mine, &world.subnet, world.groups.clone()),
            1 => (&mine, &second, vec![second_group.clone()]),
            _ => (&other, &foreign, vec![foreign_group.clone()]),
        };
        let mut row = world.instance(&id, n);
        row.account_id = account.clone();
        (row.vpc_id, row.subnet_id) = (subnet.vpc_id.clone(), subnet.id.clone());
        row.instance_type = ["t3.nano", "t3.large", "m5.large"][usize::try_from(rng.below(3)).unwrap()].into();
        row.image_id = ImageId::from_random(u128::from(rng.below(4)));
        row.key_name = (rng.below(2) == 0).then(|| format!("key-{}", rng.below(3)));
        row.state = InstanceState::ALL[usize::try_from(rng.below(6)).unwrap()];
        row.released = row.state == InstanceState::Terminated;
        row.terminated_ms = row.released.then_some(1);
        instance_insert(&mut tx, &row, None).await.unwrap();
        let tags = (0..rng.below(3))
            .map(|_| TagRow { account_id: account.clone(), ..world.tag(id.to_string(), "instance", rng.below(9)) });
        let tags: Vec<TagRow> = tags.collect();
        tag_put(&mut tx, &tags).await.unwrap();
        for tag in &tags {
            words.add(&format!("tag:{}", tag.key), &tag.value);
            words.add("tag-key", &tag.key);
        }
        words.add("instance-type", &row.instance_type);
        words.add("image-id", &row.image_id);
        words.add("key-name", row.key_name.as_deref().unwrap_or("key-9"));
        words.add("instance-state-name", row.state.name());
        words.add("instance-state-code", row.state.code());
        words.add("subnet-id", &row.subnet_id);
        words.add("vpc-id", &row.vpc_id);
        words.add("reservation-id", &row.reservation_id);
        words.add("instance-id", &id);
        words.add("architecture", "x86_64");
        if row.released {
            continue;
        }
        interfaces(world, &mut tx, rng, &row, subnet, &groups, &mut words).await;
        if rng.below(4) == 0 {
            let profile = rng.below(3);
            let association = ProfileAssociationRow {
                id: ProfileAssociationId::from_random(u128::from(n)),
                account_id: account.clone(),
                instance_id: id,
                profile_id: format!("AIPA{profile}"),
                profile_arn: format!("arn:aws:iam::{account}:instance-profile/p{profile}"),
                created_ms: 1,
            };
            profile_association_insert(&mut tx, &association).await.unwrap();
            words.add("iam-instance-profile.arn", &association.profile_arn);
            words.add("iam-instance-profile.id", &association.profile_id);
        }
    }
    tx.commit().await.unwrap();
    words
}

/// One or two interfaces, some with a public address.
async fn interfaces(
    world: &World,
    tx: &mut Tx,
    rng: &Rng,
    instance: &InstanceRow,
    subnet: &SubnetRow,
    groups: &[GroupId],
    words: &mut Vocabulary,
) {
    let region = &world.cloud.config().region;
    for index in 0..=u32::try_from(rng.below(2)).unwrap() {
        let private_ip = private_addresses_take(tx, &subnet.id, subnet.cidr, 1).await.unwrap().remove(0);
        let row = InterfaceRow {
            id: InterfaceId::from_random(u128::from(rng.u64())),
            account_id: instance.account_id.clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            zone: subnet.zone.clone(),
            mac: MacAddress::from_random(rng.u64()),
            private_ip,
            instance_id: Some(instance.id.clone()),
            attachment_id: Some(AttachmentId::from_random(u128::from(rng.u64()))),
            device_index: Some(index),
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: 1,
            kind: InterfaceKind::Interface,
        };
        let groups: Vec<GroupId> = groups.iter().filter(|_| rng.below(2) == 0).cloned().collect();
        interface_insert(tx, &row, &groups).await.unwrap();
        if rng.below(2) == 0 {
            let pool = world.cloud.config().public_pool;
            let ip = public_address_take(tx, pool, &row.id, &row.account_id).await.unwrap();
            words.add("ip-address", ip);
            words.add("network-interface.association.public-ip", ip);
            words.add("dns-name", mallee_app::network::public_dns_name(ip, region));
        }
        words.add("private-ip-address", private_ip);
        words.add("network-interface.addresses.private-ip-address", private_ip);
        words.add("private-dns-name", mallee_app::network::private_dns_name(private_ip, region));
        words.add("network-interface.network-interface-id", &row.id);
        words.add("network-interface.mac-address", row.mac);
        for group in &groups {
            words.add("instance.group-id", group);
            words.add("network-interface.group-id", group);
        }
        words.add("instance.group-name", "group 1");
        words.add("network-interface.group-name", "group 2");
    }
}

async fn what_is_looked_up_is_what_reading_everything_finds(db: TestDb) {
    let (world, rng) = (World::new(db).await, Rng::seeded(11));
    let api = Ec2Api::new(world.cloud.clone());
    let words = fill(&world, &rng).await;
    let mut found = 0;
    // Each filter by itself with each of its values, then several together.
    let single = words.0.iter().flat_map(|(name, values)| values.iter().map(|v| vec![(name.clone(), vec![v.clone()])]));
    let mixed = (0..TRIALS).map(|_| words.filters(&rng)).collect::<Vec<_>>();
    for filters in single.chain(mixed) {
        let looked_up = described(&world, &api, &params(&filters, false)).await;
        let read = described(&world, &api, &params(&filters, true)).await;
        assert_eq!(looked_up, read, "{filters:?}");
        found += usize::from(looked_up.contains("<instanceId>"));
        assert!(!looked_up.contains("<ownerId>999999999999</ownerId>"));
    }
    assert!(found > 200, "only {found} requests found anything");
}

async fn pages_of_what_is_looked_up_have_everything_once(db: TestDb) {
    let (world, rng) = (World::new(db).await, Rng::seeded(12));
    let api = Ec2Api::new(world.cloud.clone());
    let words = fill(&world, &rng).await;
    let mut several = 0;
    for _ in 0..40 {
        let filters: Vec<_> = words.filters(&rng).into_iter().take(2).collect();
        let all = described(&world, &api, &params(&filters, true)).await;
        let all: BTreeSet<String> = elements(&all, "instanceId").into_iter().collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut params = params(&filters, false);
            params.push(("MaxResults".into(), "5".into()));
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let page = described(&world, &api, &params).await;
            let here = elements(&page, "instanceId");
            let instances: BTreeSet<String> = here.into_iter().collect();
            assert!(instances.len() <= 5, "{filters:?}");
            seen.extend(instances);
            token = elements(&page, "nextToken").pop();
            if token.is_none() {
                break;
            }
            several += 1;
        }
        assert_eq!(seen.len(), all.len(), "{filters:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all, "{filters:?}");
    }
    assert!(several > 10, "only {several} second pages");
}

//! VPC peering connections: one between two VPCs, as long as it lives; who is shown it, and until when.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{AssertSqlSafe, Connection as _};

mallee_store::store_test_suite!(
    between_two_vpcs_there_is_one_at_a_time,
    what_has_ended_is_shown_for_a_while,
    both_sides_have_tags_of_their_own,
    tags_of_before_stay_as_they_are
);

const OTHER: &str = "000000000002";

fn other() -> AccountId {
    OTHER.parse().unwrap()
}

/// A second account with a VPC, beside the first's.
async fn two(store: &Store) -> (VpcRow, VpcRow) {
    let (first, _) = world(store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: other(), name: "second".into(), created_ms: 1 }).await.unwrap();
    let second = VpcRow {
        id: VpcId::from_random(2),
        account_id: other(),
        cidr: "10.0.0.0/16".parse().unwrap(),
        vni: vpc_vni_take(&mut tx).await.unwrap(),
        is_default: false,
        ..first.clone()
    };
    let second = VpcRow { dhcp_options_id: None, ..second };
    vpc_insert(&mut tx, &second).await.unwrap();
    tx.commit().await.unwrap();
    (first, second)
}

fn asked(n: u128, requester: &VpcRow, accepter: &VpcRow) -> VpcPeeringRow {
    VpcPeeringRow {
        id: VpcPeeringId::from_random(n),
        requester_account: requester.account_id.clone(),
        requester_vpc: requester.id.clone(),
        accepter_account: accepter.account_id.clone(),
        accepter_vpc: accepter.id.clone(),
        state: VpcPeeringState::PendingAcceptance,
        decided_by: None,
        requester_dns: false,
        accepter_dns: false,
        generation: Generation(1),
        created_ms: 10,
        expires_ms: 100,
        requester_until_ms: None,
        accepter_until_ms: None,
    }
}

async fn insert(store: &Store, row: &VpcPeeringRow) -> Result<(), StoreError> {
    let mut tx = store.write().await.unwrap();
    vpc_peering_insert(&mut tx, row).await?;
    tx.commit().await
}

async fn shown(store: &Store, account: &AccountId, now_ms: i64) -> Vec<VpcPeeringRow> {
    vpc_peering_list_shown(store, account, now_ms, VpcPeeringFilter::default(), 10).await.unwrap()
}

async fn between_two_vpcs_there_is_one_at_a_time(db: TestDb) {
    let store = db.open().await;
    let (first, second) = two(&store).await;
    let row = asked(1, &first, &second);
    insert(&store, &row).await.unwrap();
    let twice = insert(&store, &asked(2, &second, &first)).await.unwrap_err();
    assert!(twice.is_conflict(VPC_PEERING_DUPLICATE), "whoever asks: {twice}");
    assert_eq!(vpc_peering_between(&store, &second.id, &first.id).await.unwrap(), Some(row.clone()));
    assert_eq!(vpc_peering_list_of(&store, &second.id, 9).await.unwrap(), [row.clone()]);
    // Neither VPC goes while it lives.
    let kept = {
        let mut tx = store.write().await.unwrap();
        match vpc_delete(&mut tx, &second.id).await {
            Err(error) => error,
            Ok(_) => tx.commit().await.unwrap_err(),
        }
    };
    assert!(matches!(kept, StoreError::InUse), "{kept}");
    let mut tx = store.write().await.unwrap();
    assert!(vpc_peering_accept(&mut tx, &row.id, &other()).await.unwrap());
    assert!(!vpc_peering_accept(&mut tx, &row.id, &other()).await.unwrap(), "once");
    // Each side sets its own, whatever it knew of the other's.
    assert!(vpc_peering_options_set(&mut tx, &row.id, Some(true), None).await.unwrap());
    assert!(vpc_peering_options_set(&mut tx, &row.id, None, Some(true)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(vpc_peering_count_active(&store, &first.id).await.unwrap(), 1);
    let active = VpcPeeringFilter { state: Some(VpcPeeringState::Active), ..Default::default() };
    let now = vpc_peering_list(&store, active, 9).await.unwrap().remove(0);
    assert_eq!((now.generation, now.decided_by.clone()), (Generation(4), Some(other())));
    assert_eq!((now.requester_dns, now.accepter_dns), (true, true));
    let ended = VpcPeeringRow {
        state: VpcPeeringState::Deleted,
        requester_until_ms: Some(50),
        accepter_until_ms: Some(70),
        ..now.clone()
    };
    let mut tx = store.write().await.unwrap();
    assert!(!vpc_peering_end(&mut tx, &ended, VpcPeeringState::PendingAcceptance).await.unwrap());
    assert!(vpc_peering_end(&mut tx, &ended, VpcPeeringState::Active).await.unwrap());
    tx.commit().await.unwrap();
    insert(&store, &asked(3, &second, &first)).await.unwrap();
    let mut failed = asked(4, &first, &second);
    failed.state = VpcPeeringState::Failed;
    failed.accepter_vpc = VpcId::from_random(77);
    insert(&store, &failed).await.unwrap();
    let gone = VpcPeeringRow { accepter_vpc: VpcId::from_random(78), ..asked(5, &first, &second) };
    assert!(matches!(insert(&store, &gone).await.unwrap_err(), StoreError::InUse), "no such VPC");
    let used = |counted| quota_use(&store, counted, &OTHER_ACCOUNT, None);
    assert_eq!(used(Counted::VpcPeeringRequests).await.unwrap(), 1);
}

static OTHER_ACCOUNT: std::sync::LazyLock<AccountId> = std::sync::LazyLock::new(other);

async fn what_has_ended_is_shown_for_a_while(db: TestDb) {
    let store = db.open().await;
    let (first, second) = two(&store).await;
    let row = asked(1, &first, &second);
    insert(&store, &row).await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert_eq!(vpc_peering_expire(&mut tx, 99).await.unwrap(), 0);
    assert_eq!(vpc_peering_expire(&mut tx, 100).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(vpc_peering_between(&store, &first.id, &second.id).await.unwrap().is_none());
    let until = 100 + VPC_PEERING_EXPIRED_SHOWN_MS;
    for account in [account(), other()] {
        assert_eq!(shown(&store, &account, until - 1).await[0].state, VpcPeeringState::Expired);
        assert!(shown(&store, &account, until).await.is_empty());
    }
    let row = VpcPeeringRow {
        state: VpcPeeringState::Rejected,
        requester_until_ms: Some(200),
        accepter_until_ms: Some(150),
        ..asked(2, &first, &second)
    };
    insert(&store, &row).await.unwrap();
    assert_eq!(shown(&store, &account(), 160).await.last(), Some(&row));
    assert!(!shown(&store, &other(), 160).await.contains(&row));
    assert!(vpc_peering_list_over(&store, 199, 9).await.unwrap().is_empty());
    assert_eq!(vpc_peering_list_over(&store, 200, 9).await.unwrap(), [row.id.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(vpc_peering_delete(&mut tx, &row.id).await.unwrap());
    assert!(!vpc_peering_delete(&mut tx, &row.id).await.unwrap());
    tx.commit().await.unwrap();
}

async fn both_sides_have_tags_of_their_own(db: TestDb) {
    let store = db.open().await;
    two(&store).await;
    let tag = |account: &AccountId, value: &str| TagRow {
        resource_id: "pcx-1".into(),
        key: "Name".into(),
        value: value.into(),
        resource_type: "vpc-peering-connection".into(),
        account_id: account.clone(),
    };
    let (mine, theirs) = (tag(&account(), "mine"), tag(&other(), "theirs"));
    let mut tx = store.write().await.unwrap();
    tag_put(&mut tx, &[tag(&account(), "first")]).await.unwrap();
    tag_put(&mut tx, std::slice::from_ref(&theirs)).await.unwrap();
    tag_put(&mut tx, std::slice::from_ref(&mine)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(tag_list(&store, &account(), TagFilter::default(), 9).await.unwrap(), [mine]);
    assert_eq!(tag_list(&store, &other(), TagFilter::default(), 9).await.unwrap(), [theirs]);
    assert_eq!(tag_count(&store, &account(), "pcx-1").await.unwrap(), 1);
    let mut tx = store.write().await.unwrap();
    assert_eq!(tag_delete(&mut tx, &other(), &["pcx-1".into()], None, None).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(tag_count(&store, &account(), "pcx-1").await.unwrap(), 1, "the other side's stay");
}

async fn tags_of_before_stay_as_they_are(db: TestDb) {
    db.migrate_to(44).await;
    let text = format!(
        "INSERT INTO tags (resource_id, key, value, resource_type, account_id)
            VALUES ('i-1', 'Name', 'v', 'instance', '{}');",
        account()
    );
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    }
    let store = db.open().await;
    let tags = tag_list_of(&store, "i-1").await.unwrap();
    assert_eq!((tags.len(), tags[0].value.as_str(), &tags[0].account_id), (1, "v", &account()));
}

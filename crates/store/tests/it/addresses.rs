//! Address allocation.

use crate::seed::{account, group, interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::collections::HashSet;

mallee_store::store_test_suite!(
    concurrent_launches_get_distinct_addresses,
    a_full_subnet_says_so_and_takes_nothing,
    a_released_address_is_kept_back,
    a_chosen_address_is_given_once,
    an_interface_keeps_and_gives_back_its_addresses,
);

async fn concurrent_launches_get_distinct_addresses(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let launches: Vec<_> = (0..20)
        .map(|_| {
            let (store, subnet) = (store.clone(), subnet.clone());
            tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                let got = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 12).await.unwrap();
                tx.commit().await.unwrap();
                got
            })
        })
        .collect();
    let mut all = HashSet::new();
    for launch in launches {
        for address in launch.await.unwrap() {
            assert!(AddressRange::of_subnet(subnet.cidr).unwrap().contains(address));
            assert!(all.insert(address), "{address} was given twice");
        }
    }
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 240);
    let asked = [subnet.id.clone(), SubnetId::from_random(77)];
    let counts = private_address_counts(&store, &asked).await.unwrap();
    assert_eq!(counts, [(subnet.id.clone(), 240)].into(), "one without addresses is left out");
}

async fn a_full_subnet_says_so_and_takes_nothing(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/28").await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 9).await.unwrap().len(), 9);
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let error = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 3).await.unwrap_err();
    assert!(matches!(error, StoreError::Exhausted { .. }), "{error:?}");
    assert_eq!(private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 2).await.unwrap().len(), 2);
    tx.commit().await.unwrap();
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 11);
}

async fn a_released_address_is_kept_back(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/28").await;
    let mut tx = store.write().await.unwrap();
    let all = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 11).await.unwrap();
    private_addresses_release(&mut tx, &subnet.id, &all[..1]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 10);
    let mut tx = store.write().await.unwrap();
    assert!(private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.is_err());
    db.clock.shift_ms(ADDRESS_HOLD_MS + 1);
    assert_eq!(private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap(), all[..1]);
    tx.commit().await.unwrap();
}

async fn a_chosen_address_is_given_once(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/28").await;
    let chosen = "172.31.0.9".parse().unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(private_address_take_exact(&mut tx, &subnet.id, chosen).await.unwrap());
    assert!(!private_address_take_exact(&mut tx, &subnet.id, chosen).await.unwrap());
    let rest = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 10).await.unwrap();
    assert!(!rest.contains(&chosen));
    tx.commit().await.unwrap();
}

async fn an_interface_keeps_and_gives_back_its_addresses(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/28").await;
    let pool = "192.0.2.0/30".parse().unwrap();
    let web = group(&vpc, 1, "web");
    let mut tx = store.write().await.unwrap();
    security_group_insert(&mut tx, &web).await.unwrap();
    let ip = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap()[0];
    let eni = interface(&subnet, 7, ip);
    interface_insert(&mut tx, &eni, std::slice::from_ref(&web.id)).await.unwrap();
    let public = public_address_take(&mut tx, pool, &eni.id, &account()).await.unwrap();
    assert_eq!(public.to_string(), "192.0.2.2");
    let instance = InstanceId::from_random(3);
    let attachment = AttachmentId::from_random(3);
    interface_attach(&mut tx, &eni.id, &instance, &attachment, 0, true).await.unwrap();
    let again = interface_attach(&mut tx, &eni.id, &instance, &attachment, 0, true).await;
    assert!(matches!(again, Err(StoreError::Stale { .. })));
    tx.commit().await.unwrap();

    let of_group = InterfaceFilter { group: Some(&web.id), account: Some(&account()), ..Default::default() };
    let listed = interface_list(&store, of_group, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].instance_id, Some(instance.clone()));
    let of_instance = InterfaceFilter { instances: Some(&[instance]), ..Default::default() };
    assert_eq!(interface_list(&store, of_instance, 10).await.unwrap(), listed);
    assert_eq!(
        interface_group_list(&store, Some(std::slice::from_ref(&eni.id)), 10).await.unwrap()[0].group_id,
        web.id
    );
    assert_eq!(public_address_list(&store, None, None, 10).await.unwrap()[0].interface_id, eni.id);

    let mut tx = store.write().await.unwrap();
    assert!(matches!(security_group_delete(&mut tx, &web.id).await, Err(StoreError::InUse)));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(interface_delete(&mut tx, &eni.id).await.unwrap());
    assert!(!interface_delete(&mut tx, &eni.id).await.unwrap());
    assert!(security_group_delete(&mut tx, &web.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 0);
    assert!(public_address_list(&store, None, None, 10).await.unwrap().is_empty());
    assert!(interface_group_list(&store, None, 10).await.unwrap().is_empty());
}

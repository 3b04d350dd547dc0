//! Temporary credentials.

use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use secrecy::{ExposeSecret as _, SecretString};

mallee_store::store_test_suite!(
    a_session_reads_back_as_written,
    expired_sessions_go,
    sealed_texts_open_under_their_name,
);

fn session(n: u32) -> SessionRow {
    SessionRow {
        id: format!("ASIA{n:016}"),
        account_id: account(),
        kind: SessionKind::Role,
        principal_id: "AROA1".into(),
        name: "s".into(),
        token_hash: "00".into(),
        issued_ms: 1,
        expires_ms: i64::from(n) * 100,
        doc: Json(SessionDoc {
            policies: Some(vec!["{}".into()]),
            tags: vec![("k".into(), "v".into())],
            source_identity: Some("alice".into()),
            ..SessionDoc::default()
        }),
    }
}

async fn with_sessions(store: &Store) {
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: account(), name: "first".into(), created_ms: 1 }).await.unwrap();
    for n in 1..=3 {
        session_insert(&mut tx, &session(n), &SecretString::from(format!("secret{n}"))).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn a_session_reads_back_as_written(db: TestDb) {
    let store = db.open().await;
    with_sessions(&store).await;
    assert_eq!(session_fetch(&store, &session(2).id).await.unwrap(), session(2));
    assert_eq!(session_secret(&store, &session(2).id).await.unwrap().expose_secret(), "secret2");
    assert!(matches!(session_fetch(&store, "ASIAX").await, Err(StoreError::NotFound { .. })));
    let mut tx = store.write().await.unwrap();
    let error = session_insert(&mut tx, &session(1), &SecretString::from("x")).await.unwrap_err();
    assert!(error.is_conflict("sessions_id"), "{error:?}");
}

async fn expired_sessions_go(db: TestDb) {
    let store = db.open().await;
    with_sessions(&store).await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(session_purge(&mut tx, 200).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(session_fetch(&store, &session(1).id).await.is_err());
    assert!(session_fetch(&store, &session(2).id).await.is_ok());
}

async fn sealed_texts_open_under_their_name(db: TestDb) {
    let store = db.open().await;
    let sealed = text_seal(&store, "a", "text").unwrap();
    assert_eq!(text_open(&store, "a", &sealed).unwrap().expose_secret(), "text");
    assert!(text_open(&store, "b", &sealed).is_err());
}

//! The four checks on a workflow that works as it should, and on one that does not (the checks must see it).

use mallee_saga::test_support::{SagaCase, fail_each_step, repeat_each_action, repeat_each_undo, survives_everything};
use mallee_saga::{Registry, SagaDef, SagaType, StepError};
use mallee_store::test_support::TestDb;
use mallee_store::{Store, setting_delete, setting_fetch, setting_insert, setting_list, setting_put};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mallee_store::store_test_suite!(a_good_workflow_survives_everything, bad_workflows_are_caught);

/// What is wrong with the workflow.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    UndoForgets,
    ActionNotIdempotent,
    UndoNotIdempotent,
}

/// Three steps that each set a setting.
struct Case {
    postgres: bool,
    flaw: Flaw,
    world: Option<(TestDb, Store)>,
    extra: Arc<AtomicU32>,
}

impl Case {
    fn new(db: &TestDb, flaw: Flaw) -> Self {
        Self { postgres: db.is_postgres(), flaw, world: None, extra: Arc::default() }
    }
    fn store(&self) -> Store {
        self.world.as_ref().unwrap().1.clone()
    }
}

async fn put(store: &Store, key: &str) -> Result<String, StepError> {
    let mut tx = store.write().await?;
    setting_put(&mut tx, key, "here").await?;
    tx.commit().await?;
    Ok(key.to_owned())
}

async fn put_once(store: &Store, key: &str) -> Result<String, StepError> {
    let mut tx = store.write().await?;
    if !setting_insert(&mut tx, key, "here").await? {
        return Err(StepError::failed("there already"));
    }
    tx.commit().await?;
    Ok(key.to_owned())
}

async fn remove(store: &Store, key: &str, must_be_there: bool) -> Result<(), StepError> {
    let mut tx = store.write().await?;
    if !setting_delete(&mut tx, key).await? && must_be_there {
        return Err(StepError::failed("not there"));
    }
    tx.commit().await?;
    Ok(())
}

#[async_trait::async_trait]
impl SagaCase for Case {
    type Params = String;

    async fn fresh(&mut self) -> Store {
        if self.world.is_none() {
            let db = if self.postgres { TestDb::postgres().await } else { TestDb::sqlite().await };
            let store = db.open().await;
            self.world = Some((db, store));
        }
        let store = self.store();
        let mut tx = store.write().await.unwrap();
        for (key, _) in setting_list(&mut tx).await.unwrap() {
            setting_delete(&mut tx, &key).await.unwrap();
        }
        tx.commit().await.unwrap();
        self.extra.store(0, Ordering::SeqCst);
        store
    }

    fn register(&self, registry: &mut Registry) -> SagaType<String> {
        let (a, b, flaw) = (self.store(), self.store(), self.flaw);
        let (c, d, extra) = (self.store(), self.store(), self.extra.clone());
        let def = SagaDef::<String>::new("three", 1, Duration::from_secs(60))
            .step(
                "first",
                move |ctx| {
                    let a = a.clone();
                    async move { put(&a, &format!("first-{}", ctx.params())).await }
                },
                move |ctx| {
                    let b = b.clone();
                    async move {
                        let must = flaw == Flaw::UndoNotIdempotent;
                        remove(&b, &format!("first-{}", ctx.params()), must).await
                    }
                },
            )
            .step(
                "second",
                move |ctx| {
                    let c = c.clone();
                    async move {
                        let first: String = ctx.need("first")?;
                        let key = format!("second-of-{first}");
                        if flaw == Flaw::ActionNotIdempotent { put_once(&c, &key).await } else { put(&c, &key).await }
                    }
                },
                move |ctx| {
                    let d = d.clone();
                    async move {
                        if flaw == Flaw::UndoForgets && ctx.output::<String>("second")?.is_none() {
                            // Believes that a step without output did nothing.
                            return Ok(());
                        }
                        remove(&d, &format!("second-of-first-{}", ctx.params()), false).await
                    }
                },
            )
            .step(
                "third",
                move |_| {
                    extra.store(1, Ordering::SeqCst);
                    async { Ok(7u32) }
                },
                {
                    let extra = self.extra.clone();
                    move |_| {
                        extra.store(0, Ordering::SeqCst);
                        async { Ok(()) }
                    }
                },
            );
        registry.register(def)
    }

    fn params(&self) -> String {
        "x".into()
    }

    async fn check_clean(&self) {
        assert!(setting_list(&self.store()).await.unwrap().is_empty());
        assert_eq!(self.extra.load(Ordering::SeqCst), 0);
    }

    async fn check_done(&self) {
        let store = self.store();
        assert_eq!(setting_list(&store).await.unwrap().len(), 2);
        assert!(setting_fetch(&store, "second-of-first-x").await.unwrap().is_some());
        assert_eq!(self.extra.load(Ordering::SeqCst), 1);
    }
}

async fn a_good_workflow_survives_everything(db: TestDb) {
    survives_everything(&mut Case::new(&db, Flaw::None)).await;
}

async fn bad_workflows_are_caught(db: TestDb) {
    let caught = async |flaw| {
        let mut case = Case::new(&db, flaw);
        let check = tokio::spawn(async move {
            match flaw {
                Flaw::None | Flaw::UndoForgets => fail_each_step(&mut case).await,
                Flaw::ActionNotIdempotent => repeat_each_action(&mut case).await,
                Flaw::UndoNotIdempotent => repeat_each_undo(&mut case).await,
            }
        });
        check.await.is_err()
    };
    assert!(!caught(Flaw::None).await);
    assert!(caught(Flaw::UndoForgets).await);
    assert!(caught(Flaw::ActionNotIdempotent).await);
    assert!(caught(Flaw::UndoNotIdempotent).await);
}

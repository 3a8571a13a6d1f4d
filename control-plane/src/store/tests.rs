//! Two replicas over the same documents in memory.

use tidegate_cluster::memory::MemoryDocuments;

use super::*;
use crate::model::{OperationState, Source, Spec};

const NOW: Millis = Millis::new(1_700_000_000_000);

fn replica(documents: &Arc<MemoryDocuments>) -> Store {
    Store::new(Arc::clone(documents) as _, Duration::from_secs(60), 2)
}

fn operation(id: &str) -> Operation {
    let spec = Spec::parse(&serde_json::json!({"kind": "rollout"})).unwrap();
    Operation::new(OperationId::parse(id).unwrap(), spec, Source::Api, "ann".to_owned(), NOW)
}

async fn create(store: &Store, id: &str) -> Operation {
    match store.write(operation(id), Expected::Absent).await.unwrap() {
        Saved::Done(operation) => operation,
        Saved::Conflict(held) => panic!("{id} is there already: {held:?}"),
    }
}

#[tokio::test]
async fn what_one_replica_writes_another_learns() {
    let documents = Arc::new(MemoryDocuments::new(10));
    let (a, b) = (replica(&documents), replica(&documents));
    let written = create(&a, "x").await;
    assert_eq!(b.operation(&written.id), None);
    b.refresh().await.unwrap();
    assert_eq!(b.operation(&written.id), Some(written));
}

#[tokio::test]
async fn of_two_changes_the_one_in_the_store_wins() {
    let documents = Arc::new(MemoryDocuments::new(10));
    let (a, b) = (replica(&documents), replica(&documents));
    let first = create(&a, "x").await;
    b.refresh().await.unwrap();

    let paused = Operation { desired: crate::model::Desired::Pause, ..first.clone() };
    b.write(paused, b.expected(&first.id)).await.unwrap();
    a.put(Operation { message: "moved on".to_owned(), ..first.clone() }, first.revision);
    a.flush().await.unwrap();

    let now = a.operation(&first.id).unwrap();
    assert_eq!((now.desired, &*now.message), (crate::model::Desired::Pause, ""));
    assert!(now.revision > first.revision);
}

#[tokio::test]
async fn what_the_plan_made_of_an_older_revision_is_dropped() {
    let store = replica(&Arc::new(MemoryDocuments::new(10)));
    let first = create(&store, "x").await;
    let paused = Operation { desired: crate::model::Desired::Pause, ..first.clone() };
    store.write(paused, store.expected(&first.id)).await.unwrap();

    store.put(Operation { message: "moved on".to_owned(), ..first.clone() }, first.revision);
    assert_eq!(store.operation(&first.id).unwrap().desired, crate::model::Desired::Pause);
}

#[tokio::test]
async fn what_a_store_forgot_is_written_again_under_a_higher_revision() {
    let (old, new) = (Arc::new(MemoryDocuments::new(10)), Arc::new(MemoryDocuments::new(10)));
    let mut a = replica(&old);
    let before = create(&a, "x").await;
    a.refresh().await.unwrap();
    a.documents = Arc::clone(&new) as _;
    a.refresh().await.unwrap();
    a.flush().await.unwrap();

    let b = replica(&new);
    b.refresh().await.unwrap();
    let again = b.operation(&before.id).expect("it is written again");
    assert!(again.revision > before.revision, "{} > {}", again.revision, before.revision);
}

#[tokio::test]
async fn finished_operations_are_kept_to_the_bound_and_for_their_time() {
    let documents = Arc::new(MemoryDocuments::new(10));
    let store = replica(&documents);
    for (id, age) in [("oldest", 30), ("older", 20), ("newest", 10)] {
        let finished_at = NOW - Duration::from_secs(age);
        let finished =
            Operation { state: OperationState::Succeeded, finished_at: Some(finished_at), ..operation(id) };
        store.write(finished, Expected::Absent).await.unwrap();
    }
    create(&store, "live").await;
    let ids = || store.operations(|_| true).iter().map(|op| op.id.to_string()).collect::<Vec<_>>();

    assert_eq!(store.prune(NOW).await, Ok(1), "two are kept");
    assert_eq!(ids(), ["live", "newest", "older"]);
    assert_eq!(store.prune(NOW + Duration::from_secs(39)).await, Ok(0));
    assert_eq!(store.prune(NOW + Duration::from_secs(40)).await, Ok(1), "a minute is over for one");
    assert_eq!(ids(), ["live", "newest"]);
}

#[tokio::test]
async fn a_watch_shows_each_change_and_ends_with_the_operation() {
    let store = replica(&Arc::new(MemoryDocuments::new(10)));
    let written = create(&store, "x").await;
    let mut watched = store.watch(&written.id).unwrap();
    store.put(Operation { message: "on its way".to_owned(), ..written.clone() }, written.revision);
    watched.changed().await.unwrap();
    assert_eq!(watched.borrow_and_update().message, "on its way");

    let revision = written.revision;
    store.put(Operation { state: OperationState::Succeeded, ..written }, revision);
    watched.changed().await.unwrap();
    assert!(watched.borrow_and_update().state.is_terminal());
    assert!(watched.changed().await.is_err(), "nothing more can come");
}

#[tokio::test]
async fn a_cordon_stands_until_it_is_lifted_and_both_may_be_repeated() {
    let documents = Arc::new(MemoryDocuments::new(10));
    let (a, b) = (replica(&documents), replica(&documents));
    let node: Arc<str> = "n1".into();
    let record = |stands| CordonRecord { requested_by: "ann".to_owned(), stands };
    for _ in 0..2 {
        a.cordon(&node, record(true)).await.unwrap();
    }
    b.refresh().await.unwrap();
    assert_eq!(b.cordons(), [(Arc::clone(&node), record(true))]);
    for _ in 0..2 {
        b.cordon(&node, record(false)).await.unwrap();
    }
    b.forget_cordon(&node).await.unwrap();
    assert_eq!(b.cordons(), []);
}

#[tokio::test]
async fn what_has_just_ended_is_still_told_with_what_goes_on() {
    let store = replica(&Arc::new(MemoryDocuments::new(10)));
    create(&store, "on").await;
    let over = create(&store, "over").await;
    let ended = Operation { state: OperationState::Succeeded, finished_at: Some(NOW), ..over.clone() };
    store.put(ended, over.revision);

    let second = Duration::from_secs(1);
    assert_eq!(store.live().len(), 1);
    assert_eq!(store.live_since(NOW).len(), 2);
    assert_eq!(store.live_since(NOW + second).len(), 1);
}

//! What every [`Documents`] promises.

use std::sync::Arc;

use bytes::Bytes;

use crate::documents::{Change, Cursor, Document, Documents, Expected, Written};

use super::{Harness, get};

/// Checks every rule, each on fresh documents.
pub async fn check(harness: &impl Harness<dyn Documents>) {
    a_change_happens_only_to_what_its_author_has_seen(harness).await;
    of_those_who_change_the_same_revision_one_does(harness).await;
    revisions_grow_over_all_documents(harness).await;
    a_reader_is_told_what_changed_since_it_asked(harness).await;
    a_reader_of_another_store_is_told_everything(harness).await;
    a_removed_document_is_gone(harness).await;
}

async fn a_change_happens_only_to_what_its_author_has_seen(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let absent = Written::Conflict(Expected::Absent);
    assert_eq!(get(documents.write(change("a", Expected::Revision(1), "x"))).await, absent);

    let first = create(&*documents, "a", "one").await;
    let held = Expected::Revision(first);
    assert_eq!(get(documents.write(change("a", Expected::Absent, "x"))).await, Written::Conflict(held));
    let wrong = Expected::Revision(first + 7);
    assert_eq!(get(documents.write(change("a", wrong, "x"))).await, Written::Conflict(held));
    assert_eq!(get(documents.read("a")).await, Some(document("a", first, "one")));

    let Written::Revision(second) = get(documents.write(change("a", held, "two"))).await else {
        panic!("the revision was the one that is there")
    };
    assert!(second > first);
    assert_eq!(get(documents.read("a")).await, Some(document("a", second, "two")));
    assert_eq!(get(documents.read("b")).await, None);
}

async fn of_those_who_change_the_same_revision_one_does(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let seen = Expected::Revision(create(&*documents, "a", "").await);
    let under_way: Vec<_> =
        ["x", "y", "z"].into_iter().map(|body| documents.write(change("a", seen, body))).collect();
    let mut written = 0;
    for answer in under_way {
        written += usize::from(matches!(get(answer).await, Written::Revision(_)));
    }
    assert_eq!(written, 1);
}

async fn revisions_grow_over_all_documents(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let a = create(&*documents, "a", "").await;
    let b = create(&*documents, "b", "").await;
    assert!(b > a);

    let lifted = Change { above: 1_000, ..change("c", Expected::Absent, "") };
    assert_eq!(get(documents.write(lifted)).await, Written::Revision(1_001));
    assert_eq!(create(&*documents, "d", "").await, 1_002);
}

async fn a_reader_is_told_what_changed_since_it_asked(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let nothing = get(documents.changes(Cursor::default(), 10)).await;
    assert_eq!((nothing.documents.len(), nothing.cursor), (0, Cursor::default()));

    let a = create(&*documents, "a", "one").await;
    let b = create(&*documents, "b", "one").await;
    let first = get(documents.changes(Cursor::default(), 1)).await;
    assert_eq!(first.documents, [document("a", a, "one")]);
    let rest = get(documents.changes(first.cursor, 10)).await;
    assert_eq!(rest.documents, [document("b", b, "one")]);
    assert_eq!(get(documents.changes(rest.cursor, 10)).await.documents, []);

    let Written::Revision(again) = get(documents.write(change("a", Expected::Revision(a), "two"))).await
    else {
        panic!("nobody else changed it")
    };
    let changed = get(documents.changes(rest.cursor, 10)).await;
    assert_eq!(changed.documents, [document("a", again, "two")]);
    assert_eq!(changed.cursor, Cursor { revision: again, ..rest.cursor });
}

async fn a_reader_of_another_store_is_told_everything(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let a = create(&*documents, "a", "").await;
    let elsewhere = Cursor { generation: u64::MAX, revision: 1_000_000 };
    let changes = get(documents.changes(elsewhere, 10)).await;
    assert_eq!(changes.documents, [document("a", a, "")]);
    assert_ne!(changes.cursor.generation, elsewhere.generation);
}

async fn a_removed_document_is_gone(harness: &impl Harness<dyn Documents>) {
    let documents = harness.fresh().await;
    let a = create(&*documents, "a", "").await;
    assert!(!get(documents.remove("a", a + 1)).await);
    assert!(get(documents.remove("a", a)).await);
    assert!(!get(documents.remove("a", a)).await);
    assert_eq!(get(documents.read("a")).await, None);
    assert_eq!(get(documents.changes(Cursor::default(), 10)).await.documents, []);
}

async fn create(documents: &dyn Documents, name: &str, body: &str) -> u64 {
    match get(documents.write(change(name, Expected::Absent, body))).await {
        Written::Revision(revision) => revision,
        Written::Conflict(held) => panic!("`{name}` is there already: {held:?}"),
    }
}

fn change(name: &str, expected: Expected, body: &str) -> Change {
    Change { name: name.into(), expected, above: 0, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn document(name: &str, revision: u64, body: &str) -> Document {
    Document { name: Arc::from(name), revision, body: Bytes::copy_from_slice(body.as_bytes()) }
}

//! Documents in Redis keep the contract and their bounds.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_cluster::answer::{Part, Reason, Unavailable};
use tidegate_cluster::documents::{Change, Cursor, Expected, Written};
use tidegate_cluster::redis::{DocumentsConfig, RedisClient, RedisDocuments};
use tidegate_cluster::{Documents, contract};
use tidegate_testkit::{RedisCluster, RedisServer};

use crate::redis_stores::{Stores, config, connect};

const FULL: Unavailable = Unavailable { part: Part::Documents, reason: Reason::Full };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_one_server() {
    let server = RedisServer::start();
    contract::documents::check(&Stores::new(config(&server.url()), make)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::three_masters();
    contract::documents::check(&Stores::new(config(&cluster.url()), make)).await;
}

#[tokio::test]
async fn what_is_within_the_bounds_is_taken_and_one_more_is_not() {
    let server = RedisServer::start();
    let bounds = DocumentsConfig { documents_max: 2, body_bytes_max: 3 };
    let documents = RedisDocuments::new(connect(config(&server.url())).await, bounds);
    assert!(documents.write(change("a", "123")).await.is_ok());
    assert_eq!(documents.write(change("b", "1234")).await, Err(FULL));
    assert!(documents.write(change("b", "123")).await.is_ok());
    assert_eq!(documents.write(change("c", "")).await, Err(FULL));
}

#[tokio::test]
async fn a_reader_notices_that_the_server_was_emptied() {
    let server = RedisServer::start();
    let documents = RedisDocuments::new(connect(config(&server.url())).await, DocumentsConfig::default());
    assert_eq!(documents.write(change("a", "x")).await, Ok(Written::Revision(1)));
    let before = documents.changes(Cursor::default(), 10).await.unwrap().cursor;

    server.command(&["FLUSHALL"]);
    let emptied = documents.changes(before, 10).await.unwrap();
    assert_eq!((emptied.documents.len(), emptied.cursor.generation), (0, 0));
    let again = Change { above: before.revision, ..change("b", "y") };
    assert_eq!(documents.write(again).await, Ok(Written::Revision(2)));
    let again = documents.changes(before, 10).await.unwrap();
    assert_eq!(again.documents.len(), 1);
    assert_ne!(again.cursor.generation, before.generation);
    assert!(again.documents[0].revision > before.revision);
}

fn make(client: RedisClient) -> Arc<dyn Documents> {
    Arc::new(RedisDocuments::new(client, DocumentsConfig::default()))
}

fn change(name: &str, body: &str) -> Change {
    Change {
        name: name.into(),
        expected: Expected::Absent,
        above: 0,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

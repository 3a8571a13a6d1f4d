//! Nodes for tests.

use std::ffi::OsString;
use std::sync::{Arc, LazyLock};

use tidegate_cluster::Clock;
use tidegate_protocol::id::NodeName;
use tidegate_service::config::{Startup, load};
use tidegate_service::trace::Tracer;
use tokio::runtime::Runtime;

use super::{Node, Parts};
use crate::broker::outside::Outside;
use crate::config::Config;
use crate::http::{HttpDeadlines, HttpServer, Pages};

/// A node on the embedded defaults and these `key=value` settings; nobody answers its plain HTTP.
pub(crate) fn node(workers: usize, settings: &[&str]) -> Arc<Node> {
    let args = ["test"].into_iter().chain(settings.iter().flat_map(|setting| ["--set", setting]));
    let Startup::Run(loaded) = load::<Config>(args.map(OsString::from), []) else {
        panic!("the settings of the test are faulty")
    };
    let pages = Pages { demo_page: false, upgrade_only: Vec::new() };
    let (http, _server) = HttpServer::new(pages, 1, HttpDeadlines::default());
    let (config, clock) = (&loaded.config, Clock::system());
    let name = NodeName::parse("node").unwrap();
    let outside = Outside::start(config, &name, &clock, runtime()).unwrap();
    let parts = Parts {
        workers,
        tls: None,
        http,
        memory_limit_bytes: Some(1 << 30),
        outside,
        clock,
        runtime: runtime().handle().clone(),
        tracer: Tracer::default(),
    };
    Arc::new(Node::new(config, parts).unwrap())
}

/// One runtime for all tests of this process; none of them waits for what runs on it.
fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    });
    &RUNTIME
}

//! Agents against a small HTTP server of the test's own.

use std::sync::atomic::AtomicUsize;

use axum::Json;
use axum::Router;
use axum::routing::{get, put};
use serde_json::json;
use tidegate_protocol::drain::{DrainPhase, OperationId};

use super::*;

async fn serve(router: Router) -> Arc<str> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tidegate_service::http::ApiServer::bind("127.0.0.1:0".parse().unwrap());
    drop((listener, server));
    let server = tidegate_service::http::ApiServer::bind(address).unwrap();
    tokio::spawn(server.run(router, std::future::pending()));
    format!("http://{address}").into()
}

fn agents(timeout: Duration) -> Agents {
    Agents::new(&Settings { urls: Vec::new(), interval: Duration::from_secs(1), timeout, parallel: 2 })
}

fn agent(name: &str, url: &Arc<str>) -> Agent {
    Agent { name: name.into(), url: Arc::clone(url) }
}

fn order() -> DrainOrder {
    DrainOrder::new(OperationId::parse("x").unwrap(), 3, 1, DrainPhase::Evicting)
}

#[tokio::test]
async fn a_report_is_read_and_an_order_answered_with_one() {
    let report = async || Json(json!({"node": "n1", "phase": "serving"}));
    let obeyed = async |Json(order): Json<DrainOrder>| {
        Json(json!({"node": "n1", "phase": order.phase, "epoch": order.epoch}))
    };
    let url = serve(Router::new().route("/drain", get(report)).route("/drain/order", put(obeyed))).await;
    let agents = agents(Duration::from_secs(20));

    let answers = agents.poll(vec![agent("n1", &url)]).await;
    assert!(
        matches!(&answers[..], [Answered::Report(url, report)] if &*report.node == "n1" && url.starts_with("http://")),
        "{answers:?}"
    );
    let told = agents.order(vec![(agent("n1", &url), order())]).await;
    let report = told[0].1.as_ref().unwrap();
    assert_eq!((&report.phase, report.epoch), (&DrainPhase::Evicting, 3));
}

#[tokio::test]
async fn a_refusal_comes_with_its_code() {
    let refuse =
        async || (StatusCode::CONFLICT, Json(json!({"code": "stale_epoch", "detail": "9 was seen"})));
    let url = serve(Router::new().route("/drain/order", put(refuse))).await;
    let agents = agents(Duration::from_secs(20));

    let told = agents.order(vec![(agent("n1", &url), order())]).await;
    let Err(AgentError::Refused { code, message }) = &told[0].1 else { panic!("{told:?}") };
    assert_eq!((&**code, &**message), ("stale_epoch", "9 was seen"));
    assert_eq!(agents.counts.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_that_does_not_answer_is_told_of_and_asked_less_often() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let hang = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let url = serve(Router::new().route("/drain", get(hang))).await;
    let agents = agents(Duration::from_millis(50));

    for _ in 0..10 {
        for answer in agents.poll(vec![agent("n1", &url)]).await {
            assert!(matches!(answer, Answered::Silence(name) if &*name == "n1"));
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the next try comes later");
    let told = agents.order(vec![(agent("n1", &url), order())]).await;
    assert!(told.is_empty(), "an order to it would hold up those to others");
    agents.poll(Vec::new()).await;
    assert!(agents.silent().is_empty(), "who is not there any more is not remembered");
}

//! The watch of what the API server says of its aggregator, in `kube-system/extension-apiserver-authentication`.
//!
//! Place in the path: API server → here → the external metrics API's handshakes. Read only.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::external_metrics::FrontProxy;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// An API server that is away is said to be away this often, not with each try.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Watches until nobody reads any more. Errors are retried with a growing pause; what was said last stands meanwhile.
pub(super) async fn run(client: Client, proxies: watch::Sender<Option<Arc<FrontProxy>>>) {
    let maps = watch_object::<ConfigMap>(Api::namespaced(client, NAMESPACE), NAME).default_backoff();
    pin_mut!(maps);
    let mut complained_at: Option<Instant> = None;
    loop {
        let seen = tokio::select! {
            seen = maps.next() => seen,
            () = proxies.closed() => return,
        };
        match seen {
            Some(Ok(Some(map))) => take(&map, &proxies),
            Some(Ok(None)) => {
                tracing::error!(
                    "external metrics: there is no ConfigMap {NAMESPACE}/{NAME}: nobody can be let in"
                );
                proxies.send_replace(None);
            }
            Some(Err(error)) => {
                if complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    complained_at = Some(Instant::now());
                    tracing::warn!(%error, "external metrics: {NAMESPACE}/{NAME} cannot be read");
                }
            }
            // Watches never end by themselves.
            None => return,
        }
    }
}

/// What cannot be read changes nothing: an authority that was good does not become bad by a slip.
fn take(map: &ConfigMap, proxies: &watch::Sender<Option<Arc<FrontProxy>>>) {
    match FrontProxy::of_config_map(map.data.as_ref().unwrap_or(&std::collections::BTreeMap::new())) {
        Ok(proxy) => {
            proxies.send_replace(Some(Arc::new(proxy)));
        }
        Err(error) => {
            tracing::error!(%error, "external metrics: {NAMESPACE}/{NAME} does not say who the aggregator is")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use hyper::body::Bytes;
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::external_metrics::tests::pki::{Authority, config_map};

    #[tokio::test(start_paused = true)]
    async fn the_aggregator_is_known_once_the_config_map_was_read() {
        let data = config_map(&Authority::new("front"));
        let answer = move |request: Request<Body>| {
            let data = data.clone();
            async move {
                let query = request.uri().query().unwrap_or_default().to_owned();
                assert_eq!(request.uri().path(), "/api/v1/namespaces/kube-system/configmaps");
                assert!(query.contains("metadata.name%3Dextension-apiserver-authentication"), "{query}");
                // A watch that ends at once; the next try lists again.
                let map = json!({"metadata": {"name": NAME, "resourceVersion": "1"}, "data": data});
                let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [map]});
                let body = if query.contains("watch=true") { String::new() } else { list.to_string() };
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        };
        let (proxies, mut receiver) = watch::channel(None);
        let watching = tokio::spawn(run(Client::new(tower::service_fn(answer), "tidegate"), proxies));

        receiver.wait_for(Option::is_some).await.expect("the watch goes on");

        drop(receiver);
        watching.await.expect("it ends when nobody reads any more");
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let good = ConfigMap { data: Some(config_map(&Authority::new("front"))), ..ConfigMap::default() };
        let proxies = watch::Sender::new(None);
        take(&good, &proxies);
        take(&ConfigMap::default(), &proxies);
        assert!(proxies.borrow().is_some());
    }
}

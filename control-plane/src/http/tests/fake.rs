//! A coordinator whose answers are known, and which remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::json;
use tidegate_protocol::drain::{BackendHealth, OperationId};
use tokio::sync::{oneshot, watch};

use super::super::*;
use crate::model::{
    BudgetHealth, ClusterHealth, Command, Desired, Forecast, HEALTH_VERSION, LeaderHealth, Millis,
    NodeHealth, Operation, OperationState, Patch, Refused, Source, Spec,
};

pub(crate) struct Fake {
    operations: Mutex<BTreeMap<OperationId, watch::Sender<Arc<Operation>>>>,
    cluster: watch::Sender<Arc<ClusterHealth>>,
    asked: Mutex<Vec<String>>,
    refusal: Mutex<Option<Refused>>,
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Fake {
    pub(super) fn new() -> Self {
        let cluster = watch::Sender::new(Arc::new(cluster()));
        let (operations, asked) = (Mutex::default(), Mutex::default());
        Self { operations, cluster, asked, refusal: Mutex::default(), held: Mutex::default() }
    }

    /// Everything that was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Refuses the next call.
    pub(crate) fn refuse(&self, refused: Refused) {
        *self.refusal.lock().unwrap() = Some(refused);
    }

    /// Lets the next call wait for the sender.
    pub(super) fn hold(&self) -> oneshot::Sender<()> {
        let (go, held) = oneshot::channel();
        *self.held.lock().unwrap() = Some(held);
        go
    }

    /// Changes an operation as the leader would.
    pub(crate) fn progress(&self, id: &str, change: impl FnOnce(&mut Operation)) {
        let operations = self.operations.lock().unwrap();
        let sender = operations.iter().find(|(known, _)| known.as_str() == id).expect("it was begun").1;
        sender.send_modify(|operation| {
            let operation = Arc::make_mut(operation);
            change(operation);
            operation.revision += 1;
        });
    }

    /// Whether someone watches an operation.
    pub(crate) fn is_watched(&self, id: &str) -> bool {
        let operations = self.operations.lock().unwrap();
        operations.iter().any(|(known, sender)| known.as_str() == id && sender.receiver_count() > 0)
    }

    /// Changes the health document.
    pub(crate) fn cluster_is(&self, change: impl FnOnce(&mut ClusterHealth)) {
        self.cluster.send_modify(|cluster| {
            let cluster = Arc::make_mut(cluster);
            cluster.at = Millis::new(cluster.at.count() + 1);
            change(cluster);
        });
    }

    async fn begin(&self, asked: String) -> Result<(), Refused> {
        self.asked.lock().unwrap().push(asked);
        let held = self.held.lock().unwrap().take();
        if let Some(held) = held {
            let _gone = held.await;
        }
        self.refusal.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn changed(
        &self,
        id: &OperationId,
        change: impl FnOnce(&mut Operation) -> Result<(), Refused>,
    ) -> Result<Operation, Refused> {
        let operations = self.operations.lock().unwrap();
        let sender = operations.get(id).ok_or_else(|| Refused::new("not_found", 404, "no such operation"))?;
        let mut operation = Operation::clone(&sender.borrow());
        change(&mut operation)?;
        if operation != **sender.borrow() {
            operation.revision += 1;
            sender.send_replace(Arc::new(operation.clone()));
        }
        Ok(operation)
    }
}

impl Control for Fake {
    fn put_operation(&self, id: OperationId, spec: Spec, who: Requester) -> Answer<'_, Put> {
        Box::pin(async move {
            let force = if spec.common().force { " force" } else { "" };
            self.begin(format!("put {id}{force} by {}", who.name)).await?;
            let mut operations = self.operations.lock().unwrap();
            if let Some(known) = operations.get(&id) {
                let operation = Operation::clone(&known.borrow());
                return if operation.spec == spec {
                    Ok(Put::Same(operation))
                } else {
                    Err(Refused::new("id_reused", 409, "this id has another spec: choose another one"))
                };
            }
            let created_at = Millis::new(1_000 + operations.len() as u64);
            let operation = Operation::new(id.clone(), spec, Source::Api, who.name.to_string(), created_at);
            operations.insert(id, watch::Sender::new(Arc::new(operation.clone())));
            Ok(Put::Created(operation))
        })
    }

    fn plan(&self, spec: Spec) -> Answer<'_, Forecast> {
        Box::pin(async move {
            self.begin(format!("plan {:?}", spec.kind())).await?;
            Ok(forecast())
        })
    }

    fn operation(&self, id: OperationId) -> Answer<'_, Option<Operation>> {
        Box::pin(async move {
            self.begin(format!("operation {id}")).await?;
            let operations = self.operations.lock().unwrap();
            Ok(operations.get(&id).map(|sender| Operation::clone(&sender.borrow())))
        })
    }

    fn operations(&self, query: OperationsQuery) -> Answer<'_, OperationsPage> {
        Box::pin(async move {
            self.begin(format!("operations {:?}", query.scope)).await?;
            let operations = self.operations.lock().unwrap();
            let mut found: Vec<_> =
                operations.values().map(|sender| Operation::clone(&sender.borrow())).collect();
            let place =
                |operation: &Operation| Place { created_at: operation.created_at, id: operation.id.clone() };
            found.sort_by_key(|operation| std::cmp::Reverse(place(operation)));
            found.retain(|operation| query.after.as_ref().is_none_or(|after| place(operation) < *after));
            found.retain(|operation| match query.scope {
                Scope::All => true,
                Scope::Active => !operation.state.is_terminal(),
                Scope::Finished => operation.state.is_terminal(),
            });
            found.retain(|operation| query.kind.is_none_or(|kind| operation.spec.kind() == kind));
            let is_more = found.len() > query.limit;
            found.truncate(query.limit);
            let next = if is_more { found.last().map(place) } else { None };
            Ok(OperationsPage { operations: found, next })
        })
    }

    fn change(
        &self,
        id: OperationId,
        expected: Expected,
        patch: Patch,
        who: Requester,
    ) -> Answer<'_, Operation> {
        Box::pin(async move {
            self.begin(format!("change {id} by {}", who.name)).await?;
            self.changed(&id, |operation| {
                match expected {
                    Expected::Revision(revision) if revision != operation.revision => {
                        return Err(Refused::new(
                            "stale_revision",
                            412,
                            "it has changed since: read it again",
                        )
                        .with("revision", operation.revision));
                    }
                    Expected::Revision(_) | Expected::Any => {}
                }
                if let Some(rate) = patch.max_rate {
                    operation.spec.common_mut().max_rate = rate;
                }
                Ok(())
            })
        })
    }

    fn command(&self, id: OperationId, command: Command, who: Requester) -> Answer<'_, Operation> {
        Box::pin(async move {
            self.begin(format!("{command:?} {id} by {}", who.name)).await?;
            self.changed(&id, |operation| {
                match command {
                    Command::Pause => operation.desired = Desired::Pause,
                    Command::Resume => operation.desired = Desired::Run,
                    Command::Abort => operation.state = OperationState::Aborted,
                    Command::Force => operation.spec.common_mut().force = true,
                    Command::Retry if operation.state.is_terminal() => {
                        operation.state = OperationState::Pending
                    }
                    Command::Retry => {
                        return Err(Refused::new("wrong_state", 409, "only what is over can be retried"));
                    }
                }
                Ok(())
            })
        })
    }

    fn cordon(&self, node: Arc<str>, cordon: Cordon, who: Requester) -> Answer<'_, ()> {
        Box::pin(async move {
            self.begin(format!("cordon {node} {cordon:?} by {}", who.name)).await?;
            let is_known = self.cluster.borrow().nodes.iter().any(|known| known.name == node);
            if is_known { Ok(()) } else { Err(Refused::new("not_found", 404, "there is no such node")) }
        })
    }

    fn watch_operation(&self, id: OperationId) -> Answer<'_, Option<watch::Receiver<Arc<Operation>>>> {
        Box::pin(async move {
            self.begin(format!("watch {id}")).await?;
            Ok(self.operations.lock().unwrap().get(&id).map(watch::Sender::subscribe))
        })
    }

    fn watch_cluster(&self) -> watch::Receiver<Arc<ClusterHealth>> {
        self.cluster.subscribe()
    }
}

fn cluster() -> ClusterHealth {
    ClusterHealth {
        version: HEALTH_VERSION,
        at: Millis::new(1_700_000_000_000),
        serves_well: true,
        complaints: Vec::new(),
        leader: LeaderHealth { name: Some("cp-0".to_owned()), epoch: 7, is_self: true },
        connections: 300,
        capacity: 1_000,
        nodes_ready: 2,
        nodes: vec![node("gw-1"), node("gw-2")],
        store: BackendHealth::Up,
        bus: BackendHealth::Up,
        budget: BudgetHealth { max_rate: 200.0, rate: 200.0, ..BudgetHealth::default() },
        operations: Vec::new(),
    }
}

fn node(name: &str) -> NodeHealth {
    NodeHealth {
        name: name.into(),
        report: None,
        report_age_ms: None,
        reachable: true,
        operation: None,
        zone: Some("a".to_owned()),
        revision: Some("1.3".to_owned()),
        started_at: None,
    }
}

pub(crate) fn forecast() -> Forecast {
    let forecast = json!({
        "waves": [{ "wave": 1, "nodes": ["gw-1"], "moves": 150, "eta": "30s" }],
        "eta": "30s", "moves": 150, "peakReconnectRate": 10.0,
        "headroom": { "a": { "nodes": 1, "capacity": 500, "connections": 150 } },
        "nodes": [{ "node": "gw-2", "connections": 150, "expected": 300, "capacity": 500 }],
        "guards": [{ "guard": "handshakeP99", "reading": "20ms", "bound": "1s", "holds": true }],
        "warnings": ["one node stays"],
    });
    serde_json::from_value(forecast).unwrap()
}

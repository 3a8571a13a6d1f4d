//! What the API asks for: reads from what this replica knows, writes by compare-and-swap.

use std::sync::Arc;

use tidegate_cluster::Unavailable;
use tidegate_cluster::documents::Expected as Stored;
use tidegate_protocol::drain::OperationId;
use tokio::sync::watch;

use super::Coordinator;
use crate::http::{
    Answer, Control, Cordon, Expected, OperationsPage, OperationsQuery, Place, Put, Requester, Scope,
};
use crate::model::{ClusterHealth, Command, Forecast, Millis, Operation, Patch, Refused, Spec};
use crate::plan;
use crate::spans;
use crate::store::Saved;

/// How often a change is tried again that another replica, or the leader's own writing, came before.
const TRIES: usize = 8;

impl Control for Coordinator {
    fn put_operation(&self, id: OperationId, spec: Spec, who: Requester) -> Answer<'_, Put> {
        Box::pin(async move {
            self.store.refresh().await.map_err(|error| unavailable(&error))?;
            if let Some(held) = self.store.operation(&id) {
                return same_or_reused(held, &spec);
            }
            let now = self.clock.now();
            let mut operation = {
                let state = self.state();
                let live = self.store.live();
                plan::accept(&state.fleet, &live, &self.plan, id, spec.clone(), &who.name, now)?
            };
            operation.trace.get_or_insert_with(spans::new_trace);
            let saved = self.store.write(operation, Stored::Absent).await;
            match saved.map_err(|error| unavailable(&error))? {
                Saved::Done(operation) => {
                    self.changed.notify_one();
                    Ok(Put::Created(operation))
                }
                Saved::Conflict(Some(held)) => same_or_reused(held, &spec),
                Saved::Conflict(None) => Err(busy()),
            }
        })
    }

    fn plan(&self, spec: Spec) -> Answer<'_, Forecast> {
        Box::pin(async move {
            let operations = self.store.live();
            plan::forecast(&self.state().fleet, &operations, &self.plan, &spec)
        })
    }

    fn operation(&self, id: OperationId) -> Answer<'_, Option<Operation>> {
        Box::pin(async move {
            self.look().await?;
            Ok(self.store.operation(&id))
        })
    }

    fn operations(&self, query: OperationsQuery) -> Answer<'_, OperationsPage> {
        Box::pin(async move {
            self.look().await?;
            let mut operations = self.store.operations(|operation| is_meant(operation, &query));
            operations.sort_by_key(|operation| std::cmp::Reverse(place(operation)));
            let is_more = operations.len() > query.limit;
            operations.truncate(query.limit);
            let next = operations.last().filter(|_| is_more).map(place);
            Ok(OperationsPage { operations, next })
        })
    }

    fn change(
        &self,
        id: OperationId,
        expected: Expected,
        patch: Patch,
        _: Requester,
    ) -> Answer<'_, Operation> {
        Box::pin(async move {
            let change = move |operation: &mut Operation, now| {
                if let Expected::Revision(revision) = expected
                    && operation.revision != revision
                {
                    let message = format!("it is revision {} by now; look again", operation.revision);
                    let stale = Refused::new("stale_revision", 412, message);
                    return Err(stale.with("revision", operation.revision));
                }
                plan::change(operation, &patch, now)
            };
            self.update(&id, change).await
        })
    }

    fn command(&self, id: OperationId, command: Command, _: Requester) -> Answer<'_, Operation> {
        Box::pin(async move {
            self.update(&id, move |operation, now| plan::command(operation, command, now)).await
        })
    }

    fn cordon(&self, node: Arc<str>, cordon: Cordon, who: Requester) -> Answer<'_, ()> {
        Box::pin(async move { self.set_cordon(node, cordon, &who).await })
    }

    fn watch_operation(&self, id: OperationId) -> Answer<'_, Option<watch::Receiver<Arc<Operation>>>> {
        Box::pin(async move {
            self.look().await?;
            Ok(self.store.watch(&id))
        })
    }

    fn watch_cluster(&self) -> watch::Receiver<Arc<ClusterHealth>> {
        self.health()
    }
}

impl Coordinator {
    /// Learns what is new, so that a read sees every write that was answered before, by whichever replica. With the store
    /// away, what is known has to do.
    async fn look(&self) -> Result<(), Refused> {
        match self.store.refresh().await {
            Err(error) if !self.has_read() => Err(unavailable(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Applies a change to whatever the operation is by now.
    async fn update(
        &self,
        id: &OperationId,
        change: impl Fn(&mut Operation, Millis) -> Result<(), Refused>,
    ) -> Result<Operation, Refused> {
        for _ in 0..TRIES {
            self.store.refresh().await.map_err(|error| unavailable(&error))?;
            let Some(held) = self.store.operation(id) else {
                return Err(Refused::new("not_found", 404, format!("there is no operation {id}")));
            };
            let stored = self.store.expected(id);
            let mut changed = held.clone();
            change(&mut changed, self.clock.now())?;
            if changed == held {
                return Ok(held);
            }
            let saved = self.store.write(changed, stored).await.map_err(|error| unavailable(&error))?;
            if let Saved::Done(operation) = saved {
                self.changed.notify_one();
                return Ok(operation);
            }
        }
        Err(busy())
    }
}

/// A request that is repeated is answered as it was the first time.
fn same_or_reused(held: Operation, spec: &Spec) -> Result<Put, Refused> {
    if plan::is_same(&held, spec) {
        return Ok(Put::Same(held));
    }
    let message = format!("operation {} was asked for with another body; choose another id", held.id);
    Err(Refused::new("id_reused", 409, message).with("operation", held.id.as_str()))
}

fn is_meant(operation: &Operation, query: &OperationsQuery) -> bool {
    let in_scope = match query.scope {
        Scope::All => true,
        Scope::Active => !operation.state.is_terminal(),
        Scope::Finished => operation.state.is_terminal(),
    };
    in_scope
        && query.kind.is_none_or(|kind| operation.spec.kind() == kind)
        && query.after.as_ref().is_none_or(|after| place(operation) < *after)
}

fn place(operation: &Operation) -> Place {
    Place { created_at: operation.created_at, id: operation.id.clone() }
}

/// What the caller of the API is told when the store does not answer.
pub(super) fn unavailable(error: &Unavailable) -> Refused {
    let message = format!("{error}; nothing was changed as far as is known, try again in a moment");
    Refused::new("store_unavailable", 503, message)
}

fn busy() -> Refused {
    Refused::new("store_unavailable", 503, "others change the same operation all the time; try again")
}

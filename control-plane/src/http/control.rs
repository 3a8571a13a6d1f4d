//! What the HTTP API asks of the coordinator: the one trait between HTTP and everything that knows the cluster.
//!
//! Any replica answers all of it: reads from what it has seen itself, writes by compare-and-swap in the store, where the
//! leader picks them up at its next tick.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_protocol::drain::OperationId;
use tokio::sync::watch;

use super::auth::Role;
use crate::model::{ClusterHealth, Command, Forecast, Kind, Millis, Operation, Patch, Refused, Spec};

/// The answer of a call, on its way. Dropping it takes nothing back: a change may have reached the store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refused>> + Send + 'a>>;

/// Everything that can be asked for. Roles were checked before.
pub trait Control: Send + Sync {
    /// Takes down an operation, or finds the same one again: same id and same spec (`force` aside).
    ///
    /// # Errors
    ///
    /// 409 `id_reused`: another spec has this id; 409 `conflict`: another operation has one of its nodes (`operation` in
    /// the details); 422 `no_headroom` and others with the numbers of the forecast; 503 `store_unavailable`.
    fn put_operation(&self, id: OperationId, spec: Spec, who: Requester) -> Answer<'_, Put>;

    /// What an operation would do now. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Control::put_operation`], but for those about the id.
    fn plan(&self, spec: Spec) -> Answer<'_, Forecast>;

    /// One operation; `None` where there is none, or none any more.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    fn operation(&self, id: OperationId) -> Answer<'_, Option<Operation>>;

    /// Operations, the newest first.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    fn operations(&self, query: OperationsQuery) -> Answer<'_, OperationsPage>;

    /// Changes an operation while it runs, if it is as the caller saw it last. Answers with what it is now.
    ///
    /// # Errors
    ///
    /// 404 `not_found`; 409 `wrong_state`: it is over; 412 `stale_revision`, with `revision` in the details.
    fn change(
        &self,
        id: OperationId,
        expected: Expected,
        patch: Patch,
        who: Requester,
    ) -> Answer<'_, Operation>;

    /// Tells an operation something; one that is so already stays as it is. Answers with what it is now.
    ///
    /// # Errors
    ///
    /// 404 `not_found`; 409 `wrong_state`.
    fn command(&self, id: OperationId, command: Command, who: Requester) -> Answer<'_, Operation>;

    /// Has a node take in clients or none, without sending anybody away. Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// 404 `not_found`; 409 `conflict`: an operation has it (`operation` in the details).
    fn cordon(&self, node: Arc<str>, cordon: Cordon, who: Requester) -> Answer<'_, ()>;

    /// An operation as it is now, and from then on the latest of its changes; closed once it is over or forgotten.
    /// `None` where there is no such operation.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    fn watch_operation(&self, id: OperationId) -> Answer<'_, Option<watch::Receiver<Arc<Operation>>>>;

    /// The health document, renewed about once a second.
    fn watch_cluster(&self) -> watch::Receiver<Arc<ClusterHealth>>;
}

/// Who asks for a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requester {
    /// The token's name, or the Kubernetes user: `requestedBy` of an operation.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
}

/// What became of a PUT.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// It was taken down.
    Created(Operation),
    /// It was there, with the same spec.
    Same(Operation),
}

/// Which operations to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OperationsQuery {
    /// Which of them.
    pub scope: Scope,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Behind this place of the list.
    pub after: Option<Place>,
    /// Most to answer with: 1 to 200.
    pub limit: usize,
}

/// Whether operations that are over are meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// All that are kept.
    #[default]
    All,
    /// Those that are not over.
    Active,
    /// Those that are over.
    Finished,
}

/// A place in the list of operations, which is ordered by time, then id; the newest comes first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// When the operation was asked for.
    pub created_at: Millis,
    /// Its id.
    pub id: OperationId,
}

/// Some operations, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationsPage {
    /// They.
    pub operations: Vec<Operation>,
    /// There are more behind this one.
    pub next: Option<Place>,
}

/// Which revision a change is for: `If-Match`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Whatever it is: `If-Match: *`.
    Any,
    /// This one and no other.
    Revision(u64),
}

/// Whether a node takes in clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cordon {
    /// It is not ready, and keeps those it has.
    On,
    /// It serves.
    Off,
}

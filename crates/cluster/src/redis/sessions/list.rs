//! Looking at sessions: indexes say which there may be, records say what they are.

use futures_util::future::join_all;
use tidegate_protocol::id::{NodeName, SessionId};

use crate::answer::{Answer, Unavailable};
use crate::redis::script::{Args, Fields, Script};
use crate::redis::stats::Operation;
use crate::sessions::{Filter, SessionPage, SessionView};

use super::Shared;
use super::index::ids;
use super::record::Record;

/// A [`Filter`] to keep.
pub(super) enum Wanted {
    All,
    User(String),
    Node(NodeName),
}

/// Sessions to look at.
struct Candidates {
    /// By id, each once.
    ids: Vec<SessionId>,
    /// Whether none come after them.
    are_last: bool,
}

impl From<Filter<'_>> for Wanted {
    fn from(filter: Filter<'_>) -> Self {
        match filter {
            Filter::All => Self::All,
            Filter::User(user) => Self::User(user.to_owned()),
            Filter::Node(node) => Self::Node(node.clone()),
        }
    }
}

impl Wanted {
    fn covers(&self, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::User(user) => record.user() == user,
            Self::Node(node) => record.node() == node,
        }
    }
}

impl Shared {
    pub(super) fn view(&self, id: SessionId) -> Answer<Option<SessionView>> {
        let decode = move |value| Some(Record::decode_all(value)?.map(|record| record.into_view(id)));
        self.client.call(&GET, vec![self.record_key(id)], Args::new(), decode)
    }

    /// A page may be short, or empty, and yet not be the last: it ends where enough was looked at.
    pub(super) async fn list(
        &self,
        wanted: Wanted,
        mut after: Option<SessionId>,
        limit: usize,
    ) -> Result<SessionPage, Unavailable> {
        let mut sessions = Vec::new();
        for _ in 0..STEPS_MAX {
            if sessions.len() == limit {
                break;
            }
            let candidates = self.candidates(&wanted, after).await?;
            let mut looked_at = 0;
            for part in candidates.ids.chunks((limit - sessions.len()).clamp(PART_MIN, STEP_MAX)) {
                for (id, record) in part.iter().zip(self.records(part).await?) {
                    if sessions.len() == limit {
                        return Ok(SessionPage { sessions, next: after });
                    }
                    let record = record.filter(|record| wanted.covers(record));
                    sessions.extend(record.map(|record| record.into_view(*id)));
                    after = Some(*id);
                    looked_at += 1;
                }
            }
            if candidates.are_last && looked_at == candidates.ids.len() {
                return Ok(SessionPage { sessions, next: None });
            }
        }
        Ok(SessionPage { sessions, next: after })
    }

    async fn candidates(&self, wanted: &Wanted, after: Option<SessionId>) -> Result<Candidates, Unavailable> {
        match wanted {
            Wanted::User(user) if !user.is_empty() => self.of_user(user, after).await,
            Wanted::Node(node) => {
                let ids = self.ids_after(node.as_str(), after, STEP_MAX).await?;
                Ok(Candidates { are_last: ids.len() < STEP_MAX, ids })
            }
            Wanted::All | Wanted::User(_) => self.of_all_nodes(after).await,
        }
    }

    /// The whole index: it is bounded, and not in the order of ids.
    async fn of_user(&self, user: &str, after: Option<SessionId>) -> Result<Candidates, Unavailable> {
        let args = Args::new().number(0).text("-1");
        let mut ids = self.client.call(&ZRANGE, vec![self.user_index_key(user)], args, ids).await?;
        ids.sort();
        ids.retain(|id| Some(*id) > after);
        let are_last = ids.len() <= STEP_MAX;
        ids.truncate(STEP_MAX);
        Ok(Candidates { ids, are_last })
    }

    /// The first of all nodes' indexes, as far as nothing is left out.
    async fn of_all_nodes(&self, after: Option<SessionId>) -> Result<Candidates, Unavailable> {
        let args = Args::new().number(0).text("-1");
        let nodes = self.client.call(&ZRANGE, vec![self.nodes_key()], args, names).await?;
        let (mut all, mut complete_to) = (Vec::new(), None);
        for part in nodes.chunks(NODES_AT_ONCE) {
            for ids in join_all(part.iter().map(|node| self.ids_after(node, after, STEP_MAX))).await {
                let ids = ids?;
                if ids.len() == STEP_MAX {
                    let last = ids.last().copied();
                    complete_to = complete_to.min(last).or(complete_to).or(last);
                }
                all.extend(ids);
            }
        }
        all.sort();
        all.dedup();
        if let Some(last) = complete_to {
            all.retain(|id| *id <= last);
        }
        Ok(Candidates { ids: all, are_last: complete_to.is_none() })
    }

    async fn records(&self, ids: &[SessionId]) -> Result<Vec<Option<Record>>, Unavailable> {
        let read = |id: &SessionId| {
            self.client.call(&LIST, vec![self.record_key(*id)], Args::new(), Record::decode_all)
        };
        join_all(ids.iter().map(read)).await.into_iter().collect()
    }
}

fn names(value: fred::types::Value) -> Option<Vec<String>> {
    let mut fields = Fields::of(value)?;
    let mut names = Vec::with_capacity(fields.len());
    while fields.len() > 0 {
        names.push(fields.text()?.to_string());
    }
    Some(names)
}

/// Entries of an index read at a time.
const STEP_MAX: usize = 256;
/// Reads of an index for one page: what has ended and was not taken out yet lengthens the way.
const STEPS_MAX: usize = 64;
/// Records read at once, at least.
const PART_MIN: usize = 16;
/// Indexes read at once.
const NODES_AT_ONCE: usize = 64;

static GET: Script = Script::command(Operation::SessionsGet, "HGETALL");
static LIST: Script = Script::command(Operation::SessionsList, "HGETALL");
static ZRANGE: Script = Script::command(Operation::SessionsList, "ZRANGE");

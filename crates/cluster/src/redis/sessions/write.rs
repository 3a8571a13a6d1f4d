//! Making, claiming and writing records. The rules of who may write are in the scripts.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Key, Value};
use futures_util::future::{join3, join4};
use tidegate_protocol::id::{NodeName, SessionId};

use crate::answer::{Answer, Part, Reason, Unavailable};
use crate::fence::Fence;
use crate::redis::random;
use crate::redis::script::{Args, Fields, Script, bytes};
use crate::redis::stats::Operation;
use crate::sessions::{Changes, Created, NewSession, Resume, Resumed, Written};

use super::index::{TOUCH, entry_ms};
use super::record::{Record, digest_of, field_of, pieces, with_subscription};
use super::{Shared, ttl_ms};

impl Shared {
    /// One round trip: the record, its entries in the indexes, and whether user or token are revoked. Where they are,
    /// a second one takes it away again.
    pub(super) async fn create(&self, session: NewSession) -> Result<Created, Unavailable> {
        let NewSession { session: id, node, identity, .. } = &session;
        let token_id = identity.token_id.as_deref();
        let args = Args::new()
            .bytes(&digest_of(&session.secret))
            .bytes(&self.owner)
            .text(node.as_str())
            .text(&*identity.user)
            .number(ttl_ms(session.ttl))
            .number(entry_ms(session.ttl) / 2)
            .text(session.fence.to_string());
        let args = pieces(identity).iter().fold(args, |args, piece| args.bytes(piece));
        let keys = vec![self.record_key(*id), self.session_revocation_key(*id)];

        let made = self.client.call(&CREATE, keys, args, |value| signed(&value));
        let listed = self.list_for_user(*id, &identity.user, session.ttl);
        let token = self.is_token_revoked(token_id);
        let (made, user_revoked, token_revoked, _) =
            join4(made, listed, token, self.list_for_node(*id, node, session.ttl)).await;
        let made = made?;
        if made == REVOKED || user_revoked? || token_revoked? {
            if made == MADE {
                self.remove(*id).await?;
            }
            return Ok(Created::Revoked);
        }
        match made {
            MADE => Ok(Created::Owned(session.fence)),
            TAKEN => Ok(Created::Taken),
            _ => Err(faulty()),
        }
    }

    pub(super) async fn resume(&self, resume: Resume) -> Result<Resumed, Unavailable> {
        let (id, mark) = (resume.session, random().to_be_bytes());
        let args = Args::new()
            .bytes(&digest_of(&resume.secret))
            .bytes(&self.owner)
            .text(resume.node.as_str())
            .number(ttl_ms(resume.ttl))
            .bytes(&mark)
            .number(GIVEN_BACK_WITHIN_MS);
        let (record, before) = (self.record_key(id), self.record_before_key(id));
        let keys = vec![record.clone(), self.session_revocation_key(id), before.clone()];
        let claim = self.client.call(&CLAIM, keys, args, Claim::decode);
        let listed = self.list_for_node(id, &resume.node, resume.ttl);
        let (claim, somebody_is_revoked, was_listed) = join3(claim, self.is_somebody_revoked(), listed).await;

        // Its client has gone elsewhere when it comes about, and would lose the session there to nobody.
        if claim.as_ref().is_err_and(|unavailable| unavailable.reason == Reason::TimedOut) {
            self.client.undo(&GIVE_BACK, vec![record, before], Args::new().bytes(&mark));
        }
        let (record, taken_from) = match claim? {
            Claim::Owned(record, taken_from) => (record, taken_from),
            Claim::NotResumable => {
                if was_listed {
                    self.unlist_unclaimed(id, &resume.node);
                }
                self.counts.not_resumable.add(1);
                return Ok(Resumed::NotResumable);
            }
        };
        if somebody_is_revoked && self.is_any_revoked(None, record.user(), record.token_id()).await? {
            return Ok(Resumed::Revoked);
        }
        self.counts.resumed.add(1);
        Ok(Resumed::Owned(Box::new(record.into_resumption(taken_from))))
    }

    pub(super) fn save(self: &Arc<Self>, id: SessionId, fence: Fence, changes: &Changes) -> Answer<Written> {
        let pieces = changes.identity.as_ref().map(pieces).unwrap_or_default();
        let mut args = self
            .owned(fence)
            .number(ttl_ms(changes.ttl))
            .number(self.config.subscriptions_max as u64)
            .number(changes.unsubscribed.len() as u64)
            .number(changes.subscribed.len() as u64)
            .number(pieces.len() as u64);
        for channel in &changes.unsubscribed {
            args = args.text(field_of(channel));
        }
        args = changes.subscribed.iter().fold(args, with_subscription);
        args = pieces.iter().fold(args, |args, piece| args.bytes(piece));
        self.write(&SAVE, id, args)
    }

    pub(super) fn detach(self: &Arc<Self>, id: SessionId, fence: Fence, ttl: Duration) -> Answer<Written> {
        self.write(&DETACH, id, self.owned(fence).number(ttl_ms(ttl)))
    }

    pub(super) async fn end(&self, id: SessionId, fence: Fence) -> Result<Written, Unavailable> {
        let decode = |value| {
            let mut fields = Fields::of(value)?;
            let state = signed(&fields.value()?)?;
            let places = if state == SAVED { Some((fields.text()?, fields.text()?)) } else { None };
            Some((state, places))
        };
        let (state, places) =
            self.client.call(&END, vec![self.record_key(id)], self.owned(fence), decode).await?;
        if let Some((user, node)) = places {
            self.unlist(id, &user, &node).await;
        }
        self.written(state)
    }

    pub(super) async fn remove(&self, id: SessionId) -> Result<bool, Unavailable> {
        let decode = |value| match value {
            Value::Null => Some(None),
            list => {
                let mut fields = Fields::of(list)?;
                Some(Some((fields.text()?, fields.text()?)))
            }
        };
        let removed = self.client.call(&REMOVE, vec![self.record_key(id)], Args::new(), decode).await?;
        if let Some((user, node)) = &removed {
            self.unlist(id, user, node).await;
        }
        Ok(removed.is_some())
    }

    /// What every script that begins with `owner.lua` is given first.
    pub(super) fn owned(&self, fence: Fence) -> Args {
        let home = self.home.get().map_or("", NodeName::as_str);
        Args::new().text(fence.to_string()).bytes(&self.owner).text(home)
    }

    pub(super) fn record_key(&self, id: SessionId) -> Key {
        self.client.key(format_args!("{{s:{id}}}"))
    }

    /// What a record was before the claim that was made last.
    fn record_before_key(&self, id: SessionId) -> Key {
        self.client.key(format_args!("{{s:{id}}}:b"))
    }

    fn write(self: &Arc<Self>, script: &'static Script, id: SessionId, args: Args) -> Answer<Written> {
        let (shared, keys) = (Arc::clone(self), vec![self.record_key(id)]);
        let written = self.client.call(script, keys, args, |value| signed(&value));
        Box::pin(async move { shared.written(written.await?) })
    }

    pub(super) fn written(&self, state: i64) -> Result<Written, Unavailable> {
        match state {
            SAVED => Ok(Written::Saved),
            FENCED => {
                self.counts.fenced.add(1);
                Ok(Written::Fenced)
            }
            GONE => {
                self.counts.gone.add(1);
                Ok(Written::Gone)
            }
            FULL => {
                self.counts.refused.add(1);
                Err(Part::Sessions.full())
            }
            _ => Err(faulty()),
        }
    }
}

/// What became of a claim.
enum Claim {
    Owned(Record, Option<NodeName>),
    NotResumable,
}

impl Claim {
    fn decode(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::NotResumable),
            list => {
                let mut fields = Fields::of(list)?;
                let taken_from = match &*bytes(fields.value()?)? {
                    b"" => None,
                    name => Some(NodeName::parse(std::str::from_utf8(name).ok()?).ok()?),
                };
                Some(Self::Owned(Record::decode(fields.list()?)?, taken_from))
            }
        }
    }
}

/// What a script says that has no other answer.
fn signed(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

fn faulty() -> Unavailable {
    Unavailable { part: Part::Sessions, reason: Reason::Faulty }
}

const MADE: i64 = 1;
const TAKEN: i64 = 0;
const REVOKED: i64 = -1;
pub(super) const SAVED: i64 = 1;
pub(super) const FENCED: i64 = 0;
pub(super) const GONE: i64 = -1;
const FULL: i64 = -2;

/// Behind a claim that timed out nothing else is on its connection, so it is given back when it comes about.
const GIVEN_BACK_WITHIN_MS: u64 = 30_000;

/// What every node does all the time.
pub(in crate::redis) static EVERYDAY: [&Script; 5] = [&CREATE, &CLAIM, &SAVE, &DETACH, &TOUCH];

static CREATE: Script = Script::lua(Operation::SessionsCreate, include_str!("create.lua"));
static CLAIM: Script = Script::lua(Operation::SessionsResume, include_str!("claim.lua"));
static GIVE_BACK: Script = Script::lua(Operation::SessionsGiveBack, include_str!("give_back.lua"));
static SAVE: Script =
    Script::lua(Operation::SessionsSave, concat!(include_str!("owner.lua"), include_str!("save.lua")));
static DETACH: Script =
    Script::lua(Operation::SessionsDetach, concat!(include_str!("owner.lua"), include_str!("detach.lua")));
static END: Script =
    Script::lua(Operation::SessionsEnd, concat!(include_str!("owner.lua"), include_str!("end.lua")));
static REMOVE: Script = Script::lua(Operation::SessionsRemove, include_str!("remove.lua"));

//! Who may not have a session any more: a key for each, that ends by itself.
//!
//! One key more says until when there is anybody at all (sessions left aside, whose own slot knows). It is written first
//! and ends last, so who does not find it need not look any further. Who has seen it once goes on looking until the time
//! it named, should it have been lost.

use fred::types::{Key, Value};
use futures_util::future::join3;
use tidegate_protocol::id::SessionId;
use tidegate_protocol::time::Millis;

use crate::answer::Unavailable;
use crate::memory::shards::lock;
use crate::redis::script::{Args, Script, number};
use crate::redis::stats::Operation;
use crate::sessions::Subject;

use super::Shared;

impl Shared {
    pub(super) async fn revoke(&self, subject: Subject, until: Millis) -> Result<(), Unavailable> {
        let until = until.min(UNTIL_MAX);
        let key = match &subject {
            Subject::Session(session) => {
                return self.keep_revoked(self.session_revocation_key(*session), until).await;
            }
            Subject::User(user) => self.user_revocation_key(user),
            Subject::Token(token_id) => self.token_revocation_key(token_id),
        };
        self.keep_revoked(self.somebody_key(), until).await?;
        self.note_somebody(until);
        self.keep_revoked(key, until).await
    }

    /// Whether any of these is. The answers come in one round trip.
    pub(super) async fn is_any_revoked(
        &self,
        session: Option<SessionId>,
        user: &str,
        token_id: Option<&str>,
    ) -> Result<bool, Unavailable> {
        let session = self.is_there(session.map(|session| self.session_revocation_key(session)));
        let (user, token) = (self.is_user_revoked(user), self.is_token_revoked(token_id));
        let (session, user, token) = join3(session, user, token).await;
        Ok(session? || user? || token?)
    }

    pub(super) async fn is_user_revoked(&self, user: &str) -> Result<bool, Unavailable> {
        self.is_there(Some(self.user_revocation_key(user))).await
    }

    pub(super) async fn is_token_revoked(&self, token_id: Option<&str>) -> Result<bool, Unavailable> {
        self.is_there(token_id.map(|token_id| self.token_revocation_key(token_id))).await
    }

    /// Whether a user or token may be. Where that cannot be learned, somebody may be.
    pub(super) async fn is_somebody_revoked(&self) -> bool {
        // A time that is below zero is Redis's word for none.
        let decode = |value| Some(number(&value).map(Millis::new));
        match self.client.call(&SOMEBODY, vec![self.somebody_key()], Args::new(), decode).await {
            Ok(Some(until)) => {
                self.note_somebody(until);
                true
            }
            Ok(None) => *lock(&self.revoked_until) > self.clock.now(),
            Err(_) => true,
        }
    }

    pub(super) fn session_revocation_key(&self, session: SessionId) -> Key {
        self.client.key(format_args!("{{s:{session}}}:r"))
    }

    pub(super) fn user_revocation_key(&self, user: &str) -> Key {
        self.client.key(format_args!("{{u:{user}}}:r"))
    }

    fn token_revocation_key(&self, token_id: &str) -> Key {
        self.client.key(format_args!("{{t:{token_id}}}:r"))
    }

    fn somebody_key(&self) -> Key {
        self.client.key("{r}")
    }

    fn note_somebody(&self, until: Millis) {
        let mut noted = lock(&self.revoked_until);
        *noted = until.max(*noted);
    }

    async fn keep_revoked(&self, key: Key, until: Millis) -> Result<(), Unavailable> {
        let args = Args::new().number(until.count());
        self.client.call(&REVOKE, vec![key], args, |value| number(&value).map(drop)).await
    }

    async fn is_there(&self, key: Option<Key>) -> Result<bool, Unavailable> {
        let Some(key) = key else { return Ok(false) };
        let decode = |value: Value| number(&value).map(|count| count > 0);
        self.client.call(&EXISTS, vec![key], Args::new(), decode).await
    }
}

/// The end of the year 9999: what lasts for ever.
const UNTIL_MAX: Millis = Millis::new(253_402_300_799_999);

static REVOKE: Script = Script::lua(Operation::SessionsRevoke, include_str!("revoke.lua"));
static SOMEBODY: Script = Script::command(Operation::SessionsIsRevoked, "PEXPIRETIME");
static EXISTS: Script = Script::command(Operation::SessionsIsRevoked, "EXISTS");

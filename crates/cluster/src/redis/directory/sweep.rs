//! Gives back the memory of routes that lead to dead nodes.

use futures_util::future::join_all;

use fred::types::Value;

use crate::answer::Unavailable;
use crate::redis::leases::Tenure;
use crate::redis::script::{Args, Fields, Script};
use crate::redis::stats::Operation;

use super::record::{Entry, Held};
use super::{REMOVE_FROM_TENURE, REMOVE_FROM_USER, Shared, done};

impl Shared {
    /// Drops some of what the nodes left that died first. Several nodes may be at it: what one has dropped the others do
    /// not find.
    pub(super) async fn sweep(&self) -> Result<Option<usize>, Unavailable> {
        let Some(tenure) = self.leases.ended(1).await?.first().copied() else { return Ok(None) };
        let args = Args::new().number(ROUTES_AT_ONCE);
        let left = self.client.call(&SOME_OF_TENURE, vec![self.tenure_key(tenure)], args, entries).await?;
        if left.is_empty() {
            self.leases.forget(tenure).await?;
            return Ok(Some(0));
        }
        for dropped in join_all(left.iter().map(|entry| self.drop_dead(*entry, tenure))).await {
            self.dropped.add(u64::from(dropped?));
        }
        // Now that they are gone; entries of routes that were gone before go with them.
        let args = left.iter().fold(Args::new(), |args, entry| args.bytes(&entry.encode()));
        self.client
            .call(&REMOVE_FROM_TENURE, vec![self.tenure_key(tenure)], args, |value| done(&value))
            .await?;
        Ok(Some(left.len()))
    }

    async fn drop_dead(&self, entry: Entry, tenure: Tenure) -> Result<bool, Unavailable> {
        let dropped = self.drop_route(entry.session, Held::TENURE_AT, tenure.as_bytes(), &DROP).await?;
        if let Some(held) = &dropped {
            // Registered again since, it is under another fence than this entry.
            let args = Args::new().bytes(&Entry { fence: held.fence, ..entry }.encode());
            self.client
                .call(&REMOVE_FROM_USER, vec![self.user_key(&held.user)], args, |value| done(&value))
                .await?;
        }
        Ok(dropped.is_some())
    }
}

fn entries(value: Value) -> Option<Vec<Entry>> {
    let mut fields = Fields::of(value)?;
    (0..fields.len()).map(|_| Entry::decode(&fields.bytes()?)).collect()
}

/// Routes dropped with one announcement.
const ROUTES_AT_ONCE: u64 = 1_000;

static SOME_OF_TENURE: Script = Script::command(Operation::DirectoryAnnounce, "SRANDMEMBER");
static DROP: Script = Script::lua(Operation::DirectoryAnnounce, include_str!("unregister.lua"));

//! Who is there: joins and leaves, told to subscribers where their namespace says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_cluster::Unavailable;
use tidegate_cluster::fence::Fence;
use tidegate_cluster::presence::{Holder, Joined, Member, Members};
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{self, Attendance};
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::RawJson;
use tidegate_protocol::node::PublicationKind;

use super::attendance::{News, PresenceKey};
use super::exchange::Outbound;
use super::{Broker, refusal};
use crate::worker::mail::Publication;

/// Members that one answer holds.
const MEMBERS_MAX: usize = 10_000;

impl Broker {
    /// Notes that a session is on a channel, and tells the others.
    pub(crate) async fn attend(self: Arc<Self>, channel: ChannelName, member: Member, fence: Fence) {
        let place = PresenceKey { session: member.session, channel };
        if self.attendance.note(place.clone(), fence, News::Present(member)) {
            self.tell_of(place).await;
        }
    }

    /// Notes that a session is no longer on some channels, and tells the others, unless a newer connection holds it.
    pub(crate) async fn depart(
        self: Arc<Self>,
        channels: Vec<ChannelName>,
        session: SessionId,
        fence: Fence,
    ) {
        let places = channels.into_iter().map(|channel| PresenceKey { session, channel });
        let places: Vec<_> =
            places.filter(|place| self.attendance.note(place.clone(), fence, News::Absent)).collect();
        for place in places {
            self.tell_of(place).await;
        }
    }

    /// Tells the store what is noted of a place, until there is nothing more. One at a time does it.
    pub(super) async fn tell_of(&self, place: PresenceKey) {
        while let Some((fence, news)) = self.attendance.next(&place) {
            match news {
                News::Present(member) => self.join(&place.channel, member, fence).await,
                News::Absent => {
                    let is_told = self.leave(&place, fence).await.is_ok();
                    // Its node's lease would keep it present for as long as the node runs.
                    if !is_told && !self.attendance.missed(&place) {
                        return;
                    }
                }
            }
        }
    }

    async fn join(&self, channel: &ChannelName, member: Member, fence: Fence) {
        // Where it was told anew, it may have waited for the store behind others.
        if !self.is_seated(member.session, fence) {
            return;
        }
        let holder = Holder { node: self.node.clone(), fence };
        let joined = self.outside.presence.join(&channel.borrowed(), member.clone(), holder).await;
        match joined {
            Ok(Joined::New) => self.tell_attendance(channel, &member, PublicationKind::Join).await,
            Ok(Joined::Kept | Joined::Fenced) => {}
            // Upkeep announces the node, and then whoever is there joins.
            Ok(Joined::NoLease) => self.lacks_lease.store(true, Ordering::Relaxed),
            Ok(Joined::Full) => {
                tracing::debug!(session = %member.session, "presence has no room");
            }
            Err(unavailable) => {
                tracing::debug!(%unavailable, session = %member.session, "presence could not be noted");
                self.owed.attached(member.session, &[]);
            }
        }
    }

    async fn leave(&self, place: &PresenceKey, fence: Fence) -> Result<(), Unavailable> {
        let left = self.outside.presence.leave(&place.channel.borrowed(), place.session, fence).await?;
        if let Some(member) = left {
            self.tell_attendance(&place.channel, &member, PublicationKind::Leave).await;
        }
        Ok(())
    }

    /// Whether a session has its connection here under this fence, or a later one.
    fn is_seated(&self, session: SessionId, fence: Fence) -> bool {
        self.roster.find(session).is_some_and(|seat| seat.fence >= fence)
    }

    /// Who is on a channel.
    ///
    /// # Errors
    ///
    /// `unknown_channel`; `bad_request` where the channel has no presence; `unavailable`.
    pub(crate) async fn members(self: Arc<Self>, channel: ChannelName) -> Result<Members, ErrorBody> {
        self.presence_of(&channel)?;
        self.outside.presence.list(&channel.borrowed(), None, MEMBERS_MAX).await.map_err(refusal)
    }

    /// Refuses a channel that has no presence.
    pub(super) fn presence_of(&self, channel: &ChannelName) -> Result<(), ErrorBody> {
        if self.namespaces.of(channel.as_str())?.presence {
            return Ok(());
        }
        let message = format!("channel {channel} has no presence: its namespace does not switch it on");
        Err(ErrorBody::new(ErrorCode::BadRequest, message))
    }

    pub(super) async fn tell_attendance(
        &self,
        channel: &ChannelName,
        member: &Member,
        kind: PublicationKind,
    ) {
        if !self.namespaces.of(channel.as_str()).is_ok_and(|namespace| namespace.join_leave) {
            return;
        }
        let mut object = Vec::new();
        let attendance = Attendance {
            channel: channel.as_str().into(),
            user: (&*member.user).into(),
            session: member.session,
            info: info_of(member),
        };
        match kind {
            PublicationKind::Join => event::append_join(&mut object, &attendance),
            PublicationKind::Leave => event::append_leave(&mut object, &attendance),
            PublicationKind::Message => return,
        }
        let channel = channel.borrowed();
        let publication = Publication::of(object.into());
        let outbound = Outbound { channel: &channel, kind, publication, conflate: None, trace: None };
        if let Err(unavailable) = self.put_out(outbound).await {
            tracing::debug!(%unavailable, "nobody was told who came or went");
        }
    }
}

/// What a member shows of itself.
pub(crate) fn info_of(member: &Member) -> Option<RawJson<'_>> {
    std::str::from_utf8(member.info.as_deref()?).ok().map(RawJson::trusted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::Token;
    use tidegate_protocol::time::Millis;

    use super::*;
    use crate::broker::roster::Seat;
    use crate::node::testing;

    #[test]
    fn who_has_no_connection_here_any_more_is_not_made_present_by_what_was_told_of_it_before() {
        let node = testing::node(1, &[]);
        let (broker, session) = (&node.broker, SessionId::from_bytes([7; 16]));
        let channel = ChannelName::parse("room:tea").unwrap();
        let present_under = |fence| {
            let member = Member { session, user: "ann".into(), info: None, since: Millis::new(1) };
            let attend = Arc::clone(broker).attend(channel.clone(), member, Fence::new(fence));
            node.runtime.block_on(async {
                attend.await;
                let members = broker.outside.presence.list(&channel.borrowed(), None, 9).await;
                members.unwrap().members.len()
            })
        };
        let lease = broker.outside.presence.touch(&broker.node, Duration::from_secs(60));
        assert!(node.runtime.block_on(lease).is_ok());
        let seat = |fence| Seat { worker: 0, token: Token(1), fence: Fence::new(fence) };

        assert_eq!(present_under(1), 0, "it has none");
        broker.roster.seat(session, seat(1));
        assert_eq!(present_under(2), 0, "it is the older connection's");
        assert_eq!(present_under(1), 1);
    }

    #[test]
    fn what_is_told_anew_does_not_undo_what_the_client_did_meanwhile() {
        let node = testing::node(1, &[]);
        let (broker, session) = (&node.broker, SessionId::from_bytes([7; 16]));
        let (channel, fence) = (ChannelName::parse("room:tea").unwrap(), Fence::new(1));
        broker.roster.seat(session, Seat { worker: 0, token: Token(1), fence });
        let member = || Member { session, user: "ann".into(), info: None, since: Millis::new(1) };
        let members = || async {
            let members = broker.outside.presence.list(&channel.borrowed(), None, 9).await;
            members.unwrap().members.len()
        };
        node.runtime.block_on(async {
            let lease = broker.outside.presence.touch(&broker.node, Duration::from_secs(60)).await;
            assert!(lease.is_ok());
            Arc::clone(broker).attend(channel.clone(), member(), fence).await;
            assert_eq!(members().await, 1);

            // The worker has listed it, and waits for its turn at the store.
            let place = PresenceKey { session, channel: channel.clone() };
            assert!(broker.attendance.note(place.clone(), fence, News::Present(member())));
            Arc::clone(broker).depart(vec![channel.clone()], session, fence).await;
            broker.tell_of(place).await;

            assert_eq!(members().await, 0);
        });
    }
}

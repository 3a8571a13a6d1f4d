//! What the store and the bus answer.

use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::event::{Published, Reply};
use tidegate_session::{Ask, Feed, Refusal, Replayed, ReplyTo, Subscribed};

use super::ingest::{object, replayed};
use super::{Act, Answer, Node, Place, Publication, Purpose};
use crate::CHANNELS;
use crate::known::Seen;
use crate::store::{Appended, Page};

impl Node {
    /// The answer to a question; `None`: there was none in time.
    pub(crate) fn handle_answer(&mut self, question: u64, answer: Option<Answer>) {
        // Too late, or twice.
        let Some(purpose) = self.questions.remove(&question) else { return };
        let compared = self.compared.remove(&question).unwrap_or_default();
        match &answer {
            Some(Answer::Appended(Appended { position, link: Some(link) })) => {
                let [(channel, known)] = compared[..] else { return };
                self.known.note_link(channel, *position, *link);
                self.note(channel, Seen { position: *position, tag: link.tag }, known);
            }
            Some(Answer::Page(page)) => {
                let [(channel, known)] = compared[..] else { return };
                self.note(channel, page.head, known);
            }
            Some(Answer::Heads(heads)) => {
                for ((channel, head), (_, known)) in heads.iter().zip(compared) {
                    if let Some(head) = head {
                        self.note(*channel, *head, known);
                    }
                }
            }
            _ => {}
        }
        match (purpose, answer) {
            (Purpose::Publish { connection, to, channel, number }, answer) => {
                let appended = match answer {
                    Some(Answer::Appended(appended)) => Some(appended),
                    _ => None,
                };
                self.handle_appended(connection, to, (channel, number), appended);
            }
            // A bus that is down is asked again when it is back; until then history tells what was published.
            (Purpose::Listen { connection, channel, from, ask }, _) => {
                self.read_past(connection, channel, from, ask)
            }
            (Purpose::Subscribe { connection, channel, ask }, answer) => {
                let page = match answer {
                    Some(Answer::Page(page)) => Some(page),
                    _ => None,
                };
                self.handle_subscribed(connection, channel, ask, page);
            }
            (Purpose::Repair { channel }, Some(Answer::Page(page))) => {
                self.handle_repair(channel, Some(page))
            }
            (Purpose::Repair { channel }, _) => self.handle_repair(channel, None),
            (Purpose::Heads, Some(Answer::Heads(heads))) => self.handle_heads(heads),
            (Purpose::Sweep, Some(Answer::Heads(heads))) => {
                self.is_sweeping = false;
                self.handle_heads(heads);
            }
            (Purpose::Sweep, _) => self.sweep(),
            (Purpose::Open { connection, session, secret, owner }, answer) => {
                self.handle_created(connection, (session, secret), owner, answer.is_some());
            }
            (Purpose::Resume { connection, session, secret, owner }, answer) => {
                let resumed = match answer {
                    Some(Answer::Resumed(resumed)) => Some(resumed),
                    _ => None,
                };
                self.handle_resumed(connection, (session, secret), owner, resumed);
            }
            (Purpose::Write { session, by, then_detach }, answer) => {
                if let Some(Answer::Written(written)) = answer {
                    self.handle_written(session, by, written);
                }
                if then_detach {
                    self.detach(session, by);
                }
            }
            (Purpose::Renew { session, by }, Some(Answer::Written(written))) => {
                self.handle_renewed(session, by, written);
            }
            (Purpose::Look { session, by }, Some(Answer::Hold(Some(hold)))) if hold.fence > by.fence => {
                self.close_below(session, hold.fence);
            }
            (Purpose::Heads | Purpose::Renew { .. } | Purpose::Look { .. } | Purpose::Nothing, _) => {}
        }
    }

    fn handle_appended(
        &mut self,
        connection: u64,
        to: ReplyTo,
        (channel, number): (usize, u64),
        appended: Option<Appended>,
    ) {
        let reply = match appended {
            None => Err(unavailable()),
            Some(Appended { position, link }) => {
                if let Some(link) = link {
                    let tag = link.tag.number();
                    self.acts.push(Act::Publish(Publication {
                        channel,
                        position,
                        link: Some(link),
                        number,
                        tag,
                    }));
                }
                Ok(Reply::Publish(Published { position: Some(position), duplicate: link.is_none() }))
            }
        };
        self.with_session(connection, |session, cx| session.handle_replied(to, reply, cx));
        self.carry_out(connection);
    }

    /// The past of a subscription is known, or there is none to be had.
    fn handle_subscribed(&mut self, connection: u64, channel: usize, ask: Ask, page: Option<Page>) {
        let Some(open) = self.connections.get(&connection) else { return };
        let Some(&place) = open.held.get(&channel) else { return };
        if let (Some(page), Place::Gated) = (&page, place)
            && let Some(hub) = self.hub.get_mut(&channel)
        {
            let feed = hub.feed.get_or_insert_with(|| Feed::new(page.head.position, None));
            // One of the two has not heard that the channel began anew.
            if feed.head().epoch != page.head.position.epoch && feed.compare(page.head.position) {
                self.note_gap(channel);
            }
        }
        let head = page.as_ref().map(|page| page.head.position);
        let answer = page.map(|page| subscribed(channel, page)).ok_or_else(unavailable);
        self.with_session(connection, |session, cx| {
            session.handle_subscribed(CHANNELS[channel], ask, answer, cx);
        });
        self.carry_out(connection);
        let Some(open) = self.connections.get(&connection) else { return };
        if open.session.subscription(CHANNELS[channel]).is_none() {
            return self.unsubscribe(connection, channel);
        }
        self.release_if_live(connection, channel);
        if ask.by != tidegate_session::AskedBy::Gate {
            self.save_subscription(connection, channel, head);
        }
    }
}

fn subscribed(channel: usize, page: Page) -> Subscribed {
    let Page { head, recovered, entries } = page;
    // Never a part of what was missed.
    let entries = if recovered == Some(false) { Vec::new() } else { entries };
    let replay = entries.iter().map(|entry| Replayed {
        offset: entry.offset,
        object: object(&replayed(channel, head, entry)).into(),
    });
    Subscribed { head: Some(head.position), recovered, replay: replay.collect() }
}

pub(super) fn unavailable() -> Refusal {
    Refusal(ErrorBody::new(ErrorCode::Unavailable, "the store did not answer").retry_after_ms(200))
}

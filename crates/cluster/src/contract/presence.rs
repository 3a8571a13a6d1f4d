//! What every [`Presence`] promises.

use std::sync::Arc;

use tidegate_protocol::time::Millis;

use crate::directory::Lease;
use crate::fence::Fence;
use crate::presence::{Ghost, Holder, Joined, Member, Presence};

use super::{Harness, LONG, PAST_SOON, SOON, channel, get, node, session};

/// Checks every rule, each with nobody there.
pub async fn check(harness: &impl Harness<dyn Presence>) {
    members_come_and_go(harness).await;
    a_second_join_keeps_the_member(harness).await;
    a_node_without_a_lease_holds_nobody(harness).await;
    an_older_owner_neither_joins_nor_leaves(harness).await;
    lists_come_in_pages_by_session(harness).await;
    members_of_a_dead_node_are_ghosts_and_reaped_once(harness).await;
    a_lease_that_is_renewed_goes_on(harness).await;
    a_ghost_that_joins_elsewhere_is_none(harness).await;
    a_node_that_was_away_has_to_join_its_members_again(harness).await;
}

async fn members_come_and_go(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["n1", "n2"]).await;

    assert_eq!(join(&*presence, "chat:a", member(1), "n1", 1).await, Joined::New);
    assert_eq!(join(&*presence, "chat:a", member(2), "n2", 1).await, Joined::New);
    assert_eq!(join(&*presence, "chat:b", member(2), "n2", 1).await, Joined::New);
    assert_eq!(list(&*presence, "chat:a").await, [member(1), member(2)]);

    assert_eq!(leave(&*presence, "chat:a", 1, 1).await, Some(member(1)));
    assert_eq!(leave(&*presence, "chat:a", 1, 1).await, None);
    assert_eq!(list(&*presence, "chat:a").await, [member(2)]);
    assert_eq!(leave(&*presence, "chat:a", 2, 1).await, Some(member(2)));
    assert_eq!(list(&*presence, "chat:a").await, []);
    assert_eq!(list(&*presence, "chat:b").await, [member(2)]);
}

async fn a_second_join_keeps_the_member(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["n1", "n2"]).await;
    join(&*presence, "chat:a", member(1), "n1", 1).await.expect_new();

    let later = Member { info: Some(b"{\"away\":true}"[..].into()), since: Millis::new(99_000), ..member(1) };
    assert_eq!(join(&*presence, "chat:a", later.clone(), "n2", 2).await, Joined::Kept);
    let kept = Member { since: member(1).since, ..later };
    assert_eq!(list(&*presence, "chat:a").await, [kept], "it has been there since its first join");
}

async fn a_node_without_a_lease_holds_nobody(harness: &impl Harness<dyn Presence>) {
    let presence = harness.fresh().await;

    assert_eq!(join(&*presence, "chat:a", member(1), "n1", 1).await, Joined::NoLease);
    assert_eq!(list(&*presence, "chat:a").await, []);
    assert_eq!(get(presence.touch(&node("n1"), LONG)).await, Lease::New);
    assert_eq!(join(&*presence, "chat:a", member(1), "n1", 1).await, Joined::New);
}

async fn an_older_owner_neither_joins_nor_leaves(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["n1", "n2"]).await;
    join(&*presence, "chat:a", member(1), "n1", 1).await.expect_new();
    assert_eq!(join(&*presence, "chat:a", member(1), "n2", 2).await, Joined::Kept);

    assert_eq!(leave(&*presence, "chat:a", 1, 1).await, None, "the delayed leave of the old connection");
    assert_eq!(join(&*presence, "chat:a", member(1), "n1", 1).await, Joined::Fenced);
    assert_eq!(list(&*presence, "chat:a").await, [member(1)]);
    assert_eq!(leave(&*presence, "chat:a", 1, 2).await, Some(member(1)));
}

async fn lists_come_in_pages_by_session(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["n1"]).await;
    for number in [4, 2, 5, 1, 3] {
        join(&*presence, "chat:a", member(number), "n1", 1).await.expect_new();
    }
    let name = channel("chat:a");

    let first = get(presence.list(&name, None, 2)).await;
    assert_eq!((first.members, first.total), (vec![member(1), member(2)], 5));
    let rest = get(presence.list(&name, Some(session(2)), 10)).await;
    assert_eq!((rest.members, rest.total), (vec![member(3), member(4), member(5)], 5));
    let count = get(presence.list(&name, None, 0)).await;
    assert_eq!((count.members, count.total), (vec![], 5));
}

async fn members_of_a_dead_node_are_ghosts_and_reaped_once(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["alive"]).await;
    assert_eq!(get(presence.touch(&node("dead"), SOON)).await, Lease::New);
    for number in 1..=4 {
        let holder = if number == 4 { "alive" } else { "dead" };
        join(&*presence, "chat:a", member(number), holder, 1).await.expect_new();
    }
    assert_eq!(get(presence.reap(10)).await, [], "nobody is a ghost yet");
    harness.pass(PAST_SOON).await;

    let listed = get(presence.list(&channel("chat:a"), None, 10)).await;
    assert_eq!((listed.members, listed.total), (vec![member(4)], 1), "ghosts are not seen, reaped or not");
    let under_way = [presence.reap(2), presence.reap(2), presence.reap(2)];
    let mut reaped = Vec::new();
    for answer in under_way {
        let ghosts = get(answer).await;
        assert!(ghosts.len() <= 2);
        reaped.extend(ghosts);
    }
    reaped.sort_by_key(|ghost| ghost.member.session);
    let ghost = |number| Ghost { channel: (&channel("chat:a")).into(), member: member(number) };
    assert_eq!(reaped, [ghost(1), ghost(2), ghost(3)]);
}

async fn a_lease_that_is_renewed_goes_on(harness: &impl Harness<dyn Presence>) {
    let presence = harness.fresh().await;
    assert_eq!(get(presence.touch(&node("n1"), SOON)).await, Lease::New);
    join(&*presence, "chat:a", member(1), "n1", 1).await.expect_new();

    assert_eq!(get(presence.touch(&node("n1"), LONG)).await, Lease::Kept);
    harness.pass(PAST_SOON).await;
    assert_eq!(list(&*presence, "chat:a").await, [member(1)]);
    assert_eq!(get(presence.reap(10)).await, []);
}

async fn a_ghost_that_joins_elsewhere_is_none(harness: &impl Harness<dyn Presence>) {
    let presence = leased(harness, &["n2"]).await;
    assert_eq!(get(presence.touch(&node("n1"), SOON)).await, Lease::New);
    join(&*presence, "chat:a", member(1), "n1", 1).await.expect_new();
    harness.pass(PAST_SOON).await;

    let joined = join(&*presence, "chat:a", member(1), "n2", 2).await;
    assert_eq!(joined, Joined::Kept, "its leave was not announced, so its coming back is not either");
    assert_eq!(get(presence.reap(10)).await, []);
    assert_eq!(list(&*presence, "chat:a").await, [member(1)]);
}

async fn a_node_that_was_away_has_to_join_its_members_again(harness: &impl Harness<dyn Presence>) {
    let presence = harness.fresh().await;
    assert_eq!(get(presence.touch(&node("n1"), SOON)).await, Lease::New);
    join(&*presence, "chat:a", member(1), "n1", 1).await.expect_new();
    join(&*presence, "chat:a", member(2), "n1", 1).await.expect_new();
    harness.pass(PAST_SOON).await;

    assert_eq!(get(presence.touch(&node("n1"), LONG)).await, Lease::New, "it is told");
    assert_eq!(list(&*presence, "chat:a").await, []);
    assert_eq!(join(&*presence, "chat:a", member(1), "n1", 1).await, Joined::Kept);
    let reaped = get(presence.reap(10)).await;
    assert_eq!(reaped, [Ghost { channel: (&channel("chat:a")).into(), member: member(2) }]);
    assert_eq!(list(&*presence, "chat:a").await, [member(1)]);
}

impl Joined {
    fn expect_new(self) {
        assert_eq!(self, Self::New);
    }
}

/// A fresh one on which `nodes` have a lease that lasts.
async fn leased(harness: &impl Harness<dyn Presence>, nodes: &[&str]) -> Arc<dyn Presence> {
    let presence = harness.fresh().await;
    for name in nodes {
        assert_eq!(get(presence.touch(&node(name), LONG)).await, Lease::New);
    }
    presence
}

fn member(number: u8) -> Member {
    let since = Millis::new(u64::from(number) * 1_000);
    Member { session: session(number), user: format!("user-{number}").into(), info: None, since }
}

async fn join(presence: &dyn Presence, name: &str, member: Member, holder: &str, fence: u64) -> Joined {
    let holder = Holder { node: node(holder), fence: Fence::new(fence) };
    get(presence.join(&channel(name), member, holder)).await
}

async fn leave(presence: &dyn Presence, name: &str, number: u8, fence: u64) -> Option<Member> {
    get(presence.leave(&channel(name), session(number), Fence::new(fence))).await
}

async fn list(presence: &dyn Presence, name: &str) -> Vec<Member> {
    let listed = get(presence.list(&channel(name), None, 100)).await;
    assert_eq!(listed.total, listed.members.len());
    listed.members
}

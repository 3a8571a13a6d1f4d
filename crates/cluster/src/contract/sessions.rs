//! What every [`SessionStore`] promises.

mod revoked;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::ResumeSecret;
use tidegate_protocol::position::{Epoch, Position};
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::sessions::{
    Attachment, Changes, Created, Identity, NewSession, Resume, Resumed, Resumption, SessionStore,
    Subscription, Written,
};

use super::{Harness, LONG, PAST_SOON, SOON, get, node, session};

/// Checks every rule, each on a fresh store.
pub async fn check(harness: &impl Harness<dyn SessionStore>) {
    a_session_is_made_once(harness).await;
    a_session_that_is_made_again_keeps_the_fence_of_its_owner(harness).await;
    a_resume_gives_back_what_was_saved_under_a_higher_fence(harness).await;
    a_resume_of_a_live_session_names_the_owner_it_was_taken_from(harness).await;
    a_wrong_secret_is_answered_as_an_unknown_session_and_changes_nothing(harness).await;
    resumes_under_way_together_get_fences_of_their_own(harness).await;
    an_old_owner_can_write_nothing(harness).await;
    a_save_adds_moves_and_leaves_in_one_step(harness).await;
    a_refreshed_identity_is_kept(harness).await;
    a_record_ends_unless_it_is_written_or_touched(harness).await;
    a_detached_session_can_be_resumed_until_its_time_ends(harness).await;
    an_ended_session_is_gone(harness).await;
    touching_many_names_those_that_are_lost(harness).await;
    revoked::check(harness).await;
    seen::check(harness).await;
}

async fn a_session_is_made_once(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;

    assert_eq!(get(store.create(new(1, "ann", "n1"))).await, Created::Owned(Fence::FIRST));
    assert_eq!(get(store.create(new(1, "bob", "n2"))).await, Created::Taken);
    let view = get(store.get(session(1))).await.expect("it was made");
    assert_eq!((&*view.user, view.node, view.fence), ("ann", node("n1"), Fence::FIRST));
    assert_eq!(get(store.create(new(2, "ann", "n1"))).await, Created::Owned(Fence::FIRST));
}

async fn a_session_that_is_made_again_keeps_the_fence_of_its_owner(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    let third = Fence::FIRST.next().next();

    let again = NewSession { fence: third, ..new(1, "ann", "n1") };
    assert_eq!(get(store.create(again)).await, Created::Owned(third));
    let Resumed::Owned(next) = get(store.resume(resume_of(1, "n2"))).await else { panic!("it is there") };
    assert!(next.fence > third);
    assert_eq!(get(store.detach(session(1), third, LONG)).await, Written::Fenced);
}

async fn a_resume_gives_back_what_was_saved_under_a_higher_fence(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 1).await;
    let identity = Identity {
        user: "ann".into(),
        claims: br#"{"subscribe":["chat:*"]}"#[..].into(),
        token_id: Some("jti-1".into()),
        token_expires_at: Some(Millis::new(1_900_000_000_000)),
    };
    let known = NewSession { identity: identity.clone(), ..new(2, "ann", "n1") };
    assert_eq!(get(store.create(known)).await, Created::Owned(Fence::FIRST));
    let subscriptions = vec![at("chat:a", 5), bare("chat:b"), at("chat:grüße", u64::MAX)];
    save(&*store, 2, 1, subscriptions.clone(), &[]).await;
    assert_eq!(get(store.detach(session(2), Fence::FIRST, LONG)).await, Written::Saved);

    let resumption = resume(&*store, 2, "n2").await;
    assert_eq!(resumption.identity, identity);
    assert_eq!(resumption.subscriptions, subscriptions);
    assert!(resumption.fence > Fence::FIRST);
    assert_eq!(resumption.taken_from, None, "its owner had let go");
    assert!(resumption.created_at.count() > 0);

    let bare = resume(&*store, 1, "n2").await;
    assert_eq!((bare.identity, bare.subscriptions), (new(1, "ann", "n1").identity, vec![]));
}

async fn a_resume_of_a_live_session_names_the_owner_it_was_taken_from(
    harness: &impl Harness<dyn SessionStore>,
) {
    let store = holding(harness, 1).await;

    let second = resume(&*store, 1, "n2").await;
    assert_eq!(second.taken_from, Some(node("n1")));
    let third = resume(&*store, 1, "n2").await;
    assert_eq!(third.taken_from, Some(node("n2")), "also from itself");
    assert!(Fence::FIRST < second.fence && second.fence < third.fence);
    let view = get(store.get(session(1))).await.expect("it lives");
    assert_eq!((view.node, view.fence, view.state), (node("n2"), third.fence, Attachment::Attached));
}

async fn a_wrong_secret_is_answered_as_an_unknown_session_and_changes_nothing(
    harness: &impl Harness<dyn SessionStore>,
) {
    let store = holding(harness, 1).await;
    let before = get(store.get(session(1))).await;

    for secret in [[0; 16], [2; 16], [0xff; 16]] {
        let wrong = Resume { secret: ResumeSecret::from_bytes(secret), ..resume_of(1, "n2") };
        assert_eq!(get(store.resume(wrong)).await, Resumed::NotResumable);
    }
    let unknown = Resume { secret: ResumeSecret::from_bytes([0; 16]), ..resume_of(9, "n2") };
    assert_eq!(get(store.resume(unknown)).await, Resumed::NotResumable);
    assert_eq!(get(store.get(session(1))).await, before);
    save(&*store, 1, 1, vec![bare("chat:a")], &[]).await;
}

async fn resumes_under_way_together_get_fences_of_their_own(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 1).await;

    let under_way = ["n1", "n2", "n3"].map(|name| (name, store.resume(resume_of(1, name))));
    let mut owners = Vec::new();
    for (name, answer) in under_way {
        let Resumed::Owned(resumption) = get(answer).await else { panic!("each knows the secret") };
        owners.push((resumption.fence, node(name)));
    }
    owners.sort();
    assert!(owners.is_sorted_by(|(one, _), (next, _)| Fence::FIRST < *one && one < next), "{owners:?}");
    let view = get(store.get(session(1))).await.expect("it lives");
    assert_eq!(owners.last(), Some(&(view.fence, view.node)), "the highest has it");
}

async fn an_old_owner_can_write_nothing(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 1).await;
    save(&*store, 1, 1, vec![at("chat:a", 1)], &[]).await;
    let owner = resume(&*store, 1, "n2").await;
    let before = get(store.get(session(1))).await;

    let (id, old) = (session(1), Fence::FIRST);
    assert_eq!(get(store.save(id, old, changes(vec![at("chat:a", 9)], &[]))).await, Written::Fenced);
    assert_eq!(get(store.detach(id, old, LONG)).await, Written::Fenced);
    assert_eq!(get(store.end(id, old)).await, Written::Fenced);
    assert_eq!(get(store.touch(&[(id, old)], LONG)).await, [id]);
    assert_eq!(get(store.get(id)).await, before);
    let changed = changes(vec![at("chat:a", 2)], &[]);
    assert_eq!(get(store.save(id, owner.fence, changed)).await, Written::Saved);
}

async fn a_save_adds_moves_and_leaves_in_one_step(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 1).await;
    save(&*store, 1, 1, vec![at("chat:c", 1), at("chat:a", 1), bare("chat:b")], &[]).await;
    assert_eq!(subscriptions(&*store, 1).await, [at("chat:a", 1), bare("chat:b"), at("chat:c", 1)]);

    save(&*store, 1, 1, vec![at("chat:a", 2), at("chat:d", 7)], &["chat:b", "chat:unknown"]).await;
    assert_eq!(subscriptions(&*store, 1).await, [at("chat:a", 2), at("chat:c", 1), at("chat:d", 7)]);

    save(&*store, 1, 1, vec![], &[]).await;
    assert_eq!(subscriptions(&*store, 1).await.len(), 3, "what is not named stays");
    save(&*store, 1, 1, vec![bare("chat:a")], &["chat:a", "chat:c", "chat:d"]).await;
    assert_eq!(subscriptions(&*store, 1).await, [bare("chat:a")], "left and subscribed again");
}

async fn a_refreshed_identity_is_kept(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 1).await;
    let refreshed = Identity {
        user: "ann".into(),
        claims: b"{}"[..].into(),
        token_id: Some("jti-2".into()),
        token_expires_at: Some(Millis::new(1_950_000_000_000)),
    };

    let change = Changes { identity: Some(refreshed.clone()), ..changes(vec![bare("chat:a")], &[]) };
    assert_eq!(get(store.save(session(1), Fence::FIRST, change)).await, Written::Saved);
    save(&*store, 1, 1, vec![bare("chat:b")], &[]).await;
    let resumption = resume(&*store, 1, "n2").await;
    assert_eq!((resumption.identity, resumption.subscriptions.len()), (refreshed, 2));
}

async fn a_record_ends_unless_it_is_written_or_touched(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    for number in 1..=4 {
        let short = NewSession { ttl: SOON, ..new(number, "ann", "n1") };
        assert_eq!(get(store.create(short)).await, Created::Owned(Fence::FIRST));
    }

    save(&*store, 2, 1, vec![], &[]).await;
    assert_eq!(get(store.touch(&[(session(3), Fence::FIRST)], LONG)).await, []);
    resume(&*store, 4, "n2").await;
    harness.pass(PAST_SOON).await;
    for (number, lives) in [(1, false), (2, true), (3, true), (4, true)] {
        assert_eq!(get(store.get(session(number))).await.is_some(), lives, "{number}");
    }
    assert_eq!(get(store.resume(resume_of(1, "n1"))).await, Resumed::NotResumable);
    let late = changes(vec![bare("chat:a")], &[]);
    assert_eq!(get(store.save(session(1), Fence::FIRST, late)).await, Written::Gone);
    let anew = get(store.create(new(1, "bob", "n1"))).await;
    assert_eq!(anew, Created::Owned(Fence::FIRST), "its name is free again");
}

async fn a_detached_session_can_be_resumed_until_its_time_ends(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 3).await;
    for (number, ttl) in [(1, SOON), (2, LONG), (3, SOON)] {
        assert_eq!(get(store.detach(session(number), Fence::FIRST, ttl)).await, Written::Saved);
        let view = get(store.get(session(number))).await.expect("it may still be resumed");
        assert_eq!(view.state, Attachment::Detached);
    }

    assert_eq!(resume(&*store, 3, "n2").await.taken_from, None);
    harness.pass(PAST_SOON).await;
    assert_eq!(get(store.resume(resume_of(1, "n2"))).await, Resumed::NotResumable);
    assert!(resume(&*store, 2, "n2").await.fence > Fence::FIRST);
    assert!(get(store.get(session(3))).await.is_some(), "resuming it gave it a new time");
}

async fn an_ended_session_is_gone(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 2).await;

    assert_eq!(get(store.end(session(1), Fence::FIRST)).await, Written::Saved);
    assert_eq!(get(store.end(session(1), Fence::FIRST)).await, Written::Gone);
    assert_eq!(get(store.resume(resume_of(1, "n1"))).await, Resumed::NotResumable);
    let owner = resume(&*store, 2, "n2").await;
    assert!(get(store.remove(session(2))).await, "whoever owns it");
    assert!(!get(store.remove(session(2))).await);
    assert_eq!(get(store.detach(session(2), owner.fence, LONG)).await, Written::Gone);
}

async fn touching_many_names_those_that_are_lost(harness: &impl Harness<dyn SessionStore>) {
    let store = holding(harness, 4).await;
    assert_eq!(get(store.end(session(2), Fence::FIRST)).await, Written::Saved);
    resume(&*store, 4, "n2").await;

    let held: Vec<_> = (1..=5).map(|number| (session(number), Fence::FIRST)).collect();
    assert_eq!(get(store.touch(&held, LONG)).await, [session(2), session(4), session(5)]);
    assert_eq!(get(store.touch(&[], LONG)).await, []);
}

/// A store with the sessions 1 to `count`, of `ann` on `n1`.
async fn holding(harness: &impl Harness<dyn SessionStore>, count: u8) -> Arc<dyn SessionStore> {
    let store = harness.fresh().await;
    for number in 1..=count {
        assert_eq!(get(store.create(new(number, "ann", "n1"))).await, Created::Owned(Fence::FIRST));
    }
    store
}

fn new(number: u8, user: &str, node_name: &str) -> NewSession {
    NewSession {
        session: session(number),
        secret: ResumeSecret::from_bytes([number; 16]),
        node: node(node_name),
        fence: Fence::FIRST,
        identity: Identity {
            user: user.into(),
            claims: Arc::default(),
            token_id: None,
            token_expires_at: None,
        },
        ttl: LONG,
    }
}

fn resume_of(number: u8, node_name: &str) -> Resume {
    let secret = ResumeSecret::from_bytes([number; 16]);
    Resume { session: session(number), secret, node: node(node_name), ttl: LONG }
}

async fn resume(store: &dyn SessionStore, number: u8, node_name: &str) -> Resumption {
    match get(store.resume(resume_of(number, node_name))).await {
        Resumed::Owned(resumption) => *resumption,
        other @ (Resumed::NotResumable | Resumed::Revoked) => panic!("session {number}: {other:?}"),
    }
}

fn changes(subscribed: Vec<Subscription>, unsubscribed: &[&str]) -> Changes {
    let unsubscribed = unsubscribed.iter().map(|name| owned(name)).collect();
    Changes { subscribed, unsubscribed, identity: None, ttl: LONG }
}

async fn save(
    store: &dyn SessionStore,
    number: u8,
    fence: u64,
    subscribed: Vec<Subscription>,
    unsubscribed: &[&str],
) {
    let changes = changes(subscribed, unsubscribed);
    assert_eq!(get(store.save(session(number), Fence::new(fence), changes)).await, Written::Saved);
}

async fn subscriptions(store: &dyn SessionStore, number: u8) -> Vec<Subscription> {
    get(store.get(session(number))).await.expect("it lives").subscriptions
}

fn at(name: &str, offset: u64) -> Subscription {
    let position = Some(Position { epoch: Epoch::new(u64::MAX), offset });
    Subscription { channel: owned(name), position }
}

fn bare(name: &str) -> Subscription {
    Subscription { channel: owned(name), position: None }
}

fn owned(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("rules use good names")
}

/// Longer than every other time of a rule.
const TOO_LONG: Duration = Duration::from_secs(1_000_000);

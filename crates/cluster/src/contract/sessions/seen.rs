//! Rules of looking at sessions.

use tidegate_protocol::id::SessionId;
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::sessions::{Attachment, Created, Filter, Identity, NewSession, SessionStore, Written};

use super::{Harness, LONG, PAST_SOON, SOON, at, get, new, node, resume, save, session};

pub(super) async fn check(harness: &impl Harness<dyn SessionStore>) {
    a_session_is_seen_as_it_is(harness).await;
    sessions_are_listed_by_user_and_by_node(harness).await;
    a_list_is_walked_in_pages_and_holds_each_session_once(harness).await;
    what_has_ended_is_not_listed(harness).await;
}

async fn a_session_is_seen_as_it_is(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    assert_eq!(get(store.get(session(1))).await, None);
    let plain = new(1, "ann", "n1");
    let identity = Identity { token_expires_at: Some(Millis::new(77)), ..plain.identity };
    let made = get(store.create(NewSession { identity, ..plain })).await;
    assert_eq!(made, Created::Owned(Fence::FIRST));
    save(&*store, 1, 1, vec![at("chat:a", 3)], &[]).await;

    let view = get(store.get(session(1))).await.expect("it was made");
    assert_eq!((view.session, &*view.user, &view.node), (session(1), "ann", &node("n1")));
    assert_eq!((view.fence, view.state), (Fence::FIRST, Attachment::Attached));
    assert_eq!(view.token_expires_at, Some(Millis::new(77)));
    assert_eq!(view.subscriptions, [at("chat:a", 3)]);
    assert!(view.created_at.count() > 0);
}

async fn sessions_are_listed_by_user_and_by_node(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    for (number, user, on) in
        [(1, "ann", "n1"), (2, "bob", "n2"), (3, "ann", "n2"), (4, "", "n1"), (5, "annabel", "n1")]
    {
        assert_eq!(get(store.create(new(number, user, on))).await, Created::Owned(Fence::FIRST));
    }

    assert_eq!(listed(&*store, Filter::All).await, [1, 2, 3, 4, 5].map(session));
    assert_eq!(listed(&*store, Filter::User("ann")).await, [1, 3].map(session));
    assert_eq!(listed(&*store, Filter::User("")).await, [session(4)]);
    assert_eq!(listed(&*store, Filter::User("carl")).await, []);
    assert_eq!(listed(&*store, Filter::Node(&node("n1"))).await, [1, 4, 5].map(session));
    resume(&*store, 1, "n2").await;
    assert_eq!(listed(&*store, Filter::Node(&node("n2"))).await, [1, 2, 3].map(session));
}

async fn a_list_is_walked_in_pages_and_holds_each_session_once(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    for number in 1..=7 {
        let made = get(store.create(new(number, "ann", if number == 4 { "n2" } else { "n1" }))).await;
        assert_eq!(made, Created::Owned(Fence::FIRST));
    }

    let n1 = node("n1");
    for (filter, all) in [
        (Filter::All, vec![1, 2, 3, 4, 5, 6, 7]),
        (Filter::User("ann"), vec![1, 2, 3, 4, 5, 6, 7]),
        (Filter::Node(&n1), vec![1, 2, 3, 5, 6, 7]),
    ] {
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let page = get(store.list(filter, after, 3)).await;
            assert!(page.sessions.len() <= 3, "{filter:?}");
            walked.extend(page.sessions.iter().map(|view| view.session));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(walked, all.into_iter().map(session).collect::<Vec<_>>(), "{filter:?}");
    }
}

async fn what_has_ended_is_not_listed(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    for (number, ttl) in [(1, SOON), (2, LONG), (3, LONG)] {
        let made = get(store.create(NewSession { ttl, ..new(number, "ann", "n1") })).await;
        assert_eq!(made, Created::Owned(Fence::FIRST));
    }

    assert_eq!(get(store.end(session(2), Fence::FIRST)).await, Written::Saved);
    harness.pass(PAST_SOON).await;
    for filter in [Filter::All, Filter::User("ann"), Filter::Node(&node("n1"))] {
        assert_eq!(listed(&*store, filter).await, [session(3)], "{filter:?}");
    }
}

async fn listed(store: &dyn SessionStore, filter: Filter<'_>) -> Vec<SessionId> {
    let page = get(store.list(filter, None, 100)).await;
    assert_eq!(page.next, None);
    page.sessions.iter().map(|view| view.session).collect()
}

//! Rules of revocations.

use tidegate_protocol::id::ResumeSecret;
use tidegate_protocol::time::Millis;

use crate::fence::Fence;
use crate::sessions::{Created, Identity, NewSession, Resume, Resumed, SessionStore, Subject};

use super::{Harness, SOON, TOO_LONG, get, new, resume, resume_of, session};

pub(super) async fn check(harness: &impl Harness<dyn SessionStore>) {
    a_revoked_user_token_or_session_is_refused_at_create_and_resume(harness).await;
    a_revocation_ends_and_a_longer_one_goes_over_a_shorter(harness).await;
    only_who_knows_the_secret_is_told_of_a_revocation(harness).await;
}

async fn a_revoked_user_token_or_session_is_refused_at_create_and_resume(
    harness: &impl Harness<dyn SessionStore>,
) {
    for (subject, user, token_id, number) in [
        (Subject::User("ann".into()), "ann", None, 1),
        (Subject::Token("jti".into()), "bob", Some("jti"), 2),
        (Subject::Session(session(3)), "bob", None, 3),
    ] {
        let store = harness.fresh().await;
        let wanted = || with_token(number, user, token_id);
        let other = with_token(9, "carl", Some("ann"));
        assert_eq!(get(store.create(wanted())).await, Created::Owned(Fence::FIRST));
        assert_eq!(get(store.create(other)).await, Created::Owned(Fence::FIRST));
        assert!(!get(store.is_revoked(session(number), user, token_id)).await);

        get(store.revoke(subject.clone(), Millis::MAX)).await;
        assert!(get(store.is_revoked(session(number), user, token_id)).await, "{subject:?}");
        // A session may be gone already when it is asked for: that it was revoked must not make a difference.
        let refused = if number == 3 { Resumed::NotResumable } else { Resumed::Revoked };
        assert_eq!(get(store.resume(resume_of(number, "n2"))).await, refused, "{subject:?}");
        get(store.remove(session(number))).await;
        assert_eq!(get(store.create(wanted())).await, Created::Revoked, "{subject:?}");
        assert!(!get(store.is_revoked(session(9), "carl", Some("ann"))).await, "{subject:?}");
        assert!(resume(&*store, 9, "n2").await.fence > Fence::FIRST, "nobody else is touched");
    }
}

async fn a_revocation_ends_and_a_longer_one_goes_over_a_shorter(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    let now = now(&*store).await;

    get(store.revoke(Subject::User("ann".into()), now + SOON)).await;
    get(store.revoke(Subject::User("bob".into()), now + SOON)).await;
    get(store.revoke(Subject::User("bob".into()), now + TOO_LONG)).await;
    get(store.revoke(Subject::User("bob".into()), now + SOON)).await;
    assert_eq!(get(store.create(new(1, "ann", "n1"))).await, Created::Revoked);
    // What the rule measured `now` by may have been made a little later than `now`.
    harness.pass(SOON * 2).await;
    assert_eq!(get(store.create(new(1, "ann", "n1"))).await, Created::Owned(Fence::FIRST));
    assert_eq!(get(store.create(new(2, "bob", "n1"))).await, Created::Revoked);
}

async fn only_who_knows_the_secret_is_told_of_a_revocation(harness: &impl Harness<dyn SessionStore>) {
    let store = harness.fresh().await;
    for number in [1, 2] {
        assert_eq!(get(store.create(new(number, "ann", "n1"))).await, Created::Owned(Fence::FIRST));
    }
    get(store.revoke(Subject::Session(session(1)), Millis::MAX)).await;
    assert_eq!(get(store.resume(resume_of(1, "n2"))).await, Resumed::NotResumable);
    let view = get(store.get(session(1))).await.expect("it was not taken over");
    assert_eq!(view.fence, Fence::FIRST);

    get(store.revoke(Subject::User("ann".into()), Millis::MAX)).await;
    let wrong = Resume { secret: ResumeSecret::from_bytes([9; 16]), ..resume_of(2, "n2") };
    assert_eq!(get(store.resume(wrong)).await, Resumed::NotResumable);
    assert_eq!(get(store.resume(resume_of(2, "n2"))).await, Resumed::Revoked);
}

fn with_token(number: u8, user: &str, token_id: Option<&str>) -> NewSession {
    let plain = new(number, user, "n1");
    let identity = Identity { token_id: token_id.map(Into::into), ..plain.identity };
    NewSession { identity, ..plain }
}

/// The store's time: that of a session made now.
async fn now(store: &dyn SessionStore) -> Millis {
    assert_eq!(get(store.create(new(200, "clock", "n1"))).await, Created::Owned(Fence::FIRST));
    get(store.get(session(200))).await.expect("it was made").created_at
}

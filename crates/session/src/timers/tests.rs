use std::time::Duration;

use tidegate_protocol::command::CommandName;
use tidegate_protocol::error::ErrorCode;

use crate::testing::{Rig, identity, new_session, refusal};
use crate::{Effect, Identity, Policy, Refreshed, ReplyTo};

const SECOND: Duration = Duration::from_secs(1);

impl Rig {
    /// Lets time pass up to the deadline and a call there.
    fn run_to_deadline(&mut self) {
        self.now = self.session.deadline().unwrap().max(self.now);
        self.call(|session, cx| session.handle_timeout(cx));
    }
}

#[test]
fn a_client_that_does_not_connect_in_time_is_closed() {
    let mut rig = Rig::new(Policy::default());
    rig.pass(rig.policy.connect_timeout - Duration::from_millis(1));
    rig.call(|session, cx| session.handle_timeout(cx));
    assert_eq!(rig.told(), [""; 0]);

    rig.run_to_deadline();
    assert_eq!(rig.told(), ["closing 4507 connect_timeout stay away"]);
}

#[test]
fn an_outside_that_does_not_answer_connect_in_time_is_not_the_clients_fault() {
    let mut rig = Rig::new(Policy::default());
    rig.pass(9 * SECOND);
    rig.command(r#"{"id":1,"connect":{}}"#);
    rig.run_to_deadline();

    assert_eq!(rig.told(), ["1 error unavailable", "closing 4053 unavailable come back"]);
}

#[test]
fn silence_is_asked_about_and_then_ended() {
    let mut rig = Rig::ready(Policy { pings_missed: 2, ..Policy::default() });
    let start = rig.now;
    for _ in 0..3 {
        rig.run_to_deadline();
    }

    assert_eq!(rig.told(), ["ping", "ping", "closing 4002 ping_timeout come back"]);
    assert_eq!(rig.now.since(start), 3 * rig.policy.ping_interval);
}

#[test]
fn a_client_that_is_heard_of_is_not_asked() {
    let mut rig = Rig::ready(Policy { pings_missed: 1, ..Policy::default() });
    for _ in 0..10 {
        rig.pass(20 * SECOND);
        let now = rig.now;
        rig.session.handle_traffic(now);
        rig.call(|session, cx| session.handle_timeout(cx));
    }
    assert_eq!(rig.told(), [""; 0]);

    rig.run_to_deadline();
    assert_eq!(rig.told(), ["ping"]);
    rig.command("{}");
    let now = rig.now;
    rig.session.handle_traffic(now);
    rig.run_to_deadline();
    assert_eq!(rig.told(), ["ping"], "the count began anew");
}

#[test]
fn a_node_that_paused_gives_its_clients_their_time_to_answer() {
    let mut rig = Rig::ready(Policy::default());
    rig.pass(10 * rig.policy.ping_interval);
    rig.call(|session, cx| session.handle_timeout(cx));
    rig.call(|session, cx| session.handle_timeout(cx));

    assert_eq!(rig.told(), ["ping"]);
    assert_eq!(rig.session.deadline(), Some(rig.now + rig.policy.ping_interval));
}

/// A session whose token ends in so many seconds.
fn expiring_in(seconds: u32) -> Rig {
    let mut rig = Rig::new(Policy { ping_interval: 1000 * SECOND, ..Policy::default() });
    rig.command(r#"{"id":1,"connect":{"token":"t"}}"#);
    let expires_at = Some(rig.now + seconds * SECOND);
    rig.call(|session, cx| {
        session.handle_authenticated(Ok(Identity { expires_at, ..identity("ada") }), cx);
        session.handle_opened(Ok(new_session()), cx);
    });
    rig.effects();
    assert_eq!(rig.told(), ["1 connect as ada"]);
    rig
}

#[test]
fn a_token_that_ends_is_announced_once_and_then_ends_the_connection() {
    let mut rig = expiring_in(100);
    rig.run_to_deadline();
    assert_eq!(rig.told(), ["expiring 60000"]);

    rig.run_to_deadline();
    assert_eq!(rig.told(), ["closing 4004 token_expired come back"]);
}

#[test]
fn a_token_shorter_than_the_notice_is_announced_at_once() {
    let mut rig = expiring_in(5);
    rig.run_to_deadline();

    assert_eq!(rig.told(), ["expiring 5000"]);
}

fn refresh(rig: &mut Rig) -> ReplyTo {
    match rig.command(r#"{"id":5,"refresh":{"token":"new"}}"#) {
        Some(Effect::Refresh { to, token }) => {
            assert_eq!((to.id, to.command, &*token), (Some(5), CommandName::Refresh, "new"));
            to
        }
        other => panic!("not a refresh: {other:?}"),
    }
}

#[test]
fn a_refreshed_token_is_announced_again_before_its_own_end() {
    let mut rig = expiring_in(100);
    rig.run_to_deadline();
    let to = refresh(&mut rig);
    let expires_at = Some(rig.now + 200 * SECOND);
    let answer = Ok(Identity { expires_at, ..identity("ada") });
    assert_eq!(rig.call(|session, cx| session.handle_refreshed(to, answer, cx)), Refreshed::Accepted);

    rig.run_to_deadline();
    assert_eq!(rig.told(), ["expiring 60000", "5 refresh", "expiring 60000"]);
}

#[test]
fn another_users_token_and_a_bad_one_refresh_nothing() {
    let mut rig = expiring_in(100);
    let to = refresh(&mut rig);
    let answer = rig.call(|session, cx| session.handle_refreshed(to, Ok(identity("eve")), cx));
    assert_eq!(answer, Refreshed::Refused);
    let to = refresh(&mut rig);
    let bad = Err(refusal(ErrorCode::Unauthorized));
    assert_eq!(rig.call(|session, cx| session.handle_refreshed(to, bad, cx)), Refreshed::Refused);
    assert_eq!(rig.told(), ["5 error forbidden", "5 error unauthorized"]);
    assert_eq!(rig.session.user(), "ada");

    rig.run_to_deadline();
    rig.run_to_deadline();
    assert_eq!(rig.told(), ["expiring 60000", "closing 4004 token_expired come back"]);
}

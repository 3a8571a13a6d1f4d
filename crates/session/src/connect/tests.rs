use tidegate_protocol::command::{ParseLimits, Resume};

use crate::testing::{
    Rig, at, identity, name, new_session, recovered, refusal, resumed, session_id, subscribed_at,
};
use crate::{Delivery, Policy};

use super::*;

const RESUME: &str =
    r#"{"id":1,"connect":{"session":"BwcHBwcHBwcHBwcHBwcHBw","resume":"CQkJCQkJCQkJCQkJCQkJCQ"}}"#;
const RESUME_WITH_TOKEN: &str = r#"{"id":1,"connect":{"token":"t","session":"BwcHBwcHBwcHBwcHBwcHBw","resume":"CQkJCQkJCQkJCQkJCQkJCQ"}}"#;

impl Rig {
    fn authenticated(&mut self, answer: Result<Identity, Refusal>) {
        self.call(|session, cx| session.handle_authenticated(answer, cx));
    }

    fn opened(&mut self, answer: Result<Opened, Refusal>) {
        self.call(|session, cx| session.handle_opened(answer, cx));
    }

    /// Sends `connect` and lets it be known who the client is and that its session is open.
    fn connect_and_open(object: &'static str) -> Self {
        let mut rig = Self::new(Policy::default());
        rig.command(object);
        rig.authenticated(Ok(identity("ada")));
        assert!(matches!(rig.effects()[..], [Effect::Open { .. }]));
        rig.opened(Ok(new_session()));
        rig
    }
}

#[test]
fn a_connect_is_authenticated_then_opened_then_answered() {
    let mut rig = Rig::new(Policy::default());
    let effect = rig.command(r#"{"id":1,"connect":{"token":"t","info":{"name":"Ada"}}}"#);
    assert_eq!(effect, Some(Effect::Authenticate { token: Some("t".into()) }));
    assert!(!rig.session.is_ready());

    rig.authenticated(Ok(identity("ada")));
    let info = RawJson::parse(r#"{"name":"Ada"}"#, ParseLimits::default().depth_max).unwrap().into_owned();
    assert_eq!(rig.effects(), [Effect::Open { info: Some(info) }]);
    assert_eq!(rig.told(), [""; 0]);

    rig.opened(Ok(new_session()));
    assert_eq!(rig.told(), ["1 connect as ada"]);
    assert_eq!((rig.session.id(), rig.session.user()), (Some(session_id(1)), "ada"));
}

#[test]
fn the_reply_waits_for_every_subscription_and_replays_follow_it_channel_by_channel() {
    let mut rig = Rig::connect_and_open(
        r#"{"id":1,"connect":{"subscribe":["b","a"],"positions":{"b":{"epoch":"1","offset":5}}}}"#,
    );
    let asks = rig.asks();
    let [(b, from_b, ask_b), (a, from_a, ask_a)] = &asks[..] else { panic!("{asks:?}") };
    assert_eq!((b.as_str(), a.as_str()), ("b", "a"));
    assert_eq!((*from_b, *from_a), (StartFrom::Position(at(5)), StartFrom::Live));
    assert_eq!((ask_b.by, ask_a.by), (AskedBy::Client, AskedBy::Client));

    rig.answer("b", *ask_b, Ok(recovered("b", 6, 7)));
    rig.live("b", 8);
    assert_eq!(rig.told(), [""; 0]);
    rig.answer("a", *ask_a, Ok(subscribed_at(2)));
    assert_eq!(
        rig.told(),
        ["1 connect as ada, a 1/2, b 1/5 recovered", "message b 6", "message b 7", "message b 8"]
    );
}

#[test]
fn channels_of_the_identity_are_subscribed_to_by_the_server_and_none_twice() {
    let mut rig = Rig::new(Policy::default());
    rig.command(r#"{"id":1,"connect":{"subscribe":["a","b"]}}"#);
    let channels = vec![name("b"), name("c")];
    rig.authenticated(Ok(Identity { channels, ..identity("ada") }));
    rig.effects();
    rig.opened(Ok(new_session()));

    let asked: Vec<_> = rig.asks().iter().map(|(channel, _, ask)| (channel.to_string(), ask.by)).collect();
    let expected = [("b", AskedBy::Server), ("c", AskedBy::Server), ("a", AskedBy::Client)];
    assert_eq!(asked, expected.map(|(channel, by)| (channel.to_owned(), by)));
}

#[test]
fn refused_subscriptions_are_left_out_of_the_reply_and_told_behind_it() {
    let mut rig = Rig::connect_and_open(r#"{"id":1,"connect":{"subscribe":["a","b"]}}"#);
    let asks = rig.asks();
    rig.answer("a", asks[0].2, Err(refusal(ErrorCode::Forbidden)));
    rig.answer("b", asks[1].2, Ok(subscribed_at(0)));

    assert_eq!(rig.told(), ["1 connect as ada, b 1/0", "unsubscribed a forbidden"]);
    assert_eq!(rig.session.subscription("a"), None);
}

#[test]
fn subscriptions_over_the_limit_are_refused_and_the_first_ones_stand() {
    let mut policy = Policy::default();
    policy.limits.subscriptions = 2;
    let mut rig = Rig::new(policy);
    rig.command(r#"{"id":1,"connect":{"subscribe":["a","b","c"]}}"#);
    rig.authenticated(Ok(Identity { channels: vec![name("d")], ..identity("ada") }));
    rig.effects();
    rig.opened(Ok(new_session()));
    for (channel, _, ask) in rig.asks() {
        rig.answer(channel.as_str(), ask, Ok(subscribed_at(0)));
    }

    assert_eq!(
        rig.told(),
        ["1 connect as ada, a 1/0, d 1/0", "unsubscribed b limit", "unsubscribed c limit"]
    );
}

#[test]
fn refused_credentials_end_the_connection_with_what_the_refusal_means() {
    let told = |code| {
        let mut rig = Rig::new(Policy::default());
        rig.command(r#"{"id":1,"connect":{"token":"t"}}"#);
        rig.authenticated(Err(refusal(code)));
        rig.told()
    };

    assert_eq!(
        told(ErrorCode::Unauthorized),
        ["1 error unauthorized", "closing 4500 unauthorized stay away"]
    );
    assert_eq!(told(ErrorCode::Forbidden), ["1 error forbidden", "closing 4501 forbidden stay away"]);
    assert_eq!(told(ErrorCode::Unavailable), ["1 error unavailable", "closing 4053 unavailable come back"]);
    assert_eq!(told(ErrorCode::Limit), ["1 error limit", "closing 4051 overloaded come back"]);
    assert_eq!(told(ErrorCode::Internal), ["1 error internal", "closing 4052 internal come back"]);
}

#[test]
fn a_store_that_is_away_ends_the_connection_and_the_client_may_come_back() {
    for object in [r#"{"id":1,"connect":{"token":"t"}}"#, RESUME] {
        let mut rig = Rig::new(Policy::default());
        rig.command(object);
        rig.authenticated(Ok(identity("ada")));
        rig.effects();
        rig.opened(Err(refusal(ErrorCode::Unavailable)));

        assert_eq!(rig.told(), ["1 error unavailable", "closing 4053 unavailable come back"]);
        assert_eq!(rig.effects(), [Effect::Close { cause: CloseCause::Unavailable }]);
    }
}

#[test]
fn a_resumed_session_has_its_subscriptions_back_and_the_clients_positions_win() {
    let mut rig = Rig::new(Policy::default());
    let effect = rig.command(
        r#"{"id":1,"connect":{"session":"BwcHBwcHBwcHBwcHBwcHBw","resume":"CQkJCQkJCQkJCQkJCQkJCQ","positions":{"a":{"epoch":"1","offset":3}}}}"#,
    );
    let Some(Effect::Resume { resume: Resume { session, .. } }) = effect else { panic!("{effect:?}") };
    assert_eq!(session, session_id(7));
    let saved = vec![(name("a"), Some(at(9))), (name("b"), Some(at(4))), (name("c"), None)];
    rig.opened(Ok(resumed("ada", saved)));

    let asks = rig.asks();
    let asked: Vec<_> = asks.iter().map(|(channel, from, ask)| (channel.as_str(), *from, ask.by)).collect();
    let position = |offset| StartFrom::Position(at(offset));
    assert_eq!(
        asked,
        [
            ("a", position(3), AskedBy::Resume),
            ("b", position(4), AskedBy::Resume),
            ("c", StartFrom::Live, AskedBy::Resume)
        ]
    );
    rig.answer("a", asks[0].2, Ok(recovered("a", 4, 4)));
    rig.answer("b", asks[1].2, Ok(Subscribed { recovered: Some(false), ..recovered("b", 8, 9) }));
    rig.answer("c", asks[2].2, Ok(Subscribed::default()));
    assert_eq!(
        rig.told(),
        ["1 connect as ada resumed, a 1/3 recovered, b 1/9 not recovered, c", "message a 4"]
    );
}

#[test]
fn a_session_that_is_gone_is_replaced_where_there_is_a_token() {
    let mut rig = Rig::new(Policy::default());
    assert!(matches!(rig.command(RESUME_WITH_TOKEN), Some(Effect::Resume { .. })));
    rig.opened(Ok(Opened::NotResumable));
    assert_eq!(rig.effects(), [Effect::Authenticate { token: Some("t".into()) }]);

    rig.authenticated(Ok(identity("ada")));
    rig.effects();
    rig.opened(Ok(new_session()));
    assert_eq!(rig.told(), ["1 connect as ada"]);
}

#[test]
fn a_session_that_is_gone_and_nothing_else_to_show_is_expired() {
    let mut rig = Rig::new(Policy::default());
    rig.command(RESUME);
    rig.opened(Ok(Opened::NotResumable));
    assert_eq!(rig.effects(), [Effect::Authenticate { token: None }]);
    rig.authenticated(Err(refusal(ErrorCode::Unauthorized)));

    assert_eq!(rig.told(), ["1 error unauthorized", "closing 4508 session_expired stay away"]);
}

#[test]
fn a_session_that_is_gone_and_a_bad_token_is_unauthorized() {
    let mut rig = Rig::new(Policy::default());
    rig.command(RESUME_WITH_TOKEN);
    rig.opened(Ok(Opened::NotResumable));
    rig.authenticated(Err(refusal(ErrorCode::Unauthorized)));

    assert_eq!(rig.told(), ["1 error unauthorized", "closing 4500 unauthorized stay away"]);
}

/// Resumes a session whose token has ended; the client shows another one or none.
fn resumed_too_late(object: &'static str) -> Rig {
    let mut rig = Rig::new(Policy::default());
    rig.command(object);
    let expires_at = Some(rig.now);
    let Opened::Resumed { session, resume, node, identity, .. } = resumed("ada", Vec::new()) else {
        unreachable!("made so")
    };
    let identity = Identity { expires_at, ..identity };
    rig.opened(Ok(Opened::Resumed {
        session,
        resume,
        node,
        identity,
        subscriptions: vec![(name("a"), None)],
    }));
    assert!(matches!(rig.effects()[..], [Effect::Authenticate { .. }]));
    rig
}

#[test]
fn a_session_whose_token_has_ended_is_resumed_by_a_new_token_of_its_user() {
    let mut rig = resumed_too_late(RESUME_WITH_TOKEN);
    rig.authenticated(Ok(identity("ada")));
    let asks = rig.asks();
    rig.answer("a", asks[0].2, Ok(Subscribed::default()));

    assert_eq!(rig.told(), ["1 connect as ada resumed, a"]);
    assert_eq!(rig.session.deadline(), Some(rig.now + rig.policy.ping_interval));
}

#[test]
fn a_session_whose_token_has_ended_is_given_to_nobody_else() {
    let mut rig = resumed_too_late(RESUME_WITH_TOKEN);
    rig.authenticated(Ok(identity("eve")));
    assert_eq!(rig.told(), ["1 error forbidden", "closing 4501 forbidden stay away"]);

    let mut rig = resumed_too_late(RESUME);
    rig.authenticated(Ok(identity("")));
    assert_eq!(rig.told(), ["1 error unauthorized", "closing 4508 session_expired stay away"]);
    assert_eq!(rig.session.fate(None), Fate::Detach);
}

#[test]
fn a_session_that_its_client_was_not_told_of_does_not_wait_for_it() {
    let rig = Rig::connect_and_open(r#"{"id":1,"connect":{"subscribe":["a"]}}"#);

    assert_eq!(rig.session.fate(None), Fate::End);
}

#[test]
fn a_connect_without_an_id_gets_no_reply_and_its_replays() {
    let mut rig = Rig::connect_and_open(
        r#"{"connect":{"subscribe":["a"],"positions":{"a":{"epoch":"1","offset":1}}}}"#,
    );
    let asks = rig.asks();
    rig.answer("a", asks[0].2, Ok(recovered("a", 2, 2)));

    assert_eq!(rig.told(), ["message a 2"]);
    assert!(rig.session.is_ready());
}

#[test]
fn what_the_server_does_while_connecting_is_in_the_reply_or_behind_it() {
    let mut rig = Rig::new(Policy::default());
    let early = |session: &mut Session, cx: &mut Cx<'_>| session.handle_forced_subscribe(name("early"), cx);
    assert_eq!(rig.call(early).unwrap_err().code, ErrorCode::Unavailable);
    rig.command(r#"{"id":1,"connect":{"subscribe":["a","b"]}}"#);
    rig.call(early).unwrap();
    rig.authenticated(Ok(identity("ada")));
    rig.effects();
    rig.opened(Ok(new_session()));
    rig.call(|session, cx| session.handle_forced_subscribe(name("late"), cx)).unwrap();
    rig.call(|session, cx| session.handle_drain(1, 2, CloseCause::Rebalance, cx));

    let asks = rig.asks();
    let revoked = ErrorBody::new(ErrorCode::Forbidden, "no longer");
    assert!(rig.call(|session, cx| session.handle_forced_unsubscribe("b", &revoked, cx)));
    assert_eq!(rig.effects(), [Effect::Unsubscribe { channel: name("b") }]);
    for (channel, _, ask) in asks {
        rig.answer(channel.as_str(), ask, Ok(Subscribed::default()));
    }
    assert_eq!(
        rig.told(),
        ["1 connect as ada, a, early, late", "unsubscribed b forbidden", "reconnect 1 2 rebalance"]
    );
}

#[test]
fn the_last_open_subscription_taken_away_completes_the_connect() {
    let mut rig = Rig::connect_and_open(r#"{"id":1,"connect":{"subscribe":["a","b"]}}"#);
    let asks = rig.asks();
    rig.answer("a", asks[0].2, Ok(Subscribed::default()));
    let revoked = ErrorBody::new(ErrorCode::Forbidden, "no longer");
    rig.call(|session, cx| session.handle_forced_unsubscribe("a", &revoked, cx));
    assert_eq!(rig.told(), [""; 0]);
    rig.call(|session, cx| session.handle_forced_unsubscribe("b", &revoked, cx));

    assert_eq!(rig.told(), ["1 connect as ada", "unsubscribed a forbidden", "unsubscribed b forbidden"]);
    assert_eq!(rig.session.subscription("b"), None::<Delivery>);
}

#[test]
fn what_a_resumed_session_loses_before_it_is_asked_for_is_not_asked_for() {
    let mut rig = resumed_too_late(RESUME_WITH_TOKEN);
    let revoked = ErrorBody::new(ErrorCode::Forbidden, "no longer");
    assert!(rig.call(|session, cx| session.handle_forced_unsubscribe("a", &revoked, cx)));
    assert_eq!(rig.effects(), [Effect::Unsubscribe { channel: name("a") }]);
    rig.authenticated(Ok(identity("ada")));

    assert_eq!(rig.told(), ["1 connect as ada resumed", "unsubscribed a forbidden"]);
}

#[test]
fn a_channel_that_was_refused_and_then_granted_by_the_server_is_not_told_as_over() {
    let mut rig = Rig::connect_and_open(r#"{"id":1,"connect":{"subscribe":["a","b"]}}"#);
    let asks = rig.asks();
    rig.answer("a", asks[0].2, Err(refusal(ErrorCode::Forbidden)));
    rig.call(|session, cx| session.handle_forced_subscribe(name("a"), cx)).unwrap();
    let granted = rig.asks();
    rig.answer("a", granted[0].2, Ok(subscribed_at(3)));
    rig.answer("b", asks[1].2, Ok(subscribed_at(0)));

    assert_eq!(rig.told(), ["1 connect as ada, a 1/3, b 1/0"]);
}

//! Whatever a client can write is read as it was meant.

use super::*;
use crate::testing::{any_channel, any_json, any_position, any_session, any_text};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_command_is_read_back(id in any::<Option<u32>>(), command in command()) {
        // A number without a command is none.
        let id = id.filter(|_| command != Command::Pong);
        let request = Request { id, command };
        let mut object = Vec::new();
        append(&mut object, &request);

        let object = String::from_utf8(object).unwrap();
        prop_assert_eq!(objects(&object).count(), 1);
        prop_assert_eq!(parse(&object, &ParseLimits::default()), Ok(request));
    }
}

fn command() -> impl Strategy<Value = Command<'static>> {
    prop_oneof![
        connect().prop_map(|connect| Command::Connect(Box::new(connect))),
        (any_channel(), start()).prop_map(|(channel, from)| Command::Subscribe(Subscribe { channel, from })),
        any_channel().prop_map(|channel| Command::Unsubscribe { channel }),
        publish().prop_map(Command::Publish),
        send().prop_map(Command::Send),
        any_channel().prop_map(|channel| Command::Presence { channel }),
        history().prop_map(Command::History),
        any_text(1..40).prop_map(|token| Command::Refresh { token }),
        Just(Command::Pong),
    ]
}

fn connect() -> impl Strategy<Value = Connect<'static>> {
    let resume = (any_session(), any::<[u8; 16]>())
        .prop_map(|(session, secret)| Resume { session, secret: ResumeSecret::from_bytes(secret) });
    let client =
        (any_text(0..20), any_text(0..20)).prop_map(|(name, version)| ClientSoftware { name, version });
    (
        prop::option::of(any_text(1..40)),
        prop::option::of(resume),
        prop::collection::btree_map(any_channel(), any_position(), 0..4),
        prop::collection::btree_set(any_channel(), 0..4),
        prop::option::of(client),
        prop::option::of(any_json()),
    )
        .prop_map(|(token, resume, positions, subscribe, client, info)| Connect {
            token,
            resume,
            positions: positions.into_iter().collect(),
            subscribe: subscribe.into_iter().rev().collect(),
            client,
            info,
        })
}

fn start() -> impl Strategy<Value = StartFrom> {
    prop_oneof![
        Just(StartFrom::Live),
        any_position().prop_map(StartFrom::Position),
        any::<u32>().prop_map(StartFrom::Newest),
    ]
}

fn publish() -> impl Strategy<Value = Publish<'static>> {
    let trace = prop::option::of("0[01]-[1-9a-f]{32}-[1-9a-f]{16}-0[01]".prop_map(Cow::Owned));
    let short = || prop::option::of(any_text(1..16));
    (any_channel(), any_json(), short(), short(), trace)
        .prop_map(|(channel, data, key, conflate, trace)| Publish { channel, data, key, conflate, trace })
}

fn send() -> impl Strategy<Value = Send<'static>> {
    let target = prop_oneof![any_text(1..40).prop_map(Target::User), any_session().prop_map(Target::Session)];
    (target, any_json(), prop::option::of(any_text(1..16))).prop_map(|(target, data, key)| Send {
        target,
        data,
        key,
    })
}

fn history() -> impl Strategy<Value = History<'static>> {
    let order = prop_oneof![Just(HistoryOrder::OldestFirst), Just(HistoryOrder::NewestFirst)];
    (any_channel(), prop::option::of(any_position()), any::<u32>(), order)
        .prop_map(|(channel, after, limit, order)| History { channel, after, limit, order })
}

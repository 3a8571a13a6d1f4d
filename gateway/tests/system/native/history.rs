//! What a channel keeps: offsets, pages, starting from the newest or from a position.

use serde_json::{Value, json};
use tidegate_testkit::{Gateway, NativeClient};

use super::{connect, connect_as, expect_data, native, publish, subscriber};

#[test]
fn publications_are_numbered_from_one_and_messages_carry_their_number() {
    let gateway = native().start();
    let mut reader = connect(&gateway);
    let subscribed = reader.ask("subscribe", json!({ "channel": "log:tea" }));
    assert_eq!(subscribed["offset"], 0);
    let mut client = connect(&gateway);

    for number in 1..=5 {
        let published = publish(&mut client, "log:tea", number);
        assert_eq!((&published["offset"], &published["epoch"]), (&json!(number), &subscribed["epoch"]));
        assert_eq!(expect_data(&mut reader, "log:tea", number)["offset"], number);
    }
}

#[test]
fn history_is_read_from_either_end_and_behind_a_position() {
    let (gateway, epoch) = with_ten_of_ann();
    let mut client = connect(&gateway);
    let mut read = |body: Value| {
        let mut query = json!({ "channel": "log:tea" });
        query.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let page = client.ask("history", query);
        assert_eq!(
            (&page["epoch"], &page["offset"]),
            (&epoch, &json!(10)),
            "the head, whatever was asked for"
        );
        offsets(&page)
    };
    let at = |offset: u64| json!({ "epoch": epoch, "offset": offset });

    assert_eq!(read(json!({ "limit": 3 })), [1, 2, 3]);
    assert_eq!(read(json!({ "limit": 3, "newest_first": true })), [10, 9, 8]);
    assert_eq!(read(json!({ "limit": 3, "after": at(4) })), [5, 6, 7]);
    assert_eq!(read(json!({ "limit": 3, "after": at(4), "newest_first": true })), [3, 2, 1]);
    assert_eq!(read(json!({ "limit": 100, "after": at(8) })), [9, 10]);
    assert_eq!(read(json!({ "limit": 5, "after": at(10) })), [0; 0]);
    assert_eq!(read(json!({ "limit": 4_000_000_000_u32 })), (1..=10).collect::<Vec<_>>());
    assert_eq!(read(json!({})).len(), 10);
}

#[test]
fn messages_of_the_history_say_who_published_them_and_when() {
    let (gateway, _) = with_ten_of_ann();

    let page = connect(&gateway).ask("history", json!({ "channel": "log:tea", "limit": 1 }));

    let message = &page["messages"][0];
    assert_eq!(
        (&message["data"], &message["from"], &message["offset"]),
        (&json!("1"), &json!("ann"), &json!(1))
    );
}

#[test]
fn no_more_is_kept_than_the_namespace_says() {
    let gateway = native().start();
    let mut client = connect(&gateway);
    (1..=5).for_each(|number| drop(publish(&mut client, "short:tea", number)));

    let page = client.ask("history", json!({ "channel": "short:tea", "limit": 100 }));

    assert_eq!(offsets(&page), [3, 4, 5]);
    assert_eq!(page["offset"], 5);
}

#[test]
fn a_channel_that_keeps_nothing_has_no_history_to_read() {
    let gateway = native().start();
    let mut client = connect(&gateway);

    let refusal = client.refused("history", json!({ "channel": "talk:tea", "limit": 1 }));

    assert_eq!(refusal.code, "bad_request");
    assert!(refusal.message.contains("no history"), "{refusal:?}");
}

#[test]
fn history_is_for_those_who_may_subscribe() {
    let gateway = native()
        .config("[namespaces.diary]\nsubscribe = \"user\"\npublish = \"anyone\"\nhistory_size = 10")
        .start();
    let mut nobody = connect(&gateway);
    publish(&mut nobody, "diary:ann", "dear diary");

    assert_eq!(nobody.refused("history", json!({ "channel": "diary:ann", "limit": 1 })).code, "forbidden");
    let page = connect_as(&gateway, "ann").ask("history", json!({ "channel": "diary:ann", "limit": 1 }));
    assert_eq!(page["messages"][0]["data"], "dear diary");
}

#[test]
fn a_subscription_may_begin_with_the_newest_messages() {
    let (gateway, epoch) = with_ten_of_ann();
    for (last, first) in [(1, 10), (3, 8), (10, 1), (1000, 1)] {
        let mut client = connect(&gateway);
        let subscribed = client.ask("subscribe", json!({ "channel": "log:tea", "last": last }));
        assert_eq!(subscribed["epoch"], epoch);
        for number in first..=10 {
            assert_eq!(expect_data(&mut client, "log:tea", number.to_string())["offset"], number);
        }
        assert!(client.hears_nothing());
    }
    let mut live = subscriber(&gateway, "log:tea");
    publish(&mut connect(&gateway), "log:tea", "live");
    assert_eq!(expect_data(&mut live, "log:tea", "live")["offset"], 11);
}

#[test]
fn a_subscription_may_go_on_behind_a_position() {
    let (gateway, epoch) = with_ten_of_ann();
    let from = |client: &mut NativeClient, epoch: &Value, offset: u64| {
        let position = json!({ "epoch": epoch, "offset": offset });
        client.ask("subscribe", json!({ "channel": "log:tea", "position": position }))
    };

    let mut client = connect(&gateway);
    assert_eq!(from(&mut client, &epoch, 7)["recovered"], true);
    (8..=10).for_each(|number| drop(expect_data(&mut client, "log:tea", number.to_string())));
    publish(&mut client, "log:tea", "live");
    assert_eq!(expect_data(&mut client, "log:tea", "live")["offset"], 11);

    for (epoch, offset, why) in [(json!("zzz"), 7, "another epoch"), (epoch, 4_000, "from the future")] {
        let mut client = connect(&gateway);
        assert_eq!(from(&mut client, &epoch, offset)["recovered"], false, "{why}");
        publish(&mut client, "log:tea", why);
        expect_data(&mut client, "log:tea", why);
    }
}

#[test]
fn of_a_gap_that_is_too_old_nothing_is_replayed() {
    let gateway = native().start();
    let mut client = connect(&gateway);
    let epoch = publish(&mut client, "short:tea", 1)["epoch"].clone();
    (2..=6).for_each(|number| drop(publish(&mut client, "short:tea", number)));

    // Three are kept, 4 to 6: who has seen 3 misses nothing, who has seen 2 does.
    for (offset, recovered) in [(3, true), (2, false)] {
        let mut late = connect(&gateway);
        let position = json!({ "epoch": epoch, "offset": offset });
        let subscribed = late.ask("subscribe", json!({ "channel": "short:tea", "position": position }));
        assert_eq!(subscribed["recovered"], recovered, "behind {offset}");
        if recovered {
            (4..=6).for_each(|number| drop(expect_data(&mut late, "short:tea", number)));
        } else {
            assert_eq!(subscribed["offset"], 6, "where it goes on");
        }
        assert!(late.hears_nothing());
    }
}

#[test]
fn where_the_newest_stands_for_all_only_that_one_is_replayed() {
    let gateway = native()
        .config("[namespaces.price]\nsubscribe = \"anyone\"\npublish = \"anyone\"\nhistory_size = 5")
        .config("recover = \"latest\"")
        .start();
    let mut client = connect(&gateway);
    let epoch = publish(&mut client, "price:tea", 1)["epoch"].clone();
    (2..=9).for_each(|number| drop(publish(&mut client, "price:tea", number)));

    let mut late = connect(&gateway);
    let position = json!({ "epoch": epoch, "offset": 1 });
    let subscribed = late.ask("subscribe", json!({ "channel": "price:tea", "position": position }));

    assert_eq!(subscribed["recovered"], true);
    assert_eq!(expect_data(&mut late, "price:tea", 9)["offset"], 9);
    assert!(late.hears_nothing());
}

#[test]
fn what_is_older_than_its_time_is_gone() {
    let gateway = native()
        .config("[namespaces.brief]\nsubscribe = \"anyone\"\npublish = \"anyone\"\nhistory_size = 100")
        .config("history_ttl = \"1s\"")
        .start();
    let mut client = connect(&gateway);
    publish(&mut client, "brief:tea", 1);

    tidegate_testkit::until("the publication to be forgotten", || {
        let page = client.ask("history", json!({ "channel": "brief:tea", "limit": 9 }));
        page["messages"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

fn with_ten_of_ann() -> (Gateway, Value) {
    let gateway = native().start();
    let mut ann = connect_as(&gateway, "ann");
    let published = (1..=10).map(|number| publish(&mut ann, "log:tea", number.to_string()));
    let epoch = published.last().expect("ten were published")["epoch"].clone();
    (gateway, epoch)
}

fn offsets(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().expect("a page lists messages");
    messages.iter().map(|message| message["offset"].as_u64().expect("each has an offset")).collect()
}

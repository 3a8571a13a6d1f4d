use proptest::prelude::*;

use super::*;

fn channel(members: u32) -> Channel {
    let entry =
        super::super::directory::Directory::default().join(super::super::directory::Realm::Raw, "a", 0);
    let mut channel = Channel::new(entry);
    for connection in 0..members {
        channel.push(Member { connection, subscription: 0 });
    }
    channel
}

#[test]
fn the_last_member_fills_the_gap_and_is_named() {
    let mut channel = channel(4);
    let last = Member { connection: 3, subscription: 0 };
    assert_eq!(channel.remove(1), [Moved { member: last, position: 1 }]);
    assert_eq!(channel.members().iter().map(|member| member.connection).collect::<Vec<_>>(), [0, 3, 2]);
    assert_eq!(channel.remove(2), []);
}

/// What may happen between two parts of a delivery.
#[derive(Clone, Debug)]
enum Step {
    Publish,
    Deliver(u32),
    Join,
    Leave(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Publish),
        (1..4_u32).prop_map(Step::Deliver),
        Just(Step::Join),
        any::<prop::sample::Index>().prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn every_member_gets_each_run_published_while_it_was_there_once_and_in_order(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut channel = channel(3);
        let mut joined = 3;
        // By connection: what it should get in the end, and got. Those who left are no longer asked.
        let mut expected: std::collections::BTreeMap<u32, Vec<u8>> = (0..3).map(|member| (member, vec![])).collect();
        let mut received = expected.clone();
        let mut published = 0;
        let deliver = |channel: &mut Channel, most: u32, received: &mut std::collections::BTreeMap<u32, Vec<u8>>| {
            let Some(mut run) = channel.take_first() else { return false };
            let until = run.end.min(run.next + most);
            for member in &channel.members()[run.next as usize..until as usize] {
                received.get_mut(&member.connection).unwrap().extend(&run.frames);
            }
            run.next = until;
            channel.put_back(run);
            true
        };
        for step in steps {
            match step {
                Step::Publish => {
                    published += 1;
                    let end = u32::try_from(channel.members().len()).unwrap();
                    channel.keep(Delivery { frames: vec![published], messages: 1, end, ..Delivery::default() });
                    for member in channel.members() {
                        expected.get_mut(&member.connection).unwrap().push(published);
                    }
                }
                Step::Deliver(most) => {
                    deliver(&mut channel, most, &mut received);
                }
                Step::Join => {
                    channel.push(Member { connection: joined, subscription: 0 });
                    expected.insert(joined, vec![]);
                    received.insert(joined, vec![]);
                    joined += 1;
                }
                Step::Leave(index) if !channel.members().is_empty() => {
                    let position = index.index(channel.members().len());
                    let gone = channel.members()[position].connection;
                    for moved in channel.remove(u32::try_from(position).unwrap()) {
                        prop_assert!(moved.position as usize <= channel.members().len());
                    }
                    expected.remove(&gone);
                    received.remove(&gone);
                }
                Step::Leave(_) => {}
            }
        }
        while deliver(&mut channel, u32::MAX / 2, &mut received) {}
        prop_assert_eq!(received, expected);
    }
}

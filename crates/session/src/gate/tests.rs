use super::*;

const WIDE: Room = Room { messages_max: 100, bytes_max: 1 << 20 };

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::new(1), offset }
}

fn in_epoch(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch::new(epoch), offset }
}

/// Holds each, named by its offset.
fn gate_of(positions: &[Position]) -> Gate {
    let mut gate = Gate::default();
    for position in positions {
        gate.hold(Some(*position), position.offset.to_string().as_bytes(), WIDE);
    }
    gate
}

fn release(gate: &mut Gate, delivered: &mut Option<Position>) -> (Released, String) {
    let mut out = Objects::new();
    let released = gate.release(delivered, &mut out);
    (released, String::from_utf8(out.as_bytes().to_vec()).unwrap().replace('\n', " "))
}

#[test]
fn what_is_held_comes_out_in_offset_order_without_duplicates() {
    let mut gate = gate_of(&[at(3), at(5), at(4), at(5), at(2), at(6)]);
    let mut delivered = Some(at(3));

    assert_eq!(release(&mut gate, &mut delivered), (Released::CaughtUp, "4 5 6".into()));
    assert_eq!((delivered, gate.bytes()), (Some(at(6)), 0));
}

#[test]
fn a_hole_stops_the_release_in_front_of_it_and_what_is_behind_it_stays() {
    let mut gate = gate_of(&[at(4), at(6)]);
    let mut delivered = Some(at(3));

    assert_eq!(release(&mut gate, &mut delivered), (Released::Hole, "4".into()));
    assert_eq!(gate.far_side_of_hole(), Some(at(5)));
    delivered = Some(at(5));
    assert_eq!(release(&mut gate, &mut delivered), (Released::CaughtUp, "6".into()));
}

#[test]
fn a_gate_behind_the_history_is_not_caught_up_with() {
    let mut gate = gate_of(&[at(4)]);

    assert_eq!(release(&mut gate, &mut Some(at(5))), (Released::Ahead, String::new()));
    assert_eq!(release(&mut Gate::default(), &mut Some(at(5))), (Released::Ahead, String::new()));
}

#[test]
fn joins_and_leaves_keep_their_place_among_the_messages() {
    let mut gate = gate_of(&[at(4)]);
    gate.hold(None, b"join", WIDE);
    gate.hold(Some(at(5)), b"5", WIDE);

    assert_eq!(release(&mut gate, &mut Some(at(3))), (Released::CaughtUp, "4 join 5".into()));
}

#[test]
fn an_overflow_lets_go_of_everything_and_remembers_what_is_missing() {
    let room = Room { messages_max: 2, ..WIDE };
    let mut gate = gate_of(&[at(4), at(5)]);
    gate.hold(Some(at(6)), b"6", room);
    gate.hold(Some(at(7)), b"7", room);
    assert_eq!(gate.bytes(), 0);

    assert_eq!(release(&mut gate, &mut Some(at(3))), (Released::Hole, String::new()));
    assert_eq!(gate.far_side_of_hole(), Some(at(7)));
    assert_eq!(release(&mut gate, &mut Some(at(7))), (Released::CaughtUp, String::new()));
    assert!(!gate.take_lost(), "history has it all");
}

#[test]
fn a_gate_that_was_reopened_holds_again() {
    let room = Room { messages_max: 1, ..WIDE };
    let mut gate = gate_of(&[at(4)]);
    gate.hold(Some(at(5)), b"5", room);
    gate.reopen();
    gate.hold(Some(at(6)), b"6", room);

    assert_eq!(release(&mut gate, &mut Some(at(3))).0, Released::Hole);
    assert_eq!(release(&mut gate, &mut Some(at(5))), (Released::CaughtUp, "6".into()));
}

#[test]
fn the_bound_in_bytes_counts_what_holding_costs_and_is_exact() {
    let cost = 3 + Gate::HELD_BYTES;
    let room = Room { bytes_max: 2 * cost, ..WIDE };
    let mut gate = Gate::default();
    gate.hold(Some(at(1)), b"one", room);
    gate.hold(Some(at(2)), b"two", room);
    assert_eq!(gate.bytes(), 2 * cost);

    gate.hold(Some(at(3)), b"3", room);
    assert_eq!(gate.bytes(), 0);
}

#[test]
fn without_positions_an_overflow_lets_go_of_the_oldest_and_says_so() {
    let room = Room { messages_max: 2, ..WIDE };
    let mut gate = Gate::default();
    for object in ["a", "b", "c"] {
        gate.hold(None, object.as_bytes(), room);
    }
    gate.hold(None, &[b'x'; 2 << 20], room);

    assert!(gate.take_lost());
    assert_eq!(release(&mut gate, &mut None), (Released::Ahead, String::new()));
}

#[test]
fn another_epoch_is_a_hole_until_it_is_forgotten() {
    let mut gate = gate_of(&[at(4), in_epoch(2, 1), at(5)]);
    let mut delivered = Some(at(3));

    assert_eq!(release(&mut gate, &mut delivered), (Released::Hole, "4".into()));
    assert_eq!(gate.far_side_of_hole(), Some(in_epoch(2, 0)));
    gate.forget_other_epochs(Epoch::new(1));
    assert_eq!(release(&mut gate, &mut delivered), (Released::CaughtUp, "5".into()));
}

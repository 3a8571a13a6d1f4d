//! Channels of the floor: who is in, and what was said in this batch of events.

use std::collections::HashMap;

/// Index of a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RoomId(u32);

/// All rooms. Rooms are never removed: a benchmark has a handful.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_path: HashMap<Box<[u8]>, RoomId>,
    rooms: Vec<Room>,
    /// Rooms in which something was said since the last broadcast.
    talking: Vec<RoomId>,
}

#[derive(Debug, Default)]
struct Room {
    members: Vec<u32>,
    frames: Vec<u8>,
}

impl Rooms {
    pub(super) fn join(&mut self, path: &[u8], member: u32) -> RoomId {
        let id = match self.by_path.get(path) {
            Some(id) => *id,
            None => {
                let id = RoomId(self.rooms.len() as u32);
                self.rooms.push(Room::default());
                self.by_path.insert(path.into(), id);
                id
            }
        };
        self.rooms[id.0 as usize].members.push(member);
        id
    }

    /// Slow, and a benchmark's members leave only at its end.
    pub(super) fn leave(&mut self, id: RoomId, member: u32) {
        let members = &mut self.rooms[id.0 as usize].members;
        if let Some(at) = members.iter().position(|other| *other == member) {
            members.swap_remove(at);
        }
    }

    /// `frames` will go to all members at the next broadcast.
    pub(super) fn say(&mut self, id: RoomId, frames: &[u8]) {
        if frames.is_empty() {
            return;
        }
        let room = &mut self.rooms[id.0 as usize];
        if room.frames.is_empty() {
            self.talking.push(id);
        }
        room.frames.extend_from_slice(frames);
    }

    /// Calls `send` once for each member of each room in which something was said.
    pub(super) fn broadcast(&mut self, mut send: impl FnMut(u32, &[u8])) {
        for id in self.talking.drain(..) {
            let room = &mut self.rooms[id.0 as usize];
            for member in &room.members {
                send(*member, &room.frames);
            }
            room.frames.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_gets_all_that_was_said_at_once_and_only_once() {
        let mut rooms = Rooms::default();
        let a = rooms.join(b"/raw/a", 5);
        assert_eq!(rooms.join(b"/raw/a", 6), a);
        let b = rooms.join(b"/raw/b", 7);
        rooms.say(a, b"one");
        rooms.say(a, b"two");
        rooms.leave(b, 7);
        rooms.say(b, b"nobody hears this");

        let mut sent = Vec::new();
        rooms.broadcast(|member, frames| sent.push((member, frames.to_vec())));
        assert_eq!(sent, [(5, b"onetwo".to_vec()), (6, b"onetwo".to_vec())]);

        rooms.broadcast(|member, _| panic!("member {member} was sent something twice"));
    }
}

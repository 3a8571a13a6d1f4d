//! Any bytes as a stream of frames, as a server hears it and as a client does.
//!
//! How reads cut it must not matter: whole and byte by byte, the same events come out and the same verdict.

use tidegate_wire::decode::Role;

use crate::receiver::hear;

pub(crate) fn run(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        let whole = hear(role, None, [data]);
        let bytes = hear(role, None, data.chunks(1));
        assert_eq!(whole, bytes, "the verdict depends on how reads cut the stream");
    }
}

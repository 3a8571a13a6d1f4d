//! Any bytes as the head of an upgrade request.

use tidegate_wire::request::{RequestLimits, RequestParser};

pub(crate) fn run(data: &[u8]) {
    let limits = RequestLimits { bytes_max: 8192, headers_max: 64, target_bytes_max: 2048 };
    // Any verdict is right, as long as there is one.
    let _verdict = RequestParser::new().parse(&limits, data);
}

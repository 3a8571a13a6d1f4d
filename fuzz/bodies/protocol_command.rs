//! Any bytes as a message of a client, of a server, and of another node.
//!
//! What is accepted can be written again and is then read as the same; what is refused says so in one short sentence
//! that a client can read.

use tidegate_protocol::command::{self, Command, Connect, ParseLimits, Request, objects};
use tidegate_protocol::error::ErrorBody;
use tidegate_protocol::event::{self, Event};
use tidegate_protocol::json::RawJson;
use tidegate_protocol::node;

const LIMITS: ParseLimits = ParseLimits { depth_max: 4 };

pub(crate) fn run(data: &[u8]) {
    run_node(data);
    let Ok(message) = std::str::from_utf8(data) else { return };
    for object in objects(message) {
        match command::parse(object, &LIMITS) {
            Ok(request) => check_request(&request),
            Err(bad) => check_error(bad.id, &bad.error),
        }
        // Whatever it is, a client only ever gets an answer.
        let _ = event::parse(object);
    }
}

fn check_request(request: &Request<'_>) {
    let mut written = Vec::new();
    command::append(&mut written, request);
    let written = String::from_utf8(written).expect("what is written is text");
    assert_eq!(objects(&written).count(), 1, "{written}");
    assert_eq!(command::parse(&written, &LIMITS).as_ref(), Ok(request), "{written}");

    let carried = match &request.command {
        Command::Publish(publish) => Some(publish.data),
        Command::Send(send) => Some(send.data),
        Command::Connect(connect) => {
            let Connect { info, .. } = &**connect;
            *info
        }
        _ => None,
    };
    if let Some(json) = carried {
        assert_eq!(RawJson::parse(json.as_str(), LIMITS.depth_max), Ok(json));
    }
}

fn check_error(id: Option<u32>, error: &ErrorBody) {
    assert!(error.message.len() < 400, "{}", error.message);
    let mut written = Vec::new();
    event::append_error(&mut written, id, error);
    let written = String::from_utf8(written).expect("what is written is text");
    match event::parse(&written) {
        Ok(Event::Error { id: read_id, error: read }) => assert_eq!((read_id, &read), (id, error)),
        other => panic!("{other:?}"),
    }
}

fn run_node(payload: &[u8]) {
    let read: Vec<_> = node::messages(payload).map_while(Result::ok).collect();
    let mut written = Vec::new();
    for message in &read {
        node::append(&mut written, message);
    }
    let again: Result<Vec<_>, _> = node::messages(&written).collect();
    assert_eq!(again.as_deref(), Ok(&read[..]));
}

//! Appends the server's objects to a buffer: no allocation but the buffer's growth, no line feed anywhere in them.

use super::{
    Attendance, ChannelState, Closing, Connected, Direct, Gap, HistoryMessage, HistoryPage, Member, Message,
    Published, Reconnect, Reply, Unsubscribed,
};
use crate::error::ErrorBody;
use crate::json::ObjectWriter;

/// Appends `message`.
pub fn append_message(out: &mut Vec<u8>, message: &Message<'_>) {
    append_notice(out, "message", |body| {
        body.text("channel", &message.channel);
        body.json("data", message.data);
        body.number_if("offset", message.offset);
        body.text_if("from", message.from.as_deref());
        body.text_if("trace", message.trace.as_deref());
    });
}

/// Appends `direct`.
pub fn append_direct(out: &mut Vec<u8>, direct: &Direct<'_>) {
    append_notice(out, "direct", |body| {
        body.json("data", direct.data);
        body.text_if("from", direct.from.as_deref());
    });
}

/// Appends `join`.
pub fn append_join(out: &mut Vec<u8>, join: &Attendance<'_>) {
    append_notice(out, "join", |body| write_attendance(body, join));
}

/// Appends `leave`.
pub fn append_leave(out: &mut Vec<u8>, leave: &Attendance<'_>) {
    append_notice(out, "leave", |body| write_attendance(body, leave));
}

/// Appends `gap`.
pub fn append_gap(out: &mut Vec<u8>, gap: &Gap<'_>) {
    append_notice(out, "gap", |body| {
        body.text("channel", &gap.channel);
        if let Some(position) = gap.position {
            body.position(position);
        }
    });
}

/// Appends `unsubscribed`.
pub fn append_unsubscribed(out: &mut Vec<u8>, unsubscribed: &Unsubscribed<'_>) {
    append_notice(out, "unsubscribed", |body| {
        body.text("channel", &unsubscribed.channel);
        body.text("code", &unsubscribed.code);
        body.text("message", &unsubscribed.message);
    });
}

/// Appends `expiring`: the token ends in `in_ms` milliseconds.
pub fn append_expiring(out: &mut Vec<u8>, in_ms: u64) {
    append_notice(out, "expiring", |body| body.number("in_ms", in_ms));
}

/// Appends `reconnect`.
pub fn append_reconnect(out: &mut Vec<u8>, reconnect: &Reconnect<'_>) {
    append_notice(out, "reconnect", |body| {
        body.number("after_ms", reconnect.after_ms);
        body.number("within_ms", reconnect.within_ms);
        body.text("reason", &reconnect.reason);
    });
}

/// Appends `closing`.
pub fn append_closing(out: &mut Vec<u8>, closing: &Closing<'_>) {
    append_notice(out, "closing", |body| {
        body.number("code", closing.code.into());
        body.text("name", &closing.name);
        body.bool("reconnect", closing.reconnect);
        body.number_if("after_ms", closing.after_ms);
    });
}

/// Appends `{}`, which asks for a sign of life.
pub fn append_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{}");
}

/// Appends the reply to the command `id`.
pub fn append_reply(out: &mut Vec<u8>, id: u32, reply: &Reply<'_>) {
    let mut object = ObjectWriter::begin(out);
    object.number("id", id.into());
    let mut body = object.object(reply.name().as_str());
    match reply {
        Reply::Connect(connected) => write_connected(&mut body, connected),
        Reply::Subscribe(state) => write_channel_state(&mut body, state),
        Reply::Unsubscribe => {}
        Reply::Publish(published) => write_published(&mut body, published),
        Reply::Send { sessions } => body.number("sessions", (*sessions).into()),
        Reply::Presence { members } => body.array("members", members, append_member),
        Reply::History(page) => write_history(&mut body, page),
        Reply::Refresh { token_expires_in_ms } => {
            body.number_if("token_expires_in_ms", *token_expires_in_ms);
        }
    }
    body.end();
    object.end();
}

/// Appends the refusal of the command `id`, or of one without.
pub fn append_error(out: &mut Vec<u8>, id: Option<u32>, error: &ErrorBody) {
    let mut object = ObjectWriter::begin(out);
    object.number_if("id", id.map(u64::from));
    let mut body = object.object("error");
    body.text("code", error.code.as_str());
    body.text("message", &error.message);
    body.bool("retry", error.is_retryable());
    match error.retry_after_ms {
        Some(ms) => body.number("retry_after_ms", ms),
        None => body.key("retry_after_ms").extend_from_slice(b"null"),
    }
    body.end();
    object.end();
}

fn append_notice(out: &mut Vec<u8>, name: &'static str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    let mut object = ObjectWriter::begin(out);
    let mut body = object.object(name);
    write(&mut body);
    body.end();
    object.end();
}

fn write_attendance(body: &mut ObjectWriter<'_>, attendance: &Attendance<'_>) {
    body.text("channel", &attendance.channel);
    body.text("user", &attendance.user);
    body.text("session", attendance.session.text().as_str());
    body.json_if("info", attendance.info);
}

fn write_connected(body: &mut ObjectWriter<'_>, connected: &Connected<'_>) {
    body.text("session", connected.session.text().as_str());
    body.text("resume", connected.resume.text().as_str());
    body.bool("resumed", connected.resumed);
    body.text("user", &connected.user);
    body.text("node", &connected.node);
    body.number("ping_ms", connected.ping_ms);
    body.number("session_ttl_ms", connected.session_ttl_ms);
    body.number_if("token_expires_in_ms", connected.token_expires_in_ms);

    let mut channels = body.object("channels");
    for (channel, state) in &connected.channels {
        let mut entry = ObjectWriter::begin(channels.any_key(channel));
        write_channel_state(&mut entry, state);
        entry.end();
    }
    channels.end();

    let limits = &connected.limits;
    let mut entry = body.object("limits");
    entry.number("message_bytes", limits.message_bytes);
    entry.number("subscriptions", limits.subscriptions.into());
    entry.number_if("messages_per_second", limits.messages_per_second.map(u64::from));
    entry.number_if("bytes_per_second", limits.bytes_per_second.map(u64::from));
    entry.end();
}

fn write_channel_state(body: &mut ObjectWriter<'_>, state: &ChannelState) {
    if let Some(position) = state.position {
        body.position(position);
    }
    if let Some(recovered) = state.recovered {
        body.bool("recovered", recovered);
    }
}

fn write_published(body: &mut ObjectWriter<'_>, published: &Published) {
    if let Some(position) = published.position {
        body.position(position);
    }
    if published.duplicate {
        body.bool("duplicate", true);
    }
}

fn append_member(out: &mut Vec<u8>, member: &Member<'_>) {
    let mut entry = ObjectWriter::begin(out);
    entry.text("user", &member.user);
    entry.text("session", member.session.text().as_str());
    entry.json_if("info", member.info);
    entry.number("since_ms", member.since_ms);
    entry.end();
}

fn write_history(body: &mut ObjectWriter<'_>, page: &HistoryPage<'_>) {
    body.position(page.head);
    body.array("messages", &page.messages, append_history_message);
}

fn append_history_message(out: &mut Vec<u8>, message: &HistoryMessage<'_>) {
    let mut entry = ObjectWriter::begin(out);
    entry.number("offset", message.offset);
    entry.json("data", message.data);
    entry.text_if("from", message.from.as_deref());
    entry.number("at_ms", message.at_ms);
    entry.end();
}

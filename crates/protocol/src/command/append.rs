//! Commands as a client writes them: for the load generator and for tests.

use super::{Command, Connect, History, HistoryOrder, Publish, Request, Send, StartFrom, Subscribe, Target};
use crate::channel::Channel;
use crate::json::ObjectWriter;

/// Appends one object. [`parse`](super::parse) reads back what was appended.
pub fn append(out: &mut Vec<u8>, request: &Request<'_>) {
    let mut object = ObjectWriter::begin(out);
    if let Some(id) = request.id {
        object.number("id", id.into());
    }
    match &request.command {
        Command::Connect(connect) => append_connect(object.object("connect"), connect),
        Command::Subscribe(subscribe) => append_subscribe(object.object("subscribe"), subscribe),
        Command::Unsubscribe { channel } => append_channel(object.object("unsubscribe"), channel),
        Command::Publish(publish) => append_publish(object.object("publish"), publish),
        Command::Send(send) => append_send(object.object("send"), send),
        Command::Presence { channel } => append_channel(object.object("presence"), channel),
        Command::History(history) => append_history(object.object("history"), history),
        Command::Refresh { token } => {
            let mut body = object.object("refresh");
            body.text("token", token);
            body.end();
        }
        Command::Pong => {}
    }
    object.end();
}

fn append_connect(mut body: ObjectWriter<'_>, connect: &Connect<'_>) {
    body.text_if("token", connect.token.as_deref());
    if let Some(resume) = &connect.resume {
        body.text("session", resume.session.text().as_str());
        body.text("resume", resume.secret.text().as_str());
    }
    if !connect.positions.is_empty() {
        let mut positions = body.object("positions");
        for (channel, position) in &connect.positions {
            let mut entry = ObjectWriter::begin(positions.any_key(channel.as_str()));
            entry.position(*position);
            entry.end();
        }
        positions.end();
    }
    if !connect.subscribe.is_empty() {
        body.array("subscribe", &connect.subscribe, |out, channel| {
            crate::json::append_text(out, channel.as_str());
        });
    }
    if let Some(client) = &connect.client {
        let mut entry = body.object("client");
        entry.text("name", &client.name);
        entry.text("version", &client.version);
        entry.end();
    }
    body.json_if("info", connect.info);
    body.end();
}

fn append_subscribe(mut body: ObjectWriter<'_>, subscribe: &Subscribe<'_>) {
    body.text("channel", subscribe.channel.as_str());
    match subscribe.from {
        StartFrom::Live => {}
        StartFrom::Position(position) => {
            let mut entry = body.object("position");
            entry.position(position);
            entry.end();
        }
        StartFrom::Newest(count) => body.number("last", count.into()),
    }
    body.end();
}

fn append_channel(mut body: ObjectWriter<'_>, channel: &Channel<'_>) {
    body.text("channel", channel.as_str());
    body.end();
}

fn append_publish(mut body: ObjectWriter<'_>, publish: &Publish<'_>) {
    body.text("channel", publish.channel.as_str());
    body.json("data", publish.data);
    body.text_if("key", publish.key.as_deref());
    body.text_if("conflate", publish.conflate.as_deref());
    body.text_if("trace", publish.trace.as_deref());
    body.end();
}

fn append_send(mut body: ObjectWriter<'_>, send: &Send<'_>) {
    match &send.target {
        Target::User(user) => body.text("user", user),
        Target::Session(session) => body.text("session", session.text().as_str()),
    }
    body.json("data", send.data);
    body.text_if("key", send.key.as_deref());
    body.end();
}

fn append_history(mut body: ObjectWriter<'_>, history: &History<'_>) {
    body.text("channel", history.channel.as_str());
    if let Some(after) = history.after {
        let mut entry = body.object("after");
        entry.position(after);
        entry.end();
    }
    body.number("limit", history.limit.into());
    match history.order {
        HistoryOrder::OldestFirst => {}
        HistoryOrder::NewestFirst => body.bool("newest_first", true),
    }
    body.end();
}

//! A client of the native dialect that says what a test tells it to, and keeps all it hears in order.
//!
//! It knows the dialect from its description only: JSON in text messages, one object a line. It shares no code with the
//! gateway's side, whose faults it would repeat.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_wire::close::CloseCode;
use tidegate_wire::frame::OpCode;

use crate::client::{Client, Frame, Received};

/// What was compressed, as it was before.
pub type Inflate = fn(&[u8]) -> Vec<u8>;

/// A connection that speaks the native dialect, from its first command on. It answers nothing by itself.
pub struct NativeClient {
    socket: Client,
    /// Came before a reply that was waited for.
    heard: VecDeque<Value>,
    /// Of a message that held several objects.
    unread: VecDeque<String>,
    inflate: Option<Inflate>,
    commands: u32,
}

/// The body of an `error`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The word for programs.
    pub code: String,
    /// The sentence for people.
    pub message: String,
    /// Whether the same may succeed later.
    pub retry: bool,
    /// When, if that is known.
    pub retry_after_ms: Option<u64>,
}

impl NativeClient {
    /// Speaks on an open connection.
    pub fn new(socket: Client) -> Self {
        Self { socket, heard: VecDeque::new(), unread: VecDeque::new(), inflate: None, commands: 0 }
    }

    /// Reads compressed messages with `inflate`.
    #[must_use]
    pub fn inflating_with(self, inflate: Inflate) -> Self {
        Self { inflate: Some(inflate), ..self }
    }

    /// The connection, for what the dialect does not know.
    pub fn socket(&mut self) -> &mut Client {
        &mut self.socket
    }

    /// Sends one object, or whatever else, as a message.
    #[track_caller]
    pub fn say(&mut self, object: &Value) {
        self.socket.send_text(&object.to_string());
    }

    /// Sends several objects in one message.
    #[track_caller]
    pub fn say_all(&mut self, objects: &[Value]) {
        let lines: Vec<_> = objects.iter().map(Value::to_string).collect();
        self.socket.send_text(&lines.join("\n"));
    }

    /// Sends a command with an `id`, which is the result: for [`answer`](Self::answer).
    #[track_caller]
    pub fn command(&mut self, name: &str, body: Value) -> u32 {
        self.commands += 1;
        let mut object = json!({ "id": self.commands });
        object[name] = body;
        self.say(&object);
        self.commands
    }

    /// Sends a command and waits for its reply, whose body is the result. What comes before it is kept for later.
    ///
    /// # Panics
    ///
    /// If the command is refused.
    #[track_caller]
    pub fn ask(&mut self, name: &str, body: Value) -> Value {
        let id = self.command(name, body);
        let answer = self.answer(id);
        answer.get(name).unwrap_or_else(|| panic!("`{name}` was answered by {answer}")).clone()
    }

    /// Sends a command that has to be refused.
    #[track_caller]
    pub fn refused(&mut self, name: &str, body: Value) -> Refusal {
        let id = self.command(name, body);
        Refusal::of(&self.answer(id))
    }

    /// Waits for the answer to a command. What comes before it is kept for later.
    #[track_caller]
    pub fn answer(&mut self, id: u32) -> Value {
        let kept = self.heard.iter().position(|object| object["id"] == id);
        if let Some(answer) = kept.and_then(|at| self.heard.remove(at)) {
            return answer;
        }
        loop {
            let object = self.read_object();
            if object["id"] == id {
                return object;
            }
            self.heard.push_back(object);
        }
    }

    /// The next object.
    ///
    /// # Panics
    ///
    /// If a close frame or the end of the connection comes instead.
    #[track_caller]
    pub fn next_object(&mut self) -> Value {
        match self.heard.pop_front() {
            Some(object) => object,
            None => self.read_object(),
        }
    }

    /// The body of the next object, which has to have this name.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> Value {
        let mut object = self.next_object();
        match object.get_mut(name) {
            Some(body) => body.take(),
            None => panic!("waited for `{name}`, got {object}"),
        }
    }

    /// The body of the next object, which has to be a refusal of a command without `id`.
    #[track_caller]
    pub fn expect_refusal(&mut self) -> Refusal {
        Refusal::of(&self.next_object())
    }

    /// The next object as the text it came in. What was kept for later is not among them.
    #[track_caller]
    pub fn next_text(&mut self) -> String {
        loop {
            if let Some(object) = self.unread.pop_front() {
                return object;
            }
            let frame = self.socket.read_frame();
            self.take_in(frame);
        }
    }

    /// How many objects are in the next message; they are kept for later.
    #[track_caller]
    pub fn next_batch(&mut self) -> usize {
        assert!(self.unread.is_empty(), "objects of the message before are unread");
        let frame = self.socket.read_frame();
        self.take_in(frame);
        self.unread.len()
    }

    /// Proof that everything said before has been dealt with, and everything it led to has come and is kept: a command
    /// that does nothing.
    #[track_caller]
    pub fn settle(&mut self) {
        let refusal = self.refused("unsubscribe", json!({ "channel": "never:subscribed" }));
        assert_eq!(refusal.code, "not_subscribed", "{}", refusal.message);
    }

    /// Whether nothing is kept, and nothing comes before the answer to another command.
    #[track_caller]
    pub fn hears_nothing(&mut self) -> bool {
        self.settle();
        self.heard.is_empty()
    }

    /// Drops what came before the last answer, and is kept.
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    /// Reads on to `closing` and the close frame behind it, which have to agree. The result is the code.
    #[track_caller]
    pub fn expect_closing(&mut self) -> u16 {
        let (before, closing) = self.read_to_closing();
        closing["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or_else(|| {
            panic!("the connection closed without a word: {closing}; before it came {before:?}")
        })
    }

    /// What comes before `closing`, and its body. The close frame has to follow directly, with the same code.
    #[track_caller]
    pub fn read_to_closing(&mut self) -> (Vec<Value>, Value) {
        let mut before = Vec::new();
        loop {
            let mut object = self.next_object();
            let Some(closing) = object.get_mut("closing") else {
                before.push(object);
                continue;
            };
            let closing = closing.take();
            assert!(self.unread.is_empty(), "`closing` is not the last object");
            let frame = self.socket.read_frame();
            assert_eq!(frame.opcode, OpCode::Close, "behind {closing}");
            let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            assert_eq!(json!(code), closing["code"], "closing and close frame differ");
            return (before, closing);
        }
    }

    /// Closes with a code and waits until the server has closed too.
    #[track_caller]
    pub fn close(mut self, code: CloseCode) {
        self.socket.send_close(code, "");
        self.socket.expect_end();
    }

    /// Loses the connection as a phone in a tunnel does: nothing is said, nothing more is read.
    pub fn cut(self) {
        self.socket.reset();
    }

    /// One more frame within `patience`? Its objects are kept.
    #[track_caller]
    pub fn hears_within(&mut self, patience: Duration) -> bool {
        match self.socket.read(patience) {
            Received::Frame(frame) => {
                self.take_in(frame);
                true
            }
            Received::Nothing => false,
            Received::Ended(ending) => panic!("the connection ended: {ending:?}"),
        }
    }

    #[track_caller]
    fn read_object(&mut self) -> Value {
        let text = self.next_text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }

    #[track_caller]
    fn take_in(&mut self, frame: Frame) {
        let payload = match (frame.opcode, frame.rsv1, self.inflate) {
            (OpCode::Text, false, _) => frame.payload,
            (OpCode::Text, true, Some(inflate)) => inflate(&frame.payload),
            _ => panic!("no message of the dialect: {frame:?}"),
        };
        let text = String::from_utf8(payload).expect("the gateway sends UTF-8");
        self.unread.extend(text.split('\n').map(str::to_owned));
    }
}

impl Refusal {
    /// Reads the answer to a command that was refused.
    #[track_caller]
    fn of(answer: &Value) -> Self {
        let error = answer.get("error").unwrap_or_else(|| panic!("waited for an error, got {answer}"));
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        Self {
            code: text("code").unwrap_or_else(|| panic!("no code in {answer}")),
            message: text("message").unwrap_or_else(|| panic!("no message in {answer}")),
            retry: error["retry"].as_bool().unwrap_or_else(|| panic!("no retry in {answer}")),
            retry_after_ms: error["retry_after_ms"].as_u64(),
        }
    }
}

//! The objects of one text message, joined by line feeds.

/// Collects objects that are ready together. Kept and cleared between messages, so that its memory is reused.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    bytes: Vec<u8>,
}

impl Objects {
    /// None yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds the one object that `append` writes, such as `|out| append_message(out, &message)`.
    pub fn push(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        append(&mut self.bytes);
    }

    /// Adds an object that is encoded already.
    pub fn push_encoded(&mut self, object: &[u8]) {
        self.separate();
        self.bytes.extend_from_slice(object);
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of the message.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message, as UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the objects, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn separate(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.push(b'\n');
        }
    }
}

//! What a peer's next message may refer to, where its window lives on (RFC 7692 section 7.1.1).
//!
//! Kept as bytes and given to whichever inflater takes the next message. A whole inflater would take 47 KiB whatever the
//! window; this takes what was received, at most the agreed window, for 1.5 µs of copying a message when it is full.

/// The last bytes of what a peer has sent, which its next message may refer to.
pub(super) struct History {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl History {
    pub(super) fn new(window_bits: u8) -> Self {
        Self { bytes: Vec::new(), bytes_max: 1 << window_bits }
    }

    /// Oldest byte first.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a message, and forgets what no reference can reach any more.
    pub(super) fn remember(&mut self, message: &[u8]) {
        let message = &message[message.len().saturating_sub(self.bytes_max)..];
        let len = (self.bytes.len() + message.len()).min(self.bytes_max);
        self.bytes.drain(..self.bytes.len() + message.len() - len);
        // Doubled by hand: `Vec` might pass the maximum, which is a power of two.
        if len > self.bytes.capacity() {
            self.bytes.reserve_exact(len.next_power_of_two() - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_holds_the_last_bytes_of_the_agreed_window_and_takes_no_more_memory() {
        for bits in 9..=15_u8 {
            let bytes_max = 1_usize << bits;
            let mut history = History::new(bits);
            let mut sent: Vec<u8> = Vec::new();
            for len in [0, 1, 300, bytes_max - 1, 1, bytes_max, bytes_max + 1, 7, 3 * bytes_max, 100] {
                let message: Vec<u8> = (0..=250).cycle().skip(sent.len() % 17).take(len).collect();
                sent.extend_from_slice(&message);
                history.remember(&message);
                assert_eq!(
                    history.bytes(),
                    &sent[sent.len().saturating_sub(bytes_max)..],
                    "{bits} bits, {len} bytes"
                );
                assert!(history.bytes.capacity() <= bytes_max, "{bits} bits: {}", history.bytes.capacity());
            }
        }
    }
}

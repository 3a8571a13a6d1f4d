//! How deep JSON text nests, asked before anything reads it.

/// Whether arrays and objects stand more than `depth_max` levels inside each other.
///
/// The answer is exact for valid JSON. For other text it is some answer, in time linear to its length.
pub(crate) fn is_deeper_than(text: &str, depth_max: u32) -> bool {
    // Text with few brackets cannot be deep, and counting is many times faster than telling those in strings from the
    // others.
    openings(text.as_bytes()) > depth_max as usize && deepest(text) > depth_max
}

fn openings(bytes: &[u8]) -> usize {
    // `[` and `{` differ in one bit. Sums that fit into a byte let the compiler look at many bytes at once.
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    bytes.chunks(128).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

fn deepest(text: &str) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0_u32);
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // Whatever is escaped, it ends no string.
            b'\\' if in_string => drop(bytes.next()),
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

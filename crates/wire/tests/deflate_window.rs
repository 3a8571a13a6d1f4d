//! The compressor against a second, slow reading of RFC 1951 that also sees how far back each reference reaches: a receiver
//! that agreed to a window must never be sent a reference beyond it, and zlib's own inflater would not notice.

use proptest::prelude::*;

use tidegate_wire::deflate::SharedDeflater;

#[test]
fn the_reader_reads_the_worked_example_of_the_rfc() {
    let read = Reader::read(&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!((read.out.as_slice(), read.farthest), (b"Hello".as_slice(), 0));
}

#[test]
fn a_window_of_each_size_is_used_and_never_passed() {
    // Noise that repeats just inside the window can only be compressed by references of nearly its whole length.
    for window_bits in 9..=15_u8 {
        let window = 1_usize << window_bits;
        for level in [1, 6, 9] {
            let message = noise(window - 300).repeat(3);
            let payload = SharedDeflater::new(level).compress(&message, window_bits).to_vec();
            let read = Reader::read(&payload);
            assert_eq!(read.out, message);
            let near_limit = window - 300..=window;
            assert!(
                near_limit.contains(&read.farthest),
                "{window_bits} bits, level {level}: {}",
                read.farthest
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_reference_reaches_beyond_the_window(
        pieces in prop::collection::vec((0..6_usize, 0..3000_usize), 1..12),
        window_bits in 9..=12_u8,
        level in 1..=9_u8,
    ) {
        let source = noise(16_000);
        let message: Vec<u8> = pieces.iter().flat_map(|&(at, len)| source[at * 2000..].iter().take(len)).copied().collect();
        let payload = SharedDeflater::new(level).compress(&message, window_bits).to_vec();
        let read = Reader::read(&payload);
        prop_assert_eq!(read.out, message);
        prop_assert!(read.farthest <= 1 << window_bits, "{}", read.farthest);
    }
}

/// Reads a flushed DEFLATE stream whose tail was removed, bit by bit.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// The longest distance of any reference.
    farthest: usize,
}

impl<'a> Reader<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut reader = Self { bytes, at: 0, out: Vec::new(), farthest: 0 };
        loop {
            assert_eq!(reader.bits(1), 0, "the compressor marks no block as final");
            match reader.bits(2) {
                0 => {
                    reader.at = reader.at.next_multiple_of(8);
                    if reader.at == 8 * bytes.len() {
                        return reader;
                    }
                    let len = reader.bits(16);
                    assert_eq!(reader.bits(16), len ^ 0xffff);
                    for _ in 0..len {
                        let byte = reader.byte();
                        reader.out.push(byte);
                    }
                }
                1 => {
                    let lengths: Vec<_> = [(144, 8), (112, 9), (24, 7), (8, 8)]
                        .iter()
                        .flat_map(|&(count, len)| std::iter::repeat_n(len, count))
                        .collect();
                    reader.block(&Code::new(&lengths), &Code::new(&[5; 30]));
                }
                2 => {
                    let (literals, distances) = reader.codes();
                    reader.block(&literals, &distances);
                }
                _ => panic!("block type 3"),
            }
        }
    }

    /// Section 3.2.5.
    fn block(&mut self, literals: &Code, distances: &Code) {
        loop {
            let symbol = self.symbol(literals);
            match symbol {
                0..=255 => self.out.push(u8::try_from(symbol).expect("the arm says so")),
                256 => return,
                _ => {
                    let len = match symbol - 257 {
                        28 => 258,
                        code @ 0..8 => code + 3,
                        code => self.spread(code, 4) + 3,
                    };
                    let distance = match self.symbol(distances) {
                        code @ 0..4 => code + 1,
                        code => self.spread(code, 2) + 1,
                    };
                    self.farthest = self.farthest.max(distance);
                    for _ in 0..len {
                        self.out.push(self.out[self.out.len() - distance]);
                    }
                }
            }
        }
    }

    /// Length and distance codes of one size class: `steps` codes for each number of extra bits.
    fn spread(&mut self, code: usize, steps: usize) -> usize {
        let extra_bits = code / steps - 1;
        ((steps + code % steps) << extra_bits) + self.bits(extra_bits)
    }

    /// Section 3.2.7.
    fn codes(&mut self) -> (Code, Code) {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances, codes) = (self.bits(5) + 257, self.bits(5) + 1, self.bits(4) + 4);
        let mut own = [0; 19];
        for &place in &ORDER[..codes] {
            own[place] = self.bits(3);
        }
        let own = Code::new(&own);
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (len, times) = match self.symbol(&own) {
                16 => (*lengths.last().expect("something to repeat"), self.bits(2) + 3),
                17 => (0, self.bits(3) + 3),
                18 => (0, self.bits(7) + 11),
                len => (len, 1),
            };
            lengths.extend(std::iter::repeat_n(len, times));
        }
        let distances = lengths.split_off(literals);
        (Code::new(&lengths), Code::new(&distances))
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let (mut word, mut first, mut passed) = (0, 0, 0);
        for &count in &code.count_by_len[1..] {
            word = 2 * word + self.bits(1);
            first *= 2;
            if word < first + count {
                return code.symbols[passed + word - first];
            }
            first += count;
            passed += count;
        }
        panic!("no such code");
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.bits(8)).expect("eight bits")
    }

    /// Least significant bit first, as everything but codes is packed.
    fn bits(&mut self, count: usize) -> usize {
        (0..count).fold(0, |value, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(bit) << place
        })
    }
}

/// A canonical Huffman code (section 3.2.2): how many words there are of each length, and their symbols in order.
struct Code {
    count_by_len: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut symbols: Vec<_> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        let mut count_by_len = [0; 16];
        for &symbol in &symbols {
            count_by_len[lengths[symbol]] += 1;
        }
        Self { count_by_len, symbols }
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

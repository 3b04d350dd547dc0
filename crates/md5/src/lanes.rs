//! MD5 (RFC 1321) over one block of each of several messages at once.

use bytes::Bytes;
use std::num::Wrapping;
use std::ops::{Add, BitAnd, BitOr, BitXor, Not};
use wide::u32x8;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// `floor(2^32 * |sin(i + 1)|)`.
#[rustfmt::skip]
const TABLE: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// One word of one message, or of several side by side.
trait Words:
    Copy + Add<Output = Self> + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// The same word in every lane.
    fn all(word: u32) -> Self;
    /// Every lane turned left by `bits`.
    fn turned(self, bits: u32) -> Self;
}

impl Words for u32x8 {
    #[inline(always)]
    fn all(word: u32) -> Self {
        Self::splat(word)
    }
    #[inline(always)]
    fn turned(self, bits: u32) -> Self {
        (self << bits) | (self >> (32 - bits))
    }
}

impl Words for Wrapping<u32> {
    #[inline(always)]
    fn all(word: u32) -> Self {
        Self(word)
    }
    #[inline(always)]
    fn turned(self, bits: u32) -> Self {
        Self(self.0.rotate_left(bits))
    }
}

/// Two messages in the plain registers: the one's chain fills the other's waits.
#[derive(Debug, Clone, Copy)]
struct Two(u32, u32);

macro_rules! two {
    ($($operator:ident $method:ident $of:expr;)*) => {$(
        impl $operator for Two {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let of: fn(u32, u32) -> u32 = $of;
                Self(of(self.0, other.0), of(self.1, other.1))
            }
        }
    )*};
}
two! {
    Add add u32::wrapping_add;
    BitAnd bitand |a, b| a & b;
    BitOr bitor |a, b| a | b;
    BitXor bitxor |a, b| a ^ b;
}

impl Not for Two {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0, !self.1)
    }
}

impl Words for Two {
    #[inline(always)]
    fn all(word: u32) -> Self {
        Self(word, word)
    }
    #[inline(always)]
    fn turned(self, bits: u32) -> Self {
        Self(self.0.rotate_left(bits), self.1.rotate_left(bits))
    }
}

impl From<[u32; 2]> for Two {
    fn from([a, b]: [u32; 2]) -> Self {
        Self(a, b)
    }
}

impl From<Two> for [u32; 2] {
    fn from(Two(a, b): Two) -> Self {
        [a, b]
    }
}

/// Which word of the block step `i` takes.
const fn word_of(i: usize) -> usize {
    match i / 16 {
        0 => i,
        1 => (5 * i + 1) % 16,
        2 => (3 * i + 5) % 16,
        _ => 7 * i % 16,
    }
}

/// Step `I`: `b` plus the sum of `a`, what the round makes of the others, a word and a constant, turned left.
#[inline(always)]
fn step<W: Words, const I: usize>(a: W, b: W, c: W, d: W, words: &[W; 16]) -> W {
    let shift = SHIFTS[I / 16][I % 4];
    let sum = a + words[word_of(I)] + W::all(TABLE[I]);
    let sum = match I / 16 {
        0 => sum + (d ^ (b & (c ^ d))),
        // Of the two terms only one waits for `b`; no bit is in both.
        1 => sum + (c & !d) + (b & d),
        2 => sum + (b ^ (c ^ d)),
        _ => sum + (c ^ (b | !d)),
    };
    b + sum.turned(shift)
}

macro_rules! steps {
    ($a:ident $b:ident $c:ident $d:ident $words:ident: $($i:literal)*) => {
        $(
            $a = step::<W, { $i }>($a, $b, $c, $d, $words);
            $d = step::<W, { $i + 1 }>($d, $a, $b, $c, $words);
            $c = step::<W, { $i + 2 }>($c, $d, $a, $b, $words);
            $b = step::<W, { $i + 3 }>($b, $c, $d, $a, $words);
        )*
    };
}

/// Adds one block of each message, as its 16 words, to their state.
#[inline(always)]
fn compress<W: Words>(state: &mut [W; 4], words: &[W; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    steps!(a b c d words: 0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60);
    let [was_a, was_b, was_c, was_d] = *state;
    *state = [was_a + a, was_b + b, was_c + c, was_d + d];
}

fn word(block: &[u8; BLOCK], j: usize) -> u32 {
    u32::from_le_bytes([block[4 * j], block[4 * j + 1], block[4 * j + 2], block[4 * j + 3]])
}

/// The state of one message, with the bytes that do not fill a block yet.
#[derive(Debug, Clone)]
pub(crate) struct State {
    words: [u32; 4],
    rest: [u8; BLOCK],
    filled: usize,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self { words: BEGIN, rest: [0; BLOCK], filled: 0 }
    }

    /// Adds whole blocks, of this message alone.
    fn blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        let mut state = self.words.map(Wrapping);
        for block in blocks {
            compress(&mut state, &std::array::from_fn(|j| Wrapping(word(block, j))));
        }
        self.words = state.map(|word| word.0);
    }

    /// Fills the block that was begun; gives what is left of `data`, from the begin of a block.
    pub(crate) fn top_up<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        if self.filled == 0 {
            return data;
        }
        let (head, tail) = data.split_at(data.len().min(BLOCK - self.filled));
        self.rest[self.filled..self.filled + head.len()].copy_from_slice(head);
        self.filled += head.len();
        if self.filled == BLOCK {
            self.filled = 0;
            let block = self.rest;
            self.blocks(&[block]);
        }
        tail
    }

    /// Keeps less than a block for later.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.rest[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, data: &[u8]) {
        let data = self.top_up(data);
        if self.filled == 0 {
            let (blocks, rest) = data.as_chunks::<BLOCK>();
            self.blocks(blocks);
            self.keep(rest);
        }
    }

    /// The digest of a message of this length.
    pub(crate) fn finish(mut self, length: u64) -> [u8; 16] {
        let mut end = vec![0x80];
        end.resize(1 + (2 * BLOCK - 9 - self.filled) % BLOCK, 0);
        end.extend_from_slice(&length.wrapping_mul(8).to_le_bytes());
        self.update(&end);
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        digest
    }
}

/// A message with bytes that are to be added to it.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) state: State,
    data: std::vec::IntoIter<Bytes>,
    now: Bytes,
}

impl Load {
    pub(crate) fn new(state: State, data: Vec<Bytes>) -> Self {
        Self { state, data: data.into_iter(), now: Bytes::new() }
    }

    /// Goes on to where whole blocks are; false at the end.
    pub(crate) fn ready(&mut self) -> bool {
        while self.now.len() < BLOCK {
            let (rest, next) = (std::mem::take(&mut self.now), self.data.next());
            if !rest.is_empty() {
                self.state.update(&rest);
            }
            let Some(next) = next else { return false };
            let left = self.state.top_up(&next).len();
            self.now = next.slice(next.len() - left..);
        }
        true
    }

    fn blocks(&self) -> &[[u8; BLOCK]] {
        self.now.as_chunks().0
    }

    fn pass(&mut self, blocks: usize) {
        self.now = self.now.slice(blocks * BLOCK..);
    }
}

/// Adds to each of `N` messages that are ready as many blocks as all of them have at hand.
fn side_by_side<W: Words + From<[u32; N]> + Into<[u32; N]>, const N: usize>(loads: [&mut Load; N]) {
    let count = loads.iter().map(|load| load.blocks().len()).min().unwrap_or_default();
    let mut state: [W; 4] = std::array::from_fn(|w| W::from(std::array::from_fn(|l| loads[l].state.words[w])));
    let blocks: [&[[u8; BLOCK]]; N] = std::array::from_fn(|l| &loads[l].blocks()[..count]);
    // (Of each message the block with this number.)
    (0..count).for_each(|i| {
        let words = std::array::from_fn(|j| W::from(std::array::from_fn(|l| word(&blocks[l][i], j))));
        compress(&mut state, &words);
    });
    let state: [[u32; N]; 4] = state.map(Into::into);
    for (l, load) in loads.into_iter().enumerate() {
        load.state.words = std::array::from_fn(|w| state[w][l]);
        load.pass(count);
    }
}

/// Messages that are worked on at once.
pub(crate) const LANES: usize = 8;

/// Works on messages that are ready, until one of them has no whole block at hand.
pub(crate) fn work(loads: &mut [Load]) {
    let mut idle: Vec<Load> = Vec::new();
    let wanted = match loads.len() {
        0 | 1 => 1,
        // Two at a time in plain registers cost less than four in vectors.
        2..=4 => 2,
        _ => LANES,
    };
    // Lanes that nobody needs hash what one of the others hashes.
    for _ in loads.len()..wanted {
        let Some(first) = loads.first() else { return };
        idle.push(Load { state: State::new(), data: Vec::new().into_iter(), now: first.now.clone() });
    }
    let mut all: Vec<&mut Load> = loads.iter_mut().chain(&mut idle).take(wanted).collect();
    match wanted {
        1 => all.drain(..).for_each(|load| {
            let count = load.blocks().len();
            let now = std::mem::take(&mut load.now);
            load.state.blocks(now.as_chunks().0);
            load.now = now;
            load.pass(count);
        }),
        2 => drop(<[&mut Load; 2]>::try_from(all).map(side_by_side::<Two, 2>)),
        _ => drop(<[&mut Load; LANES]>::try_from(all).map(side_by_side::<u32x8, LANES>)),
    }
}

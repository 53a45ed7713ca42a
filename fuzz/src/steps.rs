//! An input taken as a row of choices. Where it has ended every choice is the first one.

use std::net::{IpAddr, SocketAddr};
use unchoke_wire::time::{Duration, Instant};

/// What is left of an input.
pub struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    /// All of it.
    pub fn new(data: &'a [u8]) -> Self {
        Steps(data)
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is from 1 to 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of `all`, if there is any.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let at = usize::from(self.byte());
        if all.is_empty() { None } else { Some(all[at % all.len()]) }
    }

    /// Four bytes as a number.
    pub fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// A number that is mostly small, and at times one where arithmetic ends.
    pub fn odd_number(&mut self) -> u32 {
        match self.byte() {
            255 => u32::MAX,
            254 => u32::MAX - 1,
            253 => 1 << 31,
            252 => 1 << 14,
            251 => self.word(),
            small => u32::from(small),
        }
    }

    /// So many bytes as the next one says, or all that are left.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A wait: from a hundredth of a second to some days, doubling.
    pub fn wait(&mut self) -> Duration {
        let n = self.byte();
        Duration::from_millis(10) * (1 << (n % 26)) + Duration::from_micros(u64::from(n))
    }

    /// One of some addresses: global ones of few sites, local ones, ones that cannot be dialled.
    pub fn address(&mut self) -> SocketAddr {
        let n = self.byte();
        let low = n & 15;
        let ip: IpAddr = match n >> 4 {
            0..=6 => [80, 0, low & 3, low].into(),
            7 => [127, 0, 0, 1].into(),
            8 => [10, 0, 0, low].into(),
            9 => [0, 0, 0, 0, 0, 0xffff, 0x5000, u16::from(low)].into(),
            10 => [0x2a00, 0, 0, u16::from(low), 0, 0, 0, 1].into(),
            11 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(low)].into(),
            12 => [224, 0, 0, low].into(),
            13 => [0, 0, 0, 0].into(),
            _ => [90, low, 0, 1].into(),
        };
        let port = if n == 0xef { 0 } else { 6881 + u16::from(n & 1) };
        SocketAddr::new(ip, port)
    }
}

/// When the machines under test begin.
pub const BEGIN: Instant = Instant::from_micros(1_000_000);

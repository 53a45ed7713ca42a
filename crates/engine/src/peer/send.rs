//! What waits to be sent to one peer, and whether the shell knows that something waits.

use unchoke_wire::message::Message;
use unchoke_wire::time::Instant;

/// Where the stream out stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Nothing was asked of the shell.
    #[default]
    Idle,
    /// The shell was told that we want to send.
    Wanted,
    /// The shell has a plan, with so many bytes of blocks, and is writing it since then.
    Sending { block_bytes: u64, since: Instant },
}

/// Control messages that wait, and the place in the torrent's have log up to which haves were sent.
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: Vec<u8>,
    state: State,
    /// Haves of the torrent's log that this peer was told or need not be told.
    pub have_cursor: usize,
}

impl SendQueue {
    /// Queues bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the control messages that wait.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    /// Queues a message.
    pub fn push(&mut self, message: &Message<'_>) {
        message.encode_into(&mut self.bytes);
    }

    /// Bytes of control messages that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes held for them.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Notes that something waits; `true` when the shell must be told.
    pub fn want(&mut self) -> bool {
        let is_idle = self.state == State::Idle;
        if is_idle {
            self.state = State::Wanted;
        }
        is_idle
    }

    /// Notes that a plan with so many bytes of blocks was handed out.
    pub fn sending(&mut self, block_bytes: u64, since: Instant) {
        self.state = State::Sending { block_bytes, since };
    }

    /// Bytes of the blocks of the plan that the shell is writing, and since when it does.
    pub fn plan(&self) -> Option<(u64, Instant)> {
        match self.state {
            State::Sending { block_bytes, since } => Some((block_bytes, since)),
            State::Idle | State::Wanted => None,
        }
    }

    /// Notes that the shell is ready and there was nothing to hand out.
    pub fn idle(&mut self) {
        self.state = State::Idle;
    }
}

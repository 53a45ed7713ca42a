//! Messages to a thread that sleeps in its poll.
//!
//! What is sent with [`Mailbox::send`] is bounded by its source: a job has a reply, a torrent its commands. What
//! strangers can cause goes through [`Mailbox::offer`], which refuses once [`OFFERED_MAX`] messages wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use mio::{Poll, Token, Waker};

/// Messages that may wait before strangers' connections and datagrams are refused.
pub(crate) const OFFERED_MAX: usize = 4096;

/// The sending side.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    sender: Sender<T>,
    bell: Arc<Bell>,
}

/// The receiving side, in the thread of the poll.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    receiver: Receiver<T>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    waker: Waker,
    /// Whether the waker was used since the inbox was last emptied: one system call for many messages.
    is_rung: AtomicBool,
}

/// A mailbox whose messages wake `poll` with `token`.
pub(crate) fn mailbox<T>(poll: &Poll, token: Token) -> std::io::Result<(Mailbox<T>, Inbox<T>)> {
    let bell = Arc::new(Bell { waker: Waker::new(poll.registry(), token)?, is_rung: AtomicBool::new(false) });
    let (sender, receiver) = crossbeam_channel::unbounded();
    Ok((Mailbox { sender, bell: Arc::clone(&bell) }, Inbox { receiver, bell }))
}

impl<T> Mailbox<T> {
    /// Sends. After the thread has ended the message is dropped.
    pub(crate) fn send(&self, message: T) {
        if self.sender.send(message).is_ok() && !self.bell.is_rung.swap(true, Ordering::SeqCst) {
            // a waker fails only when its poll is gone, and with it the reader
            let _ = self.bell.waker.wake();
        }
    }

    /// Sends unless too much is waiting; gives the message back then.
    pub(crate) fn offer(&self, message: T) -> Result<(), T> {
        if self.sender.len() >= OFFERED_MAX {
            return Err(message);
        }
        self.send(message);
        Ok(())
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox { sender: self.sender.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> Inbox<T> {
    /// Says that the messages are about to be taken: the next one sent wakes the poll again.
    pub(crate) fn begin(&self) {
        // in one order with the queue: either the sender sees this, or we see its message
        self.bell.is_rung.store(false, Ordering::SeqCst);
    }

    /// The next message, if there is one.
    pub(crate) fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Whether none is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_refuses_strangers_but_not_jobs() {
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(&poll, Token(0)).unwrap();
        for n in 0..OFFERED_MAX {
            assert!(mailbox.offer(n).is_ok());
        }
        assert_eq!(mailbox.offer(7), Err(7));
        mailbox.send(8);
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, None).unwrap();
        assert_eq!(events.iter().count(), 1);
        inbox.begin();
        assert_eq!(std::iter::from_fn(|| inbox.take()).count(), OFFERED_MAX + 1);
        assert!(inbox.is_empty());
    }
}

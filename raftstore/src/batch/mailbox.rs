//! One mailbox: a queue of messages and a slot in which the state machine rests.
//!
//! Owner: shared by all senders and pollers. Invariants: the mailbox stands in the ready queue at most once; a state machine is
//! taken out only by the poller that got the mailbox from that queue, and nobody else touches it until it is put back.
//!
//! A sender writes `length` and then asks `notified`; a poller that lets go writes `notified` and then asks `length`. Sequential
//! consistency makes sure that at least one of the two sees the other; with anything weaker both may miss each other and the
//! message waits for ever.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// The mailbox is full; the message comes back.
pub struct Full<M>(pub M);

/// Queue and resting place of a state machine `F` with messages `M`.
pub struct Mailbox<F, M> {
    sender: Sender<M>,
    receiver: Receiver<M>,
    /// Messages in the queue. Kept apart from the channel so that one load tells it.
    length: AtomicUsize,
    capacity: usize,
    /// Stands in the ready queue, or is with a poller.
    notified: AtomicBool,
    tick_due: AtomicBool,
    /// The machine is gone for good: nobody will handle what is in the queue.
    closed: AtomicBool,
    /// What arrives should gather. A hint: nothing depends on when others see it.
    crowded: AtomicBool,
    machine: Mutex<Option<Box<F>>>,
}

/// A state machine that a poller has taken out of its mailbox.
pub struct Taken<F, M> {
    /// Where it has to be put back.
    pub mailbox: Arc<Mailbox<F, M>>,
    /// The state machine.
    pub machine: Box<F>,
}

impl<F, M> Mailbox<F, M> {
    /// A mailbox in which `machine` rests.
    pub fn new(machine: Box<F>, capacity: usize) -> Self {
        let (sender, receiver) = unbounded();
        Mailbox {
            sender,
            receiver,
            length: AtomicUsize::new(0),
            capacity,
            notified: AtomicBool::new(false),
            tick_due: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            machine: Mutex::new(Some(machine)),
        }
    }

    /// Queues a message, unless the mailbox is full. Senders at the same moment may overshoot the capacity by one each.
    pub fn try_push(&self, message: M) -> Result<(), Full<M>> {
        if self.length.load(Ordering::Relaxed) >= self.capacity {
            return Err(Full(message));
        }
        self.push(message);
        Ok(())
    }

    /// Queues a message that must not be lost. Only for messages whose number is bounded by work that was handed out.
    pub fn push(&self, message: M) {
        self.length.fetch_add(1, Ordering::SeqCst);
        self.sender.send(message).expect("invariant: the mailbox holds its own receiver");
    }

    /// Asks for a tick. Ticks that nobody came to handle are one.
    pub fn set_tick_due(&self) {
        self.tick_due.store(true, Ordering::SeqCst);
    }

    /// Was a tick asked for since the last call?
    pub fn take_tick(&self) -> bool {
        self.tick_due.swap(false, Ordering::AcqRel)
    }

    /// Notes whether what arrives should gather before it is handled.
    pub fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Should what arrives gather before it is handled?
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// The next message.
    pub fn pop(&self) -> Option<M> {
        let message = self.receiver.try_recv().ok()?;
        self.length.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }

    /// Notes that the machine is gone. Whoever sends afterwards, and whoever closes, has to empty the queue.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Is the machine gone?
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Takes out everything. Waits for a sender that has counted its message and not queued it yet: it is about to.
    pub fn drain(&self) -> Vec<M> {
        let mut messages = Vec::new();
        while self.length.load(Ordering::SeqCst) > 0 {
            match self.pop() {
                Some(message) => messages.push(message),
                None => std::hint::spin_loop(),
            }
        }
        messages
    }

    /// Claims the right to put the mailbox into the ready queue: true for one caller until [`Mailbox::release`].
    pub fn claim(&self) -> bool {
        !self.notified.swap(true, Ordering::SeqCst)
    }

    /// Takes the state machine out. `None` if the mailbox was emptied for good.
    pub fn take(self: &Arc<Self>) -> Option<Taken<F, M>> {
        let machine = self.slot().take()?;
        Some(Taken { mailbox: self.clone(), machine })
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Box<F>>> {
        self.machine.lock().expect("invariant: nobody panics while holding the slot")
    }

    /// Puts the state machine back. True if something arrived meanwhile and the caller has to queue the mailbox again: this
    /// closes the race between "nothing left to do" and a message that came just then.
    #[must_use]
    pub fn release(&self, machine: Box<F>) -> bool {
        *self.slot() = Some(machine);
        self.notified.store(false, Ordering::SeqCst);
        let more = self.length.load(Ordering::SeqCst) > 0 || self.tick_due.load(Ordering::SeqCst);
        more && self.claim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_takes_what_must_not_be_lost() {
        let mailbox = Mailbox::new(Box::new(()), 1);
        assert!(mailbox.try_push(1).is_ok());
        assert!(matches!(mailbox.try_push(2), Err(Full(2))));
        mailbox.push(3);
        assert_eq!((mailbox.pop(), mailbox.pop(), mailbox.pop()), (Some(1), Some(3), None));
        assert!(mailbox.try_push(4).is_ok());
    }

    #[test]
    fn a_message_that_arrives_while_the_machine_is_out_brings_it_back_into_the_queue() {
        let mailbox = Arc::new(Mailbox::new(Box::new(()), 8));
        mailbox.push(1);
        assert!(mailbox.claim() && !mailbox.claim());
        let taken = mailbox.take().unwrap();
        assert!(mailbox.take().is_none());
        assert_eq!(mailbox.pop(), Some(1));
        mailbox.push(2);
        assert!(!mailbox.claim(), "the poller has not let go yet");
        assert!(mailbox.release(taken.machine), "the poller has to queue it again");
        let taken = mailbox.take().unwrap();
        assert_eq!(mailbox.pop(), Some(2));
        assert!(!mailbox.release(taken.machine));
        assert!(mailbox.claim());
    }

    #[test]
    fn ticks_that_nobody_handled_are_one() {
        let mailbox: Mailbox<(), ()> = Mailbox::new(Box::new(()), 1);
        mailbox.set_tick_due();
        mailbox.set_tick_due();
        assert!(mailbox.take_tick());
        assert!(!mailbox.take_tick());
    }
}

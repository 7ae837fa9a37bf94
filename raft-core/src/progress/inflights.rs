//! The window of append messages that are on their way to one follower.
//!
//! A leader in the replicate state sends without waiting for answers. The window bounds how much a slow or silent follower can
//! pile up in the transport, by messages and by bytes. Messages are remembered by their last index, in ascending order.

use std::collections::VecDeque;

/// Messages on their way to one follower. Empty windows own no memory.
#[derive(Clone, Debug, Hash)]
pub struct Inflights {
    max_messages: usize,
    /// 0 means no limit.
    max_bytes: u64,
    bytes: u64,
    /// Last index and bytes of each message.
    messages: VecDeque<(u64, u64)>,
}

impl Inflights {
    /// An empty window with these limits; `max_bytes` of 0 means no limit in bytes.
    pub fn new(max_messages: usize, max_bytes: u64) -> Self {
        Inflights { max_messages, max_bytes, bytes: 0, messages: VecDeque::new() }
    }

    /// True when nothing more may be sent. A message that is larger than the byte limit still goes into an open window.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= self.max_messages || (self.max_bytes > 0 && self.bytes >= self.max_bytes)
    }

    /// How many messages are on their way.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True when nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Remembers a message whose entries end at `last_index`.
    pub fn add(&mut self, last_index: u64, bytes: u64) {
        debug_assert!(self.messages.back().is_none_or(|(last, _)| *last < last_index), "window out of order");
        self.messages.push_back((last_index, bytes));
        self.bytes += bytes;
    }

    /// Forgets the messages that an acknowledgement up to `index` covers.
    pub fn free_to(&mut self, index: u64) {
        while let Some((last, bytes)) = self.messages.front() {
            if *last > index {
                break;
            }
            self.bytes -= bytes;
            self.messages.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_messages() {
        let mut window = Inflights::new(3, 0);
        for index in 1..=3 {
            assert!(!window.is_full());
            window.add(index * 10, 1 << 40);
        }
        assert!(window.is_full());
        window.free_to(9);
        assert_eq!(window.len(), 3, "an acknowledgement below the first message frees nothing");
        window.free_to(20);
        assert_eq!(window.len(), 1);
        window.clear();
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn limits_bytes() {
        let mut window = Inflights::new(100, 10);
        window.add(1, 9);
        assert!(!window.is_full());
        window.add(2, 50);
        assert!(window.is_full());
        window.free_to(1);
        assert!(window.is_full());
        window.free_to(2);
        assert!(!window.is_full());
    }
}

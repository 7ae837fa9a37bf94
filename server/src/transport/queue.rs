//! The queue of raft messages for one other store, and the stream that empties it.
//!
//! Raft threads append whole rounds under one short lock ([`SendQueue::push`]) and wake the reader once. The reader is the
//! HTTP/2 stream itself: gRPC polls [`FrameStream`] when the connection can take more, so a message is packed as late as
//! possible, frames grow with the load, and there is no task in between that would cost a switch per message.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use prost::Message as _;
use proto::raft_serverpb::RaftMessage;
use proto::tikvpb::BatchRaftMessage;
use tokio_stream::Stream;

/// Most messages in a frame.
const FRAME_MESSAGES: usize = 256;
/// A frame is closed once it has this many bytes. One message may be larger on its own.
const FRAME_BYTES: usize = 1 << 20;
/// Bytes that may wait for one store, whatever their number.
const QUEUE_BYTES: usize = 64 << 20;

/// Messages that wait for one store.
pub struct SendQueue {
    state: Mutex<State>,
    capacity: usize,
}

struct State {
    messages: VecDeque<(usize, RaftMessage)>,
    bytes: usize,
    /// The connection is known to be down: messages are refused at once instead of growing old.
    down: bool,
    /// Number of the stream that may read. Older ones, whose connection broke, end.
    generation: u64,
    waker: Option<Waker>,
}

impl SendQueue {
    /// An empty queue for at most `capacity` messages.
    pub fn new(capacity: usize) -> Arc<Self> {
        let state = State { messages: VecDeque::new(), bytes: 0, down: false, generation: 0, waker: None };
        Arc::new(Self { state: Mutex::new(state), capacity })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `messages` and wakes the reader. What does not fit, or cannot be sent because the store is down, is left in
    /// `messages` for the caller to report.
    pub fn push(&self, messages: &mut Vec<RaftMessage>) {
        let mut state = self.lock();
        if state.down {
            return;
        }
        let mut taken = 0;
        for message in messages.iter_mut() {
            let size = message.encoded_len();
            if state.messages.len() >= self.capacity || state.bytes + size > QUEUE_BYTES {
                break;
            }
            state.bytes += size;
            state.messages.push_back((size, std::mem::take(message)));
            taken += 1;
        }
        let waker = state.waker.take();
        drop(state);
        messages.drain(..taken);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Starts a new stream; older ones end.
    pub fn stream(self: &Arc<Self>) -> FrameStream {
        let mut state = self.lock();
        state.down = false;
        state.generation += 1;
        let stale = state.waker.take();
        let generation = state.generation;
        drop(state);
        if let Some(waker) = stale {
            waker.wake();
        }
        FrameStream { queue: self.clone(), generation, sent: Counts::default() }
    }

    /// The store cannot be reached: refuses messages until [`SendQueue::open`]. Returns how many were waiting and are lost.
    pub fn close(&self) -> usize {
        let mut state = self.lock();
        state.down = true;
        state.generation += 1;
        state.bytes = 0;
        let waiting = std::mem::take(&mut state.messages);
        let stale = state.waker.take();
        drop(state);
        if let Some(waker) = stale {
            waker.wake();
        }
        waiting.len()
    }

    /// Takes messages again, because a connection is being tried.
    pub fn open(&self) {
        self.lock().down = false;
    }
}

/// What a stream has sent, for the metrics.
#[derive(Default)]
struct Counts {
    frames: Option<prometheus::IntCounter>,
    messages: Option<prometheus::IntCounter>,
}

/// The frames of one connection; ends when the queue is closed or a newer stream has started.
pub struct FrameStream {
    queue: Arc<SendQueue>,
    generation: u64,
    sent: Counts,
}

impl FrameStream {
    /// Counts frames and messages as they leave.
    pub fn counted(mut self, frames: prometheus::IntCounter, messages: prometheus::IntCounter) -> Self {
        self.sent = Counts { frames: Some(frames), messages: Some(messages) };
        self
    }

    fn count(&self, messages: usize) {
        if let (Some(frames), Some(sent)) = (&self.sent.frames, &self.sent.messages) {
            frames.inc();
            sent.inc_by(messages as u64);
        }
    }
}

impl Stream for FrameStream {
    type Item = BatchRaftMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BatchRaftMessage>> {
        let mut state = self.queue.lock();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        if state.messages.is_empty() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let mut frame = Vec::with_capacity(state.messages.len().min(FRAME_MESSAGES));
        let mut bytes = 0;
        while frame.len() < FRAME_MESSAGES && bytes < FRAME_BYTES {
            let Some((size, message)) = state.messages.pop_front() else { break };
            bytes += size;
            frame.push(message);
        }
        state.bytes -= bytes;
        drop(state);
        self.count(frame.len());
        Poll::Ready(Some(BatchRaftMessage { msgs: frame, ..Default::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(count: u64) -> Vec<RaftMessage> {
        (0..count).map(|region_id| RaftMessage { region_id, ..Default::default() }).collect()
    }

    fn poll(stream: &mut FrameStream) -> Poll<Option<Vec<u64>>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(stream).poll_next(&mut cx).map(|frame| frame.map(|f| f.msgs.iter().map(|m| m.region_id).collect()))
    }

    #[test]
    fn messages_leave_in_order_and_in_full_frames() {
        let queue = SendQueue::new(1000);
        let mut stream = queue.stream();
        assert_eq!(poll(&mut stream), Poll::Pending);
        queue.push(&mut messages(600));
        let mut seen = Vec::new();
        while let Poll::Ready(Some(frame)) = poll(&mut stream) {
            assert!(frame.len() <= FRAME_MESSAGES);
            seen.extend(frame);
        }
        assert_eq!(seen, (0..600).collect::<Vec<_>>());
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_full_queue_hands_the_rest_back() {
        let queue = SendQueue::new(3);
        let mut batch = messages(5);
        queue.push(&mut batch);
        assert_eq!(batch.iter().map(|m| m.region_id).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn large_messages_get_frames_of_their_own() {
        let queue = SendQueue::new(10);
        let mut stream = queue.stream();
        let large = || RaftMessage { start_key: vec![0; FRAME_BYTES].into(), ..Default::default() };
        queue.push(&mut vec![large(), large(), RaftMessage::default()]);
        let sizes: Vec<usize> = std::iter::from_fn(|| match poll(&mut stream) {
            Poll::Ready(Some(frame)) => Some(frame.len()),
            _ => None,
        })
        .collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn closing_loses_what_waits_and_ends_the_stream() {
        let queue = SendQueue::new(10);
        let mut old = queue.stream();
        queue.push(&mut messages(2));
        assert_eq!(queue.close(), 2);
        assert_eq!(poll(&mut old), Poll::Ready(None));
        let mut batch = messages(1);
        queue.push(&mut batch);
        assert_eq!(batch.len(), 1, "a closed queue takes nothing");
        let mut new = queue.stream();
        queue.push(&mut batch);
        assert_eq!(poll(&mut old), Poll::Ready(None));
        assert_eq!(poll(&mut new), Poll::Ready(Some(vec![0])));
    }
}

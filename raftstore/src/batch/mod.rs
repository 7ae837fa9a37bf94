//! Mailboxes, and the router that finds them.
//!
//! A peer lives in its mailbox while nothing is to be done for it. The first message puts the mailbox into the ready queue; a
//! poller takes it from there, takes the peer out, works, and puts the peer back. So each peer is touched by one poller at a
//! time and needs no lock of its own, and a thousand idle regions cost nothing.

mod mailbox;
mod router;

pub use mailbox::{Full, Mailbox, Taken};
pub use router::{PeerMailbox, Ready, Router, Shortcut};

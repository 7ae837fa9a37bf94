//! One signal that tells everything in the process to stop.

use tokio::sync::watch;

/// Held by whoever decides; dropping it stops too.
#[derive(Debug)]
pub struct StopTrigger {
    sender: watch::Sender<bool>,
}

/// Held by whoever has to stop; clones see the same signal.
#[derive(Clone, Debug)]
pub struct StopSignal {
    receiver: watch::Receiver<bool>,
}

/// A trigger and its signal.
pub fn pair() -> (StopTrigger, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (StopTrigger { sender }, StopSignal { receiver })
}

impl StopTrigger {
    /// Tells everybody to stop. May be called again.
    pub fn stop(&self) {
        self.sender.send_replace(true);
    }
}

impl StopSignal {
    /// Returns once the trigger was pulled or dropped.
    pub async fn stopped(mut self) {
        // An error means that the trigger is gone, which is a stop as well.
        let _stopped = self.receiver.wait_for(|stopped| *stopped).await;
    }

    /// Whether it is time to stop.
    pub fn is_stopped(&self) -> bool {
        *self.receiver.borrow()
    }
}

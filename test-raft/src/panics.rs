//! Catches a panic and keeps its message and place, without printing a backtrace for each failing seed. Both simulators use it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while a panic of this thread is to be caught; the message once there was one.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

const NO_MESSAGE: &str = "a panic without a message";

static HOOK: Once = Once::new();

fn message_of(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or(NO_MESSAGE)
}

/// Runs `work`. If it panics, returns "message (file:line)". Panics of other threads are reported as ever.
pub fn capture<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let wanted = CAUGHT.with(|caught| match caught.borrow_mut().as_mut() {
                Some(message) if message.is_empty() => {
                    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
                    *message = format!("{}{}", message_of(info.payload()), place.unwrap_or_default());
                    true
                }
                other => other.is_some(),
            });
            if !wanted {
                usual(info);
            }
        }));
    });
    CAUGHT.with(|caught| *caught.borrow_mut() = Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let message = CAUGHT.with(|caught| caught.borrow_mut().take()).filter(|message| !message.is_empty());
    outcome.map_err(|_| message.unwrap_or_else(|| NO_MESSAGE.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        assert_eq!(capture(|| 7), Ok(7));
        let message = capture(|| panic!("too late: {}", 3)).unwrap_err();
        assert!(message.starts_with("too late: 3 (") && message.contains("panics.rs:"), "{message}");
    }
}

//! Catches a panic of a stage and keeps its message and place, without printing a backtrace for each failing seed.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CAPTURED: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

fn message_of(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Runs `work`. If it panics, returns "message (file:line)". Panics of other threads are reported as before.
pub(super) fn capture<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let captured = CAPTURED.with(|slot| match slot.borrow_mut().as_mut() {
                Some(message) => {
                    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
                    let text = message_of(info.payload());
                    message.get_or_insert_with(|| format!("{text}{place}"));
                    true
                }
                None => false,
            });
            if !captured {
                previous(info);
            }
        }));
    });
    CAPTURED.with(|slot| *slot.borrow_mut() = Some(None));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let message = CAPTURED.with(|slot| slot.borrow_mut().take()).flatten();
    outcome.map_err(|_| message.unwrap_or_else(|| "a panic without a message".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        assert_eq!(capture(|| 7), Ok(7));
        let message = capture(|| panic!("invariant: {}", 3)).unwrap_err();
        assert!(message.starts_with("invariant: 3 (") && message.contains("panics.rs:"), "{message}");
    }
}

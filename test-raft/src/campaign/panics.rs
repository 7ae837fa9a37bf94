//! Catches a panic and keeps its message and place. raft-core's own invariants panic with the name of the rule, which becomes the verdict.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::invariants::Violation;

thread_local! {
    /// `Some` while a panic of this thread is to be caught; the message once there was one.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

fn message_of(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Runs `work`. If it panics, returns "message (file:line)". Panics of other threads are reported as ever.
pub(crate) fn capture<T>(work: impl FnOnce() -> T) -> Result<T, String> {
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
    let message = CAUGHT.with(|caught| caught.borrow_mut().take()).unwrap_or_default();
    outcome.map_err(|_| message)
}

/// A panic as a verdict: the rule that it names, or `PANIC`.
pub(crate) fn as_violation(message: String) -> Violation {
    let rule = message.split_once(" violated").map(|(rule, _)| rule.rsplit(' ').next().unwrap_or(rule));
    let id = rule.filter(|rule| rule.starts_with("R-")).unwrap_or("PANIC").to_owned();
    Violation { id, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        assert_eq!(capture(|| 7), Ok(7));
        let message = capture(|| panic!("too late: {}", 3)).unwrap_err();
        assert!(message.starts_with("too late: 3 (") && message.contains("panics.rs:"), "{message}");
        assert_eq!(as_violation(message).id, "PANIC");
    }

    #[test]
    fn a_panic_that_names_a_rule_is_that_rules_verdict() {
        assert_eq!(as_violation("R-MONO violated on n3: term 1 after 2".to_owned()).id, "R-MONO");
        assert_eq!(as_violation("called expect: R-MONO violated: old".to_owned()).id, "R-MONO");
    }
}

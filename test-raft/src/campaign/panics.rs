//! raft-core's own invariants panic with the name of the rule, which becomes the verdict.

use crate::invariants::Violation;

/// A panic as a verdict: the rule that it names, or `PANIC`.
pub(crate) fn as_violation(message: String) -> Violation {
    let rule = message.split_once(" violated").map(|(rule, _)| rule.rsplit(' ').next().unwrap_or(rule));
    let id = rule.filter(|rule| rule.starts_with("R-")).unwrap_or("PANIC").to_owned();
    Violation { id, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panics::capture;

    #[test]
    fn a_panic_without_a_rule_is_one_all_the_same() {
        let message = capture(|| panic!("too late: {}", 3)).unwrap_err();
        assert_eq!(as_violation(message).id, "PANIC");
    }

    #[test]
    fn a_panic_that_names_a_rule_is_that_rules_verdict() {
        assert_eq!(as_violation("R-MONO violated on n3: term 1 after 2".to_owned()).id, "R-MONO");
        assert_eq!(as_violation("called expect: R-MONO violated: old".to_owned()).id, "R-MONO");
    }
}

//! Reads from what a run printed which rule it saw broken.

/// One failure.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The test or campaign.
    pub name: String,
    /// The rule. For a panic that names an invariant it is that one: an assertion of the code itself has noticed.
    pub rule: String,
    /// The seed.
    pub seed: String,
}

/// The failure that ended a campaign.
pub fn of_campaign(output: &str) -> Option<Verdict> {
    let (first, details) = output.split_once("FAIL ")?.1.split_once('\n')?;
    read(first, details)
}

/// The failures that graded tests printed, one for each test.
pub fn of_tests(output: &str) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    for block in output.split("FAIL ").skip(1) {
        let (first, details) = block.split_once('\n').unwrap_or((block, ""));
        if let Some(verdict) = read(first, details).filter(|new| verdicts.iter().all(|known| known.name != new.name)) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

/// The failures of tests that know no seed, as libtest shows them. The rule is the invariant that an assertion of the code has named, if
/// one has.
pub fn of_unit_tests(output: &str) -> Vec<Verdict> {
    let blocks = output.split("\n---- ").skip(1);
    let read_block = |block: &str| {
        let (name, details) = block.split_once(" stdout ----")?;
        let name = name.rsplit("::").next().unwrap_or(name);
        let details = details.split("\nfailures:").next().unwrap_or_default();
        Some(Verdict { rule: named(details).unwrap_or(name).to_owned(), name: name.to_owned(), seed: String::new() })
    };
    blocks.filter_map(read_block).collect()
}

/// How many tests libtest has run.
pub fn tests_run(output: &str) -> usize {
    let counts =
        output.lines().filter_map(|line| line.strip_prefix("running ")?.split(' ').next()?.parse::<usize>().ok());
    counts.sum()
}

/// The invariant that a panic names.
fn named(details: &str) -> Option<&str> {
    details.split_once("invariant ")?.1.split(|c: char| c == ':' || c.is_whitespace()).next()
}

/// Reads `NAME  seed N  step N  RULE  (kind)` and, for a panic, the text below.
fn read(first: &str, details: &str) -> Option<Verdict> {
    let (name, rest) = first.split_once("  seed ")?;
    let mut words = rest.split_whitespace();
    let seed = words.next()?.to_owned();
    let rule = words.find(|word| *word != "step" && !word.starts_with(|first: char| first.is_ascii_digit()))?;
    let rule = if rule == "PANIC" { named(details).unwrap_or(rule) } else { rule };
    Some(Verdict { name: name.trim().to_owned(), rule: rule.to_owned(), seed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_a_campaign_is_read() {
        let output = "seeds 0..9\nFAIL sim  seed 4  step 31  R-ELECT  (safety)\n  region 1\n";
        let verdict = of_campaign(output).unwrap();
        assert_eq!((verdict.name.as_str(), verdict.rule.as_str(), verdict.seed.as_str()), ("sim", "R-ELECT", "4"));
        assert_eq!(of_campaign("9 seeds clean"), None);
    }

    #[test]
    fn a_panic_has_the_name_of_the_invariant_in_it() {
        let named = "FAIL sim  seed 4  step 31  PANIC  (contract)\n  a.rs:3: invariant S-SPLIT-IDS: region 4\n";
        assert_eq!(of_campaign(named).unwrap().rule, "S-SPLIT-IDS");
        let other = "FAIL sim  seed 4  step 31  PANIC  (contract)\n  index out of bounds\n";
        assert_eq!(of_campaign(other).unwrap().rule, "PANIC");
    }

    #[test]
    fn a_test_without_a_seed_is_its_own_rule_unless_an_invariant_is_named() {
        let output = "running 3 tests\nFF.\nfailures:\n\n---- split::a_3b stdout ----\nthread 'split::a_3b' panicked at x.rs:1:\nleft: 1\n\
                      \n---- b stdout ----\ninvariant R-ORDER: region 4\n\n\nfailures:\n    split::a_3b\n    b\n\ntest result: FAILED.\n";
        let found: Vec<_> = of_unit_tests(output).into_iter().map(|verdict| (verdict.name, verdict.rule)).collect();
        assert_eq!(found, [("a_3b".to_owned(), "a_3b".to_owned()), ("b".to_owned(), "R-ORDER".to_owned())]);
        assert_eq!(tests_run(output), 3);
        assert_eq!(of_unit_tests("running 1 test\n.\ntest result: ok."), []);
    }

    #[test]
    fn each_failing_test_counts_once() {
        let output = "FAIL a_2b  seed 1  step 2  X  (safety)\nFAIL a_2b  seed 2  step 2  Y  (safety)\nFAIL b_2b  seed 1  step 2  Z  (stuck)\n";
        let names: Vec<_> = of_tests(output).into_iter().map(|verdict| (verdict.name, verdict.rule)).collect();
        assert_eq!(names, [("a_2b".to_owned(), "X".to_owned()), ("b_2b".to_owned(), "Z".to_owned())]);
    }
}

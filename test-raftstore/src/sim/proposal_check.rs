//! R-DROP-TOLD: a proposal is in the log at the place that its proposer was told, or the proposer was told that it is not (Raft, section 8: a
//! client of which nobody knows what became of its command has to ask again). Checked on every peer that was polled.
//!
//! Who was told nothing at all is found at the end, by S-CB-ONCE: a callback without an answer.

/// Compares what a leader of `term` waits for with its log.
///
/// # Errors
/// The first proposal of this term that is not in the log.
pub fn check_proposals(
    term: u64,
    proposed: impl IntoIterator<Item = (u64, u64)>,
    log_term: impl Fn(u64) -> Option<u64>,
) -> Result<(), String> {
    let lost =
        proposed.into_iter().filter(|proposal| proposal.1 == term).find(|(index, _)| log_term(*index) != Some(term));
    match lost {
        Some((index, _)) => Err(format!(
            "somebody waits for a proposal of term {term} at index {index}, where the log has an entry of term {:?}",
            log_term(index)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_that_was_swallowed_is_noticed() {
        let log = |index: u64| [1, 1, 2, 2].get(index as usize - 1).copied();
        assert_eq!(check_proposals(2, [(3, 2), (4, 2)], log), Ok(()));
        assert_eq!(check_proposals(2, [(4, 1), (5, 1)], log), Ok(()), "what an earlier reign has proposed may be lost");
        assert!(check_proposals(2, [(4, 2), (5, 2)], log).is_err());
        assert!(check_proposals(2, [(2, 2)], log).is_err(), "another entry is there");
    }
}

//! L-CLIENT: when everything is healed, a client gets each operation done within a bounded number of refusals.
//!
//! What remains to be learned then is who leads and where the regions are, and each refusal teaches some of that. A client that is refused
//! again and again was taught nothing, or is refused for a reason that it can do nothing about. While nobody leads the region there is nothing
//! to be learned, even if followers still name a leader that has stepped down, as one does that finds its own demotion in the log that it took
//! over: how long that may last is the business of L-LEADER.

use proto::metapb::Region;

use super::client::Client;

/// Refusals of one operation. Two are seen; the rest is for splits and transfers that come in between.
const REFUSALS: u32 = 10;

/// Does a refusal with this cause, which names this leader and these regions, say no more than that nobody leads here yet?
pub fn is_for_want_of_a_leader(cause: &str, leader: Option<u64>, regions: &[Region]) -> bool {
    let silent = ["not leader", "region not found", "read index not ready", "connection refused"];
    leader.is_none() && regions.is_empty() && silent.contains(&cause)
}

/// Counts the refusals of the operation that a client is at.
///
/// # Errors
/// That they are too many, and why attempts of this client came to nothing.
pub fn check_refusals(client: &Client) -> Result<(), String> {
    let Some(current) = client.current.as_ref().filter(|current| current.refusals > REFUSALS) else { return Ok(()) };
    Err(format!(
        "client {} is refused for the time {} with {}; causes so far: {:?}",
        client.id, current.refusals, current.operation, client.causes
    ))
}

#[cfg(test)]
mod tests {
    use super::super::client::Current;
    use super::*;
    use crate::history::Operation;
    use crate::rng::SeededRng;

    #[test]
    fn a_client_that_is_refused_again_and_again_is_noticed() {
        let mut client = Client::new(1, SeededRng::stream(1, "client"));
        assert_eq!(check_refusals(&client), Ok(()));
        let operation = Operation::Get { key: "k".into() };
        let after =
            |refusals| Current { id: 0, operation: operation.clone(), call: 0, region: 1, refusals, in_doubt: false };
        client.current = Some(after(REFUSALS));
        assert_eq!(check_refusals(&client), Ok(()));
        client.current = Some(after(REFUSALS + 1));
        client.causes.insert("epoch not match", 11);
        assert!(check_refusals(&client).expect_err("too many").contains("epoch not match"));
    }

    #[test]
    fn to_be_told_that_nobody_leads_does_not_count() {
        assert!(is_for_want_of_a_leader("not leader", None, &[]));
        assert!(!is_for_want_of_a_leader("not leader", Some(2), &[]), "that one is to be asked");
        assert!(!is_for_want_of_a_leader("epoch not match", None, &[Region::default()]));
        assert!(!is_for_want_of_a_leader("key not in region", None, &[]));
    }
}

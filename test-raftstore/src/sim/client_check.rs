//! L-CLIENT: once everything is healed and every region has served, a client gets each operation done within a bounded number of attempts.
//!
//! Nothing is lost any more then. What remains to be learned is who leads and where the regions are, and each refusal teaches some of that; so
//! a client that comes again and again was taught nothing, or is refused for a reason that it can do nothing about.

use super::client::Client;

/// Attempts for one operation. Three are seen; the rest is for an election in its middle, at the pace at which clients come again.
const ATTEMPTS: u32 = 20;

/// Counts the attempts of the operation that a client is at.
///
/// # Errors
/// That they are too many, and why the others came to nothing.
pub fn check_attempts(client: &Client) -> Result<(), String> {
    let Some(current) = client.current.as_ref().filter(|current| current.attempts > ATTEMPTS) else { return Ok(()) };
    Err(format!(
        "client {} makes attempt {} at {}; causes so far: {:?}",
        client.id, current.attempts, current.operation, client.causes
    ))
}

#[cfg(test)]
mod tests {
    use super::super::client::Current;
    use super::*;
    use crate::history::Operation;
    use crate::rng::SeededRng;

    #[test]
    fn a_client_that_comes_again_and_again_is_noticed() {
        let mut client = Client::new(1, SeededRng::stream(1, "client"));
        assert_eq!(check_attempts(&client), Ok(()));
        let operation = Operation::Get { key: "k".into() };
        let after =
            |attempts| Current { id: 0, operation: operation.clone(), call: 0, region: 1, attempts, in_doubt: false };
        client.current = Some(after(ATTEMPTS));
        assert_eq!(check_attempts(&client), Ok(()));
        client.current = Some(after(ATTEMPTS + 1));
        client.causes.insert("epoch not match", 40);
        assert!(check_attempts(&client).expect_err("too many").contains("epoch not match"));
    }
}

//! What comes from outside in a run: faults, wishes of the operator, clients' operations. Each has a name, so that a run can be
//! repeated without some of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One event from outside. Numbers count from 1 in the order of the run, those of operations for each client by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum External {
    /// A fault of the plan.
    Fault(u64),
    /// Something that the operator wants done.
    Wish(u64),
    /// An operation of a client.
    Operation {
        /// Whose.
        client: u64,
        /// Its how many-th.
        number: u64,
    },
}

impl fmt::Display for External {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(number) => write!(formatter, "fault:{number}"),
            Self::Wish(number) => write!(formatter, "wish:{number}"),
            Self::Operation { client, number } => write!(formatter, "operation:{client}.{number}"),
        }
    }
}

impl FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no event from outside: write fault:N, wish:N or operation:CLIENT.N");
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
        match text.split_once(':') {
            Some(("fault", digits)) => Ok(Self::Fault(number(digits)?)),
            Some(("wish", digits)) => Ok(Self::Wish(number(digits)?)),
            Some(("operation", place)) => {
                let (client, digits) = place.split_once('.').ok_or_else(wrong)?;
                Ok(Self::Operation { client: number(client)?, number: number(digits)? })
            }
            _ => Err(wrong()),
        }
    }
}

/// Events from outside, written with commas between them; `none` if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Externals(pub BTreeSet<External>);

impl fmt::Display for Externals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        let names: Vec<String> = self.0.iter().map(External::to_string).collect();
        formatter.write_str(&names.join(","))
    }
}

impl FromStr for Externals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split(',').map(External::from_str).collect::<Result<_, _>>().map(Self)
    }
}

/// Keeps count of what comes from outside, and says what takes place.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    only: Option<BTreeSet<External>>,
    seen: BTreeSet<External>,
}

impl Gate {
    /// Lets through what is in `only`, or everything.
    pub fn new(only: Option<&Externals>) -> Self {
        Self { only: only.map(|externals| externals.0.clone()), seen: BTreeSet::new() }
    }

    /// Whether this event takes place. Called once for each, when its time has come.
    pub fn admits(&mut self, external: External) -> bool {
        let admitted = self.only.as_ref().is_none_or(|only| only.contains(&external));
        if admitted {
            self.seen.insert(external);
        }
        admitted
    }

    /// What took place so far.
    pub fn seen(&self) -> Externals {
        Externals(self.seen.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_back_and_others_are_refused() {
        let text = "fault:3,wish:1,operation:2.17";
        let externals: Externals = text.parse().unwrap();
        assert_eq!(externals.to_string(), text);
        assert_eq!(Externals::default().to_string().parse::<Externals>().unwrap(), Externals::default());
        for wrong in ["fault", "fault:x", "operation:3", "crash:1", "operation:a.1"] {
            assert!(wrong.parse::<Externals>().unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_gate_admits_what_is_listed_and_remembers_it() {
        let only: Externals = "fault:2".parse().unwrap();
        let mut gate = Gate::new(Some(&only));
        assert!(!gate.admits(External::Fault(1)));
        assert!(gate.admits(External::Fault(2)));
        assert_eq!(gate.seen(), only);
        assert!(Gate::new(None).admits(External::Wish(9)));
    }
}

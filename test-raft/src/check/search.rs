//! The search by breadth.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};

use proto::eraftpb::ConfState;
use raft_core::Config;

use super::moves::{Used, in_words, make, moves};
use super::{Bounds, Move};
use crate::campaign::panics;
use crate::group::{Digest, Trace, World};
use crate::invariants::Violation;
use crate::panics::capture;

/// A search that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Different states.
    pub states: usize,
    /// Moves that were tried.
    pub moves: usize,
    /// The longest of the shortest ways to each state.
    pub depth: usize,
    /// True if every state within the bounds was walked; false if the number of states was the end.
    pub complete: bool,
}

/// A shortest way to a broken rule.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The rule.
    pub violation: Violation,
    /// The moves in words, with the states of all nodes after each.
    pub events: Vec<String>,
    /// States that were looked at before.
    pub states: usize,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counterexample { violation, events, states } = self;
        writeln!(f, "FAIL check-raft  {}  after {} moves, {states} states", violation.id, events.len())?;
        writeln!(f, "  {}", violation.message)?;
        events.iter().enumerate().try_for_each(|(number, event)| writeln!(f, "{:>3}. {event}", number + 1))
    }
}

/// A state that is not walked on from yet.
struct Open {
    world: World,
    used: Used,
    place: usize,
    depth: usize,
}

/// How each state was reached: the place of the one before, and the move.
type Ways = Vec<(usize, Option<Move>)>;

fn start(bounds: &Bounds) -> World {
    // One entry a message: there are more orders of events in which only a part of a log has arrived.
    let config = Config { max_size_per_msg: 0, ..Config::default() };
    let configs: Vec<Config> = (1..=bounds.nodes).map(|id| Config { id, ..config.clone() }).collect();
    let conf = ConfState { voters: (1..=bounds.nodes).collect(), ..ConfState::default() };
    World::new(&configs, &conf, bounds.breakage, Trace::default())
}

fn fingerprint(world: &World, used: &Used) -> u64 {
    let mut digest = Digest::default();
    (world.fingerprint(), used).hash(&mut digest);
    digest.finish()
}

fn attempt(world: &mut World, step: &Move) -> Result<bool, Violation> {
    capture(|| make(world, step)).unwrap_or_else(|panic| Err(panics::as_violation(panic)))
}

/// Walks all states within `bounds`.
///
/// # Errors
/// The first rule that breaks, with a shortest list of moves to it.
pub fn check(bounds: &Bounds) -> Result<Summary, Box<Counterexample>> {
    let world = start(bounds);
    let mut ways: Ways = vec![(0, None)];
    let mut seen = HashSet::from([fingerprint(&world, &Used::default())]);
    let mut open = VecDeque::from([Open { world, used: Used::default(), place: 0, depth: 0 }]);
    let (mut tried, mut depth) = (0, 0);
    while let Some(state) = open.pop_front() {
        depth = depth.max(state.depth);
        for (step, used) in moves(&state.world, state.used, bounds) {
            tried += 1;
            let mut world = state.world.clone();
            match attempt(&mut world, &step) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(violation) => {
                    ways.push((state.place, Some(step)));
                    let events = tell(bounds, &ways);
                    return Err(Box::new(Counterexample { violation, events, states: seen.len() }));
                }
            }
            if world.group.wire.len() > bounds.wire || !seen.insert(fingerprint(&world, &used)) {
                continue;
            }
            ways.push((state.place, Some(step)));
            if seen.len() >= bounds.states {
                return Ok(Summary { states: seen.len(), moves: tried, depth, complete: false });
            }
            open.push_back(Open { world, used, place: ways.len() - 1, depth: state.depth + 1 });
        }
    }
    Ok(Summary { states: seen.len(), moves: tried, depth, complete: true })
}

/// Makes the moves to the last place again, and tells them.
fn tell(bounds: &Bounds, ways: &Ways) -> Vec<String> {
    let mut steps = Vec::new();
    let mut place = ways.len() - 1;
    while let (before, Some(step)) = &ways[place] {
        steps.push(step.clone());
        place = *before;
    }
    let mut world = start(bounds);
    let mut events = Vec::new();
    for step in steps.iter().rev() {
        let mut event = in_words(&world, step);
        // The last move is the one that breaks the rule.
        drop(attempt(&mut world, step));
        for member in world.group.members.values() {
            event.push_str(&format!("\n       n{} {}", member.id, member.marks()));
        }
        events.push(event);
    }
    events
}

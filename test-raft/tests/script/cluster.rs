//! The nodes of a scenario and the wire between them.
//!
//! Messages lie on the wire, in the order in which they were sent, until a command delivers them. A message over a cut link, or to a
//! node that is down, is lost when it is sent.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{MemStorage, Result};

use super::node::{Envelope, Event, Node, Show};
use super::notation;
use super::rules::Rules;

/// Which messages a command is about. Everything that is not given fits.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub kind: Option<String>,
    pub count: Option<usize>,
}

impl Filter {
    fn fits(&self, envelope: &Envelope) -> bool {
        self.from.is_none_or(|id| id == envelope.sender)
            && self.to.is_none_or(|id| id == envelope.message.to)
            && self.kind.as_ref().is_none_or(|kind| *kind == notation::kind(&envelope.message))
    }
}

/// The cluster; see the module.
#[derive(Default)]
pub struct Cluster {
    pub nodes: BTreeMap<u64, Node>,
    wire: Vec<Envelope>,
    /// Taken off the wire until `release`.
    held: Vec<Envelope>,
    /// Links that carry nothing, by sender and receiver.
    cut: BTreeSet<(u64, u64)>,
    rules: Rules,
    output: Vec<String>,
}

impl Cluster {
    /// Adds a line that belongs to no node.
    pub fn say(&mut self, text: impl Into<String>) {
        self.output.push(text.into());
    }

    /// How many lines the current command has told so far.
    pub fn lines(&self) -> usize {
        self.output.len()
    }

    /// What has been told since the last call. Fails when a rule of the whole group is broken.
    pub fn take_output(&mut self) -> std::result::Result<String, String> {
        self.rules.check(&self.nodes)?;
        Ok(self.output.drain(..).map(|line| line + "\n").collect())
    }

    /// A message was forged: the group's rules hold among honest nodes only.
    pub fn expect_anything(&mut self) {
        self.rules.suspend();
    }

    /// The node, or an error that names it.
    pub fn node(&mut self, id: u64) -> std::result::Result<&mut Node, String> {
        self.nodes.get_mut(&id).ok_or_else(|| format!("there is no node {id}"))
    }

    /// Lets `act` do something to a node, then does the work that follows from it.
    pub fn with(
        &mut self,
        id: u64,
        act: impl FnOnce(&mut Node, &mut Vec<Event>) -> Result<()>,
    ) -> std::result::Result<(), String> {
        let mut events = Vec::new();
        let node = self.node(id)?;
        if let Err(error) = act(node, &mut events) {
            let again = if error.is_retryable() { " (retryable)" } else { "" };
            node.line(&mut events, &format!("refuses: {error}{again}"));
        }
        node.work(&mut events);
        self.publish(events);
        Ok(())
    }

    /// Writes the events down, and puts the messages among them on the wire.
    pub fn publish(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Line(line) => self.output.push(line),
                Event::Send(envelope) => {
                    let message = &envelope.message;
                    let is_up = self.nodes.get(&message.to).is_some_and(|node| node.raw().is_some());
                    if is_up && !self.cut.contains(&(envelope.sender, message.to)) {
                        self.say_message("→", &envelope);
                        self.wire.push(*envelope);
                    } else {
                        self.say_message("✗", &envelope);
                    }
                }
            }
        }
    }

    fn say_message(&mut self, arrow: &str, envelope: &Envelope) {
        let (sender, term, to) = (envelope.sender, envelope.sender_term, envelope.message.to);
        self.output.push(format!("n{sender}@{term} {arrow} n{to} {}", notation::message(&envelope.message)));
    }

    /// Takes messages off the wire.
    fn take(&mut self, filter: &Filter) -> Vec<Envelope> {
        let mut room = filter.count.unwrap_or(usize::MAX);
        let (taken, left) = std::mem::take(&mut self.wire).into_iter().partition(|envelope| {
            let takes = room > 0 && filter.fits(envelope);
            room -= usize::from(takes);
            takes
        });
        self.wire = left;
        taken
    }

    /// Delivers what is on the wire now, receiver after receiver. Returns how many messages that were.
    pub fn deliver(&mut self, filter: &Filter) -> std::result::Result<usize, String> {
        let taken = self.take(filter);
        let count = taken.len();
        let receivers: BTreeSet<u64> = taken.iter().map(|envelope| envelope.message.to).collect();
        for to in receivers {
            for envelope in taken.iter().filter(|envelope| envelope.message.to == to) {
                let message = envelope.message.clone();
                self.with(to, |node, _| node.raw_mut().map_or(Ok(()), |raw| raw.step(message)))?;
            }
        }
        Ok(count)
    }

    /// Delivers until nothing is left on the wire.
    pub fn stabilize(&mut self) -> std::result::Result<(), String> {
        const ENOUGH: usize = 1000;
        for _ in 0..ENOUGH {
            if self.deliver(&Filter::default())? == 0 {
                return Ok(());
            }
        }
        Err(format!("messages still go back and forth after {ENOUGH} rounds"))
    }

    /// Loses messages that are on the wire.
    pub fn lose(&mut self, filter: &Filter) {
        for envelope in self.take(filter) {
            self.say_message("✗", &envelope);
        }
    }

    /// Puts messages aside until [`Cluster::release`].
    pub fn hold(&mut self, filter: &Filter) {
        let taken = self.take(filter);
        for envelope in &taken {
            self.say_message("⋯", envelope);
        }
        self.held.extend(taken);
    }

    /// Puts what was held back on the wire, behind what is there.
    pub fn release(&mut self) {
        for envelope in std::mem::take(&mut self.held) {
            self.say_message("→", &envelope);
            self.wire.push(envelope);
        }
    }

    /// Puts a second copy of messages on the wire.
    pub fn duplicate(&mut self, filter: &Filter) {
        let copies: Vec<Envelope> = self.wire.iter().filter(|e| filter.fits(e)).cloned().collect();
        for envelope in copies.into_iter().take(filter.count.unwrap_or(usize::MAX)) {
            self.say_message("→", &envelope);
            self.wire.push(envelope);
        }
    }

    /// Cuts the link from one node to another, in this direction only.
    pub fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Cuts `group` off from all other nodes.
    pub fn partition(&mut self, group: &[u64]) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for inside in group {
            for outside in ids.iter().filter(|id| !group.contains(id)) {
                self.cut.extend([(*inside, *outside), (*outside, *inside)]);
            }
        }
    }

    /// Mends all links.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Stops a node. What is on its way to it is lost.
    pub fn crash(&mut self, id: u64, kept: usize) -> std::result::Result<(), String> {
        let lost = self.node(id)?.crash(kept);
        let lost: Vec<String> = lost.iter().map(u64::to_string).collect();
        match lost.len() {
            0 => self.say(format!("n{id} crashes")),
            1 => self.say(format!("n{id} crashes, write {} is lost", lost[0])),
            _ => self.say(format!("n{id} crashes, writes {} are lost", lost.join(" and "))),
        }
        self.lose(&Filter { to: Some(id), ..Filter::default() });
        Ok(())
    }

    /// Starts a node that is down.
    pub fn restart(&mut self, id: u64) -> std::result::Result<(), String> {
        let node = self.node(id)?;
        node.restart().map_err(|error| error.to_string())?;
        let line = super::describe::status(node);
        self.say(line);
        self.with(id, |_, _| Ok(()))
    }

    /// Replaces a node by one that starts on this disk.
    pub fn start_on(&mut self, config: raft_core::Config, store: MemStorage) -> std::result::Result<(), String> {
        let (id, show) = (config.id, self.nodes.get(&config.id).map_or_else(Show::default, |node| node.show));
        let mut node = Node::start(config, store).map_err(|error| error.to_string())?;
        node.show = show;
        self.nodes.insert(id, node);
        Ok(())
    }
}

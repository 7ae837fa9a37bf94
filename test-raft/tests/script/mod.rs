//! The language in which scenarios are written: what each command does, and what it answers.
//!
//! A scenario is a text file of commands with the output that they produce. Each command does what it says and all the work that
//! follows on the same node; messages wait on the wire until a command delivers them. The same file gives the same output always:
//! there is no clock, and the only random numbers, the election timeouts, come from a fixed seed.

mod cluster;
mod command;
mod describe;
mod node;
mod notation;
mod rules;
mod stage;
mod tell;

use std::error::Error;

use cluster::{Cluster, Filter};
use command::{Command, Ids};
use node::{Node, Show};
use raft_core::{MemStorage, RawNode};

/// Runs one scenario.
#[derive(Default)]
pub struct Script {
    cluster: Cluster,
    stage: stage::Stage,
}

type Outcome = Result<(), String>;

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        self.execute(command)?;
        Ok(self.cluster.take_output()?)
    }
}

impl Script {
    fn execute(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Cluster { .. } | Command::Given { .. } => self.stage.set(&mut self.cluster, command),
            Command::Show(what) => self.show(what),
            Command::Deliver { .. }
            | Command::Stabilize
            | Command::Drop { .. }
            | Command::Hold { .. }
            | Command::Release
            | Command::Duplicate { .. }
            | Command::Partition(_)
            | Command::Cut { .. }
            | Command::Heal => self.network(command),
            Command::Forge { .. } => self.stage.forge(&mut self.cluster, command),
            Command::Status(ids) => self.ask(ids.as_ref(), describe::status),
            Command::Log(ids) => self.ask(ids.as_ref(), describe::log),
            Command::State(ids) => self.ask(ids.as_ref(), describe::state),
            Command::Members(ids) => self.ask(ids.as_ref(), describe::members),
            Command::Disk { ids, action, count } => self.disk(ids, action, *count),
            Command::Apply { ids, action, count } => self.apply(ids, action, *count),
            Command::Crash { ids, kept } => self.each(ids, |cluster, id| cluster.crash(id, *kept)),
            Command::Restart(ids) => self.each(ids, |cluster, id| cluster.restart(id)),
            Command::Tick { ids, count, until } => self.tick(ids, *count, until.as_deref()),
            Command::Snapshot(id) => self.snapshot(*id),
            Command::Compact { id, index, snapshot } => self.compact(*id, *index, snapshot.unwrap_or(true)),
            _ => self.order(command),
        }
    }

    /// Orders to one running node.
    fn order(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Campaign(ids) => self.each(ids, |cluster, id| {
                cluster.with(id, |node, _| node.raw_mut().map_or(Ok(()), |raw| raw.campaign()))
            }),
            Command::Propose { id, payloads } => self.raw(*id, |raw| {
                payloads.iter().try_for_each(|payload| raw.propose("".into(), payload.clone().into()).map(|_| ()))
            }),
            Command::Read { id, context, forward } => self.raw(*id, |raw| match forward {
                true => raw.forward_read(context.clone().into()),
                false => raw.read_index(context.clone().into()),
            }),
            Command::Ping(id) => self.raw(*id, |raw| {
                raw.ping();
                Ok(())
            }),
            Command::Priority { id, value } => self.raw(*id, |raw| {
                raw.set_priority(*value);
                Ok(())
            }),
            Command::RequestSnapshot(id) => self.raw(*id, |raw| raw.request_snapshot()),
            Command::Conf { id, changes, transition } => {
                let change = stage::parse_change(changes, transition.as_deref())?;
                self.raw(*id, |raw| raw.propose_conf_change("".into(), change).map(|_| ()))
            }
            Command::Transfer { id, to } => self.raw(*id, |raw| raw.transfer_leader(*to)),
            Command::Report { id, about, what } => {
                check_word(what, &["delivered", "lost", "unreachable"])?;
                self.raw(*id, |raw| {
                    match what.as_str() {
                        "unreachable" => raw.report_unreachable(*about),
                        outcome => raw.report_snapshot(*about, outcome == "delivered"),
                    }
                    Ok(())
                })
            }
            _ => Err("this command is not implemented".to_owned()),
        }
    }

    /// Calls a running node. On one that is down nothing happens.
    fn raw(&mut self, id: u64, call: impl FnOnce(&mut RawNode<MemStorage>) -> raft_core::Result<()>) -> Outcome {
        self.cluster.with(id, |node, _| node.raw_mut().map_or(Ok(()), call))
    }

    fn each(&mut self, ids: &Ids, mut act: impl FnMut(&mut Cluster, u64) -> Outcome) -> Outcome {
        let ids = ids.among(self.cluster.nodes.keys().copied());
        ids.into_iter().try_for_each(|id| act(&mut self.cluster, id))
    }

    fn ask(&mut self, ids: Option<&Ids>, answer: fn(&Node) -> String) -> Outcome {
        self.each(ids.unwrap_or(&Ids::All), |cluster, id| {
            let line = answer(cluster.node(id)?);
            cluster.say(line);
            Ok(())
        })
    }

    fn network(&mut self, command: &Command) -> Outcome {
        let cluster = &mut self.cluster;
        match command {
            Command::Deliver { from, to, kind, count } => {
                cluster.deliver(&filter(*from, *to, kind, *count)).map(|_| ())
            }
            Command::Drop { from, to, kind, count } => {
                cluster.lose(&filter(*from, *to, kind, *count));
                Ok(())
            }
            Command::Hold { from, to, kind, count } => {
                cluster.hold(&filter(*from, *to, kind, *count));
                Ok(())
            }
            Command::Duplicate { from, to, kind, count } => {
                cluster.duplicate(&filter(*from, *to, kind, *count));
                Ok(())
            }
            Command::Release => {
                cluster.release();
                Ok(())
            }
            Command::Partition(ids) => {
                let group = ids.among([]);
                cluster.partition(&group);
                Ok(())
            }
            Command::Cut { from, to } => {
                cluster.cut(*from, *to);
                Ok(())
            }
            Command::Heal => {
                cluster.heal();
                Ok(())
            }
            _ => cluster.stabilize(),
        }
    }

    fn show(&mut self, what: &[String]) -> Outcome {
        let mut show = Show::default();
        for word in what {
            match word.as_str() {
                "disk" => show.disk = true,
                "progress" => show.progress = true,
                "nothing" => show = Show::default(),
                other => return Err(format!("cannot show {other:?}; there are disk, progress and nothing")),
            }
        }
        self.cluster.nodes.values_mut().for_each(|node| node.show = show);
        Ok(())
    }

    fn tick(&mut self, ids: &Ids, count: Option<usize>, until: Option<&str>) -> Outcome {
        const LONGER_THAN_ANY_TIMEOUT: usize = 100;
        until.map_or(Ok(()), |word| check_word(word, &["campaign"]))?;
        let position = |cluster: &mut Cluster, id: u64| -> Result<_, String> {
            Ok(cluster.node(id)?.raw().map(|raw| (raw.raft.term(), raw.raft.role())))
        };
        let default = if until.is_some() { LONGER_THAN_ANY_TIMEOUT } else { 1 };
        for _ in 0..count.unwrap_or(default) {
            let mut changed = false;
            self.each(ids, |cluster, id| {
                let before = position(cluster, id)?;
                cluster.with(id, |node, _| {
                    node.raw_mut().map(|raw| raw.tick());
                    Ok(())
                })?;
                changed |= position(cluster, id)? != before;
                Ok(())
            })?;
            if until.is_some() && changed {
                break;
            }
        }
        Ok(())
    }

    fn disk(&mut self, ids: &Ids, action: &str, count: Option<usize>) -> Outcome {
        check_word(action, &["slow", "write", "fast"])?;
        self.each(ids, |cluster, id| {
            let mut events = Vec::new();
            let node = cluster.node(id)?;
            node.disk_waits = action != "fast" && (action == "slow" || node.disk_waits);
            if action != "slow" {
                node.finish_writes(count.unwrap_or(usize::MAX), &mut events);
            }
            cluster.publish(events);
            Ok(())
        })
    }

    fn apply(&mut self, ids: &Ids, action: &str, count: Option<usize>) -> Outcome {
        check_word(action, &["slow", "run", "fast"])?;
        self.each(ids, |cluster, id| {
            cluster.node(id)?.apply_waits = action != "fast" && (action == "slow" || cluster.node(id)?.apply_waits);
            cluster.with(id, |node, events| {
                if action != "slow" {
                    node.apply(count.unwrap_or(usize::MAX), u64::MAX, events);
                }
                Ok(())
            })
        })
    }

    fn snapshot(&mut self, id: u64) -> Outcome {
        self.cluster.with(id, |node, events| {
            if let Some(made) = node.make_snapshot()? {
                node.line(events, &format!("makes snapshot {}", notation::snapshot(&made)));
            }
            Ok(())
        })
    }

    fn compact(&mut self, id: u64, index: u64, with_snapshot: bool) -> Outcome {
        if with_snapshot {
            self.snapshot(id)?;
        }
        self.cluster.with(id, |node, events| {
            let index = node.compact(index);
            node.line(events, &format!("compacts its log up to {index}"));
            Ok(())
        })
    }
}

fn filter(from: Option<u64>, to: Option<u64>, kind: &Option<String>, count: Option<usize>) -> Filter {
    Filter { from, to, kind: kind.clone(), count }
}

fn check_word(word: &str, known: &[&str]) -> Outcome {
    if known.contains(&word) { Ok(()) } else { Err(format!("{word:?} is none of {}", known.join(", "))) }
}

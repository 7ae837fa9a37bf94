//! Runs a scenario: undisturbed, to number the changes; then with a crash at each of them.

use super::Watch;
use super::point::{Image, Moment, Outage, Point, Strike};
use super::rows::{Mark, Tally};
use super::scenarios::{self, Scenario};
use super::watch::{Disk, Effect};
use crate::cluster::{Cluster, Setup, Summary, run_on};
use crate::faults::FaultMix;
use crate::sim::{Options, Simulation};
use crate::verdict::{Failure, FailureKind};

/// Events of a trace that are kept: a run is short.
const TRACE: usize = 20_000;

/// What came of a run.
struct Run {
    effects: Vec<Effect>,
    recovery: Vec<Effect>,
    outstanding: usize,
    outcome: Result<Summary, Box<Failure>>,
}

fn run(scenario: &Scenario, loose: Option<Mark>, store: u64, strikes: &[Strike]) -> Run {
    let (watch, seed) = (Watch::new(store, strikes.to_vec()).loosened(loose), scenario.seed);
    let setup = Setup { log_limit: scenario.log_limit, ..Setup::new(scenario.stores) };
    let (mut config, mut layout) = setup.config(seed);
    (scenario.settings)(&mut config);
    layout.log_writer = scenario.log_writer;
    let options = Options {
        name: format!("crash-points-{}", scenario.name),
        stores: Some(scenario.stores),
        clients: Some(0),
        faults: Some(FaultMix::NONE),
        config: Some((config, layout)),
        scripted: true,
        trace_capacity: TRACE,
        watch: Some(watch.clone()),
        ..Options::campaign()
    };
    if scenario.from_birth {
        watch.open();
    }
    let cluster = Cluster::on(Box::new(Simulation::new(seed, options)), &setup, seed);
    let outcome = run_on(cluster, |cluster| (scenario.script)(cluster, &watch));
    Run { effects: watch.effects(), recovery: watch.recovery(), outstanding: watch.outstanding(), outcome }
}

/// Every crash at these changes. Between two changes of the folder in one event there is one moment, not two.
fn strikes_of(effects: &[Effect]) -> Vec<Strike> {
    let mut strikes = Vec::new();
    for (at, effect) in effects.iter().enumerate() {
        let number = at + 1;
        let strike = |moment| move |image| Strike { number, moment, image, outage: Outage::default() };
        strikes.extend(Image::all(effect.before).into_iter().map(strike(Moment::Before)));
        let same = |next: &&Effect| next.event == effect.event && [next.disk, effect.disk] == [Disk::Files; 2];
        if effects.get(number).filter(same).is_none() {
            strikes.extend(Image::all(effect.after).into_iter().map(strike(Moment::After)));
        }
    }
    strikes
}

/// Crashes the stores of a scenario at every change, and counts the crashes. The disks of the stores do not sync what is `loose`, to see that
/// this is noticed.
///
/// # Errors
/// The first crash that did not end well.
pub fn explore(scenario: &Scenario, loose: Option<Mark>, tally: &mut Tally) -> Result<(), Box<Failure>> {
    for store in scenario.victims {
        let plain = undisturbed(scenario, loose, *store)?;
        for strike in strikes_of(&plain.effects) {
            for outage in Outage::ALL.into_iter().filter(|outage| scenario.stores > 1 || *outage == Outage::Short) {
                let strike = Strike { outage, ..strike };
                let once = run(scenario, loose, *store, &[strike]);
                judge(scenario, *store, &[strike], &plain, &once)?;
                tally.add(&plain.effects[strike.number - 1], strike.moment);
                // The start is the same after each outage.
                let recovery = if outage == Outage::Short { &once.recovery[..] } else { &[] };
                for second in strikes_of(recovery) {
                    let twice = run(scenario, loose, *store, &[strike, second]);
                    judge(scenario, *store, &[strike, second], &once, &twice)?;
                    tally.add_second(&recovery[second.number - 1], second.moment);
                }
            }
        }
    }
    Ok(())
}

/// The run that numbers the changes.
fn undisturbed(scenario: &Scenario, loose: Option<Mark>, store: u64) -> Result<Run, Box<Failure>> {
    let plain = run(scenario, loose, store, &[]);
    match plain.outcome {
        Ok(_) => Ok(plain),
        Err(failure) => {
            let point = Point { scenario: scenario.name.to_owned(), store, strikes: Vec::new() };
            Err(named(failure, &point, "nobody crashed"))
        }
    }
}

/// Runs one point. Tells where the store crashed; of a point without a crash, the changes at which it could.
///
/// # Errors
/// The crash did not end well, or the store has not come to it.
///
/// # Panics
/// There is no such scenario.
pub fn replay(point: &Point) -> Result<String, Box<Failure>> {
    let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == point.scenario);
    let scenario = scenario.unwrap_or_else(|| panic!("there is no scenario {:?}", point.scenario));
    let (loose, store) = (None, point.store);
    let Some((_, before)) = point.strikes.split_last() else {
        let plain = undisturbed(scenario, loose, store)?;
        let lines = (1..).zip(&plain.effects).map(|(number, effect)| format!("{number:>4}  {}\n", effect.what.name));
        return Ok(lines.collect());
    };
    let without = run(scenario, loose, store, before);
    let struck = run(scenario, loose, store, &point.strikes);
    judge(scenario, store, &point.strikes, &without, &struck)?;
    Ok(format!("{}\nit ended well", describe(point, &struck)))
}

/// Fails unless the run went up to its last crash as the one without that crash did, crashed, and ended well.
fn judge(scenario: &Scenario, store: u64, strikes: &[Strike], without: &Run, struck: &Run) -> Result<(), Box<Failure>> {
    let point = Point { scenario: scenario.name.to_owned(), store, strikes: strikes.to_vec() };
    let (planned, came) = match strikes.len() {
        1 => (&without.effects, &struck.effects),
        _ => (&without.recovery, &struck.recovery),
    };
    let same = came.iter().zip(planned).all(|(came, planned)| came.what == planned.what);
    let wrong = match &struck.outcome {
        Err(failure) => return Err(named(failure.clone(), &point, &describe(&point, struck))),
        Ok(_) if struck.outstanding > 0 => "the store has not come to the change at which it was to crash",
        Ok(_) if !same => "up to the crash this was not the run whose changes were numbered",
        Ok(_) => return Ok(()),
    };
    let failure = Failure {
        kind: FailureKind::Contract,
        id: "REPLAY",
        name: String::new(),
        seed: scenario.seed,
        step: 0,
        details: wrong.into(),
        trace: None,
        replay: "".into(),
    };
    Err(named(Box::new(failure), &point, &describe(&point, struck)))
}

/// The verdict with what led to it, and the command that shows it again.
fn named(mut failure: Box<Failure>, point: &Point, what: &str) -> Box<Failure> {
    failure.name = format!("crash-points {}", point.scenario);
    failure.details = format!("{what}\n{}", failure.details).into();
    failure.replay = format!("make crash-points AT={point}").into();
    failure
}

/// Which store crashed where, and what that left.
fn describe(point: &Point, run: &Run) -> String {
    let lists = [&run.effects, &run.recovery];
    let lines =
        point.strikes.iter().zip(lists).zip(["", "while it started again, "]).map(|((strike, effects), when)| {
            let what =
                effects.get(strike.number - 1).map_or("a change that it did not come to", |effect| &effect.what.name);
            let (moment, number) = (strike.moment.name(), strike.number);
            let (image, outage) = (strike.image, strike.outage);
            format!("store {} crashed {when}{moment} change {number}: {what}\n  {image}; {outage}", point.store)
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::rows::Row;
    use super::*;

    #[test]
    fn an_adopted_split_comes_to_a_peer_that_has_a_term() {
        let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == "adopted-split").unwrap();
        let effects = run(scenario, None, scenario.victims[0], &[]).effects;
        let split = effects.iter().position(|effect| effect.what.marks.contains(&Mark::only(Row::Split))).unwrap();
        let names: Vec<&str> = effects.iter().map(|effect| effect.what.name.as_str()).collect();
        let first = |id: &u64| names[split].contains(&format!("apply state of region {id} (applied 5, truncated 5)"));
        let new = (1..100).find(first).unwrap();
        let promised = format!("raft state of region {new} (");
        assert!(names[..split].iter().any(|name| name.contains(&promised)), "{names:#?}");
    }
}

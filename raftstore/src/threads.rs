//! The production driver: a thread for each stage, and one that ticks.
//!
//! Every thread waits on a channel and does nothing until something arrives. The first fatal error of any stage, be it a panic, is
//! reported once; the other threads run on as far as they can, until the store is stopped.
//!
//! A poller that waits can be borrowed: a thread that brings a message to a peer at rest lets it work at once, which saves waking the
//! poller's own thread ([`Shortcut`]). So a poller belongs to whoever holds its lock, still one thread at a time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use slog::{Logger, crit};
use storage::Engine;

use crate::{
    apply::ApplyWorker,
    batch::{Ready, Router, Shortcut},
    env::Transport,
    error::{Error, Result},
    log_writer::LogWriter,
    poller::{RaftPoller, Round},
    store::StoreParts,
    worker::Worker,
};

/// A store whose stages run on threads.
pub struct RunningStore<E: Engine> {
    router: Router<E>,
    pollers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    stop_ticks: Sender<()>,
    fatal: Receiver<Error>,
}

/// Starts the threads of a store. A tick takes `tick_interval`.
///
/// # Errors
/// [`Error::Thread`] if the operating system gives no more threads.
pub fn start<E: Engine, T: Transport>(
    parts: StoreParts<E, T>,
    tick_interval: Duration,
    logger: &Logger,
) -> Result<RunningStore<E>> {
    let (report, fatal) = bounded(1);
    let (stop_ticks, stopped) = bounded(0);
    let mut others = Vec::new();
    let mut pollers = Vec::new();
    let watch = Watch { report, logger: logger.clone() };
    for (i, worker) in parts.apply_workers.into_iter().enumerate() {
        others.push(watch.spawn(format!("apply-{i}"), "apply", || run_apply(worker))?);
    }
    for (i, worker) in parts.workers.into_iter().enumerate() {
        let work = || {
            give_way();
            run_worker(worker)
        };
        others.push(watch.spawn(format!("worker-{i}"), "background", work)?);
    }
    let lendable = parts.log_writer.is_some();
    if let Some(writer) = parts.log_writer {
        others.push(watch.spawn("log-writer".to_owned(), "log writer", || run_log_writer(writer))?);
    }
    let desks: Vec<_> = parts.pollers.into_iter().map(|poller| Arc::new(Desk::new(poller))).collect();
    for (i, desk) in desks.iter().cloned().enumerate() {
        pollers.push(watch.spawn(format!("raft-{i}"), "raft", move || desk.run())?);
    }
    // A poller that writes for itself is not lent: the borrower would wait for the disk.
    if lendable {
        parts.router.set_shortcut(Box::new(Borrow { desks, watch: watch.clone() }));
    }
    let router = parts.router.clone();
    others.push(watch.spawn("raft-tick".to_owned(), "tick", move || run_ticks(&router, tick_interval, &stopped))?);
    Ok(RunningStore { router: parts.router, pollers, others, stop_ticks, fatal })
}

/// How far background work steps back. Beside one thread that works for clients it still gets a tenth of a processor, so that it
/// goes on whatever the load.
const NICENESS: i32 = 10;

/// From now on the calling thread gives way to others that have work: what it does can wait, clients cannot. Without effect where
/// threads have no niceness of their own (other systems than Linux).
pub fn give_way() {
    #[cfg(target_os = "linux")]
    // A thread may always step back; if this one may not, it works as before.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Sees to it that no stage ends unnoticed.
#[derive(Clone)]
struct Watch {
    report: Sender<Error>,
    logger: Logger,
}

impl Watch {
    fn spawn(
        &self,
        name: String,
        stage: &'static str,
        run: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let watch = self.clone();
        let watched = move || {
            watch.watch(stage, run);
        };
        thread::Builder::new().name(name).spawn(watched).map_err(|e| Error::Thread(e.to_string()))
    }

    /// Runs a stage, or a piece of one. `None` if it has failed; that is reported then.
    fn watch<R>(&self, stage: &'static str, run: impl FnOnce() -> Result<R>) -> Option<R> {
        // Nothing of the stage is used after a panic, so it need not be left whole.
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Error::Panicked { stage }));
        outcome
            .inspect_err(|error| {
                crit!(self.logger, "a stage of the store has failed"; "stage" => stage, "error" => %error);
            })
            .map_err(|error| self.report.try_send(error)) // only the first one counts
            .ok()
    }
}

/// Where a poller sits while it has nothing to do. Empty once it has stopped or failed.
struct Desk<E: Engine, T: Transport> {
    seat: Mutex<Option<RaftPoller<E, T>>>,
    ready: Receiver<Ready<E>>,
}

impl<E: Engine, T: Transport> Desk<E, T> {
    fn new(poller: RaftPoller<E, T>) -> Self {
        Desk { ready: poller.ready().clone(), seat: Mutex::new(Some(poller)) }
    }

    /// The poller's own thread: works off the ready queue until it is asked to stop.
    fn run(&self) -> Result<()> {
        while let Ok(first) = self.ready.recv() {
            let Ok(mut seat) = self.seat.lock() else { break };
            let Some(mut poller) = seat.take() else { break };
            if poller.round_from(first, usize::MAX)? == Round::Stop {
                break;
            }
            *seat = Some(poller);
        }
        Ok(())
    }
}

/// The shortcut: borrows a poller that waits.
struct Borrow<E: Engine, T: Transport> {
    desks: Vec<Arc<Desk<E, T>>>,
    watch: Watch,
}

impl<E: Engine, T: Transport> Shortcut<E> for Borrow<E, T> {
    fn handle(&self, ready: Ready<E>) -> Option<Ready<E>> {
        for desk in &self.desks {
            // Taken: the poller is at work; perhaps it is this very call that it works on.
            let Ok(mut seat) = desk.seat.try_lock() else { continue };
            // What has gathered is handled together, by the poller's own thread.
            if !desk.ready.is_empty() {
                return Some(ready);
            }
            let Some(mut poller) = seat.take() else { continue };
            *seat = self.watch.watch("raft", || {
                poller.round_from(ready, 1)?;
                Ok(poller)
            });
            return None;
        }
        Some(ready)
    }
}

fn run_log_writer<E: Engine, T: Transport>(mut writer: LogWriter<E, T>) -> Result<()> {
    let tasks = writer.tasks().clone();
    while let Ok(first) = tasks.recv() {
        writer.round_from(first)?;
    }
    Ok(())
}

fn run_apply<E: Engine>(mut worker: ApplyWorker<E>) -> Result<()> {
    let tasks = worker.tasks().clone();
    while let Ok(first) = tasks.recv() {
        worker.round_from(first)?;
    }
    Ok(())
}

fn run_worker<E: Engine>(mut worker: Worker<E>) -> Result<()> {
    let tasks = worker.tasks().clone();
    while let Ok(first) = tasks.recv() {
        worker.round_from(first)?;
    }
    Ok(())
}

fn run_ticks<E: Engine>(router: &Router<E>, interval: Duration, stopped: &Receiver<()>) -> Result<()> {
    let ticks = tick(interval);
    loop {
        select! {
            recv(ticks) -> _ => router.tick(),
            recv(stopped) -> _ => return Ok(()),
        }
    }
}

impl<E: Engine> RunningStore<E> {
    /// Way to the peers.
    pub fn router(&self) -> &Router<E> {
        &self.router
    }

    /// Gets the first fatal error. The store has to be stopped then.
    pub fn fatal(&self) -> &Receiver<Error> {
        &self.fatal
    }

    /// Stops the threads: the pollers first; the log writer and the apply workers finish what they were given. Clients whose
    /// commands are still under way see their callbacks dropped.
    pub fn stop(self) {
        drop(self.stop_ticks);
        self.router.stop(self.pollers.len());
        for thread in self.pollers.into_iter().chain(self.others) {
            // A thread that panicked has printed why.
            let _ = thread.join();
        }
        self.router.clear();
    }
}

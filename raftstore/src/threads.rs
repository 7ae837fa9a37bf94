//! The production driver: a thread for each stage, and one that ticks.
//!
//! Every thread waits on a channel and does nothing until something arrives. The first fatal error of any stage is reported once;
//! the threads then run on as far as they can, until the store is stopped.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use slog::{Logger, crit};
use storage::Engine;

use crate::{
    apply::ApplyWorker,
    batch::Router,
    env::Transport,
    error::{Error, Result},
    log_writer::LogWriter,
    poller::{RaftPoller, Round},
    store::StoreParts,
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
    let fatal_to = |name: &'static str| {
        let (report, logger) = (report.clone(), logger.clone());
        move |outcome: Result<()>| {
            if let Err(error) = outcome {
                crit!(logger, "a stage of the store has failed"; "stage" => name, "error" => %error);
                let _ = report.try_send(error); // only the first one counts
            }
        }
    };
    for (i, worker) in parts.apply_workers.into_iter().enumerate() {
        let done = fatal_to("apply");
        others.push(spawn(format!("apply-{i}"), move || done(run_apply(worker)))?);
    }
    if let Some(writer) = parts.log_writer {
        let done = fatal_to("log writer");
        others.push(spawn("log-writer".to_owned(), move || done(run_log_writer(writer)))?);
    }
    for (i, poller) in parts.pollers.into_iter().enumerate() {
        let done = fatal_to("raft");
        pollers.push(spawn(format!("raft-{i}"), move || done(run_poller(poller)))?);
    }
    let router = parts.router.clone();
    others.push(spawn("raft-tick".to_owned(), move || run_ticks(&router, tick_interval, &stopped))?);
    Ok(RunningStore { router: parts.router, pollers, others, stop_ticks, fatal })
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new().name(name).spawn(run).map_err(|e| Error::Thread(e.to_string()))
}

fn run_poller<E: Engine, T: Transport>(mut poller: RaftPoller<E, T>) -> Result<()> {
    let ready = poller.ready().clone();
    while let Ok(first) = ready.recv() {
        if poller.round_from(first, usize::MAX)? == Round::Stop {
            break;
        }
    }
    Ok(())
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

fn run_ticks<E: Engine>(router: &Router<E>, interval: Duration, stopped: &Receiver<()>) {
    let ticks = tick(interval);
    loop {
        select! {
            recv(ticks) -> _ => router.tick(),
            recv(stopped) -> _ => return,
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

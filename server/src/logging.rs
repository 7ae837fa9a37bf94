//! Building the process logger. It is made once in `main` and handed down; there is no global logger.
//!
//! Lines are formatted on a thread of their own (slog-async) behind a bounded queue. When the queue is full, lines are
//! dropped and counted rather than slowing a request down; the count is logged.

use std::fs::OpenOptions;
use std::path::Path;

use slog::{Drain, Level, Logger, o};

use crate::{Error, Result};

/// Lines that may wait for the log thread.
const QUEUE: usize = 4096;

/// Stops the log thread and writes what is waiting when it is dropped.
pub struct LogGuard {
    _guard: slog_async::AsyncGuard,
}

/// Reads a level by its name; `warn` and `crit` are accepted for the long forms.
pub fn parse_level(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "trace" => Some(Level::Trace),
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warning" | "warn" => Some(Level::Warning),
        "error" => Some(Level::Error),
        "critical" | "crit" => Some(Level::Critical),
        _ => None,
    }
}

/// A logger at `level`, appending to `file`, or to standard error if `file` is empty.
///
/// # Errors
/// [`Error::Config`] for an unknown level, [`Error::Io`] if the file cannot be opened.
pub fn build(level: &str, file: &Path) -> Result<(Logger, LogGuard)> {
    let threshold = parse_level(level).ok_or_else(|| Error::Config(format!("log.level: `{level}` is not a level")))?;
    let (asynchronous, guard) = if file.as_os_str().is_empty() {
        let decorator = slog_term::TermDecorator::new().stderr().build();
        spawn(slog_term::FullFormat::new(decorator).use_utc_timestamp().use_original_order().build().fuse(), threshold)
    } else {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(Error::io("create the log folder", folder))?;
        }
        let output =
            OpenOptions::new().create(true).append(true).open(file).map_err(Error::io("open the log file", file))?;
        let decorator = slog_term::PlainDecorator::new(output);
        spawn(slog_term::FullFormat::new(decorator).use_utc_timestamp().use_original_order().build().fuse(), threshold)
    };
    Ok((Logger::root(asynchronous.fuse(), o!()), LogGuard { _guard: guard }))
}

fn spawn<D>(drain: D, threshold: Level) -> (slog::LevelFilter<slog::Fuse<slog_async::Async>>, slog_async::AsyncGuard)
where
    D: Drain<Ok = (), Err = slog::Never> + Send + 'static,
{
    let (asynchronous, guard) =
        slog_async::Async::new(drain).chan_size(QUEUE).thread_name("log".to_owned()).build_with_guard();
    // The filter stands before the queue: a line below the level costs one comparison.
    (slog::LevelFilter::new(asynchronous.fuse(), threshold), guard)
}

//! The process's logger: to standard error or a file, from a level on, written by a thread of its own.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use slog::{Drain, Level, LevelFilter, Logger, o};
use slog_async::Async;
use slog_term::{Decorator, FullFormat, PlainSyncDecorator, TermDecorator, timestamp_utc};

use super::error::{Error, Result};

/// Records that wait for the disk or the terminal; past them records are dropped and counted in the log.
const QUEUE: usize = 4096;

/// A logger that appends to `file`, or writes to standard error if that is empty. What was logged is written when the last clone of
/// the logger is dropped.
pub fn logger(level: Level, file: &Path) -> Result<Logger> {
    if file.as_os_str().is_empty() {
        return Ok(with_decorator(level, TermDecorator::new().stderr().build()));
    }
    let open = || -> io::Result<_> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).open(file)
    };
    let output = open().map_err(|source| Error::LogFile { path: file.to_owned(), source })?;
    Ok(with_decorator(level, PlainSyncDecorator::new(output)))
}

fn with_decorator(level: Level, decorator: impl Decorator + Send + 'static) -> Logger {
    let format = FullFormat::new(decorator).use_custom_timestamp(timestamp_utc).build();
    let drain = Async::new(format.ignore_res()).chan_size(QUEUE).thread_name("log".into()).build();
    Logger::root(LevelFilter::new(drain, level).ignore_res(), o!())
}

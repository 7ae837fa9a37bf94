//! `tinykv-scheduler`: the scheduler as a process.
//!
//! Exit codes: 0 after an orderly stop (SIGTERM, SIGINT), 1 with one line on standard error when it cannot start or go on, 2 for
//! wrong flags.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use scheduler::shell::clock::SystemClock;
use scheduler::shell::config::{Config, Flags};
use scheduler::shell::data_dir::DataDir;
use scheduler::shell::{Error, Identity, Result, ServeOptions, bind, logging, serve};
use scheduler::state::Options;
use slog::{Logger, info};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tinykv-scheduler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    let config = Config::load(flags)?;
    if flags.print_config {
        print!("{}", config.to_toml()?);
        return Ok(());
    }
    let logger = logging::logger(config.log_level()?, &config.log.file)?;
    // The runtime is dropped before the logger, so that what its tasks log last is written too.
    let runtime = Runtime::new()?;
    let result = runtime.block_on(start(config, logger.clone()));
    drop(runtime);
    if result.is_ok() {
        info!(logger, "stopped");
    }
    result
}

async fn start(config: Config, logger: Logger) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The port first: a second scheduler on the same port must not touch any data.
    let listener = bind(&config.addr).await?;
    let advertise_addr = match config.advertise_addr.as_str() {
        "" => listener.local_addr()?.to_string(),
        given => given.to_owned(),
    };
    let mut data_dir = DataDir::open(&config.data_dir)?;
    info!(logger, "data folder open"; "path" => %config.data_dir.display(), "new" => data_dir.is_new());
    let options = ServeOptions {
        identity: Identity { name: config.name, advertise_addr },
        state: Options {
            new_cluster_id: data_dir.is_new().then(|| rand::random_range(1..=u64::MAX)),
            max_peer_count: config.max_replicas,
        },
        clock: Arc::new(SystemClock),
    };
    let path = config.data_dir;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let engine = data_dir.engine.clone();
    serve(engine, options, listener, logger, |cluster_id| data_dir.confirm(cluster_id), shutdown).await.map_err(
        |error| match error {
            Error::State(error @ scheduler::state::Error::ForeignData { .. }) => {
                Error::DataDir { path, reason: error.to_string() }
            }
            error => error,
        },
    )
}

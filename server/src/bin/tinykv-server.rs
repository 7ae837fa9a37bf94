//! `tinykv-server`: one store.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use server::config::Config;
use server::node;
use server::{Error, Result, logging};
use slog::{Logger, info};
use tokio::signal::unix::{SignalKind, signal};

/// A store of a tinykv cluster, or a whole database of one node with --standalone.
///
/// Settings come from the file given with --config, then from the flags below; --print-config shows the result.
#[derive(Parser, Debug)]
#[command(name = "tinykv-server", version)]
struct Flags {
    /// TOML file with settings; unknown fields are refused.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on for clients and other stores.
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// Address that others use to reach this store, if it is not the one it listens on.
    #[arg(long, value_name = "HOST:PORT")]
    advertise_addr: Option<String>,
    /// Address of the status port; empty switches it off.
    #[arg(long, value_name = "HOST:PORT")]
    status_addr: Option<String>,
    /// Address of the scheduler; several are separated by commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    scheduler: Vec<String>,
    /// Folder of the data; created if it is missing.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File that log lines are appended to, instead of standard error.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// trace, debug, info, warning, error or critical.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Run alone, without a scheduler and without replication.
    #[arg(long)]
    standalone: bool,
    /// Print the settings that would be used, as TOML, and exit.
    #[arg(long)]
    print_config: bool,
}

impl Flags {
    fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::default(),
        };
        let put = |flag: &Option<String>, field: &mut String| {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        };
        put(&self.addr, &mut config.server.addr);
        put(&self.advertise_addr, &mut config.server.advertise_addr);
        put(&self.status_addr, &mut config.server.status_addr);
        put(&self.log_level, &mut config.log.level);
        if !self.scheduler.is_empty() {
            config.scheduler.endpoints.clone_from(&self.scheduler);
        }
        if let Some(dir) = &self.data_dir {
            config.storage.data_dir.clone_from(dir);
        }
        if let Some(file) = &self.log_file {
            config.log.file.clone_from(file);
        }
        config.validate()?;
        Ok(config)
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match start(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ Error::Config(_)) => {
            eprintln!("tinykv-server: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("tinykv-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags) -> Result<()> {
    let config = flags.config()?;
    if flags.print_config {
        print!("{}", config.to_toml());
        return Ok(());
    }
    // The guard lives until the very end: dropping it writes the last lines out.
    let (log, _guard) = logging::build(&config.log.level, &config.log.file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.grpc_threads)
        .thread_name("grpc")
        .enable_all()
        .build()
        .map_err(|e| Error::Serve { server: "async runtime", reason: e.to_string() })?;
    let result = runtime.block_on(run(&config, flags.standalone, &log));
    runtime.shutdown_background();
    match &result {
        Ok(()) => info!(log, "stopped"),
        Err(error) => slog::crit!(log, "stopped by an error"; "error" => %error),
    }
    result
}

async fn run(config: &Config, standalone: bool, log: &Logger) -> Result<()> {
    // Taken before the start, so that a signal during it is not lost.
    let (mut term, mut int) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    info!(log, "starting"; "version" => env!("CARGO_PKG_VERSION"), "data_dir" => %config.storage.data_dir.display());
    let signalled = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    tokio::pin!(signalled);
    let open = async {
        if standalone { node::open_standalone(config, log).await } else { node::open_replicated(config, log).await }
    };
    let node = tokio::select! {
        node = open => node?,
        // Waiting for a scheduler or for other stores; nothing runs yet that would have to be stopped in order.
        () = &mut signalled => return Ok(()),
    };
    node.run_until(signalled).await
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|e| Error::Serve { server: "signal", reason: e.to_string() })
}

//! `tinykv-ctl`: looks at a cluster and touches single keys, from a terminal.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser, Subcommand};
use server::ctl::{self, Ctl, Order, SplitAt, StoppedStore};

/// Looks at a tinykv cluster and reads and writes single keys.
///
/// Keys and values are plain text; bytes that are not printable are written \xNN.
#[derive(Parser, Debug)]
#[command(name = "tinykv-ctl", version)]
struct Flags {
    /// Address of the scheduler; several are separated by commas.
    #[arg(long, global = true, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:2379")]
    scheduler: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Reads and writes keys of the raw API.
    #[command(subcommand)]
    Raw(Raw),
    /// Stores of the cluster.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Regions of the cluster.
    #[command(subcommand)]
    Region(RegionCommand),
    /// The Raft state and log in the data folder of a stopped store.
    #[command(subcommand)]
    Raft(RaftCommand),
    /// One page about the whole cluster.
    Status,
}

#[derive(Subcommand, Debug)]
enum RaftCommand {
    /// One line for each region: term, vote, how far the log is compacted, applied, committed and written, and the peers.
    State {
        /// The data folder, such as .cluster/store-1.
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// This region alone.
        #[arg(long)]
        region: Option<u64>,
    },
    /// The entries of a region's log.
    Log {
        /// The data folder, such as .cluster/store-1.
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// Whose log.
        #[arg(long)]
        region: u64,
        /// First index.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Most entries to print.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

#[derive(Subcommand, Debug)]
enum Raw {
    /// Prints the value of a key; exit code 1 if there is none.
    Get { key: String },
    /// Sets a key.
    Put {
        key: String,
        value: String,
        /// Seconds until it expires; 0 = never.
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
    /// Removes a key.
    Delete { key: String },
    /// Prints keys and values in order.
    Scan {
        /// First key.
        #[arg(default_value = "")]
        start: String,
        /// End, exclusive; empty = to the last key.
        #[arg(default_value = "")]
        end: String,
        /// Most pairs to print.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Print the keys alone.
        #[arg(long)]
        keys_only: bool,
    },
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// One line for each.
    List,
}

#[derive(Subcommand, Debug)]
enum RegionCommand {
    /// One line for each.
    List,
    /// All that is known of one.
    Show { id: u64 },
    /// Splits the region of KEY, so that KEY and what comes after it are in a region of their own.
    #[command(group = ArgGroup::new("where").required(true))]
    Split {
        /// A key of the raw API. Keys that share their first eight bytes stay together.
        #[arg(group = "where")]
        key: Option<String>,
        /// KEY is one of the transactional API.
        #[arg(long, requires = "key")]
        txn: bool,
        /// Cuts this region where half of its bytes are on either side.
        #[arg(long, group = "where", value_name = "ID")]
        middle_of: Option<u64>,
    },
    /// Has the peer on STORE lead the region.
    TransferLeader { region: u64, store: u64 },
    /// Gives the region a peer on STORE. It gets the data first, and votes then.
    AddPeer {
        region: u64,
        store: u64,
        /// It gets the data and no vote.
        #[arg(long)]
        learner: bool,
    },
    /// Removes the region's peer on STORE, with its data there. If it leads, another one leads first.
    RemovePeer { region: u64, store: u64 },
    /// Has a peer on store TO take the place of that on store FROM.
    MovePeer { region: u64, from: u64, to: u64 },
    /// What was ordered last for the region, and how that stands.
    Operator { region: u64 },
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("tinykv-ctl: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(flags)) {
        Ok(Some(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tinykv-ctl: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The text to print; `None` = nothing was found.
async fn run(flags: Flags) -> ctl::Result<Option<String>> {
    let connect = || Ctl::connect(flags.scheduler);
    match flags.command {
        Command::Raw(command) => raw(&connect().await?, command).await,
        Command::Store(StoreCommand::List) => connect().await?.stores().await.map(Some),
        Command::Region(command) => region(&connect().await?, command).await.map(Some),
        Command::Status => connect().await?.status().await.map(Some),
        Command::Raft(RaftCommand::State { data, region }) => Ok(Some(StoppedStore::open(&data)?.states(region)?)),
        Command::Raft(RaftCommand::Log { data, region, from, limit }) => {
            Ok(Some(StoppedStore::open(&data)?.log(region, from, limit)?))
        }
    }
}

async fn raw(ctl: &Ctl, command: Raw) -> ctl::Result<Option<String>> {
    let bytes = |text: &str| ctl::unescape(text);
    Ok(match command {
        Raw::Get { key } => ctl.get(bytes(&key)?).await?.map(|value| ctl::escape(&value) + "\n"),
        Raw::Put { key, value, ttl } => {
            ctl.put(bytes(&key)?, bytes(&value)?, ttl).await?;
            Some("ok\n".to_owned())
        }
        Raw::Delete { key } => {
            ctl.delete(bytes(&key)?).await?;
            Some("ok\n".to_owned())
        }
        Raw::Scan { start, end, limit, keys_only } => {
            let pairs = ctl.scan(bytes(&start)?, bytes(&end)?, limit, keys_only).await?;
            Some(ctl::print_pairs(&pairs, keys_only))
        }
    })
}

async fn region(ctl: &Ctl, command: RegionCommand) -> ctl::Result<String> {
    match command {
        RegionCommand::List => ctl.regions().await,
        RegionCommand::Show { id } => ctl.region(id).await,
        RegionCommand::Split { key, txn, middle_of } => {
            let at = match (key, middle_of) {
                (Some(key), _) if txn => SplitAt::Transactional(ctl::unescape(&key)?),
                (Some(key), _) => SplitAt::Raw(ctl::unescape(&key)?),
                (None, id) => SplitAt::Middle(id.unwrap_or_default()),
            };
            ctl.split(at).await
        }
        RegionCommand::TransferLeader { region, store } => ctl.order(region, Order::TransferLeader { store }).await,
        RegionCommand::AddPeer { region, store, learner } => ctl.order(region, Order::AddPeer { store, learner }).await,
        RegionCommand::RemovePeer { region, store } => ctl.order(region, Order::RemovePeer { store }).await,
        RegionCommand::MovePeer { region, from, to } => ctl.order(region, Order::MovePeer { from, to }).await,
        RegionCommand::Operator { region } => ctl.operator(region).await,
    }
}

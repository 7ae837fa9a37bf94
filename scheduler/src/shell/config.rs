//! Configuration: defaults, then a TOML file, then flags. Unknown fields are refused, values checked before anything is opened.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// Most replicas of a region that make sense.
const MAX_REPLICAS: u32 = 9;

/// The settings of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// A name for this scheduler.
    pub name: String,
    /// `host:port` to listen on.
    pub addr: String,
    /// `host:port` at which clients and stores reach it; empty = the same as `addr`.
    pub advertise_addr: String,
    /// Folder of the scheduler's state.
    pub data_dir: PathBuf,
    /// Replicas of a region, until a client changes it.
    pub max_replicas: u32,
    /// Where the log goes.
    pub log: LogConfig,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogConfig {
    /// critical, error, warning, info, debug or trace.
    pub level: String,
    /// A file to append to; empty = standard error.
    pub file: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "scheduler-1".into(),
            addr: "127.0.0.1:2379".into(),
            advertise_addr: String::new(),
            data_dir: "data/scheduler".into(),
            max_replicas: 3,
            log: LogConfig::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), file: PathBuf::new() }
    }
}

/// The scheduler (placement driver) of a tinykv-rs cluster.
#[derive(Debug, Default, Parser)]
#[command(name = "tinykv-scheduler", version)]
pub struct Flags {
    /// TOML file with settings; flags win over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this scheduler.
    #[arg(long)]
    pub name: Option<String>,
    /// Address to listen on [default: 127.0.0.1:2379].
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: Option<String>,
    /// Address at which clients and stores reach it [default: the one it listens on].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_addr: Option<String>,
    /// Folder for its state; created if missing [default: data/scheduler].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Replicas of a region [default: 3].
    #[arg(long, value_name = "N")]
    pub max_replicas: Option<u32>,
    /// Log to this file instead of standard error.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// critical, error, warning, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Print the settings as TOML and exit.
    #[arg(long)]
    pub print_config: bool,
}

impl Config {
    /// The settings that these flags, and the file they name, lead to.
    pub fn load(flags: &Flags) -> Result<Self> {
        let mut config = match &flags.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Error::Config(format!("cannot read {}: {error}", path.display())))?;
                Self::parse(&text).map_err(|error| Error::Config(format!("{}: {error}", path.display())))?
            }
            None => Self::default(),
        };
        config.override_with(flags);
        config.validate()?;
        Ok(config)
    }

    fn parse(text: &str) -> std::result::Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    fn override_with(&mut self, flags: &Flags) {
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        }
        set(&mut self.name, &flags.name);
        set(&mut self.addr, &flags.addr);
        set(&mut self.advertise_addr, &flags.advertise_addr);
        set(&mut self.data_dir, &flags.data_dir);
        set(&mut self.max_replicas, &flags.max_replicas);
        set(&mut self.log.file, &flags.log_file);
        set(&mut self.log.level, &flags.log_level);
    }

    fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Config(reason));
        if self.name.is_empty() {
            return refuse("name must not be empty".into());
        }
        if self.data_dir.as_os_str().is_empty() {
            return refuse("data-dir must not be empty".into());
        }
        let Some((host, _)) = host_and_port(&self.addr) else {
            return refuse(format!("addr {:?} is not host:port", self.addr));
        };
        if self.advertise_addr.is_empty() {
            if matches!(host, "0.0.0.0" | "[::]") {
                let reason = "clients cannot dial it: give advertise-addr, an address at which they reach this machine";
                return refuse(format!("addr {}: {reason}", self.addr));
            }
        } else if !matches!(host_and_port(&self.advertise_addr), Some((_, 1..))) {
            return refuse(format!("advertise-addr {:?} is not host:port", self.advertise_addr));
        }
        if !(1..=MAX_REPLICAS).contains(&self.max_replicas) {
            return refuse(format!("max-replicas is {}, allowed are 1 to {MAX_REPLICAS}", self.max_replicas));
        }
        self.log_level().map(drop)
    }

    /// The log's level.
    pub fn log_level(&self) -> Result<slog::Level> {
        let levels = "critical, error, warning, info, debug, trace";
        slog::Level::from_str(&self.log.level)
            .map_err(|()| Error::Config(format!("log level {:?} is none of {levels}", self.log.level)))
    }

    /// The settings as a file that [`Config::load`] reads.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Config(error.to_string()))
    }
}

fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    if host.is_empty() || host.contains(['/', ' ']) { None } else { Some((host, port.parse().ok()?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_settings_can_be_read_again() {
        let config = Config { max_replicas: 5, ..Config::default() };
        assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_refused_by_name() {
        let unknown = Config::parse("max-replica = 3").unwrap_err();
        assert!(unknown.to_string().contains("max-replica"), "{unknown}");
        assert!(Config::parse("[log]\ncolour = true").is_err());
        assert!(Config::parse("max-replicas = \"three\"").is_err());
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scheduler.toml");
        std::fs::write(&file, "addr = \"127.0.0.1:1000\"\nmax-replicas = 5\n").unwrap();
        let flags = Flags { config: Some(file), addr: Some("127.0.0.1:2000".into()), ..Flags::default() };
        let config = Config::load(&flags).unwrap();
        assert_eq!((config.addr.as_str(), config.max_replicas), ("127.0.0.1:2000", 5));
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_field_and_the_value() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|config| config.max_replicas = 0).contains("max-replicas is 0"));
        assert!(refused(|config| config.addr = "localhost".into()).contains("\"localhost\""));
        assert!(refused(|config| config.addr = "0.0.0.0:2379".into()).contains("advertise-addr"));
        assert!(refused(|config| config.advertise_addr = "host:0".into()).contains("advertise-addr"));
        assert!(refused(|config| config.log.level = "loud".into()).contains("loud"));
        assert!(refused(|config| config.data_dir = PathBuf::new()).contains("data-dir"));
    }
}

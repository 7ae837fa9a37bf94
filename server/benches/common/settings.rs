//! Settings of the benchmarks, from environment variables; a value that cannot be read stops the run.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variable's value, or `default` when it is unset or empty. Exits with status 2 when it cannot be read.
pub fn variable<T: FromStr>(name: &str, default: T) -> T {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() {
        return default;
    }
    text.parse().unwrap_or_else(|_| {
        eprintln!("{name}={text} is not a valid value");
        std::process::exit(2);
    })
}

/// The variable's value as a list, separated by commas or spaces.
pub fn list(name: &str, default: &[usize]) -> Vec<usize> {
    let text = std::env::var(name).unwrap_or_default();
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let numbers: Option<Vec<usize>> = parts.map(|part| part.parse().ok().filter(|&number| number > 0)).collect();
    match numbers {
        Some(numbers) if numbers.is_empty() => default.to_vec(),
        Some(numbers) => numbers,
        None => {
            eprintln!("{name}={text} is not a list of positive numbers");
            std::process::exit(2);
        }
    }
}

/// Where results go: the folder of `OUT`, made if it is missing.
pub fn out_folder() -> Option<PathBuf> {
    let out = std::env::var_os("OUT").filter(|out| !out.is_empty())?;
    let out = PathBuf::from(out);
    std::fs::create_dir_all(&out).unwrap_or_else(|error| panic!("cannot make {}: {error}", out.display()));
    Some(out)
}

/// The folder for the servers' data: below `OUT`, or below the target folder. Stops when that is kept in memory, where a
/// sync costs nothing and the numbers would mean nothing.
pub fn data_folder(out: Option<&Path>) -> PathBuf {
    let folder = out.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), Path::to_path_buf);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(&folder).expect("ask for the kind of file system").f_type as i64;
    if kind == TMPFS || kind == RAMFS {
        eprintln!("{} is in memory; set OUT to a folder on a disk", folder.display());
        std::process::exit(2);
    }
    folder
}

/// Whether cargo runs this as a benchmark. `cargo test --benches` starts the same program without the flag.
pub fn is_benchmark_run() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The machine's load average as text; a busy machine makes a benchmark worthless, so it is printed.
pub fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

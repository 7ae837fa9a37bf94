//! `cargo x proto`: generates `proto/src/generated/` from `proto/proto/`.
//!
//! protox compiles the .proto files, so no protoc is needed; prost and tonic write the code, rustfmt brings it into shape. The result
//! depends on the input and on the locked crate versions alone, so `--check` can compare byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Error, Result, at};

/// Generated files by name, with their content.
type Files = BTreeMap<String, String>;

/// Replaces the committed code by what the .proto files give.
pub fn generate() -> Result<()> {
    let fresh = compile()?;
    let folder = generated_folder();
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    for name in read_folder(&folder)?.keys().filter(|name| !fresh.contains_key(*name)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(at(path))?;
    }
    for (name, content) in &fresh {
        let path = folder.join(name);
        fs::write(&path, content).map_err(at(path))?;
    }
    println!("proto/src/generated: {} files", fresh.len());
    Ok(())
}

/// Fails with [`Error::Stale`] if the committed code is not what the .proto files give.
pub fn check() -> Result<()> {
    let fresh = compile()?;
    let committed = read_folder(&generated_folder())?;
    let names = fresh.keys().chain(committed.keys().filter(|name| !fresh.contains_key(*name)));
    let files: Vec<String> = names.filter(|name| fresh.get(*name) != committed.get(*name)).cloned().collect();
    if files.is_empty() { Ok(()) } else { Err(Error::Stale { files }) }
}

fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

fn generated_folder() -> PathBuf {
    crate_folder().join("src/generated")
}

/// Compiles all .proto files in a scratch folder and returns the formatted code.
fn compile() -> Result<Files> {
    let sources = crate_folder().join("proto");
    let names = read_folder(&sources)?.into_keys().filter(|name| name.ends_with(".proto"));
    let descriptors = protox::compile(names, [&sources]).map_err(|error| Error::Protobuf(format!("{error:?}")))?;

    let scratch = tempfile::tempdir().map_err(at("scratch folder"))?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]);
    // Messages are moved around a lot, and hardly one carries a snapshot: without the box it would make every one twice as large.
    config.boxed(".eraftpb.Message.snapshot");
    tonic_prost_build::configure()
        .out_dir(scratch.path())
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, config)
        .map_err(at(scratch.path()))?;
    format(scratch.path())?;
    read_folder(scratch.path())
}

/// Runs rustfmt with the settings of the tree on every file of `folder`.
fn format(folder: &Path) -> Result<()> {
    let mut paths = Vec::new();
    for name in read_folder(folder)?.keys() {
        paths.push(folder.join(name));
    }
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("rustfmt")
        .arg("--edition=2024")
        .arg("--config-path")
        .arg(config)
        .args(paths)
        .output()
        .map_err(|error| Error::Rustfmt(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Error::Rustfmt(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// The files of `folder` (not of folders in it) with their content; empty if there is no such folder.
fn read_folder(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).map_err(at(&path))?);
        }
    }
    Ok(files)
}

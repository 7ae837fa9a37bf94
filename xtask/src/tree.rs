//! The files of the tree, and copies of them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Error, Result, at};

/// The folder of the whole tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: xtask is a folder of the tree")
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Names of all files that git knows, or would take in, as they are now; relative to the root, in order.
pub fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = git.output().map_err(|error| Error::Git(error.to_string()))?;
    if !listed.status.success() {
        return Err(Error::Git(String::from_utf8_lossy(&listed.stderr).trim().to_owned()));
    }
    let names = String::from_utf8_lossy(&listed.stdout);
    let mut names: Vec<String> = names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    // What git knows may have been deleted.
    names.retain(|name| root().join(name).is_file());
    names.sort();
    names.dedup();
    Ok(names)
}

/// Copies the tree into `folder`. `change` may give other contents for a file by its name; a file that is there with the right
/// contents already is left alone, so that cargo does not compile it again.
pub fn copy(folder: &Path, change: impl Fn(&str) -> Result<Option<String>>) -> Result<()> {
    for name in files()? {
        let (from, to) = (root().join(&name), folder.join(&name));
        let contents = match change(&name)? {
            Some(text) => text.into_bytes(),
            None => fs::read(&from).map_err(at(&from))?,
        };
        if fs::read(&to).is_ok_and(|there| there == contents) {
            continue;
        }
        let parent = to.parent().expect("invariant: a file of the tree is in a folder");
        fs::create_dir_all(parent).map_err(at(parent))?;
        fs::write(&to, contents).map_err(at(&to))?;
        let permissions = fs::metadata(&from).map_err(at(&from))?.permissions();
        fs::set_permissions(&to, permissions).map_err(at(&to))?;
    }
    Ok(())
}

/// Removes from a copy of the tree what the tree does not have any more.
pub fn prune(folder: &Path) -> Result<()> {
    let kept = files()?.iter().map(|name| folder.join(name)).collect();
    remove_others(folder, &kept)
}

fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Removes a folder with all that is in it, if there is one.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

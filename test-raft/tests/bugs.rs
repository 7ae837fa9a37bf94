//! The patches that put known bugs back must still fit the code, or `make bugs-raft` proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_raft::campaign::LIVENESS;
use test_raft::invariants::Rules;

fn patches() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs");
    let mut patches: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    patches.sort();
    patches
}

#[test]
fn every_patch_applies_and_names_existing_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let patches = patches();
    assert!(patches.len() >= 10, "only {} bugs are left", patches.len());
    for patch in patches {
        let text = fs::read_to_string(&patch).expect("a patch is text");
        let rules = text.lines().find_map(|line| line.strip_prefix("Rules: ")).unwrap_or_default();
        assert!(!rules.is_empty(), "{} names no rule", patch.display());
        for rule in rules.split_whitespace() {
            assert!(Rules::IDS.contains(&rule) || LIVENESS.contains(&rule), "{}: {rule} is no rule", patch.display());
        }
        let output = Command::new("git").current_dir(&root).args(["apply", "--check"]).arg(&patch).output();
        let output = output.expect("git is there");
        assert!(output.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&output.stderr));
    }
}

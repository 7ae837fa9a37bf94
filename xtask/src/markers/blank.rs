//! `make blank PROJECT=3b OUT=folder`: a copy of the tree without what students write in a project.
//!
//! Each piece becomes its hint, as a comment, and a `todo!` that names it; all else stays as it is. With the pieces of one project alone
//! missing, a student can work on it with the solution of the earlier ones. What only the missing pieces use would be warned of: the copy's
//! Cargo.toml allows it, for all crates in one place, where it can be taken out again.

use std::{fs, path::Path};

use super::{Marked, Markers, Region, tag_of};
use crate::{
    error::{Error, Result, at},
    labs::{Labs, Project},
    tree,
};

/// What the copy's Cargo.toml has in addition.
const LINTS: &str = "
[workspace.lints.rust]
# As long as pieces are missing, nothing uses what they would use.
unused = \"allow\"
";
/// Columns of a line of the hint.
const WIDTH: usize = 120;

/// Writes a copy of the tree into the folder `out`, which must be new or empty, without the pieces of project `id` and, if asked for,
/// of all later ones.
pub fn run(id: &str, and_later: bool, out: &Path) -> Result<()> {
    let labs = Labs::load()?;
    let project = labs.project(id)?;
    let is_empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(at(out)(error)),
    };
    if !is_empty {
        return Err(Error::NotEmpty { path: out.to_owned() });
    }
    let from = labs.projects.iter().position(|other| other.id == project.id).unwrap_or_default();
    let projects = if and_later { &labs.projects[from..] } else { &labs.projects[from..=from] };
    let count = write(&Markers::load(&labs)?, projects, out)?;
    println!("{}: {count} pieces to write", out.display());
    Ok(())
}

/// Writes the copy; how many pieces are missing in it.
pub(super) fn write(markers: &Markers, projects: &[Project], out: &Path) -> Result<usize> {
    let tags: Vec<String> = projects.iter().map(tag_of).collect();
    let is_missing = |region: &&Region| tags.contains(&region.tag);
    tree::copy(out, |name| {
        if name == "Cargo.toml" {
            let path = tree::root().join(name);
            return Ok(Some(fs::read_to_string(&path).map_err(at(path))? + LINTS));
        }
        let blanked = |file: &Marked| without(&file.text, &file.regions.iter().filter(is_missing).collect::<Vec<_>>());
        Ok(markers.file(name).map(blanked))
    })?;
    Ok(markers.regions().filter(is_missing).count())
}

/// The text of a file without these regions.
fn without(text: &str, missing: &[&Region]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut left = String::new();
    let mut next = 0;
    for region in missing {
        push_lines(&mut left, &lines[next..region.begin]);
        let indent = &lines[region.begin][..lines[region.begin].len() - lines[region.begin].trim_start().len()];
        let hint = format!("{}: {}", region.tag, region.hint);
        for line in wrap(&hint, WIDTH - indent.len() - "// ".len()) {
            left.push_str(&format!("{indent}// {line}\n"));
        }
        // The last expression of a block is its value; before other statements it is a statement itself.
        let is_last = lines[region.end + 1..].iter().map(|line| line.trim_start()).find(|line| !line.is_empty());
        let semicolon = if is_last.is_none_or(|line| line.starts_with('}')) { "" } else { ";" };
        left.push_str(&format!("{indent}todo!(\"{}: {}\"){semicolon}\n", region.tag, region.name));
        next = region.end + 1;
    }
    push_lines(&mut left, &lines[next..]);
    left
}

fn push_lines(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// Breaks a text between words into lines of at most so many columns, as far as its words allow.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::parse::regions_of, *};

    fn blanked(text: &str) -> String {
        let (regions, problems) = regions_of(text);
        assert!(problems.is_empty(), "{problems:?}");
        without(text, &regions.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_region_becomes_its_hint_and_a_todo_with_its_name() {
        let text =
            "fn a() -> u8 {\n    // lab:begin 2B x::a  hint=\"count\"\n    let one = 1;\n    one\n    // lab:end\n}\n";
        assert_eq!(blanked(text), "fn a() -> u8 {\n    // 2B: count\n    todo!(\"2B: x::a\")\n}\n");
    }

    #[test]
    fn what_comes_behind_a_region_stays() {
        let text = "// lab:begin 2B a  hint=\"h\"\none();\n// lab:end\n\ntwo();\n// lab:begin 2B b  hint=\"h\"\nthree();\n// lab:end\n";
        assert_eq!(blanked(text), "// 2B: h\ntodo!(\"2B: a\");\n\ntwo();\n// 2B: h\ntodo!(\"2B: b\")\n");
    }

    #[test]
    fn only_what_is_asked_for_is_missing() {
        let text = "// lab:begin 2B a  hint=\"h\"\none();\n// lab:end\n";
        assert_eq!(without(text, &[]), text);
    }

    #[test]
    fn a_long_hint_is_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("longer than that", 3), ["longer", "than", "that"]);
    }
}

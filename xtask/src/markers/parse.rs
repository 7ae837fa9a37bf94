//! Reads the markers of one file.
//!
//! A marker is a comment with a line to itself: `lab:begin TAG name  hint="…"` or `lab:end`. The hint is plain text without quotes.

/// One piece that students write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The project, as in `2AB`.
    pub tag: String,
    /// What the piece is called, as in `log::append`.
    pub name: String,
    /// What the student is told.
    pub hint: String,
    /// Number of the line with the opening marker; the first line is 0.
    pub begin: usize,
    /// Number of the line with the closing marker.
    pub end: usize,
}

/// What is wrong, and in which line (the first line is 0).
pub type Problem = (usize, String);

/// What a line is.
enum Line {
    Begin { tag: String, name: String, hint: String },
    End,
    Other,
}

/// The regions of a file in their order, and what is wrong with its markers.
pub fn regions_of(text: &str) -> (Vec<Region>, Vec<Problem>) {
    let (mut regions, mut problems): (Vec<Region>, Vec<Problem>) = (Vec::new(), Vec::new());
    let mut open: Option<Region> = None;
    let mut has_code = false;
    for (number, line) in text.lines().enumerate() {
        match read(line) {
            Err(why) => problems.push((number, why)),
            Ok(Line::Begin { tag, name, hint }) => {
                if let Some(outer) = &open {
                    problems.push((number, format!("{tag} {name} begins inside of {} {}", outer.tag, outer.name)));
                }
                open = Some(Region { tag, name, hint, begin: number, end: number });
                has_code = false;
            }
            Ok(Line::End) => match open.take() {
                None => problems.push((number, "ends what has not begun".to_owned())),
                Some(region) if !has_code => {
                    problems.push((region.begin, format!("{} {} holds no code", region.tag, region.name)));
                }
                Some(region) => regions.push(Region { end: number, ..region }),
            },
            Ok(Line::Other) => has_code |= !line.trim().is_empty() && !line.trim_start().starts_with("//"),
        }
    }
    if let Some(region) = open {
        problems.push((region.begin, format!("{} {} has no end", region.tag, region.name)));
    }
    (regions, problems)
}

/// What a line is; why it is no marker, although it looks like one.
fn read(line: &str) -> Result<Line, String> {
    let Some(comment) = line.trim().strip_prefix("//").map(str::trim_start).filter(|text| text.starts_with("lab:"))
    else {
        return Ok(Line::Other);
    };
    if comment == "lab:end" {
        return Ok(Line::End);
    }
    let wanted = "wanted `lab:begin TAG name  hint=\"…\"` or `lab:end`";
    let begin = comment.strip_prefix("lab:begin ").ok_or(wanted)?;
    let (head, hint) = begin.split_once("hint=").ok_or("it has no hint")?;
    let mut words = head.split_whitespace().map(str::to_owned);
    let (Some(tag), Some(name), None) = (words.next(), words.next(), words.next()) else {
        return Err(wanted.to_owned());
    };
    let hint = hint.strip_prefix('"').and_then(|hint| hint.strip_suffix('"')).map(str::trim);
    match hint {
        Some("") => Err(format!("the hint of {tag} {name} is empty")),
        Some(hint) if !hint.contains('"') => Ok(Line::Begin { tag, name, hint: hint.to_owned() }),
        _ => Err(format!("the hint of {tag} {name} is not one text in quotes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "    // lab:begin 2AB log::append  hint=\"append what is new\"\n";
    const END: &str = "    // lab:end\n";

    fn complaint(text: &str) -> String {
        let (_, problems) = regions_of(text);
        assert_eq!(problems.len(), 1, "{text}{problems:?}");
        format!("{}: {}", problems[0].0, problems[0].1)
    }

    #[test]
    fn a_region_is_read_with_its_hint() {
        let (regions, problems) = regions_of(&format!("fn append() {{\n{BEGIN}    push();\n{END}}}\n"));
        assert!(problems.is_empty(), "{problems:?}");
        let (tag, name, hint) = ("2AB".to_owned(), "log::append".to_owned(), "append what is new".to_owned());
        assert_eq!(regions, [Region { tag, name, hint, begin: 1, end: 3 }]);
    }

    #[test]
    fn what_has_no_end_or_no_beginning_or_lies_within_another_is_found() {
        assert_eq!(complaint(&format!("{BEGIN}code();\n")), "0: 2AB log::append has no end");
        assert_eq!(complaint(&format!("code();\n{END}")), "1: ends what has not begun");
        let nested = complaint(&format!("{BEGIN}code();\n{BEGIN}code();\n{END}"));
        assert_eq!(nested, "2: 2AB log::append begins inside of 2AB log::append");
    }

    #[test]
    fn a_region_without_code_is_found() {
        assert_eq!(complaint(&format!("{BEGIN}\n    // later\n{END}")), "0: 2AB log::append holds no code");
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_not_passed_over() {
        for (marker, why) in [
            ("lab:begin 2AB log::append", "has no hint"),
            ("lab:begin 2AB log::append hint=\"\"", "is empty"),
            ("lab:begin 2AB log::append hint=soon", "in quotes"),
            ("lab:begin 2AB log::append hint=\"a\" b\"", "in quotes"),
            ("lab:begin log::append hint=\"a\"", "wanted"),
            ("lab:ends", "wanted"),
        ] {
            let text = format!("//{marker}\n");
            assert!(complaint(&text).contains(why), "{marker}: {}", complaint(&text));
        }
    }
}

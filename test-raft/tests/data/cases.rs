//! The format of the data files.
//!
//! A case is a line with a command and its arguments (`key=value` or `key=(a, b)`), any number of lines of input, a line `----`, and the
//! expected output up to the next empty line. Empty lines and lines that begin with `#` may stand between cases.

use std::collections::BTreeMap;
use std::fmt;

/// One case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Line of the command in the file, counted from 1.
    pub line: usize,
    pub command: String,
    pub arguments: BTreeMap<String, Vec<String>>,
    pub input: Vec<String>,
    pub expected: String,
}

impl Case {
    /// The values of an argument; none if it is absent.
    pub fn values(&self, key: &str) -> &[String] {
        self.arguments.get(key).map_or(&[], |values| values)
    }

    /// The values of an argument as numbers.
    pub fn numbers(&self, key: &str) -> Vec<u64> {
        self.values(key).iter().map(|value| value.parse().expect("a number")).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)?;
        for (key, values) in &self.arguments {
            write!(f, " {key}=({})", values.join(", "))?;
        }
        for line in &self.input {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

/// All cases of a file.
///
/// # Panics
/// If the file is not of this format.
pub fn parse(text: &str) -> Vec<Case> {
    let mut lines = text.lines().enumerate();
    let mut cases = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, arguments) = parse_directive(line);
        let mut case = Case { line: number + 1, command, arguments, ..Case::default() };
        for (number, line) in lines.by_ref() {
            if line == "----" {
                break;
            }
            assert!(!line.is_empty(), "line {}: a case without ----", number + 1);
            case.input.push(line.to_owned());
        }
        let expected: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.is_empty()).collect();
        case.expected = expected.join("\n").trim_end().to_owned();
        cases.push(case);
    }
    cases
}

/// `committed cfg=(1, 2) idx=(_,5)` as its command and its arguments.
fn parse_directive(line: &str) -> (String, BTreeMap<String, Vec<String>>) {
    let (command, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut arguments = BTreeMap::new();
    while let Some((key, value)) = rest.trim_start().split_once('=') {
        let (value, behind) = match value.strip_prefix('(') {
            Some(list) => list.split_once(')').expect("a closing parenthesis"),
            None => value.split_once(' ').unwrap_or((value, "")),
        };
        let values = value.split([',', ' ']).filter(|value| !value.is_empty()).map(str::to_owned).collect();
        arguments.insert(key.to_owned(), values);
        rest = behind;
    }
    assert!(rest.trim().is_empty(), "arguments that are none: {rest:?}");
    (command.to_owned(), arguments)
}

#[test]
fn format() {
    let text = "# about\n\ncommitted cfg=(1, 2) idx=(_,5) zero=zero\n----\nx\n y\n\nenter-joint autoleave=true\nv1 r2\n----\nok\n";
    let cases = parse(text);
    assert_eq!(cases.len(), 2);
    assert_eq!((cases[0].line, cases[0].command.as_str()), (3, "committed"));
    assert_eq!(cases[0].numbers("cfg"), [1, 2]);
    assert_eq!(cases[0].values("idx"), ["_", "5"]);
    assert_eq!(cases[0].values("zero"), ["zero"]);
    assert!(cases[0].values("absent").is_empty());
    assert_eq!(cases[0].expected, "x\n y");
    assert_eq!((cases[1].input.clone(), cases[1].expected.as_str()), (vec!["v1 r2".to_owned()], "ok"));
}

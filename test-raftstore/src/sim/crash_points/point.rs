//! Where a store crashes, and what that leaves of its disks. Has a name of one word, so that one crash can be asked for again.

use std::fmt;
use std::str::FromStr;

/// Which changes a crash could lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Batches of the kv engine.
    pub kv: bool,
    /// Batches of the raft engine.
    pub raft: bool,
    /// Names in the folder of snapshots.
    pub names: bool,
    /// Contents of files there.
    pub contents: bool,
}

/// What survives a crash in the folder of snapshots, of all that was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// Nothing.
    #[default]
    Nothing,
    /// Files have the names they had last, and the contents that were synced.
    Names,
    /// Everything.
    Everything,
}

/// What survives a crash, of all that was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The batches of the kv engine.
    pub kv: bool,
    /// The batches of the raft engine.
    pub raft: bool,
    /// The folder of snapshots.
    pub files: Files,
}

impl Image {
    /// All that a crash can leave, each once.
    pub fn all(unsynced: Unsynced) -> Vec<Self> {
        let either = |unsynced: bool| if unsynced { &[false, true][..] } else { &[false] };
        let files = match (unsynced.names, unsynced.contents) {
            (false, false) => &[Files::Nothing][..],
            (true, false) => &[Files::Nothing, Files::Names],
            (false, true) => &[Files::Nothing, Files::Everything],
            (true, true) => &[Files::Nothing, Files::Names, Files::Everything],
        };
        let mut images = Vec::new();
        for kv in either(unsynced.kv) {
            for raft in either(unsynced.raft) {
                images.extend(files.iter().map(|files| Self { kv: *kv, raft: *raft, files: *files }));
            }
        }
        images
    }

    fn words(self) -> Vec<&'static str> {
        let files = match self.files {
            Files::Nothing => None,
            Files::Names => Some("names"),
            Files::Everything => Some("files"),
        };
        self.kv.then_some("kv").into_iter().chain(self.raft.then_some("raft")).chain(files).collect()
    }
}

/// For reports.
impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = |word: &str| match word {
            "kv" => "the batches of the kv engine",
            "raft" => "the batches of the raft engine",
            "names" => "the names of snapshot files",
            _ => "the names and contents of snapshot files",
        };
        let survivors: Vec<&str> = self.words().into_iter().map(what).collect();
        let survivors = if survivors.is_empty() { "nothing".to_owned() } else { survivors.join(", ") };
        write!(formatter, "of what was not synced {survivors} survived")
    }
}

/// How far a crash reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// The store is back before anybody misses it.
    #[default]
    Short,
    /// The others have gone on without it.
    Long,
    /// The power fails everywhere. The others lose whatever was not synced.
    Everywhere,
}

impl Outage {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Short, Self::Long, Self::Everywhere];

    /// Its name in that of a point; that of the usual one is left out.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Short => None,
            Self::Long => Some("long"),
            Self::Everywhere => Some("everywhere"),
        }
    }
}

/// For reports.
impl fmt::Display for Outage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Short => "it was back soon",
            Self::Long => "it was away for long",
            Self::Everywhere => "all others crashed with it and lost what was not synced",
        })
    }
}

/// On which side of a change the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It does not take place.
    Before,
    /// It is the last one; whoever made it does not hear of that.
    After,
}

impl Moment {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// One crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The number of a change, from 1.
    pub number: usize,
    /// On which side of it.
    pub moment: Moment,
    /// What is left.
    pub image: Image,
    /// How far it reaches.
    pub outage: Outage,
}

impl fmt::Display for Strike {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.number, self.moment.name())?;
        let words = self.image.words().into_iter().chain(self.outage.word());
        words.into_iter().try_for_each(|word| write!(formatter, "-{word}"))
    }
}

impl FromStr for Strike {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split('-');
        let number = words.next().unwrap_or_default();
        let number = number.parse().map_err(|_| format!("{number:?} is not the number of a write"))?;
        let moment = match words.next() {
            Some("before") => Moment::Before,
            Some("after") => Moment::After,
            other => return Err(format!("{other:?} is neither before nor after")),
        };
        let (mut image, mut outage) = (Image::default(), Outage::default());
        for word in words {
            match word {
                "kv" => image.kv = true,
                "raft" => image.raft = true,
                "names" => image.files = Files::Names,
                "files" => image.files = Files::Everything,
                "long" => outage = Outage::Long,
                "everywhere" => outage = Outage::Everywhere,
                other => return Err(format!("{other:?} is none of kv, raft, names, files, long, everywhere")),
            }
        }
        Ok(Self { number, moment, image, outage })
    }
}

/// Where a store of a scenario crashes: once, or once more while it starts again. Or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Name of the scenario.
    pub scenario: String,
    /// The store.
    pub store: u64,
    /// Up to two crashes.
    pub strikes: Vec<Strike>,
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.scenario, self.store)?;
        self.strikes.iter().try_for_each(|strike| write!(formatter, ":{strike}"))
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (scenario, store) = (parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default());
        let store = store.parse().map_err(|_| format!("{store:?} is not the id of a store"))?;
        let strikes = parts.map(str::parse).collect::<Result<Vec<Strike>, String>>()?;
        match strikes.len() {
            0..=2 => Ok(Self { scenario, store, strikes }),
            others => Err(format!("{others} crashes, but two are the most: split:1:17-after-kv:2-before")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_what_its_name_says() {
        for name in ["split:1", "split:1:17-after-long", "snapshot:3:2-before-kv-raft-names:1-after-files"] {
            assert_eq!(name.parse::<Point>().map(|point| point.to_string()), Ok(name.to_owned()));
        }
        for (name, reason) in [
            ("split:1:1-after:1-after:1-after", "3 crashes"),
            ("split:x:1-after", "id of a store"),
            ("split:1:x-after", "number of a write"),
            ("split:1:1-during", "neither"),
            ("split:1:1-after-all", "is none of"),
        ] {
            assert!(name.parse::<Point>().unwrap_err().contains(reason), "{name}");
        }
    }

    #[test]
    fn images_that_are_the_same_count_once() {
        assert_eq!(Image::all(Unsynced::default()), [Image::default()]);
        assert_eq!(Image::all(Unsynced { kv: true, ..Unsynced::default() }).len(), 2);
        let all = Image::all(Unsynced { kv: true, raft: true, names: true, contents: true });
        assert_eq!(all.len(), 2 * 2 * 3);
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
    }
}

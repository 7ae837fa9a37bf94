//! The column families every engine has. Names are part of the on-disk format.

/// A column family. The order of the variants is the order of [`Cf::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cf {
    /// Values of transactions, by E(key) and start timestamp.
    Default,
    /// Locks of transactions, by E(key).
    Lock,
    /// Commit records of transactions, by E(key) and commit timestamp.
    Write,
    /// The raw API's pairs, by plain key; values carry their expiry (see [`crate::raw::value`]).
    Raw,
    /// Region and apply state of the node itself; never part of a region's data.
    Raft,
}

impl Cf {
    /// Every column family.
    pub const ALL: [Cf; 5] = [Cf::Default, Cf::Lock, Cf::Write, Cf::Raw, Cf::Raft];

    /// The column families that hold a region's data: they move together on split, snapshot and destroy.
    pub const DATA: [Cf; 4] = [Cf::Default, Cf::Lock, Cf::Write, Cf::Raw];

    /// Number of column families; `cf as usize` is always below it.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in the engine and on the wire between our own nodes.
    pub const fn name(self) -> &'static str {
        match self {
            Cf::Default => "default",
            Cf::Lock => "lock",
            Cf::Write => "write",
            Cf::Raw => "raw",
            Cf::Raft => "raft",
        }
    }

    /// The inverse of [`Cf::name`]; `None` for anything else. The raw API's names are another matter: see [`crate::raw::raw_cf`].
    pub fn from_name(name: &str) -> Option<Cf> {
        Self::ALL.into_iter().find(|cf| cf.name() == name)
    }
}

impl std::fmt::Display for Cf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

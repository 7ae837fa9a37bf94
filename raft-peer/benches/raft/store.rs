//! The log of one node in memory, the same for both libraries: entries are moved in and cloned out, as the storages' traits ask.

/// What the log has to know about an entry.
pub trait LogEntry: Clone {
    fn term(&self) -> u64;
    fn index(&self) -> u64;
    fn data_len(&self) -> usize;
}

/// The entries behind `truncated`, and the hard state.
pub struct Log<E, H> {
    /// Index and term of the entry just before `entries`.
    truncated: (u64, u64),
    entries: Vec<E>,
    pub hard_state: H,
    pub voters: Vec<u64>,
}

impl<E: LogEntry, H> Log<E, H> {
    pub fn new(voters: Vec<u64>, entries: Vec<E>, hard_state: H) -> Self {
        Log { truncated: (0, 0), entries, hard_state, voters }
    }

    pub fn append(&mut self, mut entries: Vec<E>) {
        let Some(first) = entries.first() else { return };
        self.entries.truncate((first.index() - self.first_index()) as usize);
        self.entries.append(&mut entries);
    }

    /// Drops the entries up to and including `index`.
    pub fn compact(&mut self, index: u64) {
        let count = (index - self.truncated.0) as usize;
        self.truncated = (index, self.entries[count - 1].term());
        self.entries.drain(..count);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn first_index(&self) -> u64 {
        self.truncated.0 + 1
    }

    pub fn last_index(&self) -> u64 {
        self.truncated.0 + self.entries.len() as u64
    }

    /// `None` if the entry is not there.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.truncated.0 {
            return Some(self.truncated.1);
        }
        self.entries.get(index.checked_sub(self.first_index())? as usize).map(E::term)
    }

    /// The entries in `[low, high)` that fit into `max_size` bytes, at least one. `None` if the first ones are not there any more.
    pub fn entries(&self, low: u64, high: u64, max_size: u64) -> Option<Vec<E>> {
        let first = self.first_index();
        let range = &self.entries[low.checked_sub(first)? as usize..(high - first) as usize];
        let mut room = max_size;
        let fits = range.iter().skip(1).take_while(|entry| {
            const FRAME: usize = 24;
            let size = (entry.data_len() + FRAME) as u64;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        Some(range[..range.len().min(1 + fits.count())].to_vec())
    }
}

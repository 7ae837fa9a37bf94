//! Small helpers without a home of their own.

use proto::eraftpb::Entry;

/// Bytes that an entry is counted with in every limit: its payload plus a constant for index, term and framing. Cheaper than the
/// exact encoded length and never zero.
pub fn entry_size(entry: &Entry) -> u64 {
    const FRAME: usize = 24;
    (entry.data.len() + entry.context.len() + FRAME) as u64
}

/// Bytes of the payload alone: 0 for the empty entry that a new leader appends.
pub fn payload_size(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64
}

/// How many of `entries` fit into `max_size` bytes; the first one always fits.
pub fn limit_size<'a>(entries: impl Iterator<Item = &'a Entry>, max_size: u64) -> usize {
    let (mut count, mut size) = (0, 0u64);
    for entry in entries {
        size = size.saturating_add(entry_size(entry));
        if count > 0 && size > max_size {
            break;
        }
        count += 1;
    }
    count
}

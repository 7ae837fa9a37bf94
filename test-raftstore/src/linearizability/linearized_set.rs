//! A set of operations that are already ordered, as a bitset over a dense prefix.
//!
//! Operations are numbered by invocation and ordered roughly in that order, so the set is always "everything below
//! some number, and a few above". Full words at the front are only counted and empty ones at the end not stored: two
//! equal sets are equal as values, and a configuration of a history of thousands of operations costs a word or two.

/// A set of small numbers that grows from below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinearizedSet {
    full_words: usize,
    words: Vec<u64>,
}

impl LinearizedSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: usize) -> bool {
        match (number / 64).checked_sub(self.full_words) {
            None => true,
            Some(word) => self.words.get(word).is_some_and(|bits| bits & bit(number) != 0),
        }
    }

    /// Adds `number`.
    pub fn insert(&mut self, number: usize) {
        let Some(word) = (number / 64).checked_sub(self.full_words) else { return };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit(number);
        let full = self.words.iter().take_while(|bits| **bits == u64::MAX).count();
        if full > 0 {
            self.words.drain(..full);
            self.full_words += full;
        }
    }

    /// The smallest number that is not in the set.
    pub fn first_missing(&self) -> usize {
        self.full_words * 64 + self.words.first().map_or(0, |bits| bits.trailing_ones() as usize)
    }
}

fn bit(number: usize) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_in_any_order_make_equal_sets() {
        let numbers: Vec<usize> = (0..200).filter(|number| number % 7 != 3 || *number < 130).collect();
        let mut up = LinearizedSet::new();
        let mut down = LinearizedSet::new();
        numbers.iter().for_each(|number| up.insert(*number));
        numbers.iter().rev().for_each(|number| down.insert(*number));
        assert_eq!(up, down);
        assert!((0..260).all(|number| up.contains(number) == numbers.contains(&number)));
        assert_eq!(up.first_missing(), (0..).find(|number| !numbers.contains(number)).unwrap());
    }

    #[test]
    fn a_full_front_is_not_stored() {
        let mut set = LinearizedSet::new();
        (0..640).for_each(|number| set.insert(number));
        assert_eq!((set.full_words, set.words.len(), set.first_missing()), (10, 0, 640));
    }
}

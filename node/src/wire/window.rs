//! Which packets of a peer were seen: the anti-replay window of IPsec (RFC 4303, RFC 6479), with
//! boots for the restarts it does not know.

const WORD_BITS: u64 = u64::BITS as u64;
/// One more word than the window needs, because its ends lie within words.
const WORDS: u64 = Window::WIDTH / WORD_BITS + 1;

/// The packet numbers seen from one peer since its latest start.
/// Invariant: each bit of the last `WORDS` words before `end` tells whether its number was seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Window {
    boot: u64,
    /// One above the highest number seen.
    end: u64,
    /// A ring: the bit of `number` is in word `number / 64 % WORDS`.
    words: [u64; WORDS as usize],
}

impl Window {
    /// How far a packet may be overtaken and still be taken.
    pub const WIDTH: u64 = 1024;

    /// Whether to take an authentic packet; taken once, it is not taken again. A higher boot always
    /// is: that peer has restarted, and counts from the beginning.
    pub fn admit(&mut self, boot: u64, number: u64) -> bool {
        let Some(end) = number.checked_add(1) else { return false };
        if boot > self.boot {
            *self = Window { boot, ..Window::default() };
        }
        if boot < self.boot || self.end.saturating_sub(Window::WIDTH) > number {
            return false;
        }
        if end > self.end {
            let last = self.end.saturating_sub(1) / WORD_BITS;
            let new = (number / WORD_BITS).min(last + WORDS);
            (last + 1..=new).for_each(|word| self.words[(word % WORDS) as usize] = 0);
            self.end = end;
        }
        let (word, bit) = (number / WORD_BITS % WORDS, 1 << (number % WORD_BITS));
        let word = &mut self.words[word as usize];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_a_set_of_all_numbers_seen() {
        let mut random = Random::seeded();
        for _ in 0..100 {
            let (mut window, mut seen, mut end) = (Window::default(), BTreeSet::new(), 0_u64);
            let mut base = random.below(1 << 40);
            for _ in 0..3_000 {
                base += [0, 1, 1, 60, 1_000, 5_000][random.below(6) as usize] * random.below(2);
                let number = base.saturating_sub(random.below(1_500));
                let fresh = end.saturating_sub(Window::WIDTH) <= number && seen.insert(number);
                assert_eq!(window.admit(3, number), fresh, "{number} with {end} seen");
                end = end.max(number + 1);
            }
        }
    }

    #[test]
    fn a_restarted_peer_is_heard_and_its_past_is_not() {
        let mut window = Window::default();
        assert!(window.admit(1, 5_000));
        assert!(window.admit(2, 0) && !window.admit(2, 0));
        assert!(!window.admit(1, 5_001), "from before the restart");
        assert!(window.admit(u64::MAX, 9) && window.admit(u64::MAX, 8));
    }

    #[test]
    fn the_ends_of_the_window_are_exact() {
        let mut window = Window::default();
        assert!(window.admit(0, 2_000));
        assert!(window.admit(0, 2_001 - Window::WIDTH) && !window.admit(0, 2_000 - Window::WIDTH));
        assert!(!window.admit(0, u64::MAX), "there is nothing above it");
        assert!(window.admit(0, u64::MAX - 1) && !window.admit(0, 2_001));
    }
}

//! The digest of a state that is a set of items: the wrapping sum of one fingerprint per item.
//! A sum forgets the order, so a state has the same digest whichever history led to it; and an item
//! is added or removed in time proportional to that item, however large the state.
//! It finds replicas that differ by mistake. It is no defence against a writer who looks for
//! collisions: such a writer can hide nothing that replicas which follow one log do not share anyway.

/// The digest of a set of items. Whoever keeps it adds an item once and removes only what it added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest(u64);

impl Digest {
    /// Accounts for an item that has come.
    pub fn add(&mut self, item: Fingerprint) {
        self.0 = self.0.wrapping_add(item.finish());
    }

    /// Accounts for an item that has gone.
    pub fn remove(&mut self, item: Fingerprint) {
        self.0 = self.0.wrapping_sub(item.finish());
    }

    /// The digest of the union of two sets that have no item in common.
    pub fn and(self, other: Digest) -> Digest {
        Digest(self.0.wrapping_add(other.0))
    }

    /// The number to compare. The empty set has zero.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// What an item is. Items of two kinds never share a fingerprint by having equal content.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Kind {
    /// A key and its value.
    Pair = 1,
    /// A session without its results.
    Session = 2,
    /// One remembered result of a session.
    Result = 3,
    /// The limits of the session table.
    Limits = 4,
}

/// A 64-bit hash of one item, fed field by field. Written out here, not borrowed from `std::hash`,
/// because nodes built by different compilers compare it and keep it in their snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Starts an item of this kind.
    pub fn of(kind: Kind) -> Fingerprint {
        Fingerprint(0x243f_6a88_85a3_08d3).number(kind as u64)
    }

    /// Feeds a number.
    pub fn number(self, number: u64) -> Fingerprint {
        // The high half of a product depends on all lower bits and the low half on all higher ones.
        let wide = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        Fingerprint(wide as u64 ^ (wide >> 64) as u64)
    }

    /// Feeds a byte string, its length first, so that two neighbours cannot trade bytes unnoticed.
    pub fn bytes(self, bytes: &[u8]) -> Fingerprint {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words
            .iter()
            .fold(self.number(bytes.len() as u64), |hash, word| {
                hash.number(u64::from_le_bytes(*word))
            })
            .number(u64::from_le_bytes(last))
    }

    /// Spreads the last field over all bits; the sum needs it. Source: the finaliser of SplitMix64.
    fn finish(self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pair(key: &[u8], value: &[u8]) -> Fingerprint {
        Fingerprint::of(Kind::Pair).bytes(key).bytes(value)
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes_addition() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        one.add(pair(b"a", b"1"));
        one.add(pair(b"b", b"2"));
        other.add(pair(b"b", b"2"));
        other.add(pair(b"c", b"3"));
        other.add(pair(b"a", b"1"));
        other.remove(pair(b"c", b"3"));
        assert_eq!(one, other);
    }

    #[test]
    fn swapped_values_and_moved_bytes_show() {
        let sum = |items: [Fingerprint; 2]| {
            let mut digest = Digest::default();
            items.into_iter().for_each(|item| digest.add(item));
            digest
        };
        assert_ne!(
            sum([pair(b"a", b"1"), pair(b"b", b"2")]),
            sum([pair(b"a", b"2"), pair(b"b", b"1")])
        );
        assert_ne!(pair(b"ab", b"c").finish(), pair(b"a", b"bc").finish());
        assert_ne!(pair(b"a", b"").finish(), pair(b"a", b"\0").finish());
    }

    #[test]
    fn no_two_small_items_collide() {
        let numbers = 0..200_000u32;
        let hashes: BTreeSet<u64> =
            numbers.clone().map(|n| pair(b"k", &n.to_le_bytes()).finish()).collect();
        assert_eq!(hashes.len(), numbers.len());
    }

    /// Nodes of two versions compare digests: a change here is a change of the snapshot format.
    #[test]
    fn the_hash_itself_does_not_change() {
        assert_eq!(pair(b"key", b"a longer value").finish(), 13_796_051_142_187_140_428);
    }
}

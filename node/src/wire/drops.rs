//! Why datagrams and frames were dropped, and how often.

use crate::protocol::Malformed;
use std::fmt;

/// Why something was dropped, in the order of checking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dropped {
    /// Not our magic, or another major version.
    Version,
    /// For another cluster.
    Cluster,
    /// For another node.
    Destination,
    /// From a node that the cluster file does not name.
    Source,
    /// The tag is wrong: damaged, forged, or sealed with another secret.
    Tag,
    /// Authentic, and yet nonsense; or too short to be anything.
    Malformed,
    /// Seen before, sent before the peer's latest start, or overtaken by so many that nobody knows.
    Replayed,
    /// More bytes than any datagram or message may have.
    TooLarge,
    /// From a client whose address is not verified yet.
    Unverified,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Dropped; 9] = [
        Dropped::Version,
        Dropped::Cluster,
        Dropped::Destination,
        Dropped::Source,
        Dropped::Tag,
        Dropped::Malformed,
        Dropped::Replayed,
        Dropped::TooLarge,
        Dropped::Unverified,
    ];

    /// A name for status reports.
    pub fn name(self) -> &'static str {
        match self {
            Dropped::Version => "version",
            Dropped::Cluster => "cluster",
            Dropped::Destination => "destination",
            Dropped::Source => "source",
            Dropped::Tag => "tag",
            Dropped::Malformed => "malformed",
            Dropped::Replayed => "replayed",
            Dropped::TooLarge => "too-large",
            Dropped::Unverified => "unverified",
        }
    }
}

impl From<Malformed> for Dropped {
    fn from(_: Malformed) -> Dropped {
        Dropped::Malformed
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropped: {}", self.name())
    }
}

impl std::error::Error for Dropped {}

/// How many were dropped for each reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Drops([u64; Dropped::ALL.len()]);

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: Dropped) {
        self.0[reason as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: Dropped) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        Dropped::ALL.into_iter().map(|reason| (reason, self.of(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let mut drops = Drops::default();
        for (number, reason) in Dropped::ALL.into_iter().enumerate() {
            (0..number).for_each(|_| drops.count(reason));
        }
        assert!(drops.iter().map(|(_, count)| count).eq(0..Dropped::ALL.len() as u64));
    }
}

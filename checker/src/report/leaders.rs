//! Who claimed to lead, drawn from what nodes said of themselves.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stored::Sighting;

/// More intervals than that would fill the page: of a longer record, the beginning is shown.
const INTERVALS_MAX: usize = 20_000;

/// What was seen of all groups.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Leaders {
    /// One for each node of each group.
    pub rows: Vec<Row>,
    /// From when on nothing is shown, because there is too much; microseconds.
    pub cut_us: Option<u64>,
}

/// One node in one group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Row {
    pub group: u64,
    pub node: u16,
    /// By time, none overlapping.
    pub intervals: Vec<Interval>,
}

/// As long as a node said the same. Times are microseconds since the run began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Interval {
    pub from: u64,
    pub to: u64,
    pub state: State,
    /// The highest ballot the node knew of; empty if it was silent.
    pub ballot: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Leads,
    Follows,
    Silent,
}

impl Leaders {
    /// Of a record by time, in a run that lasted so long. Nodes are watched for a moment longer than
    /// that; what they say then is left out.
    pub fn of(sightings: &[Sighting], end_ns: u64) -> Leaders {
        let sightings = &sightings[..sightings.partition_point(|sighting| sighting.time < end_ns)];
        let groups: std::collections::BTreeSet<u64> =
            sightings.iter().filter_map(|sighting| sighting.group).collect();
        let mut rows: BTreeMap<(u64, u16), Vec<Interval>> = BTreeMap::new();
        let mut cut_us = None;
        let mut count = 0;
        for sighting in sightings {
            let from = sighting.time / 1_000;
            if count >= INTERVALS_MAX {
                cut_us = Some(from);
                break;
            }
            let state = match (sighting.group, sighting.leads) {
                (None, _) => State::Silent,
                (Some(_), true) => State::Leads,
                (Some(_), false) => State::Follows,
            };
            for &group in
                groups.iter().filter(|group| sighting.group.is_none_or(|of| of == **group))
            {
                let row = rows.entry((group, sighting.node)).or_default();
                if let Some(last) = row.last_mut() {
                    last.to = from;
                }
                row.push(Interval { from, to: from, state, ballot: sighting.ballot.clone() });
                count += 1;
            }
        }
        let end = cut_us.unwrap_or(end_ns / 1_000);
        for row in rows.values_mut() {
            row.iter_mut().last().expect("no row is empty").to = end;
        }
        let row = |((group, node), intervals)| Row { group, node, intervals };
        Leaders { rows: rows.into_iter().map(row).collect(), cut_us }
    }

    /// How often two nodes claimed to lead one group at the same time, and for how long at most, in
    /// microseconds.
    pub fn disputes(&self) -> (usize, u64) {
        let (mut count, mut longest) = (0, 0);
        for (index, row) in self.rows.iter().enumerate() {
            let rivals = self.rows[index + 1..].iter().filter(|other| other.group == row.group);
            for rival in rivals {
                for took in overlaps(&row.intervals, &rival.intervals) {
                    count += 1;
                    longest = longest.max(took);
                }
            }
        }
        (count, longest)
    }
}

/// How long both led, each time they did.
fn overlaps(one: &[Interval], other: &[Interval]) -> Vec<u64> {
    let leads = |interval: &&Interval| interval.state == State::Leads;
    let mut others = other.iter().filter(leads).peekable();
    let mut overlaps = Vec::new();
    for interval in one.iter().filter(leads) {
        while others.next_if(|other| other.to <= interval.from).is_some() {}
        for other in others.clone().take_while(|other| other.from < interval.to) {
            overlaps.push(interval.to.min(other.to) - interval.from.max(other.from));
        }
    }
    overlaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(time: u64, node: u16, leads: bool, ballot: &str) -> Sighting {
        Sighting { time: time * 1_000, node, group: Some(0), leads, ballot: ballot.to_string() }
    }

    fn silent(time: u64, node: u16) -> Sighting {
        Sighting { group: None, ..says(time, node, false, "") }
    }

    #[test]
    fn what_a_node_said_lasts_until_it_says_something_else() {
        let seen = [
            says(1, 1, true, "b1.1"),
            says(2, 2, false, "b1.1"),
            silent(5, 1),
            says(7, 2, true, "b2.2"),
        ];
        let leaders = Leaders::of(&seen, 9_000);
        let told: Vec<_> =
            leaders.rows[0].intervals.iter().map(|i| (i.from, i.to, i.state)).collect();
        assert_eq!(told, [(1, 5, State::Leads), (5, 9, State::Silent)]);
        assert_eq!(leaders.rows[1].intervals[1].ballot, "b2.2");
        assert_eq!(leaders.disputes(), (0, 0));
    }

    #[test]
    fn two_that_lead_at_the_same_time_are_counted() {
        let seen = [
            says(1, 1, true, "b1.1"),
            says(4, 2, true, "b2.2"),
            says(6, 2, false, "b2.2"),
            says(7, 3, true, "b3.3"),
            says(10, 1, false, "b3.3"),
        ];
        assert_eq!(Leaders::of(&seen, 20_000).disputes(), (2, 3));
    }

    #[test]
    fn what_is_said_after_the_end_is_left_out() {
        let seen =
            [says(1, 1, true, "b1.1"), says(12, 1, false, "b2.2"), says(13, 2, true, "b2.2")];
        let leaders = Leaders::of(&seen, 10_000);
        assert_eq!(leaders, Leaders::of(&seen[..1], 10_000));
        assert_eq!((leaders.rows[0].intervals[0].to, leaders.disputes()), (10, (0, 0)));
        let both = [
            says(1, 1, true, "b1.1"),
            says(2, 2, true, "b2.2"),
            says(12, 1, true, "b3.1"),
            says(13, 2, true, "b3.1"),
        ];
        assert_eq!(Leaders::of(&both, 10_000).disputes(), (1, 8));
    }

    #[test]
    fn an_endless_record_is_cut() {
        let flips = (0..100_000).map(|time| says(time, 1, time % 2 == 0, "b"));
        let leaders = Leaders::of(&flips.collect::<Vec<_>>(), 100_000_000);
        assert_eq!(leaders.rows[0].intervals.len(), INTERVALS_MAX);
        assert_eq!(leaders.cut_us, Some(INTERVALS_MAX as u64));
    }
}

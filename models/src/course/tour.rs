//! The guided tour: what the report of 2021 suspected, and what it was.

use super::process::{Pid, Repairs};
use super::{AGREEMENT, Course, Left};
use crate::catalogue::{Run, Size};
use crate::check::Search;
use crate::wishes::{Links, Wishes, grown};
use std::fmt;

const SUFFIX: &str = "\
The project of 2021 typed the course's protocol in, on links that keep the order and lose nothing.
Its report is content with that part: all five tests pass. None of them kills a leader.
A follower promises what *it* has not decided yet, and repeats the leader's own decided index. A new
leader that is behind puts these two ends together, and what lies between them is gone.";

const ROUND: &str = "\
That repaired, the course's own text has another gap: a leader that has collected its promises never
notes that it has accepted the adopted sequence *in its own round*. What it leads a quorum to decide
counts, at the next election, as older than what an earlier leader wrote down alone.";

const ACCEPT: &str = "\
The report's outlook names a \"tricky problem\" with datagrams and leaves it open. This is it: an
Accept says what to append and not where. One that overtakes another is appended in its place, and
one that is repeated is appended twice.";

const REPAIRED: &str = "\
With all three repaired nothing is left to be found, in these bounds, on either kind of link.";

const AS_PUBLISHED: Repairs =
    Repairs { promise_suffix: false, accepted_round: false, indexed_accept: false };
const SUFFIX_REPAIRED: Repairs = Repairs { promise_suffix: true, ..AS_PUBLISHED };
const ROUND_REPAIRED: Repairs = Repairs { accepted_round: true, ..SUFFIX_REPAIRED };
const ALL_REPAIRED: Repairs = Repairs { indexed_accept: true, ..ROUND_REPAIRED };

/// The three faults, each with the earlier ones repaired, and then none. Wishes are for the repaired
/// protocol: each fault is shown in bounds of its own.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    if !wishes.is_empty() {
        return wished(wishes);
    }
    let [first, second, third, none] =
        [AS_PUBLISHED, SUFFIX_REPAIRED, ROUND_REPAIRED, ALL_REPAIRED];
    let fault = |tale, course: Course| Run {
        bounds: course.to_string(),
        size: Size::Small,
        pinned: None,
        expected_states: 0.0,
        expected: Some(AGREEMENT),
        has_past: false,
        tale: Some(tale),
        subject: Box::new(course),
    };
    let repaired = |size, pinned: usize, tale, course: Course| Run {
        bounds: course.to_string(),
        size,
        pinned: Some(pinned),
        expected_states: pinned as f64,
        expected: None,
        has_past: false,
        tale,
        subject: Box::new(course),
    };
    vec![
        fault(SUFFIX, course(first, true, left(2, 2, 1, 0), &[])),
        fault(ROUND, course(second, true, left(3, 2, 1, 0), &[3, 1, 3])),
        fault(ACCEPT, course(third, false, left(1, 2, 0, 1), &[])),
        repaired(Size::Small, 282_448, Some(REPAIRED), course(none, true, left(2, 1, 1, 0), &[])),
        repaired(Size::Small, 46_567, None, course(none, false, left(1, 2, 0, 0), &[])),
        repaired(Size::Full, 2_925_103, None, course(none, true, left(2, 2, 1, 0), &[])),
        repaired(Size::Full, 4_841_260, None, course(none, true, left(3, 2, 1, 0), &[3, 1, 3])),
        repaired(Size::Full, 451_237, None, course(none, false, left(1, 2, 0, 1), &[])),
        repaired(Size::Full, 240_421, None, course(none, false, left(2, 1, 0, 0), &[])),
    ]
}

fn course(repairs: Repairs, fifo: bool, left: Left, leaders: &'static [Pid]) -> Course {
    Course { repairs, fifo, left, leaders, search: Search::default() }
}

fn left(elections: u8, commands: u8, crashes: u8, duplicates: u8) -> Left {
    Left { elections, commands, crashes, duplicates }
}

/// The repaired protocol in other bounds, on either kind of link, unless the wish is for one.
fn wished(wishes: &Wishes) -> Vec<Run> {
    let run = |fifo, own: Left, pinned: usize| {
        let wished = Left {
            elections: wishes.elections.unwrap_or(own.elections),
            commands: wishes.entries.unwrap_or(own.commands),
            crashes: wishes.crashes.unwrap_or(own.crashes),
            duplicates: wishes.duplicates(own.duplicates),
        };
        let course = course(ALL_REPAIRED, fifo, wished, &[]);
        Run {
            bounds: course.to_string(),
            size: Size::Small,
            pinned: None,
            expected_states: grown(pinned, wished.choices() - own.choices(), 0),
            expected: None,
            has_past: false,
            tale: None,
            subject: Box::new(course),
        }
    };
    let repeats = wishes.duplicates(0) > 0;
    let fifo = wishes.network.map_or(!repeats, |links| links == Links::Fifo);
    let datagrams = wishes.network != Some(Links::Fifo);
    let fifo = fifo.then(|| run(true, left(2, 1, 1, 0), 282_448));
    let datagrams = datagrams.then(|| run(false, left(1, 2, 0, 0), 46_567));
    fifo.into_iter().chain(datagrams).collect()
}

impl Left {
    fn choices(&self) -> i32 {
        let Left { elections, commands, crashes, duplicates } = *self;
        [elections, commands, crashes, duplicates].into_iter().map(i32::from).sum()
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left { elections, commands, crashes, duplicates } = self.left;
        let links = if self.fifo { "FIFO links" } else { "datagrams" };
        let repaired = match self.repairs {
            AS_PUBLISHED => "as published",
            ALL_REPAIRED => "repaired",
            _ => "in part repaired",
        };
        write!(f, "{repaired}, {links}")?;
        let counts = [
            (elections, "election"),
            (commands, "command"),
            (crashes, "crash"),
            (duplicates, "duplicate"),
        ];
        for (count, of) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {of}{}", if count > 1 { "s" } else { "" })?;
        }
        if !self.leaders.is_empty() {
            let leaders: Vec<String> = self.leaders.iter().map(|pid| format!("p{pid}")).collect();
            write!(f, " ({})", leaders.join(", "))?;
        }
        Ok(())
    }
}

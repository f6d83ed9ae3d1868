//! The guided tour: what the report of 2021 suspected, and what it was.

use super::process::Repairs;
use super::{AGREEMENT, Course, Left};
use crate::catalogue::{Run, Size, Wishes};
use crate::check::Search;
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

/// The three faults, each with the earlier ones repaired, and then none.
pub fn runs(_: &Wishes) -> Vec<Run> {
    let first = Repairs { promise_suffix: false, accepted_round: false, indexed_accept: false };
    let second = Repairs { promise_suffix: true, ..first };
    let third = Repairs { accepted_round: true, ..second };
    let none = Repairs { indexed_accept: true, ..third };
    let left = |elections, commands, crashes, duplicates| Left {
        elections,
        commands,
        crashes,
        duplicates,
    };
    let course = |repairs, fifo, left, leaders| {
        let search = Search::default();
        Course { repairs, fifo, left, leaders, search }
    };
    let fault = |tale, course: Course| Run {
        bounds: course.to_string(),
        size: Size::Small,
        pinned: None,
        expected: Some(AGREEMENT),
        tale: Some(tale),
        subject: Box::new(course),
    };
    let repaired = |size, pinned, tale, course: Course| Run {
        bounds: course.to_string(),
        size,
        pinned: Some(pinned),
        expected: None,
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

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left { elections, commands, crashes, duplicates } = self.left;
        write!(f, "{}", if self.fifo { "FIFO links" } else { "datagrams" })?;
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

//! The sessions of one group, and which of their numbers are under way.
//!
//! ```text
//!   number       .. 4   5   6   7   8   9  10      next: 10
//!   under way               x       x              base: 6, so 5 is acknowledged with the next
//! ```
//!
//! A command acknowledges all numbers below the lowest that is under way, and none that is: its
//! result may still be wanted. A number that was given up counts as done. Thereby the store refuses
//! what is still on its way under it, once it has seen a later command of the session.

use crate::wire::SessionId;

/// Most numbers from the lowest under way to the latest: as many results as a session remembers.
/// However they overtake each other on the way, the store finds room for each.
const WINDOW: u64 = u128::BITS as u64;

/// The sessions of a client in one group.
#[derive(Default)]
pub(super) struct Sessions {
    open: Vec<Session>,
}

/// A number of a session, for one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket {
    pub session: SessionId,
    pub number: u64,
    pub acknowledged: u64,
}

/// Invariant: `base <= next <= base + WINDOW`; bit `i` of `under_way` is that of `base + i`, which is
/// below `next`; bit 0 is set unless no bit is, and then `base == next`.
struct Session {
    id: SessionId,
    next: u64,
    base: u64,
    under_way: u128,
}

impl Sessions {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// A session was opened.
    pub fn opened(&mut self, id: SessionId) {
        self.open.push(Session { id, next: 1, base: 1, under_way: 0 });
    }

    /// A number never used before, of any session that has room.
    pub fn take(&mut self) -> Option<Ticket> {
        let session = self.open.iter_mut().find(|session| session.next - session.base < WINDOW)?;
        let number = session.next;
        session.next += 1;
        session.under_way |= 1 << (number - session.base);
        Some(Ticket { session: session.id, number, acknowledged: session.base - 1 })
    }

    /// The command of this number has an outcome, whichever.
    pub fn done(&mut self, Ticket { session, number, .. }: Ticket) {
        let Some(session) = self.open.iter_mut().find(|open| open.id == session) else { return };
        session.under_way &= !(1 << (number - session.base));
        if session.under_way == 0 {
            session.base = session.next;
        } else {
            let done = session.under_way.trailing_zeros();
            session.under_way >>= done;
            session.base += u64::from(done);
        }
    }

    /// The store has forgotten the session.
    pub fn evicted(&mut self, id: SessionId) {
        self.open.retain(|session| session.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use std::collections::BTreeSet;

    fn one() -> Sessions {
        let mut sessions = Sessions::default();
        sessions.opened(SessionId(7));
        sessions
    }

    fn take(sessions: &mut Sessions) -> (u64, u64) {
        let ticket = sessions.take().expect("there is room");
        (ticket.number, ticket.acknowledged)
    }

    fn done(sessions: &mut Sessions, number: u64) {
        sessions.done(Ticket { session: SessionId(7), number, acknowledged: 0 });
    }

    #[test]
    fn all_below_the_lowest_under_way_is_acknowledged() {
        let mut sessions = one();
        assert_eq!(take(&mut sessions), (1, 0));
        assert_eq!(take(&mut sessions), (2, 0));
        assert_eq!(take(&mut sessions), (3, 0));
        done(&mut sessions, 2);
        assert_eq!(take(&mut sessions), (4, 0));
        done(&mut sessions, 1);
        assert_eq!(take(&mut sessions), (5, 2));
        (3..=5).for_each(|number| done(&mut sessions, number));
        assert_eq!(take(&mut sessions), (6, 5));
    }

    #[test]
    fn the_window_is_what_the_store_remembers() {
        assert_eq!(WINDOW, u64::from(crate::session::Limits::default().results_max));
        let mut sessions = one();
        (1..=WINDOW).for_each(|number| assert_eq!(take(&mut sessions), (number, 0)));
        assert_eq!(sessions.take(), None);
        done(&mut sessions, WINDOW);
        assert_eq!(sessions.take(), None, "the first is still under way");
        done(&mut sessions, 1);
        assert_eq!(take(&mut sessions), (WINDOW + 1, 1));
        assert_eq!(sessions.take(), None);
        sessions.opened(SessionId(9));
        assert_eq!(sessions.take().map(|ticket| ticket.session), Some(SessionId(9)));
        sessions.evicted(SessionId(9));
        assert_eq!((sessions.take(), sessions.count()), (None, 1));
    }

    #[test]
    fn it_agrees_with_a_set_of_all_numbers_under_way() {
        let (mut random, mut sessions) = (Random::seeded(), one());
        let (mut under_way, mut next) = (BTreeSet::new(), 1);
        for _ in 0..100_000 {
            let lowest = under_way.first().copied().unwrap_or(next);
            if random.below(2) == 0 {
                match sessions.take() {
                    None => assert_eq!(next - lowest, WINDOW),
                    Some(ticket) => {
                        assert_eq!((ticket.number, ticket.acknowledged), (next, lowest - 1));
                        assert!(next - lowest < WINDOW);
                        under_way.insert(next);
                        next += 1;
                    }
                }
            } else if let Some(number) = under_way.range(lowest + random.below(WINDOW)..).next() {
                let number = *number;
                under_way.remove(&number);
                done(&mut sessions, number);
            }
        }
    }
}

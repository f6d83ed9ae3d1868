//! Whom to ask next, and how long to wait for the answer. Time comes in from outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::{Answer, NodeId, Reply};

/// The first attempt may take so long. An answer comes in a few milliseconds, from a slow disk in
/// some tens; and about as long is an election.
const WAIT: Duration = Duration::from_millis(100);
/// Later attempts take longer, up to this: if all is slow, asking more often makes it slower.
const WAIT_MAX: Duration = Duration::from_millis(800);
/// How long to leave alone who is busy or knows no leader; half as long again with each time.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Redirects to follow without a pause: two nodes may each take the other for the leader.
const HOPS_MAX: u32 = 3;

/// The search for a node that answers.
pub(super) struct Search {
    /// Not empty.
    nodes: Arc<[NodeId]>,
    asked: NodeId,
    /// Whom to ask when the time is up.
    next: NodeId,
    until: Instant,
    deadline: Instant,
    wait: Duration,
    pause: Duration,
    until_then: Until,
    /// Redirects followed since the last wait or pause.
    hops: u32,
    /// Who let time run out last, and was not heard since. Followers redirect to a dead leader until
    /// they have another.
    silent: Option<NodeId>,
}

/// What the time is for that has to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Until {
    /// An answer.
    Answer,
    /// Nothing: the answer is known to be none.
    Pause,
    /// An answer of the silent one, though none is expected.
    Probe,
}

/// What to do after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// It is the answer.
    Done,
    /// Ask the node that `asked` now gives.
    Send,
    /// Go on listening.
    Wait,
}

impl Search {
    /// Begins with `first`.
    pub fn new(nodes: Arc<[NodeId]>, first: NodeId, now: Instant, deadline: Instant) -> Search {
        let mut search = Search {
            nodes,
            asked: first,
            next: first,
            until: now,
            deadline,
            wait: WAIT,
            pause: PAUSE,
            until_then: Until::Answer,
            hops: 0,
            silent: None,
        };
        search.turn_to(first, now);
        search
    }

    /// Whom to ask now.
    pub fn asked(&self) -> NodeId {
        self.asked
    }

    /// How long to listen; never after the deadline.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// The time is up: turns to the next node.
    pub fn silence(&mut self, now: Instant) {
        if self.until_then == Until::Answer {
            self.silent = Some(self.asked);
            self.wait = (self.wait * 3 / 2).min(WAIT_MAX);
        }
        self.hops = 0;
        let next =
            if self.until_then == Until::Answer { self.after(self.asked) } else { self.next };
        self.turn_to(next, now);
    }

    /// Judges an answer. One that sends us elsewhere counts only from whom we ask now.
    pub fn hear(
        &mut self,
        from: NodeId,
        answer: &Answer<'_>,
        is_route: bool,
        now: Instant,
    ) -> Step {
        let is_current = from == self.asked && self.until_then != Until::Pause;
        self.silent.take_if(|silent| *silent == from);
        match answer {
            Answer::Redirect(_) if is_route => Step::Done,
            Answer::Redirect(leader) if is_current => self.redirect(*leader, now),
            Answer::Busy | Answer::Reply(Reply::Overfull) if is_current => {
                self.pause_before(self.asked, now)
            }
            Answer::Redirect(_) | Answer::Busy | Answer::Reply(Reply::Overfull) => Step::Wait,
            _ => Step::Done,
        }
    }

    fn redirect(&mut self, leader: Option<NodeId>, now: Instant) -> Step {
        let known = leader.filter(|node| *node != self.asked && self.nodes.contains(node));
        match known {
            None => self.pause_before(self.after(self.asked), now),
            Some(leader) if self.silent == Some(leader) => self.probe(leader, now),
            Some(leader) if self.hops == HOPS_MAX => self.pause_before(leader, now),
            Some(leader) => {
                self.hops += 1;
                self.turn_to(leader, now);
                Step::Send
            }
        }
    }

    /// Sends to who was silent, for it may have been the network; but waits for others.
    fn probe(&mut self, silent: NodeId, now: Instant) -> Step {
        self.next = self.after(self.asked);
        self.asked = silent;
        self.rest(Until::Probe, now);
        Step::Send
    }

    fn pause_before(&mut self, next: NodeId, now: Instant) -> Step {
        self.next = next;
        self.rest(Until::Pause, now);
        Step::Wait
    }

    fn rest(&mut self, until_then: Until, now: Instant) {
        self.until_then = until_then;
        self.until = (now + self.pause).min(self.deadline);
        self.pause = (self.pause * 3 / 2).min(PAUSE_MAX);
    }

    fn turn_to(&mut self, node: NodeId, now: Instant) {
        self.until_then = Until::Answer;
        self.asked = node;
        self.until = (now + self.wait).min(self.deadline);
    }

    /// Round robin, past who is silent.
    fn after(&self, node: NodeId) -> NodeId {
        let count = self.nodes.len();
        let at = self.nodes.iter().position(|other| *other == node).unwrap_or(count - 1);
        let mut others = (1..=count).map(|step| self.nodes[(at + step) % count]);
        others.find(|other| self.silent != Some(*other)).unwrap_or(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);
    const NODES: [NodeId; 3] = [N1, N2, N3];

    fn search(now: Instant) -> Search {
        Search::new(NODES.into(), N1, now, now + Duration::from_secs(5))
    }

    fn redirected(search: &mut Search, to: Option<NodeId>, now: Instant) -> Step {
        search.hear(search.asked(), &Answer::Redirect(to), false, now)
    }

    #[test]
    fn silence_goes_round_and_waits_grow_up_to_the_deadline() {
        let mut now = Instant::now();
        let mut search = search(now);
        let (mut asked, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            asked.push(search.asked());
            waits.push(search.until() - now);
            now = search.until();
            search.silence(now);
        }
        assert_eq!(asked[..4], [N1, N2, N3, N1]);
        assert_eq!(waits[0], WAIT);
        assert!(waits[..8].is_sorted() && waits.iter().all(|wait| *wait <= WAIT_MAX));
        assert!(waits[19].is_zero(), "nothing is left at the deadline");
    }

    #[test]
    fn a_redirect_is_followed_at_once_but_a_circle_is_left() {
        let now = Instant::now();
        let mut search = search(now);
        for to in [N2, N1, N2] {
            assert_eq!(redirected(&mut search, Some(to), now), Step::Send);
            assert_eq!(search.asked(), to);
        }
        assert_eq!(redirected(&mut search, Some(N1), now), Step::Wait);
        assert_eq!(search.until(), now + PAUSE);
        search.silence(now + PAUSE);
        assert_eq!(search.asked(), N1);
    }

    #[test]
    fn a_silent_leader_is_probed_while_others_are_asked() {
        let mut now = Instant::now();
        let mut search = search(now);
        search.silence(now);
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(search.asked());
            assert_eq!(redirected(&mut search, Some(N1), now), Step::Send);
            assert_eq!(search.asked(), N1);
            assert!(search.until() - now <= 4 * PAUSE, "it is not waited for");
            now = search.until();
            search.silence(now);
        }
        assert_eq!(asked, [N2, N3, N2, N3]);
        // Once it was heard, it is a leader as any other.
        assert_eq!(search.hear(N1, &Answer::Redirect(None), false, now), Step::Wait);
        assert_eq!(redirected(&mut search, Some(N1), now), Step::Send);
        assert!(search.until() - now >= WAIT);
    }

    #[test]
    fn who_is_busy_is_asked_again_after_a_pause() {
        let now = Instant::now();
        let mut search = search(now);
        assert_eq!(search.hear(N1, &Answer::Busy, false, now), Step::Wait);
        search.silence(search.until());
        assert_eq!(search.asked(), N1);
        assert_eq!(redirected(&mut search, None, now), Step::Wait);
        search.silence(search.until());
        assert_eq!(search.asked(), N2);
    }

    #[test]
    fn an_old_attempt_may_answer_but_not_mislead() {
        let now = Instant::now();
        let mut search = search(now);
        search.silence(now);
        assert_eq!(search.hear(N1, &Answer::Redirect(Some(N3)), false, now), Step::Wait);
        assert_eq!(search.hear(N1, &Answer::Busy, false, now), Step::Wait);
        assert_eq!((search.asked(), search.until()), (N2, now + WAIT * 3 / 2));
        assert_eq!(search.hear(N1, &Answer::Reply(Reply::Put), false, now), Step::Done);
    }
}

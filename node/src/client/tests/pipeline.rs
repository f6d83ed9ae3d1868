//! Many requests at a time.

use std::collections::BTreeSet;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A pipeline to scripted nodes.
struct Piped {
    pipeline: Pipeline,
    heard: mpsc::Receiver<Heard>,
}

impl Piped {
    fn to(nodes: u16, answer: Script, timeout: Duration) -> Piped {
        let (cluster, heard) = serving(nodes, answer, usize::MAX);
        let pipeline = Pipeline::connect(&cluster, None, timeout).expect("a socket");
        Piped { pipeline, heard }
    }

    fn put(&mut self, tag: u64) {
        self.pipeline.submit(tag, Ask::Put { key: b"k", value: b"v" });
    }

    /// The outcomes of all that is in flight, by ascending tag.
    fn outcomes(&mut self) -> Vec<(u64, Outcome<Done>)> {
        let mut outcomes = Vec::new();
        while self.pipeline.in_flight() > 0 {
            let Completion { tag, outcome, .. } = self.pipeline.poll(TIMEOUT).expect("in time");
            outcomes.push((tag, outcome));
        }
        outcomes.sort_by_key(|(tag, _)| *tag);
        outcomes
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }
}

fn all(count: u64, outcome: Outcome<Done>) -> Vec<(u64, Outcome<Done>)> {
    (0..count).map(|tag| (tag, outcome.clone())).collect()
}

/// A session's and a command's number.
fn numbers(asked: &str) -> Option<(u64, u64)> {
    let (session, rest) = asked.strip_prefix('s')?.split_once('#')?;
    Some((session.parse().ok()?, rest.split_once(' ')?.0.parse().ok()?))
}

/// Opens a session at each request for one, and executes every command.
fn willing(_: u16, nth: usize, asked: &str) -> Option<Answer<'static>> {
    if asked == "open" { opened(7 + nth as u64) } else { reply(Reply::Put) }
}

#[test]
fn requests_submitted_together_share_datagrams() {
    let mut it = Piped::to(1, |_, _, _| reply(found(b"v")), TIMEOUT);
    (0..200).for_each(|tag| it.pipeline.submit(tag, Ask::Get { key: b"k" }));
    assert_eq!(it.pipeline.in_flight(), 200);
    assert_eq!(it.outcomes(), all(200, Outcome::Ok(Done::Found(b"v"[..].into()))));
    let heard = it.heard();
    let datagrams = heard.chunk_by(|one, other| one.datagram == other.datagram).count();
    assert!(heard.len() >= 200 && heard.len() / datagrams >= 20, "{datagrams} datagrams");
}

#[test]
fn a_session_takes_no_more_than_the_store_remembers_and_then_there_is_another() {
    let mut it = Piped::to(1, willing, TIMEOUT);
    for _ in 0..5 {
        (0..300).for_each(|tag| it.put(tag));
        assert_eq!(it.outcomes(), all(300, Outcome::Ok(Done::Put)));
    }
    let heard = it.heard();
    let mut commands = BTreeSet::new();
    for Heard { asked, acknowledged, .. } in &heard {
        let Some((session, number)) = numbers(asked) else { continue };
        assert!((*acknowledged + 1..=*acknowledged + 128).contains(&number), "{asked}");
        commands.insert((session, number));
    }
    assert_eq!(commands.len(), 1_500, "each has a number of its own");
    let sessions: BTreeSet<u64> = commands.iter().map(|(session, _)| *session).collect();
    assert!((3..20).contains(&sessions.len()), "{sessions:?}");
}

#[test]
fn what_is_under_way_is_not_acknowledged_and_what_is_given_up_is() {
    let answer = |node, nth, asked: &str| match numbers(asked) {
        Some((_, 1)) => None,
        _ => willing(node, nth, asked),
    };
    let mut it = Piped::to(1, answer, Duration::from_secs(2));
    (0..3).for_each(|tag| it.put(tag));
    let (ok, given_up) = (Outcome::Ok(Done::Put), Outcome::Indeterminate(Why::NoAnswer));
    assert_eq!(it.outcomes(), [(0, given_up), (1, ok.clone()), (2, ok.clone())]);
    assert!(it.heard().iter().all(|heard| heard.acknowledged == 0));
    it.put(3);
    assert_eq!(it.outcomes(), [(3, ok)]);
    let heard = it.heard();
    assert_eq!((heard[0].asked.as_str(), heard[0].acknowledged), ("s7#4 put k=v", 3));
}

#[test]
fn an_eviction_at_the_first_sending_is_repaired_for_all() {
    let answer = |node, nth, asked: &str| match numbers(asked) {
        Some((7, _)) => reply(Reply::Expired),
        _ => willing(node, nth, asked),
    };
    let mut it = Piped::to(1, answer, TIMEOUT);
    (0..10).for_each(|tag| it.put(tag));
    let outcomes = it.outcomes();
    let heard = it.heard();
    for (tag, outcome) in outcomes {
        let first = format!("s7#{} put k=v", tag + 1);
        // More than once on a machine so slow that it was asked again meanwhile.
        match heard.iter().filter(|heard| heard.asked == first).count() {
            1 => assert_eq!(outcome, Outcome::Ok(Done::Put)),
            _ => assert!(!matches!(outcome, Outcome::Fail(_))),
        }
    }
}

#[test]
fn each_finds_the_leader_by_itself_and_later_ones_know_it() {
    let answer = |node, _, _: &str| match node {
        1 => Some(Answer::Redirect(Some(NodeId(2)))),
        _ => reply(found(b"v")),
    };
    let mut it = Piped::to(2, answer, TIMEOUT);
    for first in [1, 2] {
        (0..50).for_each(|tag| it.pipeline.submit(tag, Ask::Get { key: b"k" }));
        assert_eq!(it.outcomes(), all(50, Outcome::Ok(Done::Found(b"v"[..].into()))));
        assert_eq!(it.heard()[0].node, first);
    }
}

#[test]
fn long_and_short_requests_travel_side_by_side() {
    let (cluster, heard) = serving(1, willing, 11);
    let pipeline = Pipeline::connect(&cluster, None, TIMEOUT).expect("a socket");
    let (mut it, large) = (Piped { pipeline, heard }, vec![b'l'; PAIR_BYTES_MAX - 1]);
    for tag in 0..10 {
        let value = if tag % 2 == 0 { &large[..] } else { b"short" };
        it.pipeline.submit(tag, Ask::Put { key: b"k", value });
    }
    assert_eq!(it.outcomes(), all(10, Outcome::Ok(Done::Put)));
}

#[test]
fn silence_and_what_is_too_large_are_told_apart() {
    let mut it = Piped::to(1, |_, _, _| None, Duration::from_millis(300));
    it.put(0);
    it.pipeline.submit(1, Ask::Get { key: b"k" });
    it.pipeline.submit(2, Ask::Get { key: &[0; 1025] });
    it.pipeline.submit(3, Ask::Status { node: NodeId(1) });
    let no_answer = Outcome::Indeterminate(Why::NoAnswer);
    let too_large = Outcome::Fail(Failure::TooLarge { size_bytes_max: 1024 });
    let no_session = Outcome::Indeterminate(Why::NoSession);
    let expected = [(0, no_session), (1, no_answer.clone()), (2, too_large), (3, no_answer)];
    assert_eq!(it.outcomes(), expected);
    assert_eq!(it.pipeline.poll(Duration::ZERO), None);
}

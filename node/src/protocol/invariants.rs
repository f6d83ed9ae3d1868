//! What must hold, executable. Debug builds assert the first two groups after every step; the
//! simulator and the models sweep all of them; nothing else specifies the protocol.

use super::ballot::{Ballot, Index};
use super::durable::Durable;
use super::interface::StateMachine;
use super::message::{Envelope, Message, Report};
use super::sequence_paxos::Role;
use super::sequence_paxos::leader::Phase;
use super::{Replica, Status};

/// A predicate with the name it is reported by.
pub type Named<T> = (&'static str, fn(&T) -> bool);

/// The name of the first predicate that does not hold.
pub fn broken<T>(predicates: &[Named<T>], of: &T) -> Option<&'static str> {
    predicates.iter().find(|(_, holds)| !holds(of)).map(|(name, _)| *name)
}

// --- Of one replica, in every state ------------------------------------------------------------

/// Holds in every state of every replica.
pub fn of_a_replica<M: StateMachine>() -> [Named<Replica<M>>; 6] {
    [
        ("first <= applied <= decided <= accepted", |replica| {
            let Status { first, applied, decided, accepted, .. } = replica.status();
            first <= applied && applied <= decided && decided <= accepted
        }),
        ("accepted ballot <= promised", |replica| {
            replica.acceptor.accepted_ballot <= replica.acceptor.promised
        }),
        ("what is durable is not ahead of what was written", |replica| {
            let (acceptor, durable) = (&replica.acceptor, replica.acceptor.durable);
            let same = durable.accepted_ballot == acceptor.accepted_ballot;
            durable.promised <= acceptor.promised
                && durable.accepted_ballot <= acceptor.accepted_ballot
                && (!same || durable.accepted <= acceptor.log.accepted())
        }),
        ("the log is trimmed only under a durable snapshot", |replica| {
            replica.acceptor.log.first() <= replica.snapshots.index()
        }),
        ("a leader promised its own ballot, and accepts under no other", |replica| {
            let Role::Leader(leader) = &replica.role else { return true };
            let accepting = matches!(leader.phase, Phase::Accept(_));
            leader.ballot.node == replica.config.node
                && leader.ballot == replica.acceptor.promised
                && accepting == (leader.ballot == replica.acceptor.accepted_ballot)
        }),
        ("a leader's bookkeeping adds up", |replica| match &replica.role {
            Role::Leader(leader) => leader.is_consistent(&replica.config, &replica.acceptor),
            Role::Follower(_) | Role::Recover => true,
        }),
    ]
}

// --- Of one replica, across a step -------------------------------------------------------------

/// What must not go back, seen before and after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Observed {
    pub promised: Ballot,
    pub accepted_ballot: Ballot,
    pub accepted: Index,
    pub decided: Index,
    pub applied: Index,
    pub first: Index,
}

impl Observed {
    /// Looks at a replica.
    pub fn of<M: StateMachine>(replica: &Replica<M>) -> Observed {
        let acceptor = &replica.acceptor;
        Observed {
            promised: acceptor.promised,
            accepted_ballot: acceptor.accepted_ballot,
            accepted: acceptor.log.accepted(),
            decided: acceptor.decided,
            applied: replica.applied,
            first: acceptor.log.first(),
        }
    }
}

/// Holds between any state and the next, without a crash between.
pub const OF_A_STEP: [Named<(Observed, Observed)>; 6] = [
    ("promised never decreases", |(before, after)| before.promised <= after.promised),
    ("accepted ballot never decreases", |(before, after)| {
        before.accepted_ballot <= after.accepted_ballot
    }),
    ("within a ballot, accepted never decreases", |(before, after)| {
        before.accepted_ballot != after.accepted_ballot || before.accepted <= after.accepted
    }),
    ("decided never decreases", |(before, after)| before.decided <= after.decided),
    ("applied never decreases", |(before, after)| before.applied <= after.applied),
    ("first never decreases", |(before, after)| before.first <= after.first),
];

/// Asserts the predicates of a replica and of the step it has just taken.
pub fn assert_step<M: StateMachine>(before: &Observed, replica: &Replica<M>) {
    let step = (*before, Observed::of(replica));
    let broken = broken(&OF_A_STEP, &step).or_else(|| broken(&of_a_replica(), replica));
    assert!(broken.is_none(), "{}: {:?}", broken.unwrap_or_default(), replica.status());
}

// --- Of a message and its sender's disk --------------------------------------------------------

/// Whether what `message` vouches for is on its sender's disk: `Accepted(b, i)` means `i` entries
/// durable under `b`, a promise is durable before it is given, and a ballot before it is used.
pub fn is_vouched_for(disk: &Durable, message: &Message) -> bool {
    let (accepted_ballot, accepted) = disk.accepted();
    match message {
        Message::Accepted { ballot, accepted: claimed } => {
            accepted_ballot == *ballot && *claimed <= accepted
        }
        Message::Promise(report) | Message::Hello(report) => {
            let Report { promised, accepted_ballot: claimed_ballot, accepted: claimed, .. } =
                report;
            disk.promise() >= *promised
                && (accepted_ballot == *claimed_ballot && *claimed <= accepted)
        }
        Message::Prepare { ballot }
        | Message::AcceptSync { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Decide { ballot, .. } => disk.promise() >= *ballot,
        Message::HeartbeatRequest { leading, .. } => {
            leading.is_none_or(|leading| disk.promise() >= leading.ballot)
        }
        Message::Nack { .. }
        | Message::Pull { .. }
        | Message::Pulled { .. }
        | Message::SnapshotPull { .. }
        | Message::SnapshotPiece { .. }
        | Message::Confirm { .. }
        | Message::Confirmed { .. }
        | Message::HeartbeatReply { .. } => true,
    }
}

/// The first message of a step's output that the sender's disk does not vouch for.
pub fn unvouched<'a>(disk: &Durable, sent: &'a [Envelope]) -> Option<&'a Envelope> {
    sent.iter().find(|envelope| !is_vouched_for(disk, &envelope.message))
}

// --- Of a cluster, at every moment -------------------------------------------------------------

/// A predicate over two replicas of one group.
pub type OfAPair<M> = (&'static str, fn(&Replica<M>, &Replica<M>) -> bool);

/// Holds between any two replicas of a group, at every moment.
pub fn of_a_pair<M: StateMachine>() -> [OfAPair<M>; 4] {
    [
        ("logs with equal accepted ballot are prefixes of each other", |a, b| {
            let (one, other) = (&a.acceptor, &b.acceptor);
            one.accepted_ballot != other.accepted_ballot
                || agree(a, b, one.log.accepted().min(other.log.accepted()))
        }),
        ("decided prefixes agree", |a, b| agree(a, b, a.acceptor.decided.min(b.acceptor.decided))),
        ("equal applied index, equal state", |a, b| {
            a.applied != b.applied || a.machine.digest() == b.machine.digest()
        }),
        ("one leader a ballot", |a, b| {
            let ballot = |replica: &Replica<M>| match &replica.role {
                Role::Leader(leader) => Some(leader.ballot),
                Role::Follower(_) | Role::Recover => None,
            };
            ballot(a).is_none() || ballot(a) != ballot(b)
        }),
    ]
}

/// The first predicate that two of the replicas break.
pub fn broken_pair<M: StateMachine>(replicas: &[&Replica<M>]) -> Option<&'static str> {
    let pairs = replicas
        .iter()
        .enumerate()
        .flat_map(|(at, one)| replicas[at + 1..].iter().map(move |other| (*one, *other)));
    let mut broken = pairs.flat_map(|(one, other)| {
        of_a_pair().into_iter().filter(move |(_, holds)| !holds(one, other))
    });
    broken.next().map(|(name, _)| name)
}

/// A chosen entry is in every later leader's log: what a quorum's disks hold under one ballot, every
/// replica that accepts under a higher one has too. `disks`: of all members, crashed ones included.
pub fn chosen_entries_last<M: StateMachine>(disks: &[&Durable], replicas: &[&Replica<M>]) -> bool {
    let quorum = disks.len() / 2 + 1;
    disks.iter().all(|holder| {
        let (ballot, _) = holder.accepted();
        let under = |disk: &&&Durable| disk.accepted().0 == ballot;
        let mut counts: Vec<Index> =
            disks.iter().filter(under).map(|disk| disk.accepted().1).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&chosen) = counts.get(quorum - 1) else { return true };
        let later = replicas.iter().filter(|replica| replica.acceptor.accepted_ballot > ballot);
        let end = chosen.min(holder.accepted().1);
        later.into_iter().all(|replica| {
            let log = &replica.acceptor.log;
            let start = log.first().max(holder.log().first());
            end <= log.accepted()
                && (start >= end || log.iter(start, end).eq(holder.log().iter(start, end)))
        })
    })
}

/// Whether two logs hold the same entries wherever both still hold any before `end`.
fn agree<M>(a: &Replica<M>, b: &Replica<M>, end: Index) -> bool {
    let (one, other) = (&a.acceptor.log, &b.acceptor.log);
    let start = one.first().max(other.first());
    start >= end || one.iter(start, end).eq(other.iter(start, end))
}

//! States, actions and what they brought about, for readers of stories and of the explorer.

use super::bounds::MESSAGE_BYTES;
use super::network::Sent;
use super::{Action, Bounds, Budget, Elections, Node, Told, Unsynced, World, Writes};
use crate::diagram::Event;
use ::node::protocol::invariants::Observed;
use ::node::protocol::{Ballot, Index, NodeId, Record, Replica, Status, Write};
use std::fmt;

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver(envelope) => write!(f, "{envelope}"),
            Action::Elect(node) => write!(f, "{node} is elected"),
            Action::Propose(node) => write!(f, "a client asks {node} to append"),
            Action::Retransmit(node) => write!(f, "{node} repeats what was not answered"),
            Action::Heartbeat(node) => write!(f, "{node} sends heartbeats"),
            Action::Sync(node) => write!(f, "{node}'s oldest write is on disk"),
            Action::Save(node) => write!(f, "{node}'s snapshot is on disk"),
            Action::Crash(node, 0) => write!(f, "{node} crashes"),
            Action::Crash(node, kept) => {
                write!(f, "{node} crashes, {kept} unsynced records survive")
            }
            Action::Restart(node) => write!(f, "{node} starts again"),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<M: Told> fmt::Display for Node<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replica {
            None => {
                let (under, accepted) = self.disk.durable.accepted();
                let promised = self.disk.durable.promise();
                write!(f, "down; on disk: promised {promised}, ..{accepted} under {under}")?;
            }
            Some(replica) => replica_in_words(f, replica)?,
        }
        for Unsynced(Write { records, .. }) in &self.disk.unsynced {
            let records: Vec<String> = records.iter().map(Record::to_string).collect();
            write!(f, "; being written: {}", records.join(", "))?;
        }
        for (index, _) in &self.disk.saving {
            write!(f, "; snapshot of {index} being written")?;
        }
        Ok(())
    }
}

fn replica_in_words<M: Told>(f: &mut fmt::Formatter<'_>, replica: &Replica<M>) -> fmt::Result {
    let Status { phase, promised, accepted_ballot, first, decided, accepted, snapshot, .. } =
        replica.status();
    let log = World::log_of(replica, first, accepted);
    write!(f, "{phase:<8} promised {promised}, log {first}..{accepted}")?;
    write!(f, " [{log}] under {accepted_ballot}, decided {decided}")?;
    match snapshot {
        Index::ZERO => Ok(()),
        snapshot => write!(f, ", snapshot of {snapshot}"),
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { elections, entries, crashes, retransmissions, heartbeats, duplicates } = *self;
        let kinds = [
            (elections, "election", "s"),
            (entries, "entr", "ies"),
            (crashes, "crash", "es"),
            (retransmissions, "retransmission", "s"),
            (heartbeats, "heartbeat", "s"),
            (duplicates, "duplicate", "s"),
        ];
        let counted = |(count, kind, many): (u8, &str, &str)| match (count, many) {
            (1, "ies") => format!("1 {kind}y"),
            (1, _) => format!("1 {kind}"),
            _ => format!("{count} {kind}{many}"),
        };
        let left: Vec<String> =
            kinds.into_iter().filter(|(count, ..)| *count > 0).map(counted).collect();
        write!(f, "{}", if left.is_empty() { "nothing".into() } else { left.join(", ") })
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes", self.nodes)?;
        if self.budget != Budget::default() {
            write!(f, ", {}", self.budget)?;
        }
        let links: Vec<String> = self.links.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        if !links.is_empty() {
            write!(f, ", linked {}", links.join(" "))?;
        }
        let candidates: Vec<String> = self.candidates.iter().map(|n| format!("n{n}")).collect();
        if self.elections != Elections::Free {
            if candidates.len() < usize::from(self.nodes) {
                write!(f, ", {} ticks", candidates.join(" or "))?;
            }
        } else if self.in_turn {
            write!(f, ", led by {} in turn", candidates.join(", "))?;
        } else if candidates.len() < usize::from(self.nodes) {
            write!(f, ", led by {}", candidates.join(" or "))?;
        }
        if self.snapshot_every > 0 {
            write!(f, ", snapshots")?;
        }
        if self.message_bytes < MESSAGE_BYTES {
            write!(f, ", pieces of {} B", self.message_bytes)?;
        }
        if self.writes == Writes::Later {
            write!(f, ", slow disks")?;
        }
        Ok(())
    }
}

impl<M: Told> fmt::Display for World<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, at) in self.nodes.iter().zip(1..) {
            writeln!(f, "n{at}  {node}")?;
        }
        let decided = self.decided.iter().map(|decided| decided.entry.as_slice());
        writeln!(f, "decided by anyone: [{}]", super::chain::tell::<M>(decided))?;
        writeln!(f, "may still happen: {}", self.left)?;
        if let Some(broken) = &self.broken {
            writeln!(f, "BROKEN: {}: {}", broken.property, broken.detail)?;
        }
        writeln!(f, "under way:")?;
        let under_way = self.network.iter().filter(|sent| !sent.arrived);
        under_way.map(|sent| &sent.envelope).try_for_each(|sent| writeln!(f, "  {sent}"))?;
        writeln!(f, "arrived before:")?;
        let arrived = self.network.iter().filter(|sent| sent.arrived);
        arrived.map(|sent| &sent.envelope).try_for_each(|sent| writeln!(f, "  {sent}"))
    }
}

/// The explorer prints states with `{:#?}`; pages of fields would help nobody.
impl<M: Told> fmt::Debug for World<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What changed from one state to the next, a line each.
pub fn effects<M: Told>(before: &World<M>, after: &World<M>) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, (old, new)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        if old != new {
            changes(NodeId(at as u16 + 1), old, new, &mut lines);
        }
    }
    let known = |sent: &Sent| before.network.get(&sent.envelope).is_some_and(|was| !was.arrived);
    let news = after.network.iter().filter(|sent| !sent.arrived && !known(sent));
    lines.extend(news.map(|sent| format!("sends {}", sent.envelope)));
    if let Some(broken) = &after.broken {
        lines.push(format!("BROKEN: {}: {}", broken.property, broken.detail));
    }
    lines
}

fn changes<M: Told>(node: NodeId, old: &Node<M>, new: &Node<M>, lines: &mut Vec<String>) {
    // With its number: a write may say the same as the one before it.
    let known = |write: &Write| old.disk.unsynced.iter().any(|before| before.0 == *write);
    let fresh = new.disk.unsynced.iter().map(|write| &write.0).filter(|write| !known(write));
    for record in fresh.flat_map(|write| &write.records) {
        lines.push(format!("{node} writes {record}"));
    }
    let (Some(was), Some(is)) = (&old.replica, &new.replica) else {
        if let Some(replica) = &new.replica {
            lines.push(format!("{node} is back: {}", Phase(replica)));
        }
        return;
    };
    let (from, to) = (Observed::of(was), Observed::of(is));
    if from.promised != to.promised {
        lines.push(format!("{node} promises {}", to.promised));
    }
    if (from.accepted_ballot, from.accepted) != (to.accepted_ballot, to.accepted) {
        let log = World::log_of(is, to.first, to.accepted);
        lines.push(format!("{node}'s log is [{log}] under {}", to.accepted_ballot));
    }
    if from.first != to.first {
        lines.push(format!("{node}'s log begins at {}", to.first));
    }
    if from.decided < to.decided && to.first <= from.decided {
        let entries = World::log_of(is, from.decided, to.decided);
        lines.push(format!("{node} decides {entries}"));
    } else if from.decided < to.decided {
        lines.push(format!("{node} installs a snapshot of {}", to.decided));
    }
    if was.status().phase != is.status().phase {
        lines.push(format!("{node} is now {}", Phase(is)));
    }
}

/// A role in a word or two.
struct Phase<'a, M: Told>(&'a Replica<M>);

impl<M: Told> fmt::Display for Phase<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { phase, promised, .. } = self.0.status();
        match phase {
            "prepare" => write!(f, "preparing to lead {promised}"),
            "leader" => write!(f, "leader of {promised}"),
            "recover" => write!(f, "recovering"),
            _ if promised == Ballot::NONE => write!(f, "a follower"),
            _ => write!(f, "a follower of {promised}"),
        }
    }
}

/// The path to a state, told: each action, what came of it, and what never arrived.
pub fn story_of<'a, M: Told + 'a>(
    path: impl Iterator<Item = (&'a World<M>, Option<&'a (impl fmt::Display + 'a)>)> + Clone,
) -> Vec<String> {
    let mut lines = Vec::new();
    let steps = path.clone().zip(path.clone().skip(1)).zip(1..);
    for (((before, action), (after, _)), number) in steps {
        let action = action.expect("only the last state has no action");
        lines.push(format!("{number:>3}. {action}"));
        lines.extend(effects(before, after).into_iter().map(|effect| format!("       {effect}")));
    }
    if let Some((last, _)) = path.last() {
        let lost = last.network.iter().filter(|sent| !sent.arrived);
        lines.extend(lost.map(|sent| format!("     never arrived: {}", sent.envelope)));
    }
    lines
}

/// The action between `path[step]` and the next state, for a diagram with a line for each node.
pub fn event<'a, M: Told + 'a>(
    action: &Action,
    step: usize,
    path: impl Fn(usize) -> &'a World<M>,
) -> Event {
    let line = |node: NodeId| usize::from(node.0) - 1;
    let (from, words) = match action {
        Action::Deliver(envelope) => {
            let sent = (0..=step).find(|at| path(*at).network.get(envelope).is_some());
            (Some((line(envelope.from), sent.unwrap_or(step))), envelope.message.to_string())
        }
        other => (None, other.to_string()),
    };
    Event { line: line(action.node()), from, words }
}

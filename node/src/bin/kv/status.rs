//! The state of the nodes, for people and for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use node::wire::NodeId;
use serde_json::{Value, json};

/// What each node answered, or why it did not.
pub type Answers = BTreeMap<NodeId, Result<Value, String>>;

/// With more groups than these, only those in trouble are shown one by one.
const GROUPS_MAX: usize = 16;

/// One object a node: the one it answered, as it is.
pub fn lines(answers: &Answers) -> String {
    let line = |(node, answer): (&NodeId, &Result<Value, String>)| match answer {
        Ok(status) => format!("{status}\n"),
        Err(why) => {
            format!("{}\n", json!({"node": node.0, "outcome": "indeterminate", "why": why}))
        }
    };
    answers.iter().map(line).collect()
}

/// A line for each node, and one for each group.
pub fn table(answers: &Answers) -> String {
    let titles = "node|up|boot|leads|clients|in|out|log|syncs|p50/p99/max ms|dropped";
    let mut rows = vec![titles.split('|').map(str::to_owned).collect()];
    for (node, answer) in answers {
        rows.push(match answer {
            Ok(status) => of_node(*node, status),
            Err(why) => vec![node.to_string(), why.clone()],
        });
    }
    let groups = groups(answers);
    let in_trouble: Vec<&Group> = groups.iter().filter(|group| group.is_in_trouble()).collect();
    let mut text = aligned(&rows);
    if groups.len() <= GROUPS_MAX {
        text += &of_groups(&groups.iter().collect::<Vec<_>>());
    } else {
        let _ = writeln!(text, "\n{} groups, {} in trouble", groups.len(), in_trouble.len());
        text += &of_groups(&in_trouble[..in_trouble.len().min(GROUPS_MAX)]);
    }
    text
}

fn of_node(node: NodeId, status: &Value) -> Vec<String> {
    let number = |field: &str| status[field].as_u64().unwrap_or_default();
    let held = status["groups"].as_array().map_or(&[][..], Vec::as_slice);
    let led = held.iter().filter(|group| group["phase"] == "leader").count();
    let held = held.len() as u64 + number("groups_left_out");
    let (log, sync) = (&status["log"], &status["sync"]);
    let ms = |field: &str| format!("{:.1}", sync[field].as_u64().unwrap_or_default() as f64 / 1e3);
    let (syncs, times) = match sync["count"].as_u64() {
        Some(count) => (count.to_string(), ["p50_us", "p99_us", "max_us"].map(ms).join("/")),
        None => ("off".to_owned(), "-".to_owned()),
    };
    let drops = status["drops"].as_object().into_iter().flatten();
    let unsent = ("unsent".to_owned(), status["packets_unsent"].clone());
    let dropped: Vec<String> = drops
        .chain([(&unsent.0, &unsent.1)])
        .filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0))
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    vec![
        node.to_string(),
        time(number("uptime_ms") / 1_000),
        number("boot").to_string(),
        format!("{led} of {held}"),
        number("clients").to_string(),
        number("packets_in").to_string(),
        number("packets_out").to_string(),
        size(log["bytes"].as_u64().unwrap_or_default()),
        syncs,
        times,
        if dropped.is_empty() { "-".to_owned() } else { dropped.join(", ") },
    ]
}

/// A group, as the nodes that answered see it together.
#[derive(Default)]
struct Group {
    id: u64,
    /// By its own word; of one that was not asked, by that of a node it reaches.
    leader: Option<NodeId>,
    decided: u64,
    /// How many entries each replica that answered has run.
    applied: BTreeMap<NodeId, u64>,
    /// Of whoever is furthest.
    keys: u64,
    sessions: u64,
    snapshot: (u64, u64),
    suspects: BTreeSet<u64>,
}

impl Group {
    fn is_in_trouble(&self) -> bool {
        self.leader.is_none() || !self.suspects.is_empty()
    }
}

fn groups(answers: &Answers) -> Vec<Group> {
    let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
    for (node, status) in
        answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?)))
    {
        for replica in status["groups"].as_array().into_iter().flatten() {
            let number = |field: &str| replica[field].as_u64().unwrap_or_default();
            let id = number("group");
            let group = groups.entry(id).or_insert_with(|| Group { id, ..Group::default() });
            let is_furthest = group.applied.values().all(|applied| *applied <= number("applied"));
            group.applied.insert(*node, number("applied"));
            group.decided = group.decided.max(number("decided"));
            if is_furthest {
                (group.keys, group.sessions) = (number("keys"), number("sessions"));
            }
            group.snapshot = group.snapshot.max((number("snapshot"), number("snapshot_bytes")));
            let followed = replica["leader"].as_u64().and_then(|id| u16::try_from(id).ok());
            if replica["phase"] == "leader" && replica["connected"] == true {
                group.leader = Some(*node);
            } else if replica["connected"] == true
                && let Some(leader) = followed.map(NodeId)
                && !answers.contains_key(&leader)
            {
                group.leader = group.leader.or(Some(leader));
            }
            let suspects = replica["suspects"].as_array().into_iter().flatten();
            group.suspects.extend(suspects.filter_map(Value::as_u64));
        }
    }
    groups.into_values().collect()
}

fn of_groups(groups: &[&Group]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let titles = "group|leader|decided|behind|keys|sessions|snapshot|suspects";
    let mut rows = vec![titles.split('|').map(str::to_owned).collect()];
    for group in groups {
        let behind = group.applied.iter().map(|(node, applied)| (group.decided - applied, node));
        let behind = behind.max().filter(|(entries, _)| *entries > 0);
        let (covered, size_bytes) = group.snapshot;
        let suspects: Vec<String> = group.suspects.iter().map(|node| format!("n{node}")).collect();
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        rows.push(vec![
            group.id.to_string(),
            group.leader.map_or("none".to_owned(), |leader| leader.to_string()),
            group.decided.to_string(),
            or_none(behind.map_or(String::new(), |(entries, node)| format!("{node} by {entries}"))),
            group.keys.to_string(),
            group.sessions.to_string(),
            if covered > 0 { format!("{covered}, {}", size(size_bytes)) } else { "-".to_owned() },
            or_none(suspects.join(" ")),
        ]);
    }
    format!("\n{}", aligned(&rows))
}

/// Columns as wide as their widest cell. The last cell of a row takes what room it needs.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(&row[..row.len() - 1]) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let (last, others) = row.split_last().expect("no row is empty");
        for (cell, width) in others.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{last}");
    }
    text
}

/// The two largest units that a time has.
fn time(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, _, _) => format!("{d}d{h:02}h"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node: u64, groups: u64) -> Value {
        let groups: Vec<Value> = (0..groups)
            .map(|group| {
                let phase = if group % 2 + 1 == node { "leader" } else { "follower" };
                json!({
                    "group": group, "phase": phase, "connected": true, "decided": 100,
                    "applied": 100 - 10 * (node - 1), "keys": 7, "sessions": 1, "snapshot": 50,
                    "snapshot_bytes": 12_345, "suspects": [],
                })
            })
            .collect();
        json!({
            "node": node, "boot": 3, "uptime_ms": 3_723_000, "groups": groups,
            "groups_left_out": 0, "clients": 4, "packets_in": 1000, "packets_out": 2000,
            "packets_unsent": 0, "drops": {"tag": 0, "unverified": 5, "kernel": 12},
            "log": {"segments": 1, "bytes": 23_650_230},
            "sync": {"count": 1765, "p50_us": 1231, "p99_us": 12351, "max_us": 64767},
        })
    }

    fn answers(groups: u64) -> Answers {
        let answer = |node| (NodeId(node), Ok(status(node.into(), groups)));
        let silent = (NodeId(3), Err("no answer in time".to_owned()));
        [answer(1), answer(2), silent].into()
    }

    #[test]
    fn a_leader_that_was_not_asked_is_known_by_its_followers() {
        let mut follower = status(2, 1);
        follower["groups"][0]["leader"] = json!(1);
        let leader = |answers: &Answers| groups(answers)[0].leader;
        let alone: Answers = [(NodeId(2), Ok(follower))].into();
        assert_eq!(leader(&alone), Some(NodeId(1)));
        // If it was asked and is silent, it is not.
        let silent = (NodeId(1), Err("no answer in time".to_owned()));
        assert_eq!(leader(&alone.into_iter().chain([silent]).collect()), None);
    }

    #[test]
    fn nodes_and_groups_have_a_line_each_and_silence_is_told() {
        let expected = "\
node  up     boot  leads   clients  in    out   log    syncs  p50/p99/max ms  dropped
n1    1h02m  3     1 of 2  4        1000  2000  23 MB  1765   1.2/12.4/64.8   12 kernel, 5 unverified
n2    1h02m  3     1 of 2  4        1000  2000  23 MB  1765   1.2/12.4/64.8   12 kernel, 5 unverified
n3    no answer in time

group  leader  decided  behind    keys  sessions  snapshot   suspects
0      n1      100      n2 by 10  7     1         50, 12 kB  -
1      n2      100      n2 by 10  7     1         50, 12 kB  -
";
        assert_eq!(table(&answers(2)), expected);
    }

    #[test]
    fn of_many_groups_those_in_trouble_are_shown() {
        let mut answers = answers(64);
        let Some(Ok(first)) = answers.get_mut(&NodeId(1)) else { panic!("it answered") };
        first["groups"][4]["phase"] = json!("follower");
        first["groups"][9]["suspects"] = json!([3]);
        let text = table(&answers);
        assert!(text.contains("\n64 groups, 2 in trouble\n"), "{text}");
        assert!(text.contains("\n4      none ") && text.contains(" n3\n"), "{text}");
        assert_eq!(text.lines().count(), 4 + 2 + 1 + 3, "{text}");
    }

    #[test]
    fn machines_get_what_the_nodes_said() {
        let lines = lines(&answers(1));
        let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[1], status(2, 1));
        assert_eq!(lines[2]["node"], 3);
        assert_eq!(lines[2]["why"], "no answer in time");
    }
}

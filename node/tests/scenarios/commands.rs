//! The commands of a scenario: one line of words to one thing that happens to the cluster.

use node::kv::{Command, Operation};
use node::protocol::{Body, Envelope, NodeId, Status};
use node::session::Limits;

use super::cluster::{Cluster, Failure, Flying};

/// A scenario in progress; before its first command there is no cluster.
#[derive(Default)]
pub struct Play {
    cluster: Option<Cluster>,
}

/// An election that is not over after so many ticks never will be.
const PATIENCE_TICKS: u32 = 60;

impl Play {
    /// Runs one line, which is one command or several with `;` between. Returns what it showed.
    pub fn run(&mut self, line: &str) -> Result<Vec<String>, Failure> {
        let (muted, commands) = match line.strip_prefix("given ") {
            Some(commands) => (true, commands),
            None => (false, line),
        };
        if let Some(cluster) = &mut self.cluster {
            cluster.trace.muted = muted;
        }
        let played = commands.split(';').try_for_each(|command| self.run_one(command, muted));
        let lines = self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.trace.lines));
        let lines = lines.unwrap_or_default();
        played.map_err(|why| format!("{why}, after\n{}", lines.join("\n"))).map(|()| lines)
    }

    fn run_one(&mut self, command: &str, muted: bool) -> Result<(), Failure> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match (words.as_slice(), &mut self.cluster) {
            (["cluster", count, options @ ..], none @ None) => {
                let cluster = none.insert(create(count, options)?);
                if muted {
                    cluster.trace.lines.clear();
                }
                cluster.trace.muted = muted;
                Ok(())
            }
            (words, Some(cluster)) => cluster.run(words),
            (_, None) => Err("a scenario begins with `cluster`".into()),
        }
    }

    /// Every story ends well: once all faults are over, all nodes agree, one more write goes
    /// through, and then the network is silent. Unless wiped disks have cost the quorum.
    pub fn end(&mut self) -> Result<(), Failure> {
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        cluster.trace.muted = true;
        let wiped = cluster.nodes.iter().filter(|node| node.disk.wiped).count();
        let quorum = cluster.nodes[0].config.members.quorum();
        if cluster.nodes.len() - wiped < quorum {
            return Ok(());
        }
        cluster.mend()?;
        cluster.wait_until("all nodes agree", PATIENCE_TICKS, Cluster::agrees)?;
        let leader = cluster.nodes.iter().position(Cluster::leads).expect("they agree on one");
        let (name, entry) = cluster.clients.command(u64::MAX, Operation::Open)?;
        cluster.request(leader, name, Body::Write(&entry))?;
        cluster.wait_until("one more write is decided", PATIENCE_TICKS, Cluster::agrees)?;
        // What was decided last is told once more, to whoever may have missed it.
        (0..PATIENCE_TICKS).try_for_each(|_| cluster.wait())?;
        let sent = cluster.network.sent;
        (0..PATIENCE_TICKS).try_for_each(|_| cluster.wait())?;
        match cluster.network.sent - sent {
            0 => Ok(()),
            _ if wiped > 0 => Ok(()),
            count => Err(format!("{count} messages though nothing is to be said")),
        }
    }
}

fn create(count: &str, options: &[&str]) -> Result<Cluster, Failure> {
    let (mut limits, mut heartbeats) = (Limits::default(), false);
    for option in options {
        match option.split_once('=') {
            Some(("sessions", most)) => limits.sessions_max = number(most)?,
            Some(("heartbeats", "shown")) => heartbeats = true,
            Some(("snapshot-every" | "keep" | "message-bytes", value)) => {
                number::<u64>(value)?;
            }
            Some(("priority", value)) => {
                let (_, priority) = value.split_once(':').ok_or("priority=n1:5")?;
                number::<u8>(priority)?;
            }
            _ => return Err(format!("no such option: {option}")),
        }
    }
    let mut cluster = Cluster::create(number(count)?, limits, |config| {
        for (name, value) in options.iter().filter_map(|option| option.split_once('=')) {
            let (node, preferred) = value.split_once(':').unwrap_or(("", value));
            // Those of other kinds are not used.
            let value: u64 = preferred.parse().unwrap_or_default();
            match name {
                "snapshot-every" => config.snapshot_every = value,
                "keep" => config.keep = value,
                "message-bytes" => config.message_bytes = value as usize,
                "priority" if node == config.node.to_string() => config.priority = value as u8,
                _ => {}
            }
        }
    })?;
    cluster.trace.heartbeats = heartbeats;
    Ok(cluster)
}

impl Cluster {
    fn run(&mut self, words: &[&str]) -> Result<(), Failure> {
        match words {
            ["tick" | "retransmit" | "wait" | "until", ..] => self.run_time(words),
            ["settle" | "deliver" | "drop" | "duplicate" | "hold" | "release", ..] => {
                self.run_network(words)
            }
            ["cut" | "isolate" | "heal", ..] => self.run_links(words),
            ["disk" | "sync" | "crash" | "restart" | "wipe", ..] => self.run_disk(words),
            ["state" | "log" | "network", ..] => self.run_view(words),
            [verb, client, node, rest @ ..] if client.starts_with('c') => {
                self.run_client(verb, (self.client(client)?, self.node(node)?), rest)
            }
            _ => Err(format!("no such command: {}", words.join(" "))),
        }
    }

    fn run_time(&mut self, words: &[&str]) -> Result<(), Failure> {
        let everyone: Vec<usize> = (0..self.nodes.len()).collect();
        match words {
            ["tick", "all"] => self.tick(&everyone),
            ["tick", node] => self.tick(&[self.node(node)?]),
            ["retransmit", "all"] => everyone.into_iter().try_for_each(|at| self.retransmit(at)),
            ["retransmit", node] => self.retransmit(self.node(node)?),
            ["wait", ticks] => (0..number(ticks)?).try_for_each(|_: u32| self.wait()),
            ["until", node, "leads", within @ ..] => {
                let (at, what) = (self.node(node)?, words.join(" "));
                let ticks = match within {
                    ["within", ticks] => number(ticks)?,
                    _ => PATIENCE_TICKS,
                };
                self.wait_until(&what, ticks, |cluster| Cluster::leads(&cluster.nodes[at]))
            }
            ["until", "agreed"] => self.wait_until("agreed", PATIENCE_TICKS, Cluster::agrees),
            _ => Err("tick n1|all, retransmit n1|all, wait TICKS, until n1 leads|agreed".into()),
        }
    }

    /// Waits until something holds, for so many ticks at most.
    fn wait_until(
        &mut self,
        what: &str,
        ticks: u32,
        holds: impl Fn(&Cluster) -> bool,
    ) -> Result<(), Failure> {
        self.settle()?;
        for waited in 0..=ticks {
            if holds(self) {
                return Ok(());
            }
            if waited < ticks {
                self.wait()?;
            }
        }
        self.trace.muted = false;
        (0..self.nodes.len()).for_each(|at| self.show_state(at));
        let state = std::mem::take(&mut self.trace.lines).join("\n");
        Err(format!("not after {ticks} ticks: {what}\n{state}"))
    }

    fn run_network(&mut self, words: &[&str]) -> Result<(), Failure> {
        match words {
            ["settle"] => self.settle(),
            ["settle", "until", kind] => self.settle_until(kind),
            ["deliver"] => {
                let free = self.network.flying.iter().filter(|flying| !flying.held).count();
                (0..free).try_for_each(|_| {
                    let next = self.network.flying.iter().position(|flying| !flying.held);
                    next.map_or(Ok(()), |next| self.deliver(next))
                })
            }
            ["deliver", pattern @ ..] => {
                // What a delivery causes goes to the end, so only positions before it move.
                let named = self.named(pattern)?;
                let mut removed = (0..).zip(named);
                removed.try_for_each(|(earlier, position)| self.deliver(position - earlier))
            }
            ["drop", pattern @ ..] => {
                for position in self.named(pattern)?.into_iter().rev() {
                    self.network.flying.remove(position);
                }
                Ok(())
            }
            ["duplicate", pattern @ ..] => {
                for position in self.named(pattern)? {
                    self.network.flying.push(self.network.flying[position].clone());
                }
                Ok(())
            }
            ["hold", pattern @ ..] => {
                for position in self.named(pattern)? {
                    self.network.flying[position].held = true;
                }
                Ok(())
            }
            ["release"] => {
                self.network.flying.iter_mut().for_each(|flying| flying.held = false);
                Ok(())
            }
            _ => Err(format!("what of the network: {}?", words.join(" "))),
        }
    }

    /// Delivers until a message of that kind is in flight.
    fn settle_until(&mut self, kind: &str) -> Result<(), Failure> {
        while !self.network.flying.iter().any(|flying| flying.envelope.message.name() == kind) {
            if self.network.flying.is_empty() {
                return Err(format!("nobody sent {kind}"));
            }
            self.deliver(0)?;
        }
        Ok(())
    }

    /// The positions of the messages that `n1->n2 [KIND [ORDINAL]]` names: at least one.
    fn named(&self, pattern: &[&str]) -> Result<Vec<usize>, Failure> {
        let [link, rest @ ..] = pattern else { return Err("which message?".into()) };
        let (from, to) = link.split_once("->").ok_or("a link is n1->n2")?;
        let end = |pattern: &str, id: NodeId| pattern == "*" || pattern == id.to_string();
        let kind = |envelope: &Envelope| match rest {
            [kind, ..] => *kind == envelope.message.name(),
            [] => true,
        };
        let matches = |Flying { envelope, .. }: &Flying| {
            end(from, envelope.from) && end(to, envelope.to) && kind(envelope)
        };
        let flying = self.network.flying.iter().enumerate();
        let mut named: Vec<usize> =
            flying.filter(|(_, flying)| matches(flying)).map(|(position, _)| position).collect();
        if let [_, ordinal] = rest {
            let ordinal: usize = number(ordinal)?;
            named = named.into_iter().skip(ordinal.saturating_sub(1)).take(1).collect();
        }
        if named.is_empty() { Err("no such message in flight".into()) } else { Ok(named) }
    }

    fn run_links(&mut self, words: &[&str]) -> Result<(), Failure> {
        let id = |cluster: &Cluster, word: &str| Ok::<_, Failure>(cluster.id(cluster.node(word)?));
        match words {
            ["heal"] => self.heal(),
            ["cut", link] => {
                let (from, to) = link.split_once("->").ok_or("cut n1 n2, or cut n1->n2")?;
                self.cut(id(self, from)?, id(self, to)?);
            }
            ["cut", one, other] => {
                let (one, other) = (id(self, one)?, id(self, other)?);
                self.cut(one, other);
                self.cut(other, one);
            }
            ["isolate", node] => {
                let (node, members) = (id(self, node)?, self.nodes[0].config.members.clone());
                for other in members.iter().filter(|other| *other != node) {
                    self.cut(node, other);
                    self.cut(other, node);
                }
            }
            _ => return Err("cut n1 n2, cut n1->n2, isolate n1, heal".into()),
        }
        Ok(())
    }

    fn run_disk(&mut self, words: &[&str]) -> Result<(), Failure> {
        let [verb, node, rest @ ..] = words else { return Err("which node?".into()) };
        let at = self.node(node)?;
        match (*verb, rest) {
            ("disk", ["slow"]) => {
                self.nodes[at].disk.slow = true;
                Ok(())
            }
            ("disk", ["fast"]) => {
                self.sync(at, usize::MAX)?;
                self.nodes[at].disk.slow = false;
                Ok(())
            }
            ("sync", []) => self.sync(at, usize::MAX),
            ("sync", [count]) => self.sync(at, number(count)?),
            ("crash", []) => self.crash(at, 0),
            ("crash", ["keep", kept]) => self.crash(at, number(kept)?),
            ("restart", []) => self.restart(at),
            ("wipe", []) => self.wipe(at),
            _ => Err(format!("what of the disk: {}?", words.join(" "))),
        }
    }

    fn run_client(
        &mut self,
        verb: &str,
        (client, at): (u64, usize),
        rest: &[&str],
    ) -> Result<(), Failure> {
        let operation = match (verb, rest) {
            ("get", [key]) => {
                let name = self.clients.read(client, key);
                return self.request(at, name, Body::Read(key.as_bytes()));
            }
            ("retry", []) => {
                let (name, entry) = self.clients.retry(client).ok_or("nothing to retry")?;
                return self.request(at, name, Body::Write(&entry));
            }
            ("open", []) => Operation::Open,
            ("put", [key, value]) => {
                Operation::Put { key: key.as_bytes(), value: value.as_bytes() }
            }
            ("cas", [key, old, new]) => {
                let old = (*old != "-").then_some(old.as_bytes());
                Operation::Cas { key: key.as_bytes(), old, new: new.as_bytes() }
            }
            ("delete", [key]) => Operation::Delete { key: key.as_bytes() },
            _ => return Err(format!("no such request: {verb}")),
        };
        let (name, entry) = self.clients.command(client, operation)?;
        self.request(at, name, Body::Write(&entry))
    }

    fn run_view(&mut self, words: &[&str]) -> Result<(), Failure> {
        match words {
            ["state"] => (0..self.nodes.len()).for_each(|at| self.show_state(at)),
            ["state", node] => self.show_state(self.node(node)?),
            ["log", node] => self.show_log(self.node(node)?)?,
            ["network"] => {
                let flying = self.network.flying.iter();
                let lines: Vec<String> = flying.map(|flying| flying.envelope.to_string()).collect();
                lines.into_iter().for_each(|line| self.trace.say(line));
            }
            _ => return Err("state [n1], log n1, network".into()),
        }
        Ok(())
    }

    fn show_state(&mut self, at: usize) {
        let id = self.id(at);
        let line = self.nodes[at].replica.as_ref().map_or("down".into(), |r| described(r.status()));
        self.trace.say(format!("{id} {line}"));
    }

    fn show_log(&mut self, at: usize) -> Result<(), Failure> {
        let id = self.id(at);
        let replica = self.nodes[at].replica.as_ref().ok_or(format!("{id} is down"))?;
        let (log, decided) = (replica.log(), replica.status().decided);
        let lines: Vec<String> = (log.first().0..)
            .zip(log.iter(log.first(), log.accepted()))
            .map(|(index, entry)| {
                let chosen = if index < decided.0 { "" } else { " (not known chosen)" };
                let words = Command::decode(entry).map_or("malformed".into(), |c| c.to_string());
                format!("{index} {words}{chosen}")
            })
            .collect();
        lines.into_iter().for_each(|line| self.trace.say(line));
        Ok(())
    }

    /// Ends every fault: links, disks, delays, crashes. A wiped disk stays out.
    fn mend(&mut self) -> Result<(), Failure> {
        self.heal();
        self.network.flying.iter_mut().for_each(|flying| flying.held = false);
        for at in 0..self.nodes.len() {
            self.sync(at, usize::MAX)?;
            self.nodes[at].disk.slow = false;
            if self.nodes[at].replica.is_none() && !self.nodes[at].disk.wiped {
                self.restart(at)?;
            }
        }
        Ok(())
    }

    fn leads(node: &super::cluster::Node) -> bool {
        node.replica.as_ref().is_some_and(|replica| replica.status().leads.is_some())
    }

    fn id(&self, at: usize) -> NodeId {
        self.nodes[at].config.node
    }

    fn node(&self, word: &str) -> Result<usize, Failure> {
        let known = (0..self.nodes.len()).find(|at| self.id(*at).to_string() == word);
        known.ok_or(format!("no such node: {word}"))
    }

    fn client(&self, word: &str) -> Result<u64, Failure> {
        word.strip_prefix('c').ok_or(format!("no such client: {word}")).and_then(number)
    }
}

/// One line: what is always said, then what is out of the ordinary.
fn described(status: Status) -> String {
    let Status { phase, promised, accepted_ballot, leader, .. } = status;
    let Status { first, accepted, decided, applied, .. } = status;
    let mut line = format!(
        "{phase} {promised}, has {first}..{accepted} under {accepted_ballot}, decided {decided}"
    );
    if applied != decided {
        line += &format!(", applied {applied}");
    }
    if leader != promised {
        line += &format!(", sees {leader}");
    }
    if !status.connected {
        line += ", not connected";
    }
    for suspect in status.suspects {
        line += &format!(", suspects {suspect}");
    }
    line
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, Failure> {
    word.parse().map_err(|_| format!("not a number: {word}"))
}

//! Sequence Paxos as it is taught, in the course's own words, and as a project of 2021 typed it in.
//!
//! Source: Haridi, Kroll, Carbone: Lecture Notes on Leader-based Sequence Paxos (2020). It assumes
//! FIFO perfect links, and processes that crash and never come back. `n_l`, `n_prom`, `n_a`, `v_a`
//! and `l_d` are its names: the leader's round, the promised and the accepted round, the accepted
//! sequence and how much of it is decided; so are `las`, `lds` and `lc`.

use std::collections::BTreeMap;

/// A process, from one.
pub type Pid = u8;
/// A round; the election never gives one twice.
pub type Round = u8;
/// A command.
pub type Command = char;

/// Which of the faults are repaired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Repairs {
    /// A promise carries what the leader has not decided, and says what the follower has. As
    /// published in 2021 it carries what the follower has not decided, and echoes the leader's.
    pub promise_suffix: bool,
    /// A leader that adopts a sequence accepts it in its own round. The course text forgets to say.
    pub accepted_round: bool,
    /// Accepts carry the index of their command, and decides count only what is synchronised. The
    /// course leaves both to FIFO links.
    pub indexed_accept: bool,
}

/// What processes say to each other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    Prepare { n: Round, l_d: usize, n_a: Round },
    Promise { n: Round, n_a: Round, suffix: Vec<Command>, l_d: usize },
    AcceptSync { n: Round, suffix: Vec<Command>, l_d: usize },
    Accept { n: Round, index: usize, command: Command },
    Accepted { n: Round, length: usize },
    Decide { n: Round, length: usize },
}

/// The second half of the state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    Unknown,
    Prepare,
    Accept,
}

/// One process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: Pid,
    pub leads: bool,
    pub phase: Phase,
    pub n_l: Round,
    pub n_prom: Round,
    pub n_a: Round,
    pub v_a: Vec<Command>,
    pub l_d: usize,
    prop_cmds: Vec<Command>,
    acks: BTreeMap<Pid, (Round, Vec<Command>)>,
    las: BTreeMap<Pid, usize>,
    lds: BTreeMap<Pid, usize>,
    lc: usize,
}

/// What a process sends: to whom, and what.
pub type Sends = Vec<(Pid, Message)>;

/// Everybody, itself included.
pub const PROCESSES: [Pid; 3] = [1, 2, 3];
const QUORUM: usize = 2;

fn suffix(sequence: &[Command], from: usize) -> Vec<Command> {
    sequence.get(from..).unwrap_or_default().to_vec()
}

fn prefix(sequence: &[Command], to: usize) -> Vec<Command> {
    sequence[..to.min(sequence.len())].to_vec()
}

impl Process {
    pub fn new(pid: Pid) -> Process {
        Process {
            pid,
            leads: false,
            phase: Phase::Unknown,
            n_l: 0,
            n_prom: 0,
            n_a: 0,
            v_a: Vec::new(),
            l_d: 0,
            prop_cmds: Vec::new(),
            acks: BTreeMap::new(),
            las: BTreeMap::new(),
            lds: BTreeMap::new(),
            lc: 0,
        }
    }

    /// The decided commands, as far as they are still there.
    pub fn decided(&self) -> &[Command] {
        &self.v_a[..self.l_d.min(self.v_a.len())]
    }

    /// ⟨ble, Leader | self, n⟩
    pub fn leader(&mut self, n: Round, sends: &mut Sends) {
        if n <= self.n_l || n <= self.n_prom {
            return;
        }
        (self.n_l, self.n_prom) = (n, n);
        (self.leads, self.phase) = (true, Phase::Prepare);
        self.prop_cmds.clear();
        self.las.clear();
        self.lc = 0;
        self.acks = BTreeMap::from([(self.pid, (self.n_a, suffix(&self.v_a, self.l_d)))]);
        self.lds = BTreeMap::from([(self.pid, self.l_d)]);
        let (l_d, n_a) = (self.l_d, self.n_a);
        let others = PROCESSES.into_iter().filter(|p| *p != self.pid);
        sends.extend(others.map(|p| (p, Message::Prepare { n, l_d, n_a })));
    }

    /// ⟨sc, Propose | C⟩
    pub fn propose(&mut self, command: Command, sends: &mut Sends) {
        if self.phase == Phase::Prepare {
            self.prop_cmds.push(command);
            return;
        }
        let (n, index) = (self.n_l, self.v_a.len());
        self.v_a.push(command);
        self.las.insert(self.pid, self.v_a.len());
        let synchronised = self.lds.keys().filter(|p| **p != self.pid);
        sends.extend(synchronised.map(|p| (*p, Message::Accept { n, index, command })));
    }

    /// ⟨fpl, Deliver | p, m⟩
    pub fn deliver(&mut self, p: Pid, message: Message, repairs: Repairs, sends: &mut Sends) {
        match message {
            Message::Prepare { n, l_d, n_a } => {
                if self.n_prom < n {
                    self.promise(p, (n, l_d, n_a), repairs, sends);
                }
            }
            Message::Promise { n, n_a, suffix, l_d } => {
                if self.leads && n == self.n_l {
                    self.promised(p, (n_a, suffix), l_d, repairs, sends);
                }
            }
            Message::AcceptSync { n, suffix, l_d } => {
                if !self.leads && self.phase == Phase::Prepare && self.n_prom == n {
                    self.n_a = n;
                    self.v_a = prefix(&self.v_a, l_d);
                    self.v_a.extend(suffix);
                    self.phase = Phase::Accept;
                    sends.push((p, Message::Accepted { n, length: self.v_a.len() }));
                }
            }
            Message::Accept { n, index, command } => {
                let follows = !self.leads && self.phase == Phase::Accept && self.n_prom == n;
                let next = index == self.v_a.len() || !repairs.indexed_accept;
                if follows && next {
                    self.v_a.push(command);
                    sends.push((p, Message::Accepted { n, length: self.v_a.len() }));
                }
            }
            Message::Accepted { n, length } => {
                if self.leads && self.phase == Phase::Accept && n == self.n_l {
                    self.accepted(p, length, sends);
                }
            }
            Message::Decide { n, length } => {
                let synchronised = self.phase == Phase::Accept || !repairs.indexed_accept;
                if self.n_prom == n && synchronised {
                    self.l_d = self.l_d.max(length.min(self.v_a.len()));
                }
            }
        }
    }

    fn promise(
        &mut self,
        p: Pid,
        (n, l_d, n_a): (Round, usize, Round),
        repairs: Repairs,
        sends: &mut Sends,
    ) {
        self.n_prom = n;
        (self.leads, self.phase) = (false, Phase::Prepare);
        let (from, says) = if repairs.promise_suffix { (l_d, self.l_d) } else { (self.l_d, l_d) };
        let suffix = if self.n_a >= n_a { suffix(&self.v_a, from) } else { Vec::new() };
        sends.push((p, Message::Promise { n, n_a: self.n_a, suffix, l_d: says }));
    }

    fn promised(
        &mut self,
        p: Pid,
        ack: (Round, Vec<Command>),
        l_d: usize,
        repairs: Repairs,
        sends: &mut Sends,
    ) {
        self.lds.insert(p, l_d);
        if self.phase == Phase::Accept {
            self.synchronise(p, l_d, sends);
            if self.lc != 0 {
                sends.push((p, Message::Decide { n: self.n_l, length: self.l_d }));
            }
            return;
        }
        self.acks.insert(p, ack);
        if self.acks.len() < QUORUM {
            return;
        }
        let rank = |pid: &Pid| {
            let (n_a, suffix) = &self.acks[pid];
            // Among equals its own is at hand.
            (*n_a, suffix.len(), *pid == self.pid)
        };
        let best = self.acks.keys().copied().max_by_key(rank).expect("a quorum promised");
        let (_, adopted) = self.acks[&best].clone();
        self.v_a = prefix(&self.v_a, self.l_d);
        self.v_a.extend(adopted);
        self.v_a.append(&mut self.prop_cmds);
        if repairs.accepted_round {
            self.n_a = self.n_l;
        }
        self.las.insert(self.pid, self.v_a.len());
        self.phase = Phase::Accept;
        let promised: Vec<(Pid, usize)> = self.lds.iter().map(|(p, l_d)| (*p, *l_d)).collect();
        for (p, l_d) in promised.into_iter().filter(|(p, _)| *p != self.pid) {
            self.synchronise(p, l_d, sends);
        }
    }

    fn synchronise(&self, p: Pid, l_d: usize, sends: &mut Sends) {
        sends.push((p, Message::AcceptSync { n: self.n_l, suffix: suffix(&self.v_a, l_d), l_d }));
    }

    fn accepted(&mut self, p: Pid, length: usize, sends: &mut Sends) {
        self.las.insert(p, length);
        let count = self.las.values().filter(|las| **las >= length).count();
        if self.lc < length && count >= QUORUM {
            self.lc = length;
            self.l_d = self.l_d.max(length.min(self.v_a.len()));
            let n = self.n_l;
            let synchronised = self.lds.keys().filter(|p| **p != self.pid);
            sends.extend(synchronised.map(|p| (*p, Message::Decide { n, length })));
        }
    }
}

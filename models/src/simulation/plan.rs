//! What a seed draws: each seed has its own cluster, network, disks, clients and enemies, so that
//! some runs are nearly quiet and some are all storm. Times are microseconds of virtual time.

use fastrand::Rng;
use node::protocol::{Config, GroupId, Members, NodeId};
use node::session::Limits;
use std::ops::Range;

/// Everything that shapes one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Members of the cluster.
    pub nodes: usize,
    /// One a node: the wish to lead.
    pub priorities: Vec<u8>,
    /// Limits of the replicas.
    pub limits: Config,
    /// Limits of the session table.
    pub sessions: Limits,
    /// The network while nobody interferes.
    pub network: Network,
    /// Duration of a sync.
    pub sync_us: Range<u64>,
    /// Duration of writing a snapshot.
    pub save_us: Range<u64>,
    /// A heartbeat tick, before each node's clock bends it.
    pub tick_us: u64,
    /// A retransmission tick, likewise.
    pub retransmit_us: u64,
    /// A clock that is bent runs at a rate from here, in percent.
    pub clock_percent: Range<u64>,
    /// Concurrent clients.
    pub clients: usize,
    /// Keys they use.
    pub keys: u8,
    /// Chance, per mille, that a client begins an operation at a node drawn at random rather than
    /// where the last one was answered. Only so does anyone ask a leader that was deposed since.
    pub wander: u64,
    /// Chance, per mille, that an operation is a read.
    pub reads: u64,
    /// A client's pause between operations.
    pub think_us: Range<u64>,
    /// A client that gets no answer asks elsewhere after this.
    pub patience_us: u64,
    /// After so many attempts the client gives up: the outcome is indeterminate.
    pub attempts_max: u32,
    /// What the nemesis may do, and the relative weight of each.
    pub faults: Vec<(Fault, u32)>,
    /// Pause of the nemesis between two faults.
    pub fault_every_us: Range<u64>,
    /// How long a fault lasts.
    pub fault_for_us: Range<u64>,
    /// Length of the first phase.
    pub storm_us: u64,
}

/// How links behave. Chances are per mille.
#[derive(Clone, Debug)]
pub struct Network {
    /// One way, so a jitter beyond the distance of two datagrams reorders them.
    pub delay_us: Range<u64>,
    /// Never arrives.
    pub loss: u64,
    /// Arrives twice.
    pub duplicate: u64,
    /// Arrives again, much later.
    pub replay: u64,
}

/// What the nemesis can do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// Kills a node; it restarts later with what its disk kept.
    Crash,
    /// Kills the leader.
    CrashLeader,
    /// Kills a node within moments of its next write, while that write is still unsynced.
    Ambush,
    /// Kills all nodes at once.
    CrashAll,
    /// Stops a node; what arrives meanwhile waits.
    Pause,
    /// Stops the leader, long enough to be deposed: it goes on with a mailbox full of the past.
    PauseLeader,
    /// Cuts one node off.
    Isolate,
    /// Cuts the cluster in two.
    Halves,
    /// Cuts single directions of single links.
    OneWay,
    /// Cuts the leader off, alone or with a few, and slows its clock down: it goes on leading, as
    /// far as it knows.
    Depose,
    /// Cuts the leader off until it is deposed; then the partition turns round: it is with a quorum
    /// whose other members all restart at that moment, and the new leader is cut off.
    TurnRound,
    /// Leaves a chain of links.
    Chain,
    /// Leaves one hub that all links pass.
    Hub,
    /// Loses many datagrams on every link.
    Loss,
    /// Delays datagrams for long on every link.
    Delay,
    /// Slows one disk down.
    SlowDisk,
    /// Bends one node's clock.
    Clock,
    /// Slows the leader's clock down: it will be late to notice that nobody answers.
    SlowLeader,
    /// Kills a node and flips a bit on its disk: it must refuse to start.
    FlipBit,
    /// Kills a node and wipes its disk: it must refuse to start.
    Wipe,
    /// After the storm: one disk finishes no write until the calm.
    StuckDisk,
    /// After the storm: some links, perhaps one way, do not work until the calm.
    LinkGraph,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 22] = [
        Fault::Crash,
        Fault::CrashLeader,
        Fault::Ambush,
        Fault::CrashAll,
        Fault::Pause,
        Fault::PauseLeader,
        Fault::Isolate,
        Fault::Halves,
        Fault::OneWay,
        Fault::Depose,
        Fault::TurnRound,
        Fault::Chain,
        Fault::Hub,
        Fault::Loss,
        Fault::Delay,
        Fault::SlowDisk,
        Fault::Clock,
        Fault::SlowLeader,
        Fault::FlipBit,
        Fault::Wipe,
        Fault::StuckDisk,
        Fault::LinkGraph,
    ];

    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Crash => "crash",
            Fault::CrashLeader => "crash of the leader",
            Fault::Ambush => "crash at a write",
            Fault::CrashAll => "crash of all",
            Fault::Pause => "pause",
            Fault::PauseLeader => "pause of the leader",
            Fault::Isolate => "partition: one node",
            Fault::Halves => "partition: halves",
            Fault::OneWay => "partition: one way",
            Fault::Depose => "partition: the leader, its clock slow",
            Fault::TurnRound => "partition: turns round",
            Fault::Chain => "partition: chain",
            Fault::Hub => "partition: hub",
            Fault::Loss => "loss burst",
            Fault::Delay => "delay burst",
            Fault::SlowDisk => "slow disk",
            Fault::Clock => "clock rate",
            Fault::SlowLeader => "slow clock of the leader",
            Fault::FlipBit => "bit flip on disk",
            Fault::Wipe => "wiped disk",
            Fault::StuckDisk => "lasting: stuck disk",
            Fault::LinkGraph => "lasting: links cut",
        }
    }
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(random: &mut Rng) -> Plan {
        let nodes = *choose(random, &[1, 2, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 7]);
        let mut limits = Plan::limits(nodes);
        limits.group = GroupId(random.u32(0..4));
        limits.message_bytes = logarithmic(random, 16..4_000) as usize;
        limits.window_bytes = logarithmic(random, 16..20_000);
        limits.undecided_max = logarithmic(random, 2..10_000);
        limits.snapshot_every = if random.u8(0..10) == 0 { 0 } else { logarithmic(random, 2..80) };
        limits.keep = random.u64(0..12);
        let spread = random.bool();
        let priorities = (0..nodes).map(|_| if spread { random.u8(0..3) } else { 0 }).collect();
        let clients = random.usize(1..=6);
        let evicting = random.u8(0..4) == 0;
        let sessions_max = if evicting { random.u32(1..4) } else { 200 };
        let lossy = random.u8(0..10) >= 3;
        let network = Network {
            delay_us: range(random, 20..300, 60..20_000),
            loss: if lossy { random.u64(0..200) } else { 0 },
            duplicate: if random.bool() { random.u64(0..150) } else { 0 },
            replay: if random.bool() { random.u64(0..80) } else { 0 },
        };
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            let rare = matches!(fault, Fault::Wipe | Fault::FlipBit | Fault::CrashAll);
            let lasting = matches!(fault, Fault::StuckDisk | Fault::LinkGraph);
            if !lasting && random.bool() {
                let often = matches!(fault, Fault::Depose | Fault::TurnRound);
                let weight = if often { 4..12 } else { 1..8 };
                faults.push((fault, if rare { 1 } else { random.u32(weight) }));
            }
        }
        if faults.is_empty() {
            faults.push((Fault::Crash, 1));
        }
        let bent = random.u8(0..4) > 0;
        Plan {
            nodes,
            priorities,
            limits,
            sessions: Limits { sessions_max, results_max: random.u32(1..8) },
            network,
            sync_us: range(random, 20..300, 60..20_000),
            save_us: range(random, 100..2_000, 1_000..100_000),
            tick_us: 20_000,
            retransmit_us: random.u64(4_000..12_000),
            clock_percent: if bent { 25..300 } else { 95..106 },
            clients,
            keys: random.u8(1..=4),
            wander: random.u64(0..500),
            reads: random.u64(200..800),
            think_us: range(random, 0..2_000, 500..60_000),
            patience_us: logarithmic(random, 8_000..150_000),
            attempts_max: random.u32(2..40),
            faults,
            fault_every_us: range(random, 10_000..100_000, 100_000..1_000_000),
            fault_for_us: range(random, 5_000..60_000, 50_000..1_500_000),
            storm_us: random.u64(1_000_000..8_000_000),
        }
    }

    /// The default limits of a cluster of `nodes`.
    pub fn limits(nodes: usize) -> Config {
        let members = Members::new((1..=nodes as u16).map(NodeId));
        Config::new(GroupId(0), NodeId(1), members)
    }

    /// The configuration of the replica at `position`.
    pub fn config(&self, position: usize) -> Config {
        let node = self.limits.members.at(position);
        Config { node, priority: self.priorities[position], ..self.limits.clone() }
    }

    /// An election timeout, by an even clock.
    pub fn election_timeout_us(&self) -> u64 {
        self.tick_us * u64::from(self.limits.election_ticks)
    }
}

/// A number whose magnitude, not whose value, is uniform.
fn logarithmic(random: &mut Rng, range: Range<u64>) -> u64 {
    let (low, high) = (range.start.ilog2(), range.end.ilog2());
    let magnitude = random.u32(low..=high);
    random.u64(1 << magnitude..2 << magnitude).clamp(range.start, range.end - 1)
}

/// A range with its start from one range and its length, by magnitude, from another.
fn range(random: &mut Rng, start: Range<u64>, length: Range<u64>) -> Range<u64> {
    let start = random.u64(start);
    start..start + logarithmic(random, length)
}

fn choose<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(0..from.len())]
}

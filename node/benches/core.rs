//! How many entries the core alone decides, and how many reads it confirms, in a second.
//!
//! Three replicas in one thread. Messages are handed over in memory, none is lost, and a disk makes
//! a write durable at once: whatever [`Output::take_write`] gives is dropped and reported synced in
//! the same round. So this measures the protocol and its data structures, and nothing else: no
//! encoding, no checksum, no socket, no file, no client.
//!
//! One turn, as a driver does it: a client's `batch` requests are proposed to the leader (all but
//! the last say that another follows), then rounds of "deliver what was sent; write and sync; take
//! what is to be sent" go on until nobody has anything to say. At the end of a turn every entry of it
//! is decided and applied on the leader, and its client answered; the followers have it accepted and
//! durable, and learn that it is decided with the next accept. The harness asserts both.
//!
//! `decided`: a state machine that does nothing, entries of 32 bytes, logs that only grow, a new
//! cluster for each sample. The three logs share the bytes of each batch.
//! `decided-copied`: the same, but each follower has its own copy of the entries it is sent, encoded
//! into a datagram and decoded from it. This is the number to hold against cores whose messages own
//! their entries.
//! `decided-trimmed`: the first again, with a snapshot of nothing and a trim each 10,000 entries: the
//! bounded memory of a node that runs for long.
//! `read`: linearizable reads of the real map, one confirmation round a batch; nothing is written.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use node::kv::{Command, Operation, Reply, Store};
use node::protocol::{
    Body, Config, Entries, Envelope, GroupId, Index, Input, Malformed, Members, Message, NodeId,
    Outcome, Output, Replica, Request, StateMachine, Timer,
};
use std::hint::black_box;
use std::time::Duration;

const BATCHES: [usize; 3] = [1, 32, 256];
const ENTRY: [u8; 32] = [0x5a; 32];
/// Entries in one sample, about: bounds the memory of logs that only grow.
const SAMPLE_ENTRIES: usize = 200_000;

/// A state machine that is nothing but in the way.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Null;

impl StateMachine for Null {
    type Reply = ();
    fn apply(&mut self, _: Index, entry: &[u8]) {
        black_box(entry);
    }
    fn query(&self, _: &[u8]) {}
    fn digest(&self) -> u64 {
        0
    }
    fn encode(&self, image: &mut Vec<u8>) {
        image.push(0);
    }
    fn decode(_: &[u8], _: Index) -> Result<Null, Malformed> {
        Ok(Null)
    }
}

/// Three replicas and the messages between them.
struct Cluster<M: StateMachine> {
    nodes: Vec<Node<M>>,
    /// The position of the leader.
    leader: usize,
    /// Whether entries go through a datagram.
    copies: bool,
    in_flight: Vec<Envelope>,
    /// What is on the way, as a datagram has it.
    datagram: Vec<u8>,
    number: u64,
    answered: u64,
}

struct Node<M: StateMachine> {
    replica: Replica<M>,
    out: Output<M>,
}

impl<M: StateMachine> Node<M> {
    fn step(&mut self, input: Input<'_>) {
        self.replica.step(input, &mut self.out);
    }

    /// The disk and the image files, at once durable.
    fn persist(&mut self) {
        while let Some(save) = self.out.saves.pop() {
            self.step(Input::SnapshotSaved { index: save.index, image: save.content.image() });
        }
        while let Some(write) = self.out.take_write() {
            self.out.recycle(write.records);
            self.step(Input::Synced(write.unsynced.synced()));
        }
    }
}

impl<M: StateMachine + Default> Cluster<M> {
    /// A cluster with an elected leader that knows all followers.
    fn new(copies: bool, snapshot_every: u64) -> Cluster<M> {
        let members = Members::new([1, 2, 3].map(NodeId));
        let nodes = members.iter().map(|node| {
            let config = Config::new(GroupId(0), node, members.clone());
            let config = Config { snapshot_every, ..config };
            let mut out = Output::default();
            Node { replica: Replica::create(config, M::default(), &mut out), out }
        });
        let nodes = nodes.collect();
        let (leader, in_flight, datagram, number, answered) = (0, vec![], vec![], 0, 0);
        let mut cluster = Cluster { nodes, leader, copies, in_flight, datagram, number, answered };
        for _ in 0..20 {
            cluster.nodes.iter_mut().for_each(|node| node.step(Input::Timeout(Timer::Heartbeat)));
            cluster.exchange();
        }
        let leads = |node: &Node<M>| node.replica.status().leads.is_some();
        cluster.leader = cluster.nodes.iter().position(leads).expect("all links work");
        cluster
    }

    /// Delivers, writes and syncs until nobody has anything to say.
    fn exchange(&mut self) {
        loop {
            for node in &mut self.nodes {
                node.persist();
                node.out.timers.clear();
                self.in_flight.append(&mut node.out.messages);
            }
            if self.in_flight.is_empty() {
                return;
            }
            for mut envelope in self.in_flight.drain(..) {
                if let (true, Message::Accept { entries, .. }) =
                    (self.copies, &mut envelope.message)
                {
                    self.datagram.clear();
                    entries.encode(&mut self.datagram);
                    let count = entries.len() as u32;
                    *entries = Entries::decode(count, &self.datagram).expect("just encoded");
                }
                let to = usize::from(envelope.to.0) - 1;
                self.nodes[to].step(Input::Message(envelope));
            }
        }
    }

    /// One turn: `batch` requests with the same body, answered by the end of it.
    fn turn(&mut self, batch: usize, body: Body<'_>) {
        for left in (0..batch).rev() {
            self.number += 1;
            let (body, more) = (body.clone(), left > 0);
            let request = Request { client: 1, number: self.number, body, more };
            self.nodes[self.leader].step(Input::Request(request));
        }
        self.exchange();
        for answer in self.nodes[self.leader].out.answers.drain(..) {
            assert!(matches!(black_box(answer).outcome, Outcome::Reply(_)));
            self.answered += 1;
        }
        assert_eq!(self.answered, self.number, "a turn ends with an answer for each request");
    }

    /// Turns with `SAMPLE_ENTRIES` writes in total.
    fn decide(&mut self, batch: usize) {
        for _ in 0..SAMPLE_ENTRIES / batch {
            self.turn(batch, Body::Write(&ENTRY));
        }
        let status = self.nodes[self.leader].replica.status();
        assert_eq!((status.decided, status.applied), (Index(self.number), Index(self.number)));
        for node in &self.nodes {
            let status = node.replica.status();
            assert_eq!(status.accepted, Index(self.number));
            let told = status.decided.0 + batch as u64 >= self.number;
            assert!(told, "followers learn with the next");
        }
    }
}

fn decided(criterion: &mut Criterion) {
    let variants =
        [("decided", false, 0), ("decided-copied", true, 0), ("decided-trimmed", false, 10_000)];
    for (name, copies, snapshot_every) in variants {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).measurement_time(Duration::from_secs(4));
        for batch in BATCHES {
            let entries = SAMPLE_ENTRIES / batch * batch;
            group.throughput(Throughput::Elements(entries as u64));
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.iter_batched_ref(
                    || Cluster::<Null>::new(copies, snapshot_every),
                    |cluster| cluster.decide(batch),
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

fn read(criterion: &mut Criterion) {
    let mut cluster = Cluster::<Store>::new(false, 0);
    let entry = |command: Command<'_>| {
        let mut entry = Vec::new();
        command.encode(&mut entry);
        entry
    };
    cluster.turn(1, Body::Write(&entry(Command::OPEN)));
    // The one session there is was opened by the first entry.
    let session = node::session::SessionId(1);
    for number in 1..=1_000_u64 {
        let (key, acknowledged) = (number.to_le_bytes(), number - 1);
        let operation = Operation::Put { key: &key, value: &ENTRY };
        let put = Command { session, number, acknowledged, operation };
        cluster.turn(1, Body::Write(&entry(put)));
    }
    let key = 500_u64.to_le_bytes();
    let leader = cluster.nodes[cluster.leader].replica.machine();
    assert_eq!(leader.query(&key), Reply::Found(ENTRY.as_slice().into()));
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| cluster.turn(batch, Body::Read(&key)));
        });
    }
}

criterion_group!(benches, decided, read);
criterion_main!(benches);

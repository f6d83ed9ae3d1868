//! Ballot leader election on quorum-connectedness.
//!
//! Source: Omni-Paxos (EuroSys 2023), section 5. Each tick a replica asks all others and looks at
//! who answered lately. It is *connected* when a quorum did, itself included. The leader is the
//! highest ballot among replicas it sees connected with its own eyes. Nobody passes on what others
//! said: a maximum that travels by hearsay flips for ever when 1-2-3 are chained and 1 and 3 each
//! miss the other.
//!
//! Differences: a ballot becomes a candidate only when it is raised, so a late starter does not
//! depose anyone; and a replica raises its ballot only when *no* peer it hears is happy with the
//! leader. A replica is happy that sees its leader lead, whether or not it is connected itself. Two
//! quorums meet, so a leader with a quorum of its own has a happy follower in every other quorum, and
//! nobody deposes it: a partition that leaves it connected costs nothing. And a replica whose disk
//! does not finish a write neither leads nor answers: it can promise and accept nothing, so it must
//! not count towards anybody's quorum.

use super::ballot::{Ballot, Round};
use super::interface::Config;

/// Invariant: `ballot` is ours, and it never leads twice: see [`Election::tick`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Election {
    /// The ballot with which this replica would lead, or does.
    ballot: Ballot,
    /// The highest leadership known, alive or not.
    leader: Ballot,
    round: Round,
    peers: Vec<Peer>,
    connected: bool,
    stalled: bool,
    happy: bool,
    /// Ticks left for a new leader to show itself.
    grace_ticks: u32,
    /// Ticks for which the preferred replica could have taken the lead back.
    fail_back_ticks: u32,
}

/// What a peer said of itself in its latest reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct View {
    pub ballot: Ballot,
    pub leader: Ballot,
    pub connected: bool,
    pub happy: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Peer {
    /// Number of the latest round answered.
    heard: Option<u64>,
    view: Option<View>,
}

/// What the rest of the replica knows that an election depends on.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// Its promise.
    pub promised: Ballot,
    /// Whether it leads.
    pub leads: bool,
    /// Whether its log is as long as the leader's was at the last heartbeat.
    pub caught_up: bool,
    /// Its disk has not finished a write for long: it would lead nobody anywhere.
    pub stalled: bool,
}

/// A new leader is given this many ticks to show itself before its followers grow unhappy.
const GRACE_TICKS: u32 = 2;
/// The preferred replica takes the lead back when all has been well for so long.
const FAIL_BACK_TICKS: u32 = 40;

impl Election {
    /// Starts after the `boot`-th start with what was promised before it.
    pub fn new(config: &Config, boot: u64, promised: Ballot) -> Election {
        let ballot = Ballot { round: 0, priority: config.priority, node: config.node };
        Election {
            ballot,
            leader: promised,
            round: Round { boot, number: 0 },
            peers: vec![Peer::default(); config.members.count()],
            connected: config.members.quorum() == 1,
            stalled: false,
            happy: false,
            grace_ticks: 0,
            fail_back_ticks: 0,
        }
    }

    /// The heartbeat round that is under way.
    pub fn round(&self) -> Round {
        self.round
    }

    /// The highest leadership known.
    pub fn leader(&self) -> Ballot {
        self.leader
    }

    /// Whether a quorum answered lately.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What this replica says of itself; nothing while its disk is stalled.
    pub fn view(&self) -> Option<View> {
        let Election { ballot, leader, connected, happy, .. } = *self;
        (!self.stalled).then_some(View { ballot, leader, connected, happy })
    }

    /// Whether the leader was seen leading at the last tick, so that clients are well sent there.
    pub fn is_happy(&self) -> bool {
        self.happy
    }

    /// A reply to one of our rounds. False if it is stale, repeated or to a question never asked.
    pub fn reply(&mut self, peer: usize, round: Round, view: View) -> bool {
        let peer = &mut self.peers[peer];
        let asked = round.boot == self.round.boot && round.number <= self.round.number;
        if !asked || peer.heard >= Some(round.number) {
            return false;
        }
        *peer = Peer { heard: Some(round.number), view: Some(view) };
        true
    }

    /// A higher ballot was promised, or reported by someone who promised it.
    pub fn observe(&mut self, ballot: Ballot) {
        if ballot > self.leader {
            self.follow(ballot);
        }
    }

    /// Judges the rounds so far and begins the next. Returns the ballot with which this replica
    /// must lead from now on, if it is elected.
    ///
    /// A returned ballot is above every ballot promised here, and each leadership of ours began
    /// with a promise of our own: so no ballot leads twice, across crashes too.
    pub fn tick(&mut self, config: &Config, standing: Standing) -> Option<Ballot> {
        self.observe(standing.promised);
        let alive = self.alive(config);
        let was_connected = self.connected;
        let answered = alive.iter().flatten().count() + 1 >= config.members.quorum();
        self.stalled = standing.stalled;
        self.connected = answered && !self.stalled;
        self.round.number += 1;
        self.grace_ticks = self.grace_ticks.saturating_sub(1);
        if !self.connected {
            let follows = self.leader.node != config.node;
            let content = self.grace_ticks > 0 || self.sees_leader(config, standing, &alive);
            self.happy = follows && content;
            return None;
        }
        if !was_connected && self.leader != Ballot::NONE {
            // The others come back into view too; the leader's last reply is from before.
            self.grace_ticks = GRACE_TICKS;
        }
        let connected = alive.iter().flatten().filter(|view| view.connected);
        let highest = connected.clone().map(|view| view.ballot).max().max(Some(self.ballot));
        let highest = highest.filter(Ballot::is_raised).unwrap_or(Ballot::NONE);
        if highest > self.leader {
            self.follow(highest);
            return (highest == self.ballot).then_some(highest);
        }
        self.happy = self.grace_ticks > 0 || self.sees_leader(config, standing, &alive);
        let deposed = !self.happy && !alive.iter().flatten().any(|view| view.happy);
        if !deposed && !self.fails_back(config, standing, &alive) {
            return None;
        }
        self.ballot = self.ballot.above(self.leader);
        let rank = (self.ballot.priority, self.ballot.node);
        if connected.clone().any(|view| (view.ballot.priority, view.ballot.node) > rank) {
            // It would win with the same round; if it does not try, we are elected next time.
            return None;
        }
        self.follow(self.ballot);
        Some(self.ballot)
    }

    /// The views of peers that answered within the election timeout, by position.
    fn alive(&self, config: &Config) -> Vec<Option<View>> {
        let recent = |heard: u64| self.round.number - heard < u64::from(config.election_ticks);
        let alive = |peer: &Peer| peer.view.filter(|_| peer.heard.is_some_and(recent));
        self.peers.iter().map(alive).collect()
    }

    fn follow(&mut self, leader: Ballot) {
        self.leader = leader;
        self.grace_ticks = GRACE_TICKS;
        self.happy = true;
        self.fail_back_ticks = 0;
    }

    /// Whether the leader, by its own words, leads and has a quorum.
    fn sees_leader(&self, config: &Config, standing: Standing, alive: &[Option<View>]) -> bool {
        if self.leader == self.ballot {
            return standing.leads;
        }
        let leader = config.members.position(self.leader.node).and_then(|leader| alive[leader]);
        leader.is_some_and(|view| {
            view.connected && view.ballot == self.leader && view.leader == self.leader
        })
    }

    /// Whether this replica is preferred to the leader, and the group is in a state to change.
    fn fails_back(&mut self, config: &Config, now: Standing, alive: &[Option<View>]) -> bool {
        let well = alive.iter().flatten().all(|view| view.happy);
        let preferred = config.priority > self.leader.priority;
        if !(preferred && self.happy && well && now.caught_up) {
            self.fail_back_ticks = 0;
            return false;
        }
        self.fail_back_ticks += 1;
        self.fail_back_ticks > FAIL_BACK_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::super::ballot::{GroupId, Members, NodeId};
    use super::*;

    const QUIET: Standing =
        Standing { promised: Ballot::NONE, leads: false, caught_up: true, stalled: false };

    fn config(node: u16) -> Config {
        Config::new(GroupId(0), NodeId(node), Members::new([1, 2, 3].map(NodeId)))
    }

    fn view(ballot: (u64, u16), leader: (u64, u16)) -> View {
        let ballot_of = |(round, node)| Ballot { round, priority: 0, node: NodeId(node) };
        let (ballot, leader) = (ballot_of(ballot), ballot_of(leader));
        View { ballot, leader, connected: true, happy: ballot == leader }
    }

    #[test]
    fn without_a_quorum_nobody_is_elected() {
        let (config, mut election) = (config(3), Election::new(&config(3), 1, Ballot::NONE));
        for _ in 0..20 {
            assert_eq!(election.tick(&config, QUIET), None);
        }
        assert!(!election.is_connected());
    }

    #[test]
    fn a_reply_counts_once_and_never_for_another_boot() {
        let (config, mut election) = (config(3), Election::new(&config(3), 2, Ballot::NONE));
        election.tick(&config, QUIET);
        let seen = view((0, 1), (0, 0));
        assert!(!election.reply(0, Round { boot: 1, number: 1 }, seen));
        assert!(!election.reply(0, Round { boot: 2, number: 2 }, seen), "never asked");
        assert!(election.reply(0, Round { boot: 2, number: 1 }, seen));
        assert!(!election.reply(0, Round { boot: 2, number: 1 }, seen));
    }

    #[test]
    fn a_happy_peer_protects_a_leader_we_cannot_see() {
        // Chained: we are 1, the leader is 3, and only 2 answers us.
        let leader = Ballot { round: 1, priority: 0, node: NodeId(3) };
        let (config, mut election) = (config(1), Election::new(&config(1), 1, leader));
        for _ in 0..50 {
            let round = election.round();
            let happy = View { happy: true, ..view((0, 2), (1, 3)) };
            election.reply(1, round, happy);
            assert_eq!(election.tick(&config, QUIET), None);
        }
        assert!(election.is_connected() && !election.view().is_some_and(|view| view.happy));
    }

    #[test]
    fn a_restarted_leader_takes_a_new_ballot() {
        let mine = Ballot { round: 4, priority: 0, node: NodeId(3) };
        let (config, mut election) = (config(3), Election::new(&config(3), 2, mine));
        let standing = Standing { promised: mine, ..QUIET };
        let unhappy = View { happy: false, ..view((0, 1), (4, 3)) };
        let mut ticks = (0..6).map(|_| {
            election.reply(0, election.round(), unhappy);
            election.tick(&config, standing)
        });
        let elected = ticks.find_map(|elected| elected).expect("nobody outranks us");
        assert!(elected > mine);
    }
}

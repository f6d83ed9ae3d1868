//! The leader: it prepares (collects promises, adopts the best log a quorum holds), then brings each
//! follower to its log and has it accept what clients ask for.
//! Source: Sequence Paxos (Haridi et al., 2020).

use super::super::acceptor::Acceptor;
use super::super::ballot::{Ballot, Index, Members, NodeId};
use super::super::failure_detector::Detector;
use super::super::interface::{Body, Config, Origin, Outcome, Output, Request, StateMachine};
use super::super::message::{Leading, Message, Report};
use super::super::reads::Reads;
use super::accept::Accept;
use super::adoption::{Adopted, Adoption};
use super::prepare::{Early, Prepare};
use super::progress::{Progress, Stage};
use std::mem::take;

/// One leadership, from its promise to the next higher one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Leader<M> {
    pub ballot: Ballot,
    pub phase: Phase<M>,
    pub reads: Reads,
    /// By member position; our own is not used.
    peers: Vec<Progress>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) enum Phase<M> {
    /// Finding out what may have been chosen.
    Prepare(Prepare<M>),
    /// Having entries accepted.
    Accept(Accept),
}

impl<M: StateMachine> Leader<M> {
    /// Begins the prepare phase of a ballot that was promised in this very step.
    pub fn new(config: &Config, ballot: Ballot, boot: u64) -> Leader<M> {
        Leader {
            ballot,
            phase: Phase::Prepare(Prepare::begin(config)),
            reads: Reads::new(ballot, boot),
            peers: vec![Progress::default(); config.members.count()],
        }
    }

    // --- Prepare -------------------------------------------------------------------------------

    /// Asks the others, once our own promise is durable; and completes the phase when it can be.
    pub fn prepare(
        &mut self,
        config: &Config,
        acceptor: &mut Acceptor,
        out: &mut Output<M>,
    ) -> Option<Adopted<M>> {
        let Phase::Prepare(prepare) = &mut self.phase else { return None };
        if !prepare.asked {
            let report = acceptor.report()?;
            prepare.asked = true;
            prepare.promises[config.me()] = Some(report);
            for (_, node) in config.peers() {
                out.send(config, node, Message::Prepare { ballot: self.ballot });
            }
        }
        if prepare.adoption.is_none() {
            prepare.adopt_best(config, self.ballot, acceptor, out);
        }
        let complete = prepare.adoption.as_ref().is_some_and(Adoption::is_complete);
        if !complete {
            return None;
        }
        let adopted = prepare.adoption.take().expect("it is complete").finish();
        Some(adopted)
    }

    /// A follower's state, in whatever message it came: decides what that follower needs next.
    pub fn reconcile(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        (peer, report): (usize, Report),
        out: &mut Output<M>,
    ) {
        let node = config.members.at(peer);
        self.peers[peer].heard();
        if report.promised < self.ballot {
            if self.may_ask() {
                out.send(config, node, Message::Prepare { ballot: self.ballot });
            }
            return;
        }
        // Its promise is durable, so it answers our Prepare even if it came as a hello.
        match &mut self.phase {
            Phase::Prepare(prepare) => {
                prepare.promises[peer] = Some(report);
                // The source trimmed what we were about to pull: plan anew, with its snapshot.
                let source = |a: &mut Adoption<M>| a.source() == node && a.is_behind(report.first);
                prepare.adoption.take_if(source);
            }
            Phase::Accept(accept) => {
                let progress = &mut self.peers[peer];
                if report.accepted_ballot == self.ballot
                    && report.accepted <= acceptor.log.accepted()
                {
                    progress.accepted(report.accepted, acceptor.log.first());
                    progress.rewind(report.accepted);
                } else if report.accepted_ballot < self.ballot && progress.stage != Stage::Accepting
                {
                    // Whoever accepted from us has our log; a report of less is an old one. A fresh
                    // report's offer always agrees with its log, so this exchange comes to an end.
                    progress.stage = Stage::Syncing(report);
                    accept.offer(config, acceptor, node, report, out);
                }
            }
        }
    }

    /// Our promise is durable: nothing may go out under this ballot before.
    fn may_ask(&self) -> bool {
        !matches!(&self.phase, Phase::Prepare(prepare) if !prepare.asked)
    }

    // --- Accept --------------------------------------------------------------------------------

    /// The best log is ours now: synchronises the followers that promised, takes on what waits.
    pub fn become_accepting(&mut self, config: &Config, acceptor: &Acceptor, out: &mut Output<M>) {
        let adopted = acceptor.log.accepted();
        assert_eq!(acceptor.accepted_ballot, self.ballot, "the adopted log is under our ballot");
        let Phase::Prepare(prepare) = &mut self.phase else {
            unreachable!("a leadership completes its prepare phase once")
        };
        let accept = Accept::begin(adopted, prepare.best);
        let (promises, early) = (take(&mut prepare.promises), take(&mut prepare.early));
        self.phase = Phase::Accept(accept);
        for (peer, _) in config.peers() {
            self.peers[peer] = Progress::default();
            if let Some(report) = promises[peer] {
                self.reconcile(config, acceptor, (peer, report), out);
            }
        }
        for Early { origin, write, body } in early {
            self.take_on(config, acceptor, origin, write, &body, out);
        }
        out.elected = Some(self.ballot);
    }

    /// A client's request: a write joins the batch, a read waits for confirmation.
    pub fn request(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        request: &Request<'_>,
        out: &mut Output<M>,
    ) {
        let origin = Origin { client: request.client, number: request.number };
        let (write, body) = match request.body {
            Body::Write(body) => (true, body),
            Body::Read(body) => (false, body),
        };
        self.take_on(config, acceptor, origin, write, body, out);
    }

    fn take_on(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        origin: Origin,
        write: bool,
        body: &[u8],
        out: &mut Output<M>,
    ) {
        match &mut self.phase {
            Phase::Prepare(prepare) if prepare.has_room(config) => {
                prepare.keep(origin, write, body);
            }
            Phase::Accept(accept) if write && accept.has_room(config, acceptor) => {
                accept.batch.push(body);
                accept.origins.push_back(origin);
            }
            Phase::Accept(accept) if !write && self.reads.has_room(config) => {
                self.reads.arrived(origin, body, accept.adopted.max(acceptor.decided));
            }
            Phase::Prepare(_) | Phase::Accept(_) => out.answer(origin, Outcome::Busy),
        }
    }

    /// Appends the batch: one record, and one shared allocation for disk, log and messages.
    pub fn seal_batch(&mut self, acceptor: &mut Acceptor, out: &mut Output<M>) {
        if let Phase::Accept(accept) = &mut self.phase
            && !accept.batch.is_empty()
        {
            acceptor.append(accept.batch.seal(), out);
        }
    }

    /// A follower has so many of our entries on its disk.
    pub fn accepted(&mut self, acceptor: &Acceptor, peer: usize, accepted: Index) {
        if matches!(self.phase, Phase::Accept(_)) && accepted <= acceptor.log.accepted() {
            self.peers[peer].accepted(accepted, acceptor.log.first());
        }
    }

    /// Learns what a quorum of distinct nodes has accepted under our ballot. We count ourselves by
    /// what is durable here, like everyone else.
    pub fn decide(&self, config: &Config, acceptor: &mut Acceptor) {
        if !matches!(self.phase, Phase::Accept(_)) {
            return;
        }
        let durable = acceptor.durable;
        let mut accepted = [Index::ZERO; Members::MAX];
        let accepted = &mut accepted[..config.members.count()];
        for (peer, _) in config.peers() {
            accepted[peer] = self.peers[peer].acked;
        }
        if durable.accepted_ballot == self.ballot {
            accepted[config.me()] = durable.accepted;
        }
        accepted.sort_unstable_by(|a, b| b.cmp(a));
        acceptor.decide(accepted[config.members.quorum() - 1]);
    }

    /// Sends each follower what its window allows.
    pub fn send_accepts(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        detectors: &[Detector],
        out: &mut Output<M>,
    ) {
        let Phase::Accept(accept) = &mut self.phase else { return };
        let (log, decided) = (&acceptor.log, acceptor.decided);
        for (peer, node) in config.peers() {
            let progress = &mut self.peers[peer];
            if progress.stage != Stage::Accepting || progress.next == log.accepted() {
                continue;
            }
            if progress.next < log.first() {
                // What it needs next is in a snapshot only.
                let report = progress.as_report(self.ballot);
                progress.stage = Stage::Syncing(report);
                accept.offer(config, acceptor, node, report, out);
                continue;
            }
            let window = match detectors[peer].is_suspected() {
                true => 1,
                false => progress.window_bytes(config.window_bytes),
            };
            let acked = log.position_bytes(progress.acked.max(log.first()));
            while progress.next < log.accepted()
                && log.position_bytes(progress.next) - acked < window
            {
                let index = progress.next;
                let entries = log.slice(index, log.accepted(), config.message_bytes);
                progress.sent(index.plus(entries.len()), decided);
                let accept = Message::Accept { ballot: self.ballot, index, entries, decided };
                out.send(config, node, accept);
            }
        }
    }

    /// A follower pulled what is not in the log any more: the offer it goes by is too old.
    pub fn offer_again(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        peer: usize,
        out: &mut Output<M>,
    ) {
        if let (Phase::Accept(accept), Stage::Syncing(report)) =
            (&self.phase, self.peers[peer].stage)
        {
            accept.offer(config, acceptor, config.members.at(peer), report, out);
        }
    }

    /// Whether the bookkeeping of the role adds up: each follower's marks are in order and within
    /// the log, and everyone who waits for an entry has one.
    pub fn is_consistent(&self, config: &Config, acceptor: &Acceptor) -> bool {
        let accepted = acceptor.log.accepted();
        let within = |(peer, _): (usize, NodeId)| {
            let progress: &Progress = &self.peers[peer];
            progress.acked <= progress.next && progress.next <= accepted
        };
        let origins = match &self.phase {
            Phase::Prepare(_) => true,
            Phase::Accept(accept) => {
                let end = accept.origins_start.plus(accept.origins.len());
                end == accepted.plus(accept.batch.len()) && accept.adopted <= accepted
            }
        };
        origins && config.peers().all(within)
    }

    /// A retransmission tick. A follower that does not answer is asked again, ever more rarely.
    pub fn retransmit(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        detectors: &[Detector],
        out: &mut Output<M>,
    ) {
        self.reads.repeat(config, out);
        let may_ask = self.may_ask();
        for (peer, node) in config.peers() {
            let progress = &mut self.peers[peer];
            if !progress.is_outstanding(&acceptor.log, acceptor.decided) || !progress.is_due() {
                continue;
            }
            match (&mut self.phase, progress.stage) {
                (Phase::Prepare(prepare), _) if may_ask && prepare.promises[peer].is_none() => {
                    out.send(config, node, Message::Prepare { ballot: self.ballot });
                }
                (Phase::Prepare(_), _) => {}
                (Phase::Accept(_), Stage::Unpromised) => {
                    out.send(config, node, Message::Prepare { ballot: self.ballot });
                }
                (Phase::Accept(accept), Stage::Syncing(report)) => {
                    accept.offer(config, acceptor, node, report, out);
                }
                (Phase::Accept(_), Stage::Accepting) if progress.acked < progress.next => {
                    progress.rewind(progress.acked);
                }
                (Phase::Accept(_), Stage::Accepting) => {
                    progress.told = acceptor.decided;
                    let (ballot, decided) = (self.ballot, acceptor.decided);
                    out.send(config, node, Message::Decide { ballot, decided });
                }
            }
        }
        if let Phase::Prepare(prepare) = &mut self.phase {
            prepare.retry(config, detectors, out);
        }
    }

    /// Whether anything is unacknowledged.
    pub fn is_outstanding(&self, config: &Config, acceptor: &Acceptor) -> bool {
        let outstanding = |(peer, _): (usize, NodeId)| {
            self.peers[peer].is_outstanding(&acceptor.log, acceptor.decided)
        };
        matches!(self.phase, Phase::Prepare(_))
            || self.reads.is_asking()
            || config.peers().any(outstanding)
    }

    /// What a heartbeat tells a follower; nothing while our own promise is not durable. It counts
    /// what was sent there: what the window still holds back is not missing.
    pub fn leading(&self, acceptor: &Acceptor, peer: usize) -> Option<Leading> {
        let progress = &self.peers[peer];
        let accepted = match self.phase {
            Phase::Prepare(_) => Index::ZERO,
            Phase::Accept(_) if progress.stage == Stage::Accepting => progress.next,
            Phase::Accept(_) => acceptor.log.accepted(),
        };
        let decided = acceptor.decided.min(accepted);
        self.may_ask().then_some(Leading { ballot: self.ballot, accepted, decided })
    }

    /// Who asked for the entry at `index`, which is being applied.
    pub fn origin_of(&mut self, index: Index) -> Option<Origin> {
        match &mut self.phase {
            Phase::Accept(accept) if accept.origins_start == index => {
                accept.origins_start = index.plus(1);
                accept.origins.pop_front()
            }
            Phase::Accept(_) | Phase::Prepare(_) => None,
        }
    }

    /// Sends everyone who waits elsewhere: this leadership is over.
    pub fn resign(self, successor: Option<NodeId>, out: &mut Output<M>) {
        let reads: Vec<Origin> = self.reads.origins().collect();
        let writes: Vec<Origin> = match self.phase {
            Phase::Prepare(prepare) => prepare.early.iter().map(|early| early.origin).collect(),
            Phase::Accept(accept) => accept.origins.into(),
        };
        for origin in writes.into_iter().chain(reads) {
            out.answer(origin, Outcome::Redirect(successor));
        }
    }
}

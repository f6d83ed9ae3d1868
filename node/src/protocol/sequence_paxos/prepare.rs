//! The prepare phase of a leadership: finding out what may have been chosen.

use super::super::acceptor::Acceptor;
use super::super::ballot::{Ballot, NodeId};
use super::super::failure_detector::Detector;
use super::super::interface::{Config, Origin, Output, StateMachine};
use super::super::message::Report;
use super::adoption::{Adoption, Offer};

/// Whom we asked, what they promised, and what waits for the end of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Prepare<M> {
    /// Our own promise is durable, so the others were asked.
    pub asked: bool,
    /// By member position, our own included: at most one a node.
    pub promises: Vec<Option<Report>>,
    /// The best log of a quorum, on its way here.
    pub adoption: Option<Adoption<M>>,
    /// The accepted ballot of that log.
    pub best: Ballot,
    /// Requests that came too early, and their bytes together.
    pub(super) early: Vec<Early>,
    early_bytes: u64,
}

/// A request that came too early.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Early {
    pub origin: Origin,
    pub write: bool,
    pub body: Vec<u8>,
}

impl<M: StateMachine> Prepare<M> {
    /// Nobody was asked yet.
    pub fn begin(config: &Config) -> Prepare<M> {
        Prepare {
            asked: false,
            promises: vec![None; config.members.count()],
            adoption: None,
            best: Ballot::NONE,
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    /// With the promises of a quorum, picks the most complete log among them: highest accepted
    /// ballot, then longest. Whatever was chosen is in it. A log was accepted by a quorum under some
    /// ballot `b`, the quorums meet, and whoever accepted later under a higher ballot had adopted
    /// the same entries first.
    pub fn adopt_best(
        &mut self,
        config: &Config,
        ballot: Ballot,
        acceptor: &Acceptor,
        out: &mut Output<M>,
    ) {
        // One place a node, so that a repeated promise counts once.
        if self.promises.iter().flatten().count() < config.members.quorum() {
            return;
        }
        let me = config.me();
        let rank = |report: &Report| (report.accepted_ballot, report.accepted);
        let own = self.promises[me].expect("we promised before we asked");
        let best = self.promises.iter().enumerate().filter_map(|(peer, report)| {
            let report = report.as_ref()?;
            // Our own log is the cheapest to adopt, so it wins a tie.
            Some((rank(report), peer == me, peer, *report))
        });
        let (.., peer, best) = best.max_by_key(|(rank, own, ..)| (*rank, *own)).expect("a quorum");
        self.best = best.accepted_ballot;
        let agrees = own.accepted_ballot == best.accepted_ballot;
        let from = match peer == me || agrees {
            true => own.accepted,
            false => acceptor.decided,
        };
        let offer = Offer {
            ballot,
            source: config.members.at(peer),
            accepted_ballot: best.accepted_ballot,
            from,
            end: best.accepted.max(from),
            first: if peer == me { own.first } else { best.first },
        };
        self.adoption = Some(Adoption::begin(config, offer, out));
    }

    /// Whether another request may wait until the phase is over.
    pub fn has_room(&self, config: &Config) -> bool {
        let count = self.early.len() as u64;
        count < config.undecided_max && self.early_bytes < config.undecided_bytes_max
    }

    /// Keeps a request that came too early.
    pub fn keep(&mut self, origin: Origin, write: bool, body: &[u8]) {
        self.early_bytes += body.len() as u64;
        self.early.push(Early { origin, write, body: body.to_vec() });
    }

    /// Pulls again; a source that never answers takes its promise back, so to speak: the rest may
    /// still be a quorum, and if not, it is asked anew.
    pub fn retry(&mut self, config: &Config, detectors: &[Detector], out: &mut Output<M>) {
        let Some(adoption) = &mut self.adoption else { return };
        let trusted =
            |(peer, node): (usize, NodeId)| (!detectors[peer].is_suspected()).then_some(node);
        let others: Vec<NodeId> = config.peers().filter_map(trusted).collect();
        if !adoption.retry(config, &others, out) {
            let source = config.members.position(adoption.source()).expect("a member");
            self.promises[source] = None;
            self.adoption = None;
        }
    }
}

//! A simulated network: one link for each ordered pair of nodes, and partitions over them.

use super::plan::{Fault, Network};
use super::tally::Tally;
use fastrand::Rng;
use node::protocol::Envelope;

/// Links between all pairs.
pub struct Links {
    nodes: usize,
    links: Vec<Link>,
    /// Faults under way, by the number the nemesis gave them.
    pub active: Vec<Active>,
    behaviour: Network,
}

#[derive(Clone, Default)]
struct Link {
    /// When the latest datagram sent will arrive; earlier arrivals of later ones are reordered.
    latest_us: u64,
}

/// A fault that acts on links while it lasts.
pub struct Active {
    /// Its number.
    pub id: u64,
    /// Its kind.
    pub fault: Fault,
    /// Ordered pairs of positions it cuts.
    pub cuts: Vec<(usize, usize)>,
    /// Additional loss, per mille.
    pub loss: u64,
    /// Additional delay.
    pub delay_us: u64,
    /// Whether it has touched anything yet.
    pub effective: bool,
}

/// A replayed datagram is at most so late; most are much less.
const REPLAY_AFTER_US_MAX: u64 = 3_000_000;

impl Links {
    /// Links of a cluster.
    pub fn new(nodes: usize, behaviour: Network) -> Links {
        let links = vec![Link::default(); nodes * nodes];
        Links { nodes, links, active: Vec::new(), behaviour }
    }

    /// Heals every link and makes all of them fast.
    pub fn heal(&mut self) {
        self.active.clear();
        self.behaviour = Network { delay_us: 50..300, loss: 0, duplicate: 0, replay: 0 };
    }

    /// Ends one fault.
    pub fn end(&mut self, id: u64) {
        self.active.retain(|active| active.id != id);
    }

    /// Sends a datagram: none, one or several will arrive, each after its own delay.
    pub fn send(
        &mut self,
        (from, to): (usize, usize),
        envelope: Envelope,
        now_us: u64,
        random: &mut Rng,
        tally: &mut Tally,
        mut arrives: impl FnMut(u64, Envelope),
    ) {
        tally.sent += 1;
        let (mut loss, mut extra_us, mut cut) = (self.behaviour.loss, 0, false);
        for active in &mut self.active {
            let touched = active.cuts.contains(&(from, to));
            cut |= touched;
            loss += active.loss;
            extra_us += active.delay_us;
            if (touched || active.loss + active.delay_us > 0) && !active.effective {
                active.effective = true;
                tally.effective(active.fault);
            }
        }
        if cut {
            tally.cut += 1;
            return;
        }
        let link = &mut self.links[from * self.nodes + to];
        if self.behaviour.replay > 0 && random.u64(0..1000) < self.behaviour.replay {
            // A copy is stuck somewhere, and arrives when nobody thinks of it any more, whether or
            // not the link is cut by then.
            tally.replayed += 1;
            let halvings = random.u32(0..6);
            arrives(random.u64(0..REPLAY_AFTER_US_MAX >> halvings), envelope.clone());
        }
        if random.u64(0..1000) < loss {
            tally.lost += 1;
            return;
        }
        let mut delay = || {
            let extra = if extra_us > 0 { random.u64(0..=extra_us) } else { 0 };
            random.u64(self.behaviour.delay_us.clone()) + extra
        };
        let delay_us = delay();
        let again_us = delay();
        if now_us + delay_us < link.latest_us {
            tally.reordered += 1;
        }
        link.latest_us = link.latest_us.max(now_us + delay_us);
        if self.behaviour.duplicate > 0 && random.u64(0..1000) < self.behaviour.duplicate {
            tally.duplicated += 1;
            arrives(again_us, envelope.clone());
        }
        arrives(delay_us, envelope);
    }
}

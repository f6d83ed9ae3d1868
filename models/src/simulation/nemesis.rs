//! The nemesis: draws faults, injects them, ends them.

use super::network::Active;
use super::oracle::Violation;
use super::plan::Fault;
use super::world::{Event, World};

impl World {
    /// Injects one fault, and plans its end and the next.
    pub(super) fn strike(&mut self) -> Result<(), Violation> {
        let next = self.random.u64(self.plan.fault_every_us.clone());
        self.queue.after(next, Event::Strike);
        let total: u32 = self.plan.faults.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return Ok(());
        }
        let mut ticket = self.random.u32(0..total);
        let drawn = self.plan.faults.iter().find(|(_, weight)| {
            let hit = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            hit
        });
        let fault = drawn.expect("the ticket is below the sum").0;
        let for_us = self.random.u64(self.plan.fault_for_us.clone());
        self.inject(fault, for_us)
    }

    fn inject(&mut self, fault: Fault, for_us: u64) -> Result<(), Violation> {
        let nodes = self.plan.nodes;
        let victim = self.random.usize(0..nodes);
        self.tally.injected(fault);
        self.note(|| format!("nemesis: {} for {for_us} us, n{}", fault.name(), victim + 1));
        match fault {
            Fault::Crash => self.kill(&[victim], fault, for_us),
            Fault::CrashAll => self.kill(&(0..nodes).collect::<Vec<_>>(), fault, for_us),
            Fault::CrashLeader => {
                let leader = self.leader();
                self.kill(leader.as_slice(), fault, for_us)
            }
            Fault::Wipe | Fault::FlipBit => self.damage(victim, fault, for_us),
            Fault::Pause => self.pause(victim, fault, for_us),
            Fault::PauseLeader => match self.leader() {
                Some(leader) => {
                    let deposed_us = 2 * self.plan.election_timeout_us();
                    self.pause(leader, fault, deposed_us + for_us / 2)
                }
                None => Ok(()),
            },
            Fault::Ambush => {
                self.nodes[victim].ambush_us = Some(for_us);
                Ok(())
            }
            Fault::StuckDisk | Fault::LinkGraph => unreachable!("not drawn in a storm"),
            Fault::SlowDisk => {
                self.nodes[victim].slow_disk_until_us = self.queue.now_us() + for_us;
                Ok(())
            }
            Fault::Clock => {
                let percent = self.random.u64(self.plan.clock_percent.clone());
                self.bend(victim, fault, percent)
            }
            Fault::SlowLeader => match self.leader() {
                Some(leader) => self.bend(leader, fault, self.plan.clock_percent.start),
                None => Ok(()),
            },
            Fault::Loss => self.disturb(fault, Vec::new(), (300, 0), for_us),
            Fault::Delay => self.disturb(fault, Vec::new(), (0, 50_000), for_us),
            Fault::Depose => {
                let Some(leader) = self.leader() else { return Ok(()) };
                self.nodes[leader].clock_percent = Some(self.plan.clock_percent.start);
                let deposed_us = for_us + 3 * self.plan.election_timeout_us();
                // Alone, or with fewer friends than make a quorum.
                let mut side = vec![leader];
                let friends = self.random.usize(0..self.plan.limits.members.quorum());
                let others = (0..nodes).filter(|node| *node != leader);
                side.extend(others.take(friends.saturating_sub(1)));
                self.disturb(fault, self.around(&side), (0, 0), deposed_us)
            }
            Fault::TurnRound => {
                let Some(leader) = self.leader() else { return Ok(()) };
                let deposed_us = self.plan.election_timeout_us() * self.random.u64(2..5);
                self.queue.after(deposed_us, Event::TurnRound { leader, for_us });
                self.disturb(fault, self.around(&[leader]), (0, 0), deposed_us)
            }
            Fault::Isolate | Fault::Halves | Fault::OneWay | Fault::Chain | Fault::Hub => {
                let cuts = self.shape(fault);
                self.disturb(fault, cuts, (0, 0), for_us)
            }
        }
    }

    /// The second half of [`Fault::TurnRound`].
    pub(super) fn turn_round(&mut self, leader: usize, for_us: u64) -> Result<(), Violation> {
        let mut others: Vec<usize> = (0..self.plan.nodes).filter(|node| *node != leader).collect();
        self.random.shuffle(&mut others);
        others.truncate(self.plan.limits.members.quorum() - 1);
        for &node in others.iter() {
            if self.nodes[node].replica.is_some() {
                self.crash(node)?;
                let down_us = self.random.u64(0..2_000);
                self.queue.after(down_us, Event::Restart(node));
            }
        }
        others.push(leader);
        let for_us = for_us + self.plan.election_timeout_us();
        self.disturb(Fault::TurnRound, self.around(&others), (0, 0), for_us)?;
        // Its first half has been counted.
        self.links.active.last_mut().expect("just pushed").effective = true;
        Ok(())
    }

    /// All ordered pairs of one node among `these` and one that is not.
    fn around(&self, these: &[usize]) -> Vec<(usize, usize)> {
        let nodes = self.plan.nodes;
        let pairs = (0..nodes * nodes).map(|pair| (pair / nodes, pair % nodes));
        pairs.filter(|(a, b)| these.contains(a) != these.contains(b)).collect()
    }

    /// The ordered pairs that a partition cuts. Positions are shuffled first.
    fn shape(&mut self, fault: Fault) -> Vec<(usize, usize)> {
        let mut order: Vec<usize> = (0..self.plan.nodes).collect();
        self.random.shuffle(&mut order);
        let half = self.random.usize(0..=order.len() / 2);
        let random = &mut self.random;
        let mut cut = |a: usize, b: usize| match fault {
            Fault::Isolate => a == 0 || b == 0,
            Fault::Halves => (a < half) != (b < half),
            Fault::OneWay => random.u8(0..4) == 0,
            Fault::Chain => a.abs_diff(b) > 1,
            Fault::Hub => a != 0 && b != 0,
            _ => false,
        };
        let mut cuts = Vec::new();
        for a in 0..order.len() {
            for b in 0..order.len() {
                if a != b && cut(a, b) {
                    cuts.push((order[a], order[b]));
                }
            }
        }
        cuts
    }

    fn disturb(
        &mut self,
        fault: Fault,
        cuts: Vec<(usize, usize)>,
        (loss, delay_us): (u64, u64),
        for_us: u64,
    ) -> Result<(), Violation> {
        let id = self.ids.next();
        self.links.active.push(Active { id, fault, cuts, loss, delay_us, effective: false });
        self.queue.after(for_us, Event::End(id));
        Ok(())
    }

    fn pause(&mut self, victim: usize, fault: Fault, for_us: u64) -> Result<(), Violation> {
        let node = &mut self.nodes[victim];
        node.paused_until_us = self.queue.now_us() + for_us;
        node.unnoticed_pause = Some(fault);
        self.queue.after(for_us, Event::Resume(victim));
        Ok(())
    }

    fn bend(&mut self, victim: usize, fault: Fault, percent: u64) -> Result<(), Violation> {
        self.nodes[victim].clock_percent = Some(percent);
        self.tally.effective(fault);
        Ok(())
    }

    fn kill(&mut self, victims: &[usize], fault: Fault, for_us: u64) -> Result<(), Violation> {
        let mut touched = false;
        for &victim in victims {
            if self.nodes[victim].replica.is_some() {
                touched = true;
                self.crash(victim)?;
                // Back at once, it meets those who speak of the time before.
                let for_us = if self.random.bool() { for_us / 16 } else { for_us };
                let spread_us = self.random.u64(0..5_000);
                self.queue.after(for_us + spread_us, Event::Restart(victim));
            }
        }
        if touched {
            self.tally.effective(fault);
        }
        Ok(())
    }

    /// Kills a node and spoils its disk, while enough others remain to go on for ever.
    fn damage(&mut self, victim: usize, fault: Fault, for_us: u64) -> Result<(), Violation> {
        let damaged = self.nodes.iter().filter(|node| node.disk.damaged).count();
        let spare = self.plan.nodes - self.plan.limits.members.quorum();
        if damaged >= spare || self.nodes[victim].replica.is_none() {
            return Ok(());
        }
        self.crash(victim)?;
        let node = &mut self.nodes[victim];
        match fault {
            Fault::Wipe => node.disk.wipe(),
            _ => _ = node.disk.flip_bit(&mut self.random),
        }
        if node.disk.damaged {
            self.tally.effective(fault);
        }
        self.queue.after(for_us, Event::Restart(victim));
        Ok(())
    }
}

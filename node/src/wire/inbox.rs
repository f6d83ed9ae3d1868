//! What comes from one node: each packet once, each message whole.

use super::{Dropped, Drops, Frame, Packet, Reassembly, Window};

/// The receiving end of the link from one node. Clients, which count no boots, have none: their
/// packets pass [`Tokens::verify`](super::Tokens::verify), and a [`Reassembly`] for each address.
#[derive(Default)]
pub struct Inbox {
    window: Window,
    reassembly: Reassembly,
}

impl Inbox {
    /// Hands each message of an authentic packet of this peer to `take`, in order; counts what is
    /// dropped: the packet if it came before, and fragments that fit nothing.
    pub fn receive(
        &mut self,
        packet: &Packet<'_>,
        drops: &mut Drops,
        mut take: impl FnMut(Frame<'_>),
    ) {
        if !self.window.admit(packet.boot, packet.number) {
            return drops.count(Dropped::Replayed);
        }
        for frame in packet.frames() {
            match self.reassembly.whole(packet.boot, frame) {
                Ok(whole) => whole.into_iter().for_each(&mut take),
                Err(reason) => drops.count(reason),
            }
        }
    }
}

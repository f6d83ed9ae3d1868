//! Address validation: who sends from an address it cannot receive at never learns the token.

use super::frame::{Head, kind};
use super::keys::{self, Key, Keys};
use super::packet::{Header, Packet, PacketKind, seal};
use super::{CLIENT, Dropped, TAG_BYTES};
use crate::protocol::GroupId;
use std::net::SocketAddr;

/// What a node sends to an address, and a client there returns in each later request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Token(pub(super) [u8; TAG_BYTES]);

impl Token {
    /// What a client sends that has none yet.
    pub const NONE: Token = Token([0; TAG_BYTES]);
    /// In front of each token.
    pub(super) const HEAD: Head = Head { kind: kind::TOKEN, flags: 0, group: GroupId(0) };

    /// Appends a frame.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        Token::HEAD.put(&self.0, bytes);
    }
}

/// A node's way to make and recognise tokens without remembering any.
#[derive(Clone)]
pub struct Tokens {
    key: Key,
}

impl Tokens {
    /// How long an epoch should last, in seconds. A token is good for one to two of them.
    pub const EPOCH_S: u64 = 600;

    /// `key`: random, new at each start, and known to nobody else; holders of the cluster's secret
    /// must not know it, or they could have our answers sent to whom they like.
    pub fn new(key: [u8; blake3::KEY_LEN]) -> Tokens {
        Tokens { key }
    }

    /// The token of this address. `epoch`: counts spans of [`Tokens::EPOCH_S`] on any clock.
    pub fn token(&self, address: SocketAddr, epoch: u64) -> Token {
        let (ip, port) = (address.ip().to_canonical(), address.port().to_le_bytes());
        let mut bytes = [0; 26];
        bytes[..16].copy_from_slice(&match ip {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(ip) => ip.octets(),
        });
        bytes[16..18].copy_from_slice(&port);
        bytes[18..].copy_from_slice(&epoch.to_le_bytes());
        Token(keys::tag(&self.key, &bytes))
    }

    /// Whether a request from this address proves that its sender receives there, in this epoch or
    /// the one before. If not, a [`challenge`] is all it may get.
    pub fn verify(
        &self,
        packet: &Packet<'_>,
        address: SocketAddr,
        epoch: u64,
    ) -> Result<(), Dropped> {
        let token = packet.token.unwrap_or_default();
        let of = |epoch| keys::equal(&token.0, &self.token(address, epoch).0);
        match of(epoch) || of(epoch.saturating_sub(1)) {
            true => Ok(()),
            false => Err(Dropped::Unverified),
        }
    }
}

/// Puts the challenge to a client into `datagram`, replacing what is there. It is never larger than
/// the request that caused it. Its number is zero: an old one costs a client a round trip.
/// Panics if `keys` are a client's.
pub fn challenge(keys: &Keys, boot: u64, token: Token, datagram: &mut Vec<u8>) {
    let (source, destination) = (keys.node, CLIENT);
    assert_ne!(source, CLIENT, "clients do not challenge");
    let key = &keys.link(CLIENT).expect("every node has keys for clients").outbound;
    let kind = PacketKind::Challenge;
    datagram.clear();
    Header { kind, source, destination, cluster: keys.cluster, boot }.put(datagram);
    token.put(datagram);
    datagram.extend_from_slice(&[0; TAG_BYTES]);
    seal(datagram, 0, key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::NodeId;
    use crate::wire::{DATAGRAM_BYTES, Packer, Question, Request};

    const NODE: NodeId = NodeId(1);

    fn request(token: Token) -> Vec<u8> {
        let keys = Keys::new(b"", 0, CLIENT, [NODE]);
        let mut packer = Packer::new(&keys, NODE, 0, 0, DATAGRAM_BYTES);
        packer.present(token);
        let (group, question) = (GroupId(0), Question::Status);
        packer.request(&Request { client: 0, number: 0, group, question }).unwrap();
        packer.seal(1).next().unwrap().contents.to_vec()
    }

    fn verified(tokens: &Tokens, token: Token, address: &str, epoch: u64) -> bool {
        let datagram = request(token);
        let packet = Packet::open(&datagram, &Keys::new(b"", 0, NODE, [])).unwrap();
        tokens.verify(&packet, address.parse().unwrap(), epoch).is_ok()
    }

    #[test]
    fn a_token_is_good_for_its_address_in_its_epoch_and_the_next() {
        let tokens = Tokens::new([7; 32]);
        let token = tokens.token("10.0.0.1:5000".parse().unwrap(), 9);
        for (address, epoch, good) in [
            ("10.0.0.1:5000", 8, false),
            ("10.0.0.1:5000", 9, true),
            ("10.0.0.1:5000", 10, true),
            ("10.0.0.1:5000", 11, false),
            ("10.0.0.1:5001", 9, false),
            ("10.0.0.2:5000", 9, false),
            ("[::ffff:10.0.0.1]:5000", 9, true),
            ("[::1]:5000", 9, false),
        ] {
            assert_eq!(verified(&tokens, token, address, epoch), good, "{address} in {epoch}");
        }
        assert!(!verified(&Tokens::new([8; 32]), token, "10.0.0.1:5000", 9));
        assert!(!verified(&tokens, Token::NONE, "10.0.0.1:5000", 9));
    }
}

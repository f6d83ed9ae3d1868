//! The wire: what nodes and clients put into UDP datagrams. Numbers are little-endian, offsets are
//! fixed, nothing is aligned, and bits without a meaning are zero: each message has one encoding.
//!
//! A datagram is one packet: a header of 34 bytes, frames, and a tag of 16.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `QRT`, and the major version, 1 |
//! | 4 | 1 | kind: 1 node, 2 request, 3 response, 4 challenge |
//! | 5 | 1 | zero |
//! | 6 | 2 | source, a node; clients are 0 |
//! | 8 | 2 | destination, likewise |
//! | 10 | 8 | cluster tag |
//! | 18 | 8 | boot: how often the source has started; a client, which counts nothing, draws lots |
//! | 26 | 8 | packet number: grows by one from this source to this destination |
//! | 34 | ... | frames: length of the content, 2; kind, 1; flags, 1; group, 4; content |
//! | -16 | 16 | tag: keyed BLAKE3 of all before it, cut short |
//!
//! The tag's key is BLAKE3's `derive_key` with the context `Quorate wire 1, packet tags`, from the
//! source, 2, the destination, 2, and the cluster's secret: each direction has a key of its own.
//!
//! Node packets go between nodes. Requests go from clients to nodes; their first frame is a token,
//! and so is the only frame of a challenge, and no other. Responses go from nodes to clients.
//!
//! | frame | kind | content; an asterisk marks bytes up to the end |
//! |---|---|---|
//! | *all but challenges* | | |
//! | fragment | 0 | message number 8, offset 4, total 4, kind of the whole 1, its bytes * |
//! | *node* | | *ballot* is round 8, node 2, priority 1; *round* is boot 8, number 8 |
//! | prepare | 1 | ballot |
//! | promise, hello | 2, 3 | promised ballot, accepted ballot, accepted 8, decided 8, first 8 |
//! | nack | 4 | promised ballot |
//! | accept-sync | 5 | ballot, adopted ballot, from 8, end 8, first 8 |
//! | accept | 6 | ballot, index 8, decided 8, count 4, the end of each entry 4, entries * |
//! | accepted, decide | 7, 8 | ballot, index 8 |
//! | pull | 9 | ballot, accepted ballot, from 8, end 8 |
//! | pulled | 10 | ballot, accepted ballot, index 8, entries as above *; flag 1: last |
//! | snapshot-pull | 11 | accepted ballot, offset 8; flag 1: index 8 |
//! | snapshot-piece | 12 | index 8, size 8, digest 8, offset 8, bytes *; flag 1: last |
//! | confirm, confirmed | 13, 14 | ballot, round |
//! | heartbeat | 15 | round; flag 1: leading ballot, accepted 8, decided 8 |
//! | heartbeat-reply | 16 | round, ballot, leader's ballot; flags 1: connected, 2: happy |
//! | *request, challenge* | | |
//! | token | 32 | 16 bytes; zero if the client has none |
//! | *request* | | *each begins with client 8, number 8* |
//! | write | 33 | entry * |
//! | read | 34 | key * |
//! | status | 35 | |
//! | route | 36 | key *; without flag 1 the whole table is wanted |
//! | *response* | | *each begins with client 8, number 8* |
//! | reply | 64 | reply * |
//! | redirect | 65 | node 2, or 0 for none known; the group is the frame's |
//! | wrong group | 66 | version of the table 8; the right group is the frame's |
//! | busy | 67 | |
//! | too large | 68 | most bytes 4 |
//! | status | 69 | JSON * |
//! | table | 70 | lookup table * |
//!
//! The layouts of entries, commands and replies are those of the log and of [`Command`], [`Reply`].
//! A message that does not fit a datagram is cut into fragments; the flags and the group of the
//! whole are on each. A fragment has at least 64 bytes of it, or else its last. The message number is
//! a hash of the whole, so that fragments of two attempts to send it complete each other.
//!
//! What a receiver owes the network, in the order of checking:
//! - It never answers another version, another cluster's packet, one with another destination, an
//!   unknown source or a wrong tag. A node never answers a response or a challenge: these are for
//!   clients only, which have no node's number. See [`Packet::open`].
//! - A peer is who can make the tag, whatever its address. A packet cannot be sent back to where it
//!   came from, for that direction has another key.
//! - A packet from before a peer's restart, or seen before, is dropped ([`Window`]): an economy,
//!   since the protocol tolerates both.
//! - A client's address is unverified until it returns the token it was sent ([`Tokens`]). To an
//!   unverified address goes one challenge a packet and nothing else, and no request is smaller
//!   than a challenge, because it has room for the token. So our answers can flood nobody.
//! - Reading is total: no bytes make it panic, or allocate more than was received. A datagram is
//!   taken or dropped as a whole; drops are counted by reason ([`Drops`]).

mod client;
mod drops;
mod fields;
mod frame;
mod inbox;
mod keys;
mod message;
mod overheard;
mod packer;
mod packet;
mod reassembly;
mod token;
mod window;

pub use crate::command::{Command, Operation, Reply, SessionId};
pub use crate::protocol::{Envelope, GroupId, Malformed, NodeId};
pub use client::{Answer, Question, Request, Response, is_pair_too_large};
pub use drops::{Dropped, Drops};
pub use frame::Frame;
pub use inbox::Inbox;
pub use keys::Keys;
pub(crate) use message::{decode as decode_message, encode as encode_message};
pub use overheard::{Overheard, overhear};
pub use packer::{Packer, Run, TooLarge};
pub use packet::{Packet, PacketKind};
pub use reassembly::Reassembly;
pub use token::{Token, Tokens, challenge};
pub use window::Window;

/// The source and destination number of every client; no node has it.
pub const CLIENT: NodeId = NodeId(0);

/// Most bytes of a datagram unless configured otherwise: no path known to us cuts it.
pub const DATAGRAM_BYTES: usize = 1_200;
/// The least that can be configured.
pub const DATAGRAM_BYTES_MIN: usize = 512;
/// The most that can be configured, for networks with jumbo frames.
pub const DATAGRAM_BYTES_MAX: usize = 8_900;

/// Most bytes of a key and a value together; of a swap, of the key with either value.
pub const PAIR_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a frame's content, in fragments or not: a swap of two of the largest values, and
/// what stands around them.
pub const MESSAGE_BYTES_MAX: usize = 2 * PAIR_BYTES_MAX + (4 << 10);

/// `QRT` and the major version.
const MAGIC: u32 = u32::from_le_bytes(*b"QRT\x01");
const HEADER_BYTES: usize = 34;
const TAG_BYTES: usize = 16;
const FRAME_HEADER_BYTES: usize = 8;
/// What a fragment has besides its part of the message.
const FRAGMENT_HEADER_BYTES: usize = 17;
/// Fragments other than the last have at least this, so that pieces are never many.
const FRAGMENT_BYTES_MIN: usize = 64;
/// A frame with a token.
const TOKEN_FRAME_BYTES: usize = FRAME_HEADER_BYTES + size_of::<Token>();

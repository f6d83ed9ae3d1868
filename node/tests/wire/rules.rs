//! Whom a receiver listens to, and what it never answers.

use super::samples::{Sample, all};
use super::{Any, AnyQuestion, CLUSTER, GROUP, N1, N2, SECRET, keys, packer, retag, sealed};
use node::protocol::{Ballot, GroupId, Message, NodeId};
use node::wire::{
    Answer, CLIENT, Command, DATAGRAM_BYTES, Dropped, Drops, Inbox, Keys, MESSAGE_BYTES_MAX,
    Operation, Overheard, PAIR_BYTES_MAX, Packer, Packet, PacketKind, Question, Request, Response,
    SessionId, Token, Tokens, challenge, is_pair_too_large, overhear,
};

/// A packet from node 1 to node 2.
fn prepare() -> Vec<u8> {
    let mut packer = packer(PacketKind::Node, DATAGRAM_BYTES);
    Any::Node(Message::Prepare { ballot: Ballot::NONE }).pack(&mut packer);
    sealed(&mut packer).remove(0)
}

/// A client's packet to node 1.
fn status() -> Vec<u8> {
    let mut packer = packer(PacketKind::Request, DATAGRAM_BYTES);
    Any::Request(AnyQuestion::Status).pack(&mut packer);
    sealed(&mut packer).remove(0)
}

/// Node 1's packet to a client.
fn busy() -> Vec<u8> {
    let mut packer = packer(PacketKind::Response, DATAGRAM_BYTES);
    let (group, answer) = (GroupId(0), Answer::Busy);
    packer.response(&Response { client: 0, number: 0, group, answer }).expect("it is small");
    sealed(&mut packer).remove(0)
}

/// The packet with some bytes replaced, and a right tag all the same.
fn changed(datagram: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    datagram[at..at + bytes.len()].copy_from_slice(bytes);
    retag(&mut datagram);
    datagram
}

fn refusal(datagram: &[u8], keys: &Keys) -> Dropped {
    Packet::open(datagram, keys).expect_err("not for us")
}

#[test]
fn who_is_between_nodes_hears_their_vows_and_nothing_else() {
    for Sample { message, .. } in all() {
        let kind = message.kind();
        let [mut alone, mut both] = [DATAGRAM_BYTES; 2].map(|bytes| packer(kind, bytes));
        message.pack(&mut alone);
        let heard: Vec<Overheard> = overhear(&sealed(&mut alone)[0]).collect();
        let wanted = match &message {
            Any::Node(Message::Promise(report)) => {
                vec![Overheard::Promise(GROUP, report.accepted.0)]
            }
            Any::Node(Message::Accepted { accepted, .. }) => {
                vec![Overheard::Accepted(GROUP, accepted.0)]
            }
            _ => vec![],
        };
        assert_eq!(heard, wanted);
        // Also behind another frame.
        message.pack(&mut both);
        message.pack(&mut both);
        assert_eq!(overhear(&sealed(&mut both)[0]).count(), 2 * wanted.len());
    }
    for size in 0..prepare().len() {
        assert_eq!(overhear(&prepare()[..size]).count(), 0);
    }
}

#[test]
fn each_reason_to_drop_a_packet_has_its_name() {
    let (us, packet) = (keys(N2), prepare());
    assert!(Packet::open(&packet, &us).is_ok());
    assert_eq!(refusal(&changed(&packet, 0, b"X"), &us), Dropped::Version);
    assert_eq!(refusal(&changed(&packet, 3, &[2]), &us), Dropped::Version);
    assert_eq!(refusal(&packet, &Keys::new(SECRET, 1, N2, [N1])), Dropped::Cluster);
    assert_eq!(refusal(&packet, &keys(NodeId(3))), Dropped::Destination);
    assert_eq!(refusal(&packet, &Keys::new(SECRET, CLUSTER, N2, [])), Dropped::Source);
    assert_eq!(refusal(&packet, &Keys::new(b"other", CLUSTER, N2, [N1])), Dropped::Tag);
    assert_eq!(refusal(&changed(&packet, 5, &[1]), &us), Dropped::Malformed);
    assert_eq!(refusal(b"QRT", &us), Dropped::Malformed);
    let mut large = packet.clone();
    large.resize(9_000, 0);
    assert_eq!(refusal(&large, &us), Dropped::TooLarge);
}

#[test]
fn every_byte_of_a_packet_is_under_its_tag() {
    let packet = prepare();
    for at in 0..packet.len() {
        let mut damaged = packet.clone();
        damaged[at] ^= 1;
        assert!(Packet::open(&damaged, &keys(N2)).is_err(), "byte {at}");
    }
}

#[test]
fn a_packet_cannot_be_sent_back() {
    let mut packet = prepare();
    assert_eq!(refusal(&packet, &keys(N1)), Dropped::Destination);
    packet[6..10].rotate_left(2);
    assert_eq!(refusal(&packet, &keys(N1)), Dropped::Tag);
}

#[test]
fn a_kind_fits_its_ends_or_the_packet_is_nonsense() {
    let mut question = Vec::new();
    challenge(&keys(N1), 5, Token::NONE, &mut question);
    let packets = [(prepare(), N2), (status(), N1), (busy(), CLIENT), (question, CLIENT)];
    for (kind, (packet, receiver)) in (1..).zip(&packets) {
        for other in 0..=255 {
            let packet = changed(packet, 4, &[other]);
            assert_eq!(Packet::open(&packet, &keys(*receiver)).is_ok(), other == kind);
        }
    }
}

#[test]
fn a_node_does_not_even_open_what_is_meant_for_clients() {
    let mut question = Vec::new();
    challenge(&keys(N1), 5, Token::NONE, &mut question);
    for packet in [busy(), question] {
        assert_eq!(refusal(&packet, &keys(N1)), Dropped::Destination);
        assert_eq!(refusal(&packet, &keys(N2)), Dropped::Destination);
        assert_eq!(refusal(&changed(&packet, 8, &[2, 0]), &keys(N2)), Dropped::Malformed);
    }
}

#[test]
fn nothing_that_causes_a_challenge_is_smaller_than_it() {
    let mut question = Vec::new();
    challenge(&keys(N1), 5, Token::NONE, &mut question);
    let status = status();
    let mut opened = 0;
    for size_bytes in 0..=status.len() {
        let mut request = status[..size_bytes].to_vec();
        retag(&mut request);
        if Packet::open(&request, &keys(N1)).is_ok() {
            assert!(question.len() <= size_bytes);
            opened += 1;
        }
    }
    assert_eq!(opened, 1, "a request of nothing is none");
    // The same bytes without the token's frame, or with a token that is too short.
    let mut bare = [&status[..34], &status[58..]].concat();
    retag(&mut bare);
    assert_eq!(refusal(&bare, &keys(N1)), Dropped::Malformed);
    let mut short = [&status[..34], &[15], &status[35..57], &status[58..]].concat();
    retag(&mut short);
    assert_eq!(refusal(&short, &keys(N1)), Dropped::Malformed);
}

#[test]
fn a_client_is_served_once_it_has_returned_its_token() {
    let (server, tokens) = (keys(N1), Tokens::new([1; 32]));
    let (here, there) = (([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into());
    let client = keys(CLIENT);
    let mut packer = Packer::new(&client, N1, 99, 0, DATAGRAM_BYTES);
    let mut ask = |token| {
        packer.present(token);
        Any::Request(AnyQuestion::Status).pack(&mut packer);
        sealed(&mut packer).remove(0)
    };
    let first = ask(Token::NONE);
    let packet = Packet::open(&first, &server).expect("a request");
    assert_eq!(tokens.verify(&packet, here, 7), Err(Dropped::Unverified));
    let mut question = Vec::new();
    challenge(&server, 5, tokens.token(here, 7), &mut question);
    let token = Packet::open(&question, &client).expect("a challenge").token.expect("its token");
    let second = ask(token);
    let packet = Packet::open(&second, &server).expect("a request");
    assert_eq!(tokens.verify(&packet, here, 8), Ok(()));
    assert_eq!(tokens.verify(&packet, here, 9), Err(Dropped::Unverified));
    assert_eq!(tokens.verify(&packet, there, 8), Err(Dropped::Unverified));
}

#[test]
fn a_replay_is_dropped_and_a_restart_is_not() {
    let (us, mut inbox, mut drops) = (keys(N2), Inbox::default(), Drops::default());
    let mut count = |boot, number| {
        let mut packer = Packer::new(&keys(N1), N2, boot, number, DATAGRAM_BYTES);
        Any::Node(Message::Prepare { ballot: Ballot::NONE }).pack(&mut packer);
        let datagram = sealed(&mut packer).remove(0);
        let packet = Packet::open(&datagram, &us).expect("authentic");
        assert_eq!((packet.boot, packet.number), (boot, number));
        let mut taken = 0;
        inbox.receive(&packet, &mut drops, |_| taken += 1);
        taken
    };
    assert_eq!((count(1, 7), count(1, 7), count(1, 6)), (1, 0, 1));
    assert_eq!((count(2, 0), count(1, 8), count(2, 1)), (1, 0, 1));
    assert_eq!(drops.of(Dropped::Replayed), 2);
}

#[test]
fn a_pair_of_64_kib_is_served_and_more_is_too_large() {
    let half = vec![b'v'; PAIR_BYTES_MAX - 1];
    let ask = |key: &[u8]| {
        let operation = Operation::Cas { key, old: Some(&half), new: &half };
        let mut entry = Vec::new();
        Command { session: SessionId(1), number: 1, acknowledged: 0, operation }.encode(&mut entry);
        let (group, question) = (GroupId(0), Question::Write(&entry));
        let request = Request { client: 1, number: 1, group, question };
        let mut packer = packer(PacketKind::Request, DATAGRAM_BYTES);
        (is_pair_too_large(key, [&half[..]; 2]), packer.request(&request).is_ok())
    };
    assert_eq!(ask(b"k"), (false, true));
    assert_eq!(ask(b"k2"), (true, true));
    let entry = vec![0; MESSAGE_BYTES_MAX];
    let (group, question) = (GroupId(0), Question::Write(&entry));
    let mut packer = packer(PacketKind::Request, DATAGRAM_BYTES);
    let refused = packer.request(&Request { client: 1, number: 1, group, question });
    let refused = refused.expect_err("too large").to_string();
    assert_eq!(refused, "a message of 135184 bytes; the limit is 135168");
    assert!(packer.is_empty());
}

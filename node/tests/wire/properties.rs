//! What holds for all messages, all bytes, and all that a network does.

use super::random::{KINDS, Random};
use super::{Any, ends, keys, packer, retag, sealed};
use node::wire::{
    DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, Dropped, Drops, Frame, Inbox, Keys,
    MESSAGE_BYTES_MAX, Packet, PacketKind, Reassembly,
};

const KINDS_OF_PACKETS: [PacketKind; 3] =
    [PacketKind::Node, PacketKind::Request, PacketKind::Response];

/// A random message for this kind of packet.
fn any(random: &mut Random, kind: PacketKind, size_bytes_max: usize) -> Any {
    loop {
        let number = random.below(KINDS);
        let message = random.any(number, size_bytes_max);
        if message.kind() == kind {
            return message;
        }
    }
}

/// The messages of a datagram, through the reassembly.
fn receive(datagram: &[u8], keys: &Keys, reassembly: &mut Reassembly) -> Vec<Any> {
    let packet = Packet::open(datagram, keys).expect("an authentic packet");
    let mut messages = Vec::new();
    for frame in packet.frames() {
        if let Some(whole) = reassembly.whole(packet.boot, frame).expect("a sound fragment") {
            messages.push(Any::read(&packet, &whole).expect("a sound message"));
        }
    }
    messages
}

#[test]
fn decode_of_encode_is_identity_for_every_kind() {
    let mut random = Random::seeded();
    for kind in 0..KINDS {
        for round in 0..60 {
            let size_bytes_max = [0, 60, 2_000, MESSAGE_BYTES_MAX - 100][round % 4];
            let message = random.any(kind, size_bytes_max);
            let mut packer = packer(message.kind(), DATAGRAM_BYTES);
            message.pack(&mut packer);
            let keys = keys(ends(message.kind()).1);
            let mut reassembly = Reassembly::default();
            let received: Vec<_> = sealed(&mut packer)
                .iter()
                .flat_map(|datagram| receive(datagram, &keys, &mut reassembly))
                .collect();
            assert_eq!(received, [message]);
        }
    }
}

#[test]
fn many_messages_share_datagrams_in_order_and_within_the_budget() {
    let mut random = Random::seeded();
    for round in 0..300 {
        let kind = KINDS_OF_PACKETS[round % 3];
        let budget = [DATAGRAM_BYTES_MIN, DATAGRAM_BYTES, DATAGRAM_BYTES_MAX][round / 3 % 3];
        let (mut packer, keys) = (packer(kind, budget), keys(ends(kind).1));
        let mut reassembly = Reassembly::default();
        for _ in 0..3 {
            let size_bytes_max = [10, 100, 1_500, 20_000][random.below(4) as usize];
            let count = random.below(40);
            let messages: Vec<_> =
                (0..count).map(|_| any(&mut random, kind, size_bytes_max)).collect();
            messages.iter().for_each(|message| message.pack(&mut packer));
            let datagrams = sealed(&mut packer);
            assert!(datagrams.iter().all(|datagram| datagram.len() <= budget));
            // No two neighbours could have been one packet.
            let neighbours = datagrams.windows(2).map(|pair| pair[0].len() + pair[1].len());
            assert!(neighbours.into_iter().all(|size_bytes| size_bytes + 100 > budget));
            let received: Vec<_> = datagrams
                .iter()
                .flat_map(|datagram| receive(datagram, &keys, &mut reassembly))
                .collect();
            assert_eq!(received, messages);
        }
    }
}

#[test]
fn bytes_without_the_right_tag_never_pass() {
    let mut random = Random::seeded();
    for round in 0..20_000 {
        let kind = KINDS_OF_PACKETS[round % 3];
        let keys = keys(ends(kind).1);
        let mut noise = random.bytes(200);
        assert!(Packet::open(&noise, &keys).is_err());
        let mut packer = packer(kind, DATAGRAM_BYTES);
        any(&mut random, kind, 200).pack(&mut packer);
        let datagram = sealed(&mut packer).remove(0);
        let start = noise.len().min(34);
        noise[..start].copy_from_slice(&datagram[..start]);
        assert!(Packet::open(&noise, &keys).is_err());
        let mut damaged = datagram.clone();
        random.damage(&mut damaged);
        assert!(damaged == datagram || Packet::open(&damaged, &keys).is_err());
    }
}

#[test]
fn a_packet_cut_anywhere_is_none_even_with_a_right_tag() {
    let mut random = Random::seeded();
    for kind in 0..KINDS {
        let message = random.any(kind, 100);
        let (mut packer, keys) = (packer(message.kind(), 1_200), keys(ends(message.kind()).1));
        message.pack(&mut packer);
        let datagram = sealed(&mut packer).remove(0);
        for size_bytes in 0..datagram.len() {
            let mut part = datagram[..size_bytes].to_vec();
            assert!(Packet::open(&part, &keys).is_err());
            retag(&mut part);
            assert!(Packet::open(&part, &keys).is_err());
        }
    }
}

/// Reads all frames of an authentic packet; those it can read have no other encoding.
fn read_all(packet: &Packet<'_>, reassembly: &mut Reassembly) -> usize {
    let mut read = 0;
    for frame in packet.frames() {
        let Ok(Some(whole)) = reassembly.whole(packet.boot, frame) else { continue };
        if let Ok(message) = Any::read(packet, &whole) {
            assert_eq!(content_of(&message), format!("{whole:?}"), "one message, one encoding");
            read += 1;
        }
    }
    read
}

/// The frame that a message is packed into, as text, since a frame's parts are not public.
fn content_of(message: &Any) -> String {
    let mut packer = packer(message.kind(), DATAGRAM_BYTES_MAX);
    message.pack(&mut packer);
    let datagram = sealed(&mut packer).remove(0);
    let keys = keys(ends(message.kind()).1);
    let packet = Packet::open(&datagram, &keys).expect("an authentic packet");
    let frame: Frame = packet.frames().next().expect("a frame");
    format!("{frame:?}")
}

#[test]
fn authentic_nonsense_never_panics_and_means_only_what_it_says() {
    let mut random = Random::seeded();
    let (mut reassembly, mut opened, mut read) = (Reassembly::default(), 0, 0);
    for round in 0..60_000 {
        let kind = KINDS_OF_PACKETS[round % 3];
        let keys = keys(ends(kind).1);
        let size_bytes_max = if round % 50 == 0 { 3_000 } else { 60 };
        let mut packer = packer(kind, DATAGRAM_BYTES);
        any(&mut random, kind, size_bytes_max).pack(&mut packer);
        any(&mut random, kind, 20).pack(&mut packer);
        let mut datagram = sealed(&mut packer).remove(0);
        // Behind the header, most of the time.
        let mut body = datagram.split_off(if random.below(8) == 0 { 0 } else { 34 });
        random.damage(&mut body);
        datagram.append(&mut body);
        retag(&mut datagram);
        if let Ok(packet) = Packet::open(&datagram, &keys) {
            opened += 1;
            read += read_all(&packet, &mut reassembly);
        }
    }
    println!("{opened} of 60000 opened, {read} messages read");
    assert!(opened > 10_000 && read > 10_000);
}

#[test]
fn fragments_reordered_repeated_and_lost_give_each_whole_message_once() {
    let mut random = Random::seeded();
    for _ in 0..60 {
        let kind = PacketKind::Node;
        let (mut packer, keys) = (packer(kind, DATAGRAM_BYTES), keys(ends(kind).1));
        let mut inbox = Inbox::default();
        let mut drops = Drops::default();
        let (mut expected, mut in_flight, mut repeated) = (Vec::new(), Vec::new(), 0);
        for _ in 0..12 {
            let message = any(&mut random, kind, 40_000);
            message.pack(&mut packer);
            let mut datagrams = sealed(&mut packer);
            if random.below(3) == 0 {
                datagrams.remove(random.below(datagrams.len() as u64) as usize);
            } else {
                expected.push(format!("{message:?}"));
            }
            let copies = random.below(3) as usize;
            for datagram in datagrams {
                (0..copies).for_each(|_| in_flight.push(datagram.clone()));
                in_flight.push(datagram);
                repeated += copies as u64;
            }
        }
        random.shuffle(&mut in_flight);
        let mut received = Vec::new();
        for datagram in in_flight {
            let packet = Packet::open(&datagram, &keys).expect("an authentic packet");
            inbox.receive(&packet, &mut drops, |frame| {
                let message = Any::read(&packet, &frame).expect("a sound message");
                received.push(format!("{message:?}"));
            });
        }
        received.sort();
        expected.sort();
        assert!(received == expected, "{} of {}", received.len(), expected.len());
        assert_eq!(drops.of(Dropped::Replayed), repeated);
    }
}

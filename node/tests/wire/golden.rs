//! Golden files: each is the packet of one sample, field by field.

use super::samples::{Sample, all};
use super::{Any, AnyAnswer, AnyQuestion, CLUSTER, N1, SECRET, keys, packer, sealed};
use node::wire::{
    CLIENT, DATAGRAM_BYTES, DATAGRAM_BYTES_MIN, Keys, Packet, PacketKind, Reassembly, Tokens,
    challenge,
};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const HEADER: &str = "magic and version 4, kind 1, zero 1, source 2, destination 2, \
                      cluster tag 8, boot 8, packet number 8";
const FRAME: &str = "length 2, kind of frame 1, flags 1, group 4";
const TOKEN: &str = "length 2, kind of frame 1, flags 1, group 4, token 16";
const FRAGMENT: &str = "length 2, kind of frame 1, flags 1, group 4, \
                        message number 8, offset 4, total 4, kind of the whole 1";

/// Where the kind of the first frame stands.
const FRAME_KIND: usize = 36;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/wire", &format!("{name}.hex")].iter().collect()
}

/// Lines of at most 16 bytes, the first of each field with its name.
fn dump(datagram: &[u8], layout: &str) -> String {
    let (mut text, mut rest) = (String::new(), datagram);
    for field in layout.split(", ").chain(["tag 16"]) {
        let (name, size) = field.rsplit_once(' ').expect("a name and a size");
        let size_bytes = size.parse().unwrap_or(rest.len() - 16);
        let (content, behind) = rest.split_at(size_bytes);
        rest = behind;
        for (at, line) in content.chunks(16).enumerate() {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = if at == 0 { format!("# {name}") } else { String::new() };
            let line = format!("{:48}{name}", hex.join(" "));
            writeln!(text, "{}", line.trim_end()).expect("a string takes all");
        }
    }
    assert!(rest.is_empty(), "{} bytes without a name", rest.len());
    text
}

/// The bytes of a golden file, one packet behind another, `--` between.
fn parse(text: &str) -> Vec<Vec<u8>> {
    let bytes = |line: &str| -> Vec<u8> {
        let hex = line.split('#').next().unwrap_or_default().split_whitespace();
        hex.map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
    };
    text.split("\n--\n").map(|packet| packet.lines().flat_map(bytes).collect()).collect()
}

/// Compares with the golden file, or writes it. Returns what the file says.
fn golden(title: &str, name: &str, datagrams: &[Vec<u8>], layouts: &[String]) -> Vec<Vec<u8>> {
    let dumps: Vec<_> = datagrams.iter().zip(layouts).map(|(bytes, l)| dump(bytes, l)).collect();
    let text = format!("# {title}\n{}", dumps.join("--\n"));
    let path = path(name);
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let expected =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, expected, "{name}: the format has changed");
    parse(&expected)
}

/// Reads packets with the keys of their receiver.
fn read(datagrams: &[Vec<u8>], kind: PacketKind) -> Vec<Any> {
    let keys = keys(super::ends(kind).1);
    let (mut reassembly, mut messages) = (Reassembly::default(), Vec::new());
    for datagram in datagrams {
        let packet = Packet::open(datagram, &keys).expect("a golden packet");
        for frame in packet.frames() {
            if let Some(whole) = reassembly.whole(packet.boot, frame).expect("a sound fragment") {
                messages.push(Any::read(&packet, &whole).expect("a golden message"));
            }
        }
    }
    messages
}

fn title(file: &str, message: &Any) -> String {
    match message {
        Any::Node(message) => format!("Node: {message}"),
        Any::Request(_) => format!("Request: {file}"),
        Any::Response(_) => format!("Response: {file}"),
    }
}

fn prologue(kind: PacketKind) -> String {
    if kind == PacketKind::Request { format!("{HEADER}, {TOKEN}") } else { HEADER.to_owned() }
}

#[test]
fn every_kind_of_frame_is_as_its_golden_file_says() {
    let mut kinds = BTreeSet::new();
    for Sample { file, layout, message } in all() {
        let kind = message.kind();
        let mut packer = packer(kind, DATAGRAM_BYTES);
        message.pack(&mut packer);
        let layout = format!("{}, {FRAME}, {layout}", prologue(kind));
        let datagrams = golden(&title(file, &message), file, &sealed(&mut packer), &[layout]);
        let behind_token = if kind == PacketKind::Request { 24 } else { 0 };
        kinds.insert(datagrams[0][FRAME_KIND + behind_token]);
        assert_eq!(read(&datagrams, kind), [message], "{file}");
    }
    assert!(kinds.into_iter().eq((1..=16).chain(33..=36).chain(64..=70)), "a kind has no sample");
}

#[test]
fn a_large_message_is_as_its_golden_file_says() {
    let mut packer = packer(PacketKind::Response, DATAGRAM_BYTES_MIN);
    let json: Vec<u8> = (0..600).map(|number| b'a' + (number % 26) as u8).collect();
    let message = Any::Response(AnyAnswer::Status(json));
    message.pack(&mut packer);
    let layout = format!("{HEADER}, {FRAGMENT}, bytes *");
    let datagrams = golden(
        "Response: a status of 600 bytes, cut",
        "fragment",
        &sealed(&mut packer),
        &[layout.clone(), layout],
    );
    assert_eq!(datagrams[0][FRAME_KIND], 0);
    assert_eq!((datagrams.len(), read(&datagrams, PacketKind::Response)), (2, vec![message]));
}

#[test]
fn a_packet_of_many_frames_is_as_its_golden_file_says() {
    let mut packer = packer(PacketKind::Request, DATAGRAM_BYTES);
    let keys = [b"k1", b"k2"].map(|key| Any::Request(AnyQuestion::Read(key.to_vec())));
    keys.iter().for_each(|message| message.pack(&mut packer));
    let read_frame = "client 8, number 8, key 2";
    let layout = format!("{HEADER}, {TOKEN}, {FRAME}, {read_frame}, {FRAME}, {read_frame}");
    let datagrams = golden("Request: two reads at once", "batch", &sealed(&mut packer), &[layout]);
    assert_eq!(read(&datagrams, PacketKind::Request), keys);
}

#[test]
fn a_challenge_is_as_its_golden_file_says() {
    let address = "192.0.2.1:7000".parse().expect("an address");
    let token = Tokens::new([7; 32]).token(address, 1);
    let mut datagram = Vec::new();
    challenge(&keys(N1), 5, token, &mut datagram);
    let datagrams = golden("Challenge", "challenge", &[datagram], &[format!("{HEADER}, {TOKEN}")]);
    let keys = Keys::new(SECRET, CLUSTER, CLIENT, [N1]);
    let packet = Packet::open(&datagrams[0], &keys).expect("a golden packet");
    assert_eq!((packet.kind, packet.token), (PacketKind::Challenge, Some(token)));
    assert_eq!(packet.frames().count(), 0);
}

#[test]
fn every_golden_file_belongs_to_a_test() {
    let known: BTreeSet<_> =
        all().iter().map(|s| s.file).chain(["fragment", "batch", "challenge"]).map(path).collect();
    let folder = path("").with_file_name("");
    let files = fs::read_dir(folder).expect("the folder of golden files");
    let found: BTreeSet<_> = files.map(|file| file.expect("a file").path()).collect();
    assert_eq!(found, known);
}

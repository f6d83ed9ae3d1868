//! The lines of a trace, written and read.

use super::VERSION;
use crate::protocol::{
    Ballot, Batch, Body, Config, Durable, Entries, Envelope, GroupId, Index, Members, NodeId,
    Request, Summary, Timer,
};
use crate::wire;
use serde_json::{Map, Value, json};

/// One line.
pub enum Line {
    /// The node started: what follows is of replicas that start anew.
    Begin {
        /// Which node.
        node: NodeId,
    },
    /// A replica started.
    Start {
        /// What it was made of.
        config: Config,
        /// What survived; nothing of a new replica.
        durable: Option<Durable>,
        /// Its snapshot, if it had one.
        image: Option<Image>,
    },
    /// Its records so far went to the disk, as a write of their own.
    Write {
        /// Whose.
        group: GroupId,
        /// What was written.
        recorded: super::Outcome,
    },
    /// It took a step.
    Step {
        /// Which.
        group: GroupId,
        /// What it was fed.
        input: Traced,
        /// What came of it.
        recorded: super::Outcome,
    },
}

/// The bytes of a snapshot.
pub type Image = Vec<u8>;

/// An input as a trace has it.
pub enum Traced {
    /// A message arrived.
    Message(Envelope),
    /// A timer fired.
    Timeout(Timer),
    /// A client asked.
    Request {
        /// Names the request, with `number`.
        client: u64,
        /// See `client`.
        number: u64,
        /// The query or the entry.
        content: Vec<u8>,
        /// A query.
        is_read: bool,
        /// Another request followed at once.
        more: bool,
    },
    /// This write of the replica, counted from its start, was durable.
    Synced(usize),
    /// The snapshot that covers so many entries was durable.
    Saved {
        /// The entries.
        index: Index,
        /// Of the image.
        digest: u64,
    },
}

impl Line {
    /// Reads a line. The error says, for a reader who knows where the line stands, what is wrong.
    pub fn parse(text: &str) -> Result<Line, String> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err("not a whole JSON object".to_owned());
        };
        let object = Object(&object);
        if object.0.contains_key("quorate-trace") {
            let version = object.whole("quorate-trace")?;
            if version != VERSION {
                return Err(format!("a trace of version {version}; this program reads {VERSION}"));
            }
            return Ok(Line::Begin { node: NodeId(object.small("node")?) });
        }
        let group = GroupId(object.small("group")?);
        if let Ok(start) = object.object("start") {
            let config = start.config(group)?;
            let durable = match object.object("durable") {
                Ok(durable) => Some(durable.durable(&config)?),
                Err(_) => None,
            };
            let image = object.text("image").ok().map(unhex).transpose()?;
            return Ok(Line::Start { config, durable, image });
        }
        let digest = object.digest("digest")?;
        if let Ok(words) = object.words("write") {
            return Ok(Line::Write { group, recorded: super::Outcome { words, digest } });
        }
        let (input, words) = (object.object("in")?.input(group)?, object.words("out")?);
        Ok(Line::Step { group, input, recorded: super::Outcome { words, digest } })
    }
}

pub(super) fn fields<const N: usize>(group: GroupId, fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().chain([("group", json!(group.0))]);
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(super) fn config(config: &Config) -> Value {
    let Config { node, members, priority, election_ticks, message_bytes, window_bytes, .. } =
        config;
    let Config { undecided_max, undecided_bytes_max, snapshot_every, keep, .. } = config;
    json!({
        "node": node.0, "members": members.iter().map(|node| node.0).collect::<Vec<_>>(),
        "priority": priority, "election_ticks": election_ticks, "message_bytes": message_bytes,
        "window_bytes": window_bytes, "undecided_max": undecided_max,
        "undecided_bytes_max": undecided_bytes_max, "snapshot_every": snapshot_every, "keep": keep,
    })
}

pub(super) fn durable(durable: &Durable) -> Value {
    let summary = durable.summary().expect("a replica that ran has a name on its disk");
    let Summary { boot, promised, accepted_ballot, decided, snapshot, first, .. } = summary;
    let ballot = |ballot: Ballot| json!([ballot.round, ballot.priority, ballot.node.0]);
    let log = durable.log();
    json!({
        "boot": boot, "promised": ballot(promised), "accepted_ballot": ballot(accepted_ballot),
        "decided": decided.0, "snapshot": snapshot.0, "first": first.0,
        "entries": log.iter(first, log.accepted()).map(hex).collect::<Vec<_>>(),
    })
}

pub(super) fn message(envelope: &Envelope) -> Value {
    let mut bytes = Vec::new();
    let (kind, flags) = wire::encode_message(&envelope.message, &mut bytes);
    json!({
        "message": envelope.to_string(), "from": envelope.from.0, "to": envelope.to.0,
        "kind": kind, "flags": flags, "bytes": hex(&bytes),
    })
}

pub(super) fn request(request: &Request<'_>) -> Value {
    let Request { client, number, body, more } = request;
    let (name, content) = match body {
        Body::Write(entry) => ("write", entry),
        Body::Read(query) => ("read", query),
    };
    json!({"request": name, "client": client, "number": number, "more": more,
           "bytes": hex(content)})
}

pub(super) fn timer_name(timer: Timer) -> &'static str {
    match timer {
        Timer::Heartbeat => "heartbeat",
        Timer::Retransmit => "retransmit",
    }
}

/// A digest.
pub(super) fn number(digest: u64) -> Value {
    json!(format!("{digest:016x}"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return Err("half a byte at the end of hexadecimal digits".to_owned());
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.ok_or_else(|| "not hexadecimal".to_owned())
}

/// An object that is read: what is missing or of another kind is named.
struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    fn field<T>(&self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<T, String> {
        let value = self.0.get(name).and_then(read);
        value.ok_or_else(|| format!("{name:?} is missing or has no value that it can have"))
    }

    fn object(&self, name: &str) -> Result<Object<'a>, String> {
        self.field(name, Value::as_object).map(Object)
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.field(name, Value::as_str)
    }

    fn whole(&self, name: &str) -> Result<u64, String> {
        self.field(name, Value::as_u64)
    }

    fn small<T: TryFrom<u64>>(&self, name: &str) -> Result<T, String> {
        self.field(name, |value| value.as_u64()?.try_into().ok())
    }

    fn truth(&self, name: &str) -> Result<bool, String> {
        self.field(name, Value::as_bool)
    }

    fn list<T>(&self, name: &str, item: impl Fn(&'a Value) -> Option<T>) -> Result<Vec<T>, String> {
        self.field(name, |value| value.as_array()?.iter().map(item).collect())
    }

    fn words(&self, name: &str) -> Result<Vec<String>, String> {
        self.list(name, |word| word.as_str().map(str::to_owned))
    }

    fn digest(&self, name: &str) -> Result<u64, String> {
        self.field(name, |value| {
            let digits = value.as_str().filter(|digits| digits.len() == 16)?;
            u64::from_str_radix(digits, 16).ok()
        })
    }

    fn config(&self, group: GroupId) -> Result<Config, String> {
        let member = |node: &Value| node.as_u64()?.try_into().ok().map(NodeId);
        let (node, nodes) = (NodeId(self.small("node")?), self.list("members", member)?);
        if !nodes.contains(&node) || nodes.len() > Members::MAX {
            return Err("\"members\" are not those of a group that the node is in".to_owned());
        }
        Ok(Config {
            group,
            node,
            members: Members::new(nodes),
            priority: self.small("priority")?,
            election_ticks: self.small("election_ticks")?,
            message_bytes: self.small("message_bytes")?,
            window_bytes: self.whole("window_bytes")?,
            undecided_max: self.whole("undecided_max")?,
            undecided_bytes_max: self.whole("undecided_bytes_max")?,
            snapshot_every: self.whole("snapshot_every")?,
            keep: self.whole("keep")?,
        })
    }

    fn ballot(&self, name: &str) -> Result<Ballot, String> {
        let parts = self.list(name, Value::as_u64)?;
        let ballot = |parts: &[u64]| {
            let [round, priority, node] = *parts else { return None };
            let (priority, node) = (priority.try_into().ok()?, NodeId(node.try_into().ok()?));
            Some(Ballot { round, priority, node })
        };
        ballot(&parts).ok_or_else(|| format!("{name:?} is no ballot"))
    }

    fn durable(&self, Config { group, node, .. }: &Config) -> Result<Durable, String> {
        let index = |name| self.whole(name).map(Index);
        let summary = Summary {
            group: *group,
            node: *node,
            boot: self.whole("boot")?,
            promised: self.ballot("promised")?,
            accepted_ballot: self.ballot("accepted_ballot")?,
            decided: index("decided")?,
            snapshot: index("snapshot")?,
            first: index("first")?,
        };
        let entries = self.list("entries", |entry| unhex(entry.as_str()?).ok())?;
        if entries.iter().map(Vec::len).sum::<usize>() > Batch::SIZE_BYTES_MAX {
            return Err("\"entries\" are more than 1 GiB".to_owned());
        }
        let entries = Entries::of(entries.iter().map(Vec::as_slice));
        Durable::restore(summary, entries).map_err(|contradiction| contradiction.to_string())
    }

    fn input(&self, group: GroupId) -> Result<Traced, String> {
        let has = |name: &str| self.0.contains_key(name);
        if has("message") {
            let (kind, flags) = (self.small("kind")?, self.small("flags")?);
            let message = wire::decode_message(kind, flags, &unhex(self.text("bytes")?)?);
            let message = message.map_err(|malformed| malformed.to_string())?;
            let (from, to) = (NodeId(self.small("from")?), NodeId(self.small("to")?));
            return Ok(Traced::Message(Envelope { group, from, to, message }));
        }
        if has("request") {
            return Ok(Traced::Request {
                client: self.whole("client")?,
                number: self.whole("number")?,
                content: unhex(self.text("bytes")?)?,
                is_read: self.field("request", |name| match name.as_str()? {
                    "read" => Some(true),
                    "write" => Some(false),
                    _ => None,
                })?,
                more: self.truth("more")?,
            });
        }
        if has("timeout") {
            let named = |name| {
                [Timer::Heartbeat, Timer::Retransmit].into_iter().find(|t| timer_name(*t) == name)
            };
            return self.field("timeout", |name| named(name.as_str()?)).map(Traced::Timeout);
        }
        if has("saved") {
            let (index, digest) = (Index(self.whole("saved")?), self.digest("digest")?);
            return Ok(Traced::Saved { index, digest });
        }
        self.small("synced").map(Traced::Synced)
    }
}

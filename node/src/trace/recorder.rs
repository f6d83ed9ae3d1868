//! Writes a trace while the node runs.

use super::line::{self, fields};
use super::{VERSION, digest, step, written};
use crate::kv::Store;
use crate::protocol::{
    Config, Durable, GroupId, Image, Input, NodeId, Output, Replica, Unsynced, Write,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A trace under way.
pub struct Trace {
    file: File,
    path: PathBuf,
    /// Not yet in the file.
    lines: Vec<u8>,
    /// All that each group handed out, so that news of one can say which it was.
    writes: BTreeMap<GroupId, Vec<Unsynced>>,
}

/// What every trace begins with, whatever its version.
const BEGINNING: &[u8] = b"{\"quorate-trace\":";

impl Trace {
    /// Begins a trace, or goes on with the one in the file. Fails if the file is none; errors name
    /// the file.
    pub fn begin(path: &Path, node: NodeId) -> io::Result<Trace> {
        let failed = failed(path);
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = file.map_err(&failed)?;
        let mut lines = Vec::new();
        if file.metadata().map_err(&failed)?.len() > 0 {
            let mut found = [0; BEGINNING.len()];
            if file.read_exact(&mut found).is_err() || found != BEGINNING {
                return Err(failed(io::Error::other("is there already, and is no trace")));
            }
            let mut last = [0];
            file.seek(SeekFrom::End(-1)).map_err(&failed)?;
            file.read_exact(&mut last).map_err(&failed)?;
            // A node that was killed may have left half a line.
            if last != *b"\n" {
                lines.push(b'\n');
            }
        }
        lines.extend_from_slice(BEGINNING);
        writeln!(lines, "{VERSION},\"node\":{}}}", node.0).expect("memory takes it");
        let (path, writes) = (path.to_owned(), BTreeMap::new());
        Ok(Trace { file, path, lines, writes })
    }

    /// A replica starts: a new one unless something survived.
    pub fn start(&mut self, config: &Config, durable: Option<&Durable>, image: Option<&Image>) {
        let image = image.map(|image| line::hex(image.bytes()));
        self.line(fields(
            config.group,
            [
                ("start", line::config(config)),
                ("durable", durable.map_or(Value::Null, line::durable)),
                ("image", json!(image)),
            ],
        ));
    }

    /// A write was taken out of a replica's output.
    pub fn write(&mut self, group: GroupId, write: &Write) {
        self.writes.entry(group).or_default().push(write.unsynced);
        let outcome = written(&write.records);
        self.line(fields(
            group,
            [("write", json!(outcome.words)), ("digest", line::number(outcome.digest))],
        ));
    }

    /// Has a replica take a step.
    pub fn step(
        &mut self,
        replica: &mut Replica<Store>,
        input: Input<'_>,
        output: &mut Output<Store>,
    ) {
        let group = replica.config().group;
        let told = match &input {
            Input::Message(envelope) => line::message(envelope),
            Input::Timeout(timer) => json!({"timeout": line::timer_name(*timer)}),
            Input::Request(request) => line::request(request),
            Input::SnapshotSaved { index, image } => {
                json!({"saved": index.0, "digest": line::number(digest(image))})
            }
            Input::Synced(synced) => {
                let mut writes = self.writes[&group].iter();
                let number = writes.rposition(|write| write.synced() == *synced);
                json!({"synced": number.expect("only what was written is synced")})
            }
        };
        let outcome = step(replica, input, output);
        self.line(fields(
            group,
            [("in", told), ("out", json!(outcome.words)), ("digest", line::number(outcome.digest))],
        ));
    }

    /// Leaves to the operating system what happened so far: it survives a kill of the node.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines).map_err(failed(&self.path))?;
        self.lines.clear();
        Ok(())
    }

    fn line(&mut self, object: Value) {
        writeln!(self.lines, "{object}").expect("memory takes it");
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

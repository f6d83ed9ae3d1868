//! Verdicts and proofs for machines: one JSON object a line, one line a file.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::{Judged, Plan, located};
use crate::explain::Teller;
use crate::history::{Action, KeyHistory, Operation, Rank, ReadError, Seen, Shown, Value};
use crate::linearizability::{Evidence, Model, Verdict, Violation};

/// Writes [`line()`].
pub(super) fn write(out: &mut impl Write, plan: &Plan, judged: &Judged<'_>) -> io::Result<()> {
    write_line(out, &line(plan, judged))
}

/// The verdict of a file, with what is wrong or unknown, key by key.
pub(crate) fn line(plan: &Plan, judged: &Judged<'_>) -> Json {
    let counts = &judged.history.counts;
    let keys = judged.history.keys.iter().zip(&judged.verdicts);
    let keys = keys.filter(|(_, verdict)| !matches!(verdict, Ok(Verdict::Valid { .. })));
    let keys: Vec<Json> = keys.map(|(key, verdict)| key_json(judged, key, verdict)).collect();
    json!({
        "file": judged.name,
        "verdict": judged.finding.name(),
        "operations": counts.operations,
        "keys": judged.history.keys.len(),
        "indeterminate": counts.indeterminate,
        "failed": counts.failed,
        "milliseconds": judged.took.as_millis() as u64,
        "model": model(judged.options.model),
        "initial": shown(judged, judged.options.initial),
        "switches": plan.switches,
        "not_valid": keys,
    })
}

/// What is wrong with a file that cannot be judged.
pub(super) fn write_error(out: &mut impl Write, name: &str, error: &ReadError) -> io::Result<()> {
    let error = located(name, error);
    write_line(out, &json!({ "file": name, "verdict": "unreadable", "error": error }))
}

/// The proof of every key, witnesses of valid ones included. Written as it is made: a witness has
/// all operations, and as a tree in memory they would take ten times what the history takes.
pub(super) fn write_proof(out: &mut impl Write, judged: &Judged<'_>) -> io::Result<()> {
    let head = json!({
        "file": judged.name,
        "verdict": judged.finding.name(),
        "model": model(judged.options.model),
        "initial": shown(judged, judged.options.initial),
    });
    write_open(out, &head)?;
    out.write_all(b",\"keys\":[")?;
    for (index, (key, verdict)) in judged.history.keys.iter().zip(&judged.verdicts).enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let proven = key_json(judged, key, verdict);
        match verdict {
            Ok(Verdict::Valid { witness }) => {
                write_open(out, &proven)?;
                let teller = Teller { history: &judged.history, key };
                write_witness(out, &teller, witness)?;
                out.write_all(b"}")?;
            }
            _ => serde_json::to_writer(&mut *out, &proven)?,
        }
    }
    out.write_all(b"]}\n")
}

fn write_witness(out: &mut impl Write, teller: &Teller<'_>, witness: &[u32]) -> io::Result<()> {
    out.write_all(b",\"witness\":[")?;
    for (index, &at) in witness.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, &operation(teller, &teller.key.operations[at as usize]))?;
    }
    out.write_all(b"]")
}

/// An object without its end, so that more fields can follow.
fn write_open(out: &mut impl Write, object: &Json) -> io::Result<()> {
    let text = object.to_string();
    out.write_all(text.strip_suffix('}').expect("an object ends in a brace").as_bytes())
}

fn write_line(out: &mut impl Write, line: &Json) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn model(model: Model) -> &'static str {
    match model {
        Model::CasRegister => "cas-register",
        Model::KvAppend => "kv-append",
    }
}

type KeyVerdict = Result<Verdict, crate::linearizability::Unproven>;

fn key_json(judged: &Judged<'_>, key: &KeyHistory, verdict: &KeyVerdict) -> Json {
    let teller = Teller { history: &judged.history, key };
    let name = key.key.as_deref().map(|key| Shown(Some(key)).to_string());
    match verdict {
        Ok(Verdict::Valid { .. }) => json!({ "key": name, "verdict": "valid" }),
        Ok(Verdict::Invalid { violations, omitted }) => {
            let violations = violations.iter().map(|one| violation(&teller, one));
            json!({
                "key": name,
                "verdict": "invalid",
                "violations": violations.collect::<Vec<Json>>(),
                "omitted": omitted,
            })
        }
        Ok(Verdict::Unknown(undecided)) => json!({
            "key": name,
            "verdict": "unknown",
            "why": undecided.to_string(),
            "configurations": undecided.configurations,
            "reached_line": judged.history.events.line(undecided.reached),
        }),
        Err(error) => json!({ "key": name, "verdict": "unproven", "why": error.to_string() }),
    }
}

fn violation(teller: &Teller<'_>, violation: &Violation) -> Json {
    let core = violation.core.iter().map(|one| evidence(teller, one));
    json!({
        "cause": violation.cause.name(),
        "sentence": teller.sentence(violation),
        "core": core.collect::<Vec<Json>>(),
        "accused": violation.accused,
        "against": violation.against,
    })
}

fn evidence(teller: &Teller<'_>, evidence: &Evidence) -> Json {
    let mut line = operation(teller, &evidence.operation);
    if evidence.counts_as != evidence.operation {
        line["counts_as"] = operation(teller, &evidence.counts_as);
    }
    if let Some(witness) = evidence.shown_by {
        line["shown_by"] = json!(witness);
    }
    line
}

/// An operation in the words of a recorded history, with the lines and times of its events.
fn operation(teller: &Teller<'_>, operation: &Operation) -> Json {
    let history = teller.history;
    let value = |value: Value| history.values.shown(value).json();
    let (function, argument) = match operation.action {
        Action::Read(seen) => ("read", value(seen)),
        Action::Write(Value::MISSING) => ("delete", Json::Null),
        Action::Write(new) => ("write", value(new)),
        Action::Cas { old, new, .. } => ("cas", json!([value(old), value(new)])),
        Action::Append(tail) => ("append", value(tail)),
    };
    let event = |rank: Rank| {
        let known = rank != Rank::NEVER;
        known.then(
            || json!({ "line": history.events.line(rank), "time": history.events.time(rank) }),
        )
    };
    let mut line = json!({
        "process": operation.process,
        "f": function,
        "value": argument,
        "invoked": event(operation.invoke),
        "completed": event(operation.complete),
    });
    if let Action::Cas { seen, .. } = operation.action {
        match seen {
            Seen::Matched => {}
            Seen::Current(Value::MISSING) => line["error"] = json!(["missing"]),
            Seen::Current(current) => line["error"] = json!(["mismatch", value(current)]),
            Seen::NotOld => line["error"] = json!(["mismatch"]),
        }
    }
    line
}

fn shown(judged: &Judged<'_>, value: Value) -> Json {
    judged.history.values.shown(value).json()
}

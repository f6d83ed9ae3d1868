//! What is said of a run: the verdict first, then how to repeat it, then why, then where to look.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::ending::Ending;
use super::outcome::{Meanwhile, Outcome, meanwhile};
use super::{Live, Plan, Recorder};
use crate::store::Folder;
use crate::verify::{self, Judged};
use crate::workload::Kind;

/// All there is to say.
pub(super) struct Report<'a> {
    pub plan: &'a Plan,
    pub folder: &'a Folder,
    pub outcome: &'a Outcome,
    pub judged: &'a Judged<'a>,
}

impl Report<'_> {
    /// For people: the first lines.
    pub fn verdict(&self) -> String {
        let Report { plan, folder, outcome, .. } = self;
        let mut lines = vec![self.verdict_line()];
        if outcome.code != 0 {
            lines.push(format!("  replay: {}", plan.replay_command(folder)));
            // What is a replay itself was not drawn as the seed says.
            lines.extend(plan.recording.is_none().then(|| format!("  again: {}", plan.command)));
        }
        lines.join("\n") + "\n"
    }

    /// For people: what follows.
    pub fn reasons(&self, recorder: &Recorder) -> String {
        let mut text = Vec::new();
        self.write_reasons(recorder, &mut text).expect("memory takes all that is written to it");
        String::from_utf8(text).expect("only text is written")
    }

    fn write_reasons(&self, recorder: &Recorder, out: &mut Vec<u8>) -> io::Result<()> {
        let Report { folder, outcome, judged, .. } = self;
        for reason in &outcome.reasons {
            writeln!(out, "  {}", reason.replace('\n', "\n    "))?;
        }
        if outcome.is_frozen {
            writeln!(out, "  ended at the first violation, as asked")?;
        } else if outcome.is_interrupted {
            writeln!(out, "  ended early, as asked")?;
        }
        verify::explain(out, judged)?;
        writeln!(out, "  succeeded: {}", kinds(&recorder.counts().ok))?;
        let faults = recorder.faults();
        for (family, Meanwhile { ok, .. }) in meanwhile(&faults) {
            let of = faults.iter().filter(|fault| fault.kind == family);
            let touched: u64 = of.clone().map(|fault| fault.touched).sum();
            let (count, ok) = (of.count(), kinds(&ok));
            writeln!(out, "  {family}: {count}, touched {touched}; meanwhile {ok}")?;
        }
        writeln!(out, "  history, results and logs: {}", folder.path().display())
    }

    fn verdict_line(&self) -> String {
        let Report { outcome, judged, .. } = self;
        let counts = &judged.history.counts;
        format!(
            "{} · {} operations · {} keys · {} indeterminate · judged in {} ms",
            outcome.word,
            counts.operations,
            judged.history.keys.len(),
            counts.indeterminate,
            judged.took.as_millis()
        )
    }

    /// For machines.
    pub fn results(&self, verifying: &verify::Plan, recorder: &Recorder, ending: &Ending) -> Json {
        let Report { plan, outcome, judged, .. } = self;
        let counts = recorder.counts();
        let faults = recorder.faults();
        let faults = faults.iter().map(|fault| {
            json!({
                "kind": fault.kind,
                "what": fault.what,
                "begun_ns": fault.begun,
                "healed_ns": fault.healed,
                "quorum_ns": fault.quorum_ns,
                "touched": fault.touched,
                "ok_meanwhile": by_kind(&fault.ok),
                "written_ns": fault.written,
                "unwritten_ns": fault.unwritten_ns,
            })
        });
        json!({
            "verdict": outcome.word,
            "exit_code": outcome.code,
            "reasons": outcome.reasons,
            "ended_early": outcome.is_interrupted,
            "stopped_at_first": outcome.is_frozen,
            "live": recorder.with_live(Live::json),
            "replay": plan.replay_command(self.folder),
            "seed": plan.seed,
            "begun_at": humantime::format_rfc3339_nanos(recorder.begun_at()).to_string(),
            "operations": counts.invoked,
            "ok": by_kind(&counts.ok),
            "failed": counts.failed,
            "indeterminate": counts.indeterminate,
            "final_reads": ending.reads,
            "replicas_compared": ending.are_compared,
            "faults": faults.collect::<Vec<Json>>(),
            "history": verify::json_of(verifying, judged),
        })
    }
}

fn kinds(ok: &[u64; 3]) -> String {
    let parts = Kind::ALL.map(|kind| format!("{} {}", ok[kind.index()], kind.name()));
    parts.join(", ")
}

fn by_kind(ok: &[u64; 3]) -> Json {
    Kind::ALL.iter().map(|kind| (kind.name().to_string(), json!(ok[kind.index()]))).collect()
}

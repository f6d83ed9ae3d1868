//! The page itself: what is known, put into `page/page.html`.
//!
//! Values, keys and logs come from strangers. The template escapes all that it prints; what scripts
//! get is JSON in which `<` is spelt `\u003c`, so that no text can end the element it stands in; and
//! scripts only ever set text, never HTML.

use std::path::Path;
use std::time::SystemTime;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value as Safe, context};
use serde::Serialize;

use super::choice::{self, Choice};
use super::leaders::Leaders;
use super::operations::{self, Span, Words};
use super::rates::{self, Rates};
use super::stored::{Fault, Results, Test};
use super::violations::{self, Shows};
use super::{Error, logs, stored};
use crate::explain::Duration;
use crate::run::FINAL_READERS;
use crate::verify::{Finding, Judged};

/// More rows of the table of faults nobody reads; `results.json` has all.
const FAULTS_MAX: usize = 500;

const TEMPLATE: &str = include_str!("page/page.html");

const STYLE: [&str; 2] = [include_str!("vendor/uPlot.min.css"), include_str!("page/page.css")];

/// In the order in which they need each other.
const SCRIPTS: [&str; 6] = [
    include_str!("vendor/uPlot.iife.min.js"),
    include_str!("page/view.js"),
    include_str!("page/operations.js"),
    include_str!("page/leaders.js"),
    include_str!("page/plots.js"),
    include_str!("page/buttons.js"),
];

/// The page of the run in this folder.
pub(super) fn page(folder: &Path, judged: &Judged<'_>) -> Result<String, Error> {
    let (test, results) = (stored::test(folder)?, stored::results(folder)?);
    let begun_at = humantime::parse_rfc3339(&results.begun_at)
        .map_err(|error| Error::malformed(&folder.join("results.json"), error))?;
    let history = folder.join("history.jsonl");
    let spans = operations::read(&history)?;
    let (violations, violations_more) = violations::of(judged);
    let faults_end =
        results.faults.iter().filter_map(|fault| fault.healed_ns.or(Some(fault.begun_ns)));
    let end_ns =
        spans.iter().map(|span| span.ended).chain(faults_end).max().unwrap_or(0).max(1_000);
    let around = violations.first().map(Shows::around);
    let logs = logs::read(folder, test.nodes, begun_at, around)?;
    let leaders = Leaders::of(&stored::sightings(folder)?, end_ns);
    let (story, story_more) = match violations.first() {
        Some(violation) => violation.story(&judged.history, &logs),
        None => Default::default(),
    };
    let stretches = Rates::of(&spans, end_ns);
    let core = core(&violations, &spans);
    let choice = choice::choose(&spans, &core, choice::OPERATIONS_MAX);
    let run = Run {
        end_us: end_ns.div_ceil(1_000),
        lanes: lanes(&test),
        core: core.iter().filter_map(|&index| choice.place(index)).collect(),
        accused: accused(&violations, &spans).and_then(|index| choice.place(index)),
        operations: Columns::of(&history, &spans, &choice, &test)
            .map_err(|error| Error::io(&history, error))?,
        faults: results.faults.iter().map(Band::of).collect(),
        rates: &stretches,
        leaders: &leaders,
    };
    let (word, sentence, reasons) = headline(judged, &results, &violations);
    let page = context! {
        style => Safe::from_safe_string(STYLE.join("\n")),
        script => Safe::from_safe_string(SCRIPTS.join("\n")),
        run => Safe::from_safe_string(inert(&run)),
        word, sentence, reasons,
        test => Serde(&test),
        begun_at => minute(begun_at),
        ended_early => results.ended_early,
        operations => spans.len(),
        end_ns,
        violations => Serde(&violations), violations_more,
        thinned => thinned(&spans, &choice),
        has_delete => spans.iter().any(|span| span.kind == operations::Kind::Delete),
        width_ms => stretches.width_ms,
        leaders => !leaders.rows.is_empty(),
        leaders_cut_ns => leaders.cut_us.map(|us| us * 1_000),
        disputes => disputes(&leaders),
        kinds => Serde(rates::by_kind(&spans)),
        faults => Serde(&results.faults[..results.faults.len().min(FAULTS_MAX)]),
        faults_more => results.faults.len().saturating_sub(FAULTS_MAX),
        logs => Serde(&logs),
        story => Serde(&story), story_more,
    };
    Ok(render(page))
}

fn render(page: Safe) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("seconds", |ns: i64| format!("{:.3}", ns as f64 / 1e9));
    environment.add_filter("micros", |ns: i64| format!("{:.6}", ns as f64 / 1e9));
    environment.add_filter("duration", |ns: i64| Duration(ns).to_string());
    environment.add_filter("latency", |us: Option<i64>| {
        us.map_or(String::from("–"), |us| Duration(us * 1_000).to_string())
    });
    // Its name ends in html, which is why all that it prints is escaped.
    environment.render_named_str("page.html", TEMPLATE, page).expect("the template fits the page")
}

/// What scripts get.
#[derive(Serialize)]
struct Run<'a> {
    end_us: u64,
    /// The name of each lane.
    lanes: Vec<String>,
    operations: Columns,
    /// Places in `operations` of those that are impossible.
    core: Vec<usize>,
    /// That of the one which does not fit, in the first violation.
    accused: Option<usize>,
    faults: Vec<Band<'a>>,
    rates: &'a Rates,
    leaders: &'a Leaders,
}

/// Operations, column by column: half the size of a list of objects. Times are microseconds.
#[derive(Default, Serialize)]
struct Columns {
    lane: Vec<u64>,
    process: Vec<u64>,
    kind: Vec<u8>,
    outcome: Vec<u8>,
    begun: Vec<u64>,
    took: Vec<u64>,
    call: Vec<String>,
    answer: Vec<String>,
}

#[derive(Serialize)]
struct Band<'a> {
    from: u64,
    to: Option<u64>,
    what: &'a str,
}

impl Band<'_> {
    fn of(fault: &Fault) -> Band<'_> {
        let to = fault.healed_ns.map(|ns| ns / 1_000);
        Band { from: fault.begun_ns / 1_000, to, what: &fault.what }
    }
}

impl Columns {
    fn of(
        history: &Path,
        spans: &[Span],
        choice: &Choice,
        test: &Test,
    ) -> std::io::Result<Columns> {
        let mut columns = Columns::default();
        let mut words = Words::of(history)?;
        for span in choice.shown.iter().map(|&index| &spans[index]) {
            let (call, answer) = words.tell(span)?;
            columns.lane.push(lane(span.process, test));
            columns.process.push(span.process);
            columns.kind.push(span.kind as u8);
            columns.outcome.push(span.outcome as u8);
            columns.begun.push(span.begun / 1_000);
            columns.took.push(span.ended.div_ceil(1_000) - span.begun / 1_000);
            columns.call.push(call);
            columns.answer.push(answer);
        }
        Ok(columns)
    }
}

/// One lane for each client, whose processes retire one after another, and one for each node through
/// which all was read at last.
fn lanes(test: &Test) -> Vec<String> {
    let clients = (0..test.concurrency).map(|client| format!("client {client}"));
    clients.chain((1..=test.nodes).map(|node| format!("final n{node}"))).collect()
}

/// The lane of a process: its number tells the place.
fn lane(process: u64, test: &Test) -> u64 {
    match process.checked_sub(FINAL_READERS) {
        None => process % test.concurrency.max(1),
        Some(reader) => test.concurrency + reader % u64::from(test.nodes.max(1)),
    }
}

/// Which operations prove the violations.
fn core(violations: &[Shows], spans: &[Span]) -> Vec<usize> {
    let lines = violations.iter().flat_map(|one| &one.lines);
    lines.filter_map(|&line| invoked_in(line, spans)).collect()
}

/// The one that does not fit, in the first violation.
fn accused(violations: &[Shows], spans: &[Span]) -> Option<usize> {
    invoked_in(violations.first()?.accused, spans)
}

fn invoked_in(line: u32, spans: &[Span]) -> Option<usize> {
    spans.binary_search_by_key(&line, |span| span.line).ok()
}

/// The verdict in a word, why in a sentence, and whatever else there is to say of it.
fn headline(
    judged: &Judged<'_>,
    results: &Results,
    violations: &[Shows],
) -> (String, String, Vec<String>) {
    let mut reasons = results.reasons.clone();
    let (now, then) = (judged.finding.name(), &results.history.verdict);
    let word = if now == then { results.verdict.as_str() } else { now };
    if now != then {
        reasons.push(format!(
            "when the run ended, its history was judged {then}: it was changed since, or judged by \
             another checker"
        ));
    }
    let mut whys = violations.iter().map(|one| one.sentence.clone());
    let why = whys.next().or_else(|| violations::doubts(judged).into_iter().next());
    let sentence = match why {
        Some(why) => why,
        None if word == Finding::Valid.name() => {
            let replicas = match results.replicas_compared {
                true => ", and all replicas ended in the same state",
                false => "",
            };
            let (count, keys) = (judged.history.counts.operations, judged.history.keys.len());
            format!(
                "all {count} operations on {keys} keys have a legal order that respects real time\
                 {replicas}"
            )
        }
        None if reasons.is_empty() => String::from("nothing is proven: no operation was answered"),
        None => reasons.remove(0),
    };
    (word.to_string(), sentence, reasons)
}

/// What of the operations is left out; nothing if none are.
fn thinned(spans: &[Span], choice: &Choice) -> String {
    if choice.shown.len() == spans.len() {
        return String::new();
    }
    let around = choice.around_ns.map_or(String::new(), |ns| {
        format!("all within {} of what is impossible, ", Duration(ns.min(i64::MAX as u64) as i64))
    });
    format!(
        "{} of {} operations are shown one by one, {} are left out: shown are {around}the slowest of \
         every stretch of time, and one in {} of the rest. Rates, and the lines of latencies, are of \
         all.",
        choice.shown.len(),
        spans.len(),
        spans.len() - choice.shown.len(),
        choice.every
    )
}

fn disputes(leaders: &Leaders) -> String {
    match leaders.disputes() {
        (0, _) => String::from("No two nodes claimed to lead one group at the same time."),
        (count, longest_us) => format!(
            "Two nodes claimed to lead one group at the same time, {count} times, for {} at most: \
             one of them was deposed and did not know it yet, which is no violation.",
            Duration(longest_us as i64 * 1_000)
        ),
    }
}

/// A moment as people write it.
fn minute(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', " UTC")
}

/// JSON that cannot end the element it stands in: outside of strings it has no `<`.
fn inert(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain columns").replace('<', "\\u003c")
}

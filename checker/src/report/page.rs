//! The page itself: what is known, put into `page/page.html`.
//!
//! Values, keys and logs come from strangers. The template escapes all that it prints; what scripts
//! get is inert JSON, see `embedded.rs`; and scripts only ever set text, never HTML.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value as Safe, context};

use super::choice::{self, Choice};
use super::leaders::Leaders;
use super::logs::{self, Log};
use super::operations::{self, Kind, Span};
use super::rates::{self, Rates};
use super::stored::{self, Results, Test};
use super::violations::{self, Shows};
use super::{Error, embedded};
use crate::explain::Duration;
use crate::store;
use crate::verify::{Finding, Judged};

/// More rows of the table of faults nobody reads; `results.json` has all.
const FAULTS_MAX: usize = 500;

const TEMPLATE: &str = include_str!("page/page.html");

const STYLE: [&str; 2] = [include_str!("vendor/uPlot.min.css"), include_str!("page/page.css")];

/// In the order in which they need each other. Every page is a copy of uPlot, and carries its licence.
const SCRIPTS: [&str; 7] = [
    concat!("/*\n", include_str!("vendor/uPlot.LICENSE"), "*/"),
    include_str!("vendor/uPlot.iife.min.js"),
    include_str!("page/view.js"),
    include_str!("page/operations.js"),
    include_str!("page/leaders.js"),
    include_str!("page/plots.js"),
    include_str!("page/buttons.js"),
];

/// All that is known of a run.
pub(super) struct Findings<'a> {
    judged: &'a Judged<'a>,
    pub test: Test,
    pub results: Results,
    begun_at: SystemTime,
    /// When the last thing happened.
    pub end_ns: u64,
    /// The file of the history.
    pub history: PathBuf,
    pub spans: Vec<Span>,
    pub violations: Vec<Shows>,
    violations_more: u64,
    /// Positions of those operations that prove the violations.
    pub core: Vec<usize>,
    pub choice: Choice,
    pub rates: Rates,
    pub leaders: Leaders,
    logs: Vec<Log>,
}

/// The page of the run in this folder.
pub(super) fn page(folder: &Path, judged: &Judged<'_>) -> Result<String, Error> {
    let findings = Findings::read(folder, judged)?;
    let run = embedded::json(&findings)?;
    Ok(render(findings.context(run)))
}

impl Findings<'_> {
    fn read<'a>(folder: &Path, judged: &'a Judged<'a>) -> Result<Findings<'a>, Error> {
        let (test, results) = (stored::test(folder)?, stored::results(folder)?);
        let begun_at = humantime::parse_rfc3339(&results.begun_at)
            .map_err(|error| Error::malformed(&folder.join(store::RESULTS), error))?;
        let history = folder.join(store::HISTORY);
        let spans = operations::read(&history)?;
        let healed = results.faults.iter().map(|fault| fault.healed_ns.unwrap_or(fault.begun_ns));
        let ends = spans.iter().map(|span| span.ended).chain(healed);
        // A run of no time at all would have nothing to zoom into.
        let end_ns = ends.max().unwrap_or(0).max(1_000_000);
        let (violations, violations_more) = violations::of(judged);
        let lines = violations.iter().flat_map(|one| &one.lines);
        let core: Vec<usize> = lines.filter_map(|&line| invoked_in(line, &spans)).collect();
        let around = violations.first().map(Shows::around);
        Ok(Findings {
            judged,
            begun_at,
            end_ns,
            choice: choice::choose(&spans, &core, choice::OPERATIONS_MAX),
            rates: Rates::of(&spans, end_ns),
            leaders: Leaders::of(&stored::sightings(folder)?, end_ns),
            logs: logs::read(folder, test.nodes, begun_at, around)?,
            test,
            results,
            history,
            spans,
            violations,
            violations_more,
            core,
        })
    }

    /// What the template asks for. `run`: what scripts get.
    fn context(&self, run: String) -> Safe {
        let Findings { test, results, spans, violations, leaders, rates, .. } = self;
        let (word, sentence, reasons) = headline(self.judged, results, violations);
        let (story, story_more) = match violations.first() {
            Some(violation) => violation.story(&self.judged.history, &self.logs),
            None => Default::default(),
        };
        let faults = &results.faults[..results.faults.len().min(FAULTS_MAX)];
        context! {
            style => Safe::from_safe_string(STYLE.join("\n")),
            script => Safe::from_safe_string(SCRIPTS.join("\n")),
            run => Safe::from_safe_string(run),
            word, sentence, reasons,
            replay => results.replay.as_str(),
            test => Serde(test),
            begun_at => minute(self.begun_at),
            ended_early => results.ended_early,
            operations => spans.len(),
            end_ns => self.end_ns,
            violations => Serde(violations),
            violations_more => self.violations_more,
            thinned => thinned(spans, &self.choice),
            has_delete => spans.iter().any(|span| span.kind == Kind::Delete),
            width_ms => rates.width_ms,
            leaders => !leaders.rows.is_empty(),
            leaders_cut_ns => leaders.cut_us.map(|us| us * 1_000),
            disputes => disputes(leaders),
            kinds => Serde(rates::by_kind(spans)),
            faults => Serde(faults),
            faults_more => results.faults.len() - faults.len(),
            logs => Serde(&self.logs),
            story => Serde(&story), story_more,
        }
    }
}

/// The operation that was invoked in this line.
pub(super) fn invoked_in(line: u32, spans: &[Span]) -> Option<usize> {
    spans.binary_search_by_key(&line, |span| span.line).ok()
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

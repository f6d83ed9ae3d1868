//! The protocol as it is taught, and where it breaks: the reason this project exists.
//!
//! Three processes, one of which may crash for ever. What is not here: commands lost by clients, and
//! elections that choose a process with a lower round than the one before.

mod links;
mod process;
mod tour;

pub use tour::runs;

use crate::check::{Search, Subject};
use crate::cluster::Shared;
use crate::diagram::{Event, draw};
use links::{Letter, Links};
use process::{Command, Message, PROCESSES, Phase, Pid, Process, Repairs, Round, Sends};
use stateright::{Model, Path, Property};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The course's protocol, within bounds.
#[derive(Clone)]
pub struct Course {
    pub repairs: Repairs,
    pub fifo: bool,
    pub left: Left,
    /// Who is elected, one after the other; if nobody says, anybody.
    pub leaders: &'static [Pid],
    pub search: Search,
}

/// Choices left on a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    pub elections: u8,
    pub commands: u8,
    pub crashes: u8,
    pub duplicates: u8,
}

/// A state of the course's world.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    processes: Vec<Option<Shared<Process>>>,
    links: Links,
    left: Left,
    /// What any process ever decided.
    decided: Arc<Vec<Command>>,
    /// A process decided something else than another had before it.
    contradiction: Option<(Pid, usize)>,
}

/// What may happen next.
#[derive(Clone, PartialEq)]
pub enum Action {
    Elect(Pid),
    Propose(Pid),
    Deliver(Shared<Letter>),
    Crash(Pid),
}

/// The one thing consensus is for.
pub const AGREEMENT: &str = "a decided command is never decided differently";

impl Model for Course {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let links = match self.fifo {
            true => Links::Fifo(Default::default()),
            false => Links::Datagrams(Default::default()),
        };
        let processes = PROCESSES.map(|pid| Some(Shared::new(Process::new(pid)))).into();
        vec![State {
            processes,
            links,
            left: self.left,
            decided: Arc::default(),
            contradiction: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.search.is_stopped() || state.contradiction.is_some() {
            return;
        }
        for process in state.processes.iter().flatten() {
            let pid = process.pid;
            let round = usize::from(self.left.elections - state.left.elections);
            let turn = self.leaders.get(round).is_none_or(|leader| *leader == pid);
            if state.left.elections > 0 && !process.leads && turn {
                actions.push(Action::Elect(pid));
            }
            if state.left.commands > 0 && process.leads {
                actions.push(Action::Propose(pid));
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(pid));
            }
        }
        for (letter, again) in state.links.arrivals() {
            let up = state.process(letter.to).is_some();
            if up && (!again || state.left.duplicates > 0) {
                actions.push(Action::Deliver(letter));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let (pid, mut sends) = (action.process(), Sends::new());
        let before = state.process(pid).expect("only who is up acts");
        let mut process = Process::clone(before);
        match action {
            Action::Elect(_) => {
                next.left.elections -= 1;
                let round = 1 + self.left.elections - state.left.elections;
                process.leader(round as Round, &mut sends);
            }
            Action::Propose(_) => {
                next.left.commands -= 1;
                let number = self.left.commands - state.left.commands;
                process.propose(char::from(b'a' + number), &mut sends);
            }
            Action::Deliver(letter) => {
                let again = |(other, again): &(Shared<Letter>, bool)| *again && *other == letter;
                next.left.duplicates -= u8::from(state.links.arrivals().iter().any(again));
                next.links.arrive(&letter);
                process.deliver(letter.from, letter.message.clone(), self.repairs, &mut sends);
                // On a FIFO link the next message is waiting, so arriving in vain is a step too.
                let ignored = sends.is_empty() && process == **before;
                if ignored && !self.fifo {
                    return None;
                }
            }
            Action::Crash(_) => {
                next.left.crashes -= 1;
                next.links.forget(&process);
                next.processes[usize::from(pid) - 1] = None;
                return Some(next);
            }
        }
        for (to, message) in sends {
            // FIFO links to a crashed process hold nothing that matters.
            if next.process(to).is_some() {
                next.links.send(pid, to, message);
            }
        }
        next.remember_decided(&process);
        next.processes[usize::from(pid) - 1] = Some(Shared::new(process));
        Some(next)
    }

    fn format_step(&self, state: &State, action: Action) -> Option<String> {
        let next = self.next_state(state, action)?;
        Some(format!("{}\n\n{next:?}", state.effects(&next).join("\n")))
    }

    fn as_svg(&self, path: Path<State, Action>) -> Option<String> {
        let path = path.into_vec();
        let line = |pid: Pid| usize::from(pid) - 1;
        let event = |(step, (_, action)): (usize, &(State, Option<Action>))| {
            let action = action.as_ref()?;
            let (from, words) = match action {
                Action::Deliver(letter) => {
                    let sent = (0..=step).find(|at| path[*at].0.links.holds(letter));
                    (Some((line(letter.from), sent.unwrap_or(step))), letter.message.to_string())
                }
                other => (None, format!("{other:?}")),
            };
            Some(Event { line: line(action.process()), from, words })
        };
        let events: Vec<Event> = path.iter().enumerate().filter_map(event).collect();
        Some(draw(&PROCESSES.map(|pid| format!("p{pid}")), &events))
    }

    fn properties(&self) -> Vec<Property<Course>> {
        self.search.select(vec![
            Property::always(AGREEMENT, |_, state: &State| state.contradiction.is_none()),
            Property::sometimes("a command is decided", |_, state: &State| {
                !state.decided.is_empty()
            }),
            Property::sometimes(
                "a second leader decides another",
                |model: &Course, state: &State| {
                    let later = |process: &Shared<Process>| process.leads && process.n_l > 1;
                    let decided = |process: &Shared<Process>| process.l_d > 1;
                    model.left.elections < 2
                        || model.left.commands < 2
                        || state.processes.iter().flatten().any(|p| later(p) && decided(p))
                },
            ),
            Property::sometimes("a process crashes", |model: &Course, state: &State| {
                model.left.crashes == 0 || state.processes.contains(&None)
            }),
        ])
    }
}

impl Subject for Course {
    fn search(&mut self) -> &mut Search {
        &mut self.search
    }

    fn story(&self, path: &[(State, Option<Action>)]) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, pair) in (1..).zip(path.windows(2)) {
            let [(before, Some(action)), (after, _)] = pair else { continue };
            lines.push(format!("{number:>3}. {action:?}"));
            lines.extend(before.effects(after).into_iter().map(|line| format!("       {line}")));
        }
        lines
    }
}

impl State {
    fn process(&self, pid: Pid) -> Option<&Shared<Process>> {
        self.processes[usize::from(pid) - 1].as_ref()
    }

    fn remember_decided(&mut self, process: &Process) {
        for (index, command) in process.decided().iter().enumerate() {
            match self.decided.get(index) {
                Some(known) if known == command => {}
                Some(_) => {
                    self.contradiction = Some((process.pid, index));
                    return;
                }
                None => Arc::make_mut(&mut self.decided).push(*command),
            }
        }
    }

    /// What changed from here to `after`, a line each.
    fn effects(&self, after: &State) -> Vec<String> {
        let mut lines = Vec::new();
        for (old, new) in self.processes.iter().zip(&after.processes) {
            if let (Some(old), Some(new)) = (old, new)
                && old != new
            {
                lines.extend(changes(old, new));
            }
        }
        let (before, now) = (self.links.arrivals(), after.links.arrivals());
        let news = now.iter().filter(|sent| !before.contains(sent) && !sent.1);
        lines.extend(news.map(|(letter, _)| format!("on its way: {letter}")));
        if let Some((pid, index)) = after.contradiction {
            let was = self.decided[index];
            let is = after.process(pid).map_or('?', |process| process.v_a[index]);
            lines.push(format!(
                "CONTRADICTION: command {index} was decided as {was}, p{pid} decides {is}"
            ));
        }
        lines
    }
}

fn changes(old: &Process, new: &Process) -> Vec<String> {
    let (mut lines, pid) = (Vec::new(), new.pid);
    if old.n_prom != new.n_prom {
        lines.push(format!("p{pid} promises round {}", new.n_prom));
    }
    if (old.n_a, &old.v_a) != (new.n_a, &new.v_a) {
        lines.push(format!("p{pid} has [{}], accepted in round {}", text(&new.v_a), new.n_a));
    }
    if old.l_d < new.l_d {
        lines.push(format!("p{pid} decides [{}]", text(new.decided())));
    }
    if (old.leads, old.phase) != (new.leads, new.phase) && new.leads {
        let phase = if new.phase == Phase::Prepare { "prepares" } else { "leads" };
        lines.push(format!("p{pid} {phase} round {}", new.n_l));
    }
    lines
}

fn text(commands: &[Command]) -> String {
    commands.iter().collect()
}

impl Action {
    fn process(&self) -> Pid {
        match self {
            Action::Elect(pid) | Action::Propose(pid) | Action::Crash(pid) => *pid,
            Action::Deliver(letter) => letter.to,
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Elect(pid) => write!(f, "p{pid} is elected"),
            Action::Propose(pid) => write!(f, "a client proposes to p{pid}"),
            Action::Crash(pid) => write!(f, "p{pid} crashes"),
            Action::Deliver(letter) => write!(f, "{letter}"),
        }
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} -> p{} {}", self.from, self.to, self.message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Prepare { n, l_d, n_a } => write!(f, "Prepare(n {n}, ld {l_d}, na {n_a})"),
            Message::Promise { n, n_a, suffix, l_d } => {
                write!(f, "Promise(n {n}, na {n_a}, suffix [{}], ld {l_d})", text(suffix))
            }
            Message::AcceptSync { n, suffix, l_d } => {
                write!(f, "AcceptSync(n {n}, suffix [{}], ld {l_d})", text(suffix))
            }
            Message::Accept { n, command, .. } => write!(f, "Accept(n {n}, {command})"),
            Message::Accepted { n, length } => write!(f, "Accepted(n {n}, length {length})"),
            Message::Decide { n, length } => write!(f, "Decide(n {n}, length {length})"),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (process, pid) in self.processes.iter().zip(1..) {
            match process {
                None => writeln!(f, "p{pid}  crashed")?,
                Some(p) => {
                    let role = if p.leads { "leader" } else { "follower" };
                    let (log, done) = (text(&p.v_a), text(p.decided()));
                    write!(f, "p{pid}  {role:<8} {:?}, promised {}, ", p.phase, p.n_prom)?;
                    writeln!(f, "[{log}] accepted in {}, decided [{done}]", p.n_a)?;
                }
            }
        }
        writeln!(f, "decided by anyone: [{}]", text(&self.decided))?;
        let mut way = String::new();
        for (letter, again) in self.links.arrivals() {
            writeln!(way, "  {letter}{}", if again { " (again)" } else { "" })?;
        }
        write!(f, "may arrive next:\n{way}")
    }
}

//! The requests of a client: how each stands, whom it asks, and what became of it. Time comes in from
//! outside, and so does what nodes say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::{Ask, Done, Kind, Meaning, enter};
use super::link::{Event, Link};
use super::outcome::{Outcome, Why};
use super::pipeline::Completion;
use super::search::{Search, Step};
use super::sessions::{Sessions, Ticket};
use crate::config::{Cluster, Limits};
use crate::partition::Table;
use crate::wire::{Answer, Command, GroupId, NodeId, Request, Response, SessionId};

/// A number on the wire is a count and, in its low bits, the place of the request here.
const PLACE_BITS: u32 = 20;
/// Sessions of one client in one group. Each takes a hundred commands or more; a group has some
/// thousands for all its clients.
const SESSIONS_MAX: usize = 64;

/// All requests of a client.
pub(super) struct Requests {
    client: u64,
    table: Table,
    limits: Limits,
    timeout: Duration,
    groups: Vec<Group>,
    /// By place.
    pending: Vec<Pending>,
    /// Places that are free.
    free: Vec<usize>,
    /// Requests so far, each counted as often as it began anew.
    count: u64,
    /// Places of what is to be sent.
    to_send: Vec<usize>,
    completions: VecDeque<Completion>,
    /// Before this, nobody's time is up.
    next_check: Instant,
    /// Room to write an entry anew.
    spare: Vec<u8>,
}

struct Group {
    members: Arc<[NodeId]>,
    /// Who answered last.
    leader: Option<NodeId>,
    sessions: Sessions,
    is_opening: bool,
    /// Commands without a session: their places and numbers, for others may be there by now.
    waiting: VecDeque<(usize, u64)>,
}

/// A request, or a place for one.
struct Pending {
    /// On the wire; zero if the place is free. A request that begins anew gets another.
    number: u64,
    tag: u64,
    kind: Kind,
    group: GroupId,
    begun: Instant,
    deadline: Instant,
    /// The key of a read, the entry of a command.
    bytes: Vec<u8>,
    ticket: Option<Ticket>,
    stage: Stage,
    /// The place is in `to_send`.
    is_queued: bool,
    /// How often it was sent with a token, so that a node may have taken it.
    sendings: u32,
}

/// How a request stands.
enum Stage {
    /// No session has room for it.
    Waiting,
    Asking(Search),
}

impl Requests {
    pub fn new(cluster: &Cluster, client: u64, timeout: Duration, now: Instant) -> Requests {
        let table = Table::new(cluster);
        let group = |group| Group {
            members: table.preference(group).into(),
            leader: None,
            sessions: Sessions::default(),
            is_opening: false,
            waiting: VecDeque::new(),
        };
        Requests {
            client,
            groups: table.groups().map(group).collect(),
            table,
            limits: cluster.limits,
            timeout,
            pending: Vec::new(),
            free: Vec::new(),
            count: 0,
            to_send: Vec::new(),
            completions: VecDeque::new(),
            next_check: now,
            spare: Vec::new(),
        }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Before this there is no need to look at the time.
    pub fn next_check(&self) -> Instant {
        self.next_check
    }

    /// Takes a completion out, the oldest first.
    pub fn completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// Takes on a request.
    pub fn submit(&mut self, tag: u64, ask: Ask<'_>, now: Instant) {
        if let Err(too_large) = ask.check(&self.limits) {
            let (outcome, latency) = (Outcome::Fail(too_large), Duration::ZERO);
            return self.completions.push_back(Completion { tag, outcome, latency });
        }
        let group = ask.key().map_or(GroupId(0), |key| self.table.group_of(key));
        let place = self.place(tag, ask.kind(), group, now);
        ask.encode(&mut self.pending[place].bytes);
        match ask {
            Ask::Status { node } => self.search(place, [node].into(), node, now),
            _ => self.begin(place, now),
        }
    }

    /// Packs what is to be sent.
    pub fn send(&mut self, link: &mut Link) {
        for place in self.to_send.drain(..) {
            let pending = &mut self.pending[place];
            pending.is_queued = false;
            let Pending { number, kind, group, ref bytes, .. } = *pending;
            if let Stage::Asking(search) = &pending.stage
                && number != 0
            {
                let question = kind.question(bytes);
                let request = Request { client: self.client, number, group, question };
                let has_token = link.send(search.asked(), &request);
                pending.sendings += u32::from(has_token);
            }
        }
    }

    /// Takes in what a node says.
    pub fn hear(&mut self, from: NodeId, event: Event<'_>, now: Instant) {
        let response = match event {
            Event::Challenge => return self.send_again(from),
            Event::Response(response) => response,
        };
        let place = (response.number & ((1 << PLACE_BITS) - 1)) as usize;
        let Some(pending) = self.pending.get_mut(place) else { return };
        let Stage::Asking(search) = &mut pending.stage else { return };
        if pending.number == 0 || pending.number != response.number {
            return;
        }
        let step = search.hear(from, &response.answer, pending.kind == Kind::Route, now);
        self.next_check = self.next_check.min(search.until());
        match step {
            Step::Send => self.queue(place),
            Step::Wait => {}
            Step::Done => self.answered(place, from, response, now),
        }
    }

    /// Turns to other nodes where one was silent, and gives up what has lasted too long.
    pub fn check_time(&mut self, now: Instant) {
        if now < self.next_check {
            return;
        }
        self.next_check = now + self.timeout;
        for place in 0..self.pending.len() {
            let pending = &mut self.pending[place];
            if pending.number == 0 {
                continue;
            }
            if pending.deadline <= now {
                let why = match pending.stage {
                    Stage::Waiting => Why::NoSession,
                    Stage::Asking(_) => Why::NoAnswer,
                };
                // By the next time the preferred leader is as likely as who did not answer now.
                if matches!(pending.stage, Stage::Asking(_)) && pending.kind != Kind::Status {
                    self.groups[pending.group.0 as usize].leader = None;
                }
                self.over(place, Outcome::Indeterminate(why), now);
                continue;
            }
            let mut until = pending.deadline;
            if let Stage::Asking(search) = &mut pending.stage {
                let is_up = search.until() <= now;
                if is_up {
                    search.silence(now);
                }
                until = search.until();
                if is_up {
                    self.queue(place);
                }
            }
            self.next_check = self.next_check.min(until);
        }
    }

    /// Gives up everything, for the same reason.
    pub fn fail(&mut self, why: Why, now: Instant) {
        for place in 0..self.pending.len() {
            if self.pending[place].number != 0 {
                self.over(place, Outcome::Indeterminate(why), now);
            }
        }
    }

    /// A node took nothing of what was sent until it gave us a token.
    fn send_again(&mut self, node: NodeId) {
        for place in 0..self.pending.len() {
            let Pending { number, stage, .. } = &self.pending[place];
            let is_there = matches!(stage, Stage::Asking(search) if search.asked() == node);
            if *number != 0 && is_there {
                self.queue(place);
            }
        }
    }

    fn answered(&mut self, place: usize, from: NodeId, response: Response<'_>, now: Instant) {
        let Pending { kind, group, sendings, ticket, .. } = self.pending[place];
        if let Answer::Reply(_) = response.answer {
            self.groups[group.0 as usize].leader = Some(from);
        }
        let is_group = |named| named != group && self.table.has(named);
        match kind.meaning(response, sendings <= 1, is_group) {
            Meaning::Over(outcome) => self.over(place, outcome, now),
            Meaning::Opened(id) => self.opened(place, id, now),
            Meaning::NewSession => {
                let Ticket { session, .. } = ticket.expect("a command is sent with one");
                self.groups[group.0 as usize].sessions.evicted(session);
                self.begin_anew(place, group, now);
            }
            Meaning::Elsewhere(right) => self.begin_anew(place, right, now),
        }
    }

    fn opened(&mut self, place: usize, id: SessionId, now: Instant) {
        let group = self.pending[place].group;
        self.vacate(place);
        let Group { sessions, is_opening, .. } = &mut self.groups[group.0 as usize];
        *is_opening = false;
        sessions.opened(id);
        self.serve(group, now);
    }

    /// A request has an outcome.
    fn over(&mut self, place: usize, outcome: Outcome<Done>, now: Instant) {
        let Pending { tag, kind, group, begun, ticket, .. } = self.pending[place];
        self.vacate(place);
        let Group { sessions, is_opening, waiting, .. } = &mut self.groups[group.0 as usize];
        if kind == Kind::Open {
            *is_opening = false;
            // In silence those who wait have their own deadlines. An answer that makes no sense
            // would make no more of it if it came again.
            if let Outcome::Indeterminate(Why::NoMeaning) = outcome {
                for (place, number) in std::mem::take(waiting) {
                    if self.pending[place].number == number {
                        self.over(place, outcome.clone(), now);
                    }
                }
            }
        } else {
            ticket.into_iter().for_each(|ticket| sessions.done(ticket));
            let latency = now.saturating_duration_since(begun);
            self.completions.push_back(Completion { tag, outcome, latency });
        }
        self.serve(group, now);
    }

    /// Surely nothing happened: begins with another session, or with another group.
    fn begin_anew(&mut self, place: usize, group: GroupId, now: Instant) {
        let number = self.next_number(place);
        let pending = &mut self.pending[place];
        let (left, ticket) = (std::mem::replace(&mut pending.group, group), pending.ticket.take());
        (pending.number, pending.sendings) = (number, 0);
        ticket.into_iter().for_each(|ticket| self.groups[left.0 as usize].sessions.done(ticket));
        self.begin(place, now);
        self.serve(left, now);
    }

    fn begin(&mut self, place: usize, now: Instant) {
        let Pending { number, kind, group, deadline, .. } = self.pending[place];
        if !kind.is_command() {
            return self.ask_group(place, now);
        }
        self.pending[place].stage = Stage::Waiting;
        self.next_check = self.next_check.min(deadline);
        self.groups[group.0 as usize].waiting.push_back((place, number));
        self.serve(group, now);
    }

    /// Gives those who wait the sessions there are; if these have no room, has another opened.
    fn serve(&mut self, group: GroupId, now: Instant) {
        loop {
            let Group { sessions, waiting, .. } = &mut self.groups[group.0 as usize];
            let Some((place, number)) = waiting.pop_front() else { return };
            let pending = &mut self.pending[place];
            if pending.number != number {
                continue;
            }
            let Some(ticket) = sessions.take() else {
                waiting.push_front((place, number));
                return self.open(group, now);
            };
            enter(&mut pending.bytes, ticket, &mut self.spare);
            pending.ticket = Some(ticket);
            self.ask_group(place, now);
        }
    }

    /// Has a session opened, unless one is about to be. Each copy of the command that is executed
    /// opens a session: one too many, but none is mistaken for another.
    fn open(&mut self, group: GroupId, now: Instant) {
        let Group { sessions, is_opening, .. } = &mut self.groups[group.0 as usize];
        if !*is_opening && sessions.count() < SESSIONS_MAX {
            *is_opening = true;
            let place = self.place(0, Kind::Open, group, now);
            Command::OPEN.encode(&mut self.pending[place].bytes);
            self.ask_group(place, now);
        }
    }

    /// Asks the members of the group, the leader first.
    fn ask_group(&mut self, place: usize, now: Instant) {
        let Group { members, leader, .. } = &self.groups[self.pending[place].group.0 as usize];
        let (members, first) = (members.clone(), leader.unwrap_or(members[0]));
        self.search(place, members, first, now);
    }

    fn search(&mut self, place: usize, nodes: Arc<[NodeId]>, first: NodeId, now: Instant) {
        let pending = &mut self.pending[place];
        let search = Search::new(nodes, first, now, pending.deadline);
        self.next_check = self.next_check.min(search.until());
        pending.stage = Stage::Asking(search);
        self.queue(place);
    }

    fn queue(&mut self, place: usize) {
        if !std::mem::replace(&mut self.pending[place].is_queued, true) {
            self.to_send.push(place);
        }
    }

    fn place(&mut self, tag: u64, kind: Kind, group: GroupId, now: Instant) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.pending.push(Pending::vacant(now));
            self.pending.len() - 1
        });
        assert!(place < 1 << PLACE_BITS, "too many requests at a time");
        let (number, deadline) = (self.next_number(place), now + self.timeout);
        let vacant = &mut self.pending[place];
        (vacant.number, vacant.tag, vacant.kind, vacant.group) = (number, tag, kind, group);
        (vacant.begun, vacant.deadline) = (now, deadline);
        place
    }

    fn vacate(&mut self, place: usize) {
        self.pending[place].vacate();
        self.free.push(place);
    }

    fn next_number(&mut self, place: usize) -> u64 {
        self.count += 1;
        self.count << PLACE_BITS | place as u64
    }
}

impl Pending {
    fn vacant(now: Instant) -> Pending {
        Pending {
            number: 0,
            tag: 0,
            kind: Kind::Get,
            group: GroupId(0),
            begun: now,
            deadline: now,
            bytes: Vec::new(),
            ticket: None,
            stage: Stage::Waiting,
            is_queued: false,
            sendings: 0,
        }
    }

    /// Leaves the place with its buffer, and in the queue if it is there: the next may need both.
    fn vacate(&mut self) {
        (self.number, self.sendings, self.ticket) = (0, 0, None);
        self.stage = Stage::Waiting;
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Failure;
    use crate::wire::Reply;
    use std::path::Path;

    const NODE: NodeId = NodeId(1);
    const TIMEOUT: Duration = Duration::from_secs(5);

    fn requests(now: Instant) -> Requests {
        let text = br#"{"cluster": "c", "nodes": [{"id": 1, "address": "127.0.0.1:1"}]}"#;
        let cluster = Cluster::parse(Path::new("c.json"), text).expect("valid");
        Requests::new(&cluster, 7, TIMEOUT, now)
    }

    fn answer(requests: &mut Requests, number: u64, reply: Reply, now: Instant) {
        let (client, group, answer) = (7, GroupId(0), Answer::Reply(reply));
        requests.hear(NODE, Event::Response(Response { client, number, group, answer }), now);
    }

    #[test]
    fn a_late_answer_is_none_to_what_took_its_place() {
        let now = Instant::now();
        let mut requests = requests(now);
        requests.submit(1, Ask::Get { key: b"k" }, now);
        let first = requests.pending[0].number;
        let late = now + TIMEOUT;
        requests.check_time(late);
        let (outcome, latency) = (Outcome::Indeterminate(Why::NoAnswer), TIMEOUT);
        assert_eq!(requests.completion(), Some(Completion { tag: 1, outcome, latency }));

        requests.submit(2, Ask::Delete { key: b"k" }, late);
        requests.submit(3, Ask::Get { key: b"k" }, late);
        assert_eq!(requests.pending.len(), 3, "the place is taken, and a session is being opened");
        for number in [first, 0, u64::MAX] {
            answer(&mut requests, number, Reply::NotFound, late);
            assert_eq!(requests.completion(), None);
        }
        let number = requests.pending[2].number;
        answer(&mut requests, number, Reply::NotFound, late);
        let (outcome, latency) = (Outcome::Fail(Failure::Missing), Duration::ZERO);
        assert_eq!(requests.completion(), Some(Completion { tag: 3, outcome, latency }));
    }

    #[test]
    fn who_waits_for_a_session_has_a_deadline_of_its_own() {
        let now = Instant::now();
        let mut requests = requests(now);
        requests.submit(1, Ask::Delete { key: b"k" }, now);
        let later = now + TIMEOUT / 2;
        requests.submit(2, Ask::Delete { key: b"k" }, later);
        assert!(requests.next_check() < now + TIMEOUT);
        requests.check_time(now + TIMEOUT);
        let told = requests.completion().map(|completion| (completion.tag, completion.outcome));
        assert_eq!(told, Some((1, Outcome::Indeterminate(Why::NoSession))));
        assert_eq!(requests.completion(), None);
        // The session was asked for in vain; it is asked for again, as there is still somebody.
        let opening: Vec<&Pending> =
            requests.pending.iter().filter(|p| p.number != 0 && p.kind == Kind::Open).collect();
        assert_eq!(opening.len(), 1);
        assert_eq!(opening[0].begun, now + TIMEOUT);
    }
}

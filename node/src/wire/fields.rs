//! The fields that messages are made of, written and read.

use crate::bytes::Reader;
use crate::protocol::{Ballot, GroupId, Index, Leading, Malformed, NodeId, Report, Round};

/// Appends fields, one call each, so that a message's encoding reads like its row in the table.
pub(super) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(self, number: u8) -> Self {
        self.bytes(&[number])
    }

    pub fn u16(self, number: u16) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub fn node(self, node: NodeId) -> Self {
        self.u16(node.0)
    }

    pub fn index(self, index: &Index) -> Self {
        self.u64(index.0)
    }

    pub fn ballot(self, ballot: &Ballot) -> Self {
        self.u64(ballot.round).node(ballot.node).u8(ballot.priority)
    }

    pub fn round(self, round: &Round) -> Self {
        self.u64(round.boot).u64(round.number)
    }

    pub fn report(self, report: &Report) -> Self {
        let Report { promised, accepted_ballot, accepted, decided, first } = report;
        self.ballot(promised).ballot(accepted_ballot).index(accepted).index(decided).index(first)
    }

    pub fn leading(self, leading: &Leading) -> Self {
        self.ballot(&leading.ballot).index(&leading.accepted).index(&leading.decided)
    }
}

impl Reader<'_> {
    pub(super) fn node(&mut self) -> Result<NodeId, Malformed> {
        self.u16().map(NodeId)
    }

    pub(super) fn group(&mut self) -> Result<GroupId, Malformed> {
        self.u32().map(GroupId)
    }

    pub(super) fn index(&mut self) -> Result<Index, Malformed> {
        self.u64().map(Index)
    }

    pub(super) fn ballot(&mut self) -> Result<Ballot, Malformed> {
        let (round, node, priority) = (self.u64()?, self.node()?, self.u8()?);
        Ok(Ballot { round, priority, node })
    }

    pub(super) fn round(&mut self) -> Result<Round, Malformed> {
        Ok(Round { boot: self.u64()?, number: self.u64()? })
    }

    pub(super) fn report(&mut self) -> Result<Report, Malformed> {
        Ok(Report {
            promised: self.ballot()?,
            accepted_ballot: self.ballot()?,
            accepted: self.index()?,
            decided: self.index()?,
            first: self.index()?,
        })
    }

    pub(super) fn leading(&mut self) -> Result<Leading, Malformed> {
        let (ballot, accepted, decided) = (self.ballot()?, self.index()?, self.index()?);
        Ok(Leading { ballot, accepted, decided })
    }
}

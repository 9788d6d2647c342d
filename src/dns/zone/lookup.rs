//! What a zone says to a question (RFC 1034 section 4.3.2, with RFC 2308, 4035, 4592, 6604, 6672, 8020, 8482, 9471).
//! The same question always gets the same answer in the same order, so that prepared answers can be held against it.

use std::borrow::Cow;

use super::{CUT, DNAME, Zone, name, rdata, records};
use crate::{
    dns::message::Rcode,
    model::{
        domain::{DomainName, RrType},
        limits::{ALIASES_MAX, DOMAIN_NAME_BYTES_MAX},
    },
};

/// One set of records in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'z> {
    /// The owner in small letters: the zone's own name, or the one asked for where a wildcard answered.
    pub owner: Cow<'z, [u8]>,
    /// The type.
    pub rtype: RrType,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// The data of its records, each with its length in two bytes; see [`super::records`].
    pub data: Cow<'z, [u8]>,
    /// Whether the answer is cut off (TC) when this does not fit.
    pub is_required: bool,
}

/// What is said to one question.
#[derive(Clone, Debug)]
pub struct Answer<'z> {
    /// How it went.
    pub rcode: Rcode,
    /// Whether we speak for the name asked for (AA).
    pub is_authoritative: bool,
    /// The answer section.
    pub answer: Vec<Piece<'z>>,
    /// The authority section.
    pub authority: Vec<Piece<'z>>,
    /// The additional section, without OPT.
    pub additional: Vec<Piece<'z>>,
    /// The zone that the name asked for is in; none when the question is refused.
    pub zone: Option<&'z Zone>,
}

impl Answer<'_> {
    /// We hold no zone that the name is in (RFC 8914: extended error 20, Not Authoritative).
    pub fn refused() -> Self {
        Self {
            rcode: Rcode::REFUSED,
            is_authoritative: false,
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            zone: None,
        }
    }
}

/// A question as lookups take it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'q> {
    pub(super) name: &'q [u8],
    pub(super) rtype: RrType,
    /// Whether signatures and proofs are wanted (RFC 3225).
    pub(super) dnssec_ok: bool,
}

/// How a lookup goes on.
enum Next {
    Done,
    /// The name is an alias of this one.
    Alias(Vec<u8>),
}

/// Where a name leads to.
pub(super) enum Reached<'n> {
    Node(usize),
    /// Another zone begins at this node.
    Cut(usize),
    /// Below a DNAME.
    Dname(usize),
    /// The name does not exist: its closest encloser, and the name one label longer.
    Missing(usize, &'n [u8]),
}

/// Answers a question from the zones that `zone_of` knows, following aliases through them.
pub(super) fn answer<'z>(
    asked: Asked<'_>,
    zone_of: impl Fn(&[u8], RrType) -> Option<&'z Zone>,
) -> Answer<'z> {
    let mut answer = Answer {
        rcode: Rcode::NOERROR,
        is_authoritative: true,
        ..Answer::refused()
    };
    let mut name = Cow::Borrowed(asked.name);
    for turn in 0..=ALIASES_MAX {
        let Some(zone) = zone_of(&name, asked.rtype) else {
            return if turn == 0 { Answer::refused() } else { answer };
        };
        answer.zone = answer.zone.or(Some(zone));
        let asked = Asked {
            name: &name,
            ..asked
        };
        match zone.step(asked, &mut answer) {
            Next::Done => return answer,
            Next::Alias(target) => name = Cow::Owned(target),
        }
    }
    answer
}

impl Zone {
    /// Answers a question from this zone alone. The name must be in it; else the question is refused.
    pub fn answer(&self, name: &DomainName, rtype: RrType, dnssec_ok: bool) -> Answer<'_> {
        let asked = Asked {
            name: name.as_wire(),
            rtype,
            dnssec_ok,
        };
        answer(asked, |name, _| {
            name::is_within(name, self.origin_wire()).then_some(self)
        })
    }

    fn step<'z>(&'z self, asked: Asked<'_>, to: &mut Answer<'z>) -> Next {
        let asked = Asked {
            dnssec_ok: asked.dnssec_ok && self.is_signed(),
            ..asked
        };
        let (answers, authorities) = (to.answer.len(), to.authority.len());
        let next = match self.reach(asked.name, asked.rtype) {
            Reached::Node(node) => self.at_node(node, None, asked, to),
            Reached::Cut(node) => {
                self.refer(node, asked, to);
                // Every piece of a chain that ends elsewhere was ours, so the answer stays authoritative.
                to.is_authoritative = !to.answer.is_empty();
                Next::Done
            }
            Reached::Dname(node) => self.redirect(node, asked, to),
            Reached::Missing(encloser, next_closer) => {
                self.at_wildcard(encloser, next_closer, asked, to)
            }
        };
        self.add_addresses(asked.dnssec_ok, answers, authorities, to);
        next
    }

    /// Walks down from the apex to the name, as far as names exist. The name must be in the zone.
    pub(super) fn reach<'n>(&self, name: &'n [u8], rtype: RrType) -> Reached<'n> {
        let ahead = name.len().saturating_sub(self.origin_wire().len());
        let mut node = 0;
        if ahead == 0 {
            return Reached::Node(0);
        }
        let labels = name::Labels::of(name);
        if self.nodes[0].marks & DNAME != 0 {
            return Reached::Dname(0);
        }
        for start in labels.starts().rev().skip_while(|at| *at >= ahead) {
            let Some(found) = self.find(&name[start..]) else {
                return Reached::Missing(node, &name[start..]);
            };
            node = found;
            let marks = self.nodes[node].marks;
            // A DS record is the parent's to give (RFC 4035 section 3.1.4.1).
            if marks & CUT != 0 && !(start == 0 && rtype == RrType::DS) {
                return Reached::Cut(node);
            }
            if marks & DNAME != 0 && start > 0 {
                return Reached::Dname(node);
            }
        }
        Reached::Node(node)
    }

    /// Whether the zone has something to say about a name that has no node: a wildcard, a cut or a DNAME.
    pub(super) fn answers_for(&self, name: &[u8]) -> bool {
        match self.reach(name, RrType::A) {
            Reached::Missing(encloser, _) => self.wildcard(encloser).is_some(),
            Reached::Cut(_) | Reached::Dname(_) => true,
            Reached::Node(_) => false,
        }
    }

    /// The wildcard right below a node.
    pub(super) fn wildcard(&self, encloser: usize) -> Option<usize> {
        self.find(&self.wildcard_name(encloser)?)
    }

    pub(super) fn wildcard_name(&self, encloser: usize) -> Option<Vec<u8>> {
        let name = self.name(&self.nodes[encloser]);
        let whole = [&b"\x01*"[..], name].concat();
        (whole.len() <= DOMAIN_NAME_BYTES_MAX).then_some(whole)
    }

    fn at_wildcard<'z>(
        &'z self,
        encloser: usize,
        next_closer: &[u8],
        asked: Asked<'_>,
        to: &mut Answer<'z>,
    ) -> Next {
        let Some(node) = self.wildcard(encloser) else {
            to.rcode = Rcode::NXDOMAIN;
            self.deny(asked, to);
            if asked.dnssec_ok {
                self.prove_no_name(asked.name, encloser, next_closer, to);
            }
            return Next::Done;
        };
        self.at_node(node, Some(next_closer), asked, to)
    }

    /// The name exists, or a wildcard stands for it: `through` is then the name that is missing,
    /// one label longer than the closest encloser.
    fn at_node<'z>(
        &'z self,
        node: usize,
        through: Option<&[u8]>,
        asked: Asked<'_>,
        to: &mut Answer<'z>,
    ) -> Next {
        let owner = through.map(|_| asked.name);
        let wants_own = matches!(
            asked.rtype,
            RrType::CNAME | RrType::ANY | RrType::RRSIG | RrType::NSEC
        );
        let alias = self.held(node, RrType::CNAME).filter(|_| !wants_own);
        if let Some(set) = alias {
            if to.has(asked.name, RrType::CNAME) {
                return Next::Done;
            }
            self.push(node, set, owner, asked.dnssec_ok, &mut to.answer);
            self.prove_expansion(asked, through, to);
            let target = records(self.data(set)).next().unwrap_or(&[0]);
            return Next::Alias(target.to_ascii_lowercase());
        }
        let set = match asked.rtype {
            // One set is enough of an answer (RFC 8482 section 4.1); signatures are no smaller.
            RrType::ANY => {
                let sets = self.sets_of(&self.nodes[node]);
                let plain = sets.iter().find(|it| it.rtype != RrType::RRSIG);
                plain.or(sets.first())
            }
            wanted => self.held(node, wanted),
        };
        match set {
            Some(set) => {
                self.push(node, set, owner, asked.dnssec_ok, &mut to.answer);
                self.prove_expansion(asked, through, to);
            }
            None => {
                self.deny(asked, to);
                if asked.dnssec_ok {
                    self.prove_no_type(node, through.map(|it| (asked.name, it)), to);
                }
            }
        }
        Next::Done
    }

    /// A DNAME puts its target in the place of its owner, and a CNAME made of both says so to resolvers that know no
    /// DNAME (RFC 6672 section 3.1).
    fn redirect<'z>(&'z self, node: usize, asked: Asked<'_>, to: &mut Answer<'z>) -> Next {
        let Some(set) = self.held(node, RrType::DNAME) else {
            return Next::Done;
        };
        let owner = self.name(&self.nodes[node]);
        if !to.has(owner, RrType::DNAME) {
            self.push(node, set, None, asked.dnssec_ok, &mut to.answer);
        }
        if to.has(asked.name, RrType::CNAME) {
            return Next::Done;
        }
        let target = records(self.data(set)).next().unwrap_or(&[0]);
        let ahead = &asked.name[..asked.name.len() - owner.len()];
        let whole = [ahead, target].concat();
        if whole.len() > DOMAIN_NAME_BYTES_MAX {
            to.rcode = Rcode::YXDOMAIN;
            return Next::Done;
        }
        let data = [&(whole.len() as u16).to_be_bytes()[..], &whole].concat();
        to.answer.push(Piece {
            owner: Cow::Owned(asked.name.to_vec()),
            rtype: RrType::CNAME,
            ttl: set.ttl,
            data: Cow::Owned(data),
            is_required: true,
        });
        // Into itself it would only make the name longer and longer.
        let is_endless = name::is_within(&target.to_ascii_lowercase(), owner);
        match asked.rtype {
            RrType::CNAME | RrType::ANY => Next::Done,
            _ if is_endless => Next::Done,
            _ => Next::Alias(whole.to_ascii_lowercase()),
        }
    }

    /// Names the servers of the zone that begins at a node.
    fn refer<'z>(&'z self, node: usize, asked: Asked<'_>, to: &mut Answer<'z>) {
        if let Some(set) = self.held(node, RrType::NS) {
            self.push(node, set, None, false, &mut to.authority);
        }
        if !asked.dnssec_ok {
            return;
        }
        match self.held(node, RrType::DS) {
            Some(set) => self.push(node, set, None, true, &mut to.authority),
            None => self.prove_unsigned(node, to),
        }
    }

    /// The SOA record of a negative answer; its lifetime is that of the denial (RFC 2308 section 5).
    fn deny<'z>(&'z self, asked: Asked<'_>, to: &mut Answer<'z>) {
        let Some(set) = self.held(0, RrType::SOA) else {
            return;
        };
        let data = self.data(set);
        let minimum = data.last_chunk().map_or(0, |it| u32::from_be_bytes(*it));
        let start = to.authority.len();
        self.push(0, set, None, asked.dnssec_ok, &mut to.authority);
        for piece in &mut to.authority[start..] {
            piece.ttl = piece.ttl.min(minimum);
        }
    }

    /// Adds a set, and its signatures when they are wanted.
    pub(super) fn push<'z>(
        &'z self,
        node: usize,
        set: &super::Set,
        owner: Option<&[u8]>,
        with_signatures: bool,
        to: &mut Vec<Piece<'z>>,
    ) {
        let own = self.name(&self.nodes[node]);
        let signatures = with_signatures
            .then(|| self.signatures(node, set.rtype))
            .flatten();
        for set in [Some(set), signatures].into_iter().flatten() {
            to.push(Piece {
                owner: owner.map_or(Cow::Borrowed(own), |it| Cow::Owned(it.to_vec())),
                rtype: set.rtype,
                ttl: set.ttl,
                data: Cow::Borrowed(self.data(set)),
                is_required: true,
            });
        }
    }

    /// Adds the addresses of the hosts that the new pieces name. Those of name servers inside the zone that is referred
    /// to are required: nobody could reach it otherwise (RFC 9471).
    fn add_addresses<'z>(
        &'z self,
        dnssec_ok: bool,
        answers: usize,
        authorities: usize,
        to: &mut Answer<'z>,
    ) {
        let brings = |it: &RrType| {
            matches!(
                *it,
                RrType::NS | RrType::MX | RrType::SRV | RrType::SVCB | RrType::HTTPS
            )
        };
        let mut wanted: Vec<(Vec<u8>, bool)> = Vec::new();
        let is_referral = |it: &Piece<'_>| it.rtype == RrType::NS;
        let answered = to.answer[answers..].iter().map(|it| (it, false));
        let referred = to.authority[authorities..]
            .iter()
            .map(|it| (it, is_referral(it)));
        for (piece, is_glue) in answered.chain(referred).filter(|(it, _)| brings(&it.rtype)) {
            for data in records(&piece.data) {
                let Some(mut target) = rdata::target(piece.rtype, data) else {
                    continue;
                };
                // The owner itself is meant (RFC 9460 section 2.5.2).
                if target.len() == 1 && matches!(piece.rtype, RrType::SVCB | RrType::HTTPS) {
                    target = &piece.owner;
                }
                let target = target.to_ascii_lowercase();
                let is_required = is_glue && name::is_within(&target, &piece.owner);
                if !wanted.iter().any(|(it, _)| *it == target) {
                    wanted.push((target, is_required));
                }
            }
        }
        // Required ones first, so that what is left out is what can be.
        wanted.sort_by_key(|(_, is_required)| !is_required);
        for (target, is_required) in wanted {
            self.add_address(&target, dnssec_ok, is_required, to);
        }
    }

    fn add_address<'z>(
        &'z self,
        target: &[u8],
        dnssec_ok: bool,
        is_required: bool,
        to: &mut Answer<'z>,
    ) {
        let Some(node) = self.find(target) else {
            return;
        };
        for rtype in [RrType::A, RrType::AAAA] {
            let Some(set) = self.held(node, rtype).filter(|_| !to.has(target, rtype)) else {
                continue;
            };
            let start = to.additional.len();
            self.push(node, set, None, dnssec_ok, &mut to.additional);
            for piece in &mut to.additional[start..] {
                piece.is_required = is_required && piece.rtype == rtype;
            }
        }
    }
}

impl Answer<'_> {
    /// Whether the set is in the answer or the additional section already.
    fn has(&self, owner: &[u8], rtype: RrType) -> bool {
        let mut held = self.answer.iter().chain(&self.additional);
        held.any(|it| it.rtype == rtype && *it.owner == *owner)
    }
}

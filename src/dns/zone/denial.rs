//! Proofs that a name or a type is not there (RFC 4035 section 3.1.3, RFC 5155 section 7.2), from the records that the
//! zone carries. Nothing is signed here: a zone without them gives answers without proofs.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::{Answer, OCCLUDED, Zone, lookup::Asked, name};
use crate::{dns::rdata, model::domain::RrType};

/// Which names carry proofs.
#[derive(Debug)]
pub(super) enum Proofs {
    /// The zone is not signed.
    None,
    /// The nodes with NSEC records, in order.
    Nsec(Box<[u32]>),
    /// The nodes with NSEC3 records, in order of their hashes.
    Nsec3 {
        nodes: Box<[u32]>,
        iterations: u16,
        salt: Box<[u8]>,
    },
}

impl Proofs {
    pub(super) fn of(zone: &Zone) -> Self {
        let nodes = |rtype| -> Box<[u32]> {
            let places = (0..zone.nodes.len()).filter(|at| {
                let is_answered = zone.nodes[*at].marks & OCCLUDED == 0;
                (is_answered || rtype == RrType::NSEC3) && zone.held(*at, rtype).is_some()
            });
            places.map(|at| at as u32).collect()
        };
        if zone.held(0, RrType::NSEC).is_some() {
            return Self::Nsec(nodes(RrType::NSEC));
        }
        let param = zone.held(0, RrType::NSEC3PARAM);
        let param = param.and_then(|it| super::records(zone.data(it)).next());
        let hashed = nodes(RrType::NSEC3);
        match param {
            Some([1, _, high, low, _, salt @ ..]) if !hashed.is_empty() => Self::Nsec3 {
                nodes: hashed,
                iterations: u16::from_be_bytes([*high, *low]),
                salt: salt.into(),
            },
            _ => Self::None,
        }
    }
}

impl Zone {
    /// The name does not exist and no wildcard stands for it.
    pub(super) fn prove_no_name<'z>(
        &'z self,
        name: &[u8],
        encloser: usize,
        next_closer: &[u8],
        to: &mut Answer<'z>,
    ) {
        let wildcard = self.wildcard_name(encloser);
        match &self.proofs {
            Proofs::Nsec(_) => {
                self.add_nsec(name, to);
                if let Some(wildcard) = wildcard {
                    self.add_nsec(&wildcard, to);
                }
            }
            Proofs::Nsec3 { .. } => {
                self.add_encloser(next_closer, to);
                if let Some(wildcard) = wildcard {
                    self.add_nsec3(&wildcard, to);
                }
            }
            Proofs::None => {}
        }
    }

    /// A wildcard stands for the name: `next_closer`, which would be closer, does not exist.
    pub(super) fn prove_expansion<'z>(
        &'z self,
        asked: Asked<'_>,
        next_closer: Option<&[u8]>,
        to: &mut Answer<'z>,
    ) {
        let Some(next_closer) = next_closer.filter(|_| asked.dnssec_ok) else {
            return;
        };
        match &self.proofs {
            Proofs::Nsec(_) => self.add_nsec(asked.name, to),
            Proofs::Nsec3 { .. } => self.add_nsec3(next_closer, to),
            Proofs::None => {}
        }
    }

    /// The node exists and has no such type. Where it is a wildcard that stands for a name, `through` is that name and
    /// the next closer one, neither of which exists.
    pub(super) fn prove_no_type<'z>(
        &'z self,
        node: usize,
        through: Option<(&[u8], &[u8])>,
        to: &mut Answer<'z>,
    ) {
        let own = self.name(&self.nodes[node]);
        match (&self.proofs, through) {
            (Proofs::Nsec(_), through) => {
                if let Some((name, _)) = through {
                    self.add_nsec(name, to);
                }
                self.add_nsec(own, to);
            }
            // RFC 5155 section 7.2.5.
            (Proofs::Nsec3 { .. }, Some((_, next_closer))) => {
                self.add_encloser(next_closer, to);
                self.add_nsec3(own, to);
            }
            (Proofs::Nsec3 { .. }, None) => match self.hashed(own) {
                Some((at, true)) => self.add_proof(at, RrType::NSEC3, to),
                // Opted out (RFC 5155 section 7.2.4).
                _ => self.add_encloser(own, to),
            },
            (Proofs::None, _) => {}
        }
    }

    /// The zone that begins at the node is not signed.
    pub(super) fn prove_unsigned<'z>(&'z self, node: usize, to: &mut Answer<'z>) {
        self.prove_no_type(node, None, to);
    }

    /// The NSEC record of the name, or the one whose gap the name falls into.
    fn add_nsec<'z>(&'z self, name: &[u8], to: &mut Answer<'z>) {
        let Proofs::Nsec(nodes) = &self.proofs else {
            return;
        };
        let place = match self.place(name) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        let at = nodes.partition_point(|it| (*it as usize) < place);
        if let Some(node) = at.checked_sub(1).map(|at| nodes[at]) {
            self.add_proof(node as usize, RrType::NSEC, to);
        }
    }

    /// The longest name above `missing` that is proven to exist, and that the next longer is not (RFC 5155 section 7.2.1).
    fn add_encloser<'z>(&'z self, missing: &[u8], to: &mut Answer<'z>) {
        let mut next_closer = missing;
        while let Some(above) = name::parent(next_closer) {
            if above.len() < self.origin_wire().len() {
                return;
            }
            if let Some((at, true)) = self.hashed(above) {
                self.add_proof(at, RrType::NSEC3, to);
                self.add_nsec3(next_closer, to);
                return;
            }
            next_closer = above;
        }
    }

    /// The NSEC3 record of the name's hash, or the one whose gap it falls into.
    fn add_nsec3<'z>(&'z self, name: &[u8], to: &mut Answer<'z>) {
        if let Some((at, _)) = self.hashed(name) {
            self.add_proof(at, RrType::NSEC3, to);
        }
    }

    /// The node whose hash is that of the name, or else the one before it, and which of both.
    fn hashed(&self, name: &[u8]) -> Option<(usize, bool)> {
        let Proofs::Nsec3 {
            nodes,
            iterations,
            salt,
        } = &self.proofs
        else {
            return None;
        };
        let label = rdata::base32_of(&hash(name, *iterations, salt));
        let owner = [
            &[label.len() as u8][..],
            label.as_bytes(),
            self.origin_wire(),
        ]
        .concat();
        let found =
            nodes.binary_search_by(|at| name::order(self.name(&self.nodes[*at as usize]), &owner));
        match found {
            Ok(at) => Some((nodes[at] as usize, true)),
            // Before the first hash comes the last one.
            Err(at) => {
                let at = at.checked_sub(1).unwrap_or(nodes.len() - 1);
                Some((nodes[at] as usize, false))
            }
        }
    }

    fn add_proof<'z>(&'z self, node: usize, rtype: RrType, to: &mut Answer<'z>) {
        let owner = self.name(&self.nodes[node]);
        let mut held = to.authority.iter();
        if held.any(|it| it.rtype == rtype && *it.owner == *owner) {
            return;
        }
        if let Some(set) = self.held(node, rtype) {
            self.push(node, set, None, true, &mut to.authority);
        }
    }
}

/// The hash of RFC 5155 section 5 of a name in small letters.
pub fn hash(name: &[u8], iterations: u16, salt: &[u8]) -> [u8; 20] {
    let once = |bytes: &[u8]| {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(bytes);
        context.update(salt);
        let mut hash = [0; 20];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    };
    (0..iterations).fold(once(name), |hash, _| once(&hash))
}

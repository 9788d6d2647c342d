//! Proofs by the DNS (RFC 8555 section 8.4): texts at `_acme-challenge.HOST`, laid over the zones that we answer for while an
//! order is under way.

use imbl::{OrdMap, OrdSet};

use super::Certificate;
use crate::model::{
    Refusal, State,
    dns::publish,
    domain::{DomainName, Rdata, RrSet, RrType},
    limits,
    words::{Label, Note},
};

/// How long resolvers may keep such a text, in seconds: an order has no time to wait for the last one's.
const TTL: u32 = 10;

/// Texts by name.
pub type Texts = OrdMap<DomainName, OrdSet<Note>>;

/// Where the DNS proves that a host name is ours. A wildcard is proven at the name that it stands under.
///
/// `None` where the name would be too long.
pub fn place_of(host: &str) -> Option<DomainName> {
    let under = host.strip_prefix("*.").unwrap_or(host);
    DomainName::parse(&format!("_acme-challenge.{under}"), &DomainName::root()).ok()
}

/// Every set that the texts of all certificates make in a zone.
pub(in crate::model) fn of_zone(state: &State, apex: &DomainName) -> Vec<RrSet> {
    let mut sets = Vec::new();
    for (name, _) in all(state) {
        let is_here = state.dns.zone_of(&name).is_some_and(|it| it.0 == apex);
        if is_here
            && !is_switched(state, &name)
            && let Some(set) = set(state, &name)
        {
            sets.push(set);
        }
    }
    sets
}

/// What the texts of all certificates make of a name.
fn set(state: &State, name: &DomainName) -> Option<RrSet> {
    let texts = state.certificates.all.values();
    let texts: OrdSet<&Note> = texts
        .filter_map(|it| it.texts.get(name))
        .flatten()
        .collect();
    let rdata: Vec<Rdata> = texts.into_iter().filter_map(text).collect();
    (!rdata.is_empty()).then(|| RrSet {
        name: name.clone(),
        rtype: RrType::TXT,
        ttl: TTL,
        rdata,
    })
}

fn all(state: &State) -> Texts {
    let mut all = Texts::new();
    for (name, texts) in state.certificates.all.values().flat_map(|it| &it.texts) {
        let before = all.get(name).cloned().unwrap_or_default();
        all.insert(name.clone(), before.union(texts.clone()));
    }
    all
}

/// One text as the wire has it (RFC 1035 section 3.3.14); nothing where it is longer than one may be.
fn text(it: &Note) -> Option<Rdata> {
    let bytes = it.as_str().as_bytes();
    let length = u8::try_from(bytes.len()).ok()?;
    Rdata::new(&[&[length], bytes].concat()).ok()
}

/// Keeps a certificate, and has the zones answer its texts, and those that it had before no more.
pub(super) fn keep(state: &mut State, index: u64, name: &Label, it: Certificate) {
    let before = state.certificates.all.get(name);
    let before = before.map(|it| it.texts.clone()).unwrap_or_default();
    let changed = before != it.texts;
    let names: OrdSet<DomainName> = before.keys().chain(it.texts.keys()).cloned().collect();
    state.certificates.all.insert(name.clone(), it);
    if changed {
        lay(state, index, &names);
    }
}

/// Has the zones answer what is shown at these names now.
pub(super) fn lay(state: &mut State, index: u64, names: &OrdSet<DomainName>) {
    for name in names {
        // What a service has there came later, and stays.
        if is_switched(state, name) {
            continue;
        }
        let set = set(state, name);
        publish::lay_text(state, index, name, set);
    }
}

/// Whether a service has something at a name.
fn is_switched(state: &State, name: &DomainName) -> bool {
    let services = state.failover.services.values();
    let mut switched = services.flat_map(|it| it.records(&it.answering));
    switched.any(|it| it.name == *name)
}

/// Whether these texts can be shown: each at a name of a zone that we answer for, where no service has anything.
///
/// # Errors
/// The first name that cannot.
pub(super) fn can_be_shown(state: &State, texts: &Texts) -> Result<(), Refusal> {
    if texts.len() > limits::CERTIFICATE_HOSTS_MAX {
        return Err(Refusal::TooMany {
            what: "texts".to_owned(),
            most: limits::CERTIFICATE_HOSTS_MAX as u64,
        });
    }
    for (name, values) in texts {
        let unsound = |wanted: &str| Refusal::unsound("texts", name.to_string(), wanted);
        let zone = state.dns.zone_of(name);
        let live = zone.and_then(|it| it.1.live.as_ref());
        let live = live.ok_or_else(|| unsound("a name in a zone that is answered here"))?;
        let cuts = &live.edition.outline.cuts;
        if cuts.iter().any(|cut| name.is_within(cut)) {
            return Err(unsound("a name that is not handed to other name servers"));
        }
        if is_switched(state, name) {
            return Err(unsound("a name that no service switches"));
        }
        if values.is_empty() || values.iter().any(|it| text(it).is_none()) {
            return Err(unsound("one text or more of 255 bytes at most"));
        }
    }
    Ok(())
}

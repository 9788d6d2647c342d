//! What the zone above says of a zone of ours, against what the zone says itself: its name servers, their addresses where
//! those are names in the zone (glue), and its DS records. Asked by each node for itself, over TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::super::ask;
use super::super::message::HEADER;
use super::super::question::{skip_name, u16_at};
use super::{
    Transfers, parent,
    wire::{self, Rr},
};
use crate::model::{
    domain::{DomainName, RrType},
    limits::PARENT_SERVERS_MAX,
};

/// Why a delegation is not known to be good.
#[derive(Debug, PartialEq, Eq)]
pub enum Undelegated {
    /// Nobody above could be asked.
    Unknown(String),
    /// It differs from what the zone says.
    Differs(String),
}

/// What a parent's server says of a zone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Referral {
    servers: BTreeSet<DomainName>,
    glue: BTreeMap<DomainName, BTreeSet<IpAddr>>,
}

impl Transfers {
    /// Compares what the parent's name servers say of a zone with the zone. What was found good, in words.
    ///
    /// # Errors
    /// What is not as it should be, or that nobody could be asked.
    pub async fn delegation(&self, zone: &DomainName) -> Result<String, Undelegated> {
        let state = self.cluster.state();
        let mut servers = parent::named(&state, zone);
        if servers.is_empty() {
            servers = self.parents_of(zone).await;
        }
        servers.truncate(PARENT_SERVERS_MAX);
        if servers.is_empty() {
            let why = "the name servers of its parent cannot be found".to_owned();
            return Err(Undelegated::Unknown(why));
        }
        let named: BTreeSet<DomainName> = self.named(zone).into_iter().collect();
        let mut silent = Vec::new();
        for server in &servers {
            match self.referral(*server, zone).await {
                Ok(said) => {
                    let amiss = self.amiss(zone, &named, &said);
                    amiss.map_or(Ok(()), |it| {
                        Err(Undelegated::Differs(format!("{server}: {it}")))
                    })?;
                }
                Err(why) => silent.push(format!("{server}: {why}")),
            }
        }
        if silent.len() * 2 > servers.len() {
            return Err(Undelegated::Unknown(silent.join("; ")));
        }
        let signing = state.dns.zones.get(zone).and_then(|it| it.signing.clone());
        let is_signed = signing.is_some();
        let signing = signing.unwrap_or_default();
        let said = self.said_by(zone, &signing, &servers).await;
        let said = said.map_err(|it| Undelegated::Unknown(it.as_str().to_owned()))?;
        match (is_signed, said.knows.is_empty(), said.others) {
            (true, true, 0) => Ok(format!(
                "{} name servers as in the zone; signed, and the parent has no DS record yet",
                named.len()
            )),
            (_, true, 1..) => Err(Undelegated::Differs(
                "the parent has DS records that name no key of the zone: whoever validates gets no answer".to_owned(),
            )),
            (true, false, _) => Ok(format!("{} name servers and the DS record as in the zone", named.len())),
            (false, ..) => Ok(format!("{} name servers as in the zone", named.len())),
        }
    }

    async fn referral(&self, server: SocketAddr, zone: &DomainName) -> Result<Referral, String> {
        let source = self.source_for(server);
        let answer = ask::anything_over_tcp(server, source, (zone, RrType::NS)).await;
        let answer = answer.map_err(|it| format!("no answer for {zone}: {it}"))?;
        read(&answer, zone).ok_or_else(|| "an answer that cannot be read".to_owned())
    }

    /// What of it is not as the zone says.
    fn amiss(
        &self,
        zone: &DomainName,
        named: &BTreeSet<DomainName>,
        said: &Referral,
    ) -> Option<String> {
        let listed = |names: &BTreeSet<DomainName>| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(" "),
            }
        };
        if said.servers != *named {
            return Some(format!(
                "the parent names the servers {}, the zone {}",
                listed(&said.servers),
                listed(named)
            ));
        }
        let own = self.answers.tables.load().zone(zone).is_some();
        for name in named.iter().filter(|it| it.is_within(zone)) {
            let ours: BTreeSet<IpAddr> = self.placed_by_us(name).into_iter().flatten().collect();
            match said.glue.get(name) {
                // Whoever answers for both zones shows no glue.
                None if own && said.glue.is_empty() => {}
                None => return Some(format!("the parent has no address of {name}")),
                Some(glue) if *glue != ours => {
                    return Some(format!(
                        "the parent has another address of {name} than the zone"
                    ));
                }
                Some(_) => {}
            }
        }
        None
    }
}

/// Reads all sections of an answer for the name servers of a zone and their addresses.
fn read(message: &[u8], zone: &DomainName) -> Option<Referral> {
    let counts = [4, 6, 8, 10].map(|at| u16_at(message, at));
    let [
        Some(questions),
        Some(answers),
        Some(authority),
        Some(additional),
    ] = counts
    else {
        return None;
    };
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut said = Referral::default();
    let all = u32::from(answers) + u32::from(authority) + u32::from(additional);
    for _ in 0..all {
        // OPT and the like are of no class of ours and end the reading.
        let Some((rr, end)) = wire::record(message, at) else {
            break;
        };
        said.take(rr, zone);
        at = end;
    }
    Some(said)
}

impl Referral {
    fn take(&mut self, rr: Rr, zone: &DomainName) {
        let data = rr.data.as_wire();
        let address = match rr.rtype {
            RrType::A => data.first_chunk::<4>().map(|it| IpAddr::from(*it)),
            RrType::AAAA => data.first_chunk::<16>().map(|it| IpAddr::from(*it)),
            RrType::NS if rr.name == *zone => {
                let named = DomainName::from_wire(data).ok().map(|it| it.0);
                self.servers.extend(named);
                None
            }
            _ => None,
        };
        if let Some(address) = address {
            self.glue.entry(rr.name).or_default().insert(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referral_is_read_with_its_glue_from_whatever_section_it_is_in() {
        let zone: DomainName = "example.test".parse().unwrap();
        let server: DomainName = "ns1.example.test".parse().unwrap();
        let mut message = vec![0, 1, 0x80, 0, 0, 1, 0, 0, 0, 1, 0, 1];
        message.extend(zone.as_wire());
        message.extend([0, 2, 0, 1]);
        let record = |owner: &DomainName, rtype: u16, data: &[u8]| {
            let mut out = owner.as_wire().to_vec();
            out.extend(rtype.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
            out
        };
        message.extend(record(&zone, 2, server.as_wire()));
        message.extend(record(&server, 1, &[192, 0, 2, 7]));
        let said = read(&message, &zone).unwrap();
        assert_eq!(said.servers, BTreeSet::from([server.clone()]));
        let glue = BTreeSet::from([IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(said.glue, BTreeMap::from([(server, glue)]));
        for cut in 0..message.len() {
            // Whatever is cut off, reading ends.
            let _ = read(&message[..cut], &zone);
        }
    }
}

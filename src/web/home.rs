//! Where a visitor belongs who comes late: the primary of the name asked for, while it answers again and for a time after
//! the switch back. Read from the agreed state alone; no name is looked up, since names may still lead here.

use std::net::{IpAddr, SocketAddr};

use crate::model::State;
use crate::model::domain::{DomainName, RrType};
use crate::model::failover::{Answering, Switchable, Target};
use crate::model::health::CheckKind;
use crate::model::limits::PASSED_ADDRESSES_MAX;
use crate::model::words::Timestamp;

/// Where HTTPS is, unless a check of the name says otherwise.
const HTTPS_PORT: u16 = 443;

/// The addresses of the primary that answers for `name` again, the best first; none before and during an outage, and
/// none once `window_ms` have passed since the switch back.
pub fn addresses(state: &State, name: &str, now: Timestamp, window_ms: u64) -> Vec<SocketAddr> {
    let services = &state.failover.services;
    let returned = |it: &&Switchable| returned_lately(it, now.max(state.now), window_ms);
    let mut primaries = services.values().filter(returned).filter_map(primary);
    let Ok(owner) = name.parse::<DomainName>() else {
        return Vec::new();
    };
    let of_name = |target: &&Target| target.records.iter().any(|it| it.name == owner);
    let Some(target) = primaries.find(of_name) else {
        return Vec::new();
    };
    let checked = target.watch.checks.iter().filter_map(|check| {
        let CheckKind::Http {
            host, tls: Some(_), ..
        } = &check.kind
        else {
            return None;
        };
        let is_for_it = host.as_str().eq_ignore_ascii_case(name);
        is_for_it.then_some(check.to)
    });
    let checked: Vec<SocketAddr> = checked.collect();
    let port = checked.first().map_or(HTTPS_PORT, SocketAddr::port);
    let recorded = target
        .records
        .iter()
        .filter(|it| it.name == owner)
        .flat_map(|set| {
            set.rdata
                .iter()
                .filter_map(|data| address(set.rtype, data.as_wire()))
        })
        .map(|ip| SocketAddr::new(ip, port));
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in checked.iter().copied().chain(recorded) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all.truncate(PASSED_ADDRESSES_MAX);
    all
}

/// The primary answers, and something else did not long ago.
fn returned_lately(service: &Switchable, now: Timestamp, window_ms: u64) -> bool {
    let Answering::One(answering) = &service.answering else {
        return false;
    };
    let answers = service.primary() == Some(answering);
    let back = service.history.iter().rev().find(|it| it.from != it.to);
    answers && back.is_some_and(|it| it.to == service.answering && now.ms_since(it.at) < window_ms)
}

fn primary(service: &Switchable) -> Option<&Target> {
    service.targets.get(service.primary()?)
}

fn address(rtype: RrType, data: &[u8]) -> Option<IpAddr> {
    match rtype {
        RrType::A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        RrType::AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::{Rdata, RrSet};
    use crate::model::failover::{Policy, Rank, Switched};
    use crate::model::health::{Check, TlsCheck, Trust, Watch};
    use crate::model::words::{Label, Note};

    const HOUR: u64 = 3_600_000;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn target(rank: Rank, address: [u8; 4]) -> Target {
        let record = RrSet {
            name: "www.example.com".parse().unwrap(),
            rtype: RrType::A,
            ttl: 60,
            rdata: vec![Rdata::new(&address).unwrap()],
        };
        Target {
            rank,
            records: [record].into_iter().collect(),
            watch: Watch::default(),
        }
    }

    fn state(history: &[(u64, &str, &str)]) -> State {
        let targets = [
            (label("main"), target(Rank::Primary, [192, 0, 2, 1])),
            (label("boat"), target(Rank::Fallback(1), [192, 0, 2, 9])),
        ];
        let one = |name: &str| Answering::One(label(name));
        let history = history.iter().map(|(at, from, to)| Switched {
            index: 1,
            at: Timestamp(*at),
            from: one(from),
            to: one(to),
            by: String::new(),
            why: Note::cut(""),
            by_verdict: false,
        });
        let history: imbl::Vector<Switched> = history.collect();
        let answering = history.last().map_or(one("main"), |it| it.to.clone());
        let service = Switchable {
            name: label("web"),
            generation: 1,
            targets: targets.into_iter().collect(),
            policy: Policy::default(),
            answering,
            since: Timestamp(0),
            stirred: Timestamp(0),
            restless: false,
            pin: None,
            before: None,
            penalty: 0,
            weighed: Timestamp(0),
            history,
        };
        let mut state = State::default();
        state.failover.services.insert(label("web"), service);
        state
    }

    fn home(state: &State, name: &str, now: u64) -> Vec<String> {
        let all = addresses(state, name, Timestamp(now), HOUR);
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_after_a_switch_back_and_for_a_time() {
        let (away, back) = ((100, "main", "boat"), (200, "boat", "main"));
        let before = state(&[]);
        assert_eq!(home(&before, "www.example.com", 300), [""; 0]);
        let during = state(&[away]);
        assert_eq!(home(&during, "www.example.com", 300), [""; 0]);
        let after = state(&[away, back]);
        assert_eq!(home(&after, "www.example.com", 300), ["192.0.2.1:443"]);
        assert_eq!(home(&after, "shop.example.com", 300), [""; 0]);
        assert_eq!(home(&after, "www.example.com", 200 + HOUR), [""; 0]);
        let again = state(&[away, back, (300, "main", "boat")]);
        assert_eq!(home(&again, "www.example.com", 400), [""; 0]);
    }

    #[test]
    fn a_check_of_the_name_says_the_port() {
        let mut state = state(&[(1, "main", "boat"), (2, "boat", "main")]);
        let service = state.failover.services.get_mut(&label("web")).unwrap();
        let target = service.targets.get_mut(&label("main")).unwrap();
        target.watch.checks.push(Check {
            name: label("page"),
            to: "127.0.0.1:8443".parse().unwrap(),
            kind: CheckKind::Http {
                host: Note::cut("WWW.example.com"),
                path: Note::cut("/"),
                status: (200, 299),
                contains: None,
                tls: Some(TlsCheck {
                    server_name: Note::cut("www.example.com"),
                    trust: Trust::Public,
                    days_left_min: 0,
                }),
            },
            interval_ms: 1_000,
            timeout_ms: 1_000,
            down_after: 3,
            up_after: 2,
        });
        let found = home(&state, "www.example.com", 3);
        assert_eq!(found, ["127.0.0.1:8443", "192.0.2.1:8443"]);
    }
}

//! A service as people write it, in JSON or TOML: read into the model's words with every mistake at once, and written
//! back in the same shape. Records are lines of a zone file.

use std::net::SocketAddr;

use imbl::{OrdMap, Vector};
use serde_json::{Map, Value, json};

use crate::dns::zone::file;
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    failover::{AllDown, Failback, Mode, OnQuorumLoss, Policy, Rank, Switchable, Target},
    health::{Check, CheckKind, TlsCheck, Trust, Watch},
    when::{span_ms, spoken_span},
    words::{Label, Note},
};

use super::document::{Table, kind, parsed};
use crate::desk::problem::Mistake;

/// Every this often a check is tried unless the file says otherwise.
const INTERVAL_MS: u32 = 5_000;
/// A try takes at most so long unless the file says otherwise, or as long as the interval.
const TIMEOUT_MS: u32 = 2_000;
/// Failures in a row unless the file says otherwise.
const DOWN_AFTER: u8 = 3;
/// Successes in a row unless the file says otherwise.
const UP_AFTER: u8 = 2;
/// The lifetime of records that name none, in seconds.
const TTL_S: u32 = 60;

const MODES: [(&str, Mode); 3] = [
    ("automatic", Mode::Automatic),
    ("advise", Mode::Advise),
    ("manual", Mode::Manual),
];
const ALL_DOWN: [(&str, AllDown); 4] = [
    ("hold", AllDown::Hold),
    ("primary", AllDown::Primary),
    ("fallback", AllDown::Fallback),
    ("all", AllDown::All),
];
const ON_QUORUM_LOSS: [(&str, OnQuorumLoss); 2] = [
    ("hold", OnQuorumLoss::Hold),
    ("last-resort", OnQuorumLoss::LastResort),
];
const TRUST: [(&str, Trust); 3] = [
    ("public", Trust::Public),
    ("any-authority", Trust::AnyAuthority),
    ("anything", Trust::Anything),
];

/// Reads a service's definition.
///
/// # Errors
/// Every mistake in it.
pub(super) fn read(value: &Value) -> Result<(OrdMap<Label, Target>, Policy), Vec<Mistake>> {
    let mut said = Vec::new();
    let Some(mut whole) = Table::of(String::new(), value, &mut said) else {
        return Err(said);
    };
    let zone = whole.text("zone", &mut said).and_then(|text| {
        parsed(
            &mut said,
            "zone",
            text,
            "a zone's name, such as example.com",
        )
    });
    if zone.is_none() && said.is_empty() {
        said.push(Mistake::of(
            "zone",
            "nothing",
            "a zone's name, such as example.com",
        ));
    }
    let origin = zone.unwrap_or_else(DomainName::root);
    let policy = match whole.take("policy") {
        Some(value) => read_policy(value, &mut said),
        None => Policy::default(),
    };
    let mut targets = OrdMap::new();
    match whole.take("targets") {
        Some(Value::Object(map)) => {
            for (name, value) in map {
                let field = format!("targets.{name}");
                let label = Label::new(name);
                let target = read_target(&field, value, &origin, &mut said);
                match label {
                    Ok(label) => {
                        targets.insert(label, target);
                    }
                    Err(wrong) => said.push(Mistake::of(&field, name, &wrong.wanted)),
                }
            }
        }
        found => said.push(Mistake::of(
            "targets",
            &kind(found),
            "a table of targets, such as [targets.primary]",
        )),
    }
    whole.end(&mut said);
    if said.is_empty() {
        Ok((targets, policy))
    } else {
        Err(said)
    }
}

fn read_policy(value: &Value, said: &mut Vec<Mistake>) -> Policy {
    let mut policy = Policy::default();
    let Some(mut table) = Table::of("policy".to_owned(), value, said) else {
        return policy;
    };
    table.choice("mode", &MODES, said, &mut policy.mode);
    table.choice("all-down", &ALL_DOWN, said, &mut policy.all_down);
    table.choice(
        "on-quorum-loss",
        &ON_QUORUM_LOSS,
        said,
        &mut policy.on_quorum_loss,
    );
    if let Some(text) = table.text("failback", said)
        && text != "manual"
    {
        match span_ms(text) {
            Some(hold_ms) => policy.failback = Failback::After { hold_ms },
            None => said.push(Mistake::of(
                "policy.failback",
                text,
                "manual, or how long the primary must be up, such as 10m",
            )),
        }
    }
    if let Some(text) = table.text("last-resort-after", said) {
        match (span_ms(text), policy.on_quorum_loss) {
            (Some(ms), OnQuorumLoss::LastResort) => {
                policy.on_quorum_loss = OnQuorumLoss::LastResortAfter { ms };
            }
            (Some(_), _) => said.push(Mistake::of(
                "policy.last-resort-after",
                text,
                "on-quorum-loss = \"last-resort\" as well",
            )),
            (None, _) => said.push(Mistake::of(
                "policy.last-resort-after",
                text,
                "how long there must have been no majority, such as 5m",
            )),
        }
    }
    table.span("dwell", said, &mut policy.dwell_ms);
    table.number("switches-per-hour", said, &mut policy.switches_per_hour);
    table.flag("require-ready", said, &mut policy.require_ready);
    table.flag(
        "allow-single-provider",
        said,
        &mut policy.allow_single_provider,
    );
    let mut ttl = 0_u32;
    table.number("ttl-restless", said, &mut ttl);
    policy.ttl_restless_s = (ttl > 0).then_some(ttl);
    table.end(said);
    policy
}

fn read_target(field: &str, value: &Value, origin: &DomainName, said: &mut Vec<Mistake>) -> Target {
    let mut target = Target {
        rank: Rank::Primary,
        records: Vector::new(),
        watch: Watch::default(),
    };
    let Some(mut table) = Table::of(field.to_owned(), value, said) else {
        return target;
    };
    let mut order = 1_u8;
    table.number("order", said, &mut order);
    match table.text("role", said) {
        Some("primary") => {}
        Some("fallback") => target.rank = Rank::Fallback(order),
        found => said.push(Mistake::of(
            &format!("{field}.role"),
            found.unwrap_or("nothing"),
            "primary or fallback",
        )),
    }
    let records = table.lines("records", said);
    target.records = read_records(&format!("{field}.records"), &records, origin, said);
    match table.take("checks") {
        Some(Value::Array(checks)) => {
            for (at, value) in checks.iter().enumerate() {
                let field = format!("{field}.checks.{at}");
                target.watch.checks.extend(read_check(&field, value, said));
            }
        }
        None => {}
        found => said.push(Mistake::of(
            &format!("{field}.checks"),
            &kind(found),
            "a list of checks",
        )),
    }
    target.watch.need = u8::try_from(target.watch.checks.len()).unwrap_or(u8::MAX);
    table.number("need", said, &mut target.watch.need);
    table.end(said);
    target
}

/// Reads lines of a zone file that are no whole zone. An apex is put around them, and taken off again.
fn read_records(
    field: &str,
    lines: &[&str],
    origin: &DomainName,
    said: &mut Vec<Mistake>,
) -> Vector<RrSet> {
    const BEFORE: usize = 2;
    let around = format!("$TTL {TTL_S}\n. 1 IN SOA . . 1 1 1 1 1\n");
    let root = DomainName::root();
    // A service's names may be in several zones, so the whole of the DNS is the zone here.
    let around = format!(
        "{around}$ORIGIN {origin}\n{}\n. 1 IN NS .\n",
        lines.join("\n")
    );
    let reading = file::read(around.as_bytes(), &root);
    for mistake in reading.mistakes {
        let line = mistake.line.saturating_sub(BEFORE + 1);
        let field = if line > 0 {
            format!("{field} line {line}: {}", mistake.field)
        } else {
            format!("{field}: {}", mistake.field)
        };
        said.push(Mistake::of(&field, &mistake.found, &mistake.wanted));
    }
    let is_ours = |set: &RrSet| set.name == root;
    reading
        .rrsets
        .into_iter()
        .filter(|it| !is_ours(it))
        .collect()
}

fn read_check(field: &str, value: &Value, said: &mut Vec<Mistake>) -> Option<Check> {
    let mut table = Table::of(field.to_owned(), value, said)?;
    let before = said.len();
    let name = table.word("name", said, Label::new);
    let to: Option<SocketAddr> = table.text("to", said).and_then(|text| {
        parsed(
            said,
            &format!("{field}.to"),
            text,
            "an address and a port, such as 192.0.2.1:443",
        )
    });
    let kind = read_kind(field, &mut table, said);
    let mut interval = u64::from(INTERVAL_MS);
    table.span("interval", said, &mut interval);
    let mut timeout = interval.min(u64::from(TIMEOUT_MS));
    table.span("timeout", said, &mut timeout);
    let (mut down_after, mut up_after) = (DOWN_AFTER, UP_AFTER);
    table.number("down-after", said, &mut down_after);
    table.number("up-after", said, &mut up_after);
    table.end(said);
    for (key, there) in [("name", name.is_some()), ("to", to.is_some())] {
        if !there && said.len() == before {
            said.push(Mistake::of(&format!("{field}.{key}"), "nothing", "a value"));
        }
    }
    Some(Check {
        name: name?,
        to: to?,
        kind: kind?,
        interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
        down_after,
        up_after,
    })
}

fn read_kind(field: &str, table: &mut Table<'_>, said: &mut Vec<Mistake>) -> Option<CheckKind> {
    match table.text("kind", said) {
        Some("tcp") => Some(CheckKind::Tcp),
        Some("smtp") => Some(CheckKind::Smtp),
        Some("tls") => Some(CheckKind::Tls(read_tls(table, None, said)?)),
        Some("dns") => {
            let name = table.text("ask", said).unwrap_or_default();
            let wanted = "the name to ask for, such as www.example.com";
            let name = parsed(said, &format!("{field}.ask"), name, wanted);
            let mut rtype = RrType::A;
            if let Some(text) = table.text("type", said) {
                rtype = parsed(said, &format!("{field}.type"), text, "a type, such as A")?;
            }
            Some(CheckKind::Dns { name: name?, rtype })
        }
        Some(kind @ ("http" | "https")) => {
            let host = table.word("host", said, Note::new);
            if host.is_none() {
                let wanted = "the Host header, such as www.example.com";
                said.push(Mistake::of(&format!("{field}.host"), "nothing", wanted));
            }
            let path = table.word("path", said, Note::new);
            let path = path.unwrap_or_else(|| Note::cut("/"));
            if !path.as_str().starts_with('/') {
                let field = format!("{field}.path");
                said.push(Mistake::of(
                    &field,
                    path.as_str(),
                    "a path that begins with /",
                ));
            }
            let status = read_status(field, table, said);
            let contains = table.word("contains", said, Note::new);
            let tls = match kind {
                "https" => Some(read_tls(table, host.as_ref(), said)?),
                _ => None,
            };
            Some(CheckKind::Http {
                host: host?,
                path,
                status,
                contains,
                tls,
            })
        }
        found => {
            let wanted = "tcp, tls, http, https, dns or smtp";
            let found = found.unwrap_or("nothing");
            said.push(Mistake::of(&format!("{field}.kind"), found, wanted));
            None
        }
    }
}

/// `200`, or `200-399`.
fn read_status(field: &str, table: &mut Table<'_>, said: &mut Vec<Mistake>) -> (u16, u16) {
    let text = match table.take("status") {
        None => return (200, 299),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        other => kind(other),
    };
    let (low, high) = text.split_once('-').unwrap_or((&text, &text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) if (100..=599).contains(&low) && low <= high && high <= 599 => {
            (low, high)
        }
        _ => {
            let wanted = "a status such as 200, or a range such as 200-399";
            said.push(Mistake::of(&format!("{field}.status"), &text, wanted));
            (200, 299)
        }
    }
}

fn read_tls(
    table: &mut Table<'_>,
    host: Option<&Note>,
    said: &mut Vec<Mistake>,
) -> Option<TlsCheck> {
    let field = format!("{}.server-name", table.path);
    let server_name = table.word("server-name", said, Note::new).or(host.cloned());
    if server_name.is_none() {
        let wanted = "the name that the certificate must be for";
        said.push(Mistake::of(&field, "nothing", wanted));
    }
    let mut trust = Trust::default();
    table.choice("trust", &TRUST, said, &mut trust);
    let mut days_left_min = 0;
    table.number("days-left-min", said, &mut days_left_min);
    Some(TlsCheck {
        server_name: server_name?,
        trust,
        days_left_min,
    })
}

/// The definition of a service, in the shape that [`read`] takes.
pub(super) fn written(zone: &DomainName, service: &Switchable) -> Value {
    let targets: Map<String, Value> = service
        .targets
        .iter()
        .map(|(name, target)| (name.to_string(), target_written(target)))
        .collect();
    let policy = &service.policy;
    let name_of = |choices: &[(&'static str, _)], it| named(choices, it);
    let failback = match policy.failback {
        Failback::Manual => "manual".to_owned(),
        Failback::After { hold_ms } => spoken_span(hold_ms),
    };
    let on_quorum_loss = match policy.last_resort_after_ms() {
        None => "hold",
        Some(_) => "last-resort",
    };
    let mut written = json!({
        "mode": name_of(&MODES, policy.mode),
        "failback": failback,
        "all-down": named(&ALL_DOWN, policy.all_down),
        "on-quorum-loss": on_quorum_loss,
        "dwell": spoken_span(policy.dwell_ms),
        "switches-per-hour": policy.switches_per_hour,
        "require-ready": policy.require_ready,
        "allow-single-provider": policy.allow_single_provider,
    });
    if let OnQuorumLoss::LastResortAfter { ms } = policy.on_quorum_loss {
        written["last-resort-after"] = json!(spoken_span(ms));
    }
    if let Some(ttl) = policy.ttl_restless_s {
        written["ttl-restless"] = json!(ttl);
    }
    json!({ "zone": zone.to_string(), "policy": written, "targets": targets })
}

fn named<C: PartialEq>(choices: &[(&'static str, C)], choice: C) -> &'static str {
    choices
        .iter()
        .find(|(_, it)| *it == choice)
        .map_or("", |(name, _)| name)
}

fn target_written(target: &Target) -> Value {
    let records: Vec<String> = target.records.iter().flat_map(file::lines).collect();
    let checks: Vec<Value> = target.watch.checks.iter().map(check_written).collect();
    let mut written = json!({ "records": records, "checks": checks, "need": target.watch.need });
    match target.rank {
        Rank::Primary => written["role"] = json!("primary"),
        Rank::Fallback(order) => {
            written["role"] = json!("fallback");
            written["order"] = json!(order);
        }
    }
    written
}

fn check_written(check: &Check) -> Value {
    let mut written = json!({
        "name": check.name.to_string(),
        "to": check.to.to_string(),
        "interval": spoken_span(check.interval_ms.into()),
        "timeout": spoken_span(check.timeout_ms.into()),
        "down-after": check.down_after,
        "up-after": check.up_after,
    });
    let mut tls_written = |tls: &TlsCheck| {
        written["server-name"] = json!(tls.server_name.as_str());
        written["trust"] = json!(named(&TRUST, tls.trust));
        written["days-left-min"] = json!(tls.days_left_min);
    };
    let kind = match &check.kind {
        CheckKind::Tcp => "tcp",
        CheckKind::Smtp => "smtp",
        CheckKind::Tls(tls) => {
            tls_written(tls);
            "tls"
        }
        CheckKind::Dns { name, rtype } => {
            written["ask"] = json!(name.to_string());
            written["type"] = json!(rtype.to_string());
            "dns"
        }
        CheckKind::Http {
            host,
            path,
            status: (low, high),
            contains,
            tls,
        } => {
            if let Some(tls) = tls {
                tls_written(tls);
            }
            written["host"] = json!(host.as_str());
            written["path"] = json!(path.as_str());
            written["status"] = json!(format!("{low}-{high}"));
            if let Some(contains) = contains {
                written["contains"] = json!(contains.as_str());
            }
            if tls.is_some() { "https" } else { "http" }
        }
    };
    written["kind"] = json!(kind);
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::toml_as_json;

    /// The example that the handbook shows.
    fn example() -> Value {
        let book = include_str!("../../../docs/reference/dns.md");
        let block = book.split("```toml\n").nth(1).unwrap();
        toml_as_json(block.split("```").next().unwrap()).unwrap()
    }

    #[test]
    fn the_handbooks_example_is_taken_and_written_back_as_it_was_read() {
        let (targets, policy) = read(&example()).unwrap();
        assert_eq!(targets.len(), 2);
        let primary = &targets[&Label::new("primary").unwrap()];
        assert_eq!(primary.records.len(), 2);
        assert_eq!(primary.watch.checks[0].interval_ms, 1_000);
        assert_eq!(policy.ttl_restless_s, Some(20));
        let now = crate::model::words::Timestamp(1);
        let mut service = Switchable::new(&Label::new("www").unwrap(), &targets, now).unwrap();
        service.targets = targets.clone();
        service.policy = policy.clone();
        let again = written(&"example.com".parse().unwrap(), &service);
        assert_eq!(read(&again).unwrap(), (targets, policy));
    }

    #[test]
    fn every_mistake_of_a_definition_is_told_with_its_field() {
        let mut wrong = example();
        wrong["policy"]["mode"] = json!("sometimes");
        wrong["policy"]["dwell"] = json!("two");
        wrong["policy"]["colour"] = json!(1);
        wrong["targets"]["primary"]["records"] = json!(["www 60 A 192.0.2.300", "www 60 AAAA x"]);
        wrong["targets"]["primary"]["checks"][0]["to"] = json!("www.example.com:443");
        wrong["targets"]["primary"]["checks"][0]["status"] = json!("9-1");
        wrong["targets"]["fallback"]["role"] = json!("spare");
        let said = read(&wrong).unwrap_err();
        let said = serde_json::to_string(&said).unwrap();
        for field in [
            "policy.mode",
            "policy.dwell",
            "policy.colour",
            "targets.primary.records line 1",
            "targets.primary.records line 2",
            "targets.primary.checks.0.to",
            "targets.primary.checks.0.status",
            "targets.fallback.role",
        ] {
            assert!(
                said.contains(&format!("\"{field}")),
                "{field} is not in {said}"
            );
        }
    }

    #[test]
    fn what_is_no_definition_is_refused_without_a_panic() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!({"targets": {"": 1}}),
        ] {
            assert!(read(&value).is_err(), "{value}");
        }
    }
}

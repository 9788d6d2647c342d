//! Certificates that the cluster orders itself: from whom, for which host names, and how each stands.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use imbl::Vector;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    problem::Problem,
};
use crate::model::{
    Command, State,
    certificate::{
        Authority, AuthorityFacts, Certificate, CertificateChange, Pem, Wanted, binding_context,
        texts::place_of,
    },
    domain::DomainName,
    when::rfc3339,
    words::{EmailAddress, Label, Note},
};

/// Every authority and every certificate.
#[derive(Serialize, ToSchema)]
struct Certificates {
    authorities: Vec<KnownAuthority>,
    certificates: Vec<KnownCertificate>,
}

/// An authority.
#[derive(Serialize, ToSchema)]
struct KnownAuthority {
    authority: String,
    /// The address of its directory (RFC 8555).
    directory: String,
    contact: Option<String>,
    /// We have an account there: made at the first order.
    account: bool,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// A certificate that is wanted, and how it stands.
#[derive(Serialize, ToSchema)]
struct KnownCertificate {
    certificate: String,
    hosts: Vec<String>,
    /// Who is asked, one after the other when one cannot.
    authorities: Vec<String>,
    /// The DNS proves that the names are ours.
    by_dns: bool,
    /// waiting, ordering, issued or ended.
    state: &'static str,
    /// The node that is at it.
    node: Option<String>,
    /// From when on the next order may be made.
    due: String,
    /// Orders in a row that came to nothing.
    attempts: u32,
    /// When the last one did.
    failed: Option<String>,
    /// Why.
    why: Option<String>,
    /// Who issued what is presented.
    by: Option<String>,
    /// When what is presented ends.
    ends: Option<String>,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// What was done.
#[derive(Serialize, ToSchema)]
#[schema(as = CertificateDone)]
struct Done {
    /// In words.
    says: String,
}

/// What a certificate is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateWanted)]
struct Order {
    /// The host names.
    hosts: Vec<String>,
    /// Who is asked, one after the other when one cannot; left out, every authority that is known.
    authorities: Option<Vec<String>>,
    /// The DNS proves that the names are ours, by our own zones; wildcards are proven so only.
    #[serde(default)]
    by_dns: bool,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What an authority is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AuthorityWanted {
    /// The address of its directory (RFC 8555).
    directory: String,
    /// An e-mail address that it may write to.
    contact: Option<String>,
    /// Whom to trust that it is the authority, in PEM, instead of the public ones.
    trust: Option<String>,
    /// The name of the key that binds our account to one of theirs (RFC 8555 section 7.3.4).
    binding_id: Option<String>,
    /// That key, in base64url as they gave it; left out, the one that is there stays.
    binding: Option<String>,
    /// You have read the authority's terms and agree to them.
    agrees: bool,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// What goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateGone)]
struct Gone {
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Certificates>(
            "get",
            "/certificates",
            "The certificates that the cluster orders itself, and from whom",
            get(list),
        ),
        Route::new::<Done>(
            "post",
            "/certificates/{certificate}",
            "Have a certificate ordered, or say anew for which host names",
            post(order),
        )
        .takes::<Order>(),
        Route::new::<Done>(
            "post",
            "/certificates/{certificate}/renew",
            "Have it ordered now",
            post(renew),
        )
        .takes::<Nothing>(),
        Route::new::<Done>(
            "post",
            "/certificates/{certificate}/remove",
            "Forget a certificate, with its key; it is presented no more",
            post(remove),
        )
        .takes::<Gone>(),
        Route::new::<Done>(
            "post",
            "/authorities/{authority}",
            "Make a certificate authority known, or say anew where it is",
            post(set_authority),
        )
        .takes::<AuthorityWanted>(),
        Route::new::<Done>(
            "post",
            "/authorities/{authority}/remove",
            "Forget an authority that no certificate asks, with our account there",
            post(remove_authority),
        )
        .takes::<Gone>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Certificates> {
    let state = desk.cluster.state();
    let authorities = state.certificates.authorities.iter();
    let all = state.certificates.all.iter();
    Json(Certificates {
        authorities: authorities
            .map(|(name, it)| KnownAuthority {
                authority: name.to_string(),
                directory: it.facts.url.as_str().to_owned(),
                contact: it.facts.contact.as_ref().map(line),
                account: it.account.is_some(),
                generation: it.generation,
            })
            .collect(),
        certificates: all.map(|(name, it)| known(&state, name, it)).collect(),
    })
}

fn known(state: &State, name: &Label, it: &Certificate) -> KnownCertificate {
    let lease = it.lease.filter(|lease| lease.until > state.now);
    let standing = match (&it.issued, lease) {
        (Some(issued), _) if issued.not_after <= state.now => "ended",
        (Some(_), _) => "issued",
        (None, Some(_)) => "ordering",
        (None, None) => "waiting",
    };
    KnownCertificate {
        certificate: name.to_string(),
        hosts: it.wanted.hosts.iter().map(line).collect(),
        authorities: it.wanted.authorities.iter().map(Label::to_string).collect(),
        by_dns: it.wanted.by_dns,
        state: standing,
        node: lease.map(|it| it.node.to_string()),
        due: rfc3339(it.due),
        attempts: it.attempts,
        failed: it.trouble.as_ref().map(|it| rfc3339(it.0)),
        why: it.trouble.as_ref().map(|it| line(&it.1)),
        by: it.issued.as_ref().map(|it| it.by.to_string()),
        ends: it.issued.as_ref().map(|it| rfc3339(it.not_after)),
        generation: it.generation,
    }
}

async fn order(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(certificate): Path<String>,
    body: Body<Order>,
) -> Result<Json<Done>, Problem> {
    let name = label("certificate", &certificate)?;
    let hosts = hosts(&body.value.hosts, body.value.by_dns)?;
    let state = desk.cluster.state();
    if body.value.by_dns {
        in_our_zones(&state, &hosts)?;
    }
    let authorities: Vector<Label> = match &body.value.authorities {
        Some(given) => given
            .iter()
            .map(|it| label("authorities", it))
            .collect::<Result<_, _>>()?,
        None => state.certificates.authorities.keys().cloned().collect(),
    };
    if authorities.is_empty() {
        let wanted = "an authority; make one known with 'lifeboat certificate authority'";
        return Err(Problem::invalid("authorities", "nobody", wanted));
    }
    let found = state.certificates.all.get(&name);
    let says = format!(
        "the certificate {name} is ordered for {}; 'lifeboat certificate list' shows how it stands",
        body.value.hosts.join(", ")
    );
    let change = CertificateChange::Want {
        against: body
            .value
            .against
            .unwrap_or(found.map_or(0, |it| it.generation)),
        certificate: name,
        wanted: Wanted {
            hosts,
            authorities,
            by_dns: body.value.by_dns,
        },
    };
    desk.certified(&asking, &body.bytes, "ordering the certificate", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn renew(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(certificate): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let (name, _) = find(&desk.cluster.state(), &certificate)?;
    let says = format!("the certificate {name} is ordered anew; what is presented stays meanwhile");
    let change = CertificateChange::Renew { certificate: name };
    desk.certified(&asking, &body.bytes, "ordering it anew", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(certificate): Path<String>,
    body: Body<Gone>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = find(&desk.cluster.state(), &certificate)?;
    let says = format!("the certificate {name} is forgotten, with its key");
    let change = CertificateChange::Remove {
        certificate: name,
        against: body.value.against.unwrap_or(generation),
    };
    desk.certified(&asking, &body.bytes, "forgetting the certificate", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn set_authority(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(authority): Path<String>,
    body: Body<AuthorityWanted>,
) -> Result<Json<Done>, Problem> {
    let name = label("authority", &authority)?;
    let asked = &body.value;
    let facts = facts(asked)?;
    let binding = asked.binding.as_deref().map(|text| {
        let key = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
        let key = key.ok().filter(|it| !it.is_empty());
        let wanted = "the key in base64url, as the authority gave it";
        // Never the key itself: it is a secret.
        key.ok_or_else(|| Problem::invalid("binding", "something else", wanted))
    });
    let binding = binding.transpose()?;
    let binding = binding.map(|it| desk.keyring.seal(&binding_context(&name), &it));
    let generation = {
        let state = desk.cluster.state();
        let known = state.certificates.authorities.get(&name);
        known.map_or(0, |it| it.generation)
    };
    let says = format!(
        "the authority {name} is known: {}; our account there is made at the first order",
        facts.url.as_str()
    );
    let change = CertificateChange::SetAuthority {
        authority: name,
        facts,
        binding,
        against: asked.against.unwrap_or(generation),
    };
    desk.certified(&asking, &body.bytes, "making the authority known", change)
        .await?;
    Ok(Json(Done { says }))
}

async fn remove_authority(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(authority): Path<String>,
    body: Body<Gone>,
) -> Result<Json<Done>, Problem> {
    let name = label("authority", &authority)?;
    let generation = {
        let state = desk.cluster.state();
        let known: Option<&Authority> = state.certificates.authorities.get(&name);
        let advice = "'lifeboat certificate list' shows those that there are";
        let known =
            known.ok_or_else(|| Problem::not_found(&format!("authority as {name}"), advice));
        known?.generation
    };
    let says = format!("the authority {name} is forgotten, with our account there");
    let change = CertificateChange::RemoveAuthority {
        authority: name,
        against: body.value.against.unwrap_or(generation),
    };
    desk.certified(&asking, &body.bytes, "forgetting the authority", change)
        .await?;
    Ok(Json(Done { says }))
}

impl Desk {
    async fn certified(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: CertificateChange,
    ) -> Result<(), Problem> {
        self.agreed(asking, content, what, Command::Certificate(change))
            .await
    }
}

fn line(it: &Note) -> String {
    it.as_str().to_owned()
}

fn label(field: &str, text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid(field, text, &wrong.wanted))
}

fn find(state: &State, text: &str) -> Result<(Label, u64), Problem> {
    let name = label("certificate", text)?;
    let known = state.certificates.all.get(&name).ok_or_else(|| {
        let advice = "'lifeboat certificate list' shows those that there are";
        Problem::not_found(&format!("certificate as {name}"), advice)
    })?;
    Ok((name, known.generation))
}

/// The host names, in lower case and each once.
fn hosts(given: &[String], by_dns: bool) -> Result<Vector<Note>, Problem> {
    let mut hosts = Vector::new();
    for text in given {
        let host = host(text, by_dns).ok_or_else(|| {
            let wanted = match by_dns {
                true => "a host name such as www.example.net or *.example.net",
                false => "a host name such as www.example.net; one with a star is proven by the DNS only ('--dns')",
            };
            Problem::invalid("hosts", text, wanted)
        })?;
        if hosts.contains(&host) {
            return Err(Problem::invalid("hosts", text, "each once"));
        }
        hosts.push_back(host);
    }
    Ok(hosts)
}

/// Host names that are proven by the DNS must be in zones of ours.
fn in_our_zones(state: &State, hosts: &Vector<Note>) -> Result<(), Problem> {
    for host in hosts {
        let place = place_of(host.as_str());
        if place.is_none_or(|it| state.dns.zone_of(&it).is_none()) {
            let wanted = "a name in a zone that is answered here: 'lifeboat dns zone list'";
            return Err(Problem::invalid("hosts", host.as_str(), wanted));
        }
    }
    Ok(())
}

fn host(text: &str, star: bool) -> Option<Note> {
    let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'.';
    let under = match star {
        true => text.strip_prefix("*.").unwrap_or(&text),
        false => &text,
    };
    let fits = under.contains('.')
        && under.bytes().all(plain)
        && under.parse::<std::net::IpAddr>().is_err()
        && DomainName::parse(under, &DomainName::root()).is_ok();
    fits.then(|| Note::new(&text).ok())?
}

fn facts(asked: &AuthorityWanted) -> Result<AuthorityFacts, Problem> {
    if !asked.agrees {
        let wanted = "true, once you have read the authority's terms and agree to them";
        return Err(Problem::invalid("agrees", "false", wanted));
    }
    let wanted = "the https address of the authority's directory";
    let url = asked.directory.trim();
    let is_https = url.starts_with("https://") && url.parse::<axum::http::Uri>().is_ok();
    let url = is_https.then(|| Note::new(url).ok()).flatten();
    let url = url.ok_or_else(|| Problem::invalid("directory", &asked.directory, wanted))?;
    let contact = asked.contact.as_deref().map(|text| {
        let address = EmailAddress::new(text);
        let address = address.map_err(|it| Problem::invalid("contact", text, &it.wanted))?;
        Note::new(&format!("mailto:{}", address.as_str()))
            .map_err(|it| Problem::invalid("contact", text, &it.wanted))
    });
    let trust = asked.trust.as_deref().map(|text| {
        let wanted = "certificates of authorities, in PEM";
        let short = "something else";
        crate::tls::outgoing::trusting_text(text)
            .ok()
            .and_then(|_| Pem::new(text).ok())
            .ok_or_else(|| Problem::invalid("trust", short, wanted))
    });
    let binding_id = asked
        .binding_id
        .as_deref()
        .map(|text| Note::new(text).map_err(|it| Problem::invalid("binding_id", text, &it.wanted)));
    Ok(AuthorityFacts {
        url,
        contact: contact.transpose()?,
        trust: trust.transpose()?,
        binding_id: binding_id.transpose()?,
    })
}

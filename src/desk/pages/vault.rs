//! The vault on this server: how it is, what waits while it is locked, and opening it by a passphrase, by a file or by
//! shares. Making it, its ways and its keys are the command line's, as what they show must be carried away at once.
//!
//! What is typed here is a secret: it is read into memory only, is in no answer, and a form that came wrong begins empty.

use askama::Template;
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    response::Response,
};

use super::{Frame, Pages, Posted, Visit, see};
use crate::desk::{
    asking::Asking,
    entry::SignedIn,
    https::Sent,
    problem::Problem,
    unlocking::{Given, NotOpened},
};
use crate::files::multipart::{Event, Malformed, Reader};
use crate::model::{
    State,
    campaign::Stage,
    limits,
    people::Role,
    vault::{WayKind, due},
};
use crate::seal::{Standing, printed::Misread, ways::WayError};

/// People that are named as those who may open it; of more it says how many.
const NAMES: usize = 5;

/// That it is locked, for pages on which something waits because of that.
pub(super) struct Shut {
    pub(super) says: String,
    /// Who may open it, where whoever looks may not.
    pub(super) who: Option<String>,
}

#[derive(Template)]
#[template(path = "vault.html", config = "src/desk/pages/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    /// absent, locked or open.
    is: &'static str,
    verdict: String,
    waits: Vec<String>,
    forms: Forms,
    ways: Vec<(String, String)>,
    nodes: Vec<Server>,
    facts: Vec<String>,
}

/// The forms, each where the vault has a way of the kind, and what was wrong with the one that was sent.
#[derive(Default)]
struct Forms {
    passphrase: bool,
    file: bool,
    shares: Option<String>,
    wrong: Option<Wrong>,
}

/// What was wrong with a form.
struct Wrong {
    /// passphrase, file or shares.
    by: &'static str,
    says: String,
}

impl Forms {
    /// Whether this form was wrong.
    fn amiss(&self, by: &str) -> bool {
        self.wrong.as_ref().is_some_and(|it| it.by == by)
    }

    fn any(&self) -> bool {
        self.passphrase || self.file || self.shares.is_some()
    }
}

/// A server, and whether the key is handed to it.
struct Server {
    name: String,
    address: String,
    here: bool,
    trusted: bool,
}

/// A form with a secret: read into memory whatever its kind, where a message's files would go to the disk.
pub(super) struct Typed(Posted);

impl FromRequest<Pages> for Typed {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        let signed_in = request.extensions().get::<SignedIn>().cloned();
        let sent = request.extensions().get::<Sent>();
        let is_ours = sent.is_some_and(|it| it.is_ours);
        let visit = Visit::of(pages, request.headers(), signed_in, "/vault");
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let bytes = Bytes::from_request(request, pages).await.map_err(|_| {
            let most = limits::DESK_BODY_BYTES_MAX as u64;
            visit.failed(&Problem::too_large(most))
        })?;
        let fields = if kind.starts_with("multipart/form-data") {
            fields(&kind, &bytes).map_err(|error| {
                let wanted = "a form as browsers send it";
                visit.failed(&Problem::invalid("the body", &error.to_string(), wanted))
            })?
        } else {
            form_urlencoded::parse(&bytes).into_owned().collect()
        };
        let form = Posted::of(fields);
        match visit.is_from_here(is_ours, &form) {
            true => Ok(Self(form)),
            false => Err(visit.foreign()),
        }
    }
}

/// The fields of a whole form with files; a file is a field like others, and one that was not chosen is none.
fn fields(kind: &str, bytes: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut reader = Reader::new(kind)?;
    let (mut all, mut part) = (Vec::new(), None);
    reader.read(bytes, |event| match event {
        Event::Part { name, file } => {
            let is_empty = file.is_some_and(|it| it.is_empty());
            part = (!is_empty).then(|| (name, Vec::new()));
        }
        Event::Data(bytes) => {
            if let Some((_, value)) = &mut part {
                value.extend_from_slice(&bytes);
            }
        }
        Event::End => {
            if let Some((name, value)) = part.take() {
                all.push((name, String::from_utf8_lossy(&value).into_owned()));
            }
        }
    })?;
    reader.end()?;
    Ok(all)
}

impl Typed {
    /// What is to open it, and which form that was; nothing where nothing was typed.
    fn given(&self) -> (&'static str, Option<Given>) {
        let text = |name: &str| Some(self.0.text(name).trim()).filter(|it| !it.is_empty());
        match self.0.text("by") {
            "file" => {
                let file = text("chosen").or(text("text"));
                ("file", file.map(|it| Given::File(it.to_owned())))
            }
            "shares" => {
                let lines = self.0.text("shares").lines().map(str::trim);
                let lines = lines.filter(|it| !it.is_empty()).map(ToOwned::to_owned);
                let lines: Vec<String> = lines.collect();
                let given = (!lines.is_empty()).then_some(Given::Shares(lines));
                ("shares", given)
            }
            _ => {
                // Blanks may belong to it.
                let typed = self.0.text("passphrase");
                let given = (!typed.is_empty()).then(|| Given::Passphrase(typed.to_owned()));
                ("passphrase", given)
            }
        }
    }
}

pub(super) async fn show(visit: Visit) -> Response {
    visit.vault(StatusCode::OK, None)
}

pub(super) async fn open(visit: Visit, asking: Asking, typed: Typed) -> Response {
    let (by, given) = typed.given();
    // A peer may have handed the key over since the page was made.
    if visit.desk().vault_standing() == Standing::Open {
        return see("/vault");
    }
    let Some(given) = given else {
        let says = visit.say.it(&format!("vault-nothing-{by}"));
        return visit.vault(StatusCode::UNPROCESSABLE_ENTITY, Some(Wrong { by, says }));
    };
    match visit.desk().open_vault(&asking, given).await {
        Ok(_) => see("/vault"),
        Err(why) => {
            let says = visit.not_opened(&why);
            visit.vault(status(&why), Some(Wrong { by, says }))
        }
    }
}

fn status(why: &NotOpened) -> StatusCode {
    match why {
        NotOpened::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        NotOpened::Busy => StatusCode::SERVICE_UNAVAILABLE,
        NotOpened::Way(WayError::None { .. } | WayError::Wrong { .. }) => StatusCode::FORBIDDEN,
        NotOpened::Way(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotOpened::Absent => StatusCode::NOT_FOUND,
        NotOpened::Changed => StatusCode::CONFLICT,
        NotOpened::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Visit {
    /// That the vault is locked on this server, and who can open it.
    pub(super) fn shut(&self) -> Option<Shut> {
        if self.desk().vault_standing() != Standing::Locked {
            return None;
        }
        let says = match self.desk().keyring.vault_since() {
            Some(since) => {
                let parts = [("time", self.time(since).into())];
                self.say.with("vault-shut", parts)
            }
            None => self.say.it("vault-is-locked"),
        };
        let who = (!self.may(Role::Ops)).then(|| self.openers());
        Some(Shut { says, who })
    }

    /// "Jana or Petr can open it."
    fn openers(&self) -> String {
        let accounts = self.state.people.accounts.iter();
        let able = accounts.filter(|(_, it)| it.roles.may(Role::Ops));
        let mut names: Vec<String> = able.map(|(name, _)| name.to_string()).collect();
        if names.is_empty() {
            return self.say.it("vault-opened-by-nobody");
        }
        let more = names.len().saturating_sub(NAMES);
        names.truncate(NAMES);
        if more > 0 {
            names.push(format!("+{more}"));
        }
        let parts = [("names", names.join(", ").into())];
        self.say.with("vault-opened-by", parts)
    }

    fn not_opened(&self, why: &NotOpened) -> String {
        let say = &self.say;
        match why {
            NotOpened::Absent => say.it("vault-none"),
            NotOpened::Busy => say.it("vault-busy"),
            NotOpened::Wait(ms) => {
                let parts = [("seconds", ms.div_ceil(1_000).into())];
                say.with("wrong-wait", parts)
            }
            NotOpened::Changed => say.it("vault-changed"),
            NotOpened::Failed(why) => say.with("vault-failed", [("why", why.clone().into())]),
            NotOpened::Way(error) => match error {
                WayError::None { kind } => say.it(&format!("vault-no-{kind}")),
                WayError::Wrong { kind } => say.it(&format!("vault-wrong-{kind}")),
                WayError::File => say.it("vault-no-vault-file"),
                WayError::Share {
                    number,
                    found,
                    wanted,
                } => {
                    let number = ("number", (*number).into());
                    match found {
                        Misread::Length(symbols) => {
                            let found = ("found", (*symbols).into());
                            let wanted = ("wanted", (*wanted * 4).into());
                            say.with("vault-share-length", [number, found, wanted])
                        }
                        Misread::Check => say.with("vault-share-misread", [number]),
                    }
                }
                WayError::Few { found, needed } => {
                    let parts = [("found", (*found).into()), ("needed", (*needed).into())];
                    say.with("vault-few-shares", parts)
                }
                // Opening asks for no length and seals nothing.
                WayError::Length { .. } | WayError::Sealing => {
                    say.with("vault-failed", [("why", error.to_string().into())])
                }
            },
        }
    }

    fn vault(&self, status: StatusCode, wrong: Option<Wrong>) -> Response {
        let standing = self.desk().vault_standing();
        let locked = standing == Standing::Locked;
        let (is, key) = match standing {
            Standing::Absent => ("absent", "vault-none"),
            Standing::Locked => ("locked", "vault-locked-since"),
            Standing::Open => ("open", "vault-open-since"),
        };
        let since = self.desk().keyring.vault_since();
        let verdict = match since.filter(|_| standing != Standing::Absent) {
            Some(since) => self.say.with(key, [("time", self.time(since).into())]),
            None => self.say.it(key),
        };
        let page = Page {
            is,
            verdict,
            waits: if locked { self.waits() } else { Vec::new() },
            forms: if locked {
                self.forms(wrong)
            } else {
                Forms::default()
            },
            ways: self.ways(),
            nodes: self.trusted(),
            facts: self.vault_facts(standing),
            frame: self.frame(),
        };
        self.shown(status, &page)
    }

    /// What waits here while it is locked, of what this cluster has.
    fn waits(&self) -> Vec<String> {
        let (state, say): (&State, _) = (&self.state, &self.say);
        let mails = state.campaigns.all.values();
        let sending = mails.filter(|it| it.stage == Stage::Sending).count();
        let mails = say.with("vault-waits-mail", [("count", sending.into())]);
        let directory = state.directory.live.is_some();
        let listed = |key: &str, names: Vec<String>| {
            let parts = [("names", names.join(", ").into())];
            (!names.is_empty()).then(|| say.with(key, parts))
        };
        let channels = state.notices.channels.iter();
        let channels = channels.filter(|(_, it)| it.secret.is_some());
        let keepers = state.keepers.all.iter();
        let keepers = keepers.filter(|(_, it)| it.secret.is_some());
        let all = [
            Some(mails),
            directory.then(|| say.it("vault-waits-directory")),
            listed(
                "vault-waits-channels",
                channels.map(|(name, _)| name.to_string()).collect(),
            ),
            listed(
                "vault-waits-keepers",
                keepers.map(|(name, _)| name.to_string()).collect(),
            ),
            (!state.mail_keys.all.is_empty()).then(|| say.it("vault-waits-signing")),
            Some(say.it("vault-waits-nodes")),
        ];
        all.into_iter().flatten().collect()
    }

    fn forms(&self, wrong: Option<Wrong>) -> Forms {
        let ways = || self.state.vault.ways.values().map(|it| &it.kind);
        let shares = ways().find_map(|it| match it {
            WayKind::Shares { needed, made } => {
                let parts = [("needed", (*needed).into()), ("made", (*made).into())];
                Some(self.say.with("vault-shares-hint", parts))
            }
            _ => None,
        });
        Forms {
            passphrase: ways().any(|it| matches!(it, WayKind::Passphrase { .. })),
            file: ways().any(|it| matches!(it, WayKind::File)),
            shares,
            wrong,
        }
    }

    fn ways(&self) -> Vec<(String, String)> {
        let ways = self.state.vault.ways.iter();
        let way = |kind: &WayKind| match kind {
            WayKind::Shares { needed, made } => {
                let parts = [("needed", (*needed).into()), ("made", (*made).into())];
                self.say.with("vault-way-shares", parts)
            }
            other => self.say.it(&format!("vault-way-{}", other.name())),
        };
        ways.map(|(name, it)| (name.to_string(), way(&it.kind)))
            .collect()
    }

    fn trusted(&self) -> Vec<Server> {
        let vault = &self.state.vault;
        if vault.current().is_none() {
            return Vec::new();
        }
        let me = self.desk().cluster.id();
        let nodes = self.state.nodes.iter().map(|(id, node)| Server {
            name: node.facts.name.to_string(),
            address: node.facts.advertise.as_str().to_owned(),
            here: *id == me,
            trusted: vault.may_be_handed(*id, &node.facts.advertise),
        });
        nodes.collect()
    }

    /// The key in force, and what is still sealed otherwise.
    fn vault_facts(&self, standing: Standing) -> Vec<String> {
        let vault = &self.state.vault;
        let Some((number, key)) = vault.keys.get_max() else {
            return Vec::new();
        };
        let parts = [
            ("number", vault.keys.len().into()),
            ("time", self.time(key.made).into()),
        ];
        let mut facts = vec![self.say.with("vault-key", parts)];
        facts.push(match due(&self.state).len() {
            0 => self.say.it("vault-sealed"),
            count => self.say.with("vault-to-seal", [("count", count.into())]),
        });
        // Of a directory it is known only where it is open.
        let directory = self.desk().directory.get();
        if let Some(directory) = directory.filter(|_| standing == Standing::Open) {
            let key = match directory.is_sealed_by(*number) {
                true => "vault-directory-sealed",
                false => "vault-directory-to-seal",
            };
            facts.push(self.say.it(key));
        }
        facts
    }
}

/// Every text that is put together from the kind of a way.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let kinds = ["passphrase", "file", "shares"].into_iter();
    let keys = ["nothing", "no", "wrong", "way"];
    kinds
        .flat_map(|kind| keys.map(|key| format!("vault-{key}-{kind}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_chosen_is_a_field_and_one_that_was_not_is_none() {
        let kind = "multipart/form-data; boundary=x";
        let body = "--x\r\ncontent-disposition: form-data; name=\"by\"\r\n\r\nfile\r\n\
            --x\r\ncontent-disposition: form-data; name=\"chosen\"; filename=\"\"\r\n\r\n\r\n\
            --x\r\ncontent-disposition: form-data; name=\"text\"\r\n\r\none\r\ntwo\r\n--x--\r\n";
        let read = fields(kind, body.as_bytes()).unwrap();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(read, [pair("by", "file"), pair("text", "one\r\ntwo")]);
        let chosen = body.replace("filename=\"\"\r\n\r\n", "filename=\"v.txt\"\r\n\r\nthree");
        let read = fields(kind, chosen.as_bytes()).unwrap();
        assert!(read.contains(&pair("chosen", "three")), "{read:?}");
        let early = &body.as_bytes()[..body.len() - 9];
        assert_eq!(fields(kind, early), Err(Malformed::EndedEarly));
    }
}

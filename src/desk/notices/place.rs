//! Reads what a channel is to be, with every mistake at once.

use serde::Deserialize;
use utoipa::ToSchema;

use super::super::problem::{Mistake, Problem};
use crate::model::{
    limits,
    notice::{ChannelFacts, Means},
    words::{EmailAddress, Lang, Note},
};

/// What a channel is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// webhook, mail, matrix, mastodon or by-hand.
    kind: String,
    /// webhook: where to; matrix, mastodon: the server, such as `https://matrix.example.org`.
    url: Option<String>,
    /// matrix: the room's id, such as `!abc:example.org`.
    room: Option<String>,
    /// mail: the list's address.
    address: Option<String>,
    /// mastodon, by-hand: characters that one message may have.
    chars: Option<u32>,
    /// The language it speaks; left out, all that there are.
    lang: Option<String>,
    /// It is told unless somebody says otherwise.
    #[serde(default)]
    usual: bool,
    /// How many people it reaches.
    reach: Option<u32>,
    /// matrix, mastodon: the token; webhook: what its requests are signed with. Left out, the one that is there.
    secret: Option<String>,
    /// The generation that was looked at; without it, the one that is there now.
    pub(super) against: Option<u64>,
}

/// Characters of a post on a server that says nothing else.
const POST_CHARS: u32 = 500;
/// Characters of a text that is copied by hand: what the narrowest of the well-known places takes.
const COPIED_CHARS: u32 = 280;

/// What it says, and its secret.
pub(super) fn read(wanted: &Wanted) -> Result<(ChannelFacts, Option<&str>), Problem> {
    let mut wrong = Vec::new();
    let means = means(wanted, &mut wrong);
    let lang = wanted.lang.as_deref().and_then(|tag| {
        let lang = Lang::ALL.into_iter().find(|it| it.tag() == tag);
        if lang.is_none() {
            wrong.push(Mistake::of("lang", tag, "cs or en, or nothing for both"));
        }
        lang
    });
    let secret = wanted.secret.as_deref();
    let most = limits::CHANNEL_SECRET_BYTES_MAX;
    let fits =
        |it: &str| (8..=most).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic());
    if secret.is_some_and(|it| !fits(it)) {
        let wanted = format!("8 to {most} printable characters without spaces");
        wrong.push(Mistake::of("secret", "something else", &wanted));
    }
    let Some(means) = means.filter(|_| wrong.is_empty()) else {
        return Err(Problem::mistaken("the channel", wrong));
    };
    let facts = ChannelFacts {
        means,
        lang,
        usual: wanted.usual,
        reach: wanted.reach,
    };
    Ok((facts, secret))
}

fn means(wanted: &Wanted, wrong: &mut Vec<Mistake>) -> Option<Means> {
    let kind = wanted.kind.as_str();
    let given = [
        (
            "url",
            wanted.url.is_some(),
            ["webhook", "matrix", "mastodon"].as_slice(),
        ),
        ("room", wanted.room.is_some(), &["matrix"]),
        ("address", wanted.address.is_some(), &["mail"]),
        ("chars", wanted.chars.is_some(), &["mastodon", "by-hand"]),
        (
            "secret",
            wanted.secret.is_some(),
            &["webhook", "matrix", "mastodon"],
        ),
    ];
    for (field, there, kinds) in given {
        if there && !kinds.contains(&kind) {
            let words = format!("nothing; {field} is for {}", kinds.join(", "));
            wrong.push(Mistake::of(field, "something", &words));
        }
    }
    let chars = |usual: u32, wrong: &mut Vec<Mistake>| {
        let chars = wanted.chars.unwrap_or(usual);
        let (least, most) = limits::CHANNEL_CHARS;
        if !(least..=most).contains(&chars) {
            let words = format!("{least} to {most}");
            wrong.push(Mistake::of("chars", &chars.to_string(), &words));
        }
        chars
    };
    match kind {
        "webhook" => Some(Means::Webhook {
            url: url(wanted, wrong)?,
        }),
        "matrix" => {
            let url = url(wanted, wrong);
            let room = room(wanted, wrong);
            Some(Means::Matrix {
                url: url?,
                room: room?,
            })
        }
        "mastodon" => {
            let chars = chars(POST_CHARS, wrong);
            let url = url(wanted, wrong)?;
            Some(Means::Mastodon { url, chars })
        }
        "mail" => Some(Means::Mail {
            address: address(wanted, wrong)?,
        }),
        "by-hand" => Some(Means::ByHand {
            chars: chars(COPIED_CHARS, wrong),
        }),
        other => {
            let words = "webhook, mail, matrix, mastodon or by-hand";
            wrong.push(Mistake::of("kind", other, words));
            None
        }
    }
}

/// A URL over TLS, or to this machine by its address, where a token may go in clear.
fn url(wanted: &Wanted, wrong: &mut Vec<Mistake>) -> Option<Note> {
    let found = wanted.url.as_deref().unwrap_or_default();
    let sound = sound_url(found);
    let note = Note::new(found.trim_end_matches('/'))
        .ok()
        .filter(|_| sound);
    if note.is_none() {
        let words = "https://, without a name or password in it, in at most 300 bytes";
        wrong.push(Mistake::of("url", found, words));
    }
    note
}

/// Whether it is a URL over TLS, or to this machine by its address, without a name or password in it.
pub(in crate::desk) fn sound_url(text: &str) -> bool {
    let parsed: Option<hyper::Uri> = text.trim_end_matches('/').parse().ok();
    parsed.as_ref().is_some_and(|it| {
        let host = it.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let here = bare.parse::<std::net::IpAddr>();
        let by_tls = it.scheme_str() == Some("https") && !host.is_empty();
        let local = it.scheme_str() == Some("http") && here.is_ok_and(|it| it.is_loopback());
        let named = it.authority().is_some_and(|it| it.as_str().contains('@'));
        (by_tls || local) && !named
    })
}

fn room(wanted: &Wanted, wrong: &mut Vec<Mistake>) -> Option<Note> {
    let found = wanted.room.as_deref().unwrap_or_default();
    let sound = found.starts_with('!') && found.bytes().all(|it| it.is_ascii_graphic());
    let room = Note::new(found).ok().filter(|_| sound);
    if room.is_none() {
        let words = "a room's id such as !abc:example.org (not its address with #)";
        wrong.push(Mistake::of("room", found, words));
    }
    room
}

fn address(wanted: &Wanted, wrong: &mut Vec<Mistake>) -> Option<Note> {
    let found = wanted.address.as_deref().unwrap_or_default();
    let sound = EmailAddress::new(found);
    if let Err(it) = &sound {
        wrong.push(Mistake::of("address", found, &it.wanted));
    }
    Note::new(found).ok().filter(|_| sound.is_ok())
}

//! The courier: what is to be mailed, written and carried to a mail server. Leases and turns are [`crate::errands`]'.

use tracing::{info, warn};

use crate::clock;
use crate::cluster::Cluster;
use crate::errands::{Carrier, Hold};
use crate::files::Locker;
use crate::model::State;
use crate::model::limits::{FILES_BY_MAIL_WAIT_MS, MAIL_SEARCH_MAX, MAIL_SESSIONS_MAX};
use crate::model::notice::{self, Standing};
use crate::model::outbox::{self, Item, ItemId};
use crate::model::trust::is_held;
use crate::model::words::{Note, Timestamp};

use super::enclose::enclosed;
use super::letters::{Letters, Unwritten, message_of};
use super::session::Outcome;
use super::way::Way;

/// What the courier works with.
pub struct Courier {
    /// The agreed state.
    pub cluster: Cluster,
    /// Writes the mails.
    pub letters: Letters,
    /// Carries them.
    pub way: Way,
    /// The files that go along.
    pub locker: Option<Locker>,
}

impl Carrier for Courier {
    const AT_ONCE: usize = MAIL_SESSIONS_MAX;

    /// News for everybody goes before what is for one person.
    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
        let news = state.notices.open().filter_map(|(_, it)| {
            let Standing::Queued(id) = it.standing else {
                return None;
            };
            let item = state.outbox.get(&id)?;
            (item.kind.is_mail() && item.due <= now && !is_held(state, &id))
                .then(|| (id, item.clone()))
        });
        let letters = outbox::due(state, now).take(MAIL_SEARCH_MAX);
        let letters = letters.filter(|(_, item)| {
            notice::of_item(&item.kind).is_none() && item.kind.waking().is_none()
        });
        news.chain(letters.map(|(id, item)| (id, item.clone())))
            .collect()
    }

    async fn deliver(&self, id: ItemId, item: Item, hold: &Hold) -> outbox::Outcome {
        let began = clock::monotonic();
        let about = message_of(&item);
        let (enclosed, lacks) = match about {
            Some(about) => enclosed(self.locker.as_ref(), about).await,
            None => Default::default(),
        };
        // A moment ago a node took it, and the others are copying it. After some tries the mail goes without, and says so.
        if lacks && clock::now().ms_since(item.made) < FILES_BY_MAIL_WAIT_MS {
            let why = Note::cut("a file of it cannot be had yet");
            return outbox::Outcome::TryLater(why);
        }
        let written = self
            .letters
            .of_item(&self.cluster.state(), &item, &enclosed);
        let mail = match written {
            Ok(mail) => mail,
            Err(error) => {
                warn!(item = %id, %error, "mail cannot be written");
                let note = Note::cut(&error.to_string());
                return match error {
                    // Another node may hold the key.
                    Unwritten::Sealed => outbox::Outcome::TryLater(note),
                    Unwritten::Gone | Unwritten::NoAddress | Unwritten::Compose(_) => {
                        outbox::Outcome::RefusedForGood(note)
                    }
                };
            }
        };
        let outcome = self.way.carry(&mail, &|| hold.gate()).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Outcome::Accepted => info!(item = %id, took_ms, "mail accepted"),
            Outcome::TryLater(why) => info!(item = %id, took_ms, why, "mail not accepted yet"),
            Outcome::RefusedForGood(why) => warn!(item = %id, took_ms, why, "mail refused"),
            Outcome::Unknown(why) => {
                warn!(item = %id, took_ms, why, "mail may have been accepted, will be sent again");
            }
        }
        if hold.is_given_up() {
            return outbox::Outcome::HandedBack;
        }
        agreed(outcome)
    }

    async fn close(&self) {
        self.way.close().await;
    }
}

fn agreed(outcome: Outcome) -> outbox::Outcome {
    match outcome {
        Outcome::Accepted => outbox::Outcome::Accepted,
        Outcome::TryLater(why) => outbox::Outcome::TryLater(Note::cut(&why)),
        Outcome::RefusedForGood(why) => outbox::Outcome::RefusedForGood(Note::cut(&why)),
        Outcome::Unknown(why) => outbox::Outcome::Unknown(Note::cut(&why)),
    }
}

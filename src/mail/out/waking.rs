//! Waking people by mail: the tries of wakings whose way is a mailbox, on sessions of their own, as the ordinary mail of an
//! outage may keep every other one busy.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::errands::{Carrier, Hold};
use crate::model::State;
use crate::model::limits::{WAKING_TRY_MS, WAKINGS_AT_ONCE};
use crate::model::outbox::{Item, ItemId, Outcome};
use crate::model::people::WayKind;
use crate::model::waking::{self, WakingId, telling};
use crate::model::words::{EmailAddress, Note, Timestamp};
use crate::seal::{Keyring, person_context};

use super::compose::{self, Composed, House};
use super::session;
use super::way::Way;

/// The addresses at which a try is answered, one for each of our own names.
pub type Links = Arc<dyn Fn(WakingId, u32) -> Vec<String> + Send + Sync>;

/// What wakes people by mail.
pub struct Waker {
    /// The agreed state.
    pub cluster: Cluster,
    /// Opens addresses.
    pub keyring: Arc<Keyring>,
    /// Who we are.
    pub house: House,
    /// Where a try is answered.
    pub links: Links,
    /// Carries the mails.
    pub way: Way,
}

impl Carrier for Waker {
    const AT_ONCE: usize = WAKINGS_AT_ONCE;

    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
        let due = waking::due(state, now).into_iter();
        due.filter(|it| it.kind == Some(WayKind::Mail))
            .map(|it| (it.id, it.item))
            .collect()
    }

    async fn deliver(&self, _: ItemId, item: Item, hold: &Hold) -> Outcome {
        let Some(waking) = item.kind.waking() else {
            return Outcome::RefusedForGood(Note::cut("it wakes nobody"));
        };
        let state = self.cluster.state();
        let mail = match self.written(&state, waking) {
            Ok(mail) => mail,
            Err(why) => {
                warn!(%waking, %why, "nobody can be woken by this mail");
                return Outcome::TryLater(Note::cut(&why.to_string()));
            }
        };
        let gate = || {
            // Somebody may have answered while the mail server was greeted.
            let state = self.cluster.state();
            let open = state
                .wakings
                .all
                .get(&waking)
                .is_some_and(|it| it.is_open());
            open && hold.gate()
        };
        let within = Duration::from_millis(WAKING_TRY_MS);
        let ended = timeout(within, self.way.carry(&mail, &gate)).await;
        if hold.is_given_up() {
            return Outcome::HandedBack;
        }
        let outcome = match ended {
            Ok(session::Outcome::Accepted) => Outcome::Accepted,
            Ok(session::Outcome::TryLater(why)) => Outcome::TryLater(Note::cut(&why)),
            Ok(session::Outcome::RefusedForGood(why)) => Outcome::RefusedForGood(Note::cut(&why)),
            Ok(session::Outcome::Unknown(why)) => Outcome::Unknown(Note::cut(&why)),
            Err(_) => Outcome::Unknown(Note::cut("no mail server took it in time")),
        };
        match &outcome {
            Outcome::Accepted => info!(%waking, "waking by mail accepted"),
            other => warn!(%waking, outcome = ?other, "waking by mail not accepted"),
        }
        outcome
    }

    async fn close(&self) {
        self.way.close().await;
    }
}

impl Waker {
    fn written(&self, state: &State, id: WakingId) -> Result<Composed, Box<dyn Error>> {
        let waking = state.wakings.all.get(&id).ok_or("it is over")?;
        let number = waking.open.ok_or("there is nothing to try")?;
        let tried = waking.tried(number).ok_or("the try is forgotten")?;
        let address = self
            .keyring
            .open(&person_context(&tried.person), &tried.address);
        let address = address.and_then(|it| String::from_utf8(it).ok());
        let address = address.ok_or("this node cannot open the address")?;
        let to = EmailAddress::new(&address).map_err(|_| "the address is none")?;
        let links = (self.links)(id, number);
        let (house, it) = (&self.house, (id, waking));
        let words = telling::words(state, it, &tried.person, &house.company, &links);
        let key = format!("{id}.{number}");
        let words = (words.subject, words.long);
        Ok(compose::waking(house, &key, words, &to, tried.begun)?)
    }
}

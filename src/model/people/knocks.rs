//! Wrong guesses, and how long the next one takes. Slowed, never locked: whoever knows the password gets in.
//!
//! One account from one network has to wait, and so has a network that tries many accounts. An account that is tried
//! from many networks is not closed to new ones: their guesses are held up for some seconds and then answered, and
//! those from networks that it was used from before are not held up at all.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::super::{
    limits,
    words::{Label, Note, Timestamp},
};
use super::Account;

/// What guesses are counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Knock {
    /// One account, from one network.
    Pair(Label, String),
    /// One network, whatever account.
    Network(String),
    /// One account, from wherever.
    Account(Label),
}

/// Wrong guesses of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tries {
    count: u32,
    last: Timestamp,
}

impl Tries {
    fn counted(self, now: Timestamp) -> u32 {
        if now.ms_since(self.last) >= limits::KNOCKS_FORGIVEN_MS {
            return 0;
        }
        self.count
    }

    /// How much longer the next one has to wait, when so many are free.
    fn wait_ms(self, free: u32, most: u64, now: Timestamp) -> u64 {
        let Some(over) = self.counted(now).checked_sub(free) else {
            return 0;
        };
        let whole = limits::PAIR_WAIT_MS
            .checked_shl(over.min(32))
            .unwrap_or(most)
            .min(most);
        whole.saturating_sub(now.ms_since(self.last))
    }
}

/// How fast a guess may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// It is not looked at before so many milliseconds have passed.
    pub wait_ms: u64,
    /// It is looked at, and answered so many milliseconds later.
    pub hold_ms: u64,
}

impl Pace {
    /// The slower of two.
    pub fn and(self, other: Self) -> Self {
        Self {
            wait_ms: self.wait_ms.max(other.wait_ms),
            hold_ms: self.hold_ms.max(other.hold_ms),
        }
    }
}

/// Wrong guesses by what they are counted for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocks {
    tries: OrdMap<Knock, Tries>,
    resting: OrdSet<(Timestamp, Knock)>,
}

impl Knocks {
    /// How fast the next guess may be. `account` is there where the name is somebody's.
    pub fn pace(
        &self,
        name: &Label,
        account: Option<&Account>,
        network: &Note,
        now: Timestamp,
    ) -> Pace {
        let tries = |knock: &Knock| self.tries.get(knock).copied().unwrap_or_default();
        let place = network.as_str().to_owned();
        let pair = tries(&Knock::Pair(name.clone(), place.clone()));
        let whole = tries(&Knock::Network(place));
        let wait_ms = pair
            .wait_ms(limits::PAIR_FREE, limits::PAIR_WAIT_MS_MAX, now)
            .max(whole.wait_ms(limits::NETWORK_FREE, limits::NETWORK_WAIT_MS_MAX, now));
        let is_known = account.is_some_and(|it| it.networks.contains(network));
        let tried = tries(&Knock::Account(name.clone())).counted(now);
        let hold_ms = if !is_known && tried >= limits::ACCOUNT_FREE {
            limits::ACCOUNT_HOLD_MS
        } else {
            0
        };
        Pace { wait_ms, hold_ms }
    }

    /// Counts a wrong guess.
    pub fn note(&mut self, name: Option<&Label>, network: &Note, now: Timestamp) {
        let place = network.as_str().to_owned();
        if let Some(name) = name {
            self.count(Knock::Pair(name.clone(), place.clone()), now);
            self.count(Knock::Account(name.clone()), now);
        }
        self.count(Knock::Network(place), now);
        while let Some((last, knock)) = self.resting.get_min().cloned() {
            let is_old = now.ms_since(last) >= limits::KNOCKS_FORGIVEN_MS;
            if !is_old && self.resting.len() <= limits::KNOCKS_MAX {
                break;
            }
            self.drop(&knock);
        }
    }

    /// Forgets what was guessed of an account from one network: its owner came in from there.
    pub fn came_in(&mut self, name: &Label, network: &Note) {
        self.drop(&Knock::Pair(name.clone(), network.as_str().to_owned()));
    }

    /// Takes a guess back that was counted as wrong before it was looked at, and was right.
    pub fn take_back(&mut self, name: &Label, network: &Note) {
        let place = network.as_str().to_owned();
        let counted = [
            Knock::Pair(name.clone(), place.clone()),
            Knock::Network(place),
            Knock::Account(name.clone()),
        ];
        for knock in counted {
            let Some(tries) = self.drop(&knock) else {
                continue;
            };
            let count = tries.count.saturating_sub(1);
            if count > 0 {
                let last = tries.last;
                self.resting.insert((last, knock.clone()));
                self.tries.insert(knock, Tries { count, last });
            }
        }
    }

    /// Wrong guesses of an account that count now.
    pub fn of_account(&self, name: &Label, now: Timestamp) -> u32 {
        let tries = self.tries.get(&Knock::Account(name.clone()));
        tries.map_or(0, |it| it.counted(now))
    }

    /// Forgets what was guessed of an account.
    pub(super) fn forgive(&mut self, name: &Label) {
        let of_it = |knock: &Knock| match knock {
            Knock::Pair(it, _) | Knock::Account(it) => it == name,
            Knock::Network(_) => false,
        };
        let gone: Vec<Knock> = self.tries.keys().filter(|it| of_it(it)).cloned().collect();
        for knock in &gone {
            self.drop(knock);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.tries.len() == self.resting.len()
            && self.tries.len() <= limits::KNOCKS_MAX
            && self
                .resting
                .iter()
                .all(|(last, knock)| self.tries.get(knock).is_some_and(|it| it.last == *last))
    }

    fn count(&mut self, knock: Knock, now: Timestamp) {
        let tries = self.drop(&knock).unwrap_or_default();
        let count = tries.counted(now).saturating_add(1);
        self.resting.insert((now, knock.clone()));
        self.tries.insert(knock, Tries { count, last: now });
    }

    fn drop(&mut self, knock: &Knock) -> Option<Tries> {
        let tries = self.tries.remove(knock)?;
        self.resting.remove(&(tries.last, knock.clone()));
        Some(tries)
    }
}

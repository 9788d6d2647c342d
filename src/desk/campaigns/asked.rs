//! What callers ask of mass mail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Drafted {
    /// What people call it; recipients do not see it.
    pub(in crate::desk) name: String,
    /// essential or updates.
    pub(in crate::desk) kind: String,
    /// By language: subject, text, and html where there is one.
    pub(in crate::desk) texts: BTreeMap<String, Words>,
    /// The list that was sent before, as it was answered.
    pub(in crate::desk) list: Option<String>,
    /// Or whom of the directory it goes to, such as `datacentre:prague`; of every customer the best address that works.
    pub(in crate::desk) audience: Option<String>,
    /// Or an earlier campaign's recipients.
    pub(in crate::desk) follows: Option<Follows>,
    /// In what time after the approval it must be delivered, such as 24h.
    pub(in crate::desk) deliver: Option<String>,
    /// Everybody at once, without smaller waves first.
    #[serde(default)]
    pub(in crate::desk) at_once: bool,
    /// The campaign that is drafted anew.
    pub(in crate::desk) campaign: Option<String>,
    /// Its generation that this was made against.
    pub(in crate::desk) against: Option<u64>,
}

/// The texts of one language.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = CampaignWords)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Words {
    pub(in crate::desk) subject: String,
    pub(in crate::desk) text: String,
    pub(in crate::desk) html: Option<String>,
}

/// An earlier campaign's recipients.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Follows {
    pub(in crate::desk) campaign: String,
    /// got or missed.
    pub(in crate::desk) who: String,
}

/// Against which generation something is asked.
#[derive(Deserialize, ToSchema)]
#[schema(as = CampaignAgainst)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Against {
    pub(in crate::desk) against: Option<u64>,
}

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Agreed {
    /// The hash of what was looked at.
    pub(in crate::desk) binds: String,
    /// The number of recipients, typed.
    pub(in crate::desk) count: u32,
    /// Why nobody else agrees: then a countdown runs that anybody can stop.
    pub(in crate::desk) alone: Option<String>,
}

/// Why something is stopped.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Because {
    #[serde(default)]
    pub(in crate::desk) reason: String,
}

/// How many may get it twice, typed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Typed {
    pub(in crate::desk) count: u32,
}

/// Whom a test goes to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Test {
    /// Somebody with an account and a mailbox; left out, the support mailbox.
    pub(in crate::desk) person: Option<String>,
    /// The line of the list whose mail it is; left out, the first.
    pub(in crate::desk) line: Option<u32>,
}

/// A test that was sent.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Tested {
    pub(in crate::desk) says: String,
}

/// Addresses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Addresses {
    pub(in crate::desk) addresses: Vec<String>,
    /// updates or everything.
    pub(in crate::desk) scope: Option<String>,
}

/// How many addresses are suppressed, and how many one person alone may mail to.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Rules {
    pub(in crate::desk) suppressed: u64,
    pub(in crate::desk) alone_up_to: u32,
}

/// How many one person alone may mail to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Alone {
    pub(in crate::desk) alone_up_to: u32,
}

/// Whose mail.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::desk) struct Line {
    /// The line of the list.
    pub(in crate::desk) line: Option<u32>,
    /// Or a customer's number or mail address.
    pub(in crate::desk) find: Option<String>,
}

//! Questions to the open directory: how many an audience means, and one customer's card. Answered from this node alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{none_yet, read, unread};
use crate::{
    desk::{Desk, asking::Body, problem::Problem},
    directory::{Addressee, Audience, Choice, Customer, Directory, Lists},
    model::{State, directory::AudienceText, effect, incident::Stage, limits},
};

/// Customers that a search shows.
const FOUND_SHOWN: usize = 20;

/// An audience, and how addresses are chosen.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Question {
    /// Such as `datacentre=prague and not product=dns`, or `all except list=told`.
    pub(in crate::desk) audience: String,
    /// Lists of customer numbers and addresses, by the names that the audience uses.
    #[serde(default)]
    pub(in crate::desk) lists: BTreeMap<String, BTreeSet<String>>,
    /// What has failed, whose mailboxes are avoided; left out, what the audience means where that is about places.
    pub(in crate::desk) failed: Option<String>,
    /// Domains whose mailboxes have failed besides.
    #[serde(default)]
    pub(in crate::desk) avoid: Vec<String>,
    /// How many to show, up to 100; left out, none.
    #[serde(default)]
    pub(in crate::desk) sample: usize,
}

/// How many are meant.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Meant {
    pub(in crate::desk) version: String,
    /// Customers that are meant.
    pub(in crate::desk) customers: u64,
    /// Of them those that have an address.
    pub(in crate::desk) reached: u64,
    /// Of those the ones that get it at another than their best address, which has failed.
    pub(in crate::desk) off_net: u64,
    /// Of those the ones all of whose addresses have failed.
    pub(in crate::desk) on_failed: u64,
    /// Those that have an address, by the language that they are written to in.
    pub(in crate::desk) languages: BTreeMap<String, u64>,
    /// Some of them, spread over all.
    #[schema(value_type = Vec<Object>)]
    pub(in crate::desk) sample: Vec<Addressee>,
}

/// A customer in one line.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Short {
    customer: String,
    name: Option<String>,
}

/// One customer.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Card {
    version: String,
    customer: String,
    name: Option<String>,
    language: Option<String>,
    /// The best first.
    contacts: Vec<String>,
    services: Vec<Had>,
    /// Whether something that happens touches a service; nothing where it was not said whom it touches.
    affected: Option<bool>,
    values: BTreeMap<String, String>,
}

/// One service of a customer.
#[derive(Serialize, ToSchema)]
struct Had {
    name: String,
    server: String,
    rack: String,
    datacentre: String,
    product: String,
    domains: Vec<String>,
    /// The incidents that touch it.
    incidents: Vec<String>,
}

/// What to look for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Sought {
    find: String,
}

pub(in crate::desk) async fn audience(
    Shared(desk): Shared<Desk>,
    body: Body<Question>,
) -> Result<Json<Meant>, Problem> {
    desk.ask_audience(body.value).await.map(Json)
}

impl Desk {
    /// How many an audience means, with some of them.
    pub(in crate::desk) async fn ask_audience(&self, asked: Question) -> Result<Meant, Problem> {
        if asked.sample > limits::AUDIENCE_SAMPLE_MAX {
            let wanted = format!("at most {}", limits::AUDIENCE_SAMPLE_MAX);
            return Err(Problem::invalid(
                "sample",
                &asked.sample.to_string(),
                &wanted,
            ));
        }
        let lists: Lists = asked.lists;
        let failed = asked
            .failed
            .as_deref()
            .map(|text| read(text, lists.clone()))
            .transpose()?;
        let audience = read(&asked.audience, lists)?;
        let directory = self.directory.get().ok_or_else(none_yet)?;
        let (avoid, sample) = (asked.avoid, asked.sample);
        let languages = &self.console.company.languages;
        let otherwise = languages.first().copied().unwrap_or_default();
        let meant = self.blocking("asking the directory", move |_| {
            let choice = Choice {
                failed: failed.as_ref(),
                avoid: &avoid,
                otherwise,
            };
            counted(&directory, &audience, &choice, sample)
        });
        meant.await
    }
}

fn counted(
    directory: &Directory,
    audience: &Audience,
    choice: &Choice<'_>,
    most: usize,
) -> Result<Meant, Problem> {
    let failed = |error| unread("asking the directory", &error);
    let mut all = directory.addressees(audience, choice).map_err(failed)?;
    let mut languages: BTreeMap<String, u64> = BTreeMap::new();
    let (mut sample, mut each, mut place) = (Vec::new(), 1_usize, 0_usize);
    for addressee in all.by_ref() {
        let addressee = addressee.map_err(failed)?;
        *languages
            .entry(addressee.lang.tag().to_owned())
            .or_default() += 1;
        if most > 0 && place.is_multiple_of(each) {
            if sample.len() == 2 * most {
                // Every second one goes, so that what is shown is spread over all however many come.
                let mut odd = false;
                sample.retain(|_| {
                    odd = !odd;
                    odd
                });
                each *= 2;
            }
            if place.is_multiple_of(each) {
                sample.push(addressee);
            }
        }
        place += 1;
    }
    let step = sample.len().div_ceil(most.max(1)).max(1);
    let sample: Vec<Addressee> = sample.into_iter().step_by(step).take(most).collect();
    let told = all.told();
    Ok(Meant {
        version: directory.version().to_string(),
        customers: told.customers,
        reached: told.reached,
        off_net: told.off_net,
        on_failed: told.on_failed,
        languages,
        sample,
    })
}

pub(in crate::desk) async fn card(
    Shared(desk): Shared<Desk>,
    Path(number): Path<String>,
) -> Result<Json<Card>, Problem> {
    let what = "looking for the customer";
    let directory = desk.directory.get().ok_or_else(none_yet)?;
    let state = desk.cluster.state();
    let card = desk.blocking(what, move |_| {
        let found = directory
            .find(number.trim())
            .map_err(|error| unread(what, &error))?;
        Ok(found.map(|it| of_customer(&directory, &state, it)))
    });
    let advice = "the number as the company has it; look with 'lifeboat directory find'";
    let card = card.await?;
    Ok(Json(
        card.ok_or_else(|| Problem::not_found("customer", advice))?,
    ))
}

fn of_customer(directory: &Directory, state: &State, customer: Customer) -> Card {
    let touches = touching(state);
    let services = customer.services.into_iter().map(|it| {
        let incidents = touches
            .iter()
            .filter(|(_, scopes)| scopes.iter().any(|scope| scope.means(&it.place)));
        Had {
            name: it.label().to_owned(),
            incidents: incidents.map(|(id, _)| id.clone()).collect(),
            server: it.place.server,
            rack: it.place.rack,
            datacentre: it.place.datacentre,
            product: it.place.product,
            domains: it.domains,
        }
    });
    let services: Vec<Had> = services.collect();
    let touched = services.iter().any(|it| !it.incidents.is_empty());
    Card {
        version: directory.version().to_string(),
        customer: customer.number,
        name: customer.name,
        language: customer.language,
        contacts: customer.contacts.into_iter().map(|it| it.address).collect(),
        affected: (!touches.is_empty()).then_some(touched),
        services,
        values: customer.values,
    }
}

/// What goes on and whom it touches, where that was said.
fn touching(state: &State) -> Vec<(String, Vec<Audience>)> {
    let all = state.incidents.all.iter().filter_map(|(id, incident)| {
        let acute = incident.goes_on() && incident.stage != Stage::Scheduled;
        let (scopes, _) = effect::touching(state, *id).filter(|_| acute)?;
        let read = |it: &&AudienceText| Audience::read(it.as_str(), Lists::new()).ok();
        Some((id.to_string(), scopes.iter().filter_map(read).collect()))
    });
    all.collect()
}

pub(in crate::desk) async fn find(
    Shared(desk): Shared<Desk>,
    query: Result<Query<Sought>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<Short>>, Problem> {
    let what = "looking for customers";
    let Query(sought) =
        query.map_err(|error| Problem::invalid("the query", &error.body_text(), "find=TEXT"))?;
    let text = sought.find.trim().to_lowercase();
    if text.is_empty() {
        return Err(Problem::invalid(
            "find",
            "nothing",
            "a number, address, domain or server",
        ));
    }
    let directory: Arc<Directory> = desk.directory.get().ok_or_else(none_yet)?;
    let found = desk.blocking(what, move |_| {
        let mut found = Vec::new();
        for customer in directory.walk() {
            let customer = customer.map_err(|error| unread(what, &error))?;
            if has(&customer, &text) {
                found.push(Short {
                    customer: customer.number,
                    name: customer.name,
                });
            }
            if found.len() == FOUND_SHOWN {
                break;
            }
        }
        Ok(found)
    });
    Ok(Json(found.await?))
}

fn has(customer: &Customer, text: &str) -> bool {
    let services = || customer.services.iter();
    customer.number.to_lowercase() == text
        || customer
            .contacts
            .iter()
            .any(|it| it.address.to_lowercase() == text)
        || services().any(|it| it.place.server == text || it.domains.iter().any(|it| it == text))
}

//! The table of the API's paths: what routes requests is also what the OpenAPI document is made from.
//!
//! Each group gives its own rows. An unknown path or method is a problem like any other.

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get},
};
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    Desk, affected, alerts, answers, audit, backup, bridges, calendar, campaigns, certificates,
    conversations, directory, dns, drills, files, gauges, held, incidents, mail_keys, members,
    notices, people, playbooks,
    problem::{Problem, Words},
    readiness, roles, rules, site, status, talks, tokens, vault, waking,
};
use crate::model::limits;

/// Where the API begins.
pub const ROOT: &str = "/api/v1";

type Schemas = Vec<(String, RefOr<Schema>)>;

/// One path with one method.
pub(super) struct Route {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    takes: Option<Content>,
    gives: Content,
    works: MethodRouter<Desk>,
}

/// What a body holds.
struct Content {
    media: &'static str,
    schema: Value,
    schemas: Schemas,
}

impl Content {
    fn json<T: ToSchema>() -> Self {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        Self {
            media: "application/json",
            schema: json!({ "$ref": format!("#/components/schemas/{}", T::name()) }),
            schemas,
        }
    }

    fn bytes(media: &'static str) -> Self {
        Self {
            media,
            schema: json!({ "type": "string", "format": "binary" }),
            schemas: Vec::new(),
        }
    }

    fn described(&self) -> Value {
        let mut content = Map::new();
        content.insert(self.media.to_owned(), json!({ "schema": self.schema }));
        Value::Object(content)
    }
}

impl Route {
    /// A row whose answer is a `T`.
    pub(super) fn new<T: ToSchema>(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        works: MethodRouter<Desk>,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            query: &[],
            takes: None,
            gives: Content::json::<T>(),
            works,
        }
    }

    /// The same, with these parts in the query.
    pub(super) fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// The same, with a `T` in the body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Content::json::<T>());
        self
    }

    /// The same, with bytes in the body.
    pub(super) fn takes_bytes(mut self) -> Self {
        self.takes = Some(Content::bytes("application/octet-stream"));
        self
    }

    /// The same, answering with bytes of any kind.
    pub(super) fn gives_bytes(mut self) -> Self {
        self.gives = Content::bytes("*/*");
        self
    }
}

/// Every row of the API.
fn table() -> Vec<Route> {
    [
        status::routes(),
        readiness::routes(),
        members::routes(),
        tokens::routes(),
        site::routes(),
        conversations::routes(),
        files::routes(),
        talks::routes(),
        answers::routes(),
        dns::routes(),
        incidents::routes(),
        affected::routes(),
        notices::routes(),
        certificates::routes(),
        mail_keys::routes(),
        directory::routes(),
        campaigns::routes(),
        audit::routes(),
        held::routes(),
        backup::routes(),
        people::routes(),
        waking::routes(),
        alerts::routes(),
        rules::routes(),
        drills::routes(),
        calendar::routes(),
        playbooks::routes(),
        gauges::routes(),
        vault::routes(),
        bridges::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The API for a node. Whoever serves it puts a [`Caller`](super::Caller) into each request.
pub fn router(desk: Desk) -> Router {
    let version = desk.version;
    let document = move || async move { Json(openapi(&table(), version)) };
    let mut router = Router::new().route("/openapi.json", get(document));
    for route in table() {
        let asks = roles::of_api(route.method, route.path);
        let works = route.works.layer(from_fn_with_state(asks, roles::guard));
        router = router.route(route.path, works);
    }
    Router::new()
        .nest(ROOT, router)
        .fallback(|| async { Problem::not_found("path", "read /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::max(limits::DESK_BODY_BYTES_MAX))
        .with_state(desk)
}

/// The OpenAPI 3.1 document of the table.
fn openapi(table: &[Route], version: &str) -> Value {
    let problem = Content::json::<Words>();
    let mut schemas = Map::new();
    let mut paths = Map::new();
    let contents = table
        .iter()
        .flat_map(|it| it.takes.iter().chain([&it.gives]))
        .chain([&problem]);
    for (name, schema) in contents.flat_map(|it| &it.schemas) {
        schemas.insert(name.clone(), json!(schema));
    }
    for route in table {
        let path = format!("{ROOT}{}", route.path.replace("{*", "{"));
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lifeboat",
            "version": version,
            "description": "One node's API. Writes take an Idempotency-Key: a repeat gets the first answer.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" },
        }))
    });
    let in_query = route.query.iter().map(|(name, what)| {
        json!({ "name": name, "in": "query", "description": what, "schema": { "type": "string" } })
    });
    let key = (route.method != "get").then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "schema": { "type": "string" },
            "description": "A repeat of the same request under the same key gets the first answer.",
        })
    });
    let mut operation = json!({
        "summary": route.summary,
        "parameters": in_path.chain(in_query).chain(key).collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "It is done.", "content": route.gives.described() },
            "default": {
                "description": "It was not done, or nobody can say.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if let Some(takes) = &route.takes {
        operation["requestBody"] = json!({ "required": true, "content": takes.described() });
    }
    operation
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_has_a_line_that_says_who_may_ask_and_every_line_a_path() {
        let paths: BTreeSet<_> = table().iter().map(|it| (it.method, it.path)).collect();
        let lines: BTreeSet<_> = roles::lines().collect();
        assert_eq!(paths, lines);
    }
}

//! Who may do what over the API and on the console: one line for each path, and the one place that holds to it.
//!
//! A path without a line is nobody's but the local socket's, and a test fails. The local socket may do everything: who
//! may open its file is the machine's administrator's choice.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Caller, api, problem::Problem};
use crate::model::people::Role;

/// What one path asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// A role.
    For(Role),
    /// One of two roles.
    Either(Role, Role),
    /// A role, and of people a fresh code.
    Fresh(Role),
    /// The local socket, whatever anybody's role.
    Local,
    /// Whoever shows the proof that the path itself asks for; it is looked at there.
    Proof,
}

const LOOK: Asks = Asks::For(Role::Viewer);
const TELL: Asks = Asks::For(Role::Monitor);
const ANSWER: Asks = Asks::For(Role::Agent);
const SPEAK: Asks = Asks::For(Role::Leader);
const SPEAK_FRESH: Asks = Asks::Fresh(Role::Leader);
const WORK: Asks = Asks::For(Role::Ops);
// Whoever leads the shift answers for it at night, and each of these is taken back in one step.
const SWITCH: Asks = Asks::Either(Role::Ops, Role::Leader);
const WORK_FRESH: Asks = Asks::Fresh(Role::Ops);
const PEOPLE: Asks = Asks::For(Role::Admin);
const PEOPLE_FRESH: Asks = Asks::Fresh(Role::Admin);

/// Every path of the API, below its root.
const API: &[(&str, &str, Asks)] = &[
    ("get", "/status", LOOK),
    ("get", "/ready", LOOK),
    ("get", "/readiness", LOOK),
    ("get", "/audit", LOOK),
    ("get", "/audit/verify", LOOK),
    ("get", "/check", WORK),
    // It holds every key.
    ("post", "/backup", Asks::Local),
    ("get", "/held", LOOK),
    ("post", "/held/release", SPEAK_FRESH),
    ("post", "/held/drop", SPEAK_FRESH),
    ("get", "/nodes", LOOK),
    ("post", "/nodes/{node}/promote", WORK_FRESH),
    ("post", "/nodes/{node}/demote", WORK_FRESH),
    ("post", "/nodes/{node}/remove", WORK_FRESH),
    ("post", "/nodes/{node}/replace", WORK_FRESH),
    ("post", "/leader", WORK_FRESH),
    ("post", "/profile", WORK_FRESH),
    ("get", "/tokens", WORK),
    ("post", "/tokens", WORK_FRESH),
    ("delete", "/tokens/{token}", WORK),
    ("get", "/site", LOOK),
    ("post", "/site", WORK),
    ("get", "/site/versions/{version}", LOOK),
    ("post", "/site/rollback", WORK),
    ("get", "/site/preview/{version}/{*path}", LOOK),
    ("get", "/site/bundles/{version}", LOOK),
    ("get", "/conversations", ANSWER),
    ("get", "/conversations/{conversation}", ANSWER),
    ("post", "/conversations/{conversation}/messages", ANSWER),
    (
        "get",
        "/conversations/{conversation}/files/{number}",
        ANSWER,
    ),
    (
        "post",
        "/conversations/{conversation}/files/{number}/erase",
        ANSWER,
    ),
    ("post", "/conversations/{conversation}/close", ANSWER),
    ("post", "/conversations/{conversation}/release", ANSWER),
    ("post", "/conversations/{conversation}/notes", ANSWER),
    ("post", "/conversations/{conversation}/assign", ANSWER),
    ("post", "/conversations/{conversation}/tags", ANSWER),
    ("post", "/conversations/{conversation}/reopen", ANSWER),
    ("post", "/conversations/{conversation}/seen", ANSWER),
    ("post", "/conversations/answer-all", ANSWER),
    ("get", "/prepared-answers", ANSWER),
    ("post", "/prepared-answers/{name}", SPEAK),
    ("post", "/prepared-answers/{name}/remove", SPEAK),
    ("get", "/components", LOOK),
    ("post", "/components", SPEAK),
    ("post", "/components/remove", SPEAK),
    ("get", "/scenarios", LOOK),
    ("get", "/incidents", LOOK),
    ("post", "/incidents", SPEAK),
    ("get", "/incidents/{incident}", LOOK),
    ("post", "/incidents/{incident}/updates", SPEAK),
    ("post", "/incidents/{incident}/edit", SPEAK),
    ("post", "/incidents/{incident}/withdraw", SPEAK),
    ("post", "/incidents/{incident}/tell", SPEAK),
    ("get", "/channels", LOOK),
    ("post", "/channels/{channel}", WORK_FRESH),
    ("post", "/channels/{channel}/remove", WORK_FRESH),
    ("post", "/channels/{channel}/check", WORK),
    ("get", "/notices", LOOK),
    ("get", "/certificates", LOOK),
    ("post", "/certificates/{certificate}", WORK_FRESH),
    ("post", "/certificates/{certificate}/renew", WORK),
    ("post", "/certificates/{certificate}/remove", WORK_FRESH),
    ("post", "/authorities/{authority}", WORK_FRESH),
    ("post", "/authorities/{authority}/remove", WORK_FRESH),
    ("post", "/notices/stop", ANSWER),
    ("post", "/notices/{notice}/done", ANSWER),
    ("get", "/incidents/{incident}/timeline", LOOK),
    ("get", "/incidents/{incident}/export", LOOK),
    ("get", "/incidents/{incident}/affected", ANSWER),
    ("get", "/incidents/{incident}/affected.csv", ANSWER),
    ("get", "/incidents/{incident}/effects", LOOK),
    ("post", "/incidents/{incident}/effects", SPEAK),
    ("post", "/incidents/{incident}/effects/{effect}", SPEAK),
    (
        "post",
        "/incidents/{incident}/effects/{effect}/remove",
        SPEAK,
    ),
    ("get", "/directory", LOOK),
    ("post", "/directory", WORK),
    ("post", "/directory/changes", WORK),
    ("get", "/directory/diff", WORK),
    ("post", "/directory/rollback", WORK),
    ("post", "/directory/audience", SPEAK),
    ("post", "/directory/affects", SPEAK),
    ("get", "/directory/customers", ANSWER),
    ("get", "/directory/customers/{customer}", ANSWER),
    ("post", "/directory/erase", PEOPLE_FRESH),
    ("post", "/directory/readmit", PEOPLE_FRESH),
    ("get", "/campaigns", LOOK),
    ("post", "/campaigns", SPEAK),
    ("post", "/campaigns/lists", SPEAK),
    ("get", "/campaigns/{campaign}", LOOK),
    ("get", "/campaigns/{campaign}/check", SPEAK),
    ("get", "/campaigns/{campaign}/preview", SPEAK),
    ("post", "/campaigns/{campaign}/test", SPEAK),
    ("post", "/campaigns/{campaign}/request", SPEAK),
    ("post", "/campaigns/{campaign}/approve", SPEAK_FRESH),
    // Anybody who is signed in can stop a mass mail.
    ("post", "/campaigns/{campaign}/pause", LOOK),
    ("post", "/campaigns/{campaign}/cancel", LOOK),
    ("post", "/campaigns/{campaign}/resume", SPEAK),
    ("post", "/campaigns/{campaign}/release", SPEAK_FRESH),
    ("get", "/campaigns/{campaign}/report", SPEAK),
    ("get", "/suppressions", LOOK),
    ("post", "/suppressions", SPEAK),
    ("post", "/suppressions/remove", SPEAK),
    ("post", "/suppressions/alone", PEOPLE_FRESH),
    ("get", "/mail/keys", LOOK),
    ("post", "/mail/keys", WORK_FRESH),
    ("post", "/mail/keys/{domain}/{selector}/use", WORK_FRESH),
    ("post", "/mail/keys/{domain}/{selector}/rest", WORK_FRESH),
    ("post", "/mail/keys/{domain}/{selector}/remove", WORK_FRESH),
    ("get", "/mail/readiness", LOOK),
    ("get", "/dns", LOOK),
    ("post", "/dns/zones/{zone}/parent", WORK_FRESH),
    ("post", "/dns/zones/{zone}/updates", WORK_FRESH),
    ("get", "/dns/keepers", LOOK),
    ("get", "/dns/keepers/{keeper}", LOOK),
    ("post", "/dns/keepers/{keeper}", WORK_FRESH),
    ("post", "/dns/keepers/{keeper}/remove", WORK_FRESH),
    ("get", "/dns/keepers/{keeper}/plan", WORK),
    ("post", "/dns/keepers/{keeper}/apply", WORK_FRESH),
    ("post", "/dns/keepers/{keeper}/check", WORK),
    ("get", "/dns/keys", WORK),
    ("post", "/dns/keys/{key}", WORK_FRESH),
    ("post", "/dns/keys/{key}/remove", WORK_FRESH),
    ("get", "/dns/services", LOOK),
    ("get", "/dns/services/{service}", LOOK),
    ("post", "/dns/services/{service}", WORK),
    ("post", "/dns/services/{service}/remove", WORK_FRESH),
    ("post", "/dns/services/{service}/switch", SWITCH),
    ("post", "/dns/services/{service}/unpin", SWITCH),
    ("post", "/dns/services/{service}/undo", SWITCH),
    ("post", "/dns/freeze", SWITCH),
    ("post", "/dns/thaw", SWITCH),
    ("post", "/dns/release", WORK_FRESH),
    ("get", "/dns/zones/{zone}/keys", LOOK),
    ("post", "/dns/zones/{zone}/sign", WORK_FRESH),
    ("post", "/dns/zones/{zone}/keys/drop", WORK_FRESH),
    ("post", "/dns/zones/{zone}/unsign", WORK_FRESH),
    ("get", "/dns/zones", LOOK),
    ("post", "/dns/zones", WORK_FRESH),
    ("get", "/dns/zones/{zone}", LOOK),
    ("get", "/dns/zones/{zone}/file", LOOK),
    ("get", "/dns/zones/{zone}/file/signed", LOOK),
    ("post", "/dns/zones/{zone}/rollback", WORK_FRESH),
    ("post", "/dns/zones/{zone}/settings", WORK_FRESH),
    ("post", "/dns/zones/{zone}/remove", WORK_FRESH),
    ("get", "/people", PEOPLE),
    ("post", "/people", PEOPLE_FRESH),
    ("get", "/people/{person}", PEOPLE),
    ("post", "/people/{person}/roles", PEOPLE_FRESH),
    ("post", "/people/{person}/describe", PEOPLE),
    ("post", "/people/{person}/ways", PEOPLE),
    ("post", "/people/{person}/prove", PEOPLE),
    ("post", "/people/{person}/reset", PEOPLE_FRESH),
    ("post", "/people/{person}/remove", PEOPLE_FRESH),
    ("get", "/sessions", PEOPLE),
    ("post", "/sessions/{session}/end", PEOPLE),
    ("post", "/sessions/end", PEOPLE),
    ("get", "/api-tokens", PEOPLE),
    ("post", "/api-tokens", PEOPLE_FRESH),
    ("post", "/api-tokens/{token}/revoke", PEOPLE),
    ("get", "/envelopes", PEOPLE),
    ("post", "/envelopes", PEOPLE_FRESH),
    ("post", "/envelopes/{serial}/withdraw", PEOPLE),
    ("post", "/envelopes/verify", PEOPLE),
    ("post", "/alarms/{alarm}/acknowledge", LOOK),
    ("get", "/shift", LOOK),
    ("post", "/shift", SPEAK),
    ("get", "/playbooks", LOOK),
    ("get", "/playbooks/{playbook}", LOOK),
    ("post", "/playbooks/{playbook}", WORK),
    ("post", "/playbooks/{playbook}/remove", WORK),
    ("get", "/playbooks/{playbook}/print", LOOK),
    ("post", "/playbooks/{playbook}/start", SWITCH),
    ("get", "/plays/{play}", LOOK),
    ("post", "/plays/{play}/{step}/tick", ANSWER),
    // It speaks to customers, switches, or wakes people, as the shift leader may.
    ("post", "/plays/{play}/{step}/do", SPEAK),
    ("post", "/plays/{play}/{step}/skip", ANSWER),
    ("post", "/plays/{play}/end", ANSWER),
    ("get", "/calendar", LOOK),
    ("post", "/calendar/{test}", SWITCH),
    ("post", "/calendar/{test}/remove", SWITCH),
    ("post", "/calendar/{test}/results", ANSWER),
    ("post", "/calendar/{test}/actions", ANSWER),
    ("post", "/calendar/{test}/actions/{action}", ANSWER),
    ("get", "/drills", LOOK),
    ("post", "/drills", SWITCH),
    ("get", "/drills/{drill}", LOOK),
    ("post", "/drills/{drill}/end", SWITCH),
    // Nothing of a drill reaches anybody but those who take part.
    ("post", "/drills/{drill}/acknowledge", LOOK),
    ("post", "/drills/{drill}/say", SPEAK),
    ("post", "/drills/{drill}/answer", ANSWER),
    ("post", "/drills/{drill}/switch", SWITCH),
    ("post", "/drills/{drill}/remarks", LOOK),
    ("post", "/drills/{drill}/actions", LOOK),
    ("post", "/drills/{drill}/actions/{action}", ANSWER),
    ("get", "/wakings", LOOK),
    ("post", "/wakings", ANSWER),
    ("post", "/wakings/{waking}/answer", LOOK),
    ("post", "/wakings/rules", SPEAK),
    ("post", "/people/{person}/test", SPEAK),
    ("post", "/gateways/{gateway}", WORK_FRESH),
    ("post", "/gateways/{gateway}/remove", WORK_FRESH),
    ("post", "/gateways/{gateway}/check", WORK),
    ("get", "/gauges", LOOK),
    ("post", "/gauges", TELL),
    ("post", "/gauges/{gauge}/forget", WORK),
    ("get", "/vault", WORK),
    ("post", "/vault", PEOPLE_FRESH),
    ("post", "/vault/ways", PEOPLE_FRESH),
    ("post", "/vault/rotate", PEOPLE_FRESH),
    ("post", "/vault/unlock", WORK),
    ("post", "/vault/nodes/{node}/trust", PEOPLE_FRESH),
    ("get", "/rules", LOOK),
    ("post", "/rules/{rule}", SPEAK_FRESH),
    ("post", "/rules/{rule}/remove", SPEAK_FRESH),
    ("post", "/rules-on", SPEAK_FRESH),
    // Anybody who is signed in can stop what is said without a person.
    ("post", "/rules-off", LOOK),
    ("post", "/rules-notices", SPEAK_FRESH),
    ("post", "/incidents/{incident}/notify", SPEAK_FRESH),
    ("get", "/claims/{token}", ANSWER),
    ("get", "/alerts", LOOK),
    ("post", "/alerts/alertmanager", TELL),
    ("post", "/alerts/plain", TELL),
    ("post", "/alerts/{alert}/confirm", SPEAK),
    ("post", "/alerts/{alert}/dismiss", SPEAK),
    ("get", "/bridges", LOOK),
    ("post", "/bridges/{bridge}", WORK_FRESH),
    ("post", "/bridges/{bridge}/remove", WORK_FRESH),
    ("post", "/bridges/{bridge}/test", WORK),
    // Signed by the bridge, or with its token.
    ("post", "/bridges/{bridge}/answers", Asks::Proof),
];

/// Every page of the console that is not for everybody.
const PAGES: &[(&str, &str, Asks)] = &[
    ("get", "/", LOOK),
    ("get", "/incidents", LOOK),
    ("post", "/incidents", SPEAK),
    ("get", "/maintenance", SPEAK),
    ("post", "/maintenance", SPEAK),
    ("get", "/incidents/{incident}", LOOK),
    ("post", "/incidents/{incident}/update", SPEAK),
    ("post", "/incidents/{incident}/edit", SPEAK),
    ("post", "/incidents/{incident}/withdraw", SPEAK),
    ("post", "/incidents/{incident}/tell", SPEAK),
    ("post", "/notices/stop", ANSWER),
    ("post", "/notices/{notice}/done", ANSWER),
    ("post", "/incidents/{incident}/affects", SPEAK),
    ("get", "/incidents/{incident}/affected", ANSWER),
    ("get", "/incidents/{incident}/affected.csv", ANSWER),
    ("get", "/mail", LOOK),
    ("get", "/mail/new", SPEAK),
    ("post", "/mail", SPEAK),
    ("get", "/mail/{campaign}", LOOK),
    ("get", "/mail/{campaign}/change", SPEAK),
    ("post", "/mail/{campaign}/test", SPEAK),
    ("post", "/mail/{campaign}/request", SPEAK),
    ("post", "/mail/{campaign}/release", SPEAK_FRESH),
    ("get", "/mail/{campaign}/report", SPEAK),
    ("post", "/mail/{campaign}/approve", SPEAK_FRESH),
    ("post", "/mail/{campaign}/cancel", LOOK),
    ("post", "/mail/{campaign}/pause", LOOK),
    ("get", "/mail/{campaign}/report.csv", SPEAK),
    ("get", "/live", LOOK),
    ("get", "/wall", LOOK),
    ("get", "/alerts", LOOK),
    ("post", "/alerts/rules-off", LOOK),
    ("get", "/alerts/{alert}", LOOK),
    ("post", "/alerts/{alert}/confirm", SPEAK),
    ("post", "/alerts/{alert}/dismiss", SPEAK),
    ("get", "/switch", LOOK),
    ("get", "/switch/{service}", LOOK),
    ("post", "/switch/{service}", SWITCH),
    ("post", "/switch/{service}/undo", SWITCH),
    ("post", "/switch/{service}/unpin", SWITCH),
    ("post", "/switching/freeze", SWITCH),
    ("post", "/switching/thaw", SWITCH),
    ("get", "/inbox", ANSWER),
    ("get", "/inbox/live", ANSWER),
    ("post", "/inbox/answer-all", ANSWER),
    ("get", "/inbox/{conversation}", ANSWER),
    ("get", "/inbox/{conversation}/live", ANSWER),
    ("post", "/inbox/{conversation}/answer", ANSWER),
    ("post", "/inbox/{conversation}/note", ANSWER),
    ("post", "/inbox/{conversation}/do", ANSWER),
    ("post", "/inbox/{conversation}/writing", ANSWER),
    (
        "get",
        "/inbox/{conversation}/files/{message}/{number}",
        ANSWER,
    ),
    (
        "get",
        "/inbox/{conversation}/files/{message}/{number}/show",
        ANSWER,
    ),
    (
        "post",
        "/inbox/{conversation}/files/{message}/{number}/erase",
        ANSWER,
    ),
    ("get", "/prepared", ANSWER),
    ("post", "/prepared", SPEAK),
    ("get", "/nodes", LOOK),
    ("get", "/vault", WORK),
    ("post", "/vault", WORK),
    ("get", "/ready", LOOK),
    ("get", "/record", LOOK),
    ("get", "/record.csv", LOOK),
    ("get", "/shift", LOOK),
    ("post", "/shift", SPEAK),
    ("post", "/alarms/{alarm}", LOOK),
    ("get", "/playbooks", LOOK),
    ("post", "/playbooks/{playbook}", SWITCH),
    ("get", "/playbooks/{playbook}/print", LOOK),
    ("get", "/plays/{play}", LOOK),
    ("post", "/plays/{play}/tick", ANSWER),
    ("post", "/plays/{play}/do", SPEAK),
    ("post", "/plays/{play}/skip", ANSWER),
    ("post", "/plays/{play}/end", ANSWER),
    ("get", "/calendar", LOOK),
    ("post", "/calendar", SWITCH),
    ("post", "/calendar/{test}/tried", ANSWER),
    ("post", "/calendar/{test}/open", ANSWER),
    ("post", "/calendar/{test}/close", ANSWER),
    ("get", "/exercise", LOOK),
    ("post", "/exercise", SWITCH),
    ("get", "/exercise/{drill}", LOOK),
    ("post", "/exercise/{drill}/end", SWITCH),
    ("post", "/exercise/{drill}/acknowledge", LOOK),
    ("post", "/exercise/{drill}/say", SPEAK),
    ("post", "/exercise/{drill}/answer", ANSWER),
    ("post", "/exercise/{drill}/switch", SWITCH),
    ("post", "/exercise/{drill}/remark", LOOK),
    ("post", "/exercise/{drill}/open", LOOK),
    ("post", "/exercise/{drill}/close", ANSWER),
    ("get", "/wake", LOOK),
    ("post", "/wake", ANSWER),
    ("post", "/wake/{waking}", LOOK),
    ("get", "/people", PEOPLE),
    ("post", "/people", PEOPLE_FRESH),
    ("get", "/people/{person}", PEOPLE),
    ("post", "/people/{person}/roles", PEOPLE_FRESH),
    ("post", "/people/{person}/reset", PEOPLE_FRESH),
    ("post", "/people/{person}/remove", PEOPLE_FRESH),
    ("get", "/sessions", PEOPLE),
    ("post", "/sessions/{session}", PEOPLE),
    ("post", "/sessions", PEOPLE),
];

/// What a path of the API asks; nothing where its line is missing.
pub(super) fn of_api(method: &str, path: &str) -> Option<Asks> {
    found(API, method, path)
}

/// The bridge that a request to the API says it comes from: it has no session and no token, and proves itself by its content.
pub(super) fn of_bridge<'p>(method: &Method, path: &'p str) -> Option<&'p str> {
    let below = path.strip_prefix(api::ROOT)?.strip_prefix("/bridges/")?;
    let name = below.strip_suffix("/answers")?;
    (method == Method::POST && !name.contains('/')).then_some(name)
}

/// What a page asks.
pub(super) fn of_page(method: &str, path: &str) -> Option<Asks> {
    found(PAGES, method, path)
}

fn found(table: &[(&str, &str, Asks)], method: &str, path: &str) -> Option<Asks> {
    let line = table.iter().find(|it| it.0 == method && it.1 == path);
    line.map(|it| it.2)
}

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotYours {
    /// They lack this role.
    Role(Role),
    /// They have to show a fresh code first.
    Fresh,
    /// It is the local socket's alone.
    Local,
}

/// Whether somebody may do what a line asks for.
pub(super) fn may(caller: &Caller, asks: Option<Asks>) -> Result<(), NotYours> {
    let Some(standing) = &caller.standing else {
        return Ok(());
    };
    let (role, fresh) = match asks {
        Some(Asks::For(role)) => (role, false),
        Some(Asks::Either(_, other)) if standing.roles.may(other) => (other, false),
        Some(Asks::Either(role, _)) => (role, false),
        Some(Asks::Fresh(role)) => (role, true),
        Some(Asks::Proof) => return Ok(()),
        Some(Asks::Local) | None => return Err(NotYours::Local),
    };
    if !standing.roles.may(role) {
        return Err(NotYours::Role(role));
    }
    if fresh && !standing.fresh {
        return Err(NotYours::Fresh);
    }
    Ok(())
}

/// Lets a request of the API pass, or answers why not.
pub(super) async fn guard(
    State(asks): State<Option<Asks>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(caller) = request.extensions().get::<Caller>() else {
        return Problem::nobody().into_response();
    };
    match may(caller, asks) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::not_yours(&caller.actor.spoken(), why).into_response(),
    }
}

#[cfg(test)]
pub(super) fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    API.iter().map(|it| (it.0, it.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::entry::Standing;
    use crate::model::{Actor, people::Roles, words::Label};

    #[test]
    fn a_dangerous_deed_asks_for_a_fresh_code_and_a_path_without_a_line_is_nobodys() {
        let caller = |role: Role, fresh: bool| Caller {
            actor: Actor::Operator {
                name: Label::new("jana").unwrap(),
            },
            address: None,
            standing: Some(Standing {
                roles: Roles::of(&[role]),
                fresh,
            }),
        };
        let remove = of_api("post", "/people/{person}/remove");
        assert_eq!(may(&caller(Role::Admin, true), remove), Ok(()));
        let stale = may(&caller(Role::Admin, false), remove);
        assert_eq!(stale, Err(NotYours::Fresh));
        let switch = of_api("post", "/dns/services/{service}/switch");
        for role in [Role::Ops, Role::Leader, Role::Admin] {
            assert_eq!(may(&caller(role, false), switch), Ok(()), "{role:?}");
        }
        let agent = may(&caller(Role::Agent, true), switch);
        assert_eq!(agent, Err(NotYours::Role(Role::Ops)));
        let viewer = may(&caller(Role::Viewer, true), remove);
        assert_eq!(viewer, Err(NotYours::Role(Role::Admin)));
        let unlisted = of_api("post", "/nowhere");
        assert_eq!(
            may(&caller(Role::Admin, true), unlisted),
            Err(NotYours::Local)
        );
        let local = Caller {
            standing: None,
            ..caller(Role::Viewer, false)
        };
        assert_eq!(may(&local, unlisted), Ok(()));
    }
}

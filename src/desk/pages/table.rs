//! The console's pages that are not for everybody, each with what makes it. Who may see it is in `roles`.

use axum::{
    extract::DefaultBodyLimit,
    routing::{MethodRouter, get, post},
};

use super::{
    Pages, affected, alerts, calendar, drills, files, inbox, live, mailing, mails, outcomes,
    playbooks, ready, says, staff, switching, talk, told, vault, views, waking, wall,
};
use crate::model::limits;

/// A file of a message, and what is done with it.
const FILE: &str = "/inbox/{conversation}/files/{message}/{number}";
const FILE_SHOWN: &str = "/inbox/{conversation}/files/{message}/{number}/show";
const FILE_ERASE: &str = "/inbox/{conversation}/files/{message}/{number}/erase";

/// Every page that is not for everybody.
pub(super) fn table() -> Vec<(&'static str, &'static str, MethodRouter<Pages>)> {
    let mut all = vec![
        ("get", "/", get(views::overview)),
        ("get", "/ready", get(ready::show)),
        ("get", "/wall", get(wall::show)),
        ("get", "/incidents", get(says::list)),
        ("post", "/incidents", post(says::open)),
        ("get", "/maintenance", get(says::maintenance::show)),
        ("post", "/maintenance", post(says::maintenance::announce)),
        ("get", "/incidents/{incident}", get(says::show)),
        ("post", "/incidents/{incident}/update", post(says::update)),
        ("post", "/incidents/{incident}/edit", post(says::edit)),
        (
            "post",
            "/incidents/{incident}/withdraw",
            post(says::withdraw),
        ),
        ("post", "/incidents/{incident}/tell", post(told::tell)),
        ("post", "/notices/stop", post(told::stop)),
        ("post", "/notices/{notice}/done", post(told::done)),
        ("post", "/incidents/{incident}/affects", post(says::affects)),
        ("get", "/incidents/{incident}/affected", get(affected::show)),
        (
            "get",
            "/incidents/{incident}/affected.csv",
            get(affected::csv),
        ),
        ("post", "/alerts/rules-off", post(alerts::off)),
        ("get", "/live", get(live::all)),
        ("get", "/inbox", get(inbox::list)),
        ("get", "/inbox/live", get(live::inbox)),
        ("post", "/inbox/answer-all", post(inbox::answer_all)),
        ("get", "/inbox/{conversation}", get(talk::show)),
        ("get", "/inbox/{conversation}/live", get(live::talk)),
        ("post", "/inbox/{conversation}/answer", post(talk::answer)),
        ("post", "/inbox/{conversation}/note", post(talk::note)),
        ("post", "/inbox/{conversation}/do", post(talk::deed)),
        ("post", "/inbox/{conversation}/writing", post(talk::writing)),
        ("get", FILE, get(files::give)),
        ("get", FILE_SHOWN, get(files::show)),
        ("post", FILE_ERASE, post(files::erase)),
        ("get", "/prepared", get(inbox::prepared)),
        ("post", "/prepared", post(inbox::prepare)),
        ("get", "/nodes", get(views::nodes)),
        ("get", "/record", get(views::record)),
        ("get", "/record.csv", get(views::export)),
        ("get", "/shift", get(views::shift)),
        ("post", "/shift", post(views::lead)),
        ("post", "/alarms/{alarm}", post(views::known)),
        ("get", "/wake", get(waking::list)),
        ("post", "/wake", post(waking::wake)),
        ("post", "/wake/{waking}", post(waking::answer)),
        ("get", "/people", get(staff::people)),
        ("post", "/people", post(staff::add)),
        ("get", "/people/{person}", get(staff::person)),
        ("post", "/people/{person}/roles", post(staff::set_roles)),
        ("post", "/people/{person}/reset", post(staff::reset)),
        ("post", "/people/{person}/remove", post(staff::remove)),
        ("get", "/sessions", get(staff::sessions)),
        ("post", "/sessions/{session}", post(staff::end)),
        ("post", "/sessions", post(staff::end_all)),
    ];
    all.extend(of_mass_mail());
    all.extend(of_machines_and_names());
    all.extend(of_drills_and_playbooks());
    all
}

fn of_mass_mail() -> Vec<(&'static str, &'static str, MethodRouter<Pages>)> {
    // A form writes a letter of another alphabet in up to six bytes.
    let whole = DefaultBodyLimit::max(6 * limits::CAMPAIGN_TEXTS_BYTES_MAX);
    vec![
        ("get", "/mail", get(mails::list)),
        ("get", "/mail/new", get(mailing::begin)),
        ("post", "/mail", post(mailing::draft).layer(whole)),
        ("get", "/mail/{campaign}", get(mails::show)),
        ("get", "/mail/{campaign}/change", get(mailing::change)),
        ("post", "/mail/{campaign}/test", post(mails::test)),
        ("post", "/mail/{campaign}/request", post(mails::request)),
        ("post", "/mail/{campaign}/release", post(mails::release)),
        ("get", "/mail/{campaign}/report", get(outcomes::show)),
        ("post", "/mail/{campaign}/approve", post(mails::approve)),
        ("post", "/mail/{campaign}/cancel", post(mails::cancel)),
        ("post", "/mail/{campaign}/pause", post(mails::pause)),
        ("get", "/mail/{campaign}/report.csv", get(mails::export)),
    ]
}

fn of_drills_and_playbooks() -> Vec<(&'static str, &'static str, MethodRouter<Pages>)> {
    vec![
        ("get", "/playbooks", get(playbooks::list)),
        ("post", "/playbooks/{playbook}", post(playbooks::start)),
        ("get", "/playbooks/{playbook}/print", get(playbooks::print)),
        ("get", "/plays/{play}", get(playbooks::show)),
        ("post", "/plays/{play}/tick", post(playbooks::tick)),
        ("post", "/plays/{play}/do", post(playbooks::act)),
        ("post", "/plays/{play}/skip", post(playbooks::skip)),
        ("post", "/plays/{play}/end", post(playbooks::end)),
        ("get", "/calendar", get(calendar::list)),
        ("post", "/calendar", post(calendar::set)),
        ("post", "/calendar/{test}/tried", post(calendar::tried)),
        ("post", "/calendar/{test}/open", post(calendar::open)),
        ("post", "/calendar/{test}/close", post(calendar::close)),
        ("get", "/exercise", get(drills::list)),
        ("post", "/exercise", post(drills::plan)),
        ("get", "/exercise/{drill}", get(drills::show)),
        ("post", "/exercise/{drill}/end", post(drills::end)),
        (
            "post",
            "/exercise/{drill}/acknowledge",
            post(drills::acknowledge),
        ),
        ("post", "/exercise/{drill}/say", post(drills::say)),
        ("post", "/exercise/{drill}/answer", post(drills::answer)),
        ("post", "/exercise/{drill}/switch", post(drills::switch)),
        ("post", "/exercise/{drill}/remark", post(drills::remark)),
        ("post", "/exercise/{drill}/open", post(drills::open)),
        ("post", "/exercise/{drill}/close", post(drills::close)),
    ]
}

fn of_machines_and_names() -> Vec<(&'static str, &'static str, MethodRouter<Pages>)> {
    vec![
        ("get", "/vault", get(vault::show)),
        ("post", "/vault", post(vault::open)),
        ("get", "/alerts", get(alerts::list)),
        ("get", "/alerts/{alert}", get(alerts::show)),
        ("post", "/alerts/{alert}/confirm", post(alerts::confirm)),
        ("post", "/alerts/{alert}/dismiss", post(alerts::dismiss)),
        ("get", "/switch", get(switching::list)),
        ("get", "/switch/{service}", get(switching::show)),
        ("post", "/switch/{service}", post(switching::switch)),
        ("post", "/switch/{service}/undo", post(switching::undo)),
        ("post", "/switch/{service}/unpin", post(switching::unpin)),
        ("post", "/switching/freeze", post(switching::freeze)),
        ("post", "/switching/thaw", post(switching::thaw)),
    ]
}

//! What the API shows of a drill: its score sheet.

use serde::Serialize;
use utoipa::ToSchema;

use crate::desk::incidents::Texts;
use crate::model::{
    State,
    drill::{self, Drill, DrillId, Ending, Mark, Run},
    failover::{Answering, Switchable},
    when::rfc3339,
    words::Label,
};

/// Every drill.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Drills {
    /// The one that goes on.
    pub(in crate::desk) running: Option<String>,
    /// The newest first.
    pub(in crate::desk) drills: Vec<Sheet>,
}

/// A drill with its score sheet.
#[derive(Serialize, ToSchema)]
#[schema(as = Drill)]
pub(in crate::desk) struct Sheet {
    pub(in crate::desk) drill: String,
    pub(in crate::desk) title: String,
    /// What is assumed to have happened.
    pub(in crate::desk) task: String,
    /// planned, running or over.
    pub(in crate::desk) stage: &'static str,
    pub(in crate::desk) by: String,
    pub(in crate::desk) made: String,
    /// When it begins; nothing for one that is to be a surprise.
    pub(in crate::desk) begins: Option<String>,
    /// The time in which it begins by surprise.
    pub(in crate::desk) window: Option<[String; 2]>,
    pub(in crate::desk) begun: Option<String>,
    /// When it ends by itself.
    pub(in crate::desk) ends: Option<String>,
    pub(in crate::desk) ended: Option<String>,
    /// ended, time, real-incident or called-off.
    pub(in crate::desk) why: Option<&'static str>,
    /// The real incident that ended it.
    pub(in crate::desk) incident: Option<String>,
    /// Every step was done, and nothing real came between.
    pub(in crate::desk) passed: bool,
    pub(in crate::desk) people: Vec<String>,
    pub(in crate::desk) steps: Vec<Timed>,
    pub(in crate::desk) service: Option<Switch>,
    pub(in crate::desk) texts: Vec<Told>,
    pub(in crate::desk) chat: Vec<Line>,
    pub(in crate::desk) remarks: Vec<Line>,
    pub(in crate::desk) actions: Vec<Action>,
}

/// A step of a drill.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillStep)]
pub(in crate::desk) struct Timed {
    /// acknowledged, public-text, chat-answered, names-switched or staff-mailed.
    pub(in crate::desk) step: &'static str,
    /// Milliseconds from the beginning; nothing while nobody did it.
    pub(in crate::desk) after_ms: Option<u64>,
    pub(in crate::desk) at: Option<String>,
    pub(in crate::desk) by: Option<String>,
}

/// The service that is switched in a drill.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillSwitch)]
pub(in crate::desk) struct Switch {
    pub(in crate::desk) service: String,
    pub(in crate::desk) targets: Vec<String>,
    pub(in crate::desk) answers: String,
}

/// A text on the drill's page.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillText)]
pub(in crate::desk) struct Told {
    pub(in crate::desk) at: String,
    pub(in crate::desk) by: String,
    pub(in crate::desk) texts: Texts,
}

/// Something that was said.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillLine)]
pub(in crate::desk) struct Line {
    pub(in crate::desk) at: String,
    /// Nobody for the customer who is played.
    pub(in crate::desk) by: Option<String>,
    /// Nothing for the question of the customer who is played.
    pub(in crate::desk) text: Option<String>,
}

/// Something to be mended.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillAction)]
pub(in crate::desk) struct Action {
    pub(in crate::desk) number: usize,
    pub(in crate::desk) text: String,
    pub(in crate::desk) by: String,
    pub(in crate::desk) at: String,
    pub(in crate::desk) done: Option<String>,
    pub(in crate::desk) done_by: Option<String>,
}

pub(super) fn sheet(state: &State, id: DrillId, it: &Drill) -> Sheet {
    let run = it.run.as_ref();
    let secret = it.plan.window.is_some() && run.is_none();
    let over = it.over.as_ref();
    Sheet {
        drill: id.to_string(),
        title: it.plan.title.as_str().to_owned(),
        task: it.plan.task.as_str().to_owned(),
        stage: it.stage(),
        by: it.by.clone(),
        made: rfc3339(it.made),
        begins: (!secret).then(|| rfc3339(it.plan.begins)),
        window: it
            .plan
            .window
            .map(|it| [rfc3339(it.from), rfc3339(it.until)]),
        begun: run.map(|it| rfc3339(it.begun)),
        ends: it.ends_by().filter(|_| over.is_none()).map(rfc3339),
        ended: over.map(|it| rfc3339(it.at)),
        why: over.map(|it| it.why.name()),
        incident: over.and_then(|it| match &it.why {
            Ending::Real { incident } => Some(incident.to_string()),
            Ending::Ended { .. } | Ending::Time | Ending::CalledOff { .. } => None,
        }),
        passed: it.is_passed(),
        people: run
            .map_or(&it.plan.people, |it| &it.people)
            .iter()
            .map(Label::to_string)
            .collect(),
        steps: run.map(timed).unwrap_or_default(),
        service: it.plan.service.as_ref().and_then(|it| {
            let known = state.failover.services.get(it.name())?;
            Some(switched(known))
        }),
        texts: run.iter().flat_map(|it| &it.texts).map(told).collect(),
        chat: run.iter().flat_map(|it| &it.chat).map(line).collect(),
        remarks: it.remarks.iter().map(remarked).collect(),
        actions: it.actions.iter().zip(1..).map(action).collect(),
    }
}

fn timed(run: &Run) -> Vec<Timed> {
    let one = |(step, mark): (&drill::Step, &Option<Mark>)| Timed {
        step: step.name(),
        after_ms: mark.as_ref().map(|it| it.at.ms_since(run.begun)),
        at: mark.as_ref().map(|it| rfc3339(it.at)),
        by: mark.as_ref().map(|it| it.by.clone()),
    };
    run.steps.iter().map(one).collect()
}

fn switched(it: &Switchable) -> Switch {
    Switch {
        service: it.name.to_string(),
        targets: it.ranked().into_iter().map(|it| it.0.to_string()).collect(),
        answers: match &it.answering {
            Answering::One(target) => target.to_string(),
            Answering::All => Answering::All.to_string(),
        },
    }
}

fn told(it: &drill::Told) -> Told {
    let texts = it.wordings.iter();
    Told {
        at: rfc3339(it.at),
        by: it.by.clone(),
        texts: texts
            .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
            .collect(),
    }
}

fn line(it: &drill::Line) -> Line {
    Line {
        at: rfc3339(it.at),
        by: it.by.clone(),
        text: it.text.as_ref().map(|it| it.as_str().to_owned()),
    }
}

fn remarked(it: &drill::Remark) -> Line {
    Line {
        at: rfc3339(it.at),
        by: Some(it.by.clone()),
        text: Some(it.text.as_str().to_owned()),
    }
}

fn action((it, number): (&drill::Action, usize)) -> Action {
    Action {
        number,
        text: it.text.as_str().to_owned(),
        by: it.made.by.clone(),
        at: rfc3339(it.made.at),
        done: it.done.as_ref().map(|it| rfc3339(it.at)),
        done_by: it.done.as_ref().map(|it| it.by.clone()),
    }
}

//! Coming back with a ticket code and the e-mail or phone it was given for. Both are compared as keyed hashes, in a
//! time that tells nothing; a wrong code and a wrong contact get the same answer; tries are counted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};

use crate::model::Command;
use crate::model::words::{ConversationId, KeyedHash, TicketCode};
use crate::seal;

use super::form::{self, Form, Typed};
use super::pace::Pace;
use super::pages::{TicketPage, answer};
use super::write::waiting;
use super::{Asked, Public, form_body};

pub(super) async fn show(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.ticket(StatusCode::OK, Form::default())
}

pub(super) async fn open(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(body) = form_body(&parts.method, body).await else {
        return public.asked(&parts, None).too_large();
    };
    let typed = Typed::read(&body);
    let asked = public.asked(&parts, typed.lang);
    let heading = asked.say.it("ticket-problem");
    if !typed.asked {
        // From the box at the foot of a page, which has the code only: the next page asks for the rest.
        return match form::code(&typed, asked.say) {
            Ok(_) => asked.ticket(
                StatusCode::OK,
                Form {
                    typed,
                    ..Form::default()
                },
            ),
            Err(wrong) => {
                let form = Form::blaming(typed, String::new(), heading, vec![wrong]);
                asked.ticket(StatusCode::UNPROCESSABLE_ENTITY, form)
            }
        };
    }
    let (code, contact) = match form::claim(&typed, asked.say) {
        Ok(claim) => claim,
        Err(wrongs) => {
            let form = Form::blaming(typed, String::new(), heading, wrongs);
            return asked.ticket(StatusCode::UNPROCESSABLE_ENTITY, form);
        }
    };
    if let Pace::Wait(seconds) = public.paces.try_ticket(asked.visitor.address, &code) {
        let said = asked.say.with("ticket-busy", [("seconds", seconds.into())]);
        let form = Form::again(typed, String::new(), heading, said);
        return waiting(asked.ticket(StatusCode::TOO_MANY_REQUESTS, form), seconds);
    }
    match public.find(&code, &public.contact_hash(&contact)) {
        Some(id) => {
            let lang = public.known(id).lang();
            asked.send_on(StatusCode::SEE_OTHER, &asked.path_of(id, lang))
        }
        None => {
            let mut form = Form::again(
                typed,
                String::new(),
                heading,
                asked.say.it("ticket-unknown"),
            );
            if asked.alone().is_some()
                && let Some(problem) = &mut form.problem
            {
                problem.said.push(asked.say.it("ticket-unknown-alone"));
            }
            asked.ticket(StatusCode::UNPROCESSABLE_ENTITY, form)
        }
    }
}

impl Asked<'_> {
    fn ticket(&self, status: StatusCode, form: Form) -> Response<Body> {
        let frame = self.frame(|lang| format!("/ticket?lang={}", lang.tag()));
        answer(
            status,
            &TicketPage { frame, form },
            &self.public.look.policy,
        )
    }
}

impl Public {
    /// The conversation of this code and contact: agreed, else held here.
    fn find(&self, code: &TicketCode, contact: &KeyedHash) -> Option<ConversationId> {
        let state = self.parts.cluster.state();
        let agreed = state
            .tickets
            .get(code)
            .into_iter()
            .flatten()
            .find(|id: &&ConversationId| {
                state
                    .conversations
                    .get(*id)
                    .is_some_and(|it| seal::same(&it.contact_hash, contact))
            });
        if let Some(id) = agreed {
            return Some(*id);
        }
        let held = self.parts.letterbox.held();
        held.values()
            .flatten()
            .find_map(|item| match &item.proposal.command {
                Command::OpenConversation {
                    conversation,
                    ticket,
                    contact_hash,
                    ..
                } if item.stored && ticket == code && seal::same(contact_hash, contact) => {
                    Some(*conversation)
                }
                _ => None,
            })
    }
}

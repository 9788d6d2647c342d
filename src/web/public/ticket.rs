//! Coming back with a ticket code and the e-mail or phone it was given for. Both are compared as keyed hashes, in a
//! time that tells nothing; a wrong code and a wrong contact get the same answer; tries are counted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};

use crate::model::words::{ConversationId, KeyedHash, TicketCode};
use crate::seal;

use super::form::{self, Form, Wrong};
use super::pages::{TicketPage, answer};
use super::sent::{NotTaken, Sent};
use super::token::Purpose;
use super::{Asked, Public};

pub(super) async fn show(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.ticket(StatusCode::OK, Form::default())
}

pub(super) async fn open(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&public, request, Purpose::Open, None).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let (asked, typed) = (&sent.asked, &sent.typed);
    if !typed.asked {
        // From the box at the foot of a page, which has the code only: the next page asks for the rest.
        return match form::code(typed, asked.say) {
            Ok(_) => asked.ticket(StatusCode::OK, Form::showing(typed.clone())),
            Err(wrong) => asked.ticket_wrong(&sent, vec![wrong]),
        };
    }
    let (code, contact) = match form::claim(typed, asked.say) {
        Ok(claim) => claim,
        Err(wrongs) => return asked.ticket_wrong(&sent, wrongs),
    };
    let pace = public.paces.try_ticket(asked.visitor.address, &code);
    if let Err(why) = NotTaken::if_too_fast(pace, asked.say, "ticket-busy") {
        let form = asked.ticket_again(&sent, why.said.clone());
        return why.on(asked.ticket(why.status, form));
    }
    match public.find(&code, &public.contact_hash(&contact)) {
        Some(id) => {
            let lang = public.known(id).lang();
            asked.send_on(StatusCode::SEE_OTHER, &asked.path_of(id, lang))
        }
        None => {
            let mut form = asked.ticket_again(&sent, asked.say.it("ticket-unknown"));
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
    fn ticket_wrong(&self, sent: &Sent<'_>, wrongs: Vec<Wrong>) -> Response<Body> {
        let heading = self.say.it("ticket-problem");
        let form = Form::blaming(sent.typed.clone(), String::new(), heading, wrongs);
        self.ticket(StatusCode::UNPROCESSABLE_ENTITY, form)
    }

    fn ticket_again(&self, sent: &Sent<'_>, said: String) -> Form {
        let heading = self.say.it("ticket-problem");
        Form::again(sent.typed.clone(), String::new(), heading, said)
    }

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
            .filter(|item| item.stored)
            .find_map(|item| {
                let written = item.proposal.command.written()?;
                let it = written.opening?;
                let fits = it.ticket == code && seal::same(it.contact_hash, contact);
                fits.then_some(written.conversation)
            })
    }
}

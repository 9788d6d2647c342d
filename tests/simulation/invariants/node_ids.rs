//! A node's id is given once; tokens bring as many nodes as they may and none after their time; a member is never
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    Command, Reply,
    words::{NodeId, Timestamp, TokenId},
};

use super::{Invariant, Seen};

#[derive(Default)]
pub struct NodeIds {
    given: BTreeSet<NodeId>,
    tokens: BTreeMap<TokenId, (u16, Timestamp)>,
}

impl Invariant for NodeIds {
    fn name(&self) -> &'static str {
        "node ids"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Agreed {
            stamped,
            reply,
            before,
            after,
            ..
        } = seen
        else {
            return Ok(());
        };
        let proposal = &stamped.proposal;
        if matches!(reply, Reply::Refused(_)) || before.answers.contains_key(&proposal.id) {
            return Ok(());
        }
        if let Reply::Admitted(id) = reply
            && !self.given.insert(*id)
        {
            return Err(format!("{id} was given twice"));
        }
        match &proposal.command {
            Command::CreateToken {
                token,
                uses,
                ttl_ms,
                ..
            } => {
                let until = after.now.plus_ms(*ttl_ms);
                self.tokens.insert(*token, ((*uses).max(1), until));
            }
            Command::RevokeToken { token } => {
                self.tokens.remove(token);
            }
            Command::AdmitNode { token, .. } => {
                let Some((left, until)) = self.tokens.get_mut(token) else {
                    return Err(format!("token {token} does not exist and brought a node"));
                };
                if *left == 0 || after.now > *until {
                    return Err(format!(
                        "token {token} brought a node; {left} uses were left"
                    ));
                }
                *left -= 1;
            }
            Command::ForgetNode { node } if before.members().contains(node) => {
                return Err(format!("{node} is a member and was forgotten"));
            }
            _ => {}
        }
        Ok(())
    }
}

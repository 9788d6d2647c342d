//! Customers who write, write again, press the button twice and come back by another node; agents who answer.

use lifeboat::model::{
    Actor, Command,
    words::{ConversationId, KeyedHash, Label, Lang, NodeId, Sealed, TicketCode},
};

use super::by;
use crate::world::World;

/// Conversations of one run: few, so that much happens in each.
const CONVERSATIONS: usize = 10;

impl World {
    /// Somebody does something with a conversation on that node.
    pub fn somebody_writes(&mut self, node: NodeId) {
        let opened: Vec<ConversationId> = self.known_to(node);
        match self.dice.below(10) {
            0..2 if self.started() < CONVERSATIONS => self.customer_opens(node),
            0..3 => self.customer_sends_again(node),
            3..7 => self.customer_adds(node, &opened),
            7..9 => self.agent_answers(node, &opened),
            _ => self.agent_closes(node, &opened),
        }
    }

    fn started(&self) -> usize {
        let opening = |it: &&lifeboat::model::Proposal| {
            matches!(it.command, Command::OpenConversation { .. })
        };
        self.letters.iter().filter(opening).count()
    }

    /// Conversations that a page on this node can show: agreed on as far as it knows, or held there.
    fn known_to(&self, node: NodeId) -> Vec<ConversationId> {
        let Some(it) = self.nodes.get(&node) else {
            return Vec::new();
        };
        let mut known: Vec<ConversationId> = it.state.conversations.keys().copied().collect();
        for letter in &self.letters {
            if let Command::OpenConversation { conversation, .. } = &letter.command
                && it.letterbox.holds(conversation)
                && !known.contains(conversation)
            {
                known.push(*conversation);
            }
        }
        known
    }

    fn customer_opens(&mut self, node: NodeId) {
        let conversation = ConversationId(self.fresh());
        let command = self.opening(node, conversation);
        self.writes(node, Actor::Customer, command);
    }

    fn opening(&mut self, node: NodeId, conversation: ConversationId) -> Command {
        let quarantined = self.dice.percent(15);
        Command::OpenConversation {
            conversation,
            // Few codes, so that some lead to several conversations.
            ticket: TicketCode::from_entropy(u64::from(conversation.0[15]) % 4),
            contact_hash: KeyedHash([1; 32]),
            contact: sealed(b"contact"),
            by_mail: self.dice.percent(70),
            reference: None,
            lang: Lang::Cs,
            body: self.words(),
            taken: self.clock_of(node),
            quarantined,
        }
    }

    fn customer_adds(&mut self, node: NodeId, known: &[ConversationId]) {
        let Some(conversation) = self.dice.pick(known).copied() else {
            return;
        };
        // Now and then the first form once more, with other words: "back, change, send".
        let command = if self.dice.percent(10) {
            self.opening(node, conversation)
        } else {
            Command::AddMessage {
                conversation,
                body: self.words(),
                taken: self.clock_of(node),
            }
        };
        self.writes(node, Actor::Customer, command);
    }

    /// The browser sends the same again, or the customer does, perhaps to another node.
    fn customer_sends_again(&mut self, node: NodeId) {
        let recent = self.letters.len().saturating_sub(12);
        let Some(letter) = self.dice.pick(&self.letters[recent..]).cloned() else {
            return;
        };
        let opens = matches!(letter.command, Command::OpenConversation { .. });
        let conversation = letter.command.conversation();
        // A page can only send a later message again where its conversation can be seen.
        if opens || conversation.is_some_and(|it| self.known_to(node).contains(&it)) {
            self.post(node, letter);
        }
    }

    fn agent_answers(&mut self, node: NodeId, known: &[ConversationId]) {
        if let Some(conversation) = self.dice.pick(known).copied() {
            let command = Command::AddMessage {
                conversation,
                body: self.words(),
                taken: self.clock_of(node),
            };
            self.writes(node, agent(), command);
        }
    }

    fn agent_closes(&mut self, node: NodeId, known: &[ConversationId]) {
        if let Some(conversation) = self.dice.pick(known).copied() {
            let command = match self.dice.percent(50) {
                true => Command::CloseConversation { conversation },
                false => Command::ReleaseConversation { conversation },
            };
            self.writes(node, agent(), command);
        }
    }

    fn writes(&mut self, node: NodeId, actor: Actor, command: Command) {
        let letter = by(self.fresh(), actor, node, command);
        self.letters.push(letter.clone());
        self.post(node, letter);
    }

    fn words(&mut self) -> Sealed {
        sealed(&self.fresh())
    }
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed {
        key: 1,
        bytes: bytes.to_vec(),
    }
}

fn agent() -> Actor {
    Actor::Operator {
        name: Label::new("jana").unwrap(),
    }
}

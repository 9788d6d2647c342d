//! From a message that was taken to what the cluster keeps of it. The answer to the other mail server tells the truth:
//! 250 when it is stored, with where; 4xx when it is not, so that its sender keeps it and comes again.
//!
//! A person's words go through the letterbox like a form's: a majority has them, or this node has them on its disk. What
//! machines say about mail of ours needs the majority, as its sender can wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::bounce::{Failed, Failure};
use super::counted::Counted;
use super::doorman::Whom;
use super::judge::{self, Kind};
use super::letter::{self, Letter};
use super::places::Pace;
use super::session::Arrived;
use crate::clock;
use crate::cluster::Cluster;
use crate::files::{Kept as KeptFile, Locker, NotStored, Ready};
use crate::letterbox::{Letterbox, Posted};
use crate::mail::authentic::{Authenticator, Dmarc, Origin};
use crate::mail::marks::{self, Mark, Purpose};
use crate::model::campaign::{CampaignId, Status};
use crate::model::conversation::Door;
use crate::model::limits::{MAIL_IN_HOPS_MAX, MAIL_IN_SIGNATURES_MAX};
use crate::model::returns::{Came, ReturnChange};
use crate::model::words::{ClientId, ConversationId, EmailAddress, KeyedHash, Lang, MessageText};
use crate::model::{Actor, Command, Proposal, Refusal, Reply, Source};
use crate::seal::{Keyring, conversation_context};

/// How long the majority may take for what a machine said.
const AGREEMENT: Duration = Duration::from_secs(8);
/// How long the DNS may take to say whether a mail is genuine; after that it is not known, and the mail is taken.
const PROOF: Duration = Duration::from_secs(5);

const LATER: &str = "451 4.3.0 It cannot be stored at the moment; come again";
const NOTED: &str = "250 2.0.0 Noted";

/// What stores messages.
pub struct Intake {
    /// The agreed state and the way to propose.
    pub cluster: Cluster,
    /// Where people's words go.
    pub letterbox: Letterbox,
    /// Seals, and reads marks.
    pub keyring: Arc<Keyring>,
    /// The language of those whose own cannot be told.
    pub lang: Lang,
    /// How often networks open conversations.
    pub pace: Pace,
    /// Asks whether mail is from whom it says; nothing where nobody can be asked.
    pub authenticator: Option<Authenticator>,
    /// What is counted.
    pub counted: Counted,
    /// What keeps attachments.
    pub locker: Locker,
}

/// A message, judged and read.
struct Read {
    kind: Kind,
    letter: Letter,
    /// Marks of ours in what the message is about.
    about: Vec<Mark>,
    /// Names the message: its Message-ID and author, or all of it.
    name: [u8; 32],
    ours: bool,
    circles: bool,
    /// Attachments that can be kept.
    files: Vec<Ready>,
    /// Those that are on this node's disk.
    kept: Vec<KeptFile>,
    /// What the domain that it says it is from says of it.
    proof: Dmarc,
}

/// How a piece was kept.
enum Kept {
    Agreed,
    Held(u64),
}

impl Intake {
    /// Stores a message; the answer is what its sender is told.
    pub async fn take(self: Arc<Self>, arrived: Arrived) -> String {
        let Arrived {
            from,
            to,
            network,
            hello,
            bytes,
            room,
        } = arrived;
        let (keyring, locker, null) = (self.keyring.clone(), self.locker.clone(), from.is_none());
        // Shared and not copied: its room was counted once.
        let bytes = Arc::new(bytes);
        let proof = self.proof(bytes.clone(), from.clone(), (network, hello));
        let read = tokio::task::spawn_blocking(move || read(&keyring, &locker, &bytes, null));
        let (read, proof) = tokio::join!(read, proof);
        drop(room);
        let mut read = match read {
            Ok(Some(read)) => Read { proof, ..read },
            Ok(None) => return "554 5.6.0 This is no message that can be read".to_owned(),
            Err(_) => {
                // Its sender keeps it; whoever mends the fault gets it then.
                error!("reading a mail ended in a panic; its sender was asked to come again");
                return LATER.to_owned();
            }
        };
        if read.circles {
            return "554 5.4.6 This message goes round in circles".to_owned();
        }
        let files = std::mem::take(&mut read.files);
        let Ok(kept) = self.keep_files(&read, files).await else {
            self.counted.later.add(1);
            return LATER.to_owned();
        };
        read.kept = kept;
        let answer = self.store(&read, from.as_deref(), &to, network).await;
        if answer.starts_with('4') {
            self.counted.later.add(1);
        }
        answer
    }

    /// What the domain that a mail says it is from says of it. Returns have no sender, and are known by our marks.
    async fn proof(
        &self,
        mail: Arc<Vec<u8>>,
        from: Option<String>,
        (address, hello): (IpAddr, String),
    ) -> Dmarc {
        let (Some(authenticator), Some(sender)) = (self.authenticator.clone(), from) else {
            return Dmarc::Unknown;
        };
        if judge::signatures(&mail) > MAIL_IN_SIGNATURES_MAX {
            // Each costs a question to somebody's name server.
            self.counted.proven(&Dmarc::Unknown);
            return Dmarc::Unknown;
        }
        // Apart, as it hashes the whole mail, and so that a fault of it costs no mail.
        let runtime = tokio::runtime::Handle::current();
        let judging = tokio::task::spawn_blocking(move || {
            let origin = Origin {
                address,
                hello: &hello,
                sender: &sender,
                here: &hello,
            };
            let judged = authenticator.judge(&origin, &mail);
            runtime.block_on(async { tokio::time::timeout(PROOF, judged).await.ok().flatten() })
        });
        let proof = match judging.await {
            Ok(verdict) => verdict.map_or(Dmarc::Unknown, |it| it.dmarc),
            Err(_) => {
                error!(
                    "judging whether a mail is genuine ended in a panic; it is taken as not proven"
                );
                Dmarc::Unknown
            }
        };
        self.counted.proven(&proof);
        proof
    }

    async fn store(&self, read: &Read, from: Option<&str>, to: &[Whom], network: IpAddr) -> String {
        if read.ours {
            // A mail of ours that was sent back to us. What it says is where it came from.
            self.counted.strange.add(1);
            return NOTED.to_owned();
        }
        let marked = to.iter().find_map(|it| match it {
            Whom::Marked(mark) => Some(*mark),
            Whom::Support => None,
        });
        match &read.kind {
            Kind::Returned(failures) => self.returned(read, marked, failures).await,
            Kind::Complaint => self.complained(read, marked).await,
            Kind::AutoReply => self.machine(read, marked, from, network).await,
            Kind::Automatic if from.is_none() => self.machine(read, marked, from, network).await,
            Kind::Automatic => {
                self.counted.machines.add(1);
                self.person(read, marked, (from, network), true).await
            }
            Kind::Person => {
                self.counted.people.add(1);
                self.person(read, marked, (from, network), false).await
            }
        }
    }

    async fn returned(&self, read: &Read, marked: Option<Mark>, failures: &[Failure]) -> String {
        self.counted.returned.add(1);
        let mark = marked.or_else(|| read.about.first().copied());
        // An address of returns is one recipient's, so that the first that failed is theirs.
        let failed = failures.iter().find(|it| it.what != Failed::Not);
        let Some(failed) = failed else {
            return NOTED.to_owned();
        };
        let came = match failed.what {
            Failed::Hard => Came::Hard,
            Failed::Soft | Failed::Not => Came::Soft,
        };
        match mark {
            Some(Mark::Recipient(campaign, ordinal)) => {
                self.came_back(read, (campaign, ordinal), came, failed.status)
                    .await
            }
            Some(Mark::Conversation(id)) => {
                let lang = self.lang_of(&id, read);
                let said = failed.status.spoken();
                let text = match (lang, came) {
                    (Lang::Cs, Came::Hard) => {
                        format!("Náš e-mail se vrátil: taková adresa není ({said}).")
                    }
                    (Lang::Cs, _) => format!("Náš e-mail nebyl doručen ({said})."),
                    (Lang::En, Came::Hard) => {
                        format!("Our mail came back: there is no such address ({said}).")
                    }
                    (Lang::En, _) => format!("Our mail was not delivered ({said})."),
                };
                self.told(read, id, &text).await
            }
            None => {
                self.counted.strange.add(1);
                NOTED.to_owned()
            }
        }
    }

    async fn complained(&self, read: &Read, marked: Option<Mark>) -> String {
        self.counted.complaints.add(1);
        let marks = marked.into_iter().chain(read.about.iter().copied());
        let recipient = marks.into_iter().find_map(|it| match it {
            Mark::Recipient(campaign, ordinal) => Some((campaign, ordinal)),
            Mark::Conversation(_) => None,
        });
        match recipient {
            Some(recipient) => {
                self.came_back(read, recipient, Came::Complained, Status::default())
                    .await
            }
            None => {
                warn!("a complaint came in that names no mail of ours; see lifeboat_mail_in_total");
                self.counted.strange.add(1);
                NOTED.to_owned()
            }
        }
    }

    async fn came_back(
        &self,
        read: &Read,
        (campaign, ordinal): (CampaignId, u32),
        came: Came,
        status: Status,
    ) -> String {
        let change = ReturnChange::Came {
            campaign,
            ordinal,
            came,
            status,
        };
        let id = self.id("mail that came back", read, 0);
        let proposal = Proposal::of_node(id, self.cluster.id(), Command::Return(change));
        match self.cluster.propose(proposal, AGREEMENT).await {
            Ok(committed) => {
                if let Reply::Refused(refusal) = committed.reply {
                    // The campaign has left the state: there is no report any more that this could stand in.
                    info!(%campaign, %refusal, "a return belongs to nothing that is kept");
                    self.counted.strange.add(1);
                }
                NOTED.to_owned()
            }
            Err(_) => LATER.to_owned(),
        }
    }

    /// What a machine says: a note for agents where it belongs to a conversation; never a message that anybody answers.
    async fn machine(
        &self,
        read: &Read,
        marked: Option<Mark>,
        from: Option<&str>,
        network: IpAddr,
    ) -> String {
        self.counted.machines.add(1);
        match self.thread(read, marked) {
            Some(id) => {
                let lang = self.lang_of(&id, read);
                let words: String = read.letter.text.chars().take(1_500).collect();
                let head = match lang {
                    Lang::Cs => "Automatická odpověď",
                    Lang::En => "Automatic reply",
                };
                let text = format!("{head}: {}\n\n{words}", read.letter.subject);
                self.told(read, id, &text).await
            }
            None if matches!(marked, Some(Mark::Recipient(..))) => NOTED.to_owned(),
            None => self.person(read, marked, (from, network), true).await,
        }
    }

    async fn told(&self, read: &Read, id: ConversationId, text: &str) -> String {
        let change = ReturnChange::Told {
            conversation: id,
            body: self
                .keyring
                .seal(&conversation_context(&id), text.as_bytes()),
            taken: clock::now(),
        };
        let client = self.id("mail that told", read, 0);
        let mut proposal = Proposal::of_node(client, self.cluster.id(), Command::Return(change));
        proposal.source.door = Door::Mail;
        match self.letterbox.post(proposal).await {
            Posted::Agreed(_) | Posted::Held { .. } | Posted::Refused(_) => NOTED.to_owned(),
            Posted::Unsure(_) => LATER.to_owned(),
        }
    }

    /// The conversation that a message belongs to.
    fn thread(&self, read: &Read, marked: Option<Mark>) -> Option<ConversationId> {
        let answers = read.letter.answers.iter();
        let answered = answers.filter_map(|it| marks::of_message_id(&self.keyring, it));
        let by_mark = marked.into_iter().chain(answered).find_map(|it| match it {
            Mark::Conversation(id) => Some(id),
            Mark::Recipient(..) => None,
        });
        by_mark.or_else(|| {
            // A code is read out on telephones and stands in forwarded mail: alone it opens nothing, and neither with an
            // address whose domain says that the mail is not from there.
            if read.proof == Dmarc::Fail {
                return None;
            }
            let whose = self.contact_hash(read.letter.author.as_ref()?);
            let state = self.cluster.state();
            let codes = read.letter.tickets.iter();
            let found = codes.filter_map(|it| state.tickets.get(it)).flatten();
            found.copied().find(|id| {
                let conversation = state.conversations.get(id);
                conversation.is_some_and(|it| it.contact_hash == whose)
            })
        })
    }

    async fn person(
        &self,
        read: &Read,
        marked: Option<Mark>,
        (from, network): (Option<&str>, IpAddr),
        apart: bool,
    ) -> String {
        // Whoever forges a sender would have others thanked for mail that they never wrote.
        let apart = apart || read.proof == Dmarc::Fail;
        let envelope = from.and_then(|it| EmailAddress::new(it).ok());
        let Some(author) = read.letter.author.clone().or(envelope) else {
            return "550 5.1.7 There is no address that an answer could go to".to_owned();
        };
        let fresh = ConversationId(half(self.mac("conversation of mail", read, 0)));
        let thread = self.thread(read, marked);
        let id = thread.unwrap_or(fresh);
        if !self.knows(&id) && !self.pace.allows(network) {
            return "451 4.7.1 Too many new conversations from your network; come again".to_owned();
        }
        let kept = self.keep(read, marked, (&author, id), apart).await;
        let kept = match kept {
            Err(Some(Refusal::ConversationFull { .. })) if id != fresh => {
                self.keep(read, marked, (&author, fresh), apart).await
            }
            kept => kept,
        };
        match kept {
            Ok(Kept::Agreed) => "250 2.0.0 Safely stored on a majority of our servers".to_owned(),
            Ok(Kept::Held(1)) => "250 2.0.0 Held on one server, which will pass it on".to_owned(),
            Ok(Kept::Held(servers)) => {
                format!("250 2.0.0 Held on {servers} servers, which will pass it on")
            }
            Err(Some(Refusal::TooLarge { .. })) => {
                "552 5.3.4 The text of the message is too long".to_owned()
            }
            Err(_) => LATER.to_owned(),
        }
    }

    /// Keeps a letter in a conversation, in as many pieces as it needs; where it is least safely kept is what is told.
    async fn keep(
        &self,
        read: &Read,
        marked: Option<Mark>,
        (author, id): (&EmailAddress, ConversationId),
        apart: bool,
    ) -> Result<Kept, Option<Refusal>> {
        let state = self.cluster.state();
        let known = state.conversations.get(&id);
        let opens = known.is_none() && !self.holds(&id);
        let lang = known.map_or_else(|| read.letter.lang.unwrap_or(self.lang), |it| it.lang);
        let whose = self.contact_hash(author);
        let stranger = known.is_some_and(|it| it.contact_hash != whose);
        let forged = read.proof == Dmarc::Fail;
        let (letter, files) = self.fitted(read, &id);
        let pieces = letter::said(&letter, lang, opens, (stranger, forged));
        let too_long = Refusal::TooLarge {
            field: "text".to_owned(),
            found: 0,
            most: 0,
        };
        let pieces = pieces.ok_or(Some(too_long))?;
        let context = conversation_context(&id);
        let seal = |plain: &str| self.keyring.seal(&context, plain.as_bytes());
        let mut worst = Kept::Agreed;
        for (piece, number) in pieces.iter().zip(0_u8..) {
            let text = MessageText::new(piece).map_err(|_| None)?;
            let (body, taken) = (seal(text.as_str()), clock::now());
            let command = match opens && number == 0 {
                true => Command::OpenConversation {
                    conversation: id,
                    ticket: self.keyring.ticket(&id),
                    contact_hash: whose,
                    contact: seal(author.as_str()),
                    by_mail: true,
                    reference: self.campaign_of(read, marked).map(|it| seal(&it)),
                    lang,
                    body,
                    taken,
                    quarantined: apart,
                },
                false => Command::AddMessage {
                    conversation: id,
                    body,
                    taken,
                },
            };
            let command = match number {
                0 => command.with_files(self.locker.named(&id, files)),
                _ => command,
            };
            let proposal = Proposal {
                format: command.format(),
                id: self.id("mail message", read, number),
                actor: Actor::Customer,
                source: Source {
                    door: Door::Mail,
                    address: None,
                },
                origin: self.cluster.id(),
                stamp: None,
                command,
            };
            match self.letterbox.post(proposal).await {
                Posted::Agreed(_) => {}
                Posted::Held { servers } => worst = Kept::Held(servers),
                Posted::Refused(refusal) => return Err(Some(refusal)),
                Posted::Unsure(_) => return Err(None),
            }
        }
        Ok(worst)
    }

    /// A letter with the attachments that its conversation has room for; the others are named in it, and its words are
    /// kept all the same.
    fn fitted<'a>(&self, read: &'a Read, id: &ConversationId) -> (Letter, &'a [KeptFile]) {
        let mut letter = read.letter.clone();
        let Err(why) = self.locker.fits(id, &read.kept) else {
            return (letter, &read.kept);
        };
        for file in &read.kept {
            letter.leave_out(&file.refused(why));
        }
        (letter, &[])
    }

    /// Puts attachments on the disk, but those of a mail that is there already.
    async fn keep_files(&self, read: &Read, files: Vec<Ready>) -> Result<Vec<KeptFile>, NotStored> {
        let id = self.id("mail message", read, 0);
        let by_person = matches!(read.kind, Kind::Person | Kind::Automatic | Kind::AutoReply);
        if !by_person || self.cluster.state().answers.contains_key(&id) {
            return Ok(Vec::new());
        }
        self.locker.keep(files).await
    }

    /// The name of the campaign that a letter answers.
    fn campaign_of(&self, read: &Read, marked: Option<Mark>) -> Option<String> {
        let answers = read.letter.answers.iter();
        let answered = answers.filter_map(|it| marks::of_message_id(&self.keyring, it));
        let campaign = marked.into_iter().chain(answered).find_map(|it| match it {
            Mark::Recipient(campaign, _) => Some(campaign),
            Mark::Conversation(_) => None,
        })?;
        let state = self.cluster.state();
        let known = state.campaigns.all.get(&campaign)?;
        Some(known.draft.name.as_str().to_owned())
    }

    fn holds(&self, id: &ConversationId) -> bool {
        self.letterbox.held_for(id).iter().any(|it| it.stored)
    }

    fn knows(&self, id: &ConversationId) -> bool {
        self.cluster.state().conversations.contains_key(id) || self.holds(id)
    }

    fn lang_of(&self, id: &ConversationId, read: &Read) -> Lang {
        let state = self.cluster.state();
        let known = state.conversations.get(id).map(|it| it.lang);
        known.or(read.letter.lang).unwrap_or(self.lang)
    }

    /// How a contact is found again: as the website's form makes it.
    fn contact_hash(&self, author: &EmailAddress) -> KeyedHash {
        self.keyring
            .mac("contact", author.as_str().to_lowercase().as_bytes())
    }

    fn mac(&self, purpose: &str, read: &Read, number: u8) -> KeyedHash {
        self.keyring
            .mac(purpose, &[&read.name[..], &[number]].concat())
    }

    /// The same for the same mail on every node, so that a mail that is handed in twice is one entry (P1).
    fn id(&self, purpose: &str, read: &Read, number: u8) -> ClientId {
        ClientId(half(self.mac(purpose, read, number)))
    }
}

/// 128 bits of a keyed hash, which is what an id holds.
fn half(KeyedHash(hash): KeyedHash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// Judges and reads a message. Costs time, and runs apart from the sessions.
fn read(keyring: &Keyring, locker: &Locker, bytes: &[u8], null: bool) -> Option<Read> {
    let message = judge::parse(bytes)?;
    let kind = judge::judge(&message, null);
    let mut letter = letter::read(&message);
    let is_report = matches!(kind, Kind::Returned(_) | Kind::Complaint);
    let about = match is_report {
        true => marks_in(keyring, &judge::included(&message)),
        false => Vec::new(),
    };
    let ours = !is_report && marks::of_message_id(keyring, &letter.id).is_some();
    let author = letter.author.as_ref().map_or("", |it| it.as_str());
    let name = match letter.id.is_empty() {
        // Without a Message-ID the words name it; what servers put above them differs at each try.
        true => Sha256::new_with_prefix(b"words\0")
            .chain_update(author)
            .chain_update([0])
            .chain_update(&letter.subject)
            .chain_update([0])
            .chain_update(
                &bytes[message.root_part().raw_body_offset() as usize % bytes.len().max(1)..],
            ),
        false => Sha256::new_with_prefix(b"id\0")
            .chain_update(author)
            .chain_update([0])
            .chain_update(&letter.id),
    };
    let hops = message.header_values("Received").count();
    let mut files = Vec::new();
    if !is_report && !ours && hops <= MAIL_IN_HOPS_MAX {
        let mut room = locker.room_for_any();
        for (name, content) in letter::attached(&message) {
            match locker.take_whole(&name, content, &mut room) {
                Ok(ready) => files.push(ready),
                Err(refused) => letter.leave_out(&refused),
            }
        }
    }
    Some(Read {
        kind,
        letter,
        about,
        name: name.finalize().into(),
        ours,
        circles: hops > MAIL_IN_HOPS_MAX,
        files,
        kept: Vec::new(),
        proof: Dmarc::Unknown,
    })
}

/// The marks of ours in what a report includes of the mail that it is about.
fn marks_in(keyring: &Keyring, text: &str) -> Vec<Mark> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '-');
    let shaped = words.filter(|it| matches!(it.len(), 34 | 47));
    let read = |word: &str| {
        marks::read(keyring, Purpose::Address, word)
            .or_else(|| marks::read(keyring, Purpose::Message, word))
    };
    shaped.filter_map(read).take(10).collect()
}

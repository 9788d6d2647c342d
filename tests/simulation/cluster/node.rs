//! One machine: the real agreement on the simulated network and disk, with a letterbox and customers in front of it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use lifeboat::{
    cluster::{
        ChangeError, Cluster, MemberChange,
        agreement::{Agreement, Parts},
        disk::Disk,
        frames::Allegiance,
        front::Front,
        health::Quorum,
    },
    model::{
        Actor, Command, Proposal, Refusal, Reply, Source,
        command::FORMAT,
        conversation::Door,
        nodes::{CaRecord, NodeFacts, Profile, Role},
        words::{
            ClientId, ClusterId, ConversationId, KeyedHash, Label, Lang, NodeId, Note, Sealed,
            TicketCode, Timestamp, TokenId,
        },
    },
    seal::Keyring,
    tasks::Stop,
};
use openraft_rt::AsyncRuntime;
use tokio::time::sleep;

use super::{
    disk::SimDisk,
    net::{PORT, SimNet},
    runtime::Seeded,
    town::{Host, Square, View, Wish},
};
use crate::dice::Dice;

/// Entries between two snapshots: few, so that who lags needs one.
const SNAPSHOT_EVERY: u64 = 60;
/// How long one proposal may take.
const PROPOSE: Duration = Duration::from_secs(4);
/// Conversations of one machine's customers.
const CONVERSATIONS: u8 = 3;

/// An id that says where it comes from.
fn id_of(host: Host, kind: u8, count: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[0] = host.as_bytes()[0];
    id[1] = kind;
    id[8..].copy_from_slice(&count.to_be_bytes());
    id
}

fn named(id: &ClientId) -> String {
    let mut count = [0; 8];
    count.copy_from_slice(&id.0[8..]);
    format!(
        "{}{}#{}",
        char::from(id.0[0]),
        id.0[1],
        u64::from_be_bytes(count)
    )
}

fn proposal(id: [u8; 16], origin: NodeId, actor: Actor, command: Command) -> Proposal {
    Proposal {
        format: FORMAT,
        id: ClientId(id),
        actor,
        source: Source {
            door: Door::Form,
            address: None,
        },
        origin,
        stamp: None,
        command,
    }
}

/// The whole life of a machine between two crashes.
pub async fn live(seed: u64, host: Host, square: Square) -> turmoil::Result {
    let life = {
        let mut town = square.town();
        let life = town.lives.entry(host).or_default();
        *life += 1;
        *life
    };
    let dice = Dice::of_seed(seed ^ (u64::from(host.as_bytes()[0]) << 32) ^ (life << 48));
    let node = wait_for_a_name(host, &square).await;
    if let Err(why) = take_part(host, node, &square, dice).await {
        square.tell(format_args!("{host} cannot take part: {why}"));
    }
    std::future::pending().await
}

/// A machine that was not admitted yet has nothing to do.
async fn wait_for_a_name(host: Host, square: &Square) -> NodeId {
    loop {
        if let Some(node) = square.town().residents.get(host) {
            return *node;
        }
        // waits because nobody tells a machine that it will be needed
        sleep(Duration::from_millis(20)).await;
    }
}

async fn take_part(
    host: Host,
    node: NodeId,
    square: &Square,
    mut dice: Dice,
) -> Result<(), Box<dyn std::error::Error>> {
    let (platter, seeds) = {
        let mut town = square.town();
        let platter = town.platters.entry(host).or_default().clone();
        let seeds: BTreeMap<NodeId, SocketAddr> = town
            .residents
            .iter()
            .map(|(host, node)| (*node, town.addresses[host]))
            .collect();
        (platter, seeds)
    };
    let disk = SimDisk::open(platter, Dice::of_seed(dice.below(u64::MAX)));
    let clock = square.clone();
    let parts = Parts {
        us: Allegiance {
            cluster: ClusterId([7; 16]),
            generation: 1,
            node,
        },
        cluster_name: "town".to_owned(),
        profile: Profile::Near,
        net: Arc::new(SimNet::listen(node).await?),
        disk: disk.clone(),
        seeds,
        clock: Arc::new(move || clock.clock(host)),
        snapshot_every: SNAPSHOT_EVERY,
        blobs: Arc::new(|_, _| Box::pin(std::future::ready(None))),
        keyring: Arc::new(Keyring::generate()),
        front: Front::new(node),
        instead: None,
    };
    let mut agreement = Agreement::<Seeded, SimNet, SimDisk>::open(parts).await?;
    let cluster = agreement.cluster.clone();
    let stop = Stop::new();
    for (_, work) in std::mem::take(&mut agreement.work) {
        drop(Seeded::spawn(work(stop.clone())));
    }
    square.tell(format_args!("{host} runs as {node}"));
    drop(Seeded::spawn(watch(host, cluster.clone(), square.clone())));
    if node == NodeId::FOUNDER {
        found(&agreement, &cluster, square).await;
    }
    drop(Seeded::spawn(fulfil(host, cluster.clone(), square.clone())));
    if matches!(host, "a" | "b" | "c") {
        let customers = Dice::of_seed(dice.below(u64::MAX));
        drop(Seeded::spawn(write(host, node, square.clone(), customers)));
        for number in 0..CONVERSATIONS {
            let id = conversation_of(host, number);
            drop(Seeded::spawn(post(
                host,
                id,
                cluster.clone(),
                square.clone(),
            )));
        }
        let again = Dice::of_seed(dice.below(u64::MAX));
        drop(Seeded::spawn(send_again(cluster, square.clone(), again)));
    }
    // Raft ends when its last handle goes, so it is held for as long as the machine runs.
    std::future::pending::<()>().await;
    drop((agreement, disk.poisoned()));
    Ok(())
}

/// Notes everything that the node publishes.
async fn watch(host: Host, cluster: Cluster, square: Square) {
    let (mut health, mut applied) = (cluster.health_changes(), cluster.changes());
    let mut last = None;
    loop {
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            changed = applied.changed() => if changed.is_err() { return },
        }
        let it = health.borrow_and_update().clone();
        let view = View {
            state: cluster.state(),
            role: it.role,
            term: it.term,
            quorum: it.quorum == Quorum::Held,
            halted: it.halted.clone(),
        };
        let told = (view.role, view.term, view.quorum, view.halted.clone());
        let judged = {
            let mut town = square.town();
            let judged = town.published(host, &view.state);
            town.views.insert(host, view);
            judged
        };
        if let Err(what) = judged {
            square.fault(what);
        }
        if last.as_ref() != Some(&told) {
            square.tell(format_args!("{host} {told:?} leader {:?}", it.leader));
            last = Some(told);
        }
    }
}

fn facts(host: Host, square: &Square) -> NodeFacts {
    let address = square.town().addresses[host];
    NodeFacts {
        name: Label::new(host).unwrap(),
        // Each at another provider, so that any odd number of them is sound.
        provider: Label::new(&format!("provider-{host}")).unwrap(),
        region: Label::new("town").unwrap(),
        advertise: Note::cut(&SocketAddr::new(address.ip(), PORT).to_string()),
        sites: Vec::new(),
        fingerprint: KeyedHash([0; 32]),
        format: FORMAT,
        version: Note::cut("0"),
    }
}

/// The first node makes the cluster, unless it did so in an earlier life.
async fn found(agreement: &Agreement<Seeded, SimNet, SimDisk>, cluster: &Cluster, square: &Square) {
    if let Err(why) = agreement.found().await {
        square.tell(format_args!("a does not found: {why}"));
    }
    let command = Command::Found {
        cluster: ClusterId([7; 16]),
        name: Label::new("town").unwrap(),
        profile: Profile::Near,
        authority: CaRecord {
            certificate: String::new(),
            key: Sealed {
                key: 1,
                bytes: Vec::new(),
            },
        },
        node: facts("a", square),
    };
    let first = proposal(id_of("a", 1, 0), NodeId::FOUNDER, Actor::System, command);
    while cluster.state().cluster.is_none() {
        let told = cluster.propose(first.clone(), PROPOSE).await;
        square.tell(format_args!("founding: {told:?}"));
        // waits because there is no leader yet
        sleep(Duration::from_millis(100)).await;
    }
}

/// An operator at this machine sees to what is wished, until it is done.
async fn fulfil(host: Host, cluster: Cluster, square: Square) {
    loop {
        // waits because an operator looks now and then
        sleep(Duration::from_millis(200)).await;
        let wish = square.town().wishes.front().cloned();
        let done = match &wish {
            // One operator is enough; the founder's has the first word.
            Some(_) if host != "a" && square.town().views.contains_key("a") => false,
            Some(Wish::Admit(newcomer)) => admit(&cluster, newcomer, &square).await,
            Some(Wish::Replace { old, new }) => replace(&cluster, old, new, &square).await,
            None => false,
        };
        if done {
            square.town().wishes.pop_front();
        }
    }
}

/// A newcomer is admitted and takes another one's place.
async fn replace(cluster: &Cluster, old: Host, new: Host, square: &Square) -> bool {
    let (leaving, coming) = {
        let town = square.town();
        let id = |host| town.residents.get(host).copied();
        (id(old), id(new))
    };
    let (Some(leaving), Some(coming)) = (leaving, coming) else {
        admit(cluster, new, square).await;
        return false;
    };
    let change = MemberChange::Replace(leaving, coming);
    let patience = Duration::from_secs(20);
    let told = cluster.change_members(change, false, patience).await;
    square.tell(format_args!("{new} in place of {old}: {told:?}"));
    // Done before, and the answer was lost: the one to be replaced is no voter any more.
    let before = matches!(told, Err(ChangeError::Refused(Refusal::Unknown { .. })));
    told.is_ok() || before
}

async fn admit(cluster: &Cluster, newcomer: Host, square: &Square) -> bool {
    let number = u64::from(newcomer.as_bytes()[0]);
    let token = TokenId(number.to_be_bytes());
    let secret_hash = KeyedHash([3; 32]);
    let create = Command::CreateToken {
        token,
        secret_hash,
        role: Role::Voter,
        uses: 1,
        ttl_ms: 3_600_000,
    };
    let join = Command::AdmitNode {
        token,
        secret_hash,
        node: facts(newcomer, square),
    };
    let me = cluster.id();
    let create = proposal(id_of(newcomer, 2, 0), me, Actor::System, create);
    let join = proposal(id_of(newcomer, 3, 0), me, Actor::System, join);
    let _ = cluster.propose(create, PROPOSE).await;
    match cluster.propose(join, PROPOSE).await.map(|it| it.reply) {
        Ok(Reply::Admitted(id)) => {
            square.town().residents.insert(newcomer, id);
            square.tell(format_args!("{newcomer} is admitted as {id}"));
            true
        }
        other => {
            square.tell(format_args!("{newcomer} is not admitted: {other:?}"));
            false
        }
    }
}

fn conversation_of(host: Host, number: u8) -> ConversationId {
    ConversationId(id_of(host, 4, u64::from(number)))
}

/// Customers write at this machine; what they wrote is in its letterbox from then on.
async fn write(host: Host, node: NodeId, square: Square, mut dice: Dice) {
    loop {
        let pause = 40 + dice.below(250);
        // waits because customers take their time
        sleep(Duration::from_millis(pause)).await;
        let taken = square.clock(host);
        let mut town = square.town();
        if !town.open {
            continue;
        }
        let number = u8::try_from(dice.below(u64::from(CONVERSATIONS))).unwrap();
        let conversation = conversation_of(host, number);
        let posted = town.posted.entry(conversation).or_default();
        let id = id_of(host, 10 + number, posted.len() as u64);
        let command = words(posted.is_empty(), conversation, id, taken);
        posted.push(ClientId(id));
        let letter = proposal(id, node, Actor::Customer, command);
        let letterbox = town.boxes.entry(host).or_default();
        letterbox.entry(conversation).or_default().push_back(letter);
    }
}

fn words(first: bool, conversation: ConversationId, id: [u8; 16], taken: Timestamp) -> Command {
    let body = Sealed {
        key: 1,
        bytes: [id, id, id, id].concat(),
    };
    if !first {
        return Command::AddMessage {
            conversation,
            body,
            taken,
        };
    }
    Command::OpenConversation {
        conversation,
        ticket: TicketCode::from_entropy(u64::from(conversation.0[15])),
        contact_hash: KeyedHash([1; 32]),
        contact: body.clone(),
        by_mail: true,
        reference: None,
        lang: Lang::Cs,
        body,
        taken,
        quarantined: false,
    }
}

/// The postman of one conversation: the first item is proposed until it is agreed on, then the next.
async fn post(host: Host, conversation: ConversationId, cluster: Cluster, square: Square) {
    loop {
        let first = {
            let town = square.town();
            let letterbox = town.boxes.get(host).and_then(|it| it.get(&conversation));
            letterbox.and_then(|it| it.front().cloned())
        };
        let Some(letter) = first else {
            // waits because there is nothing to post
            sleep(Duration::from_millis(30)).await;
            continue;
        };
        let told = cluster.propose(letter.clone(), PROPOSE).await;
        match told {
            Ok(committed) if matches!(committed.reply, Reply::Kept { .. }) => {
                square.tell(format_args!(
                    "{host} {} agreed at {}",
                    named(&letter.id),
                    committed.index
                ));
                let mut town = square.town();
                town.answered
                    .insert(letter.id, (committed.index, committed.reply));
                town.sent.push(letter);
                let letterbox = town.boxes.get_mut(host).unwrap();
                letterbox.get_mut(&conversation).unwrap().pop_front();
            }
            Ok(committed) => square.fault(format!(
                "{} was refused: {:?}",
                named(&letter.id),
                committed.reply
            )),
            Err(why) => {
                square.tell(format_args!("{host} {} not yet: {why}", named(&letter.id)));
                // waits because the next attempt is for later
                sleep(Duration::from_millis(150)).await;
            }
        }
    }
}

/// A browser sends something again that was answered long ago, here or elsewhere: it must get the first answer.
async fn send_again(cluster: Cluster, square: Square, mut dice: Dice) {
    loop {
        // waits because it happens now and then
        sleep(Duration::from_millis(700)).await;
        let letter = {
            let town = square.town();
            dice.pick(&town.sent).cloned()
        };
        let Some(letter) = letter else { continue };
        let first = square.town().answered.get(&letter.id).cloned();
        if let Ok(committed) = cluster.propose(letter.clone(), PROPOSE).await
            && first.as_ref().map(|it| &it.1) != Some(&committed.reply)
        {
            square.fault(format!(
                "{} was answered {first:?} and then {:?}",
                named(&letter.id),
                committed.reply
            ));
        }
    }
}

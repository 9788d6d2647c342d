//! The letterbox's story: agreed, held, agreed later, once and in order, across a restart, and by way of a peer.

use std::path::PathBuf;

use tokio::{runtime::Handle, sync::watch};

use super::{
    drawer::{Drawer, Key},
    *,
};
use crate::{
    cluster::{
        health::Health,
        tests::stand_in::{self, Majority, Weather, reaches, reaches_majority},
    },
    model::{
        Actor, BoxStamp, Command,
        words::{ClientId, KeyedHash, Lang, NodeId, Sealed, TicketCode, Timestamp},
    },
    tasks::Tasks,
};

type Knows = watch::Sender<Arc<Health>>;

/// A majority of one, that node's handle, and what the node knows.
fn majority() -> (Arc<Majority>, Cluster, Knows) {
    let majority = Majority::founded(1);
    let (cluster, knows) = majority.node(1);
    (majority, cluster, knows)
}

/// Cuts a node off, or lets it reach the majority again.
fn be_reachable(majority: &Majority, knows: &Knows, reachable: bool) {
    majority.weather(match reachable {
        true => Weather::Fair,
        false => Weather::Alone,
    });
    reaches_majority(knows, reachable);
}

fn proposal(actor: Actor, command: Command, id: u8) -> Proposal {
    Proposal {
        id: ClientId([id; 16]),
        ..stand_in::proposal(actor, command)
    }
}

fn sealed(byte: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![byte; 40],
    }
}

fn opening(conversation: u8, id: u8) -> Proposal {
    let command = Command::OpenConversation {
        conversation: ConversationId([conversation; 16]),
        ticket: TicketCode::from_entropy(u64::from(conversation)),
        contact_hash: KeyedHash([conversation; 32]),
        contact: sealed(conversation),
        by_mail: false,
        reference: None,
        lang: Lang::En,
        body: sealed(id),
        taken: Timestamp(1),
        quarantined: false,
    };
    proposal(Actor::Customer, command, id)
}

fn adding(conversation: u8, id: u8) -> Proposal {
    let conversation = ConversationId([conversation; 16]);
    proposal(
        Actor::Customer,
        Command::AddMessage {
            conversation,
            body: sealed(id),
            taken: Timestamp(1),
        },
        id,
    )
}

fn file(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("lifeboat-letterbox-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("letterbox.db")
}

fn open(path: &Path, cluster: &Cluster, tasks: &mut Tasks) -> Letterbox {
    let (letterbox, work) = Letterbox::open(path, cluster.clone()).unwrap();
    tasks.start(&Handle::current(), "letterbox", work);
    letterbox
}

#[tokio::test]
async fn p1_what_a_majority_takes_is_agreed_and_leaves_the_box() {
    let (path, mut tasks) = (file("agreed"), Tasks::new());
    let (_, cluster, _knows) = majority();
    let letterbox = open(&path, &cluster, &mut tasks);
    let Posted::Agreed(first) = letterbox.post(opening(7, 7)).await else {
        panic!("not agreed")
    };
    assert_eq!(
        letterbox.post(opening(7, 7)).await,
        Posted::Agreed(Committed {
            index: cluster.state().index,
            ..first
        })
    );
    assert_eq!(
        cluster.state().conversations[&ConversationId([7; 16])]
            .messages
            .len(),
        1
    );
    assert!(letterbox.held().is_empty());
}

#[tokio::test]
async fn p3_what_nobody_else_can_take_is_held_and_agreed_once_and_in_order_when_they_can() {
    let (path, mut tasks) = (file("held"), Tasks::new());
    let (majority, cluster, knows) = majority();
    let letterbox = open(&path, &cluster, &mut tasks);
    be_reachable(&majority, &knows, false);
    let posts =
        [opening(7, 1), adding(7, 2), adding(7, 3), opening(7, 1)].map(|it| letterbox.post(it));
    let told = futures_util::future::join_all(posts).await;
    assert_eq!(told, vec![Posted::Held { servers: 1 }; 4]);
    assert_eq!(letterbox.held_for(&ConversationId([7; 16])).len(), 3);
    be_reachable(&majority, &knows, true);
    majority
        .until("three messages", |it| it.answers.len() == 4)
        .await;
    let said: Vec<ClientId> = cluster.state().conversations[&ConversationId([7; 16])]
        .messages
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(said, [1, 2, 3].map(|it| ClientId([it; 16])));
}

#[tokio::test]
async fn p1_what_was_held_survives_the_process_and_is_agreed_by_the_next_one() {
    let (path, mut tasks) = (file("restart"), Tasks::new());
    let (majority, cluster, knows) = majority();
    be_reachable(&majority, &knows, false);
    let mut first = Tasks::new();
    let letterbox = open(&path, &cluster, &mut first);
    assert_eq!(
        letterbox.post(opening(7, 1)).await,
        Posted::Held { servers: 1 }
    );
    let before = letterbox.health().incarnation;
    drop(first);
    drop(letterbox);
    let letterbox = open(&path, &cluster, &mut tasks);
    assert!(letterbox.health().incarnation > before);
    assert_eq!(letterbox.held_for(&ConversationId([7; 16])).len(), 1);
    be_reachable(&majority, &knows, true);
    majority
        .until("the message", |it| {
            it.conversations.contains_key(&ConversationId([7; 16]))
        })
        .await;
    assert!(cluster.state().boxes[&(NodeId(1), before)].covers(1));
}

#[tokio::test]
async fn an_addition_to_a_conversation_that_is_held_elsewhere_waits_for_it() {
    let (path, mut tasks) = (file("elsewhere"), Tasks::new());
    let (majority, cluster, _knows) = majority();
    let letterbox = open(&path, &cluster, &mut tasks);
    assert_eq!(
        letterbox.post(adding(7, 2)).await,
        Posted::Held { servers: 1 }
    );
    majority.apply(opening(7, 1));
    majority
        .until("both messages", |it| {
            it.conversations[&ConversationId([7; 16])].messages.len() == 2
        })
        .await;
}

#[tokio::test]
async fn what_the_cluster_never_takes_is_refused_to_its_sender_and_not_kept() {
    let (path, mut tasks) = (file("refused"), Tasks::new());
    let (_, cluster, _knows) = majority();
    let letterbox = open(&path, &cluster, &mut tasks);
    let mut large = opening(7, 1);
    if let Command::OpenConversation { body, .. } = &mut large.command {
        body.bytes = vec![0; limits::SEALED_BYTES_MAX + 1];
    }
    assert!(matches!(
        letterbox.post(large).await,
        Posted::Refused(Refusal::TooLarge { .. })
    ));
    assert!(letterbox.held().is_empty());
}

#[tokio::test]
async fn p3_a_letterbox_that_is_no_database_any_more_is_set_aside_and_a_new_one_takes_messages() {
    let (path, mut tasks) = (file("aside"), Tasks::new());
    let (_, cluster, _knows) = majority();
    std::fs::write(&path, vec![7; 8_192]).unwrap();
    let letterbox = open(&path, &cluster, &mut tasks);
    assert_eq!(letterbox.health().damaged, 1);
    assert!(matches!(
        letterbox.post(opening(7, 7)).await,
        Posted::Agreed(_)
    ));
    let kept = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    assert_eq!(
        kept.filter(|it| it.file_name().to_string_lossy().contains("aside"))
            .count(),
        1
    );
}

#[test]
fn p3_no_flipped_bit_of_the_letterbox_loses_an_item_silently_or_changes_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letterbox.db");
    let key = |sequence: u8| Key {
        copy_of: (sequence % 5 == 4).then_some(NodeId(2)),
        stamp: BoxStamp {
            incarnation: 7,
            sequence: u64::from(sequence),
        },
    };
    let item = |sequence: u8| opening(sequence, sequence);
    let bytes_of = |it: &Proposal| drawer::encode(it).unwrap();
    // As a crash leaves it: half of it in the file, half in the write-ahead file, a transaction each.
    let row = |sequence| anew::Row {
        key: key(sequence),
        bytes: bytes_of(&item(sequence)),
        refused: None,
    };
    drop(anew::begin(&path, 7, &(0..6).map(row).collect::<Vec<_>>()).unwrap());
    let (drawer, contents) = Drawer::open(&path).unwrap();
    assert_eq!((contents.items.len(), contents.damaged), (6, 0));
    for sequence in 6..12 {
        let stored = drawer.put(key(sequence), &item(sequence));
        stored.blocking_recv().unwrap().unwrap();
    }
    let log = anew::beside(&path, "-wal");
    let left = [&path, &log].map(|it| std::fs::read(it).unwrap());
    let [whole, ahead] = left.each_ref().map(Vec::len);
    // What was being written last looks the same as what a power cut tore, which nobody was told of.
    let torn = whole + ahead - 2 * (4096 + 24);
    let places = (0..100).step_by(3).chain((100..whole + 100).step_by(211));
    let places = places.chain((whole..whole + 60).step_by(3));
    let (mut told, mut played) = (0, 0);
    for at in places.chain((whole + 60..whole + ahead).step_by(389)) {
        let [mut database, mut log] = left.clone();
        match at.checked_sub(whole) {
            None => database[at] ^= 1 << (at % 8),
            Some(at) => log[at] ^= 1 << (at % 8),
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letterbox.db");
        std::fs::write(&path, database).unwrap();
        std::fs::write(anew::beside(&path, "-wal"), log).unwrap();
        let (_drawer, contents) = Drawer::open(&path).unwrap_or_else(|error| {
            panic!(
                "byte {at}: {error}: {:?}",
                std::error::Error::source(&error)
            )
        });
        let found: Vec<_> = contents
            .items
            .iter()
            .map(|it| bytes_of(&it.proposal))
            .collect();
        let meant: Vec<_> = (0..12).map(|it| bytes_of(&item(it))).collect();
        assert!(
            found.iter().all(|it| meant.contains(it)),
            "byte {at}: an item was changed"
        );
        let lost = meant.iter().filter(|it| !found.contains(it)).count();
        let silent = lost > 0 && contents.damaged == 0;
        assert!(
            !silent || at >= torn,
            "byte {at} of {whole} and {ahead}: {lost} items lost silently"
        );
        told += usize::from(contents.damaged > 0);
        played += 1;
    }
    assert!(told > played / 4, "{told} of {played} were noticed");
}

/// A node of a cluster of three, with a letterbox.
fn boat(majority: &Arc<Majority>, id: u64, name: &str, tasks: &mut Tasks) -> (Letterbox, Knows) {
    let (cluster, knows) = majority.node(id);
    (open(&file(name), &cluster, tasks), knows)
}

/// Waits until a letterbox is as wanted.
async fn until(letterbox: &Letterbox, what: &str, wanted: impl Fn(&BoxHealth) -> bool) {
    let looking = async {
        while !wanted(&letterbox.health()) {
            // waits because its disk has a thread, whose time goes on where that of the test is paused
            let disk = || std::thread::sleep(Duration::from_millis(1));
            tokio::task::spawn_blocking(disk).await.unwrap();
            // waits because a letterbox tells nobody what it holds; the deadline is below
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), looking).await;
    assert!(in_time.is_ok(), "{what}: {:?}", letterbox.health());
}

#[tokio::test]
async fn p1_what_is_held_lies_on_a_peer_too_which_passes_it_on_when_its_taker_is_gone() {
    let mut tasks = Tasks::new();
    let majority = Majority::founded(3);
    majority.weather(Weather::Alone);
    let mut first = Tasks::new();
    let (taker, taker_knows) = boat(&majority, 1, "taker", &mut first);
    let (peer, peer_knows) = boat(&majority, 2, "peer", &mut tasks);
    for (knows, sees) in [(&taker_knows, [2]), (&peer_knows, [1])] {
        reaches_majority(knows, false);
        reaches(knows, &sees);
    }
    let told = [opening(7, 1), adding(7, 2)].map(|it| taker.post(it));
    let told = futures_util::future::join_all(told).await;
    assert_eq!(told, vec![Posted::Held { servers: 2 }; 2]);
    let copies = peer.held_for(&ConversationId([7; 16]));
    assert!(copies.iter().all(|it| it.stored && it.servers == 2));
    assert_eq!((taker.health().copied, peer.health().copies), (2, 2));
    assert!(!peer.health().drained, "a copy may be the last one");
    // Its disk is gone with it.
    drop((taker, first));
    reaches(&peer_knows, &[3]);
    be_reachable(&majority, &peer_knows, true);
    majority
        .until("both messages", |it| {
            it.conversations
                .get(&ConversationId([7; 16]))
                .is_some_and(|it| it.messages.len() == 2)
        })
        .await;
    until(&peer, "the copies go", |it| it.drained).await;
}

#[tokio::test]
async fn copies_survive_their_keepers_restart() {
    let mut tasks = Tasks::new();
    let majority = Majority::founded(3);
    majority.weather(Weather::Alone);
    let (taker, knows) = boat(&majority, 1, "sender", &mut tasks);
    reaches_majority(&knows, false);
    let (path, mut first) = (file("keeper"), Tasks::new());
    let (cluster, keeper_knows) = majority.node(2);
    reaches_majority(&keeper_knows, false);
    let keeper = open(&path, &cluster, &mut first);
    assert_eq!(taker.post(opening(7, 1)).await, Posted::Held { servers: 2 });
    drop((keeper, first));
    let keeper = open(&path, &cluster, &mut tasks);
    assert_eq!(keeper.health().copies, 1);
    assert_eq!(
        keeper.held_for(&ConversationId([7; 16]))[0].copy_of,
        Some(NodeId(1))
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_those_that_hold_a_message_proposes_it_and_not_all() {
    let mut tasks = Tasks::new();
    let majority = Majority::founded(3);
    majority.weather(Weather::Alone);
    let boats: Vec<_> = (1..=3)
        .map(|id| boat(&majority, id, &format!("turn-{id}"), &mut tasks))
        .collect();
    for (_, knows) in &boats {
        reaches_majority(knows, false);
    }
    boats[0].0.post(opening(7, 1)).await;
    until(&boats[0].0, "it lies on all", |it| it.copied == 1).await;
    majority.weather(Weather::Fair);
    for (_, knows) in boats.iter().rev() {
        reaches_majority(knows, true);
    }
    for (letterbox, _) in &boats {
        until(letterbox, "it is drained", |it| it.drained).await;
    }
    let proposed = majority.log();
    assert_eq!(
        proposed
            .iter()
            .filter(|it| it.id == ClientId([1; 16]))
            .count(),
        1
    );
}

#[tokio::test]
async fn what_is_agreed_on_within_a_moment_is_not_copied() {
    let mut tasks = Tasks::new();
    let majority = Majority::founded(3);
    let (taker, _knows) = boat(&majority, 1, "brisk", &mut tasks);
    let (peer, _peer_knows) = boat(&majority, 2, "idle", &mut tasks);
    for number in 1..=50 {
        assert!(matches!(
            taker.post(opening(number, number)).await,
            Posted::Agreed(_)
        ));
    }
    // Its own writes came after: had there been a copy, it would have been on its way before them.
    peer.post(opening(60, 60)).await;
    assert_eq!((taker.health().copied, peer.health().copies), (0, 0));
}

#[tokio::test]
async fn p1_a_file_that_failed_is_replaced_by_one_with_all_that_is_held() {
    let path = file("failed");
    let (majority, cluster, knows) = majority();
    be_reachable(&majority, &knows, false);
    let mut first = Tasks::new();
    let letterbox = open(&path, &cluster, &mut first);
    assert_eq!(
        letterbox.post(opening(7, 1)).await,
        Posted::Held { servers: 1 }
    );
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("DROP TABLE item").unwrap();
    drop(other);
    // A disk that refuses says so in its own words when no majority answers.
    let Posted::Unsure(why) = letterbox.post(adding(7, 2)).await else {
        panic!("it was kept")
    };
    assert!(why.contains("no such table"), "{why}");
    until(&letterbox, "a new file is begun", |it| it.failed.is_none()).await;
    assert_eq!(
        letterbox.post(adding(7, 2)).await,
        Posted::Held { servers: 1 }
    );
    drop((letterbox, first));
    let mut tasks = Tasks::new();
    let letterbox = open(&path, &cluster, &mut tasks);
    let held = letterbox.held_for(&ConversationId([7; 16]));
    let ids: Vec<ClientId> = held.iter().map(|it| it.proposal.id).collect();
    assert_eq!(ids, [1, 2].map(|it| ClientId([it; 16])));
    be_reachable(&majority, &knows, true);
    until(&letterbox, "all is agreed on", |it| it.drained).await;
}

#[tokio::test(start_paused = true)]
async fn a_bell_rings_for_its_conversation_agreed_or_held_and_for_no_other() {
    let (majority, cluster, knows) = majority();
    let folder = tempfile::tempdir().unwrap();
    let (letterbox, work) = Letterbox::open(&folder.path().join("letterbox"), cluster).unwrap();
    let stop = Stop::new();
    tokio::spawn(work(stop.clone()));
    tokio::spawn(letterbox.clone().ring_bells(stop.clone()));
    let listen = |it: u8| letterbox.listen(ConversationId([it; 16]));
    let (mut one, mut other, mut any) = (listen(1), listen(2), letterbox.listen_to_all());
    let soon = Duration::from_secs(5);
    // Waits because that nothing rings is what is to be seen.
    let rings = async |it: &mut Listening| tokio::time::timeout(soon, it.rung()).await.is_ok();
    assert!(!rings(&mut one).await, "nothing has happened");
    letterbox.post(opening(1, 1)).await;
    assert!(rings(&mut one).await && rings(&mut any).await);
    assert!(!rings(&mut other).await, "another conversation's bell");
    while rings(&mut one).await {}
    be_reachable(&majority, &knows, false);
    assert!(letterbox.leave(adding(1, 2)));
    assert!(rings(&mut one).await, "what is held rings too");
    while rings(&mut any).await {}
    be_reachable(&majority, &knows, true);
    assert!(rings(&mut one).await, "and when it is agreed on");
    let again = listen(1);
    drop(one);
    assert_eq!(letterbox.bells.count(), 2);
    drop((again, other));
    assert_eq!(letterbox.bells.count(), 0, "bells are left behind");
    stop.cancel();
}

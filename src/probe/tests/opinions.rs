//! What the board makes of looks, and what the voter makes of opinions. Without sockets.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::*;
use crate::clock;
use crate::model::health::{Opinion, Watch};
use crate::model::limits::{BALLOTS_MAX, VOTE_BACKOFF_MS};
use crate::probe::board::{Board, Key, Look};
use crate::probe::vantage::View;
use crate::probe::voter::Voter;
use Opinion::{Down, Unknown, Up};

fn key() -> Key {
    (label("web"), label("main"))
}

/// A board with one target: so many checks, named by number, of which `need` must be up.
struct Story {
    board: Board,
    now: Instant,
}

impl Story {
    fn begin(checks: usize, need: u8) -> Story {
        let mut board = Board::default();
        let tcp = |at: usize| Check {
            name: label(&at.to_string()),
            ..check(([192, 0, 2, 1], 80).into(), CheckKind::Tcp)
        };
        let checks: Vec<Check> = (0..checks).map(tcp).collect();
        let watch = Watch {
            need,
            checks: checks.clone(),
        };
        board.keep_to(&BTreeMap::from([(key(), watch)]));
        for check in &checks {
            board.begin(&key(), check, 1);
        }
        Story {
            board,
            now: clock::monotonic(),
        }
    }

    fn see(&mut self, check: usize, good: bool, times: usize) {
        for _ in 0..times {
            self.now += Duration::from_secs(1);
            self.board.take(Look {
                key: key(),
                check: label(&check.to_string()),
                start: 1,
                ended: self.now,
                took: Duration::from_millis(5),
                seen: if good {
                    Ok(Some(200))
                } else {
                    Err(note("status 503"))
                },
            });
        }
    }

    /// The opinion, after canaries that were asked just now.
    fn opinion(&mut self, sound: bool) -> Option<Opinion> {
        let view = self.view(sound);
        self.board.conclude(Some(view));
        self.board.opinions().next().map(|(_, opinion)| opinion)
    }

    fn view(&self, sound: bool) -> View {
        View {
            began: self.now,
            sound,
            answered: 1,
            of: 5,
        }
    }
}

#[test]
fn a_target_is_up_while_enough_of_its_checks_are() {
    let mut story = Story::begin(3, 2);
    assert_eq!(story.opinion(true), None);
    story.see(0, true, 2);
    assert_eq!(story.opinion(true), None, "one of three says nothing yet");
    story.see(1, true, 2);
    assert_eq!(story.opinion(true), Some(Up));
    story.see(0, false, 3);
    assert_eq!(
        story.opinion(true),
        Some(Up),
        "the third is still not known"
    );
    story.see(2, false, 3);
    assert_eq!(story.opinion(true), Some(Down));
    story.see(2, true, 2);
    assert_eq!(story.opinion(true), Some(Up));
}

#[test]
fn p5_nothing_is_down_right_after_a_start() {
    let mut story = Story::begin(1, 1);
    story.see(0, false, 2);
    assert_eq!(story.opinion(true), None);
    story.see(0, false, 1);
    assert_eq!(story.opinion(true), Some(Down));
}

#[test]
fn p5_a_node_that_cannot_trust_its_own_line_says_unknown_and_never_down() {
    let mut story = Story::begin(1, 1);
    story.see(0, true, 2);
    assert_eq!(story.opinion(false), Some(Up), "what was reached is up");
    story.see(0, false, 3);
    assert_eq!(story.opinion(false), Some(Unknown));
    let ballot = story.board.ballot(&key(), Some(story.view(false))).unwrap();
    assert_eq!(
        ballot.evidence.as_str(),
        "only 1 of 5 canaries answered; 0: status 503 (5 ms)"
    );
    assert_eq!(story.opinion(true), Some(Down));
}

#[test]
fn p5_canaries_that_were_asked_before_the_last_miss_prove_nothing() {
    let mut story = Story::begin(1, 1);
    story.see(0, true, 2);
    assert_eq!(story.opinion(true), Some(Up));
    let early = story.view(true);
    assert!(!story.board.needs_a_view(Some(early)));
    story.see(0, false, 3);
    assert_eq!(story.board.conclude(Some(early)), []);
    assert!(story.board.needs_a_view(Some(early)));
    assert_eq!(story.board.conclude(None), [], "nor does having asked none");
    assert_eq!(story.opinion(true), Some(Down));
    assert!(!story.board.needs_a_view(Some(story.view(true))));
}

#[test]
fn a_look_of_a_check_that_was_replaced_counts_for_nothing() {
    let mut story = Story::begin(1, 1);
    story.see(0, true, 2);
    assert_eq!(story.opinion(true), Some(Up));
    let other = check(([192, 0, 2, 2], 80).into(), CheckKind::Tcp);
    let other = Check {
        name: label("0"),
        ..other
    };
    story.board.begin(&key(), &other, 2);
    story.see(0, false, 10);
    assert_eq!(story.opinion(true), None, "the new one has not looked yet");
    story.board.keep_to(&BTreeMap::new());
    story.see(0, false, 10);
    assert_eq!(story.opinion(true), None);
}

fn keys(count: usize) -> Vec<Key> {
    let key = |at| (label("web"), label(&format!("target-{at:04}")));
    (0..count).map(key).collect()
}

fn due(voter: &Voter, keys: &[Key], opinion: Opinion, now: Instant) -> usize {
    let opinions = keys.iter().map(|key| (key, opinion));
    voter.due(opinions, now).len()
}

#[test]
fn a_change_is_told_at_once_and_everything_again_after_twenty_seconds() {
    let (mut voter, keys, start) = (Voter::new(), keys(3), clock::monotonic());
    let after = |seconds| start + Duration::from_secs(seconds);
    let told = |keys: &[Key], opinion| {
        keys.iter()
            .map(|key| (key.clone(), opinion))
            .collect::<Vec<_>>()
    };
    assert_eq!(due(&voter, &keys, Up, start), 3);
    voter.was_heard(told(&keys, Up).into_iter(), start);
    assert_eq!(due(&voter, &keys, Up, after(19)), 0);
    assert_eq!(due(&voter, &keys, Down, after(1)), 3);
    voter.was_heard(told(&keys[..1], Down).into_iter(), after(9));
    let mixed = [(&keys[0], Down), (&keys[1], Up), (&keys[2], Up)];
    assert_eq!(
        voter.due(mixed.into_iter(), after(20)).len(),
        3,
        "they stay together"
    );
    voter.forget_all_but(|key| *key == keys[1]);
    assert_eq!(voter.due(mixed.into_iter(), after(10)).len(), 2);
}

#[test]
fn changes_come_first_where_not_all_fit() {
    let (mut voter, keys, start) = (Voter::new(), keys(BALLOTS_MAX + 10), clock::monotonic());
    assert_eq!(due(&voter, &keys, Up, start), BALLOTS_MAX);
    voter.was_heard(keys.iter().map(|key| (key.clone(), Up)), start);
    let later = start + Duration::from_secs(30);
    let last = keys.len() - 1;
    let opinions = keys.iter().enumerate();
    let opinions = opinions.map(|(at, key)| (key, if at == last { Down } else { Up }));
    let due = voter.due(opinions, later);
    assert_eq!((due.len(), &due[0]), (BALLOTS_MAX, &keys[last]));
}

#[test]
fn without_a_majority_the_tries_grow_rarer_and_never_end() {
    let (mut voter, keys, mut now) = (Voter::new(), keys(1), clock::monotonic());
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        assert_eq!(due(&voter, &keys, Down, now), 1);
        let pause = voter.was_not_heard(now);
        assert!(pause >= longest, "{pause:?}");
        longest = pause;
        assert_eq!(due(&voter, &keys, Down, now), 0);
        now += pause;
    }
    assert_eq!(longest, Duration::from_millis(VOTE_BACKOFF_MS.1));
    voter.was_heard([(keys[0].clone(), Down)].into_iter(), now);
    assert_eq!(
        due(&voter, &keys, Up, now),
        1,
        "a success makes it quick again"
    );
}

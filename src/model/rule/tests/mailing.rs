//! Mail to those affected: to as many as a person said, after its hold, and taken back where it holds no more.

use super::*;

const CAMPAIGN: CampaignId = CampaignId(5);

fn held(state: &mut State, blob: u8) {
    let blob = state.blobs.get_mut(&BlobHash([blob; 32])).unwrap();
    blob.holders.insert(NodeId(1), 1);
}

/// The mail that is due, written to so many.
pub(super) fn written(
    state: &mut State,
    id: CampaignId,
    recipients: u32,
) -> Result<Reply, Refusal> {
    let it = round(state, id, recipients);
    does(state, &rule(Rules::NOTICES), it)
}

/// The mail that a leader writes of what it sees.
fn round(state: &State, id: CampaignId, recipients: u32) -> RuleChange {
    let tellings = state.rules.tellings.iter();
    let covers = tellings.map(|(incident, it)| Cover {
        incident: *incident,
        news: news(it, &state.incidents.all[incident], state.now),
        effects: mail::newest_effect(state, *incident),
        owed: None,
    });
    let blob = |it: u8| (BlobHash([it; 32]), 1);
    RuleChange::Round {
        campaign: id,
        draft: Box::new(Draft {
            name: Note::cut("notices"),
            kind: Kind::Essential,
            texts: blob(1),
            list: blob(2),
            follows: None,
            deliver_ms: limits::NOTICE_DELIVER_MS,
            waves: false,
        }),
        frozen: Box::new(Frozen {
            manifest: blob(3),
            recipients,
            routes: KeyedHash([4; 32]),
            langs: Vec::new(),
            domains: Vec::new(),
            repeated: 0,
            suppressed: 0,
        }),
        covers: covers.collect(),
        against: state.rules.turn,
    }
}

/// An incident that the rule published, whose customers are to be mailed.
fn published() -> State {
    let mut state = state();
    comes(&mut state, 7, true);
    later(&mut state, 1);
    looks(&mut state);
    state
}

#[test]
fn p7_a_mail_goes_after_its_hold_to_as_many_as_a_person_said_and_not_to_more() {
    let mut state = published();
    assert!(round_due(&state, state.now));
    written(&mut state, CAMPAIGN, 50).unwrap();
    assert!(!round_due(&state, state.now.plus_ms(MINUTE)), "once");
    assert!(looks(&mut state).is_empty(), "no majority has copied it");
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    assert_eq!(looks(&mut state), [Deed::Approve(CAMPAIGN)]);
    let it = state.campaigns.all[&CAMPAIGN].clone();
    let approval = it.approval.clone().unwrap();
    assert_eq!(
        (approval.by.as_str(), approval.from),
        ("rule notices", state.now.plus_ms(30_000))
    );
    assert!(!campaign::may_send(&state, &it, state.now));
    assert!(campaign::may_send(&state, &it, approval.from));

    // 51 are more than a person said: it waits for one.
    let mut state = published();
    written(&mut state, CAMPAIGN, 51).unwrap();
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    assert!(looks(&mut state).is_empty());
    let approve = RuleChange::Approve { campaign: CAMPAIGN };
    assert!(does(&mut state, &rule(Rules::NOTICES), approve).is_err());
    assert_eq!(state.campaigns.all[&CAMPAIGN].stage, Stage::Asked);
}

#[test]
fn p7_within_an_hour_rules_mail_to_no_more_than_one_person_alone_may_and_who_approves_more_is_alone()
 {
    let mut state = published();
    state.campaigns.alone_up_to = Some(60);
    written(&mut state, CAMPAIGN, 40).unwrap();
    comes(&mut state, 8, true);
    later(&mut state, 2);
    looks(&mut state);
    written(&mut state, CampaignId(6), 40).unwrap();
    assert!(state.rules.rounds[&CAMPAIGN].by_rule);
    assert!(!state.rules.rounds[&CampaignId(6)].by_rule);
    // A rule that asked is no first person of two.
    state.campaigns.alone_up_to = Some(10);
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    let it = &state.campaigns.all[&CampaignId(6)];
    let approve = CampaignChange::Approve {
        campaign: CampaignId(6),
        binds: campaign::binds(&it.draft, it.frozen.as_ref().unwrap()),
        count: 40,
        alone: None,
    };
    let refused = campaign::change::change(&mut state.clone(), 900, &person(), &approve);
    assert!(refused.unwrap_err().to_string().contains("somebody else"));
}

#[test]
fn p6_of_two_leaders_that_write_the_same_notice_one_is_refused() {
    let mut state = published();
    let late = round(&state, CampaignId(6), 5);
    written(&mut state, CAMPAIGN, 5).unwrap();
    let nobody = RuleChange::Nobody {
        covers: Vec::new(),
        too_many: false,
        against: state.rules.turn - 1,
    };
    for it in [late, nobody] {
        let stale = does(&mut state, &rule(Rules::NOTICES), it);
        assert!(matches!(stale, Err(Refusal::Stale { .. })), "{stale:?}");
    }
    assert_eq!(state.campaigns.all.len(), 1);
}

#[test]
fn what_holds_no_more_is_taken_back_before_it_leaves_and_told_anew() {
    let mut state = published();
    written(&mut state, CAMPAIGN, 5).unwrap();
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    looks(&mut state);
    comes(&mut state, 7, false);
    assert_eq!(looks(&mut state), [Deed::End(AlertId(7))]);
    assert_eq!(looks(&mut state), [Deed::Retract(CAMPAIGN)]);
    assert!(matches!(
        state.campaigns.all[&CAMPAIGN].stage,
        Stage::Ended(_)
    ));
    later(&mut state, 1);
    assert!(round_due(&state, state.now), "the end is told instead");
    // What has begun to leave is not taken back.
    written(&mut state, CampaignId(6), 5).unwrap();
    looks(&mut state);
    later(&mut state, 1);
    does(&mut state, &person(), RuleChange::Arm { on: false }).unwrap();
    assert!(looks(&mut state).is_empty());
    let back = RuleChange::Retract {
        campaign: CampaignId(6),
    };
    assert!(does(&mut state, &rule(Rules::NOTICES), back).is_err());
}

#[test]
fn p6_a_mail_whose_list_died_with_the_leader_that_wrote_it_is_written_once_more() {
    let mut state = published();
    written(&mut state, CAMPAIGN, 5).unwrap();
    later(&mut state, limits::NOTICE_COPIED_MS / MINUTE - 1);
    assert!(looks(&mut state).is_empty(), "it may still be copied");
    later(&mut state, 1);
    assert_eq!(looks(&mut state), [Deed::Retract(CAMPAIGN)]);
    assert!(round_due(&state, state.now));
    // The next leader's reaches a majority, and is the only one that leaves, also when the first node is back.
    written(&mut state, CampaignId(6), 5).unwrap();
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    assert_eq!(looks(&mut state), [Deed::Approve(CampaignId(6))]);
    later(&mut state, 1);
    assert!(looks(&mut state).is_empty());
    assert!(matches!(
        state.campaigns.all[&CAMPAIGN].stage,
        Stage::Ended(_)
    ));
}

#[test]
fn whoever_switches_rules_off_stops_what_counts_down() {
    let mut state = published();
    written(&mut state, CAMPAIGN, 5).unwrap();
    for blob in [1, 2, 3] {
        held(&mut state, blob);
    }
    looks(&mut state);
    does(&mut state, &person(), RuleChange::Arm { on: false }).unwrap();
    assert_eq!(looks(&mut state), [Deed::Retract(CAMPAIGN)]);
    assert!(!round_due(&state, state.now.plus_ms(MINUTE)));
}

#[test]
fn a_person_has_customers_told_of_what_is_known_and_ends_it() {
    let mut state = state();
    let incident = IncidentId(70);
    let mail = facts().mail;
    let tell = |facts| RuleChange::Tell { incident, facts };
    assert!(
        does(&mut state, &person(), tell(mail)).is_err(),
        "no such incident"
    );
    comes(&mut state, 1, true);
    let no_mail = RuleFacts {
        mail: None,
        ..facts()
    };
    sets(&mut state, no_mail).unwrap();
    confirm(&mut state, AlertId(1), 70);
    assert!(
        does(&mut state, &machine(), tell(mail)).is_err(),
        "a program lets no mail go"
    );
    does(&mut state, &person(), tell(mail)).unwrap();
    assert!(round_due(&state, state.now.plus_ms(MINUTE)));
    let telling = state.rules.tellings[&incident].clone();
    let it = state.incidents.all[&incident].clone();
    let count = |minutes: u64| news(&telling, &it, telling.since.plus_ms(minutes * MINUTE));
    assert_eq!((count(0), count(9), count(10), count(35)), (1, 1, 2, 4));
    does(&mut state, &person(), tell(None)).unwrap();
    assert!(!round_due(&state, state.now.plus_ms(MINUTE)));
}

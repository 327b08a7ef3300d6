//! The limits against a model that keeps every request and adds up from the beginning each time.

use proptest::prelude::*;
use time::{Duration, macros::datetime};
use types::{AccountId, CommunityId, ReservationId};

use super::*;
use crate::{KeyKind, Revocation, Scopes};

const START: time::OffsetDateTime = datetime!(2026-03-01 23:58:30 UTC);

fn key(id: i64, requests_per_minute: u32, tokens_per_day: u64) -> ApiKey {
    ApiKey {
        id: KeyId(id),
        public_id: "aaaaaaaaaaaa".into(),
        community: CommunityId(1),
        account: AccountId(id),
        name: "test".into(),
        kind: KeyKind::Live,
        scopes: Scopes::developer(),
        requests_per_minute,
        tokens_per_day,
        revoked: Revocation::never(&Clock::system()),
    }
}

/// A key of another key's account.
fn sibling(of: &ApiKey, id: i64, requests_per_minute: u32, tokens_per_day: u64) -> ApiKey {
    ApiKey { account: of.account, kind: of.kind, ..key(id, requests_per_minute, tokens_per_day) }
}

/// A request whose body was read at once.
fn admit(limits: &Limits, key: &ApiKey, worst_case: u64) -> Result<Admission, Limited> {
    limits.reserve(key, limits.count(key)?, worst_case)
}

fn of_account(limits: &Limits, key: &ApiKey) -> Seeding {
    limits.seeding(key)[0].1
}

/// What both readings of the books say.
fn seed(limits: &Limits, key: &ApiKey, read: TokenDay) {
    limits.seed(key, Of::Account, read);
    limits.seed(key, Of::Key, read);
}

fn limits() -> (Clock, Limits) {
    let clock = Clock::fixed(START);
    (clock.clone(), Limits::new(clock))
}

#[test]
fn the_eleventh_request_of_a_minute_waits_until_the_first_is_a_minute_old() {
    let (clock, limits) = limits();
    let key = key(1, 10, 1_000);
    for index in 0..10 {
        let admitted = admit(&limits, &key, 0).expect("below the limit");
        assert_eq!(admitted.headers.remaining_requests, 9 - index);
        clock.advance(Duration::seconds(1));
    }
    let refused = admit(&limits, &key, 0).expect_err("the eleventh");
    assert_eq!(refused.which, Which::RequestsPerMinute);
    assert_eq!(refused.retry_after, std::time::Duration::from_secs(50));
    assert_eq!((refused.headers.remaining_requests, refused.headers.reset_requests_s), (0, 59));
    assert!(!refused.never_fits);
    clock.advance(Duration::milliseconds(49_999));
    assert!(admit(&limits, &key, 0).is_err());
    clock.advance(Duration::milliseconds(1));
    assert!(admit(&limits, &key, 0).is_ok());
    assert!(admit(&limits, &key, 0).is_err(), "only one has left");
}

#[test]
fn a_request_counts_whatever_becomes_of_it() {
    let (_, limits) = limits();
    let key = key(1, 3, 1_000);
    let _ = limits.count(&key).expect("its body broke off");
    let counted = limits.count(&key).expect("the second");
    assert_eq!(limits.reserve(&key, counted, 2_000).expect_err("too large").headers.remaining_requests, 1);
    assert_eq!(admit(&limits, &key, 10).expect("the third").headers.remaining_requests, 0);
    let refused = limits.count(&key).expect_err("the fourth");
    assert_eq!((refused.which, refused.never_fits), (Which::RequestsPerMinute, false));
}

#[test]
fn the_keys_of_an_account_share_its_minute_and_each_narrows_it() {
    let (clock, limits) = limits();
    let wide = key(1, 60, 100_000);
    let narrow = sibling(&wide, 2, 1, 100_000);
    assert!(limits.count(&narrow).is_ok());
    let refused = limits.count(&narrow).expect_err("it has one");
    assert_eq!((refused.headers.limit_requests, refused.headers.remaining_requests), (1, 0));
    for _ in 0..59 {
        assert!(limits.count(&wide).is_ok());
    }
    let refused = limits.count(&wide).expect_err("sixty of the account");
    assert_eq!((refused.headers.limit_requests, refused.headers.remaining_requests), (60, 0));
    let fresh = sibling(&wide, 3, 60, 100_000);
    assert!(limits.count(&fresh).is_err(), "a new key brings no new minute");
    assert!(limits.count(&key(4, 60, 100_000)).is_ok(), "another account has its own");
    let sandbox = ApiKey { kind: KeyKind::Sandbox, ..sibling(&wide, 5, 10, 10_000) };
    for _ in 0..10 {
        assert!(limits.count(&sandbox).is_ok(), "the other kind of the same account has its own");
    }
    assert!(limits.count(&sandbox).is_err());
    clock.advance(Duration::minutes(1));
    assert!(limits.count(&fresh).is_ok());
}

#[test]
fn the_keys_of_an_account_share_its_day_and_each_narrows_it() {
    let (_, limits) = limits();
    let wide = key(1, 60, 100_000);
    let narrow = sibling(&wide, 2, 60, 10_000);
    admit(&limits, &narrow, 9_000).expect("fits").correct(9_000);
    let refused = admit(&limits, &narrow, 2_000).expect_err("its own day is used up");
    assert_eq!(refused.headers.remaining_tokens, 1_000);
    assert_eq!(admit(&limits, &wide, 0).expect("fits").headers.remaining_tokens, 91_000);
    admit(&limits, &wide, 90_500).expect("fits").correct(90_500);
    let fresh = sibling(&wide, 3, 60, 100_000);
    assert_eq!(admit(&limits, &fresh, 600).expect_err("used up").headers.remaining_tokens, 500);
    let refused = admit(&limits, &narrow, 600).expect_err("its account's day is used up");
    assert_eq!(refused.headers.remaining_tokens, 500);
    drop(admit(&limits, &narrow, 500).expect("what is left of both"));
}

#[test]
fn an_account_whose_key_was_given_more_has_more() {
    let (_, limits) = limits();
    let usual = key(1, 60, 100_000);
    let raised = sibling(&usual, 2, 600, 5_000_000);
    admit(&limits, &raised, 1_000_000).expect("fits").correct(1_000_000);
    for _ in 0..200 {
        assert!(limits.count(&raised).is_ok());
    }
    assert_eq!(admit(&limits, &usual, 0).expect("sixty of its own").headers.remaining_requests, 59);
    assert_eq!(limits.seeding(&usual).map(|(of, _)| of), [Of::Account, Of::Key]);
    assert!(!limits.is_read(&usual, Of::Key), "its own day is read from the books as well");
    assert!(limits.is_read(&raised, Of::Key), "it has no day of its own");
}

#[test]
fn the_worst_case_is_set_aside_corrected_or_given_back() {
    let (_, limits) = limits();
    let key = key(1, 100, 1_000);
    let first = admit(&limits, &key, 600).expect("fits");
    assert_eq!(first.headers.remaining_tokens, 400);
    let busy = admit(&limits, &key, 600).expect_err("set aside");
    assert_eq!((busy.which, busy.retry_after), (Which::TokensPerDay, BUSY_RETRY));
    first.correct(100);
    let second = admit(&limits, &key, 600).expect("only 100 were used");
    assert_eq!(second.headers.remaining_tokens, 300);
    drop(second);
    assert_eq!(admit(&limits, &key, 900).expect("given back").headers.remaining_tokens, 0);
    let full = admit(&limits, &key, 901).expect_err("100 are used for good");
    assert_eq!((full.retry_after, full.headers.reset_tokens_s), (std::time::Duration::from_secs(90), 90));
    assert_eq!(full.headers.remaining_tokens, 900);
    let never = admit(&limits, &key, 1_001).expect_err("more than a day has");
    assert!(never.never_fits && !full.never_fits);
}

#[test]
fn midnight_gives_the_day_back_but_not_what_is_in_flight() {
    let (clock, limits) = limits();
    let key = key(1, 100, 1_000);
    admit(&limits, &key, 500).expect("fits").correct(500);
    let in_flight = admit(&limits, &key, 400).expect("fits");
    clock.advance(Duration::seconds(90));
    assert_eq!(admit(&limits, &key, 0).expect("a new day").headers.remaining_tokens, 600);
    in_flight.correct(50);
    assert_eq!(admit(&limits, &key, 0).expect("a new day").headers.remaining_tokens, 950);
}

#[test]
fn the_books_are_asked_on_first_sight_and_again_each_minute_and_only_raise() {
    let (clock, limits) = limits();
    let key = key(1, 100, 1_000);
    let read = |used| {
        let until = ReservationId(uuid::Uuid::from_u128(7));
        TokenDay { day: START.date(), used, until, ended: used / 2 }
    };
    assert_eq!(of_account(&limits, &key), Seeding::Unknown);
    seed(&limits, &key, read(300));
    assert_eq!(of_account(&limits, &key), Seeding::Known);
    admit(&limits, &key, 100).expect("fits").correct(100);
    seed(&limits, &key, read(350));
    assert_eq!(admit(&limits, &key, 0).expect("fits").headers.remaining_tokens, 600, "an older figure");
    clock.advance(Duration::seconds(60));
    assert_eq!(
        of_account(&limits, &key),
        Seeding::Stale(read(350)),
        "the next reading goes on from the last"
    );
    assert_eq!(of_account(&limits, &key), Seeding::Known, "one caller reads");
    seed(&limits, &key, read(700));
    assert_eq!(admit(&limits, &key, 0).expect("fits").headers.remaining_tokens, 300);
    clock.advance(Duration::seconds(30));
    seed(&limits, &key, read(700));
    assert_eq!(admit(&limits, &key, 0).expect("fits").headers.remaining_tokens, 1_000, "yesterday's figure");
}

#[test]
fn keys_that_were_first_seen_together_are_not_read_again_together() {
    let (clock, limits) = limits();
    let keys: Vec<ApiKey> = (0..1_000).map(|id| key(id * 7_919, 100, 1_000)).collect();
    let until = ReservationId(uuid::Uuid::nil());
    for key in &keys {
        limits.seed(key, Of::Account, TokenDay { day: START.date(), used: 0, until, ended: 0 });
    }
    let mut read_in_one_second = Vec::new();
    for _ in 0..60 {
        clock.advance(Duration::seconds(1));
        read_in_one_second
            .push(keys.iter().filter(|key| matches!(of_account(&limits, key), Seeding::Stale(_))).count());
    }
    assert_eq!(read_in_one_second.iter().sum::<usize>(), 1_000, "each once within the minute");
    assert!(read_in_one_second.iter().all(|count| *count < 100), "{read_in_one_second:?}");
}

#[test]
fn memory_is_bounded_and_keys_in_flight_stay() {
    let (clock, limits) = limits();
    let held = admit(&limits, &key(0, 10, 1_000), 10).expect("fits");
    for id in 1..250_000 {
        clock.advance(Duration::microseconds(100));
        drop(admit(&limits, &key(id, 10, 1_000), 10).expect("fits"));
    }
    assert!(limits.tracked() <= 100_000);
    clock.advance(Duration::minutes(10));
    for id in 250_000..250_016 {
        drop(admit(&limits, &key(id, 10, 1_000), 10).expect("fits"));
    }
    assert_eq!(limits.tracked(), 17, "one in flight, sixteen of this moment");
    held.correct(7);
    assert_eq!(admit(&limits, &key(0, 10, 1_000), 0).expect("fits").headers.remaining_tokens, 993);
}

#[test]
fn many_threads_win_exactly_what_there_is() {
    let (_, limits) = limits();
    let key = key(1, 300, 10_000);
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..100).filter_map(|_| admit(&limits, &key, 40).ok()).map(|a| a.correct(40)).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(won, 250, "10,000 tokens in pieces of 40");
}

#[test]
fn a_large_limit_keeps_a_short_log() {
    let (clock, limits) = limits();
    let key = key(1, 50_000, u64::MAX);
    for _ in 0..50_000 {
        admit(&limits, &key, 1).expect("below the limit").correct(1);
        clock.advance(Duration::milliseconds(1));
    }
    assert_eq!(admit(&limits, &key, 1).expect_err("50,000 in 50 s").which, Which::RequestsPerMinute);
    clock.advance(Duration::milliseconds(10_000));
    assert_eq!(admit(&limits, &key, 1).expect("the first 100 ms have left").headers.remaining_requests, 99);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Ask { worst_case: u64 },
    Correct { which: usize, actual: u64 },
    Leave { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..20_000_i64).prop_map(Step::Wait),
        (0..1_200_u64).prop_map(|worst_case| Step::Ask { worst_case }),
        (0..400_u64).prop_map(|worst_case| Step::Ask { worst_case }),
        (any::<usize>(), 0..500_u64).prop_map(|(which, actual)| Step::Correct { which, actual }),
        any::<usize>().prop_map(|which| Step::Leave { which }),
    ]
}

proptest! {
    #[test]
    fn every_answer_equals_the_models(steps in proptest::collection::vec(step(), 1..200), per_minute in 1..8_u32) {
        let (clock, limits) = limits();
        let key = key(1, per_minute, 1_000);
        let mut asked: Vec<time::OffsetDateTime> = Vec::new();
        let mut spent: Vec<(time::Date, u64)> = Vec::new();
        let mut open: Vec<(Admission, u64)> = Vec::new();
        for step in steps {
            let now = clock.now();
            match step {
                Step::Wait(ms) => clock.advance(Duration::milliseconds(ms)),
                Step::Ask { worst_case } => {
                    let in_minute = asked.iter().filter(|at| now - **at < Duration::minutes(1)).count();
                    let today: u64 = spent.iter().filter(|(day, _)| *day == now.date()).map(|(_, tokens)| tokens).sum();
                    let in_flight: u64 = open.iter().map(|(_, worst_case)| worst_case).sum();
                    let expected = if in_minute >= per_minute as usize {
                        Some(Which::RequestsPerMinute)
                    } else if worst_case > 1_000 || today + in_flight + worst_case > 1_000 {
                        Some(Which::TokensPerDay)
                    } else {
                        None
                    };
                    let answer = admit(&limits, &key, worst_case);
                    prop_assert_eq!(answer.as_ref().err().map(|limited| limited.which), expected);
                    match answer {
                        Ok(admission) => {
                            let left = 1_000_u64.saturating_sub(today).saturating_sub(in_flight + worst_case);
                            prop_assert_eq!(admission.headers.remaining_tokens, left);
                            prop_assert_eq!(admission.headers.remaining_requests as usize, per_minute as usize - in_minute - 1);
                            asked.push(now);
                            open.push((admission, worst_case));
                        }
                        Err(limited) => {
                            let is_of_tokens = limited.which == Which::TokensPerDay;
                            prop_assert_eq!(limited.never_fits, is_of_tokens && worst_case > 1_000);
                            if is_of_tokens {
                                asked.push(now); // its body was read
                            }
                            if limited.which == Which::RequestsPerMinute {
                                let after = now + Duration::try_from(limited.retry_after).expect("short");
                                let then = asked.iter().filter(|at| after - **at < Duration::minutes(1)).count();
                                prop_assert!(then < per_minute as usize, "a place is free when we said");
                                let before = after - Duration::milliseconds(1);
                                let just_before = asked.iter().filter(|at| before - **at < Duration::minutes(1)).count();
                                prop_assert!(just_before >= per_minute as usize, "and not before");
                            }
                        }
                    }
                }
                Step::Correct { which, actual } if !open.is_empty() => {
                    let (admission, _) = open.swap_remove(which % open.len());
                    admission.correct(actual);
                    spent.push((now.date(), actual));
                }
                Step::Leave { which } if !open.is_empty() => drop(open.swap_remove(which % open.len())),
                Step::Correct { .. } | Step::Leave { .. } => {}
            }
        }
    }
}

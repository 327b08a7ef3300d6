//! Reports for admins reconcile: pools, days and users sum to what the journal says, to the micro-USD.

use ledger::report::{
    Charged, Span, lots, movements, origins, projection, span, tokens_of_account, tokens_of_key,
    usage_by_user, usage_of_community,
};
use ledger::{Charge, Kind, Op, Source};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgConnection;
use testing::postgres::TestDatabase;
use time::Duration;
use types::{AccountId, Clock, CommunityId, KeyId, Pool, ReservationId, TokenDay};

use crate::common::{audit, hold, key, open, start};

const COMMUNITY: CommunityId = CommunityId(1);

async fn in_journal(connection: &mut PgConnection, span: Span) -> Charged {
    let (requests, cost) = sqlx::query_as(
        "select count(distinct ref), coalesce(sum(amount), 0)::bigint from journal
         where community_id = 1 and seq between $1 and $2 and credit = 3",
    )
    .bind(span.from_seq)
    .bind(span.to_seq)
    .fetch_one(connection)
    .await
    .unwrap();
    Charged { requests, cost }
}

fn sum(charges: impl Iterator<Item = Charged>) -> Charged {
    charges.fold(Charged::default(), |sum, next| Charged {
        requests: sum.requests + next.requests,
        cost: sum.cost + next.cost,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_days_and_users_sum_to_the_journal() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-20 12:00 UTC));
    let database = TestDatabase::new().await;
    for account in 1..=12 {
        open(&database.pool, &clock, key(1, account), 1_000_000).await;
    }
    open(&database.pool, &clock, key(2, 99), 1_000_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..300 {
        let whose =
            if random.random_range(0..10) == 0 { key(2, 99) } else { key(1, random.random_range(1..=12)) };
        let (id, amount) = (clock.uuid_v7(), random.random_range(1..3_000));
        ledger.submit(hold(whose, id, 1_000)).await.unwrap();
        // Some cost more than was held: one request, two rows.
        let charge = Charge {
            amount,
            tokens_in: 3,
            tokens_out: 4,
            own_in: 3,
            own_out: 4,
            pool: Some(random.random_range(-1_i16..5)).filter(|pool| *pool >= 0),
            model: "scripted".to_owned(),
            reason: "asked".to_owned(),
        };
        let settle = Op::Settle { key: whose, id: ReservationId(id), charge };
        ledger.submit(settle).await.unwrap();
        clock.advance(Duration::minutes(random.random_range(1..90)));
    }
    let today = clock.now().date();
    let mut connection = database.pool.acquire().await.unwrap();
    let back = |days| today - Duration::days(days);
    for (from, to) in
        [(back(400), today), (back(5), back(2)), (back(3), back(3)), (today, today), (back(9), back(400))]
    {
        let span = span(&mut connection, COMMUNITY, from, to).await.unwrap().unwrap();
        let journal = in_journal(&mut connection, span).await;
        let usage = usage_of_community(&mut connection, COMMUNITY, span, None).await.unwrap();
        assert_eq!(usage.total, journal, "{from}..{to}");
        assert_eq!(sum(usage.by_pool.iter().map(|(_, charged)| *charged)), journal);
        assert_eq!(sum(usage.by_day.iter().map(|(_, charged)| *charged)), journal);
        assert!(usage.by_day.iter().all(|(day, _)| *day >= from && *day <= to));
        let (mut users, mut after) = (Vec::new(), None);
        loop {
            let page = usage_by_user(&mut connection, COMMUNITY, span, None, after, 5).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.charged.cost, last.account));
            users.extend(page);
        }
        assert_eq!(sum(users.iter().map(|user| user.charged)), journal);
        assert_eq!(i64::try_from(users.len()).unwrap(), usage.users);
        assert!(users.is_sorted_by(|one, next| one.charged.cost >= next.charged.cost));

        // One pool's users and days sum to that pool.
        for (pool, charged) in usage.by_pool.iter().filter_map(|(pool, charged)| Some(((*pool)?, charged))) {
            let of_pool = usage_of_community(&mut connection, COMMUNITY, span, Some(pool)).await.unwrap();
            assert_eq!(&of_pool.total, charged, "{pool}");
            let users = usage_by_user(&mut connection, COMMUNITY, span, Some(pool), None, 100).await.unwrap();
            assert_eq!(&sum(users.iter().map(|user| user.charged)), charged, "{pool}");
        }
    }
    let all = span(&mut connection, COMMUNITY, back(400), today).await.unwrap().unwrap();
    let spent: i64 = sqlx::query_scalar("select sum(spent)::bigint from account where community_id = 1")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let usage = usage_of_community(&mut connection, COMMUNITY, all, None).await.unwrap();
    assert_eq!(usage.total.cost, spent, "the counters say the same");
    assert!(usage.by_pool.iter().any(|(pool, _)| pool.is_none()) && usage.by_pool.len() == 6);
    assert!(usage.by_pool.iter().any(|(pool, _)| *pool == Some(Pool::Flagship)));
    assert!(span(&mut connection, CommunityId(9), today, today).await.unwrap().is_none());
    audit(&database.pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_projected_to_end_between_the_fastest_and_the_slowest_pace() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-01 12:00 UTC));
    let database = TestDatabase::new().await;
    open(&database.pool, &clock, key(1, 1), 10_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let today = clock.now().date();
    let mut connection = database.pool.acquire().await.unwrap();
    let unused = projection(&mut connection, COMMUNITY, today).await.unwrap().unwrap();
    assert_eq!((unused.measured_days, unused.fast_per_day, unused.latest), (0, 0, None));
    // 14 days, the last three at 300 and the others at 100: 143 a day over them all, 186 over the last week.
    for day in 0..14 {
        let id = clock.uuid_v7();
        ledger.submit(hold(key(1, 1), id, 500)).await.unwrap();
        ledger.submit(crate::common::settle(key(1, 1), id, if day < 11 { 100 } else { 300 })).await.unwrap();
        clock.advance(Duration::days(1));
    }
    let today = clock.now().date();
    let first = projection(&mut connection, COMMUNITY, today - Duration::days(13)).await.unwrap().unwrap();
    assert_eq!((first.measured_days, first.slow_per_day, first.fast_per_day), (1, 100, 100), "one day only");
    let after = projection(&mut connection, COMMUNITY, today + Duration::days(60)).await.unwrap().unwrap();
    assert_eq!((after.measured_days, after.slow_per_day, after.fast_per_day), (28, 0, 0), "nothing lately");
    let projection = projection(&mut connection, COMMUNITY, today).await.unwrap().unwrap();
    assert_eq!(projection.balance, 8_000);
    assert_eq!((projection.measured_days, projection.slow_per_day, projection.fast_per_day), (14, 143, 186));
    assert_eq!(projection.earliest, Some(today + Duration::days(44)));
    assert_eq!(projection.latest, Some(today + Duration::days(56)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lots_and_movements_come_in_pages_and_add_up() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-01 12:00 UTC));
    let database = TestDatabase::new().await;
    for account in 1..=2 {
        open(&database.pool, &clock, key(1, account), 0).await;
    }
    let (ledger, _writers) = start(&database.url(), &clock);
    for number in 0..11 {
        let source = if number % 2 == 0 { Source::Purchase } else { Source::Grant };
        let op = Op::Mint {
            key: key(1, 1 + number % 2),
            id: types::LotId(clock.uuid_v7()),
            source,
            amount: 100 + number,
            expires_at: ledger::NEVER,
        };
        ledger.submit(op).await.unwrap();
        if number % 3 == 0 {
            clock.advance(Duration::seconds(1));
        }
    }
    let id = clock.uuid_v7();
    ledger.submit(hold(key(1, 1), id, 50)).await.unwrap();
    ledger.submit(crate::common::settle(key(1, 1), id, 50)).await.unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = lots(&mut connection, COMMUNITY, None, before, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.created_at, last.id));
        all.extend(page);
    }
    assert_eq!(all.len(), 11);
    let origins = origins(&mut connection, COMMUNITY).await.unwrap();
    for origin in &origins {
        let of_it: Vec<_> = all.iter().filter(|lot| lot.source == origin.source).collect();
        assert_eq!(i64::try_from(of_it.len()).unwrap(), origin.lots);
        assert_eq!(of_it.iter().map(|lot| lot.minted).sum::<i64>(), origin.minted);
        assert_eq!(of_it.iter().map(|lot| lot.remaining).sum::<i64>(), origin.remaining);
    }
    assert_eq!(origins.iter().map(|origin| origin.remaining).sum::<i64>(), 11 * 100 + 55 - 50);
    let own = lots(&mut connection, COMMUNITY, Some(AccountId(2)), None, 100).await.unwrap();
    assert_eq!(own.len(), 5);

    let first = movements(&mut connection, COMMUNITY, None, None, 6).await.unwrap();
    let rest = movements(&mut connection, COMMUNITY, None, Some(first[5].seq), 100).await.unwrap();
    assert_eq!(first.len() + rest.len(), 11, "charges are not movements of credits");
    assert!(first.iter().chain(&rest).all(|movement| movement.kind == Kind::Mint && movement.lot.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_that_go_on_from_one_another_see_what_one_of_the_whole_day_sees() {
    let clock = Clock::fixed(time::macros::datetime!(2026-03-01 22:30 UTC));
    let database = TestDatabase::new().await;
    open(&database.pool, &clock, key(1, 1), 1_000_000).await;
    let (ledger, _writers) = start(&database.url(), &clock);
    let mut random = StdRng::seed_from_u64(11);
    let mut connection = database.pool.acquire().await.unwrap();
    let (mut running, mut last, mut goes_on) = (Vec::new(), None::<TokenDay>, false);
    let mut last_of_account = None::<TokenDay>;
    let mut days = std::collections::BTreeSet::new();
    for _ in 0..400 {
        match random.random_range(0..4) {
            0 | 1 => {
                let (id, api_key) = (clock.uuid_v7(), random.random_range(7..9));
                let Op::Hold(new) = hold(key(1, 1), id, 500) else { unreachable!("it is a hold") };
                ledger.submit(Op::Hold(ledger::NewHold { api_key: Some(api_key), ..new })).await.unwrap();
                running.push(id);
            }
            _ if running.is_empty() => {}
            _ => {
                // In any order: an answer may end long after one that began later.
                let id = running.swap_remove(random.random_range(0..running.len()));
                let release = Op::Release { key: key(1, 1), id: ReservationId(id) };
                let settle = crate::common::settle(key(1, 1), id, 9);
                ledger.submit(if random.random_range(0..4) == 0 { release } else { settle }).await.unwrap();
            }
        }
        clock.advance(Duration::seconds(random.random_range(0..40)));
        if random.random_range(0..3) > 0 {
            continue;
        }
        let now = clock.now();
        let read = tokens_of_key(&mut connection, key(1, 1), KeyId(7), last, now).await.unwrap();
        let whole = tokens_of_key(&mut connection, key(1, 1), KeyId(7), None, now).await.unwrap();
        let by_hand: i64 = sqlx::query_scalar(
            "select coalesce(sum(tokens_in + tokens_out), 0)::bigint from hold
             where key_id = 7 and state = 1 and (created_at at time zone 'utc')::date = $1",
        )
        .bind(now.date())
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        assert_eq!(i64::try_from(read.used).unwrap(), by_hand, "{now}");
        let account = tokens_of_account(&mut connection, key(1, 1), last_of_account, now).await.unwrap();
        let of_account: i64 = sqlx::query_scalar(
            "select coalesce(sum(tokens_in + tokens_out), 0)::bigint from hold
             where account_id = 1 and key_id is not null and state = 1
               and (created_at at time zone 'utc')::date = $1",
        )
        .bind(now.date())
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        assert_eq!(i64::try_from(account.used).unwrap(), of_account, "{now}");
        last_of_account = Some(account);
        assert_eq!(read, whole, "{now}");
        goes_on |= last.is_some_and(|last| last.day == read.day && last.ended > 0 && last.until < read.until);
        days.insert(now.date());
        last = Some(read);
    }
    assert!(goes_on, "every reading began at the day's beginning: the test shows nothing");
    assert!(days.len() > 1, "midnight was among them: {days:?}");
}

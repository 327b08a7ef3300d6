//! Agents and members on a real database: what the demo makes, who pays for a wallet, and what the engine may read.

use domain::agent::{self, Page};
use domain::community::{self, Deputy};
use domain::{admin, demo, member};
use futures_util::future::join_all;
use sqlx::types::Json;
use time::Duration;
use types::{CommunityId, Tier, WalletId};

use crate::shop::Shop;

/// Enough to make every race of two likely.
const AT_ONCE: usize = 16;
const ALL: Page = Page { after: None, limit: 100 };

fn wallet(number: u8) -> WalletId {
    WalletId::by_key(types::Wallet([number; 20]))
}

fn tier(number: u8) -> Tier {
    Tier::new(number).unwrap()
}

async fn demo_shop() -> (Shop, CommunityId) {
    let shop = Shop::open().await;
    let community = demo::ensure(&shop.ctx).await.unwrap();
    (shop, community)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_made_once_however_often_and_by_however_many() {
    let shop = Shop::open().await;
    let made = join_all((0..AT_ONCE).map(|_| demo::ensure(&shop.ctx))).await;
    let communities: Vec<CommunityId> = made.into_iter().map(Result::unwrap).collect();
    assert!(communities.iter().all(|community| *community == communities[0]), "{communities:?}");
    let agents = agent::list(&shop.ctx, communities[0], ALL).await.unwrap();
    let names: Vec<String> = agents.iter().map(|agent| agent.nft_id()).collect();
    assert_eq!(names, ["demo:1", "demo:2", "demo:3", "demo:4", "demo:5", "demo:6"]);
    let record = admin::deeds(&mut shop.pool.acquire().await.unwrap(), Some(communities[0]), None, 9).await;
    assert_eq!(record.unwrap().len(), 1, "one administrator was added, once");

    sqlx::query("update agent set name = 'Nimue', version = 2 where token_id = '6'")
        .execute(&shop.pool)
        .await
        .unwrap();
    demo::ensure(&shop.ctx).await.unwrap();
    let nimue = agent::find(&shop.ctx, "demo", "6").await.unwrap().unwrap();
    assert_eq!((nimue.name.as_str(), nimue.version), ("Nimue", 2), "what somebody edits stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_found_by_its_one_name_and_changes_show_within_seconds() {
    let (shop, community) = demo_shop().await;
    let finch = agent::find(&shop.ctx, "demo", "1").await.unwrap().unwrap();
    assert_eq!((finch.community, finch.name.as_str()), (community, "Marrow Finch"));
    assert_eq!(finch.traits[1], ("Element".to_owned(), "Air".to_owned()));
    assert_eq!(finch.palette, types::Palette::of("demo", "1", &finch.traits));
    assert_eq!(agent::find_default(&shop.ctx, "1").await.unwrap(), Some(finch));
    let longest = "9".repeat(78);
    for (slug, token) in
        [("demo", "7"), ("demo", "01"), ("Demo", "1"), ("", "1"), ("demo", ""), ("demo", &longest)]
    {
        assert_eq!(agent::find(&shop.ctx, slug, token).await.unwrap(), None, "{slug}:{token}");
    }
    sqlx::query("update agent set holder_only = true where token_id = '1'")
        .execute(&shop.pool)
        .await
        .unwrap();
    shop.clock.advance(Duration::seconds(6));
    assert!(agent::find(&shop.ctx, "demo", "1").await.unwrap().unwrap().holder_only);

    let first = agent::list(&shop.ctx, community, Page { after: None, limit: 4 }).await.unwrap();
    let rest = agent::list(&shop.ctx, community, Page { after: Some(first[3].id), limit: 4 }).await.unwrap();
    assert_eq!((first.len(), rest.len(), rest[0].token_id.as_str()), (4, 2, "5"));
    assert!(agent::list(&shop.ctx, CommunityId(1), ALL).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_has_one_account_in_a_community_whoever_opens_it() {
    let (shop, community) = demo_shop().await;
    assert_eq!(member::known_account(&shop.ctx, community, wallet(1)).await.unwrap(), None);
    let opened = join_all((0..AT_ONCE).map(|_| member::account(&shop.ctx, community, wallet(1)))).await;
    let keys: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let other = member::account(&shop.ctx, community, wallet(2)).await.unwrap();
    assert_ne!(other, keys[0]);

    let mut connection = shop.pool.acquire().await.unwrap();
    let balance = ledger::report::balance(&mut connection, keys[0]).await.unwrap().unwrap();
    assert_eq!((balance.minted, balance.available), (500_000, 500_000), "welcomed once");
    let holder: Option<String> = sqlx::query_scalar("select holder from account where id = $1")
        .bind(keys[0].account.0)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(holder, Some(wallet(1).to_string()), "the audit line names the wallet");

    shop.clock.advance(Duration::seconds(1));
    let quiet = shop.buyer().await.key.community;
    let there = member::account(&shop.ctx, quiet, wallet(1)).await.unwrap();
    let balance = ledger::report::balance(&mut connection, there).await.unwrap().unwrap();
    assert_eq!(balance.minted, 0, "only a community that says so gives something");
    assert_eq!(member::accounts_of(&shop.ctx, wallet(1)).await.unwrap(), [keys[0], there]);
    assert!(member::account(&shop.ctx, CommunityId(1), wallet(1)).await.is_err(), "no such community");
    assert_eq!(member::known_account(&shop.ctx, CommunityId(1), wallet(1)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_is_what_was_last_seen_and_not_longer_than_two_days() {
    let (shop, community) = demo_shop().await;
    let of = |wallet| member::tier(&shop.ctx, community, wallet);
    assert_eq!(of(wallet(9)).await.unwrap(), Tier::LOWEST);
    assert_eq!(of(demo::HIGH_WALLET.parse().unwrap()).await.unwrap(), tier(8));
    assert_eq!(of(demo::LOW_WALLET.parse().unwrap()).await.unwrap(), tier(2));
    sqlx::query("insert into holding (community_id, wallet, tier, verified_at) values ($1, $2, 7, $3)")
        .bind(community.0)
        .bind(wallet(9).to_string())
        .bind(shop.clock.now())
        .execute(&shop.pool)
        .await
        .unwrap();
    shop.clock.advance(Duration::hours(48) - Duration::seconds(1));
    assert_eq!(of(wallet(9)).await.unwrap(), tier(7));
    shop.clock.advance(Duration::seconds(1));
    assert_eq!(of(wallet(9)).await.unwrap(), Tier::LOWEST);
    assert_eq!(of(demo::HIGH_WALLET.parse().unwrap()).await.unwrap(), tier(8), "given by hand, until a day");
    shop.clock.advance(Duration::days(28) - Duration::seconds(1));
    assert_eq!(of(demo::HIGH_WALLET.parse().unwrap()).await.unwrap(), tier(8), "the last second");
    shop.clock.advance(Duration::seconds(1));
    assert_eq!(of(demo::HIGH_WALLET.parse().unwrap()).await.unwrap(), Tier::LOWEST, "nothing holds for ever");
    demo::ensure(&shop.ctx).await.unwrap();
    assert_eq!(of(demo::HIGH_WALLET.parse().unwrap()).await.unwrap(), tier(8), "given again");
    sqlx::query("insert into holding (community_id, wallet, tier) values ($1, $2, 7)")
        .bind(community.0)
        .bind(wallet(8).to_string())
        .execute(&shop.pool)
        .await
        .unwrap();
    assert_eq!(of(wallet(8)).await.unwrap(), Tier::LOWEST, "said by nobody, until no day");
    assert_eq!(member::tier(&shop.ctx, CommunityId(1), wallet(9)).await.unwrap(), Tier::LOWEST);
}

/// The same address by key, and as a contract on two chains: three who share nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_has_what_it_has_on_its_own_chain_alone() {
    let (shop, community) = demo_shop().await;
    let address = types::Wallet([0x5a; 20]);
    let all =
        [WalletId::by_key(address), WalletId::by_contract(address, 1), WalletId::by_contract(address, 8_453)];
    for (number, wallet) in all.into_iter().enumerate() {
        sqlx::query("insert into holding (community_id, wallet, tier, verified_at) values ($1, $2, $3, $4)")
            .bind(community.0)
            .bind(wallet.to_string())
            .bind(i16::try_from(number).unwrap() + 2)
            .bind(shop.clock.now())
            .execute(&shop.pool)
            .await
            .unwrap();
    }
    let mut keys = Vec::new();
    for (number, wallet) in all.into_iter().enumerate() {
        let of = member::tier(&shop.ctx, community, wallet).await.unwrap();
        assert_eq!(of, tier(u8::try_from(number).unwrap() + 2), "{wallet}");
        let key = member::account(&shop.ctx, community, wallet).await.unwrap();
        assert!(!keys.contains(&key), "{wallet}");
        assert_eq!(member::accounts_of(&shop.ctx, wallet).await.unwrap(), [key]);
        keys.push(key);
        shop.clock.advance(Duration::seconds(1));
    }
    let by = Deputy { who: "operator", reason: "a test" };
    let mut connection = shop.pool.acquire().await.unwrap();
    community::add_admin(&mut connection, &shop.clock, community, all[1], by).await.unwrap();
    for wallet in all {
        assert_eq!(community::is_admin(&shop.ctx, community, wallet).await.unwrap(), wallet == all[1]);
        let made = domain::accounts::register(&shop.ctx, "Ada", [127, 0, 0, 1].into(), Some(wallet)).await;
        let account = made.unwrap().account;
        let standing = domain::accounts::standing_of(&shop.ctx, wallet).await.unwrap().unwrap();
        assert_eq!(standing.account.account, account);
        let order = shop.order(domain::order::Payer { key: standing.account }).await;
        for other in all {
            let payer = domain::order::payer_of(&shop.ctx, other, order).await.unwrap();
            assert_eq!(payer.is_some(), other == wallet, "{other} reads an order of {wallet}");
        }
    }
    let admins = community::admins(&shop.ctx, community).await.unwrap();
    assert!(admins.iter().any(|admin| admin.wallet == all[1]), "{admins:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_is_one_in_their_own_community_and_the_record_says_since_when() {
    let (shop, community) = demo_shop().await;
    let high: WalletId = demo::HIGH_WALLET.parse().unwrap();
    assert!(community::is_admin(&shop.ctx, community, high).await.unwrap());
    assert!(!community::is_admin(&shop.ctx, community, wallet(3)).await.unwrap());
    assert!(!community::is_admin(&shop.ctx, CommunityId(1), high).await.unwrap());
    let by = Deputy { who: demo::HIGH_WALLET, reason: "she knows the street" };
    let mut connection = shop.pool.acquire().await.unwrap();
    for is_new in [true, false] {
        let added = community::add_admin(&mut connection, &shop.clock, community, wallet(3), by).await;
        assert_eq!(added.unwrap(), is_new);
    }
    let names = community::administered_by(&shop.ctx, wallet(3)).await.unwrap();
    assert_eq!(names.iter().map(|community| community.slug.as_str()).collect::<Vec<_>>(), ["demo"]);
    assert_eq!(community::admins(&shop.ctx, community).await.unwrap().len(), 2);
    for was_there in [true, false] {
        let removed = community::remove_admin(&mut connection, &shop.clock, community, wallet(3), by).await;
        assert_eq!(removed.unwrap(), was_there);
    }
    assert!(!community::is_admin(&shop.ctx, community, wallet(3)).await.unwrap());
    let deeds = admin::deeds(&mut connection, Some(community), None, 9).await.unwrap();
    let mut what: Vec<&str> = deeds.iter().map(|deed| deed.what.as_str()).collect();
    what.sort_unstable();
    assert_eq!(what, ["admin.add", "admin.add", "admin.remove"]);
    assert_eq!(community::by_slug(&shop.ctx, "demo").await.unwrap().unwrap().id, community);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_reads_one_view_and_nothing_behind_it() {
    type Row = (String, String, i32, String, Json<Vec<(String, String)>>, Json<serde_json::Value>);
    let (shop, _) = demo_shop().await;
    let finn = shop.database.pool_for("loa_finn_ro");
    let rows: Vec<Row> = sqlx::query_as(
        "select slug, token_id, version, name, traits, overrides from finn_agents order by token_id",
    )
    .fetch_all(&finn)
    .await
    .unwrap();
    assert_eq!(rows.len(), 6);
    assert_eq!((rows[3].1.as_str(), rows[3].3.as_str()), ("4", "Juno of the Tides"));
    for table in ["agent", "collection", "member", "holding", "community", "community_admin", "account"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(format!("select from {table}"))).execute(&finn).await;
        assert!(refused.is_err(), "{table}");
    }
    assert!(sqlx::query("update finn_agents set version = 9").execute(&finn).await.is_err());
    assert!(sqlx::query("update finn_agents set version = 9").execute(&shop.pool).await.is_err());
}

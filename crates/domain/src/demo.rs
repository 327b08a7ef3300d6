//! The demo community: what a fresh installation has to talk to, before any chain is read.
//!
//! What always holds: made once, under names of its own; a second time changes nothing, so what somebody edits stays.
//! No money is made here: a new member of the demo is welcomed with credits, as in any community that says so.
//! Deliberately absent: whether there should be a demo at all; only development asks for it.

use sqlx::PgConnection;
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use types::{CommunityId, WalletId};

use crate::Ctx;
use crate::community::{self, Deputy};

/// The demo community's slug, and its collection's.
pub const SLUG: &str = "demo";
/// The wallet of the first account of every local test chain, whose key is public: tier 8, and administrator.
pub const HIGH_WALLET: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// The second one's: tier 2.
pub const LOW_WALLET: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The demo's tiers stand for a chain that nobody reads; each start gives them anew.
const HELD_FOR: Duration = Duration::days(30);
/// Half a dollar: some hundred answers of the cheap pool.
const WELCOME_MICRO: i64 = 500_000;
/// The chain id that local test chains have.
const LOCAL_CHAIN: i64 = 31_337;
/// No contract of that address exists; it reads as what it is.
const LOCAL_ADDRESS: &str = "0x00000000000000000000000000000000DeCAFBAD";

struct Character {
    name: &'static str,
    description: &'static str,
    traits: &'static [(&'static str, &'static str)],
}

/// Tokens 1 to 6, in this order.
const CHARACTERS: [Character; 6] = [
    Character {
        name: "Marrow Finch",
        description: "Draws maps of places that have moved since. Will find you a way, though seldom the short one.",
        traits: &[
            ("Calling", "Wayfinder"),
            ("Element", "Air"),
            ("Era", "Age of Sail"),
            ("Voice", "Wry"),
            ("Keepsake", "A compass that points home"),
        ],
    },
    Character {
        name: "Old Tansy",
        description: "Keeps a garden on a roof and a remedy for most things. Thinks in seasons and answers in small steps.",
        traits: &[
            ("Calling", "Caretaker"),
            ("Element", "Earth"),
            ("Era", "Cottage Years"),
            ("Voice", "Gentle"),
            ("Keepsake", "Seeds in a matchbox"),
        ],
    },
    Character {
        name: "Ferro Quill",
        description: "Mends clocks and arguments. Likes a claim with its reasons laid out beside it, in order of size.",
        traits: &[
            ("Calling", "Sage"),
            ("Element", "Metal"),
            ("Era", "Clockwork"),
            ("Voice", "Precise"),
            ("Keepsake", "A screwdriver without a screw"),
        ],
    },
    Character {
        name: "Juno of the Tides",
        description: "Watches a lighthouse nobody needs any more. Good company at night, and honest about the weather.",
        traits: &[
            ("Calling", "Guardian"),
            ("Element", "Water"),
            ("Era", "Long Calm"),
            ("Voice", "Calm"),
            ("Keepsake", "A lamp with a long memory"),
        ],
    },
    Character {
        name: "Ember Vale",
        description: "Cooks for strangers and tells them stories that are mostly true. The soup is always the point.",
        traits: &[
            ("Calling", "Storyteller"),
            ("Element", "Fire"),
            ("Era", "Caravan Days"),
            ("Voice", "Warm"),
            ("Keepsake", "A ladle with initials"),
        ],
    },
    Character {
        name: "Nim",
        description: "Builds small machines out of large ideas. Answers a question with a sketch, and a sketch with a plan.",
        traits: &[
            ("Calling", "Maker"),
            ("Element", "Aether"),
            ("Era", "Star Harbour"),
            ("Voice", "Bright"),
            ("Keepsake", "A screw without a screwdriver"),
        ],
    },
];

/// Makes the demo community, its collection and agents, where they are missing. Safe in any number of processes at once.
pub async fn ensure(ctx: &Ctx) -> Result<CommunityId, sqlx::Error> {
    let mut tx = ctx.db.begin().await?;
    let community = make_community(ctx, &mut tx).await?;
    ledger::open_book(&mut tx, &ctx.clock, community).await?;
    let collection = make_collection(ctx, &mut tx, community).await?;
    let mut id = ctx.clock.big_id();
    for (index, character) in CHARACTERS.iter().enumerate() {
        // Ids of one millisecond have no order, and a list should show the tokens in theirs.
        id += 1;
        make_agent(ctx, &mut tx, (id, collection), index + 1, character).await?;
    }
    for (wallet, tier) in [(HIGH_WALLET, 8), (LOW_WALLET, 2)] {
        let until = ctx.clock.now() + HELD_FOR;
        hold(&mut tx, community, wallet_of(wallet), (tier, until)).await?;
    }
    let by = Deputy { who: "demo", reason: "the demo community has an administrator to try" };
    community::add_admin(&mut tx, &ctx.clock, community, wallet_of(HIGH_WALLET), by).await?;
    tx.commit().await?;
    Ok(community)
}

fn wallet_of(text: &str) -> WalletId {
    text.parse().expect("the demo's wallets are written with the right checksum")
}

async fn make_community(ctx: &Ctx, connection: &mut PgConnection) -> Result<CommunityId, sqlx::Error> {
    sqlx::query(
        "insert into community (id, slug, name, created_at, welcome_micro)
         values ($1, $2, 'The Lantern Street demo', $3, $4) on conflict on constraint community_slug_key do nothing",
    )
    .bind(ctx.clock.big_id())
    .bind(SLUG)
    .bind(ctx.clock.now())
    .bind(WELCOME_MICRO)
    .execute(&mut *connection)
    .await?;
    let id = sqlx::query_scalar("select id from community where slug = $1").bind(SLUG);
    id.fetch_one(connection).await.map(CommunityId)
}

async fn make_collection(
    ctx: &Ctx,
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<i64, sqlx::Error> {
    // A deployment that has chosen its default keeps it.
    sqlx::query(
        "insert into collection (id, community_id, slug, name, chain_id, address, is_default, created_at)
         values ($1, $2, $3, 'Lantern Street', $4, $5, not exists (select from collection where is_default), $6)
         on conflict on constraint collection_slug_key do nothing",
    )
    .bind(ctx.clock.big_id())
    .bind(community.0)
    .bind(SLUG)
    .bind(LOCAL_CHAIN)
    .bind(LOCAL_ADDRESS)
    .bind(ctx.clock.now())
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar("select id from collection where slug = $1").bind(SLUG).fetch_one(connection).await
}

async fn make_agent(
    ctx: &Ctx,
    connection: &mut PgConnection,
    (id, collection): (i64, i64),
    token: usize,
    character: &Character,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into agent (id, collection_id, token_id, name, description, traits, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict on constraint agent_token_key do nothing",
    )
    .bind(id)
    .bind(collection)
    .bind(token.to_string())
    .bind(character.name)
    .bind(character.description)
    .bind(Json(character.traits))
    .bind(ctx.clock.now())
    .execute(connection)
    .await?;
    Ok(())
}

async fn hold(
    connection: &mut PgConnection,
    community: CommunityId,
    wallet: WalletId,
    (tier, until): (i16, OffsetDateTime),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into holding (community_id, wallet, tier, given_until) values ($1, $2, $3, $4)
         on conflict on constraint holding_pk do update set given_until = excluded.given_until
           where holding.verified_at is null",
    )
    .bind(community.0)
    .bind(wallet.to_string())
    .bind(tier)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

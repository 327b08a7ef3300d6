//! Money that no vendor confirmed: asked for by an administrator, approved by the operator, credited once.

use std::sync::Arc;

use domain::administrator::Administrator;
use domain::community::{self, Deputy};
use domain::order::{
    self, ApprovalError, ApprovalRequest, ApprovalState, DecideError, Decided, OrderId, Payer, Resolution,
    ResolveError, ReviewState, Which, WhichApprovals,
};
use identity::{KeyKind, KeyLimits, KeyRequest, Scope};
use types::{CommunityId, WalletId};
use uuid::Uuid;

use crate::shop::{Shop, WORTH, report};

const ADA: WalletId = WalletId::by_key(types::Wallet([0xa; 20]));
const BOB: WalletId = WalletId::by_key(types::Wallet([0xb; 20]));

impl Shop {
    /// An order of `who` that was paid twice, and the item about it.
    async fn overpaid(&self, who: Payer) -> (OrderId, i64) {
        let order = self.order(who).await;
        for payment in ["first", "second"] {
            self.tell(&report(order, &format!("{payment} of {order}"), "finished")).await;
        }
        let mut connection = self.pool.acquire().await.unwrap();
        let items =
            order::reviews(&mut connection, Some(who.key.community), Which::Open, 0, 100).await.unwrap();
        (order, items.iter().find(|item| item.order == Some(order)).unwrap().id)
    }

    async fn admin(&self, community: CommunityId, wallet: WalletId) -> Administrator {
        let mut connection = self.pool.acquire().await.unwrap();
        let by = Deputy { who: "operator", reason: "a test" };
        community::add_admin(&mut connection, &self.clock, community, wallet, by).await.unwrap();
        Administrator::OfWallet { wallet, community, signed_at: self.clock.now() }
    }

    async fn key_admin(&self, who: Payer) -> Administrator {
        let request = KeyRequest {
            community: who.key.community,
            account: who.key.account,
            name: "admin".to_owned(),
            kind: KeyKind::Live,
            scopes: [Scope::Admin].into_iter().collect(),
            limits: KeyLimits::default_for(KeyKind::Live),
        };
        let made = self.ctx.keys.create(request).await.unwrap();
        let key = self.ctx.keys.authenticate(made.secret.reveal(), [127, 0, 0, 1].into()).await.unwrap();
        Administrator::OfCommunity(key)
    }

    async fn ask(&self, who: &Administrator, item: i64, resolution: Resolution) -> ApprovalRequest {
        match order::decide(&self.ctx, who, item, resolution, "they paid twice", None).await.unwrap() {
            Decided::Waiting(request) => request,
            other => panic!("{other:?}"),
        }
    }

    async fn approve(&self, id: Uuid) -> Result<order::Approved, ApprovalError> {
        order::approve(&self.pool, &self.clock, id, "operator", "seen in our account").await
    }

    async fn decline(&self, id: Uuid) -> Result<ApprovalRequest, ApprovalError> {
        order::decline(&self.pool, &self.clock, id, "operator", "it was sent back").await
    }

    async fn requests(&self, which: WhichApprovals) -> Vec<ApprovalRequest> {
        let mut connection = self.pool.acquire().await.unwrap();
        order::approvals(&mut connection, None, which, None, 100).await.unwrap()
    }

    async fn record(&self) -> Vec<(String, String)> {
        sqlx::query_as("select what, who from admin_action where what like 'review.%' order by what")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_asks_and_the_operator_credits_once() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (_, item) = shop.overpaid(who).await;
    let ada = shop.admin(who.key.community, ADA).await;
    let request = shop.ask(&ada, item, Resolution::Credit).await;
    assert_eq!((request.item, &request.state), (item, &ApprovalState::Waiting));
    // Twice is once, by whoever.
    let bob = shop.admin(who.key.community, BOB).await;
    for admin in [&ada, &bob] {
        assert_eq!(shop.ask(admin, item, Resolution::Credit).await.id, request.id);
    }
    assert_eq!(shop.books(who).await.available, WORTH, "nothing before the operator's word");

    let approve = || shop.approve(request.id);
    let (one, two, three, four) = tokio::join!(approve(), approve(), approve(), approve());
    let done = [one, two, three, four];
    let credited: Vec<i64> = done
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .filter_map(|approved| approved.done.as_ref())
        .map(|done| done.credited.0)
        .collect();
    assert_eq!(credited, [WORTH], "{done:?}");
    let again = shop.approve(request.id).await.unwrap();
    assert!(again.done.is_none() && matches!(again.request.state, ApprovalState::Approved(_)), "{again:?}");
    assert_eq!(shop.books(who).await.available, 2 * WORTH);
    let declined = shop.decline(request.id).await;
    assert!(matches!(declined, Err(ApprovalError::Decided(_))), "{declined:?}");
    let names = format!("wallet:{ADA}");
    let expected = [
        ("review.credit".to_owned(), format!("{names}, approved by operator")),
        ("review.credit.asked".to_owned(), names.clone()),
    ];
    assert_eq!(shop.record().await, expected);
    let none = shop.approve(Uuid::nil()).await;
    assert!(matches!(none, Err(ApprovalError::NoRequest)), "{none:?}");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_declined_is_not_approved_and_can_be_asked_for_a_few_times() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (_, item) = shop.overpaid(who).await;
    let ada = shop.admin(who.key.community, ADA).await;
    for _ in 0..order::ASKS_PER_ITEM {
        let request = shop.ask(&ada, item, Resolution::Credit).await;
        let (declined, approved) = tokio::join!(shop.decline(request.id), shop.approve(request.id));
        // Whichever came first stands; the clock decides nothing.
        if approved.is_ok() {
            assert!(matches!(declined, Err(ApprovalError::Decided(_))), "{declined:?}");
            assert_eq!(shop.books(who).await.available, 2 * WORTH);
            shop.audit().await;
            return;
        }
        assert!(matches!(declined.unwrap().state, ApprovalState::Declined(_)));
        assert!(matches!(approved, Err(ApprovalError::Decided(_))), "{approved:?}");
        assert!(matches!(shop.approve(request.id).await, Err(ApprovalError::Decided(_))));
        assert!(matches!(shop.decline(request.id).await.unwrap().state, ApprovalState::Declined(_)));
    }
    let often = order::decide(&shop.ctx, &ada, item, Resolution::Credit, "please", None).await;
    assert!(matches!(often, Err(DecideError::DeclinedTooOften)), "{often:?}");
    assert_eq!(shop.books(who).await.available, WORTH);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendor_says_meanwhile_overtakes_a_request() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (order, item) = shop.overpaid(who).await;
    let ada = shop.admin(who.key.community, ADA).await;
    let request = shop.ask(&ada, item, Resolution::Credit).await;
    // The vendor pays the second payment back.
    shop.tell(&report(order, &format!("second of {order}"), "refunded")).await;
    let late = shop.approve(request.id).await;
    assert!(matches!(late, Err(ApprovalError::Resolve(ResolveError::Closed(_)))), "{late:?}");
    assert_eq!(shop.books(who).await.available, WORTH);
    assert_eq!(shop.requests(WhichApprovals::Waiting).await, []);
    assert_eq!(shop.requests(WhichApprovals::All).await[0].state, ApprovalState::Overtaken);
    let closed = order::decide(&shop.ctx, &ada, item, Resolution::Credit, "again", None).await;
    assert!(matches!(closed, Err(DecideError::Resolve(ResolveError::Closed(_)))), "{closed:?}");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_is_minted_a_request_goes_on_waiting() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (_, item) = shop.overpaid(who).await;
    let key = shop.key_admin(who).await;
    let request = shop.ask(&key, item, Resolution::Credit).await;
    let owner = shop.database.owner_pool();
    crate::applied::stop_minting(&owner).await;
    let stopped = shop.approve(request.id).await;
    assert!(matches!(stopped, Err(ApprovalError::Resolve(ResolveError::MintingStopped))), "{stopped:?}");
    assert_eq!(shop.requests(WhichApprovals::Waiting).await.len(), 1);
    crate::applied::resume_minting(&owner).await;
    assert_eq!(shop.approve(request.id).await.unwrap().done.unwrap().credited.0, WORTH);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_asks_and_confirms_nothing() {
    let shop = Shop::open().await;
    let (who, other) = (shop.buyer().await, shop.buyer().await);
    let (_, item) = shop.overpaid(who).await;
    let key =
        shop.key_admin(Payer { key: ledger::AccountKey { account: other.key.account, ..who.key } }).await;
    let dismiss = async |by: &Administrator, token: Option<Uuid>| {
        order::decide(&shop.ctx, by, item, Resolution::Dismiss, "sent back by hand", token).await.unwrap()
    };
    let Decided::First(asked, by) = dismiss(&key, None).await else { panic!("a key only asks") };
    assert_eq!(by, domain::admin::By::Another);
    for _ in 0..2 {
        let own = dismiss(&key, Some(asked.token)).await;
        assert!(matches!(own, Decided::NotConfirmed), "{own:?}");
    }
    // With two administrators, whoever confirms for the key may hold it: the other one approves as well.
    let (ada, bob) = (shop.admin(who.key.community, ADA).await, shop.admin(who.key.community, BOB).await);
    let Decided::First(second, by) = dismiss(&ada, Some(asked.token)).await else { panic!("two are there") };
    assert_eq!(by, domain::admin::By::Another);
    assert!(matches!(dismiss(&ada, Some(second.token)).await, Decided::NotConfirmed));
    assert!(matches!(dismiss(&key, Some(second.token)).await, Decided::NotConfirmed));
    assert!(matches!(dismiss(&bob, Some(asked.token)).await, Decided::NotConfirmed), "it is used up");
    let done = dismiss(&bob, Some(second.token)).await;
    let Decided::Done(done) = done else { panic!("{done:?}") };
    assert!(matches!(done.item.state, ReviewState::Dismissed(_)));
    let stranger = shop.key_admin(other).await;
    let theirs = order::decide(&shop.ctx, &stranger, item, Resolution::Dismiss, "mine?", None).await;
    assert!(matches!(theirs, Err(DecideError::Resolve(ResolveError::NoItem))), "{theirs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_decides_about_an_order_of_their_own() {
    let shop = Shop::open().await;
    let who = shop.buyer().await;
    let (_, item) = shop.overpaid(who).await;
    let community = who.key.community;
    sqlx::query("insert into member (community_id, wallet, account_id, joined_at) values ($1, $2, $3, $4)")
        .bind(community.0)
        .bind(ADA.to_string())
        .bind(who.key.account.0)
        .bind(shop.clock.now())
        .execute(&shop.pool)
        .await
        .unwrap();
    // The same wallet, and a key of the account that it bought for.
    let (ada, key) = (shop.admin(community, ADA).await, shop.key_admin(who).await);
    let request = shop.ask(&ada, item, Resolution::Dismiss).await;
    assert_eq!(shop.ask(&key, item, Resolution::Dismiss).await.id, request.id);
    let other = order::decide(&shop.ctx, &key, item, Resolution::Credit, "or that", None).await;
    assert!(matches!(other, Err(DecideError::OtherWaits(_))), "{other:?}");
    // Another administrator decides about it as about any other, and the buyer does not second it.
    let bob = shop.admin(community, BOB).await;
    let asked = order::decide(&shop.ctx, &bob, item, Resolution::Dismiss, "sent back", None).await.unwrap();
    let Decided::First(asked, _) = asked else { panic!("{asked:?}") };
    let seconded =
        order::decide(&shop.ctx, &ada, item, Resolution::Dismiss, "sent back", Some(asked.token)).await;
    assert!(matches!(seconded, Err(DecideError::OwnOrder)), "{seconded:?}");
    let done = shop.approve(request.id).await.unwrap().done.unwrap();
    assert!(matches!(done.item.state, ReviewState::Dismissed(_)));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signed_a_community_up_and_administers_it_alone_decides_about_none_of_its_orders() {
    let shop = Shop::open().await;
    let made = domain::accounts::register(&shop.ctx, "Ada", [127, 0, 0, 1].into(), Some(ADA)).await.unwrap();
    let who = Payer { key: ledger::AccountKey { community: made.community, account: made.account } };
    let (_, item) = shop.overpaid(who).await;
    let ada = Administrator::OfWallet { wallet: ADA, community: made.community, signed_at: shop.clock.now() };
    assert_eq!(shop.ask(&ada, item, Resolution::Dismiss).await.state, ApprovalState::Waiting);
    // A signature of six minutes ago asks for nothing.
    shop.clock.advance(time::Duration::minutes(6));
    let late = order::decide(&shop.ctx, &ada, item, Resolution::Credit, "late", None).await;
    assert!(matches!(late, Err(DecideError::NotFresh)), "{late:?}");
}

#[cfg(debug_assertions)]
tokio::task_local! {
    /// Failpoints are the process's; only the task that asks for it is struck.
    static DYING: ();
}

/// The process that approves dies before its commit: nothing was done, and the next approval does it.
#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_dies_before_its_commit_leaves_nothing_and_is_done_by_the_next() {
    let shop = Arc::new(Shop::open().await);
    let who = shop.buyer().await;
    let (_, item) = shop.overpaid(who).await;
    let ada = shop.admin(who.key.community, ADA).await;
    let request = shop.ask(&ada, item, Resolution::Credit).await;
    let (reached, mut arrived) = tokio::sync::mpsc::channel::<()>(1);
    types::failpoint::arm("approval.before_commit", move || {
        let reached = reached.clone();
        async move {
            if DYING.try_with(|()| ()).is_ok() {
                reached.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }
        }
    });
    let dying = tokio::spawn(DYING.scope((), {
        let (shop, id) = (Arc::clone(&shop), request.id);
        async move { shop.approve(id).await }
    }));
    arrived.recv().await.unwrap();
    types::failpoint::disarm("approval.before_commit");
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    assert_eq!(shop.books(who).await.available, WORTH);
    // The lock of the one that died goes with its session.
    let done = loop {
        match shop.approve(request.id).await {
            Err(ApprovalError::Resolve(ResolveError::Apply(order::ApplyError::Busy(_)))) => {}
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(done.done.unwrap().credited.0, WORTH);
    assert_eq!(shop.books(who).await.available, 2 * WORTH);
    shop.audit().await;
}

//! Every order of arrival, exhaustively: what a set of reports leads to is compared, at every step on the way, with
//! what the same set leads to when it comes sorted. Money is moved by the ledger's own rule.

use std::collections::{BTreeMap, HashMap};

use ledger::state::{AccountState, BookState, State};
use ledger::{Account, AccountKey, Book, Cap, NEVER, Op, Source};
use time::macros::{date, datetime};
use types::{AccountId, CommunityId, LotId};
use uuid::Uuid;

use super::*;

const CREDITS: i64 = 10_000_000;
const BONUS: i64 = 500_000;
const TERMS: Terms<'_> = Terms { price_amount: "10", price_currency: "usd" };

fn report(payment: usize, status: &str) -> Report {
    Report {
        payment_id: payment.to_string(),
        parent_payment_id: None,
        order_id: None,
        status: status.to_owned(),
        price_amount: Some("10.00".to_owned()),
        price_currency: Some("usd".to_owned()),
        pay_amount: None,
        pay_currency: None,
        actually_paid: None,
        purchase_id: None,
        updated_at: None,
    }
}

/// What an account comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sums {
    available: i64,
    held: i64,
    spent: i64,
    owed: i64,
    kept: i64, // minted - reversed
}

/// An account before the order: what it has, has set aside, has spent, owes.
#[derive(Clone, Copy, Debug)]
struct Before {
    available: i64,
    held: i64,
    owed: i64,
}

/// Does what the effects say with the ledger's rule, as `apply` does it.
fn sums(before: Before, effects: &[Effect]) -> Sums {
    let key = AccountKey { community: CommunityId(1), account: AccountId(1) };
    let now = datetime!(2026-01-01 00:00 UTC);
    let cap = Cap { month: date!(2026 - 01 - 01), limit: None, held: 0, spent: 0 };
    let spent = 1_000 + before.owed;
    let account = Account {
        key,
        version: 0,
        seq: 0,
        minted: before.available + before.held + 1_000,
        available: 0,
        held: before.held,
        spent,
        expired: 0,
        reversed: 0,
        owed: before.owed,
        cap,
        holder: None,
        frozen: false,
    };
    let mut account = AccountState { account, lots: Vec::new(), horizon: None, touched: false };
    let lot = |number: u128| LotId(Uuid::from_u128(number));
    if before.available + before.held > 0 {
        account.account.available = before.available;
        account.lots.push(ledger::state::LotState {
            lot: ledger::Lot {
                id: lot(1),
                key,
                source: Source::Grant,
                minted: before.available + before.held,
                remaining: before.available + before.held,
                reversed: 0,
                expired: 0,
                expires_at: NEVER,
                created_at: now,
            },
            write: ledger::state::Write::Nothing,
        });
    }
    let book = Book { community: key.community, version: 0, seq: 0, head: [0; 32], cap };
    let mut state = State {
        books: BTreeMap::from([(key.community, BookState { book, touched: false })]),
        accounts: BTreeMap::from([(key, account)]),
        ..State::default()
    };
    let mut run = |op: Op| {
        let verdict = ledger::rule::apply(&mut state, now, &op);
        assert!(matches!(verdict, Ok(Ok(_))), "{op:?}: {verdict:?}");
    };
    for effect in effects {
        let (Effect::MintPack(place) | Effect::ReversePack(place) | Effect::ReverseOverpay(place)) = *effect;
        let lots = [lot(100 + place as u128), lot(200 + place as u128)];
        match effect {
            Effect::MintPack(_) => {
                for (id, source, amount) in
                    [(lots[0], Source::Purchase, CREDITS), (lots[1], Source::Bonus, BONUS)]
                {
                    run(Op::Mint { key, id, source, amount, expires_at: NEVER });
                }
            }
            Effect::ReversePack(_) => lots.into_iter().for_each(|lot| run(Op::Reverse { key, lot })),
            Effect::ReverseOverpay(_) => panic!("nobody approved an overpayment here"),
        }
    }
    let account = &state.accounts[&key].account;
    assert_eq!(
        account.minted + account.owed,
        account.available + account.held + account.spent + account.expired + account.reversed
    );
    Sums {
        available: account.available,
        held: account.held,
        spent: account.spent,
        owed: account.owed,
        kept: account.minted - account.reversed,
    }
}

/// What a set of reports has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    sums: Vec<Sums>,
    status: Status,
    items: Vec<(Review, Need)>,
}

/// An order with its payments, and everything that was done in the books on its way here.
#[derive(Clone, Default)]
struct World {
    payments: Vec<Payment>,
    effects: Vec<Effect>,
}

impl World {
    fn new(payments: usize) -> Self {
        Self { payments: vec![Payment::default(); payments], effects: Vec::new() }
    }

    fn tell(&mut self, place: usize, report: &Report) {
        let payment = &mut self.payments[place];
        payment.facts = payment.facts.join(read(TERMS, report));
        self.effects.extend(settle(&mut self.payments));
        let packs = self.payments.iter().filter(|payment| payment.credit == Credit::Pack).count();
        let is_paid = self.payments.iter().any(|payment| payment.facts.is_paid());
        assert_eq!(packs, usize::from(is_paid), "the pack stands on one paid payment exactly");
    }

    fn outcome(&self, money: &mut HashMap<Vec<Effect>, Vec<Sums>>) -> Outcome {
        let befores = [
            Before { available: 0, held: 0, owed: 0 },
            Before { available: 300, held: 70, owed: 0 },
            Before { available: 0, held: 70, owed: 4_000_000 },
            Before { available: 0, held: 0, owed: 20_000_000 },
        ];
        let sums = money
            .entry(self.effects.clone())
            .or_insert_with(|| befores.iter().map(|before| sums(*before, &self.effects)).collect())
            .clone();
        let mut items: Vec<(Review, Need)> = self.payments.iter().copied().flat_map(reviews).collect();
        items.sort_unstable();
        Outcome { sums, status: status(&self.payments), items }
    }
}

/// Every order in which `reports` may come, each as often as it says. Returns how many complete orders there were.
fn every_order(payments: usize, reports: &[(usize, Report)], times: usize) -> usize {
    struct Walk<'a> {
        reports: &'a [(usize, Report)],
        sorted: HashMap<usize, Outcome>, // by the set of reports that came
        money: HashMap<Vec<Effect>, Vec<Sums>>,
        complete: usize,
    }
    impl Walk<'_> {
        fn step(&mut self, world: &World, came: usize, left: &mut Vec<usize>) {
            let outcome = world.outcome(&mut self.money);
            assert_eq!(outcome, self.sorted[&came], "{:?}", world.payments);
            if left.iter().all(|times| *times == 0) {
                self.complete += 1;
                return;
            }
            for index in 0..self.reports.len() {
                if left[index] > 0 {
                    let mut next = world.clone();
                    next.tell(self.reports[index].0, &self.reports[index].1);
                    left[index] -= 1;
                    self.step(&next, came | 1 << index, left);
                    left[index] += 1;
                }
            }
        }
    }
    let mut walk = Walk { reports, sorted: HashMap::new(), money: HashMap::new(), complete: 0 };
    for came in 0..1_usize << reports.len() {
        let mut world = World::new(payments);
        for (index, (place, report)) in reports.iter().enumerate() {
            if came & 1 << index != 0 {
                world.tell(*place, report);
            }
        }
        let outcome = world.outcome(&mut walk.money);
        walk.sorted.insert(came, outcome);
    }
    walk.step(&World::new(payments), 0, &mut vec![times; reports.len()]);
    walk.complete
}

fn path(statuses: &[Status]) -> Vec<(usize, Report)> {
    statuses.iter().map(|status| (0, report(0, status.as_str()))).collect()
}

#[test]
fn all_orders_of_the_nine_statuses_end_as_the_sorted_one() {
    assert_eq!(every_order(1, &path(&Status::ALL), 1), 362_880);
}

#[test]
fn all_interleavings_of_the_doubled_path_end_as_the_sorted_one() {
    use Status::{Confirmed, Confirming, Finished, Sending, Waiting};
    assert_eq!(every_order(1, &path(&[Waiting, Confirming, Confirmed, Sending, Finished]), 2), 113_400);
}

#[test]
fn the_sorted_orders_end_as_they_should() {
    let mut money = HashMap::new();
    let mut world = World::new(1);
    let mut steps = Vec::new();
    for status in Status::ALL {
        world.tell(0, &report(0, status.as_str()));
        let outcome = world.outcome(&mut money);
        steps.push((outcome.status, outcome.sums[0].available, outcome.items));
    }
    let underpaid = |need| vec![(Review::PartiallyPaid, need)];
    assert_eq!(
        steps,
        [
            (Status::Waiting, 0, vec![]),
            (Status::Confirming, 0, vec![]),
            (Status::Confirmed, 0, vec![]),
            (Status::Sending, 0, vec![]),
            (Status::Expired, 0, vec![]),
            (Status::Failed, 0, vec![]),
            (Status::PartiallyPaid, 0, underpaid(Need::Open)),
            (Status::Finished, CREDITS + BONUS, underpaid(Need::Overtaken)),
            (Status::Refunded, 0, underpaid(Need::Overtaken)),
        ]
    );
    let (before, after) = (World::new(1).outcome(&mut money), world.outcome(&mut money));
    assert_eq!(after.sums, before.sums, "a refund leaves what was there before the order");
}

#[test]
fn refunded_before_finished_moves_nothing() {
    let mut world = World::new(1);
    world.tell(0, &report(0, "refunded"));
    world.tell(0, &report(0, "finished"));
    assert_eq!((world.effects, world.payments[0].credit), (vec![], Credit::Nothing));
}

#[test]
fn a_second_payment_of_one_order_in_every_order() {
    let mut reports = Vec::new();
    for place in [0, 1] {
        for status in ["partially_paid", "finished", "refunded"] {
            reports.push((place, report(place, status)));
        }
    }
    assert_eq!(every_order(2, &reports, 1), 720);
    // Two payments that are paid and one that is refunded: the pack goes over to the one that stays.
    let reports = [(0, "finished"), (1, "finished"), (2, "finished"), (0, "refunded"), (2, "expired")];
    let reports = reports.map(|(place, status)| (place, report(place, status)));
    assert_eq!(every_order(3, &reports, 2), 113_400);
}

#[test]
fn children_and_foreign_currencies_in_every_order() {
    let child = Report { parent_payment_id: Some("0".to_owned()), ..report(1, "finished") };
    let foreign = Report { price_currency: Some("eur".to_owned()), ..report(2, "finished") };
    let cheap = Report { price_amount: Some("9.99".to_owned()), ..report(2, "finished") };
    let silent = Report { price_amount: None, ..report(0, "finished") };
    let reports = [
        (0, report(0, "confirming")),
        (0, silent),
        (0, report(0, "finished")),
        (1, child),
        (1, report(1, "finished")), // the same payment, without its parent
        (2, foreign),
        (2, cheap),
        (2, report(2, "refunded")),
    ];
    assert_eq!(every_order(3, &reports, 1), 40_320);
}

#[test]
fn what_is_not_ours_to_fulfil_mints_nothing_and_asks_for_a_person() {
    let odd = [
        (Report { parent_payment_id: Some("7".to_owned()), ..report(0, "finished") }, Review::Child),
        (Report { price_currency: Some("eur".to_owned()), ..report(0, "finished") }, Review::WrongCurrency),
        (Report { price_currency: None, ..report(0, "finished") }, Review::WrongCurrency),
        (Report { price_amount: Some("1".to_owned()), ..report(0, "finished") }, Review::WrongPrice),
        (Report { price_amount: Some("ten".to_owned()), ..report(0, "finished") }, Review::WrongPrice),
        (Report { price_amount: None, ..report(0, "finished") }, Review::WrongPrice),
    ];
    for (report, review) in odd {
        let mut world = World::new(1);
        world.tell(0, &report);
        assert_eq!(world.effects, [], "{report:?}");
        assert_eq!(reviews(world.payments[0]), [(review, Need::Open)], "{report:?}");
        assert_ne!(status(&world.payments), Status::Finished, "{report:?}");
    }
    // A payment is not its own parent, and a word in another case or another spelling of ten is no oddity.
    let fine = Report {
        parent_payment_id: Some("0".to_owned()),
        price_amount: Some("1e1".to_owned()),
        price_currency: Some("USD".to_owned()),
        ..report(0, "finished")
    };
    let mut world = World::new(1);
    world.tell(0, &fine);
    assert_eq!(world.effects, [Effect::MintPack(0)]);
}

#[test]
fn a_status_that_nobody_announced_adds_no_status() {
    for word in ["wrong_asset_confirmed", "cancelled", "Finished", ""] {
        assert_eq!(read(TERMS, &report(0, word)), Facts::default(), "{word}");
    }
}

#[test]
fn an_approved_overpayment_is_taken_back_with_its_refund_and_a_declined_one_stays_declined() {
    let mut world = World::new(3);
    for place in [0, 1, 2] {
        world.tell(place, &report(place, "finished"));
    }
    world.payments[1].credit = Credit::Overpay;
    world.payments[2].credit = Credit::Declined;
    assert_eq!(world.payments.iter().copied().flat_map(reviews).collect::<Vec<_>>(), []);
    world.effects.clear();
    for place in [0, 1, 2] {
        let payment = &mut world.payments[place];
        payment.facts = payment.facts.join(read(TERMS, &report(place, "refunded")));
        world.effects.extend(settle(&mut world.payments));
    }
    assert_eq!(world.effects, [Effect::ReversePack(0), Effect::ReverseOverpay(1)]);
    assert_eq!(world.payments[2].credit, Credit::Declined);
    assert_eq!(status(&world.payments), Status::Refunded);
}

#[test]
fn a_mint_that_was_held_up_comes_with_the_next_report() {
    let mut world = World::new(1);
    world.tell(0, &report(0, "finished"));
    world.payments[0].credit = Credit::Nothing; // the ledger had stopped minting
    world.effects.clear();
    assert_eq!(status(&world.payments), Status::Sending);
    world.tell(0, &report(0, "finished"));
    assert_eq!(world.effects, [Effect::MintPack(0)]);
}

#[test]
fn the_most_telling_payment_speaks_for_the_order() {
    let told = |statuses: &[&str]| {
        let mut world = World::new(statuses.len());
        for (place, word) in statuses.iter().enumerate() {
            world.tell(place, &report(place, word));
        }
        status(&world.payments)
    };
    assert_eq!(told(&[]), Status::Waiting);
    assert_eq!(told(&["expired", "waiting"]), Status::Waiting);
    assert_eq!(told(&["failed", "expired"]), Status::Failed);
    assert_eq!(told(&["confirming", "waiting"]), Status::Confirming);
    assert_eq!(told(&["refunded", "finished"]), Status::Finished);
    assert_eq!(told(&["refunded", "waiting"]), Status::Refunded);
    assert_eq!(told(&["partially_paid", "sending"]), Status::Sending);
    for status in Status::ALL {
        assert_eq!(told(&[status.as_str()]), status);
    }
}

#[test]
fn facts_survive_the_table() {
    for number in 0..1 << 14 {
        let known = Facts::from_db(number);
        assert_eq!(known.map(Facts::as_db), (number < 1 << 13).then_some(number));
    }
    assert_eq!(Facts::from_db(-1), None);
    for number in -1..7 {
        assert_eq!(
            Credit::from_db(number).map(|credit| credit as i16),
            (0..5).contains(&number).then_some(number)
        );
    }
    for number in -1..11 {
        let review = Review::from_db(number);
        assert_eq!(review.map(|review| review as i16), (1..9).contains(&number).then_some(number));
    }
}

#[test]
fn a_person_is_needed_until_the_money_came_right_or_went_back() {
    let as_told = |word: &str, change: fn(&mut Report)| {
        let mut report = report(0, word);
        change(&mut report);
        report
    };
    let foreign = as_told("finished", |report| report.price_currency = Some("eur".to_owned()));
    let dearer = as_told("finished", |report| report.price_amount = Some("10.01".to_owned()));
    let short = report(0, "partially_paid");
    let (paid, refunded) = (report(0, "finished"), report(0, "refunded"));
    let asked = |reports: &[&Report]| {
        let mut world = World::new(1);
        for report in reports {
            world.tell(0, report);
        }
        reviews(world.payments[0])
    };
    let all =
        [(short, Review::PartiallyPaid), (foreign, Review::WrongCurrency), (dearer, Review::WrongPrice)];
    for (odd, review) in all {
        assert_eq!(asked(&[&odd]), [(review, Need::Open)]);
        assert_eq!(asked(&[&odd, &paid]), [(review, Need::Overtaken)]);
        assert_eq!(asked(&[&odd, &refunded]), [(review, Need::Overtaken)]);
        assert_eq!(asked(&[&odd, &paid, &refunded]), [(review, Need::Overtaken)]);
    }
    let child = as_told("finished", |report| report.parent_payment_id = Some("1".to_owned()));
    assert_eq!(asked(&[&child]), [(Review::Child, Need::Open)]);
    assert_eq!(asked(&[&child, &refunded]), [(Review::Child, Need::Overtaken)]);
}

#[test]
fn each_kind_of_review_has_its_word_on_the_wire() {
    let words = Review::ALL.map(Review::as_str).join(" ");
    let (told, deduced) = ("unknown_status unknown_order other_order", "wrong_currency wrong_price");
    assert_eq!(words, format!("partially_paid overpay child_payment {deduced} {told}"));
}

#[test]
fn the_tables_numbers_mean_what_the_statements_and_the_rule_read_in_them() {
    // `stuck` and `held_up` ask the table by these two masks; all numbers that the table can hold are few enough to try.
    let known: Vec<Facts> = (0..=i32::from(u16::MAX)).filter_map(Facts::from_db).collect();
    assert_eq!(known.len(), 1 << 13);
    for facts in known {
        let number = facts.as_db();
        let by_masks = number & Facts::PAID_BIT != 0 && number & Facts::NEVER_PAID_BITS == 0;
        assert_eq!(by_masks, facts.is_paid(), "{number:#b}");
        // Bit 7: finished; 8: refunded; 12: a child.
        let is_over = [7, 8, 12].into_iter().any(|bit| number >> bit & 1 == 1);
        assert_eq!(is_over, facts.is_final(), "{number:#b}");
    }
}

#[test]
fn money_was_seen_when_any_status_that_was_told_says_so() {
    let told = |statuses: &[Status]| {
        statuses.iter().fold(Facts::default(), |facts, status| facts.join(Facts(Facts::bit(*status))))
    };
    for status in Status::ALL {
        assert_eq!(told(&[status]).shows_deposit(), status.shows_deposit(), "{status:?}");
        for other in Status::ALL {
            let either = status.shows_deposit() || other.shows_deposit();
            assert_eq!(told(&[status, other]).shows_deposit(), either, "{status:?}, {other:?}");
        }
    }
    assert!(Status::Finished.shows_deposit() && !Status::Waiting.shows_deposit());
}

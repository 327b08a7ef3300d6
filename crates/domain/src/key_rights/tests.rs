//! Every combination of act, caller and target, judged by the sentences of the rule one by one, and the cases that were
//! attacked by hand.

use ledger::AccountKey;
use types::{AccountId, CommunityId};

use super::*;

const ACTS: [Act; 4] = [Act::Create, Act::Upgrade, Act::Rotate, Act::Revoke];
const KINDS: [KeyKind; 2] = [KeyKind::Sandbox, KeyKind::Live];
const OWN: &str = "aaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbb";

fn limits(requests_per_minute: u32, tokens_per_day: u64) -> KeyLimits {
    KeyLimits { requests_per_minute, tokens_per_day }
}

/// Below, at and above the middle one, each figure for itself.
fn all_limits() -> Vec<KeyLimits> {
    let figures = [1, 10, 60];
    figures.iter().flat_map(|rpm| figures.iter().map(|tpd| limits(*rpm, u64::from(*tpd) * 1_000))).collect()
}

/// Every set of scopes that there is.
fn all_scopes() -> Vec<Scopes> {
    let has = |bits: usize, place: usize| bits >> place & 1 == 1;
    let set =
        |bits| Scope::ALL.iter().enumerate().filter(move |(place, _)| has(bits, *place)).map(|(_, s)| *s);
    (0..1 << Scope::ALL.len()).map(|bits| set(bits).collect()).collect()
}

fn caller(kind: KeyKind, scopes: Scopes, limits: KeyLimits, by: By) -> Standing {
    let account = AccountKey { community: CommunityId(1), account: AccountId(2) };
    Standing { account, kind, scopes, limits, by }
}

fn key() -> By {
    By::Key { public_id: OWN.to_owned() }
}

/// The rule, sentence by sentence, without the code under test: what holds for whom, and which of it was broken.
fn broken(caller: &Standing, act: Act, target: &Target<'_>) -> Vec<Forbidden> {
    let is_itself = caller.by == key() && target.id == Some(OWN);
    let is_of_admin_api = target.scopes.names().contains(&"admin");
    let mut broken = Vec::new();
    let mut rule = |holds: bool, forbidden| {
        if !holds {
            broken.push(forbidden);
        }
    };
    // "A key may always revoke itself."
    if is_itself && act == Act::Revoke {
        return broken;
    }
    if let By::Wallet { is_admin } = caller.by
        && act == Act::Revoke
    {
        // "An owner ends each key; one of the admin API only as an administrator."
        rule(is_admin || !is_of_admin_api, Forbidden::Admin);
        return broken;
    }
    // "A key needs the scope `keys`."
    rule(caller.by != key() || caller.scopes.names().contains(&"keys"), Forbidden::NoScope);
    // "Nobody but the operator makes, and no other key touches, a key of the admin API."
    rule(!is_of_admin_api, Forbidden::Admin);
    // "A sandbox key touches no live key."
    rule(!(caller.kind == KeyKind::Sandbox && target.kind == KeyKind::Live), Forbidden::Kind);
    // "The target's scopes and limits lie within the caller's."
    let own = caller.scopes.names();
    rule(target.scopes.names().iter().all(|name| own.contains(name)), Forbidden::Scopes);
    let (mine, its) = (caller.limits, target.limits);
    rule(its.requests_per_minute <= mine.requests_per_minute, Forbidden::RequestsPerMinute);
    rule(its.tokens_per_day <= mine.tokens_per_day, Forbidden::TokensPerDay);
    broken
}

#[test]
fn every_combination_is_judged_as_the_sentences_of_the_rule_say() {
    let (mut allowed, mut refused) = (0_u32, 0_u32);
    let callers: Vec<By> = vec![key(), By::Wallet { is_admin: false }, By::Wallet { is_admin: true }];
    for by in callers {
        for (kind, scopes) in KINDS.iter().flat_map(|kind| all_scopes().into_iter().map(move |s| (*kind, s)))
        {
            for own in [limits(1, 1_000), limits(10, 10_000), limits(60, 60_000)] {
                let caller = caller(kind, scopes, own, by.clone());
                for (kind, scopes) in
                    KINDS.iter().flat_map(|kind| all_scopes().into_iter().map(move |s| (*kind, s)))
                {
                    for limits in all_limits() {
                        for (act, id) in
                            ACTS.iter().flat_map(|act| [None, Some(OWN), Some(OTHER)].map(|id| (*act, id)))
                        {
                            let target = Target { id, kind, scopes, limits };
                            let expected = broken(&caller, act, &target);
                            match may(&caller, act, &target) {
                                Ok(()) => {
                                    assert!(
                                        expected.is_empty(),
                                        "{caller:?} {act:?} {target:?}: {expected:?}"
                                    );
                                    allowed += 1;
                                }
                                Err(why) => {
                                    assert!(
                                        expected.contains(&why),
                                        "{caller:?} {act:?} {target:?}: {why:?}"
                                    );
                                    refused += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    // 3 callers × (2 kinds × 32 scopes × 3 limits) × (2 × 32 × 9 targets) × 4 acts × 3 ids.
    assert_eq!(allowed + refused, 3 * 192 * 576 * 12);
    assert!(allowed > 0 && refused > allowed, "{allowed} allowed, {refused} refused");
}

#[test]
fn the_cases_that_were_attacked() {
    let narrowed = Scopes::parse(["chat", "keys"]).expect("both exist");
    let leaked = caller(KeyKind::Sandbox, narrowed, limits(1, 10), key());
    let target = |id, kind, scopes: &[&str], limits| Target {
        id,
        kind,
        scopes: Scopes::parse(scopes.iter().copied()).expect("they exist"),
        limits,
    };
    let usual = limits(60, 100_000);
    let live = target(Some(OTHER), KeyKind::Live, &["chat"], usual);
    let parent =
        target(Some(OTHER), KeyKind::Sandbox, &["chat", "models", "usage", "keys"], limits(10, 10_000));
    let admin = target(Some(OTHER), KeyKind::Live, &["admin", "usage"], usual);
    let beside = target(Some(OTHER), KeyKind::Sandbox, &["chat"], limits(1, 10));
    let itself = target(Some(OWN), KeyKind::Sandbox, &["chat", "keys"], limits(1, 10));
    for (act, target, expected) in [
        (Act::Upgrade, Target { id: None, ..live }, Err(Forbidden::Kind)),
        (Act::Create, Target { id: None, ..live }, Err(Forbidden::Kind)),
        (Act::Rotate, live, Err(Forbidden::Kind)),
        (Act::Revoke, live, Err(Forbidden::Kind)),
        (Act::Revoke, parent, Err(Forbidden::Scopes)),
        (Act::Rotate, parent, Err(Forbidden::Scopes)),
        (Act::Revoke, admin, Err(Forbidden::Admin)),
        (Act::Rotate, admin, Err(Forbidden::Admin)),
        (Act::Revoke, beside, Ok(())),
        (Act::Rotate, beside, Ok(())),
        (Act::Revoke, itself, Ok(())),
        (Act::Rotate, itself, Ok(())),
        (Act::Create, Target { id: None, ..beside }, Ok(())),
    ] {
        assert_eq!(may(&leaked, act, &target), expected, "{act:?} {target:?}");
    }
    // A key without the scope `keys` ends itself and nothing else.
    let mute = caller(KeyKind::Live, Scopes::parse(["chat"]).expect("it exists"), usual, key());
    assert_eq!(may(&mute, Act::Revoke, &Target { id: Some(OWN), ..live }), Ok(()));
    assert_eq!(may(&mute, Act::Revoke, &beside), Err(Forbidden::NoScope));
    assert_eq!(may(&mute, Act::Rotate, &Target { id: Some(OWN), ..live }), Err(Forbidden::NoScope));
    // An admin key is ended by itself and by an administrator's wallet, and replaced by nobody but the operator.
    let owner = |is_admin| caller(KeyKind::Live, Scopes::developer(), usual, By::Wallet { is_admin });
    assert_eq!(may(&owner(true), Act::Revoke, &admin), Ok(()));
    assert_eq!(may(&owner(false), Act::Revoke, &admin), Err(Forbidden::Admin));
    assert_eq!(may(&owner(true), Act::Rotate, &admin), Err(Forbidden::Admin));
    // A wallet ends what an operator has made larger than usual, and does not copy it.
    let large = target(Some(OTHER), KeyKind::Live, &["chat"], limits(6_000, 100_000_000));
    assert_eq!(may(&owner(false), Act::Revoke, &large), Ok(()));
    assert_eq!(may(&owner(false), Act::Rotate, &large), Err(Forbidden::RequestsPerMinute));
}

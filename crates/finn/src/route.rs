//! Which pool answers, and which models may, in which order (SPEC §5).
//!
//! What always holds: no pool outside the token's claims is ever chosen, whatever was asked for; a chain never leaves
//! its pool, and never holds a model that the request does not allow; a scripted model answers only where no real one is
//! on, or when it was asked for by its id, and never stands in for a real one that failed.
//!
//! An agent's affinities choose between "requested" and "default", among the allowed pools that have a model on.

use types::catalog::Catalog;
use types::{Pool, Tier};

use crate::failure::Failure;
use crate::personality::Affinities;

/// Why this pool and model, as one stable word for the routing record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As asked.
    Requested,
    /// Nothing was asked: the tier's default.
    Default,
    /// Nothing was asked: the pool that the agent takes to most.
    Affinity,
    /// The pool asked for is not in the claims.
    ForbiddenPool,
    /// The model asked for is in no pool of the claims.
    ForbiddenModel,
    /// The catalog has no such model.
    UnknownModel,
    /// The model asked for is switched off; another of its pool answers.
    ModelOff,
    /// The first choice failed before its first token.
    Fallback,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Default => "default",
            Self::Affinity => "affinity",
            Self::ForbiddenPool => "forbidden_pool",
            Self::ForbiddenModel => "forbidden_model",
            Self::UnknownModel => "unknown_model",
            Self::ModelOff => "model_off",
            Self::Fallback => "fallback",
        }
    }
}

/// What the request asked for and what its token allows.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'r> {
    /// Pools of the token that the tier reaches, cheapest first.
    pub allowed: &'r [Pool],
    /// The asker's tier.
    pub tier: Tier,
    /// A pool asked for.
    pub pool: Option<Pool>,
    /// A model asked for, by its catalog id.
    pub model: Option<&'r str>,
    /// Models that may answer; `None`: every model of the pool. Set where a model was asked for by its id.
    pub may_answer: Option<&'r [String]>,
    /// What the agent takes to; `None` without an agent.
    pub affinities: Option<Affinities>,
}

/// The decision.
#[derive(Debug, PartialEq, Eq)]
pub struct Route<'c> {
    /// Who answers.
    pub pool: Pool,
    /// Catalog ids in the order in which they are tried; never empty.
    pub chain: Vec<&'c str>,
    /// Why.
    pub reason: Reason,
}

/// Decides. `is_on` says whether a model's provider is configured.
pub fn choose<'c>(
    catalog: &'c Catalog,
    is_on: impl Fn(&str) -> bool,
    wish: Wish<'_>,
) -> Result<Route<'c>, Failure> {
    let default = default_pool(wish).ok_or(Failure::NoPool)?;
    let (pool, first, reason) = pool_and_model(catalog, &is_on, wish, default);
    let mut chain = chain(catalog, &is_on, pool, first);
    if let Some(may_answer) = wish.may_answer {
        chain.retain(|id| may_answer.iter().any(|other| other == id));
    }
    match (chain.is_empty(), wish.may_answer) {
        (false, _) => Ok(Route { pool, chain, reason }),
        (true, Some(_)) => Err(Failure::ModelUnavailable),
        (true, None) => Err(Failure::NoModel),
    }
}

/// The tier's default, or the dearest allowed pool below it, or the cheapest allowed one.
fn default_pool(wish: Wish<'_>) -> Option<Pool> {
    let default = wish.tier.default_pool();
    let below = wish.allowed.iter().rev().find(|pool| **pool <= default);
    below.or(wish.allowed.first()).copied()
}

fn pool_and_model<'c>(
    catalog: &'c Catalog,
    is_on: &impl Fn(&str) -> bool,
    wish: Wish<'_>,
    default: Pool,
) -> (Pool, Option<&'c str>, Reason) {
    let asked_pool = wish.pool.filter(|pool| wish.allowed.contains(pool));
    let Some(asked_model) = wish.model else {
        return match (wish.pool, asked_pool) {
            (_, Some(pool)) => (pool, None, Reason::Requested),
            (Some(_), None) => (default, None, Reason::ForbiddenPool),
            (None, None) => match favourite(catalog, is_on, wish) {
                Some(pool) => (pool, None, Reason::Affinity),
                None => (default, None, Reason::Default),
            },
        };
    };
    let Some((model, _)) = catalog.models.get_key_value(asked_model) else {
        return (asked_pool.unwrap_or(default), None, Reason::UnknownModel);
    };
    let lists = |pool: &&Pool| catalog.pool(**pool).models.contains(model);
    let home = asked_pool.as_ref().into_iter().chain(wish.allowed).find(lists);
    match home {
        None => (default, None, Reason::ForbiddenModel),
        Some(pool) if is_on(model) => (*pool, Some(model), Reason::Requested),
        Some(pool) => (*pool, None, Reason::ModelOff),
    }
}

/// The allowed pool that the agent takes to most, the cheaper one of two alike.
fn favourite(catalog: &Catalog, is_on: &impl Fn(&str) -> bool, wish: Wish<'_>) -> Option<Pool> {
    let affinities = wish.affinities?;
    let can_answer = |pool: &&Pool| catalog.pool(**pool).models.iter().any(|id| is_on(id));
    // `max_by_key` takes the last of equals.
    wish.allowed.iter().rev().filter(can_answer).max_by_key(|pool| affinities.to(**pool)).copied()
}

fn chain<'c>(
    catalog: &'c Catalog,
    is_on: &impl Fn(&str) -> bool,
    pool: Pool,
    first: Option<&'c str>,
) -> Vec<&'c str> {
    let on = catalog.answering(pool, is_on);
    match first {
        Some(first) if catalog.is_scripted(first) => vec![first],
        // It is on itself, and no scripted text: so the others are models, too.
        Some(first) => std::iter::once(first).chain(on.into_iter().filter(|id| *id != first)).collect(),
        None => on,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::catalog::DEFAULT_TOML;

    fn route(
        tier: u8,
        allowed: &[Pool],
        pool: Option<Pool>,
        model: Option<&str>,
        real: bool,
    ) -> Result<(Pool, Vec<String>, Reason), Failure> {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        let tier = Tier::new(tier).expect("1–9");
        let on = |id: &str| real || id.starts_with("scripted");
        let route =
            choose(&catalog, on, Wish { allowed, tier, pool, model, may_answer: None, affinities: None })?;
        Ok((route.pool, route.chain.iter().map(ToString::to_string).collect(), route.reason))
    }

    fn all(tier: u8) -> &'static [Pool] {
        Tier::new(tier).expect("1–9").allowed_pools()
    }

    #[test]
    fn scripted_models_answer_only_where_nothing_real_is_on() {
        let (pool, chain, reason) = route(4, all(4), None, None, false).expect("a route");
        assert_eq!((pool, reason), (Pool::Standard, Reason::Default));
        assert_eq!(chain, ["scripted-standard"]);
        let (_, chain, _) = route(4, all(4), None, None, true).expect("a route");
        assert_eq!(chain, ["gpt-4o", "claude-haiku"]);
        let (_, chain, reason) = route(4, all(4), None, Some("scripted-cheap"), true).expect("a route");
        assert_eq!((chain, reason), (vec!["scripted-cheap".to_owned()], Reason::Requested));
    }

    #[test]
    fn what_is_forbidden_falls_to_the_default_with_the_reason() {
        let word = |pool, model| route(1, all(1), pool, model, true).map(|(pool, _, reason)| (pool, reason));
        assert_eq!(word(Some(Pool::Flagship), None), Ok((Pool::Cheap, Reason::ForbiddenPool)));
        assert_eq!(word(None, Some("claude-opus")), Ok((Pool::Cheap, Reason::ForbiddenModel)));
        assert_eq!(word(None, Some("nobody")), Ok((Pool::Cheap, Reason::UnknownModel)));
        assert_eq!(word(Some(Pool::Flagship), Some("gpt-4o-mini")), Ok((Pool::Cheap, Reason::Requested)));
        assert_eq!(route(9, &[], None, None, true), Err(Failure::NoPool));
    }

    #[test]
    fn a_model_off_leaves_its_pool_to_the_others() {
        let (pool, chain, reason) = route(4, all(4), None, Some("claude-sonnet"), false).expect("a route");
        assert_eq!((pool, reason), (Pool::Reasoning, Reason::ModelOff));
        assert_eq!(chain, ["scripted-reasoning"]);
    }

    #[test]
    fn a_requested_model_leads_its_pool_s_chain() {
        let (pool, chain, _) =
            route(9, all(9), Some(Pool::Reasoning), Some("gpt-4o"), true).expect("a route");
        assert_eq!((pool, chain), (Pool::Reasoning, vec!["gpt-4o".to_owned(), "claude-sonnet".to_owned()]));
    }

    #[test]
    fn only_models_that_the_request_allows_answer_for_a_named_one() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        let tier = Tier::new(4).expect("1–9");
        let chosen = |model, may_answer: &[&str], off: &[&str]| {
            let may_answer: Vec<String> = may_answer.iter().map(ToString::to_string).collect();
            let allowed = tier.allowed_pools();
            let may_answer = Some(may_answer.as_slice());
            let wish = Wish { allowed, tier, pool: None, model: Some(model), may_answer, affinities: None };
            let route = choose(&catalog, |id| !off.contains(&id), wish)?;
            Ok((route.pool, route.chain.iter().map(ToString::to_string).collect::<Vec<_>>()))
        };
        let standard = |chain: &[&str]| Ok((Pool::Standard, chain.iter().map(ToString::to_string).collect()));
        let both = ["gpt-4o", "claude-haiku", "scripted-standard"];
        assert_eq!(chosen("claude-haiku", &both, &[]), standard(&["claude-haiku", "gpt-4o"]));
        assert_eq!(chosen("claude-haiku", &["claude-haiku"], &[]), standard(&["claude-haiku"]));
        assert_eq!(
            chosen("claude-haiku", &["claude-haiku", "scripted-standard"], &["claude-haiku"]),
            Err(Failure::ModelUnavailable),
            "scripted text stands in for nothing while a real model of the pool is on"
        );
        assert_eq!(
            chosen("claude-haiku", &both, &["claude-haiku", "gpt-4o"]),
            standard(&["scripted-standard"])
        );
        assert_eq!(
            chosen("claude-opus", &["claude-opus", "claude-haiku"], &[]),
            standard(&["claude-haiku"]),
            "above the tier its default pool answers"
        );
    }

    #[test]
    fn an_agent_s_affinity_chooses_where_nothing_was_asked() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        let affinities = Some(Affinities([10, 50, 70, 90, 90]));
        let chosen = |tier: u8, pool, on: &dyn Fn(&str) -> bool| {
            let tier = Tier::new(tier).expect("1–9");
            let wish =
                Wish { allowed: tier.allowed_pools(), tier, pool, model: None, may_answer: None, affinities };
            choose(&catalog, on, wish).map(|route| (route.pool, route.reason))
        };
        let all = |_: &str| true;
        assert_eq!(chosen(2, None, &all), Ok((Pool::Cheap, Reason::Affinity)));
        assert_eq!(chosen(5, None, &all), Ok((Pool::Reasoning, Reason::Affinity)));
        assert_eq!(
            chosen(8, None, &all),
            Ok((Pool::Architect, Reason::Affinity)),
            "the cheaper of two alike"
        );
        assert_eq!(chosen(8, Some(Pool::Cheap), &all), Ok((Pool::Cheap, Reason::Requested)));
        assert_eq!(chosen(2, Some(Pool::Flagship), &all), Ok((Pool::Cheap, Reason::ForbiddenPool)));
        let architect = &catalog.pool(Pool::Architect).models;
        let without = |id: &str| !architect.iter().any(|other| other == id);
        assert_ne!(chosen(8, None, &without).expect("a route").0, Pool::Architect, "nobody answers there");
        assert_eq!(chosen(8, None, &|_| false), Err(Failure::NoModel));
    }

    #[test]
    fn no_wish_leaves_the_claims() {
        let catalog = Catalog::parse(DEFAULT_TOML).expect("sound");
        let models: Vec<Option<&str>> =
            catalog.models.keys().map(|id| Some(id.as_str())).chain([None, Some("nobody")]).collect();
        for subset in 1_u32..32 {
            let allowed: Vec<Pool> =
                Pool::ALL.into_iter().filter(|pool| subset & (1 << pool.as_db()) != 0).collect();
            for number in 1..=9 {
                let tier = Tier::new(number).expect("1–9");
                for pool in Pool::ALL.into_iter().map(Some).chain([None]) {
                    for model in &models {
                        let affinities = (number % 2 == 0).then_some(Affinities([9, 8, 7, 6, 99]));
                        let wish = Wish {
                            allowed: &allowed,
                            tier,
                            pool,
                            model: *model,
                            may_answer: None,
                            affinities,
                        };
                        let route = choose(&catalog, |_| true, wish).expect("everything is on");
                        assert!(allowed.contains(&route.pool));
                        let listed = &catalog.pool(route.pool).models;
                        assert!(route.chain.iter().all(|id| listed.iter().any(|other| other == id)));
                    }
                }
            }
        }
    }
}

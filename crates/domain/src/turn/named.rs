//! Which models may answer where one was asked for by its id (SPEC §14): it, or one that costs no more.
//!
//! What always holds: by default nobody pays more for a token, of the prompt or of the answer, than the model that was
//! asked for costs; no model outside the tier answers, whatever the caller permits. Pools and agents are no concern of
//! this file: they fall back within their pool. Whether a model is on, and whether its provider answers, only the engine
//! knows: it tries the models of the list, and no other.

use types::catalog::Catalog;
use types::{Pool, PricePerMillion, Tier};

use super::Refusal;

/// What `X-Freeside-Fallback` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing: a model that costs no more may answer.
    #[default]
    NoDearer,
    /// `none`: that model or nobody.
    Nobody,
    /// `any`: a dearer one, too.
    Anybody,
}

/// Who may answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidates {
    /// The pool that answers.
    pub(super) pool: Pool,
    /// Its models that may, by id; `None`: all of them.
    pub(super) models: Option<Vec<String>>,
}

/// Who may answer for the model `name`; refused when this tier can never be answered.
pub(super) fn candidates(
    catalog: &Catalog,
    tier: Tier,
    name: &str,
    fallback: Fallback,
) -> Result<Candidates, Refusal> {
    let unknown = || Refusal::UnknownModel { name: name.to_owned() };
    let asked = catalog.models.get(name).ok_or_else(unknown)?.price();
    let home = catalog.pool_of(name).ok_or_else(unknown)?;
    let is_in_reach = tier.allowed_pools().contains(&home);
    let pool = if is_in_reach { home } else { tier.default_pool() };
    let itself = is_in_reach.then(|| name.to_owned());
    let models = match fallback {
        Fallback::Anybody => None,
        Fallback::Nobody => Some(itself.into_iter().collect()),
        Fallback::NoDearer => {
            let others = catalog.pool(pool).models.iter().filter(|id| *id != name);
            let others = others.filter(|id| {
                catalog.models.get(*id).is_some_and(|model| costs_no_more(model.price(), asked))
            });
            Some(itself.into_iter().chain(others.cloned()).collect::<Vec<_>>())
        }
    };
    if models.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refusal::ModelOutOfReach { name: name.to_owned(), pool });
    }
    Ok(Candidates { pool, models })
}

/// In both parts: a cheap prompt does not make up for a dear answer.
fn costs_no_more(price: PricePerMillion, than: PricePerMillion) -> bool {
    price.input <= than.input && price.output <= than.output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pools of two or three models; `even` costs less to ask and more to answer than `middle`.
    fn catalog() -> Catalog {
        let model = |id: &str, input: i64, output: i64| {
            format!(
                "[models.{id}]\nprovider = \"p\"\nupstream_model = \"u\"\ncontext_tokens = 1000\n\
                 input_micro_per_million = {input}\noutput_micro_per_million = {output}\n"
            )
        };
        let models = [
            ("small", 1, 4),
            ("tiny", 1, 1),
            ("middle", 10, 40),
            ("even", 9, 41),
            ("same", 10, 40),
            ("thinker", 20, 80),
            ("cheap-thinker", 5, 20),
            ("giant", 50, 250),
            ("odd", 2, 3),
        ];
        let models = models.map(|(id, input, output)| model(id, input, output)).concat();
        let pools = [
            ("cheap", "\"small\", \"tiny\""),
            ("standard", "\"middle\", \"even\", \"same\""),
            ("reasoning", "\"thinker\", \"cheap-thinker\", \"middle\""),
            ("architect", "\"giant\", \"odd\""),
            ("flagship", "\"giant\""),
        ];
        let pools = pools.map(|(pool, models)| {
            format!("[pools.{pool}]\nmodels = [{models}]\ndefault_max_tokens = 10\nhold_slice_tokens = 10\n")
        });
        let provider = "[providers.p]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n";
        Catalog::parse(&format!("{provider}{models}{}", pools.concat())).expect("sound")
    }

    #[test]
    fn a_named_model_is_answered_by_it_or_by_one_that_costs_no_more() {
        use Fallback::{Anybody, NoDearer, Nobody};
        let catalog = catalog();
        let all = None;
        for (tier, name, fallback, pool, models) in [
            (4, "middle", NoDearer, Pool::Standard, Some(vec!["middle", "same"])),
            (4, "middle", Nobody, Pool::Standard, Some(vec!["middle"])),
            (4, "middle", Anybody, Pool::Standard, all.clone()),
            (4, "even", NoDearer, Pool::Standard, Some(vec!["even"])),
            (4, "thinker", NoDearer, Pool::Reasoning, Some(vec!["thinker", "cheap-thinker", "middle"])),
            (4, "cheap-thinker", NoDearer, Pool::Reasoning, Some(vec!["cheap-thinker"])),
            (1, "tiny", NoDearer, Pool::Cheap, Some(vec!["tiny"])),
            (1, "small", NoDearer, Pool::Cheap, Some(vec!["small", "tiny"])),
            // Above the tier: the models of its default pool that cost no more, and never itself.
            (4, "giant", NoDearer, Pool::Standard, Some(vec!["middle", "even", "same"])),
            (4, "giant", Anybody, Pool::Standard, all.clone()),
            (1, "middle", NoDearer, Pool::Cheap, Some(vec!["small", "tiny"])),
            (1, "odd", NoDearer, Pool::Cheap, Some(vec!["tiny"])),
            (4, "odd", Anybody, Pool::Standard, all),
            (9, "giant", NoDearer, Pool::Architect, Some(vec!["giant", "odd"])),
        ] {
            let tier = Tier::new(tier).expect("1–9");
            let models = models.map(|models| models.into_iter().map(str::to_owned).collect());
            let found = candidates(&catalog, tier, name, fallback).expect("somebody may");
            assert_eq!(found, Candidates { pool, models }, "{name} by {tier:?}, {fallback:?}");
        }
        for (tier, name, fallback) in [(4, "odd", NoDearer), (4, "giant", Nobody), (1, "middle", Nobody)] {
            let tier = Tier::new(tier).expect("1–9");
            let refused = candidates(&catalog, tier, name, fallback);
            assert!(matches!(refused, Err(Refusal::ModelOutOfReach { .. })), "{name}: {refused:?}");
        }
    }

    #[test]
    fn whoever_may_answer_costs_no_more_in_either_part_and_is_in_reach() {
        let catalog = catalog();
        for (name, tier) in catalog.models.keys().flat_map(|name| (1..=9).map(move |tier| (name, tier))) {
            let tier = Tier::new(tier).expect("1–9");
            let Ok(found) = candidates(&catalog, tier, name, Fallback::NoDearer) else { continue };
            let models = found.models.expect("a list");
            let (asked, dearest) =
                (catalog.models[name].price(), catalog.dearest_of(models.iter().map(String::as_str)));
            assert!(costs_no_more(dearest, asked), "{name}");
            assert!(tier.allowed_pools().contains(&found.pool));
            assert!(models.iter().all(|id| catalog.pool(found.pool).models.contains(id)));
        }
    }
}

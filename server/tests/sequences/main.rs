//! Whatever a provider sends and whoever leaves when: what is charged is right (SPEC §14 "Charging").
//!
//! Each sequence is one request through the real turn, the real engine and a real ledger, to a provider that plays
//! generated events of OpenAI's or Anthropic's dialect, for a caller who takes the answer as a stream or whole and may
//! leave at any point. What should come of it is derived from what was generated (`script`), not from our readers.
//! `FREESIDE_TEST_LONG=1` plays 200,000 of them.

mod script;
mod vendor;
mod world;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use script::Script;
use world::World;

/// Sequences that are under way at once, each on providers and with an account of its own: what one provider's failures do
/// to another caller is another test's.
const LANES: u64 = 128;
/// A planted fault has to be caught within so many.
const TO_CATCH: u64 = 2_000;

fn sequences() -> u64 {
    if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 200_000 } else { 5_000 }
}

/// The first sequence that ended wrong, when there is one.
async fn play(world: &World, seed: u64, count: u64) -> Result<(), String> {
    let lanes = (0..LANES).map(|lane| async move {
        for number in (lane..count).step_by(usize::try_from(LANES).expect("small")) {
            let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
            let script = Script::random(&mut random);
            let text = format!("{script:?}");
            let played = world.play(lane, number, script).await;
            played.map_err(|fault| format!("seed {seed}, sequence {number}: {fault}\n{text}"))?;
        }
        Ok::<(), String>(())
    });
    futures_util::future::try_join_all(lanes).await?;
    world.totals().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_charged_is_right_whatever_a_provider_sends_and_whenever_the_caller_leaves() {
    let seed = rand::random::<u32>().into();
    println!("seed {seed}");
    let world = World::new().await;
    play(&world, seed, sequences()).await.unwrap_or_else(|fault| panic!("{fault}"));
    println!("{} sequences: {}", sequences(), world.tally());
    // The same check catches each of these faults when it is planted.
    #[cfg(debug_assertions)]
    for fault in [domain::price::CEILING_OFF, finn::EARLY_FIGURES_BELIEVED, domain::turn::CHARGE_BROKEN_WHOLE]
    {
        types::failpoint::plant(&[fault]);
        let caught = play(&World::new().await, seed, TO_CATCH).await;
        types::failpoint::plant(&[]);
        let fault_seen = caught.expect_err(fault);
        println!("planted {fault}: {}", fault_seen.lines().next().unwrap_or_default());
    }
}

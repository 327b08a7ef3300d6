//! freeside and finn as two processes: the same answers and the same books as in one.

use testing::books;
use testing::served::{Launch, Served, free_address};

use crate::client::{Client, is_acknowledged, question};
use crate::world::{PATIENCE, PLENTY, World};

/// The two halves of one installation.
pub(crate) struct Halves {
    pub(crate) gateway: Launch,
    pub(crate) finn: Launch,
}

impl Halves {
    /// The gateway has to know finn's address before finn runs, and finn where the gateway's public keys are.
    pub(crate) fn of(world: &World) -> Self {
        let (front, back) = (free_address(), free_address());
        let launch = world
            .launch()
            .with("FREESIDE_LISTEN", front.to_string())
            .with("FINN_LISTEN", back.to_string())
            .with("LOA_FINN_URL", format!("http://{back}"))
            .with("FREESIDE_JWKS_URL", format!("http://{front}/.well-known/jwks.json"));
        Self {
            gateway: launch.clone().role("gateway,worker"),
            finn: launch.without("DATABASE_URL").role("finn"),
        }
    }

    pub(crate) async fn start(&self) -> (Served, Served) {
        let gateway = self.gateway.start().await;
        (gateway, self.finn.start().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_streams_through_two_processes_and_is_charged_exactly() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let halves = Halves::of(&world);
    let (gateway, finn) = halves.start().await;
    let client = payer.at(&gateway);

    let before = client.ask(&question("Hello. !tokens 40", 100)).await;
    assert_eq!(before.status, 200, "{}", before.text);
    assert!(is_acknowledged(&before.events()));
    assert_eq!(before.header("x-model-used"), "scripted-cheap");

    assert!(finn.stop().await.success());
    let down = client.ask(&question("Hello. !tokens 40", 100)).await;
    assert_eq!(down.status, 503, "{}", down.text);
    assert!(down.text.contains("Inference temporarily unavailable"), "{}", down.text);
    assert!(down.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));

    let finn = halves.finn.start().await;
    // The breaker opened while finn was away; half a minute later one request may try.
    let began = std::time::Instant::now();
    let after = loop {
        let reply = client.ask(&question("Hello. !tokens 40", 100)).await;
        if reply.status == 200 {
            break reply;
        }
        assert_eq!(reply.status, 503, "{}", reply.text);
        assert!(began.elapsed() < PATIENCE, "finn is back, and nobody asks it");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    println!("two processes: served again {:.1?} after finn was back", began.elapsed());

    world.audited().await;
    let holds = books::holds(&world.database.pool).await;
    let charged: Vec<i64> = holds.iter().filter_map(|hold| hold.charged).collect();
    assert_eq!(charged, [before.cost(), after.cost()], "two answers, two charges");
    let refused = holds.iter().filter(|hold| hold.state == books::RELEASED).count();
    assert_eq!(refused, holds.len() - 2, "what was refused was given back");
    assert!(refused >= 1);
    assert_eq!(
        books::available(&world.database.pool, payer.account.account.0).await,
        PLENTY - charged.iter().sum::<i64>()
    );
    drop(finn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finn_that_restarts_between_two_requests_goes_unnoticed() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let halves = Halves::of(&world);
    let (gateway, finn) = halves.start().await;
    let client = payer.at(&gateway);
    assert_eq!(client.ask(&question("Hello.", 100)).await.status, 200);
    finn.kill().await;
    let finn = halves.finn.start().await;
    let reply = client.ask(&question("Hello.", 100)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    world.audited().await;
    drop(finn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finn_that_dies_in_the_middle_is_charged_for_what_it_delivered() {
    let world = World::new().await;
    let payer = world.payer(PLENTY).await;
    let halves = Halves::of(&world);
    let (gateway, finn) = halves.start().await;
    let client: Client = payer.at(&gateway);
    let mut answer = client.open(&question("Hello. !tokens 400 !pace 20", 500)).await.expect("it answers");
    let mut read = 0;
    while read < 5 && answer.text().await.is_some() {
        read += 1;
    }
    finn.kill().await;
    let id = answer.id.clone();
    let last = answer.rest().await;
    assert!(last.last().is_some_and(|data| data.contains("engine_cut")), "{last:?}");
    world.audited().await;
    let hold = books::hold(&world.database.pool, &id).await;
    assert!(hold.tokens_out.is_some_and(|tokens| (5..400).contains(&tokens)), "{hold:?}");
}

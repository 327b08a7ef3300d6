//! What `serve` says when it is ready: addresses, a curl that works when pasted, and what is off.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use domain::Ctx;
use domain::flags::Flag;
use identity::ShownOnce;

use super::database::Books;
use crate::config::{Environment, Role, Roles, Settings};

/// Where this process really listens.
pub(crate) struct Addresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) finn: SocketAddr,
    /// The payment simulator's page, when this process runs one.
    pub(crate) simulator: Option<SocketAddr>,
}

/// The key of the demo developer, made with the first start of a development database.
pub(crate) struct Demo {
    pub(crate) secret: ShownOnce,
}

/// In development: makes the demo community, and signs the demo developer up when nobody has signed up yet.
pub(crate) async fn demo(settings: &Settings, ctx: &Ctx) -> anyhow::Result<Option<Demo>> {
    if settings.environment == Environment::Production {
        return Ok(None);
    }
    domain::demo::ensure(ctx).await?;
    if !ctx.flags.is_on(Flag::ApiKeys) || !domain::accounts::nobody_yet(ctx).await? {
        return Ok(None);
    }
    let registered =
        domain::accounts::register(ctx, "Demo developer", IpAddr::V4(Ipv4Addr::UNSPECIFIED), None).await?;
    Ok(Some(Demo { secret: registered.key.secret }))
}

/// Prints the welcome on standard output.
pub(crate) fn print(
    settings: &Settings,
    roles: &Roles,
    addresses: &Addresses,
    books: Option<&Books>,
    demo: Option<&Demo>,
    took: Duration,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let paint = Paint(out.is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let public = settings.public_url_at(addresses.gateway);
    let public = public.trim_end_matches('/');
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        out,
        "\n  {} is ready after {:.1} s\n",
        paint.bold(&format!("Freeside {version}")),
        took.as_secs_f64()
    )?;
    if roles.has(Role::Gateway) {
        writeln!(
            out,
            "  API        {}  (OpenAI and Anthropic dialects)",
            paint.link(&format!("{public}/v1"))
        )?;
        writeln!(out, "  Docs       {}", paint.link(&format!("{public}/docs")))?;
        writeln!(out, "  Ready?     {}", paint.link(&format!("{public}/readyz?verbose")))?;
    }
    if roles.has(Role::Finn) {
        writeln!(out, "  Engine     http://{}  (internal)", addresses.finn)?;
    }
    if let Some(books) = books {
        match &books.cluster {
            Some(cluster) => {
                writeln!(
                    out,
                    "  Database   PostgreSQL {}, embedded in {}",
                    cluster.version(),
                    settings.data_dir.display()
                )?;
            }
            None => writeln!(out, "  Database   DATABASE_URL")?,
        }
    }
    if !settings.has_real_provider() && roles.has(Role::Finn) {
        writeln!(out, "  Answers    scripted text: no model is connected yet")?;
    }
    if let Some(simulator) = addresses.simulator {
        let url = paint.link(&format!("http://{simulator}"));
        writeln!(out, "  Payments   {url}  (payment simulator: no money moves)")?;
    }
    if roles.has(Role::Gateway) {
        match settings.environment {
            Environment::Development => try_it(&mut out, paint, public, demo)?,
            Environment::Production => begin(&mut out, paint, public)?,
        }
    }
    let off = settings.switched_off();
    if !off.is_empty() {
        writeln!(out, "\n  {}", paint.bold("Off, and what turns it on"))?;
        for item in off {
            writeln!(out, "    {:28} {}: {}", item.variable, item.feature.name, item.feature.instead)?;
        }
    }
    writeln!(out, "\n  Ctrl-C stops it; nothing is lost.\n")?;
    out.flush()?;
    Ok(())
}

/// Production signs up wallets alone: no curl does that.
fn begin(out: &mut impl Write, paint: Paint, public: &str) -> std::io::Result<()> {
    writeln!(out, "\n  {}\n", paint.bold("Begin"))?;
    writeln!(
        out,
        "    {}  sign in with a wallet, then make a key",
        paint.link(&format!("{public}/developers"))
    )
}

fn try_it(out: &mut impl Write, paint: Paint, public: &str, demo: Option<&Demo>) -> std::io::Result<()> {
    writeln!(out, "\n  {}\n", paint.bold("Try it"))?;
    match demo {
        Some(demo) => {
            writeln!(out, "    curl -N {public}/v1/chat/completions \\")?;
            writeln!(out, "      -H 'Authorization: Bearer {}' \\", demo.secret.reveal())?;
            writeln!(out, "      -H 'Content-Type: application/json' \\")?;
            writeln!(
                out,
                "      -d '{{\"model\":\"cheap\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
            )?;
            writeln!(out, "\n    This sandbox key is shown once: keep it. Another one:")?;
        }
        None => writeln!(out, "    A sandbox key of your own, free of charge:")?,
    }
    writeln!(
        out,
        "\n    curl -X POST {public}/api/v1/developers/register -H 'Content-Type: application/json' -d '{{\"name\":\"Ada\"}}'"
    )
}

/// Colour for a terminal, none for a file.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        if self.0 { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn link(self, text: &str) -> String {
        if self.0 { format!("\u{1b}[36m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

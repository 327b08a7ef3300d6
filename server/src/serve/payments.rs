//! How this process sells credits: at the vendor, at a simulator of its own, or not at all.
//!
//! Development without a merchant's key gets a simulator on a loopback port, with secrets that live as long as the
//! process. It speaks the vendor's wire and signs its notices for real, so everything but the money is as it will be.
//! What always holds: production never starts one, and it is named as what it is wherever it is shown.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pay::notice::IpnSecret;
use pay::nowpayments::Client;
use pay::simulator;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use types::Clock;

use crate::config::{self, Settings, local_url};

/// Where the vendor finds us, after our address.
const NOTICE_PATH: &str = "/api/crypto/webhook";
/// A step of a simulated payment each second: slow enough to be watched, fast enough to be waited for.
const PACE: Duration = Duration::from_secs(1);
/// A simulated notice that was not taken in is told again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// 256 bits: nobody guesses them.
const SECRET_BYTES: usize = 32;

/// The way to the vendor, and what its notices are signed with.
pub(crate) struct Payments {
    pub(crate) domain: domain::order::Payments,
    pub(crate) ipn_secret: Option<IpnSecret>,
    /// The simulator of this process, to be served.
    pub(crate) simulator: Option<Simulator>,
}

/// A simulator that has its address and is not served yet.
pub(crate) struct Simulator {
    listener: TcpListener,
    settings: simulator::Settings,
    /// Its page.
    pub(crate) address: SocketAddr,
}

/// Opens what the settings say. `gateway` is where this process's doors are, or will be.
pub(crate) async fn open(
    settings: &Settings,
    clock: &Clock,
    gateway: SocketAddr,
) -> anyhow::Result<Payments> {
    match &settings.payments {
        config::Payments::Off => Ok(Payments::none()),
        config::Payments::Vendor { api_url, api_key, ipn_secret } => {
            let client = Client::new(api_url.as_str(), api_key.reveal(), clock.clone());
            let client = client.context("NOWPAYMENTS_API_URL or NOWPAYMENTS_API_KEY")?;
            let public = settings.public_url_at(gateway);
            Ok(Payments {
                domain: domain::order::Payments::new(Some(client), notice_url(&public)),
                ipn_secret: Some(
                    IpnSecret::new(ipn_secret.reveal()).context("NOWPAYMENTS_IPN_SECRET is blank")?,
                ),
                simulator: None,
            })
        }
        config::Payments::Simulator { listen } => {
            let (listener, address) = listen_nearby(*listen).await?;
            let api_key = secret()?;
            let ipn_secret = IpnSecret::new(&secret()?).expect("it has 43 characters");
            let client = Client::new(&local_url(address), &api_key, clock.clone())
                .context("the payment simulator's own address")?;
            let mut simulated = simulator::Settings::new(&api_key, ipn_secret.clone(), clock.clone());
            "Freeside (development)".clone_into(&mut simulated.label);
            simulated.pace = PACE;
            simulated.retry_pause = RETRY_PAUSE;
            Ok(Payments {
                // Its notices stay on this machine, whatever the public address says.
                domain: domain::order::Payments::new(Some(client), notice_url(&local_url(gateway)))
                    .simulated_at(local_url(address)),
                ipn_secret: Some(ipn_secret),
                simulator: Some(Simulator { listener, settings: simulated, address }),
            })
        }
    }
}

impl Payments {
    /// No way to sell anything.
    pub(crate) fn none() -> Self {
        let domain = domain::order::Payments::new(None, String::new());
        Self { domain, ipn_secret: None, simulator: None }
    }
}

impl Simulator {
    /// Serves until `shutdown` resolves.
    pub(crate) async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        if let Err(error) = simulator::serve(self.listener, self.settings, shutdown).await {
            tracing::error!(%error, "the payment simulator ended");
        }
    }
}

/// The address that was asked for, or another one of this machine: two processes of one developer may both want it.
async fn listen_nearby(wanted: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind(wanted).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no port of this machine is free for the payment simulator")?,
    };
    let address = listener.local_addr().context("a socket that listens has an address")?;
    Ok((listener, address))
}

fn notice_url(public: &str) -> String {
    format!("{}{NOTICE_PATH}", public.trim_end_matches('/'))
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

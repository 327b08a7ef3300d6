//! What the tests share: a simulator, a receiver of notices, and a plain HTTP client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes as Body;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use pay::notice::{IpnSecret, authenticate};
use pay::nowpayments::{Client, Created, NewPayment};
use pay::report::Report;
use pay::simulator::{Running, Settings, Simulator};
use time::macros::datetime;
use types::Clock;

/// The key that callers must send.
pub(crate) const KEY: &str = "simulated-key";

/// A simulator, its clock, and somebody who is told.
pub(crate) struct House {
    pub(crate) simulator: Running,
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) shop: Shop,
}

/// Who gets the notices.
pub(crate) struct Shop {
    pub(crate) address: String,
    heard: Arc<Heard>,
    task: tokio::task::JoinHandle<()>,
}

struct Heard {
    secret: IpnSecret,
    reports: Mutex<Vec<Report>>,
    bodies: Mutex<Vec<String>>,
    /// What to answer next; 200 when there is nothing.
    answers: Mutex<VecDeque<u16>>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shop {
    async fn open(secret: IpnSecret) -> Self {
        let (reports, bodies, answers) = (Mutex::default(), Mutex::default(), Mutex::default());
        let heard = Arc::new(Heard { secret, reports, bodies, answers });
        let router = Router::new().route("/ipn", post(hear)).with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/ipn", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, heard, task }
    }

    /// What was told and believed, in the order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.heard.reports.lock().unwrap().clone()
    }

    /// The statuses of that.
    pub(crate) fn statuses(&self) -> Vec<String> {
        self.reports().into_iter().map(|report| report.status).collect()
    }

    /// Every body, believed or not.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.heard.bodies.lock().unwrap().clone()
    }

    /// Answers the next notices like this.
    pub(crate) fn answer(&self, statuses: &[u16]) {
        self.heard.answers.lock().unwrap().extend(statuses);
    }
}

async fn hear(
    State(heard): State<Arc<Heard>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    heard.bodies.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
    let signature = headers["x-nowpayments-sig"].to_str().unwrap();
    let Ok(report) = authenticate(&heard.secret, signature, &body) else {
        return (StatusCode::UNAUTHORIZED, "<b>not genuine</b>");
    };
    if let Some(status) = heard.answers.lock().unwrap().pop_front() {
        return (StatusCode::from_u16(status).unwrap(), "as told");
    }
    heard.reports.lock().unwrap().push(report);
    (StatusCode::OK, "thank you")
}

impl House {
    pub(crate) async fn open() -> Self {
        let secret = IpnSecret::new("simulated-secret").unwrap();
        let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
        let mut settings = Settings::new(KEY, secret.clone(), clock.clone());
        "the <tests>".clone_into(&mut settings.label);
        let simulator = Simulator::start(settings).await.unwrap();
        let client = Client::new(&simulator.url(), KEY, clock.clone()).unwrap();
        Self { simulator, clock, client, shop: Shop::open(secret).await }
    }

    /// What is asked for $10 in a coin.
    pub(crate) fn ten_dollars(&self, coin: &str) -> NewPayment {
        NewPayment {
            order_id: "order-1".to_owned(),
            price_amount: "10".to_owned(),
            price_currency: "usd".to_owned(),
            pay_currency: coin.to_owned(),
            ipn_callback_url: self.shop.address.clone(),
            order_description: "Standard pack".to_owned(),
        }
    }

    /// A payment of $10.
    pub(crate) async fn create(&self, coin: &str) -> Created {
        self.client.create_payment(&self.ten_dollars(coin)).await.unwrap()
    }

    /// Its id.
    pub(crate) async fn payment(&self) -> String {
        self.create("btc").await.report.payment_id
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// Sends one request; an error when the connection or the answer broke.
pub(crate) async fn send(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, hyper::Error> {
    let host = base.strip_prefix("http://").unwrap();
    let stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let (mut sender, link) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let link = tokio::spawn(link);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", host);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Body::from(body.to_owned()))).unwrap();
    let (head, body) = sender.send_request(request).await?.into_parts();
    let text = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    link.abort();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, text })
}

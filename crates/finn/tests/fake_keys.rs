//! freeside's part of the contract: a signing key and a key server that can misbehave.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A service key on ring, as freeside has one.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair }
    }

    pub(crate) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.point();
        json!({"kty":"EC","crv":"P-256","kid":self.kid,"use":"sig","alg":"ES256",
               "x":encode(&point[1..33]),"y":encode(&point[33..])})
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg":"ES256","kid":self.kid,"typ":"JWT"})
    }

    /// Signs any two texts.
    pub(crate) fn seal(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.seal(&self.header().to_string(), &claims.to_string())
    }
}

/// What the key server answers next.
#[derive(Clone)]
pub(crate) enum Keys {
    /// These keys, with an `ETag` of that name and 304 when it is sent back.
    Set { etag: String, keys: Vec<Value> },
    /// A status without a set.
    Status(u16),
    /// Any body, as 200.
    Raw(Vec<u8>),
}

/// A key server on a real socket.
#[derive(Clone)]
pub(crate) struct KeyServer {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<(Keys, Vec<u16>)>>,
}

impl KeyServer {
    pub(crate) async fn start(keys: Keys) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((keys, Vec::new())));
        let server = Self { addr, state };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request: Request<_>| {
                    let response = shared.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        server
    }

    fn answer(&self, request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let mut state = self.state.lock().unwrap();
        let empty = || Full::new(Bytes::new());
        let response = match &state.0 {
            Keys::Set { etag, .. }
                if request.headers().get("if-none-match").is_some_and(|sent| sent == etag) =>
            {
                Response::builder().status(304).body(empty())
            }
            Keys::Set { etag, keys } => {
                Response::builder().header("etag", etag).body(json!({ "keys": keys }).to_string().into())
            }
            Keys::Status(status) => Response::builder().status(*status).body(empty()),
            Keys::Raw(bytes) => Response::builder().body(bytes.clone().into()),
        }
        .unwrap();
        state.1.push(response.status().as_u16());
        response
    }

    pub(crate) fn set(&self, keys: Keys) {
        self.state.lock().unwrap().0 = keys;
    }

    /// The statuses answered so far.
    pub(crate) fn answered(&self) -> Vec<u16> {
        self.state.lock().unwrap().1.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.addr)
    }
}

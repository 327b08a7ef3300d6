//! Anthropic's messages, streamed.
//!
//! The engine speaks OpenAI's shapes; `convert` turns them round and says so when something has no counterpart
//! (another model of the chain may then answer). Cached prompt tokens are added to the prompt: they were sent.

mod convert;
mod event;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use types::catalog::ImageUrls;

use super::openai::BadSettings;
use super::upstream::{self, Dialect};
use super::{Call, Upstream};
use crate::failure::Failure;
use crate::prompt;
use crate::secret::Secret;
use client::Client;

pub use event::Stream;

/// The version of the API whose shapes are read here.
const VERSION: &str = "2023-06-01";
/// The vendor's own host.
const ANTHROPIC_HOST: &str = "api.anthropic.com";

/// One server that speaks the dialect.
pub struct Anthropic {
    client: Client,
    endpoint: Uri,
    headers: HeaderMap,
    takes_https_images: bool,
}

impl Anthropic {
    /// A provider at `base_url` (with the version folder).
    /// Without `image_urls`, only the vendor's own host is given addresses of pictures.
    pub fn new(
        client: Client,
        base_url: &str,
        key: Option<&Secret>,
        image_urls: Option<ImageUrls>,
    ) -> Result<Self, BadSettings> {
        let endpoint: Uri =
            format!("{}/messages", base_url.trim_end_matches('/')).parse().map_err(|_| BadSettings)?;
        if endpoint.scheme().is_none() || endpoint.authority().is_none() {
            return Err(BadSettings);
        }
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION));
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(key.expose()).map_err(|_| BadSettings)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-api-key"), value);
        }
        let is_original = endpoint.host() == Some(ANTHROPIC_HOST);
        let takes_https_images = image_urls.map_or(is_original, |urls| urls == ImageUrls::Https);
        Ok(Self { client, endpoint, headers, takes_https_images })
    }

    pub(super) async fn open(&self, call: Call<'_>) -> Result<Box<Upstream>, Failure> {
        prompt::check_images(call.request, self.takes_https_images).map_err(Failure::Unsupported)?;
        let body = convert::body(call).map_err(Failure::Unsupported)?;
        let body = serde_json::to_vec(&body).expect("a JSON value serialises");
        let dialect = Dialect::Anthropic(Stream::default());
        upstream::open(&self.client, &self.endpoint, &self.headers, body, dialect).await
    }
}

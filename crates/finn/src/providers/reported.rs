//! Errors that a provider reports in words: as the body of a refusal, or inside an answer that began with 200.
//!
//! Every shape in use is read: `{"error":{…}}`, `{"error":"…"}`, `{"object":"error",…}` (vLLM, `LMDeploy`, `FastChat`),
//! `[{"error":{…}}]` (Google), `{"detail":…}` (`FastAPI`), `{"message":…,"code":…}`. What an error names (a status, a code, a
//! type) says whose it is: the request's, our account's, or the provider's own. What names nothing is the provider's.

use serde_json::Value;

use crate::failure::{Failure, presentable};

/// Errors nest a level or two; deeper ones are not read.
const MAX_DEPTH: u32 = 4;

/// Parts of codes, lower case and without separators, that speak of our account or our name of the model.
const ACCOUNT: [&str; 12] = [
    "accessdenied",
    "accountdeactivated",
    "authentication",
    "billing",
    "insufficientbalance",
    "insufficientquota",
    "invalidapikey",
    "invalidauth",
    "modelnotfound",
    "notfounderror",
    "permission",
    "unauthorized",
];
/// … of a provider that has no room now.
const BUSY: [&str; 5] = ["queuefull", "ratelimit", "resourceexhausted", "throttl", "toomanyrequests"];
/// … of one that has none for anybody.
const OVERLOADED: [&str; 1] = ["overloaded"];
/// … of the request.
const REQUEST: [&str; 21] = [
    "badrequest",
    "contentfilter",
    "contentinspection",
    "contentpolicy",
    "contextlength",
    "contextsize",
    "contextwindow",
    "datainspection",
    "invalidargument",
    "invalidimage",
    "invalidinput",
    "invalidparam",
    "invalidprompt",
    "invalidrequest",
    "invalidvalue",
    "moderation",
    "outofrange",
    "toolarge",
    "unprocessable",
    "unsupportedparam",
    "validationerror",
];

/// What an error says of itself.
#[derive(Debug, Default)]
struct Report {
    message: String,
    /// Codes and types, lower case and without separators.
    words: Vec<String>,
    status: Option<u16>,
}

/// The failure that an error's JSON (or plain text) speaks of.
pub(super) fn failure(data: &str) -> Failure {
    read(data.as_bytes()).map_or(Failure::Reported, |report| report.failure())
}

/// The failure that a `finish_reason` speaks of.
pub(super) fn of_reason(reason: &str) -> Failure {
    Report { words: vec![plain(reason)], ..Report::default() }.failure()
}

/// The sentence about a refused request, for the caller.
pub(super) fn sentence(body: &[u8]) -> String {
    refused(&read(body).unwrap_or_default().message)
}

fn read(body: &[u8]) -> Option<Report> {
    let mut report = Report::default();
    report.add(&serde_json::from_slice(body).ok()?, 0);
    Some(report)
}

fn refused(message: &str) -> String {
    match presentable(message) {
        shown if shown.is_empty() => "The model's provider refused the request.".to_owned(),
        shown => format!("The model's provider refused the request: {shown}"),
    }
}

fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Report {
    fn add(&mut self, value: &Value, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::String(text) if self.message.is_empty() => self.message.clone_from(text),
            Value::Array(list) => {
                for entry in list.iter().take(1) {
                    self.add(entry, depth + 1);
                }
            }
            Value::Object(object) => {
                for name in ["status_code", "code", "status", "type", "error_code"] {
                    if let Some(named) = object.get(name) {
                        self.named(named);
                    }
                }
                // FastAPI says where, and then what.
                if let (Some(Value::Array(place)), Some(Value::String(what))) =
                    (object.get("loc"), object.get("msg"))
                    && self.message.is_empty()
                {
                    let place =
                        place.iter().map(|step| step.as_str().map_or(step.to_string(), str::to_owned));
                    self.message = format!("{}: {what}", place.collect::<Vec<_>>().join("."));
                }
                for name in ["message", "msg", "detail", "error", "errors"] {
                    if let Some(nested) = object.get(name) {
                        self.add(nested, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, value: &Value) {
        let number = match value {
            Value::String(text) => match text.parse() {
                Ok(number) => number,
                Err(_) => return self.words.push(plain(text)),
            },
            other => other.as_u64().unwrap_or(0),
        };
        // FastChat and LMDeploy write 400 and two more digits; two of theirs under 403 mean the request.
        let status = match number {
            40_302 | 40_303 => 400,
            40_000..=59_999 => number / 100,
            other => other,
        };
        let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
        self.status = self.status.or(status);
    }

    fn names(&self, parts: &[&str]) -> bool {
        self.words.iter().any(|word| parts.iter().any(|part| word.contains(part)))
    }

    fn failure(&self) -> Failure {
        let rejected = || Failure::Rejected(refused(&self.message));
        if self.names(&ACCOUNT) {
            return Failure::Misconfigured(self.status.unwrap_or(403));
        }
        if self.names(&OVERLOADED) || self.status == Some(529) {
            return Failure::Overloaded { retry_after_s: None };
        }
        if self.names(&BUSY) {
            return Failure::RateLimited { retry_after_s: None };
        }
        // Several servers name no code for the most frequent fault of a request.
        if self.names(&REQUEST) || self.message.contains("maximum context length") {
            return rejected();
        }
        match self.status {
            Some(429) => Failure::RateLimited { retry_after_s: None },
            Some(status @ 401..=404) => Failure::Misconfigured(status),
            Some(status @ (408 | 500..)) => Failure::Status(status),
            Some(_) => rejected(),
            None => Failure::Reported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whose_it_is() {
        let busy = Failure::RateLimited { retry_after_s: None };
        let overloaded = Failure::Overloaded { retry_after_s: None };
        for (data, expected) in [
            (r#"{"error":{"message":"boom"}}"#, Failure::Reported),
            (r#"{"error":"boom"}"#, Failure::Reported),
            ("boom", Failure::Reported),
            ("", Failure::Reported),
            (
                r#"{"object":"error","message":"CUDA out of memory","type":"internal","code":50002}"#,
                Failure::Status(500),
            ),
            (r#"{"detail":"boom"}"#, Failure::Reported),
            (r#"{"error":{"message":"boom","type":"server_error","code":null}}"#, Failure::Reported),
            (r#"{"error":{"code":503,"message":"boom"}}"#, Failure::Status(503)),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                overloaded.clone(),
            ),
            (r#"{"error":{"code":529}}"#, overloaded.clone()),
            (r#"{"error":{"code":"429","message":"slow down"}}"#, busy.clone()),
            (r#"{"error":{"type":"rate_limit_error"}}"#, busy.clone()),
            (r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}]"#, busy),
            (r#"{"object":"error","message":"x","code":40101}"#, Failure::Misconfigured(401)),
            (
                r#"{"error":{"type":"invalid_request_error","code":"invalid_api_key"}}"#,
                Failure::Misconfigured(403),
            ),
            (
                r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}"#,
                Failure::Misconfigured(403),
            ),
        ] {
            assert_eq!(failure(data), expected, "{data}");
        }
    }

    #[test]
    fn what_is_the_request_s_is_told_in_the_provider_s_words() {
        for (data, words) in [
            (r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#, "too long"),
            (r#"{"error":{"message":"too long","type":"invalid_request_error","code":null}}"#, "too long"),
            (r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#, "too long"),
            (r#"{"object":"error","message":"too long","code":40303}"#, "too long"),
            (r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#, "bad"),
            (r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#, "bad"),
            (r#"{"error":{"code":"data_inspection_failed","message":"inappropriate"}}"#, "inappropriate"),
            (
                r#"{"code":"InternalError.Algo.DataInspectionFailed","message":"inappropriate"}"#,
                "inappropriate",
            ),
            (
                r#"{"status":422,"detail":[{"loc":["body","messages",0],"msg":"field required"}]}"#,
                "body.messages.0: field required",
            ),
            (r#"{"error":"This model's maximum context length is 4096 tokens"}"#, "4096 tokens"),
            (r#"{"type":"error","error":{"type":"request_too_large","message":"big"}}"#, "big"),
        ] {
            let Failure::Rejected(sentence) = failure(data) else { panic!("{data}: {:?}", failure(data)) };
            assert!(sentence.ends_with(words), "{data}: {sentence}");
        }
    }

    #[test]
    fn a_refusal_s_sentence_is_found_in_every_shape() {
        for (body, words) in [
            (r#"{"error":{"message":"no"}}"#, "request: no"),
            (r#"{"error":"no"}"#, "request: no"),
            (r#"{"object":"error","message":"no","type":"BadRequestError"}"#, "request: no"),
            (r#"[{"error":{"message":"no"}}]"#, "request: no"),
            (r#"{"detail":"no"}"#, "request: no"),
            (
                r#"{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required"}]}"#,
                "body.model: Field required",
            ),
            (r#"{"error":{"message":"key sk-abc"}}"#, "request: key [hidden]"),
            ("{}", "refused the request."),
            ("<html>", "refused the request."),
        ] {
            assert!(sentence(body.as_bytes()).ends_with(words), "{body}: {}", sentence(body.as_bytes()));
        }
    }

    #[test]
    fn a_reason_of_an_end_that_is_an_error_is_one() {
        assert_eq!(of_reason("insufficient_system_resource"), Failure::Reported);
        assert_eq!(of_reason("engine_overloaded"), Failure::Overloaded { retry_after_s: None });
    }
}

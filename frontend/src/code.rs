//! The playground's call: as it is sent, and as code with exactly the same parameters. Pure text.

/// What is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// This server, without a slash at its end.
    pub url: String,
    /// A model, a pool or an agent.
    pub model: String,
    /// What is said.
    pub message: String,
    /// The longest answer: digits.
    pub max_tokens: String,
    /// A decimal number from 0 to 2.
    pub temperature: String,
}

/// What is sent. The last event then carries usage and cost.
#[must_use]
pub fn body(call: &Call) -> String {
    let Call { model, message, max_tokens, temperature, .. } = call;
    format!(
        "{{\"model\":{},\"messages\":[{{\"role\":\"user\",\"content\":{}}}],\"max_tokens\":{max_tokens},\"temperature\":{temperature},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}",
        quoted(model),
        quoted(message)
    )
}

/// For a terminal.
#[must_use]
pub fn curl(call: &Call) -> String {
    format!(
        "curl -N {}/v1/chat/completions \\\n  -H \"authorization: Bearer $FREESIDE_API_KEY\" \\\n  -H 'content-type: application/json' \\\n  -d '{}'",
        call.url,
        body(call).replace('\'', "'\\''")
    )
}

/// For Python. A string of JSON is one of Python.
#[must_use]
pub fn python(call: &Call) -> String {
    let Call { url, model, message, max_tokens, temperature } = call;
    format!(
        "# pip install openai\nimport os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=\"{url}/v1\", api_key=os.environ[\"FREESIDE_API_KEY\"])\nstream = client.chat.completions.create(\n    model={},\n    messages=[{{\"role\": \"user\", \"content\": {}}}],\n    max_tokens={max_tokens},\n    temperature={temperature},\n    stream=True,\n    stream_options={{\"include_usage\": True}},\n)\nfor chunk in stream:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or \"\", end=\"\")",
        quoted(model),
        quoted(message)
    )
}

/// For Node.
#[must_use]
pub fn javascript(call: &Call) -> String {
    let Call { url, model, message, max_tokens, temperature } = call;
    format!(
        "// npm install openai\nimport OpenAI from \"openai\";\n\nconst client = new OpenAI({{ baseURL: \"{url}/v1\", apiKey: process.env.FREESIDE_API_KEY }});\nconst stream = await client.chat.completions.create({{\n  model: {},\n  messages: [{{ role: \"user\", content: {} }}],\n  max_tokens: {max_tokens},\n  temperature: {temperature},\n  stream: true,\n  stream_options: {{ include_usage: true }},\n}});\nfor await (const chunk of stream) {{\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n}}",
        quoted(model),
        quoted(message)
    )
}

/// The text when it is a whole number; `otherwise` when it is not.
#[must_use]
pub fn whole(text: &str, otherwise: &str) -> String {
    let text = text.trim().trim_start_matches('0');
    let is_whole = !text.is_empty() && text.len() <= 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole { text } else { otherwise }.to_owned()
}

/// The text when it is a decimal number as JSON writes one; `otherwise` when it is not.
#[must_use]
pub fn decimal(text: &str, otherwise: &str) -> String {
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_decimal = digits(whole) && digits(part) && (whole.len() == 1 || !whole.starts_with('0'));
    if is_decimal { text } else { otherwise }.to_owned()
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control < ' ' => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let code = control as usize;
                quoted.push_str("\\u00");
                quoted.push(char::from(DIGITS[code >> 4]));
                quoted.push(char::from(DIGITS[code & 15]));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            url: "http://localhost:3000".into(),
            model: "agent:demo:1".into(),
            message: "It's \"he\"\\\n\u{1}é".into(),
            max_tokens: "256".into(),
            temperature: "0.7".into(),
        }
    }

    #[test]
    fn the_body_is_json_whatever_is_said() {
        let body = body(&call());
        assert!(body.contains(r#""content":"It's \"he\"\\\n\u0001é""#), "{body}");
        assert!(body.ends_with(
            r#""max_tokens":256,"temperature":0.7,"stream":true,"stream_options":{"include_usage":true}}"#
        ));
    }

    #[test]
    fn code_has_the_same_parameters_and_no_key() {
        let call = call();
        assert!(curl(&call).contains(r"It'\''s"), "a shell's quotes stay closed");
        for code in [curl(&call), python(&call), javascript(&call)] {
            for parameter in ["agent:demo:1", "256", "0.7", "include_usage"] {
                assert!(code.contains(parameter), "{parameter} in {code}");
            }
            assert!(code.contains("FREESIDE_API_KEY") && !code.contains("lf_"));
        }
    }

    #[test]
    fn numbers_are_those_of_json_or_the_usual_ones() {
        assert_eq!(
            (whole("0256", "1"), whole("2x", "1"), whole("", "1")),
            ("256".into(), "1".into(), "1".into())
        );
        let read = |text| decimal(text, "1");
        assert_eq!(["0.7", "2", ".5", "1.", "-1", "1e9", "00.5"].map(read).join(" "), "0.7 2 1 1 1 1 1");
    }
}

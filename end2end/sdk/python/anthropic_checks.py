"""Anthropic's Python SDK against a started server."""

import anthropic

from checks import (
    BASE_URL, EMPTY_KEY, LIMITED_KEY, MODEL, TEST_KEY, WRONG_KEY, check, expect, honours_retry_after, refused,
)

TOOLS = [{
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}]
ORDER = 'The weather? !tool get_weather {"city":"Paris"}'


def client(key, http_client=None, max_retries=0):
    return anthropic.Anthropic(api_key=key, base_url=BASE_URL, http_client=http_client, max_retries=max_retries)


def ask(who, text, **more):
    messages = [{"role": "user", "content": text}]
    return who.messages.create(model=MODEL, messages=messages, max_tokens=64, **more)


def list_models():
    ids = [model.id for model in client(TEST_KEY).models.list()]
    expect("cheap" in ids and MODEL in ids, ids)
    expect(client(TEST_KEY).models.retrieve("cheap").type == "model", ids)
    return f"{len(ids)} models"


def plain():
    answer = ask(client(TEST_KEY), "hello !tokens 8", system="Be brief.")
    expect(answer.stop_reason == "end_turn" and answer.content[0].type == "text", answer)
    expect(answer.usage.output_tokens == 8 and answer.id.startswith("msg_"), answer)
    return f"{answer.usage.input_tokens} + {answer.usage.output_tokens} tokens"


def streamed():
    messages = [{"role": "user", "content": "hello !tokens 12"}]
    with client(TEST_KEY).messages.stream(model=MODEL, messages=messages, max_tokens=64) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    expect(final.content[0].text == text and text.startswith("[scripted"), final)
    expect(final.usage.output_tokens == 12 and final.usage.input_tokens > 0, final.usage)
    return f"{len(text)} characters, {final.usage.input_tokens} + {final.usage.output_tokens} tokens"


def broken_stream():
    error = refused(anthropic.APIError, lambda: list(ask(client(TEST_KEY), "hello !tokens 20 !error 3", stream=True)))
    expect("charged" in str(error), error)
    return type(error).__name__


def tool_call():
    answer = ask(client(TEST_KEY), ORDER, tools=TOOLS, tool_choice={"type": "auto"})
    call = answer.content[-1]
    expect(answer.stop_reason == "tool_use" and call.type == "tool_use", answer)
    expect(call.name == "get_weather" and call.input == {"city": "Paris"}, call)
    messages = [{"role": "user", "content": ORDER}]
    with client(TEST_KEY).messages.stream(model=MODEL, messages=messages, max_tokens=64, tools=TOOLS) as stream:
        final = stream.get_final_message()
    expect(final.content[-1].input == {"city": "Paris"}, final)
    said = [
        {"role": "user", "content": "The weather?"},
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 C"}]},
    ]
    after = client(TEST_KEY).messages.create(model=MODEL, messages=said, max_tokens=64, tools=TOOLS)
    expect(after.stop_reason in ("end_turn", "max_tokens"), after)
    return f"{call.name}({call.input}), whole, streamed and answered"


def wrong_key():
    error = refused(anthropic.AuthenticationError, lambda: ask(client(WRONG_KEY), "hello"))
    expect(error.body["error"]["type"] == "authentication_error", error.body)
    return error.body["error"]["type"]


def unknown_model():
    messages = [{"role": "user", "content": "hello"}]
    call = lambda: client(TEST_KEY).messages.create(model="claude-nonexistent", messages=messages, max_tokens=5)
    return type(refused(anthropic.NotFoundError, call)).__name__


def no_counting():
    messages = [{"role": "user", "content": "hello"}]
    call = lambda: client(TEST_KEY).messages.count_tokens(model=MODEL, messages=messages)
    error = refused(anthropic.NotFoundError, call)
    expect("not offered" in str(error), error)
    return type(error).__name__


def empty_balance():
    error = refused(anthropic.APIStatusError, lambda: ask(client(EMPTY_KEY, max_retries=2), "hello"))
    expect(error.status_code == 402 and error.body["error"]["type"] == "billing_error", error.body)
    expect(error.request_id, error.response.headers)
    return "402 billing_error"


def rate_limit():
    error, seen = honours_retry_after(
        anthropic.RateLimitError,
        lambda who: ask(who, "hello !tokens 1"),
        anthropic.DefaultHttpxClient,
        lambda http_client, retries: client(LIMITED_KEY, http_client, retries),
    )
    expect(error.body["error"]["type"] == "rate_limit_error", error.body)
    expect(error.response.headers["anthropic-ratelimit-requests-limit"] == "1", error.response.headers)
    return seen


check(f"anthropic-python {anthropic.__version__}", [
    ("list models", list_models),
    ("plain answer", plain),
    ("streamed answer with usage", streamed),
    ("stream that breaks", broken_stream),
    ("tool call", tool_call),
    ("wrong key", wrong_key),
    ("unknown model", unknown_model),
    ("counting tokens is not offered", no_counting),
    ("empty balance", empty_balance),
    ("over the rate limit", rate_limit),
])

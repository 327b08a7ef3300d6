"""OpenAI's Python SDK against a started server."""

import uuid

import openai

from checks import (
    BASE_URL, EMPTY_KEY, LIMITED_KEY, MODEL, TEST_KEY, WRONG_KEY, check, expect, honours_retry_after, refused,
)

TOOLS = [{
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}]
ORDER = 'The weather? !tool get_weather {"city":"Paris"}'


def client(key, http_client=None, max_retries=0):
    return openai.OpenAI(api_key=key, base_url=f"{BASE_URL}/v1", http_client=http_client, max_retries=max_retries)


def ask(who, text, **more):
    messages = [{"role": "user", "content": text}]
    return who.chat.completions.create(model=MODEL, messages=messages, max_tokens=64, **more)


def list_models():
    ids = [model.id for model in client(TEST_KEY).models.list()]
    expect("cheap" in ids and MODEL in ids, ids)
    one = client(TEST_KEY).models.retrieve("cheap")
    expect(one.id == "cheap" and one.object == "model", one)
    return f"{len(ids)} models"


def plain():
    answer = ask(client(TEST_KEY), "hello !tokens 8")
    choice = answer.choices[0]
    expect(choice.finish_reason == "stop" and choice.message.role == "assistant", choice)
    expect(answer.usage.completion_tokens == 8 and answer.id.startswith("chatcmpl-"), answer)
    cost = answer.model_extra["x_freeside"]["cost_micro"]
    expect(int(cost) >= 1, cost)
    return f"{answer.usage.total_tokens} tokens for {cost} micro-USD"


def streamed():
    text, usage, reason = "", None, None
    stream = ask(client(TEST_KEY), "hello !tokens 12", stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    expect(reason == "stop" and usage.completion_tokens == 12 and text.startswith("[scripted"), (text, usage, reason))
    return f"{len(text)} characters, {usage.completion_tokens} completion tokens"


def asked_twice():
    named = {"Idempotency-Key": f"sdk-{uuid.uuid4()}"}
    first = ask(client(TEST_KEY), "hello !tokens 8", extra_headers=named)
    again = client(TEST_KEY).chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "hello !tokens 8"}], max_tokens=64, extra_headers=named
    )
    expect(again.headers["idempotent-replayed"] == "true", again.headers)
    expect(again.parse() == first, (again.parse(), first))
    error = refused(
        openai.UnprocessableEntityError,
        lambda: ask(client(TEST_KEY, max_retries=2), "something else", extra_headers=named),
    )
    expect(error.code == "idempotency_key_reused", error)
    streams = [list(ask(client(TEST_KEY), "hello !tokens 12", stream=True, extra_headers={
        "Idempotency-Key": named["Idempotency-Key"] + "-stream"})) for _ in range(2)]
    expect(streams[0] == streams[1] and len(streams[0]) > 2, streams)
    return f"the same answer {first.id}"


def broken_stream():
    error = refused(openai.APIError, lambda: list(ask(client(TEST_KEY), "hello !tokens 20 !error 3", stream=True)))
    expect("charged" in str(error), error)
    return f"{type(error).__name__}: {error.code}"


def tool_call():
    answer = ask(client(TEST_KEY), ORDER, tools=TOOLS, tool_choice="auto")
    call = answer.choices[0].message.tool_calls[0]
    expect(answer.choices[0].finish_reason == "tool_calls", answer)
    expect(call.function.name == "get_weather" and call.function.arguments == '{"city":"Paris"}', call)
    with client(TEST_KEY).chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": ORDER}], max_tokens=64, tools=TOOLS
    ) as stream:
        final = stream.get_final_completion()
    streamed_call = final.choices[0].message.tool_calls[0]
    expect(streamed_call.function.arguments == call.function.arguments, streamed_call)
    said = [
        {"role": "user", "content": "The weather?"},
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "21 C"},
    ]
    after = client(TEST_KEY).chat.completions.create(model=MODEL, messages=said, max_tokens=64, tools=TOOLS)
    expect(after.choices[0].finish_reason in ("stop", "length"), after)
    return f"{call.function.name}({call.function.arguments}), whole, streamed and answered"


def wrong_key():
    error = refused(openai.AuthenticationError, lambda: ask(client(WRONG_KEY), "hello"))
    expect(error.status_code == 401 and error.code == "invalid_api_key", error)
    return error.code


def unknown_model():
    messages = [{"role": "user", "content": "hello"}]
    call = lambda: client(TEST_KEY).chat.completions.create(model="gpt-nonexistent", messages=messages)
    error = refused(openai.NotFoundError, call)
    expect(error.code == "model_not_found", error)
    return error.code


def bad_request():
    messages = [{"role": "user", "content": "hello"}]
    call = lambda: client(TEST_KEY).chat.completions.create(model=MODEL, messages=messages, max_tokens=0)
    error = refused(openai.BadRequestError, call)
    expect(error.param == "max_tokens", error)
    return f"param {error.param}"


def empty_balance():
    error = refused(openai.APIStatusError, lambda: ask(client(EMPTY_KEY, max_retries=2), "hello"))
    expect(error.status_code == 402 and error.code == "insufficient_quota", error)
    expect(error.request_id, error.response.headers)
    return f"402 {error.code}"


def rate_limit():
    error, seen = honours_retry_after(
        openai.RateLimitError,
        lambda who: ask(who, "hello !tokens 1"),
        openai.DefaultHttpxClient,
        lambda http_client, retries: client(LIMITED_KEY, http_client, retries),
    )
    expect(error.code == "rate_limit_exceeded", error)
    expect(error.response.headers["x-ratelimit-limit-requests"] == "1", error.response.headers)
    return seen


check(f"openai-python {openai.__version__}", [
    ("list models", list_models),
    ("plain answer", plain),
    ("streamed answer with usage", streamed),
    ("asked twice with one idempotency key", asked_twice),
    ("stream that breaks", broken_stream),
    ("tool call", tool_call),
    ("wrong key", wrong_key),
    ("unknown model", unknown_model),
    ("bad request", bad_request),
    ("empty balance", empty_balance),
    ("over the rate limit", rate_limit),
])

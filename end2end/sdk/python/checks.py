"""What both programs share: settings, one line per check, and a watched clock."""

import os
import sys
import time
from contextlib import contextmanager

BASE_URL = os.environ["FREESIDE_BASE_URL"].rstrip("/")
TEST_KEY = os.environ["FREESIDE_TEST_KEY"]
EMPTY_KEY = os.environ["FREESIDE_EMPTY_KEY"]
LIMITED_KEY = os.environ["FREESIDE_LIMITED_KEY"]
MODEL = "scripted-cheap"
# Well formed, with a checksum that cannot fit.
WRONG_KEY = "lf_test_aaaaaaaaaaaa_" + "a" * 38


def check(sdk, checks):
    for name, body in checks:
        try:
            seen = body()
        except Exception as error:  # the first failure ends the program
            print(f"FAILED {sdk}: {name}: {type(error).__name__}: {error}")
            sys.exit(1)
        print(f"ok {sdk}: {name}: {seen}")


def expect(condition, seen):
    if not condition:
        raise AssertionError(f"unexpected: {seen!r}")


def refused(kind, call):
    """The error of that kind that `call` raises."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


@contextmanager
def watched_clock():
    """Collects the waits that are asked for, and skips them."""
    waits, real = [], time.sleep
    time.sleep = waits.append
    try:
        yield waits
    finally:
        time.sleep = real


def honours_retry_after(rate_limit_error, ask, http_client_kind, client_kind):
    """Two retries: three attempts, and before each retry the wait that the refusal named."""
    told = []

    def look(response):
        told.append((response.status_code, response.headers.get("retry-after-ms")))

    http_client = http_client_kind(event_hooks={"response": [look]})
    client = client_kind(http_client, 0)
    for _ in range(2):  # the minute's one request may be used up, or not
        try:
            ask(client)
        except rate_limit_error:
            break
    told.clear()
    with watched_clock() as waits:
        error = refused(rate_limit_error, lambda: ask(client_kind(http_client, 2)))
    expect([status for status, _ in told] == [429, 429, 429], told)
    expect(waits == [float(ms) / 1000 for _, ms in told[:2]], (waits, told))
    return error, f"429 after {len(told)} attempts, told to wait {waits[0]:.1f} s and asked the clock for that"

from __future__ import annotations

import json

import pytest

from proxy.errors import KINDS, Fault, ProxyError
from proxy.forwarding import answer


def parts(whole: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = whole.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return start, fields, body


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_its_answer(fault: Fault) -> None:
    error = ProxyError(fault, "because")
    start, fields, body = parts(answer.problem(error, "api", minor=1, close=False, to_head=False))
    assert start.startswith(b"HTTP/1.1 %d " % KINDS[fault].status)
    assert start.split(b" ", 2)[2]
    assert json.loads(body) == {
        "type": answer.TYPE_PREFIX + fault.value,
        "title": KINDS[fault].title,
        "status": KINDS[fault].status,
        "detail": "because",
        "code": fault.value,
        "upstream": "api",
    }
    assert fields[b"Content-Length"] == b"%d" % len(body)
    assert fields[b"Proxy-Status"] == f"token-proxy; error={KINDS[fault].proxy_status}".encode()
    assert (b"Retry-After" in fields) is KINDS[fault].retry


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, b"1"), (0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2")]
)
def test_retry_after_is_rounded_up_and_never_zero(seconds: float | None, told: bytes) -> None:
    error = ProxyError(Fault.OVERLOADED, "busy", retry_after_seconds=seconds)
    _, fields, _ = parts(answer.problem(error, "", minor=1, close=False, to_head=False))
    assert fields[b"Retry-After"] == told


@pytest.mark.parametrize(
    ("minor", "close", "said"),
    [(1, False, None), (1, True, b"close"), (0, False, b"keep-alive"), (0, True, b"close")],
)
def test_what_becomes_of_the_connection_is_said(
    minor: int, said: bytes | None, *, close: bool
) -> None:
    error = ProxyError(Fault.NO_ROUTE, "nowhere")
    _, fields, _ = parts(answer.problem(error, "", minor=minor, close=close, to_head=False))
    assert fields.get(b"Connection") == said


def test_the_answer_to_head_tells_the_length_of_what_it_leaves_out() -> None:
    error = ProxyError(Fault.NO_ROUTE, "nowhere")
    whole = answer.problem(error, "", minor=1, close=False, to_head=False)
    head = answer.problem(error, "", minor=1, close=False, to_head=True)
    assert head.endswith(b"\r\n\r\n")
    assert whole.startswith(head)
    assert len(whole) > len(head)


def test_a_method_that_is_not_forwarded_is_told_which_are() -> None:
    error = ProxyError(Fault.BAD_REQUEST, "no", status=405)
    _, fields, _ = parts(answer.problem(error, "", minor=1, close=True, to_head=False))
    assert set(fields[b"Allow"].split(b", ")) >= {b"GET", b"HEAD", b"POST", b"OPTIONS"}

"""Short tokens, steady callers, and authorization servers that come and go as chance has it.

What befalls the servers is drawn from the seed; it stands above the figures, which are printed
(`pytest -rP` shows them), and with the output of a test that failed.
"""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from endurance.authorization_servers import FAULTS, KILLED, SECRET, AuthorizationServer
from endurance.measured_proxy import MIB, eventually
from endurance.sizes import FULL, SEED, sized
from endurance.token_soak import LIFETIME_SECONDS, SERVED_BY, Guard, Soak, configuration
from endurance.verdicts import (
    Call,
    Judge,
    attempts_at_first,
    early_retries,
    hasty_requests,
)
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    from pathlib import Path

    from endurance.measured_proxy import StartMeasured

ATTEMPTS_MAX = {5: 3, 60: 15}
"""Token requests in so many seconds from the first that failed."""
GROWTH_BYTES_MAX = sized(16, 5) * MIB
DESCRIPTORS_MORE_MAX = 2
FAILURES = {"token_fetch_failed", "token_lapsed"}


def lines_too_many(events: list[dict[str, Any]], audience: str) -> list[list[dict[str, Any]]]:
    """Return the outages of an audience of which the log says more than it should.

    A line when it begins, one when the token lapses, one whenever another code is the reason, one
    for each minute; and the end, which is what outages are told apart by here.
    """
    outages: list[list[dict[str, Any]]] = [[]]
    for event in events:
        if event.get("audience") != audience:
            continue
        if event["event"] in FAILURES:
            outages[-1].append(event)
        elif event["event"] == "token_granted":
            outages.append([])
    return [outage for outage in outages if outage and len(outage) > _lines_max(outage)]


def _lines_max(outage: list[dict[str, Any]]) -> int:
    first, last = (datetime.fromisoformat(outage[at]["time"]) for at in (0, -1))
    changes = sum(one["code"] != then["code"] for one, then in itertools.pairwise(outage))
    return 2 + changes + int((last - first).total_seconds() // 60)


def check_token_requests(soak: Soak) -> None:
    """R-06, R-08: how often tokens were asked for, as the servers and the proxy counted."""
    for audience, name in SERVED_BY.items():
        server = soak.servers[name]
        record = [line for line in server.record.lines if line["audience"] == audience]
        assert max(line.get("in_flight", 0) for line in record) == 1, audience
        assert hasty_requests(record, server, LIFETIME_SECONDS / 2) == [], audience
        assert early_retries(record) == [], audience
        for seconds, attempts_max in ATTEMPTS_MAX.items():
            attempts = attempts_at_first(soak.samples[audience], seconds)
            assert attempts <= attempts_max, (audience, seconds)


def check_log(soak: Soak) -> None:
    """Nothing but what must be said, and no secret."""
    events = soak.proxy.events()
    told = {event["event"] for event in events}
    assert told <= {"listening", "token_granted", *FAILURES}, told
    assert [each for name in SERVED_BY for each in lines_too_many(events, name)] == []
    text = soak.proxy.log_file.read_text()
    tokens = [token for server in soak.servers.values() for token in server.record.lapses_at]
    assert [secret for secret in (SECRET, *tokens) if secret in text] == []


def judges(soak: Soak) -> dict[str, Judge]:
    """Return a judge of each audience's calls."""
    return {
        audience: Judge(audience, soak.servers[name], lifetime_seconds=LIFETIME_SECONDS)
        for audience, name in SERVED_BY.items()
    }


def check_calls(soak: Soak) -> dict[str, list[Call]]:
    """Judge each call; return those that were refused, and the others by why they were not.

    A token lived, the server being `well` or `ill`; or that is `unsure`, as one came or ended then.
    """
    judge_of = judges(soak)
    wrong = [
        (call, found) for call in soak.calls if (found := judge_of[call.audience].objection(call))
    ]
    assert wrong == [], (len(wrong), wrong[:5])
    kinds: dict[str, list[Call]] = {"well": [], "ill": [], "unsure": [], "refused": []}
    for call in soak.calls:
        judge = judge_of[call.audience]
        if call.status != 200:
            kinds["refused"].append(call)
        elif not judge.lived(call):
            kinds["unsure"].append(call)
        else:
            kinds["ill" if judge.ill(call) else "well"].append(call)
    return kinds


def print_figures(soak: Soak, guard: Guard, kinds: dict[str, list[Call]]) -> None:
    print(f"{len(soak.calls)} calls, {len(guard.taken)} tokens, {guard.taken.total()} upstream")
    for name, server in soak.servers.items():
        faults = [f"{fault.kind} {fault.seconds:.0f} s" for fault in server.faults]
        print(f"{name}: {', '.join(faults)}")
    for kind, calls in kinds.items():
        times = sorted(call.ended_at - call.began_at for call in calls)
        p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
        print(f"{kind}: {len(calls)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {times[-1]:.2f} s")
    judge_of = judges(soak)
    latest = max(judge_of[call.audience].seconds_since_return(call) for call in kinds["refused"])
    print(f"the latest refusal: {latest:.1f} s after a server's return")
    for audience, samples in soak.samples.items():
        failed, well = samples[-1][1:]
        most = [attempts_at_first(samples, seconds) for seconds in ATTEMPTS_MAX]
        print(f"{audience}: {well:.0f} granted, {failed:.0f} failed, at first {most}")
    grown = soak.proxy.resident_bytes() - soak.largest_bytes
    print(f"memory: {soak.largest_bytes / MIB:.1f} MiB, grown by {grown / MIB:.1f} MiB")
    print(f"log: {len(soak.proxy.events())} lines")


@pytest.mark.slow
async def test_nobody_fails_while_a_token_lives_whatever_befalls_the_servers(
    start_measured: StartMeasured, tmp_path: Path
) -> None:
    """R-01, R-02, R-04, R-06, R-07, R-08, R-17."""
    print(f"ENDURANCE_SEED={SEED}")
    async with RecordingUpstream() as upstream, AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(
                AuthorizationServer(name, tmp_path, LIFETIME_SECONDS)
            )
            for name in sorted({*SERVED_BY.values()})
        }
        upstream.answer = guard = Guard(servers, upstream)
        proxy = await start_measured(
            upstream.port, observed=True, top=configuration(upstream, servers)
        )

        async def all_have_tokens() -> bool:
            granted = [
                await proxy.metric(
                    "tokenproxy_token_fetches_total", audience=audience, result="success"
                )
                for audience in SERVED_BY
            ]
            return all(granted)

        await eventually(all_have_tokens, "all audiences have tokens")
        descriptors, tasks = proxy.descriptors(), (await proxy.living())["tasks"]
        soak = Soak(proxy, servers)
        await soak.run()

        async def as_before() -> bool:
            return (
                proxy.descriptors() <= descriptors + DESCRIPTORS_MORE_MAX
                and (await proxy.living())["tasks"] <= tasks
            )

        await proxy.quiet()
        await eventually(as_before, f"{descriptors} descriptors, {tasks} tasks")
        for server in servers.values():
            server.update()
        assert guard.refused == []
        kinds = check_calls(soak)
        print_figures(soak, guard, kinds)
        check_token_requests(soak)
        check_log(soak)
        assert proxy.resident_bytes() <= soak.largest_bytes + GROWTH_BYTES_MAX
        # Chance has dealt what this is about: outages shorter and longer than a token's life.
        faults = {fault.kind for server in servers.values() for fault in server.faults}
        assert faults == {*FAULTS} if FULL else KILLED in faults
        assert all(kinds.values())

"""Cases about the process: its configuration, its restarts."""

from __future__ import annotations

from monitoring.alert_case import KUBERNETES, MACHINE, Case, Fired, Labels, series
from monitoring.alert_cases_tokens import HOST, POD

RELOAD_FAILED = "TokenProxyConfigReloadFailed"
RESTARTING = "TokenProxyRestarting"
AT_SOME_MINUTES = {f"{minute}m": list[Fired]() for minute in range(1, 42, 4)}


def reload_failed(process: Labels, place: str) -> Fired:
    return Fired(
        RELOAD_FAILED,
        "warning",
        process,
        f"The configuration of {place} was changed into one that cannot be used. The one in use "
        "was read at 1970-01-01 00:01:00 +0000 UTC. Callers notice nothing, but a restart would "
        "fail. What to do: run token-proxy validate on the file, which names every problem with "
        "line and column, and correct it; the log has the same in the event config_reload_failed.",
    )


def reloads(process: Labels, successful: str) -> dict[str, str]:
    name = "tokenproxy_config_last_reload_success_timestamp_seconds"
    return {
        series("tokenproxy_config_last_reload_successful", process): successful,
        series(name, process): "60x100",
    }


def restarting(process: Labels, place: str, times: int) -> Fired:
    return Fired(
        RESTARTING,
        "warning",
        process,
        f"Token Proxy at {place} was started anew {times} times in the last hour. Each time its "
        "tokens are fetched anew and requests in flight are lost. What to do: see why the one "
        "before ended. Exit status 78 is the configuration (token-proxy validate names every "
        "problem), 69 an address that is taken, 137 most often the memory limit; else the end of "
        "its log tells.",
    )


OF_KUBE_STATE_METRICS = {
    "job": "kube-state-metrics", "instance": "10.0.0.2:8080", "namespace": "shop", "pod": "web-0",
    "uid": "1-2-3", "container": "token-proxy",
}  # fmt: skip
INIT = "kube_pod_init_container_status_restarts_total"
CONTAINER = "kube_pod_container_status_restarts_total"


def started(process: Labels, at: str) -> dict[str, str]:
    return {
        series("process_start_time_seconds", process): at,
        series("tokenproxy_build_info", process, version="1.0", python="3.13"): "1x100",
    }


CASES = [
    Case(
        "a bad configuration is there for more than five minutes",
        reloads(KUBERNETES, "1x9 0x50") | reloads(MACHINE, "1x9 0x50"),
        {
            "14m": [],
            "16m": [reload_failed(KUBERNETES, POD), reload_failed(MACHINE, HOST)],
        },
    ),
    *(
        Case(
            f"a {kind} restarts again and again",
            {series(metric, OF_KUBE_STATE_METRICS): "0x9 1 2 3 3x50"}
            | started(KUBERNETES, "60x9 600 660 720 720x50"),
            {
                "9m": [],
                "30m": [restarting(OF_KUBE_STATE_METRICS, POD, 3)],
            },
        )
        for kind, metric in (("native sidecar", INIT), ("container", CONTAINER))
    ),
    Case(
        "on a machine without Kubernetes it restarts again and again",
        started(MACHINE, "60x9 600 660 720 720x50"),
        {"9m": [], "30m": [restarting(MACHINE, HOST, 3)]},
    ),
]

QUIET = [
    Case(
        "false alarm: a bad configuration is mended within two minutes",
        reloads(MACHINE, "1x9 0x2 1x50"),
        AT_SOME_MINUTES,
    ),
    Case(
        "false alarm: one restart",
        {series(INIT, OF_KUBE_STATE_METRICS): "0x9 1x90"}
        | started(KUBERNETES, "60x9 600x90")
        | started(MACHINE, "60x9 600x90"),
        AT_SOME_MINUTES,
    ),
    Case(
        "false alarm: another container of the pod restarts, and another program",
        {
            series(INIT, OF_KUBE_STATE_METRICS | {"container": "app"}): "0+1x90",
            series(CONTAINER, OF_KUBE_STATE_METRICS | {"container": "app"}): "0+1x90",
            series("process_start_time_seconds", MACHINE | {"job": "node"}): "0+60x90",
        },
        AT_SOME_MINUTES,
    ),
]

"""Envoy with its credential injector and OAuth 2.0 client credentials: the peer to be near."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certificate import SERVER_NAME
from process import running
from surroundings import Contestant, Surroundings, found, get, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSIONS = "type.googleapis.com/envoy.extensions"


@contextmanager
def credential_injector(around: Surroundings) -> Iterator[Contestant]:
    """Start Envoy with one worker; its other threads (main, logs) count with it."""
    home = Path(tempfile.mkdtemp(prefix="envoy-", dir=around.folder))
    file, admin_file = home / "envoy.json", home / "admin"
    file.write_text(json.dumps(_configuration(around)))
    command: list[str | Path] = [found("envoy"), "-c", file, "--concurrency", "1", "-l", "error"]
    command += ["--disable-hot-restart", "--admin-address-path", admin_file]
    with running(command, around.cpus) as process:
        admin_port = wait_for("Envoy's admin listener", lambda: _port_in(admin_file), process)
        port = wait_for("Envoy's listener", lambda: _listener(admin_port), process)
        yield Contestant("Envoy", process.pid, port)


def _port_in(file: Path) -> int | None:
    """Return the port of the address that Envoy wrote into the file, once it has."""
    if not file.exists():
        return None
    port = file.read_text().rpartition(":")[2]
    return int(port) if port else None


def _listener(admin_port: int) -> int | None:
    """Return the port that the kernel gave to the listener, once it is there."""
    status, body = get(admin_port, "/listeners?format=json")
    statuses = json.loads(body).get("listener_statuses", []) if status == 200 else []
    for listener in statuses:
        return int(listener["local_address"]["socket_address"]["port_value"])
    return None


def _configuration(around: Surroundings) -> dict[str, Any]:
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "secrets": [{"name": "secret", "generic_secret": {"secret": _inline("benchmark")}}],
            "listeners": [
                {
                    "name": "callers",
                    "address": _address(0),
                    "filter_chains": [{"filters": [_connection_manager(around)]}],
                }
            ],
            "clusters": [
                _cluster("upstream", around.upstream.port) | _tls(around.upstream.authority_file),
                _cluster("authorization_server", around.token_port),
            ],
        },
    }


def _connection_manager(around: Surroundings) -> dict[str, Any]:
    injector = {
        "@type": f"{EXTENSIONS}.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": _oauth2(around),
        },
    }
    router = {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]
    manager = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{EXTENSIONS}.{manager}",
            "stat_prefix": "callers",
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]
            },
            "http_filters": [
                {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
        },
    }


def _oauth2(around: Surroundings) -> dict[str, Any]:
    return {
        "@type": f"{EXTENSIONS}.http.injected_credentials.oauth2.v3.OAuth2",
        "token_endpoint": {
            "cluster": "authorization_server",
            "timeout": "5s",
            "uri": f"http://127.0.0.1:{around.token_port}/token",
        },
        "client_credentials": {"client_id": "benchmark", "client_secret": {"name": "secret"}},
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _tls(authority_file: Path | None) -> dict[str, Any]:
    """Return what a cluster with TLS has more: the certificate is verified, and its name."""
    if authority_file is None:
        return {}
    name = {"san_type": "DNS", "matcher": {"exact": SERVER_NAME}}
    context = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": SERVER_NAME,
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": {
                "trusted_ca": {"filename": str(authority_file)},
                "match_typed_subject_alt_names": [name],
            },
        },
    }
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _inline(text: str) -> dict[str, str]:
    return {"inline_string": text}

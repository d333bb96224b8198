"""Debian's glewlwyd as an authorization server for client credentials, on loopback.

The first line of standard input is its settings, as JSON:

- `port`: number; 0 lets us choose
- `folder`: where its files lie, the database among them (so that a restart keeps its clients)
- `clients`: `[{"client_id", "client_secret", "token_endpoint_auth_method"}]`; instead of a secret
  `jwks` for `private_key_jwt`
- `lifetime_seconds`: of every access token
- `key`: text, what its tokens are signed with (JWTs, HS256)

It answers with one line on standard output, `{"port": N}`, and ends when standard input does.
Its issuer is `/api/oidc`. Clients and scopes are made by its own administration, over HTTP; the
package brings the schema of the database and a settings file. That file is taken whole: without
its TLS part the server stops, with TLS switched off too.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon import running, serve_until_standard_input_ends

SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
SETTINGS = Path("/usr/share/glewlwyd/templates/glewlwyd-debian.conf.properties")
ADMINISTRATOR = {"username": "admin", "password": "password"}
"""As the schema makes it."""
SCOPES = ("orders:read", "orders:write")
OTHER_GRANTS = ("code", "token", "id-token", "none", "password", "refresh", "device")


def write_settings(file: Path, database: Path, port: int) -> None:
    text = SETTINGS.read_text()
    for pattern, line in (
        (r"^port=.*$", f"port={port}"),
        (r"^#bind_address=.*$", 'bind_address="127.0.0.1"'),
        (r"^external_url=.*$", f'external_url="http://127.0.0.1:{port}"'),
        (r"^log_mode=.*$", 'log_mode="console"'),
        (r"^@include .*$", f'database = {{ type = "sqlite3"; path = "{database}"; }};'),
    ):
        text, times = re.subn(pattern, line, text, flags=re.MULTILINE)
        assert times == 1, f"{SETTINGS} has no {pattern}"
    file.write_text(text)


class Administration:
    """Its own interface for administrators."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookie = ""
        self._cookie = self.post("/auth/", ADMINISTRATOR).partition(";")[0]

    def post(self, path: str, wanted: dict[str, Any]) -> str:
        """Post JSON; return the cookie that is set."""
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            self._url + path,
            json.dumps(wanted).encode(),
            {"Content-Type": "application/json", "Cookie": self._cookie},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return str(answer.headers.get("Set-Cookie", ""))


def register(url: str, wanted: dict[str, Any]) -> None:
    administration = Administration(f"{url}/api")
    for scope in SCOPES:
        named = {"name": scope, "display_name": scope, "description": scope}
        administration.post("/scope/", named | {"password_required": False, "scheme": {}})
    parameters = {
        "iss": f"{url}/api/oidc",
        "jwt-type": "sha",
        "jwt-key-size": "256",
        "key": wanted["key"],
        "access-token-duration": wanted["lifetime_seconds"],
        "refresh-token-duration": 3600,
        "code-duration": 60,
        "allow-non-oidc": True,
        "auth-type-client-enabled": True,
        **{f"auth-type-{grant}-enabled": False for grant in OTHER_GRANTS},
        # These let it read the assertions of clients.
        "request-parameter-allow": True,
        "request-maximum-exp": 600,
        "client-jwks-parameter": "jwks",
    }
    plugin = {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters}
    administration.post("/mod/plugin/", plugin)
    for client in wanted["clients"]:
        secret = client.get("client_secret")
        secrets = {} if secret is None else {"password": secret, "client_secret": secret}
        administration.post(
            "/client/",
            {
                "name": client["client_id"],
                "confidential": True,
                "authorization_type": ["client_credentials"],
                "scope": SCOPES,
                "enabled": True,
            }
            | client
            | {"token_endpoint_auth_method": [client["token_endpoint_auth_method"]]}
            | secrets,
        )


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    folder = Path(wanted["folder"])
    file, database = folder / "glewlwyd.conf", folder / "database.sqlite3"
    new = not database.exists()
    if new:
        with closing(sqlite3.connect(database)) as making:
            making.executescript(SCHEMA.read_text())

    def command(port: int) -> list[str]:
        write_settings(file, database, port)
        return ["glewlwyd", f"--config-file={file}"]

    log, ready = folder / "glewlwyd.log", "Glewlwyd started on port"
    with running(command, port=wanted["port"], log=log, ready=ready) as port:
        if new:
            register(f"http://127.0.0.1:{port}", wanted)
        serve_until_standard_input_ends(port)


if __name__ == "__main__":
    main()

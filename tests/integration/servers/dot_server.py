"""django-oauth-toolkit as an authorization server for client credentials, on loopback.

The first line of standard input is its settings, as JSON:

- `port`: number; 0 lets the kernel choose
- `folder`: where its SQLite file is, made when it is not there (so that a restart keeps tokens)
- `clients`: `[{"client_id", "client_secret"}]`; secrets are stored hashed, as by default
- `lifetime_seconds`: of every access token

It answers with one line on standard output, `{"port": N}`, and ends when standard input does, so
that no server outlives the tests. `GET /granted` is its own count of the tokens it gave,
`GET /protected/` answers 200 to a live token with the scope `orders:read` and nobody else.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

SCOPES = {
    "orders:read": "read orders",
    "orders:write": "write orders",
    "introspection": "ask about tokens",
}


def configure(wanted: dict[str, Any]) -> None:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="a key of tests",
        USE_TZ=True,
        ROOT_URLCONF=__name__,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "oauth2_provider",
        ],
        # Tables straight from the models: the toolkit's many migrations take seconds.
        MIGRATION_MODULES={"auth": None, "contenttypes": None, "oauth2_provider": None},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": f"{wanted['folder']}/database.sqlite3",
                # Whoever reads must not wait for a token that is being written, nor for the disk.
                "OPTIONS": {
                    "timeout": 30,
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
                },
            }
        },
        # The default hasher is slow on purpose, for each token request; no test is about that.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        OAUTH2_PROVIDER={
            "ACCESS_TOKEN_EXPIRE_SECONDS": wanted["lifetime_seconds"],
            "SCOPES": SCOPES,
        },
        LOGGING_CONFIG=None,
    )
    django.setup()


def register(clients: list[dict[str, str]]) -> None:
    from oauth2_provider.models import Application

    for client in clients:
        Application.objects.get_or_create(
            client_id=client["client_id"],
            defaults={
                "client_secret": client["client_secret"],
                "client_type": Application.CLIENT_CONFIDENTIAL,
                "authorization_grant_type": Application.GRANT_CLIENT_CREDENTIALS,
            },
        )


def make_urls() -> list[Any]:
    from django.http import HttpRequest, JsonResponse
    from django.urls import include, path
    from oauth2_provider.decorators import protected_resource
    from oauth2_provider.models import AccessToken
    from oauth2_provider.urls import metadata_urlpatterns

    def granted(_request: HttpRequest) -> JsonResponse:
        return JsonResponse({"granted": AccessToken.objects.count()})

    @protected_resource(scopes=["orders:read"])
    def protected(_request: HttpRequest) -> JsonResponse:
        return JsonResponse({"welcome": True})

    return [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        # RFC 8414 §3.1: well-known documents lie at the root, whatever the issuer's path.
        path("", include((metadata_urlpatterns, "metadata"))),
        path("granted", granted),
        path("protected/", protected),
    ]


class Handler(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Say nothing: standard error is for what goes wrong."""


def end_with_standard_input(server: ThreadedWSGIServer) -> None:
    sys.stdin.read()
    server.shutdown()


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    configure(wanted)
    call_command("migrate", run_syncdb=True, verbosity=0)
    register(wanted["clients"])
    # Django reads ROOT_URLCONF's `urlpatterns` when the first request comes.
    globals()["urlpatterns"] = make_urls()

    from django.core.wsgi import get_wsgi_application

    server = ThreadedWSGIServer(("127.0.0.1", wanted["port"]), Handler)
    server.set_app(get_wsgi_application())
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    threading.Thread(target=end_with_standard_input, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()

"""A tiny authorization server for the benchmark: one client, one token that lives an hour.

It prints its port on standard output and serves until it is ended. Both Envoy and the proxy ask it
once; it takes no part in the rounds.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web


async def serve(token: str) -> None:
    """Serve `POST /token` on a loopback port that the kernel chooses, until cancelled."""

    async def grant(request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": 3600},
            headers={"Cache-Control": "no-store"},
        )

    application = web.Application()
    application.router.add_post("/token", grant)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--token", required=True)
    asyncio.run(serve(parser.parse_args().token))

"""What `helm test` runs: GET each URL of the command line; 2xx and 3xx are a pass."""
# ruff: noqa: INP001, T201 - a program for the pod of helm test

import sys
import urllib.error
import urllib.request


class AsItIs(urllib.request.HTTPRedirectHandler):
    """A redirect is the upstream's answer: it is not followed."""

    def redirect_request(self, *_: object) -> None:
        """Return no further request."""


failed = False
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), AsItIs)
for url in sys.argv[1:]:
    try:
        with opener.open(url, timeout=30) as answer:
            status, said = answer.status, None
    except urllib.error.HTTPError as error:
        status, said = error.code, error.headers.get("Proxy-Status")
    except OSError as error:
        status, said = 0, str(error)
    passed = 200 <= status < 400
    failed |= not passed
    note = "" if passed or said is None else f": {said}"
    print(f"{'ok' if passed else 'FAILED'} {url} {status or 'no answer'}{note}", flush=True)
sys.exit(failed)

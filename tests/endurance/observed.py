"""Run the proxy with a thread beside it that tells what lives in its process.

    python observed.py SOCKET_FILE COMMAND …

Whoever connects to the socket file gets a JSON object: for each type the number of objects that
the collector knows, after a collection; `tasks` are those that are not done.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
from collections import Counter

from proxy.__main__ import main


def _tell(listening: socket.socket) -> None:
    while True:
        asking, _ = listening.accept()
        with asking:
            gc.collect()
            living = gc.get_objects()
            counts = Counter(
                f"{type(each).__module__}.{type(each).__qualname__}" for each in living
            )
            counts["tasks"] = sum(isinstance(e, asyncio.Task) and not e.done() for e in living)
            del living
            asking.sendall(json.dumps(counts).encode())


if __name__ == "__main__":
    file = socket.socket(socket.AF_UNIX)
    file.bind(sys.argv.pop(1))
    file.listen()
    threading.Thread(target=_tell, args=(file,), daemon=True).start()
    sys.exit(main())

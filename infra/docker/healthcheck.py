"""Whether the stage in this container lives: `serve` answers /healthz, `ingest` and `worker` answer /metrics.

Exit 0 when one of them does, 1 when neither. Standard library only, because it runs every few seconds.
"""

import os
import sys
import urllib.error
import urllib.request

DOORS = (("STILLWATCH_SERVE__LISTEN", "/healthz"), ("STILLWATCH_METRICS__LISTEN", "/metrics"))


def answers(listen: str, path: str) -> bool:
    """Whether the address answers with 2xx within two seconds."""
    port = listen.rpartition(":")[2]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if any(answers(os.environ[name], path) for name, path in DOORS if name in os.environ) else 1)

"""Measures the cost of a session, with its peers in the same run.

    python benches/run.py [--seconds 2] [--rounds 8] [--in-process]

With servers: one worker of uvicorn on one core and `wrk` on another, `GET /` and a writing route of
`app.py`, with 64 sessions of a user id and 8 cart items in turn, so that no two requests in progress
share a session. In the rows with two workers each has a core, and `wrk` shares them. The servers take
turns. Each round starts
new ones, because processes of the same program differ in speed by the placement of their memory.
For each server, the best round counts, with the median in parentheses. The last columns show the
time of the server's core per request, which other load on the machine affects less. In-process:
nanoseconds per call.

Needs `wrk`, and `redis-server` for the rows with Redis. Rows whose program is missing are skipped,
with a message.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Row(NamedTuple):
    name: str
    kind: str
    workers: int = 1

    def needs_redis(self) -> bool:
        return "redis" in self.kind


ROWS = [
    Row("no sessions", "none"),
    Row("sessile", "sessile"),
    Row("Starlette's `SessionMiddleware`", "starlette"),
    Row("starsessions, in memory", "starsessions"),
    Row("sessile, Redis", "sessile-redis"),
    Row("starsessions, Redis", "redis"),
    Row("sessile, Redis, two workers", "sessile-redis", 2),
    Row("starsessions, Redis, two workers", "redis", 2),
]
SESSIONS = 64


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def redis() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running(["redis-server", *options]):
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port


def log_in(port: int, kind: str) -> str:
    """Returns the cookie of a session with a cart."""
    if kind == "none":
        return "session=none"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/login")
    response = connection.getresponse()
    response.read()
    connection.close()
    return str(response.getheader("set-cookie")).split(";")[0]


def cpu_seconds(pids: list[int]) -> float:
    """Returns the CPU time of processes so far, in seconds."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


class Server(NamedTuple):
    """A running server, and the script with which `wrk` sends the cookies of its sessions in turn."""

    row: Row
    port: int
    pids: list[int]
    script: Path


def started(row: Row, redis_port: str, stack: contextlib.ExitStack) -> Server:
    command = [sys.executable, str(HERE / "app.py"), row.kind, redis_port, str(row.workers)]
    process = stack.enter_context(running(command))
    assert process.stdout is not None
    port, *pids = (int(word) for word in process.stdout.readline().split())
    cookies = [log_in(port, row.kind) for _ in range(SESSIONS)]
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    script = Path(folder) / "cookies.lua"
    script.write_text(SCRIPT % ", ".join(f'"{cookie}"' for cookie in cookies))
    return Server(row, port, pids, script)


SCRIPT = """
local cookies = { %s }
local at = 0
request = function()
    at = at %% #cookies + 1
    wrk.headers["Cookie"] = cookies[at]
    return wrk.format()
end
"""


def wrk(server: Server, path: str, seconds: int) -> tuple[float, float]:
    """Returns requests per second, and microseconds of the workers' cores per request."""
    before = cpu_seconds(server.pids)
    cores = sorted(os.sched_getaffinity(0))
    own = cores[-1:] if server.row.workers == 1 else cores
    pinned = ["taskset", "-c", ",".join(map(str, own))]
    command = [*pinned, "wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(server.script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in output, output
    rate, number = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"(\d+) requests in", output)
    assert rate and number, output
    return float(rate[1]), (cpu_seconds(server.pids) - before) / int(number[1]) * 1e6


def serve(seconds: int, rounds: int) -> None:
    has_redis = shutil.which("redis-server") is not None
    rows = [row for row in ROWS if has_redis or not row.needs_redis()]
    if not has_redis:
        print("redis-server was not found: the rows with Redis are skipped")
    results: dict[tuple[str, Row], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            redis_port = str(stack.enter_context(redis())) if has_redis else "0"
            servers = [started(row, redis_port, stack) for row in rows]
            for path in ("/", "/write"):
                for server in servers:
                    results.setdefault((path, server.row), []).append(wrk(server, path, seconds))
    for path, title in (("/", "`GET /`, which reads the session"), ("/write", "a route that writes the session")):
        table(title, {row: results[path, row] for row in rows})


def table(title: str, results: dict[Row, list[tuple[float, float]]]) -> None:
    """Prints a table. Rows with Redis are compared with sessile on the same server."""
    print(f"\n| {title} | requests per second: best (median) | sessile is | µs of a core per request: minimum | sessile is |")
    print("|---|---|---|---|---|")
    best = {row: max(rate for rate, _ in figures) for row, figures in results.items()}
    minimum = {row: min(time for _, time in figures) for row, figures in results.items()}
    for row, figures in results.items():
        kind = "sessile-redis" if row.kind == "redis" else "sessile"
        own = next((other for other in results if (other.kind, other.workers) == (kind, row.workers)), ROWS[1])
        faster, cheaper = best[own] / best[row], minimum[row] / minimum[own]
        median = statistics.median(rate for rate, _ in figures)
        print(f"| {row.name} | {best[row]:,.0f} ({median:,.0f}) | {faster:.2f} × | {minimum[row]:.0f} | {cheaper:.2f} × |")


def nanoseconds(act: Callable[[], Any], number: int = 20_000, rounds: int = 7) -> str:
    """Returns the minimum and the median of some rounds, as text."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        for _ in range(number):
            act()
        times.append((time.perf_counter_ns() - begin) / number)
    return f"{min(times):,.0f} / {statistics.median(times):,.0f}"


def in_process() -> None:
    import base64

    import itsdangerous
    from app import CART, KEY
    from starlette.datastructures import MutableHeaders
    from starlette.middleware.sessions import Session as StarletteSession
    from starlette.requests import HTTPConnection

    import sessile
    from sessile._sessile import _Sessions
    from sessile.session import unread

    data = {"user_id": 42, "cart": CART}
    text = json.dumps(data).encode()
    cache = sessile.SessionCache(secret_key=KEY, cookie_name="session")
    token = cache.create(text).token
    header = f"theme=dark; session={token}; lang=en".encode()
    signer = itsdangerous.TimestampSigner(KEY)
    signed = signer.sign(base64.b64encode(text))

    print("\n| in-process, nanoseconds per call: minimum / median | sessile | Starlette |\n|---|---|---|")
    own, peer = nanoseconds(lambda: cache.open(header)), nanoseconds(lambda: signer.unsign(signed, max_age=10**6))
    print(f"| from the cookie to the session in bytes: `SessionCache.open`, `TimestampSigner.unsign` | {own} | {peer} |")

    sessions = _Sessions(cache, max_age=1209600)
    first = unread(sessions.begin([], False))
    first.update(data)
    message: Any = {"type": "http.response.start", "status": 200, "headers": []}
    message = first._visit.respond(first, message)
    cookie = dict(message["headers"])[b"set-cookie"].split(b";")[0]
    common = [(b"host", b"a.example"), (b"user-agent", b"x" * 80), (b"accept", b"text/html,*/*"), (b"accept-encoding", b"gzip")]
    headers = [*common, (b"cookie", b"theme=dark; " + cookie)]
    old_headers = [*common, (b"cookie", b"theme=dark; session=" + signed)]

    def load() -> Any:
        session = unread(sessions.begin(headers, False))
        session.mark_accessed()
        return session["user_id"]

    def load_starlette() -> Any:
        connection = HTTPConnection({"type": "http", "headers": old_headers})
        value = connection.cookies["session"].encode("utf-8")
        value = signer.unsign(value, max_age=1209600)
        session = StarletteSession(json.loads(base64.b64decode(value)))
        session.mark_accessed()
        return session["user_id"]

    print(f"| from the request headers to a value of `request.session` | {nanoseconds(load)} | {nanoseconds(load_starlette)} |")

    loaded = unread(sessions.begin(headers, False))
    loaded.mark_accessed()
    changed = StarletteSession(data)
    changed.mark_accessed()

    def complete() -> Any:
        visit = sessions.begin(headers, False)
        session = unread(visit)
        session.mark_accessed()
        visit.respond(session, {"type": "http.response.start", "status": 200, "headers": list(common)})

    def complete_starlette() -> Any:
        message = {"type": "http.response.start", "status": 200, "headers": list(common)}
        MutableHeaders(scope=message).add_vary_header("Cookie")
        load_starlette()

    print(f"| a complete request: read, compared, response headers | {nanoseconds(complete)} | {nanoseconds(complete_starlette)} |")
    print(f"| a request with a cookie that never reads the session | {nanoseconds(lambda: unread(sessions.begin(headers, False)))} | as above: it always decodes the cookie |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--in-process", action="store_true", help="only the measurements without a server")
    options = parser.parse_args()
    print(f"CPython {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    in_process()
    if not options.in_process:
        if shutil.which("wrk"):
            serve(options.seconds, options.rounds)
        else:
            print("wrk was not found: the tables with servers are skipped")

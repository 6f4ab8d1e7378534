"""Times of verifying a JWT with sessile, PyJWT and python-jose, in one process.

    pip install -r benches/requirements-jwt.txt
    python benches/run_jwt.py

A call verifies the signature, `exp`, `nbf`, `iat`, `iss` and `aud`, and returns the claims. With
sessile it also checks a list of 100,000 revocations.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
from jose import jwt as jose

from sessile import jwt

ISSUER, AUDIENCE, REVOKED = "https://issuer.example", "api", 100_000
SECRET = "a secret of the benchmark, 64 bytes or more, for all HMAC algorithms"
OPENSSL = {
    "RS256": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ES256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "EdDSA": ["-algorithm", "ED25519"],
}


def pair(algorithm: str) -> tuple[str, str]:
    """Returns a private and a public key, or a secret twice."""
    if algorithm not in OPENSSL:
        return SECRET, SECRET
    private = subprocess.run(["openssl", "genpkey", *OPENSSL[algorithm]], check=True, capture_output=True, text=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, check=True, capture_output=True, text=True).stdout
    return private, public


def claims() -> dict[str, Any]:
    now = int(time.time())
    times = {"iat": now, "nbf": now, "exp": now + 3600}
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", **times, "jti": "0f8fad5bd9cb469fa165", "scope": "read write"}


def microseconds(acts: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Returns the time of a call in each round. The rounds of all acts are interleaved."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    numbers = {}
    for name, act in acts.items():
        begin = time.perf_counter()
        for _ in range(10):
            act()
        numbers[name] = max(10, round(0.1 / max((time.perf_counter() - begin) / 10, 1e-7)))
    for _ in range(rounds):
        for name, act in acts.items():
            begin = time.perf_counter_ns()
            for _ in range(numbers[name]):
                act()
            times[name].append((time.perf_counter_ns() - begin) / numbers[name] / 1_000)
    return times


def decoders(algorithm: str, revocations: jwt.Revocations) -> dict[str, Callable[[], Any]]:
    private, public = pair(algorithm)
    token = pyjwt.encode(claims(), private, algorithm=algorithm)
    rules: dict[str, Any] = {"algorithms": [algorithm], "audience": AUDIENCE, "issuer": ISSUER}
    verifier = jwt.Verifier(public, **rules, revocations=revocations)
    acts: dict[str, Callable[[], Any]] = {
        "sessile `Verifier`": lambda: verifier.decode(token),
        "sessile `decode`": lambda: jwt.decode(token, public, **rules, revocations=revocations),
        "PyJWT": lambda: pyjwt.decode(token, public, **rules),
    }
    if algorithm != "EdDSA":
        acts["python-jose"] = lambda: jose.decode(token, public, **rules)
    return acts


def main(rounds: int) -> None:
    revocations = jwt.Revocations.in_memory(capacity=2 * REVOKED)
    for at in range(REVOKED):
        revocations.revoke_token({"jti": f"revoked {at}", "exp": time.time() + 3600})
    print(f"CPython {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("\n| µs per call: minimum / median | sessile `Verifier` | sessile `decode` | PyJWT | python-jose | PyJWT ÷ `decode` |")
    print("|---|---|---|---|---|---|")
    for algorithm in ("HS256", "RS256", "ES256", "EdDSA"):
        acts = decoders(algorithm, revocations)
        times = microseconds(acts, rounds)
        cells = {name: f"{min(each):.1f} / {statistics.median(each):.1f}" for name, each in times.items()}
        cells.setdefault("python-jose", "none")
        order = ("sessile `Verifier`", "sessile `decode`", "PyJWT", "python-jose")
        ratio = min(times["PyJWT"]) / min(times["sessile `decode`"])
        print(f"| {algorithm} | {' | '.join(cells[name] for name in order)} | {ratio:.1f} × |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    main(parser.parse_args().rounds)

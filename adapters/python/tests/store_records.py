"""Writes tokens and records of sessions as `docs/src/redis.md` describes them, without sessile.

HKDF is RFC 5869, and the encryption is libsodium's XChaCha20-Poly1305.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nacl.bindings

USER_KEY = bytes(range(32))


@dataclass
class Writer:
    """Writes records under a prefix of a client's server."""

    client: Any
    key: bytes
    cookie_name: str = "session"
    prefix: str = "sessile"

    def begin(self) -> None:
        """Writes what the first node writes."""
        self.client.hset(f"{self.prefix}:{{meta}}", mapping={"format": 1, "epoch": b"e" * 8, "user_key": USER_KEY})

    def now(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    def token(self, id: bytes, place: int = 0) -> str:
        signed = struct.pack("<BBH", 1, self._expand("key number", 1)[0], place) + id
        return base64.urlsafe_b64encode(signed + mac(self._expand("token tag", 32), signed)).decode()

    def write(
        self,
        id: bytes,
        values: Mapping[str, Any] | bytes,
        *,
        place: int = 0,
        user: str | None = None,
        label: str = "",
        created: int | None = None,
        format: int = 1,
        encrypted: bool = False,
    ) -> None:
        """Writes a session, which expires in 60 s. It was used just now."""
        now = self.now()
        created = now if created is None else created
        data = values if isinstance(values, bytes) else pairs(values)
        user_hash = mac(USER_KEY, user.encode()) if user else bytes(16)
        if user:
            place = user_hash[0]
            self.client.zadd(f"{self.prefix}:{{{place:02x}}}:u:{user_hash.hex()}", {id.hex(): created})
        if encrypted:
            data, format = self._encrypt(id, place, user_hash, data), 0x80 | format
        head = struct.pack("<BBBBIII", format, 1, LEVEL if user else 0, len(label), VERSION, SERIAL, 600)
        head += struct.pack("<QQQQ", created, created if user else 0, created, now + 3_600_000) + user_hash
        self.client.set(self._name(id, place), head + label.encode() + data, px=60_000)

    def write_alias(self, id: bytes, target: bytes, *, place: int = 0, target_place: int = 0, grace: int = 60_000) -> None:
        head = struct.pack("<BBBBIII", 1, 2, 0, 0, VERSION, SERIAL, 600) + bytes(48)
        body = target.hex().encode() + struct.pack("<HQ", target_place, self.now() + grace)
        self.client.set(self._name(id, place), head + body, px=60_000)

    def end_all(self) -> None:
        self.client.hset(f"{self.prefix}:{{meta}}", "ended_before", self.now())

    def _name(self, id: bytes, place: int) -> str:
        return f"{self.prefix}:{{{place & 255:02x}}}:s:{id.hex()}"

    def _encrypt(self, id: bytes, place: int, user_hash: bytes, data: bytes) -> bytes:
        bound = id + struct.pack("<BBBII", place & 255, 1, LEVEL if any(user_hash) else 0, VERSION, SERIAL) + user_hash
        key = hmac.digest(self._expand("store root", 32), b"sessile store data v1", "sha256")
        nonce = hashlib.sha256(id).digest()[:24]
        sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(data, bound, nonce, key)
        return self._expand("key number", 1) + nonce + sealed

    def _expand(self, purpose: str, length: int) -> bytes:
        parts = [part.encode() for part in ("sessile v1", self.cookie_name, purpose)]
        info = b"".join(struct.pack(">Q", len(part)) + part for part in parts)
        pseudorandom = hmac.digest(bytes(32), self.key, "sha256")
        return hmac.digest(pseudorandom, info + b"\x01", "sha256")[:length]


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")[:16]


def pairs(values: Mapping[str, Any]) -> bytes:
    """Returns the data of a session with these values."""
    encoded = [(key.encode(), json.dumps(value, separators=(",", ":")).encode()) for key, value in sorted(values.items())]
    body = b"".join(struct.pack("<HI", len(key), len(value)) + key + value for key, value in encoded)
    return b"\x01" + body if body else b""


VERSION, SERIAL, LEVEL = 7, 0x01020304, 2

"""What a session holds: what the standard library's `json` takes, and nothing that is no JSON."""

from __future__ import annotations

import enum
import json
import math
import random
from collections import OrderedDict
from typing import Any

import pytest

from sessile._sessile import from_json, to_json


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def anything(random: random.Random, depth: int = 0) -> Any:
    kind = random.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.choice([0, -1, 2**63, -(2**63), 2**63 - 1, random.randrange(-(10**30), 10**30)])
    if kind == 2:
        return random.choice([0.0, -0.0, 1e300, 5e-324, 1e16, 0.1, random.uniform(-1e9, 1e9), random.gauss(0, 1)])
    if kind < 6:
        return "".join(chr(random.choice([7, 34, 92, 97, 0x7F, 0xE9, 0x20AC, 0x1F600, 0xD83D, 0xDE00])) for _ in range(random.randrange(9)))
    if kind == 6:
        return [anything(random, depth + 1) for _ in range(random.randrange(5))]
    return {anything(random, 9) if random.random() < 0.1 else f"k{at}": anything(random, depth + 1) for at in range(random.randrange(5))}


def test_what_goes_in_comes_out_as_through_the_standard_library() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    for _ in range(20_000):
        value = anything(source)
        expected = json.loads(json.dumps(value))
        stored = to_json(value)
        assert repr(from_json(stored)) == repr(expected), seed
        assert json.loads(stored) == expected, seed
        assert repr(from_json(json.dumps(value).encode())) == repr(expected), seed
        # Two surrogates that stood side by side are read as one character: from then on nothing changes.
        stored = to_json(from_json(stored))
        assert to_json(from_json(stored)) == stored, seed


def test_subclasses_are_what_they_are_made_of() -> None:
    value = {"colour": Colour.RED, "level": Level.HIGH, "order": OrderedDict(b=1), "pair": (1, 2), 3: {None: 1, True: 2.5}}
    assert from_json(to_json(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({"user": {"seen": [1, object()]}}, TypeError, r"session\['user'\]\['seen'\]\[1\] is a object"),
        ({"ids": {1, 2}}, TypeError, r"session\['ids'\] is a set"),
        ({"data": b"x"}, TypeError, r"session\['data'\] is a bytes"),
        ({"a": {(1, 2): 3}}, TypeError, r"session\['a'\] has a key that is a tuple"),
        ({"price": math.nan}, ValueError, r"session\['price'\] is not a finite number"),
        ([1.0, -math.inf], ValueError, r"session\[1\] is not a finite number"),
    ],
)
def test_what_json_cannot_hold_is_named_by_its_path(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        to_json(value)


def test_what_holds_itself_or_nests_too_deep_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(ValueError, match="nests deeper than 127"):
        to_json(itself)
    for text in ("[" * 128 + "]" * 128, '{"a":' * 100_000):
        with pytest.raises(ValueError, match="no JSON"):
            from_json(text.encode())
    assert from_json(b"[" * 127 + b"]" * 127) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "nullx", "tru", "01", "-", "-01", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN", "Infinity",
        "-Infinity", "1e999", "[1,]", "[,1]", "[1", "1]", "[1 2]", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "{1:1}",
        '"', '"\\', '"\\x"', '"\\u12"', '"\\u12g4"', '"a\nb"', "'a'", '"\x00"', "[1]x", "{} {}", "\ufeff1",
        "1_000", "--1", '{"a":1]',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        from_json(text.encode())


def test_bytes_of_any_kind_never_do_worse_than_be_refused() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    accepted = 0
    for _ in range(100_000):
        text = bytes(source.choice(b'{}[]",:\\u0dD8e-+.1 tn\xff\xc3\xa9') for _ in range(source.randrange(12)))
        try:
            from_json(text)
        except ValueError:
            continue
        json.loads(text)
        accepted += 1
    assert accepted > 100, seed

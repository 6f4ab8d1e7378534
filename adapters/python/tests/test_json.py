"""Conversion of a session's values to JSON and back, compared with the standard library."""

from __future__ import annotations

import enum
import json
import math
import random
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from sessile._sessile import _from_json, _to_json


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


class Point(NamedTuple):
    x: int
    y: int


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
    return {a_key(random, at): anything(random, depth + 1) for at in range(random.randrange(5))}


def a_key(random: random.Random, at: int) -> Any:
    key = anything(random, 9) if random.random() < 0.1 else f"k{at}"
    return key.encode("utf-8", "replace").decode() if isinstance(key, str) else key


def test_values_round_trip_as_with_the_standard_library() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    for _ in range(20_000):
        value = anything(source)
        expected = json.loads(json.dumps(value))
        stored = _to_json(value)
        assert repr(_from_json(stored)) == repr(expected), seed
        assert json.loads(stored) == expected, seed
        assert repr(_from_json(json.dumps(value).encode())) == repr(expected), seed
        # Two adjacent surrogates are read as one character. Further round trips change nothing.
        stored = _to_json(_from_json(stored))
        assert _to_json(_from_json(stored)) == stored, seed


def test_subclasses_are_encoded_as_their_base_type() -> None:
    value = {"colour": Colour.RED, "level": Level.HIGH, "order": OrderedDict(b=1), "pair": (1, 2), 3: {None: 1, True: 2.5}}
    assert _from_json(_to_json(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({"user": {"seen": [1, object()]}}, TypeError, r"session\['user'\]\['seen'\]\[1\] must be text, a number, a list or a dict, got object"),
        ({"ids": {1, 2}}, TypeError, r"session\['ids'\] must be text, a number, a list or a dict, got set"),
        ({"data": b"x"}, TypeError, r"session\['data'\] must be text, a number, a list or a dict, got bytes"),
        ({"a": {(1, 2): 3}}, TypeError, r"keys of session\['a'\] must be text, got tuple"),
        ({"price": math.nan}, ValueError, r"session\['price'\] must be a finite number"),
        ([1.0, -math.inf], ValueError, r"session\[1\] must be a finite number"),
    ],
)
def test_error_names_path_of_invalid_value(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        _to_json(value)


def test_recursive_or_too_deep_value_is_rejected() -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(ValueError, match="must nest at most 127"):
        _to_json(itself)
    for text in ("[" * 128 + "]" * 128, '{"a":' * 100_000):
        with pytest.raises(ValueError, match="must be JSON"):
            _from_json(text.encode())
    assert _from_json(b"[" * 127 + b"]" * 127) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "nullx", "tru", "01", "-", "-01", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN", "Infinity",
        "-Infinity", "1e999", "[1,]", "[,1]", "[1", "1]", "[1 2]", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "{1:1}",
        '"', '"\\', '"\\x"', '"\\u12"', '"\\u12g4"', '"a\nb"', "'a'", '"\x00"', "[1]x", "{} {}", "\ufeff1",
        "1_000", "--1", '{"a":1]',
    ],
)  # fmt: skip
def test_invalid_json_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="must be JSON"):
        _from_json(text.encode())


def test_random_bytes_are_rejected_at_most() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    accepted = 0
    for _ in range(100_000):
        text = bytes(source.choice(b'{}[]",:\\u0dD8e-+.1 tn\xff\xc3\xa9') for _ in range(source.randrange(12)))
        try:
            _from_json(text)
        except ValueError:
            continue
        json.loads(text)
        accepted += 1
    assert accepted > 100, seed


def strictly(text: bytes) -> Any:
    """Returns the value that the standard library reads.

    Fails for invalid JSON, which it accepts.
    """

    def constant(name: str) -> None:
        raise ValueError(name)

    value = json.loads(text.decode(), parse_constant=constant)
    json.dumps(value, allow_nan=False)
    return value


def test_mutated_texts_are_decoded_as_by_the_standard_library() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    accepted = 0
    for _ in range(20_000):
        text = bytearray(json.dumps(anything(source), ensure_ascii=source.random() < 0.5).encode("utf-8", "replace"))
        for _ in range(source.randrange(1, 3)):
            at = source.randrange(len(text) + 1)
            text[at : at + source.randrange(2)] = source.choice([b"", b'"', b"0", b"}", b",", b" ", b"\\", b"-", b"e", b"\xff"])
        try:
            expected = repr(strictly(bytes(text)))
        except ValueError:
            with pytest.raises(ValueError):
                _from_json(bytes(text))
            continue
        assert repr(_from_json(bytes(text))) == expected, (seed, text)
        accepted += 1
    assert accepted > 1_000, seed


def test_floats_of_any_bits_round_trip() -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    for _ in range(100_000):
        (double,) = struct.unpack("<d", source.randbytes(8))
        if math.isfinite(double):
            assert json.loads(_to_json(double)) == _from_json(repr(double).encode()) == double, seed


class Reversed(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return reversed(self[:])


class Shouting(dict[str, Any]):
    def items(self) -> Any:
        return [(key.upper(), value) for key, value in super().items()]


class Twice(tuple[Any, ...]):
    def __iter__(self) -> Iterator[Any]:
        return iter(tuple.__add__(self, self))


@pytest.mark.parametrize(
    "value",
    [
        Reversed([1, 2, 3]), Shouting(a=1, b=[2]), Twice((1, "x")), OrderedDict(b=1, a=2), Shouting(), Reversed(),
        {"in": [{"a dict": Shouting(a=Reversed([Twice((0.5,)), None]))}]}, defaultdict(list, {"a": [1]}), Counter("aab"),
        Point(1, 2),
    ],
)  # fmt: skip
def test_subclasses_are_asked_for_their_items_as_by_the_standard_library(value: Any) -> None:
    assert _to_json(value) == json.dumps(value, separators=(",", ":")).encode()


def test_items_that_are_not_pairs_are_an_error() -> None:
    class Odd(dict[str, int]):
        def items(self) -> Any:
            return [("a", 1, 2)]

    with pytest.raises(ValueError, match="must return pairs"):
        _to_json(Odd(a=1))


def test_items_that_change_their_dict_raise_at_most() -> None:
    around: dict[str, Any] = {}

    class Greedy(list[int]):
        def __iter__(self) -> Iterator[int]:
            around.update(dict.fromkeys(map(str, range(len(around), 100 + len(around)))))
            return iter([1])

    around.update(a=Greedy(), b=2)
    assert _from_json(_to_json(around)) == {"a": [1], "b": 2}


def test_encode_method_of_str_subclass_is_not_called() -> None:
    around: dict[str, Any] = {}

    class Text(str):
        def encode(self, *_: Any) -> bytes:
            around.clear()
            around.update(dict.fromkeys(map(str, range(100))))
            raise RuntimeError

    around.update(a=Text("\ud800 x"), b=2)
    assert _from_json(_to_json(around)) == {"a": "\ud800 x", "b": 2}


@pytest.mark.parametrize("key", ["\ud800", Text("\udfff")])
@pytest.mark.parametrize("wrap", [lambda dict: dict, lambda dict: {"in": [dict]}, lambda dict: OrderedDict(dict)])
def test_key_with_lone_surrogate_is_rejected_at_any_depth(key: str, wrap: Any) -> None:
    with pytest.raises(ValueError, match="lone surrogate, which UTF-8 cannot encode"):
        _to_json(wrap({key: 1}))
    assert _from_json(_to_json({"key": str(key)})) == {"key": str(key)}


def test_numbers_as_keys_are_encoded_as_by_the_standard_library() -> None:
    for key in (math.nan, math.inf, -math.inf, 1e16, 0.1, -0.0, 5, 2**70, True, None, Level.HIGH):
        assert _to_json({key: 1}) == json.dumps({key: 1}, separators=(",", ":")).encode()

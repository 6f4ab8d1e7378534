"""Comparison of the results of Starlette's own tests with the expected differences."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the comparison runs on the newest CPython", allow_module_level=True)

import starlette_suite
from starlette_suite import DIFFERENCES, compared, expected_differences, substitute, tomllib, without_backend

RESULTS = {"test_a[asyncio]": True, "test_a[trio]": True, "test_b[asyncio-x]": False, "test_b[trio-x]": False}


def test_expected_results_are_accepted() -> None:
    assert list(compared(RESULTS, {"test_b[x]"})) == []


def test_unexpected_failure_is_reported() -> None:
    assert len(list(compared(RESULTS, set()))) == 2


def test_pass_of_expected_failure_is_reported() -> None:
    assert len(list(compared({**RESULTS, "test_b[trio-x]": True}, {"test_b[x]"}))) == 1


def test_missing_listed_test_is_reported() -> None:
    assert len(list(compared(RESULTS, {"test_b[x]", "test_c"}))) == 1


def test_run_without_tests_is_reported() -> None:
    assert list(compared({}, set())) == ["no test ran"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_a", "test_a"),
        ("test_a[asyncio]", "test_a"),
        ("test_a[trio-True]", "test_a[True]"),
        ("test_a[asyncio-/path-None-expected0]", "test_a[/path-None-expected0]"),
        ("test_a[x-trio]", "test_a[x]"),
    ],
)
def test_event_loop_is_not_part_of_a_name(name: str, expected: str) -> None:
    assert without_backend(name) == expected


def test_suite_without_the_import_is_not_run(tmp_path: Path) -> None:
    suite = tmp_path / "test_session.py"
    suite.write_text('from starlette.middleware import sessions\nMiddleware(S, secret_key="example")\n')
    with pytest.raises(ValueError, match="does not contain"):
        substitute(suite)


def test_each_difference_has_test_versions_and_reason() -> None:
    for each in tomllib.loads(DIFFERENCES.read_text())["difference"]:
        assert each.keys() == {"test", "versions", "reason"} and all(each.values())


def test_difference_applies_to_its_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "differences.toml"
    listed.write_text('[[difference]]\ntest = "test_a"\nversions = ">=0.46,<1"\nreason = "of a test"\n')
    monkeypatch.setattr(starlette_suite, "DIFFERENCES", listed)
    assert (expected_differences("0.46.2"), expected_differences("1.10.0")) == ({"test_a"}, set())

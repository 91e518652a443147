"""Gives tests other projects' readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from .foreign import EnvironmentUnavailable, ForeignReaders, Reading

ReadForeign = Callable[..., Reading]
ReadEach = Callable[[str, str, Sequence[Sequence[object]]], list[Reading]]


@pytest.fixture(scope="session")
def _foreign_readers(pytestconfig: pytest.Config) -> ForeignReaders:
    assert pytestconfig.cache is not None
    return ForeignReaders(pytestconfig.cache.mkdir("foreign-readers"))


@pytest.fixture
def run_each(_foreign_readers: ForeignReaders) -> ReadEach:
    """Runs a script as `ForeignReaders.run_each` does; the test is skipped where the environment cannot be made."""

    def run(name: str, script: str, calls: Sequence[Sequence[object]]) -> list[Reading]:
        try:
            return _foreign_readers.run_each(name, script, calls)
        except EnvironmentUnavailable as reason:
            pytest.skip(str(reason))

    return run


@pytest.fixture
def run_foreign(run_each: ReadEach) -> ReadForeign:
    """Runs a script as `ForeignReaders.run` does; the test is skipped where the environment cannot be made."""

    def run(name: str, script: str, *arguments: object) -> Reading:
        (reading,) = run_each(name, script, [arguments])
        return reading

    return run

"""What the tests of the CRF share: its threads, which outlive a test, and teams of other sizes, which do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from segstudio.refine.team import Team, team


@pytest.fixture(scope="session", autouse=True)
def _threads_of_the_process() -> None:
    """Started before any test, which would be blamed for leaving them."""
    team()


@pytest.fixture
def team_of() -> Iterator[Callable[[int], Team]]:
    """Makes teams of a size; they end with the test."""
    made: list[Team] = []

    def make(size: int) -> Team:
        made.append(Team(size))
        return made[-1]

    yield make
    for each in made:
        each.close()

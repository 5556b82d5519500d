"""One lab for the whole session: starting it takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.running_lab import RunningLab, lab_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts real programs."""
    for item in items:
        if "tests/e2e" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A running lab that tests share."""
    with lab_up(tmp_path_factory.mktemp("lab") / "s") as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: RunningLab) -> RunningLab:
    """The shared lab with the home tenant active."""
    shared_lab.go_to("contoso")
    return shared_lab

"""promtool (Debian: prometheus), which runs the alerts on made-up series, and the files of the container image."""

from __future__ import annotations

import pytest

from tests.extras import fixtures_of, leave_out_without
from tests.helm.image import Image, build

PROMTOOL = "promtool"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of promtool out where there is none."""
    leave_out_without(
        (PROMTOOL,),
        tests="tests of the alerts",
        packages="prometheus",
        needs=lambda item: PROMTOOL in fixtures_of(item),
        config=config,
        items=items,
    )


@pytest.fixture
def promtool() -> str:
    """The program."""
    return PROMTOOL


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The files of the container image."""
    return build(tmp_path_factory.mktemp("image"))

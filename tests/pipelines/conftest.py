"""One tiny model for all pipeline tests: making and loading it is most of their time."""

from __future__ import annotations

import pytest

from fastvideo.models.ltx2.loader import LTX2Components, load_components
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> LTX2Components:
    """The parts of the 2.0-shaped tiny checkpoint."""
    return load_components(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny")))

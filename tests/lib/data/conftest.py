from collections.abc import Iterator

import numpy as np
import pytest
from web import Web, serve

from course_lib.data import download


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        yield running


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

"""Hypothesis settings of the rules.

``make test`` runs 150 fixed examples. RULES_EXAMPLES=n runs n random examples instead. RULES_SHRINK=1 shrinks a failing
example, which takes minutes. RULES_HISTORY=file writes the calls of a failing example.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.rules.scheduler import history

_EXAMPLES = int(os.environ.get("RULES_EXAMPLES", "0"))
_HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "rules",
    max_examples=_EXAMPLES or 150,
    stateful_step_count=60,
    deadline=None,
    derandomize=not _EXAMPLES,
    database=None,
    suppress_health_check=_HEALTH,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink] if os.environ.get("RULES_SHRINK") else [Phase.generate],
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Turn logging off, because thousands of injected faults would fill the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.hookimpl(tryfirst=True)
def pytest_exception_interact() -> None:
    """Write every call of the failed example to the file that RULES_HISTORY names."""
    if "RULES_HISTORY" in os.environ:
        Path(os.environ["RULES_HISTORY"]).write_text("\n".join(history), encoding="utf-8")

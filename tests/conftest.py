"""For all tests."""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The duration of an example depends on the machine rather than the code.
# A slow machine fails no test, neither by the time of an example nor by that of its data.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TOGETHER = ("tests/e2e", "tests/broker")
"""Folders whose tests stay with one process: they share a stack, or brokers."""
BY_FILE = "tests/functional/infra/"
"""Folder whose files stay with one process: they share deployed stages and measured calls."""


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out the folders and files above as a whole, the largest first, and every other test by itself."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BY_FILE):
            return nodeid.split("::", maxsplit=1)[0]
        return next((folder for folder in TOGETHER if nodeid.startswith(f"{folder}/")), nodeid)


@pytest.hookimpl(optionalhook=True)  # there is nothing to hand out when everything runs in this process
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)

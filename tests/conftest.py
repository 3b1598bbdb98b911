"""For all tests."""

import pkgutil
from collections.abc import Generator
from importlib import import_module

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import chalicelib

# The duration of an example depends on the machine rather than the code.
# A slow machine fails no test, neither by the time of an example nor by that of its data.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TOGETHER = ("tests/e2e", "tests/broker")
"""Folders whose tests stay with one process: they share a stack, or brokers."""
BY_FILE = "tests/functional/infra/"
"""Folder whose files stay with one process: they share deployed stages and measured calls."""

UNCOVERED = tuple(
    f"tests/{path}"
    for path in (
        "e2e/",
        "broker/adapters/amqp/test_outages.py",
        "broker/bench/",
        "broker/downlinks/test_hostile_downlinks.py",
        "broker/downlinks/test_poll_outages.py",
        "broker/uplinks/test_outage_table.py",
        "functional/adapters/aws/test_message_log_cost.py",
        "functional/http_api/test_routes.py",
        "functional/http_api/test_tenants.py",
        "functional/infra/",
        "functional/monitoring/",
        "rules/",
        "unit/adapters/amqp/test_publish_frames.py",
        "unit/uplinks/test_summaries.py",
    )
)
"""Folders and files whose tests run without the tracer that measures coverage: it makes code 1.7 times slower. What
these tests execute of chalicelib, other tests execute, too, or it runs in other processes."""


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out the folders and files above as a whole, the largest first, and every other test by itself."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BY_FILE):
            return nodeid.split("::", maxsplit=1)[0]
        return next((folder for folder in TOGETHER if nodeid.startswith(f"{folder}/")), nodeid)


@pytest.hookimpl(optionalhook=True)  # there is nothing to hand out when everything runs in this process
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)


def pytest_collection_finish() -> None:
    """Import what would be loaded late, so that the tracer sees it whichever test a process runs first."""
    for module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
        import_module(module.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop the tracer for the set-up, too, which may deploy a stage: the plugin's marker spares only the call."""
    plugin = item.config.pluginmanager.get_plugin("_cov")
    controller = plugin.cov_controller if plugin and item.nodeid.startswith(UNCOVERED) else None
    if controller:
        controller.pause()
    try:
        return (yield)
    finally:
        if controller:
            controller.resume()

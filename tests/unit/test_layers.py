"""Imports point down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = [
    {"caches", "sketch", "durations", "times", "state", "ids", "merge_patch", "pem", "json_schema"},
    {"config", "errors", "faults"},
    {"strict_json", "cursors"},
    {"models"},
    {"queue_messages"},
    {"delivery", "addresses", "certificates", "patterns", "json_path", "breaker", "alarm_validation"},
    {"alarm_windows"},
    {"ports", "routing", "management"},
    {"messages", "downlink_messages", "validation", "connection_changes"},
    {"tokens"},
    {"monitoring", "invocations"},
    {"aws"},
    {"dynamodb", "connection_items"},
    # Adapters: each owns one SDK.
    {"queues", "amqp", "network_server", "publishers"} | {p.stem for p in (ROOT / "chalicelib").glob("*_store.py")},
    {"connection_events"},
    # Services: one per flow.
    {"alarms", "retention", "drain_reports", "drain_parts"},
    {"ingress", "drain", "connections", "connection_trial", "preview", "reconciler", "replay", "statistics"},
    {"downlink_intake", "bulk_ingress"},
    {"forwarder", "downlinks", "consumer"},
    {"http_api"},
    {"bootstrap_adapters"},
    {"bootstrap"},
]


def layer_of(module: str) -> int:
    name = module.removeprefix("chalicelib.").split(".", maxsplit=1)[0]
    name = "amqp" if name.startswith("amqp_") else name
    return next(i for i, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", sorted((ROOT / "chalicelib").rglob("*.py")), ids=lambda p: p.stem)
def test_a_module_imports_from_its_own_layer_or_below(path: Path) -> None:
    if path.name == "__init__.py":
        return
    own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chalicelib."):
            assert layer_of(node.module or "") <= own, f"{path.name} imports {node.module}, which is above it"

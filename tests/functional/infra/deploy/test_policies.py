"""The policy of each function grants exactly the permissions that its recorded AWS calls need."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app import app
from chalicelib.adapters.aws.clients import aws_client
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from infra.local.processes import ROOT
from tests.functional.doubles import Api, TestIssuer
from tests.functional.infra.deploy.iam import Permission, statements
from tests.functional.infra.deploy.policy_runs import HANDLERS, QUEUE_OF, RUNS, TENANT, World

BY_LAMBDA = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""Calls of an event source mapping on its queue, made with the function's role."""
LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@pytest.fixture
def world(api: Api, issuer: TestIssuer, services: Services) -> Iterator[World]:
    world = World(api, issuer, services)
    yield world
    wiring.use(services)


def lambdas_own(handler: str) -> set[Permission]:
    """The permissions that Lambda itself needs from the function's role."""
    log = f"arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/iot-flow-amqp-test-{handler}"
    if handler == "api_handler":
        log = log.removesuffix("-api_handler")
    own = {Permission(action, log if action == LOGS[0] else f"{log}:log-stream:x") for action in LOGS}
    if queue := QUEUE_OF.get(handler):
        own |= {Permission(each, f"arn:aws:sqs:eu-west-1:123456789012:iot-flow-test-{queue}") for each in BY_LAMBDA}
    return own


@dataclass(frozen=True)
class Recording:
    """The routes and SDK operations of one run."""

    routes: set[tuple[str, str]]
    operations: set[str]


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    """The recordings of the tests of this module that have run, by handler. A run takes several seconds."""
    return {}


def recording(world: World) -> Recording:
    operations = {operation for recorder in world.recorders.values() for operation in recorder.operations}
    return Recording(set(world.routes), operations)


@pytest.mark.parametrize("handler", HANDLERS)
def test_policy_grants_exactly_the_needed_permissions(
    world: World, handler: str, recordings: dict[str, Recording]
) -> None:
    RUNS[handler](world)
    recordings[handler] = recording(world)
    needed = world.recorders[handler].permissions | lambdas_own(handler)
    granted = statements(ROOT / ".chalice" / f"policy-{handler}.json")

    missing = {each for each in needed if not any(statement.grants(each) for statement in granted)}
    assert sorted(missing) == []
    unused_actions = {
        (statement.sid, action)
        for statement in granted
        for action in statement.actions
        if not any(each.action == action and statement.grants(each) for each in needed)
    }
    assert unused_actions == set()
    unused_resources = {
        (statement.sid, resource)
        for statement in granted
        for resource in statement.resources
        if not any(type(statement)("", statement.actions, (resource,)).grants(each) for each in needed)
    }
    assert unused_resources == set()


def test_every_route_and_sdk_call_is_recorded(world: World, recordings: dict[str, Recording]) -> None:
    """Ensures that the test above covers all calls."""
    for handler in HANDLERS:
        if handler in recordings:
            continue
        RUNS[handler](world)
        for made in world.plain.connection_store.of_tenant(TENANT):
            world.call("DELETE", "/connections/{id}", id=made.id, query="?force=true")
        for queue in QUEUE_OF.values():
            world.empty(queue)
    found = [*recordings.values(), recording(world)]
    assert {route for each in found for route in each.routes} == {
        (method, path) for path, methods in app.routes.items() for method in methods
    }
    recorded = {operation for each in found for operation in each.operations}
    assert recorded == written_in_the_code(world.plain)


def written_in_the_code(services: Services) -> set[str]:
    """The SDK operations that the package calls or passes on, such as ``client.send_message``."""
    clients = (services.dynamodb, services.sqs, services.sns, services.secretsmanager, aws_client("lambda"))
    operations = {method: name for client in clients for method, name in client.meta.method_to_api_mapping.items()}
    found: set[str] = set()
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.search(
                r"client|dynamodb|sqs|secretsmanager", ast.unparse(node.value)
            ):
                found.add(operations.get(node.attr, ""))
    return found - {""}

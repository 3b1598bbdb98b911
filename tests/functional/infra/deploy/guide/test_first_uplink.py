"""The guide's commands for the first uplink, as they stand, reach an API, and the uplink reaches the broker."""

import json
import os
import subprocess
import sys
import time

from app import app
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from infra.local.processes import ROOT
from tests.functional.doubles import Api, TestIssuer
from tests.functional.infra.deploy.guide.api_server import served
from tests.functional.infra.deploy.guide.commands import README, blocks
from tests.functional.infra.deploy.policy_runs import World
from tests.unit.flow import ScriptedBroker

ADDRESS = "API=$(.venv/bin/chalice url --stage dev)\n"
SCOPES = "connections:read connections:write uplinks:write"


def test_commands_of_the_guide_bring_the_first_uplink_to_the_broker(
    services: Services, issuer: TestIssuer, api: Api
) -> None:
    # Given: the commands, of which test_deploy.py tests the one for the address
    commands = blocks(README)["5. The first uplink"]
    assert commands.startswith(ADDRESS)
    assert commands.count("curl ") == 4

    # When
    with served(services) as base:
        curl = f'curl() {{ "{sys.executable}" -m tests.functional.infra.deploy.guide.commands "$@"; }}\n'
        said = subprocess.run(
            ["bash", "-euc", curl + commands.removeprefix(ADDRESS)],
            cwd=ROOT,
            env={**os.environ, "API": base, "TOKEN": issuer.token(scope=SCOPES)},
            check=False,
            capture_output=True,
            text=True,
        )
    assert said.returncode == 0, said.stderr

    # Then: the connection exists, and a forwarder publishes the uplink with the key that the guide names
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert answers[0]["status"] == "ok"
    assert answers[1]["state"] == "OPENING"
    assert [each["id"] for each in answers[2]] == [answers[1]["id"]]
    broker = ScriptedBroker()
    world = World(api, issuer, services)
    world.move("wakes", "wakes-slow")
    made = world.function("forward_slow")
    made.publisher_pool = PublisherPool(broker, made.secret_store, SocketSlots(made.slots, 120, time.monotonic))
    world.invoke("forward_slow")
    wiring.use(services)
    assert app.__class__.__name__ == "Chalice"
    [published] = broker.received
    assert f"`{published.routing_key}`" in README.read_text(encoding="utf-8")

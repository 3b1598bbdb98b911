"""Samples of earlier releases (``tests/golden``): this release reads them, and writes what the earlier ones need."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.work_items import DownlinkJob, PollJob, Wake
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import last_id
from tests.golden.samples import (
    DEVICE,
    DOWNLINK_JOB,
    FOLDER,
    ID,
    INACTIVE_ID,
    NOW,
    POLL_JOB,
    TENANT,
    UNFINISHED_ID,
    WAKES,
    connection,
    event,
    flow,
    samples,
)

RELEASES = sorted(path for path in FOLDER.iterdir() if (path / "items.json").exists())
STRICT = {"0.1.0"}
"""Releases that refuse unknown fields in queue bodies, configurations and alarms: these must get no new field while a
rollback to such a release is possible. Later releases only need the fields that they know."""
UPLINKS = f"uplinks-{ID}.fifo"

release = pytest.mark.parametrize("folder", RELEASES, ids=lambda path: path.name)


def content(folder: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def bodies(folder: Path, queue: str) -> list[str]:
    return [message["Body"] for message in content(folder, "messages")[queue]]


def restore(services: Services, folder: Path) -> None:
    """Put the items of a release into the tables."""
    for table, items in content(folder, "items").items():
        for item in items:
            values = {
                name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in item.items()
            }
            services.dynamodb.put_item(TableName=services.settings.table(table), Item=values)


@release
def test_items_of_the_release_are_read(services: Services, caplog: pytest.LogCaptureFixture, folder: Path) -> None:
    # Given
    restore(services, folder)
    store, minute = services.connection_store, int(NOW // 60)

    # Then
    assert store.get(TENANT, ID) == connection()
    assert store.get(TENANT, INACTIVE_ID) == connection(INACTIVE_ID, active=False, alarms=[], old_bindings=[])
    assert [each.id for each in store.of_tenant(TENANT)] == [INACTIVE_ID, ID]
    assert [each.id for each in store.all_active()] == [ID]
    assert {each.id for each in store.probes_due(NOW + 60)} == {ID, INACTIVE_ID}
    assert {each.id for each in store.pending_wakes_due(NOW + 60)} == {ID, INACTIVE_ID}
    assert list(store.unfinished(NOW + 1e9)) == [(TENANT, UNFINISHED_ID)]
    flows = content(folder, "items").get("flows", [])
    assert store.generation(TENANT) == 2 + len(flows)
    assert list(services.flow_store.of_tenant(TENANT)) == [flow()][: len(flows)]
    events, _ = services.event_log.page(TENANT, None, limit=10, cursor=None)
    assert [each.model_copy(update={"id": ""}) for each in events] == [
        each.model_copy(update={"id": ""}) for each in (event(1, None), event(0, ID))
    ]
    failed = list(services.failed_messages.oldest_first(TENANT, ID, last_id(NOW + 10)))
    assert [(each.body[:15], each.message_id, each.as_key_secret) for each in failed] == [
        ('{"DevEUI_uplink', "m0", "demo/key/1"),
        ("x" * 15, "m1", "demo/key/1"),
    ]
    statistics = services.statistics
    assert statistics.counters(TENANT, ID, minute, minute) == {minute: {"uplinksDelivered": 2, "uplinksFailed": 1}}
    assert statistics.active_devices(TENANT, ID, minute, minute) == 1
    assert [server.as_id for server in services.application_server_store.of_tenant(TENANT)] == ["as"]
    assert services.ledger.was_sent("message")
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


@release
def test_queue_bodies_of_the_release_are_read(services: Services, folder: Path) -> None:
    wakes = [Wake.model_validate_json(body) for body in bodies(folder, "wakes")]
    assert sorted(wakes, key=repr) == sorted(WAKES, key=repr)
    assert [PollJob.model_validate_json(body) for body in bodies(folder, "polls")] == [POLL_JOB]
    assert [DownlinkJob.model_validate_json(body) for body in bodies(folder, "downlinks.fifo")] == [DOWNLINK_JOB]
    services.uplink_queues.create(ID)
    (message,) = content(folder, "messages")[UPLINKS]
    services.sqs.send_message(
        QueueUrl=services.sqs.get_queue_url(QueueName=services.settings.queue(UPLINKS))["QueueUrl"],
        MessageBody=message["Body"],
        MessageAttributes=message["MessageAttributes"],
        MessageGroupId=DEVICE,
        MessageDeduplicationId="d",
    )
    (report,) = services.uplink_queues.receive(ID, 10)
    assert (report.body, report.message_id) == ("\uffff", "m")


def shape(value: Any) -> Any:
    """Return the names and the types of a JSON value, with the shape of one element for a list."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value[:1]]
    return type(value).__name__


def assert_needed(needed: Any, written: Any, *, strict: bool, place: str) -> None:
    """Check that ``written`` has all names of ``needed`` and, for a strict reader, no others."""
    if isinstance(needed, dict) and isinstance(written, dict):
        assert needed.keys() <= written.keys(), place
        assert not strict or needed.keys() == written.keys(), f"{place}: a strict release refuses new fields"
        for name, member in needed.items():
            assert_needed(member, written[name], strict=strict, place=f"{place}/{name}")
    elif isinstance(needed, list) and isinstance(written, list) and needed:
        assert_needed(needed[0], written[0], strict=strict, place=place)
    else:
        assert needed == written, place


@release
def test_items_of_this_release_have_what_the_earlier_release_needs(folder: Path, golden: dict[str, Any]) -> None:
    for table, items in content(folder, "items").items():
        assert len(items) == len(golden["items"][table]), table
        for old, new in zip(items, golden["items"][table], strict=True):
            # An attribute of an item is no field of a strict document.
            assert_needed(shape(old), shape(new), strict=False, place=table)
            if "configuration" in old:
                strict = folder.name in STRICT
                assert_needed(shape(old["configuration"]), shape(new["configuration"]), strict=strict, place=table)
                alarms = [shape(json.loads(item["alarms"]["S"])) for item in (old, new)]
                assert_needed(*alarms, strict=strict, place="alarms")


@release
def test_messages_of_this_release_have_what_the_earlier_release_needs(folder: Path, golden: dict[str, Any]) -> None:
    for queue, messages in content(folder, "messages").items():
        for old, new in zip(messages, golden["messages"][queue], strict=True):
            assert_needed(
                shape(old.get("MessageAttributes")), shape(new.get("MessageAttributes")), strict=False, place=queue
            )
            if queue != UPLINKS:
                documents = [shape(json.loads(message["Body"])) for message in (old, new)]
                assert_needed(*documents, strict=folder.name in STRICT, place=queue)


@pytest.fixture
def golden(services: Services) -> dict[str, Any]:
    """The samples of this release."""
    made = Services(services.settings, lambda: NOW)
    return samples(made)

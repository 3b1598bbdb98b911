"""Samples of releases and of the next one (``tests/golden``): this release reads them, and writes what they need."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.aws.devices.minutes import MOST
from chalicelib.adapters.aws.drivers.codec import LambdaCodec
from chalicelib.domain.work_items import DownlinkJob, PollJob, read_wake
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import last_id
from chalicelib.kernel.times import iso_time
from tests.functional.doubles import CodecFunction
from tests.golden.samples import (
    CODE,
    DEVICE,
    DOWNLINK_JOB,
    FOLDER,
    ID,
    INACTIVE_ID,
    LOG,
    NOW,
    POLL_JOB,
    TENANT,
    UNFINISHED_ID,
    WAKES,
    codec_jobs,
    connection,
    driver,
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
CODECS = [path for path in RELEASES if (path / "codec.json").exists()]
with_codec = pytest.mark.parametrize("folder", CODECS, ids=lambda path: path.name)


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def bodies(folder: Path, queue: str) -> list[str]:
    return [message["Body"] for message in content(folder, "messages")[queue]]


def restore(services: Services, folder: Path) -> None:
    """Put the items of a release into the tables."""
    for table, items in content(folder, "items").items():
        for item in items:
            values = {name: sdk_value(value) for name, value in item.items()}
            services.dynamodb.put_item(TableName=services.settings.table(table), Item=values)


def sdk_value(value: dict[str, Any]) -> dict[str, Any]:
    if "BS" in value:
        return {"BS": [base64.b64decode(each) for each in value["BS"]]}
    return {"B": base64.b64decode(value["B"])} if "B" in value else value


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
    drivers = list(services.driver_store.of_tenant(TENANT))
    assert drivers == ([driver()] if "drivers" in content(folder, "items") else [])
    assert [services.driver_store.code(each) for each in drivers] == [CODE] * len(drivers)
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
    devices = 1 if "devices" not in counters_of(folder) else MOST + 2
    assert statistics.active_devices(TENANT, ID, minute, minute) == devices
    log = [] if "log" not in counters_of(folder) else LOG
    assert sorted(services.message_log.entries(TENANT, ID, minute, minute), key=repr) == sorted(log, key=repr)
    totals = {minute: {"uplinksDelivered": 2, "uplinksFailed": 1}} if log else {}
    assert statistics.totals(TENANT, minute, minute) == totals
    assert [server.as_id for server in services.application_server_store.of_tenant(TENANT)] == ["as"]
    assert services.ledger.was_sent("message")
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


def counters_of(folder: Path) -> dict[str, Any]:
    """Return the item of a minute's counters."""
    items = content(folder, "items")["statistics"]
    return next(item for item in items if item["connection"]["S"] == f"{TENANT}#{ID}")


@release
def test_queue_bodies_of_the_release_are_read(services: Services, folder: Path) -> None:
    messages = content(folder, "messages")["wakes"]
    reports = [each.get("MessageAttributes", {}).get("report", {}).get("StringValue", "") for each in messages]
    wakes = [read_wake(each["Body"], report) for each, report in zip(messages, reports, strict=True)]
    expected = [wake if any(reports) else wake.model_copy(update={"report": None}) for wake in WAKES]
    assert sorted(wakes, key=repr) == sorted(expected, key=repr)
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
    chosen = (flow().driver, flow().connectors[0].uplink_time_validity)
    assert (report.driver, report.validity) == (chosen if "driver" in message["MessageAttributes"] else (None, None))


def without_times(value: Any) -> Any:
    """Return a response of the codec without the milliseconds of its answers."""
    answers = [{name: each[name] for name in each if name != "milliseconds"} for each in value.get("answers", [])]
    return value | {"answers": answers} if answers else value


class Recorded:
    """A client of Lambda that answers as an earlier release did. Records the requests."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        self._responses = [call["response"] for call in calls]
        self.requests: list[Any] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: ARG002, N803  # boto3's names
        self.requests.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(self._responses[len(self.requests) - 1]).encode())}


@with_codec
def test_codec_answers_a_forwarder_of_the_release(functions: CodecFunction, folder: Path) -> None:
    for call in content(folder, "codec"):
        response = functions.handler.handle(call["request"])
        assert without_times(response) == without_times(call["response"])


@with_codec
def test_forwarder_reads_the_answers_of_a_codec_of_the_release(folder: Path) -> None:
    # Given
    calls = content(folder, "codec")
    recorded = Recorded(calls)

    # When
    compiled, decoded, whole, failed, encoded, refused = LambdaCodec(recorded, "codec").run(
        codec_jobs(), lambda _: CODE
    )

    # Then
    assert (compiled.fault, decoded.data) == (None, '{"first":42,"port":2,"é":"ü"}')
    assert (whole.console, decoded.warnings) == ([iso_time(NOW)], ["a warning"])
    assert whole.result is not None
    assert (failed.fault, failed.line) == ("empty (line 3)", 3)
    assert (encoded.bytes, encoded.f_port) == ("[1,255]", "7")
    assert refused.errors == ["bad"]
    # Then: the requests have what the codec of the release needs
    for call, request in zip(calls, recorded.requests, strict=True):
        assert_needed(shape(call["request"]), shape(request), strict=False, place="codec")


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


def kind(item: dict[str, Any]) -> str:
    """Return the kind of an item by its partition: a later release may add kinds to a table of its predecessor."""
    name = item.get("connection", {}).get("S", "").split("#", 1)[-1]
    return "totals" if name.startswith("*") else name


@release
def test_items_of_this_release_have_what_the_earlier_release_needs(folder: Path, golden: dict[str, Any]) -> None:
    for table, items in content(folder, "items").items():
        kinds = {kind(item) for item in items}
        written = [item for item in golden["items"][table] if kind(item) in kinds]
        assert len(items) == len(written), table
        for old, new in zip(items, written, strict=True):
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
                shape(old.get("MessageAttributes", {})),
                shape(new.get("MessageAttributes", {})),
                strict=False,
                place=queue,
            )
            if queue != UPLINKS:
                documents = [shape(json.loads(message["Body"])) for message in (old, new)]
                assert_needed(*documents, strict=folder.name in STRICT, place=queue)


@pytest.fixture
def golden(services: Services) -> dict[str, Any]:
    """The samples of this release."""
    made = Services(services.settings, lambda: NOW)
    return samples(made)

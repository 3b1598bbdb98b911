"""The connections' queues against moto: reports as another release may store them."""

from chalicelib.entry.services import Services
from chalicelib.kernel.ids import new_id


def test_report_without_readable_attributes_is_received(services: Services) -> None:
    # Given a report without attributes, and one whose encoding is not the one that it names
    connection_id = new_id(1_764_000_000)
    services.uplink_queues.create(connection_id)
    url = services.sqs.get_queue_url(QueueName=services.settings.queue(f"uplinks-{connection_id}.fifo"))["QueueUrl"]
    plain = services.sqs.send_message(
        QueueUrl=url, MessageBody='{"a": 1}', MessageGroupId="1", MessageDeduplicationId="1"
    )
    services.sqs.send_message(
        QueueUrl=url,
        MessageBody="no base64",
        MessageGroupId="2",
        MessageDeduplicationId="2",
        MessageAttributes={
            "messageId": {"DataType": "String", "StringValue": "second"},
            "encoding": {"DataType": "String", "StringValue": "base64"},
        },
    )

    # When
    received = services.uplink_queues.receive(connection_id, 10)

    # Then
    assert [(report.message_id, report.body) for report in received] == [
        (plain["MessageId"], '{"a": 1}'),
        ("second", "no base64"),
    ]


def test_report_keeps_the_driver_and_the_validity_of_its_flow(services: Services) -> None:
    connection_id = new_id(1_764_000_000)
    services.uplink_queues.create(connection_id)
    for group, flow in (("1", {"driver": "actility:auto:1", "validity": "72h"}), ("2", {"driver": "a:b:1"}), ("3", {})):
        services.uplink_queues.send(
            connection_id, body="{}", group=group, message_id=group, deduplication_id=group, **flow
        )
    received = services.uplink_queues.receive(connection_id, 10)
    assert sorted((report.group, report.driver, report.validity) for report in received) == [
        ("1", "actility:auto:1", "72h"),
        ("2", "a:b:1", None),
        ("3", None, None),
    ]


def test_report_is_received_with_its_summary(services: Services) -> None:
    # Given bodies that SQS takes and does not take as they are
    connection_id = new_id(1_764_000_000)
    services.uplink_queues.create(connection_id)
    for name, body, summary in (("a", "{}", '{"x": "\\u0000"}'), ("b", "\ufffe", "{}"), ("c", "{}", None)):
        services.uplink_queues.send(
            connection_id, body=body, group=name, message_id=name, deduplication_id=name, summary=summary
        )

    # When
    received = services.uplink_queues.receive(connection_id, 10)

    # Then
    assert [(report.body, report.summary) for report in received] == [
        ("{}", '{"x": "\\u0000"}'),
        ("\ufffe", "{}"),
        ("{}", None),
    ]

"""SQS's JSON protocol as a WSGI application, over queues that keep SQS's guarantees.

It replaces the SQS of moto's server (see ``aws``), which answers 50 sends per second and reorders groups. It refuses
redrive policies, message move tasks and permissions. It does not enforce the 60 s between two purges, or between the
deletion and creation of a queue.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from infra.local.sqs.answers import Received
from infra.local.sqs.queue import ACCOUNT, LARGEST_BATCH, ApiError, Queue

_TARGET = "AmazonSQS."
_LARGEST_REQUEST = 1048576
_ENTRY_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
_CREDENTIAL = re.compile(r"Credential=[^/]*/[^/]*/([^/]+)/")

Document = dict[str, Any]


class Sqs:
    """The queues of every region, and the actions of the API on them."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], Queue] = {}
        self._lock = threading.Lock()
        self._actions: dict[str, Callable[[Document, str, str], Document]] = {
            "CreateQueue": self._create_queue,
            "GetQueueUrl": self._get_queue_url,
            "ListQueues": self._list_queues,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._on_queue(self._get_attributes),
            "SetQueueAttributes": self._on_queue(self._set_attributes),
            "PurgeQueue": self._on_queue(self._purge),
            "SendMessage": self._on_queue(self._send),
            "SendMessageBatch": self._on_queue(self._send_batch),
            "ReceiveMessage": self._on_queue(self._receive),
            "DeleteMessage": self._on_queue(self._delete),
            "DeleteMessageBatch": self._on_queue(self._each(self._delete)),
            "ChangeMessageVisibility": self._on_queue(self._change_visibility),
            "ChangeMessageVisibilityBatch": self._on_queue(self._each(self._change_visibility)),
            "TagQueue": self._on_queue(self._tag),
            "UntagQueue": self._on_queue(self._untag),
            "ListQueueTags": self._on_queue(lambda queue, _: {"Tags": queue.tags}),
        }

    @staticmethod
    def is_meant(environment: WSGIEnvironment) -> bool:
        """True for a request of SQS's JSON protocol."""
        return str(environment.get("HTTP_X_AMZ_TARGET", "")).startswith(_TARGET)

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        try:
            answer = self._answer(environment, json.loads(body or b"{}"))
            status = "200 OK"
        except ApiError as error:
            answer = {"__type": f"com.amazonaws.sqs#{error.shape}", "message": str(error)}
            headers.append(("x-amzn-query-error", f"{error.query_code};Sender"))
            status = "400 Bad Request"
        content = json.dumps(answer).encode()
        headers.append(("Content-Length", str(len(content))))
        start_response(status, headers)
        return [content]

    def _answer(self, environment: WSGIEnvironment, request: Document) -> Document:
        name = environment["HTTP_X_AMZ_TARGET"].removeprefix(_TARGET)
        action = self._actions.get(name)
        if action is None:
            raise ApiError("UnsupportedOperation", f"{name} is not emulated.")
        signed = _CREDENTIAL.search(environment.get("HTTP_AUTHORIZATION", ""))
        return action(request, signed[1] if signed else "us-east-1", environment["HTTP_HOST"])

    def _queue(self, region: str, name: str) -> Queue:
        queue = self._queues.get((region, name))
        if queue is None:
            raise ApiError("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    def _on_queue(self, action: Callable[[Queue, Document], Document]) -> Callable[[Document, str, str], Document]:
        def find_and_act(request: Document, region: str, _host: str) -> Document:
            return action(self._queue(region, _name_of(request)), request)

        return find_and_act

    @staticmethod
    def _each(action: Callable[[Queue, Document], Document]) -> Callable[[Queue, Document], Document]:
        """A batch of an action with an empty answer. Each entry succeeds or fails independently."""

        def batch(queue: Queue, request: Document) -> Document:
            successful, failed = [], []
            for entry in _entries(request):
                try:
                    action(queue, entry)
                    successful.append({"Id": entry["Id"]})
                except ApiError as error:
                    failed.append(_failed(entry, error))
            return {"Successful": successful, "Failed": failed}

        return batch

    def _create_queue(self, request: Document, region: str, host: str) -> Document:
        name, attributes = request["QueueName"], request.get("Attributes") or {}
        with self._lock:
            existing = self._queues.get((region, name))
            if existing is None:
                self._queues[region, name] = Queue(name, region, attributes, request.get("tags") or {})
            elif not existing.has(attributes):
                raise ApiError("QueueNameExists", "A queue already exists with the same name and a different value.")
        return {"QueueUrl": _url(host, name)}

    def _get_queue_url(self, request: Document, region: str, host: str) -> Document:
        return {"QueueUrl": _url(host, self._queue(region, request["QueueName"]).name)}

    def _list_queues(self, request: Document, region: str, host: str) -> Document:
        prefix, after = request.get("QueueNamePrefix") or "", request.get("NextToken") or ""
        limit = int(request.get("MaxResults") or 1000)
        with self._lock:
            names = sorted(name for where, name in self._queues if where == region and name.startswith(prefix))
        names = [name for name in names if name > after]
        answer: Document = {"QueueUrls": [_url(host, name) for name in names[:limit]]}
        if len(names) > limit and request.get("MaxResults"):
            answer["NextToken"] = names[limit - 1]
        return answer

    def _delete_queue(self, request: Document, region: str, _host: str) -> Document:
        with self._lock:
            self._queue(region, _name_of(request)).engine.close()
            del self._queues[region, _name_of(request)]
        return {}

    @staticmethod
    def _get_attributes(queue: Queue, request: Document) -> Document:
        return {"Attributes": queue.describe(request.get("AttributeNames") or [])}

    @staticmethod
    def _set_attributes(queue: Queue, request: Document) -> Document:
        queue.configure(request.get("Attributes") or {})
        return {}

    @staticmethod
    def _purge(queue: Queue, _request: Document) -> Document:
        queue.engine.purge()
        return {}

    @staticmethod
    def _send(queue: Queue, request: Document) -> Document:
        sent = queue.send(request)
        answer = {"MessageId": sent.message_id, "MD5OfMessageBody": _md5(request["MessageBody"])}
        if queue.fifo:
            answer["SequenceNumber"] = sent.sequence_number
        return answer

    def _send_batch(self, queue: Queue, request: Document) -> Document:
        entries = _entries(request)
        length = sum(len(entry["MessageBody"].encode()) for entry in entries)
        if length > _LARGEST_REQUEST:
            raise ApiError("BatchRequestTooLong", f"Batch requests cannot be longer than {_LARGEST_REQUEST} bytes.")
        successful, failed = [], []
        for entry in entries:
            try:
                successful.append({"Id": entry["Id"], **self._send(queue, entry)})
            except ApiError as error:
                failed.append(_failed(entry, error))
        return {"Successful": successful, "Failed": failed}

    def _receive(self, queue: Queue, request: Document) -> Document:
        received = queue.receive(request)
        return {"Messages": [_message(each, request) for each in received]} if received else {}

    @staticmethod
    def _delete(queue: Queue, request: Document) -> Document:
        queue.delete(request["ReceiptHandle"])
        return {}

    @staticmethod
    def _change_visibility(queue: Queue, request: Document) -> Document:
        queue.change_visibility(request["ReceiptHandle"], int(request.get("VisibilityTimeout") or 0))
        return {}

    @staticmethod
    def _tag(queue: Queue, request: Document) -> Document:
        queue.tags.update(request["Tags"])
        return {}

    @staticmethod
    def _untag(queue: Queue, request: Document) -> Document:
        for key in request["TagKeys"]:
            queue.tags.pop(key, None)
        return {}


def _url(host: str, name: str) -> str:
    return f"http://{host}/{ACCOUNT}/{name}"


def _name_of(request: Mapping[str, Any]) -> str:
    return str(request["QueueUrl"]).rsplit("/", 1)[-1]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _failed(entry: Document, error: ApiError) -> Document:
    return {"Id": entry["Id"], "SenderFault": True, "Code": error.query_code, "Message": str(error)}


def _entries(request: Document) -> list[Document]:
    """The entries of a batch. Raises the errors that AWS raises before it processes any entry."""
    entries: list[Document] = request.get("Entries") or []
    identifiers = [entry["Id"] for entry in entries]
    if not entries:
        raise ApiError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > LARGEST_BATCH:
        raise ApiError("TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {LARGEST_BATCH}.")
    if len(set(identifiers)) < len(identifiers):
        raise ApiError("BatchEntryIdsNotDistinct", "Two entries have the same Id.")
    if not all(_ENTRY_ID.fullmatch(each) for each in identifiers):
        raise ApiError("InvalidBatchEntryId", "An Id is 1 to 80 letters, digits, hyphens and underscores.")
    return entries


def _message(received: Received, request: Document) -> Document:
    message: Document = {
        "MessageId": received.message_id,
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": _md5(received.body),
        "Body": received.body,
    }
    system = {
        "SenderId": "AIDAIT2UOQQY3AUEKVGXU",
        "SentTimestamp": str(int(received.sent_at * 1000)),
        "ApproximateReceiveCount": str(received.receive_count),
        "ApproximateFirstReceiveTimestamp": str(int(received.first_received_at * 1000)),
    }
    if received.group is not None:
        system["MessageGroupId"] = received.group
    if received.deduplication_id is not None:
        system |= {"MessageDeduplicationId": received.deduplication_id, "SequenceNumber": received.sequence_number}
    wanted = {*(request.get("AttributeNames") or []), *(request.get("MessageSystemAttributeNames") or [])}
    if chosen := {key: value for key, value in system.items() if key in wanted or "All" in wanted}:
        message["Attributes"] = chosen
    names = request.get("MessageAttributeNames") or []
    if own := {key: value for key, value in received.attributes.items() if _is_wanted(key, names)}:
        message["MessageAttributes"] = own
    return message


def _is_wanted(key: str, names: list[str]) -> bool:
    return any(name in ("All", key) or (name.endswith(".*") and key.startswith(name[:-2])) for name in names)

"""Counts the AWS calls of a process, and the units that AWS bills for them."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from infra.costs.prices import Unit
from infra.local.aws import data_stack

_SQS_UNIT = 64 * 1024
"""Bytes of a request that SQS bills as one."""
_WRITE_UNIT, _READ_UNIT = 1024, 4096
_KEY = "infra.costs"
Values = Mapping[str, Any]


class Meter:
    """Calls and billed units of the clients that it listens to.

    ``plain``: a DynamoDB client that nothing listens to. It reads the items whose size an update's price depends on.
    """

    def __init__(self, plain: Any, prefix: str) -> None:
        self._plain = plain
        self.calls: Counter[str] = Counter()
        self.units: dict[Unit, float] = defaultdict(float)
        self._keys: dict[str, list[str]] = {}
        self._indexes: dict[str, list[list[str]]] = {}
        for resource in data_stack.resources(prefix).values():
            properties = resource["Properties"]
            if "TableName" in properties:
                name = properties["TableName"]
                self._keys[name] = _names(properties)
                self._indexes[name] = [_names(index) for index in properties.get("GlobalSecondaryIndexes", [])]

    def listen(self, *clients: Any) -> None:
        """Count the calls of these clients from now on."""
        for client in clients:
            client.meta.events.register("before-parameter-build.*.*", self._remember)
            client.meta.events.register("after-call.*.*", self._count)

    def take(self) -> tuple[Counter[str], dict[Unit, float]]:
        """Return the calls and units since the last call of this method."""
        taken = self.calls, self.units
        self.calls, self.units = Counter(), defaultdict(float)
        return taken

    @staticmethod
    def _remember(params: Values, context: dict[str, Any], **_: Any) -> None:
        context[_KEY] = params

    def _count(self, parsed: Values, model: Any, context: Values, **_: Any) -> None:
        parameters = context[_KEY]
        service = model.service_model.service_name
        if service == "sqs":
            is_fifo = str(parameters.get("QueueUrl", "")).endswith(".fifo")
            self.calls[f"sqs.{model.name}{' (FIFO)' if is_fifo else ''}"] += 1
            self.units[Unit.SQS_FIFO if is_fifo else Unit.SQS_STANDARD] += _sqs_requests(parameters, parsed)
            return
        self.calls[f"{service}.{model.name}"] += 1
        if service == "secretsmanager":
            self.units[Unit.SECRET_CALL] += 1
        elif service == "dynamodb":
            self._count_dynamodb(model.name, parameters, parsed)

    def _count_dynamodb(self, operation: str, parameters: Values, parsed: Values) -> None:
        match operation:
            case "GetItem":
                self.units[Unit.READ] += _read_units([parsed.get("Item", {})], parameters)
            case "BatchGetItem":
                for table, request in parameters["RequestItems"].items():
                    found = parsed.get("Responses", {}).get(table, [])
                    missing = len(request["Keys"]) - len(found)
                    self.units[Unit.READ] += sum(_read_units([item], request) for item in [*found, *[{}] * missing])
            case "Query":
                # A query is billed by the sum of its items.
                self.units[Unit.READ] += _read_units(parsed.get("Items", []), parameters)
            case "PutItem":
                self._count_write(parameters["TableName"], parameters["Item"])
            case "UpdateItem" | "DeleteItem":
                table = parameters["TableName"]
                self._count_write(table, self._plain.get_item(TableName=table, Key=parameters["Key"]).get("Item", {}))
            case _:
                raise NotImplementedError(f"{operation} has no price here. Add it to the meter.")

    def _count_write(self, table: str, item: Values) -> None:
        units = max(1, math.ceil(item_size(item) / _WRITE_UNIT))
        # An index with all attributes is written with each change of an item that it contains.
        indexes = sum(all(name in item for name in names) for names in self._indexes[table])
        self.units[Unit.WRITE] += units * (1 + indexes)


def item_size(item: Values) -> int:
    """Return the size of an item in DynamoDB's format, in bytes, as DynamoDB counts it."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Values) -> int:  # noqa: PLR0911  # one return for each type
    ((kind, inner),) = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return len(inner) // 2 + 2
        case "B":
            return len(inner)
        case "SS":
            return sum(len(each.encode()) for each in inner)
        case "BS":
            return sum(len(each) for each in inner)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_size(each) for name, each in inner.items())
        case "L":
            return 3 + sum(1 + _value_size(each) for each in inner)
        case _:
            return 1


def _read_units(items: list[Any], request: Values) -> float:
    units = max(1, math.ceil(sum(map(item_size, items)) / _READ_UNIT))
    return units if request.get("ConsistentRead") else units / 2


def _sqs_requests(parameters: Values, parsed: Values) -> int:
    entries = [parameters, *parameters.get("Entries", [])]
    sent = sum(len(entry.get("MessageBody", "").encode()) for entry in entries)
    received = sum(len(message["Body"].encode()) for message in parsed.get("Messages", []))
    return max(1, math.ceil((sent + received) / _SQS_UNIT))


def _names(schema: Values) -> list[str]:
    return [element["AttributeName"] for element in schema["KeySchema"]]

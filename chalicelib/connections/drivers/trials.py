"""Trials of drivers: compilation, single calls, and examples with their comparison."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from chalicelib.domain.drivers.driver import MAX_CODE, Driver, Operation, Signature, code_hash
from chalicelib.domain.drivers.examples import OPERATIONS, differences
from chalicelib.domain.drivers.results import encoded
from chalicelib.domain.drivers.validation import code_violations
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import violations_of
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.kernel.documents import Document
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.drivers import COMPILE, Codec, CodecAnswer, CodecJob, DriverStore

MAX_EXAMPLES = 200
_HEX = r"^([0-9A-Fa-f]{2})*$"
_Bytes = Annotated[str, Field(pattern=_HEX, max_length=2048, description="the payload in hexadecimal digits")]
_Port = Annotated[int | None, Field(ge=0, le=255)]


class DecodeRequest(Document):
    """A payload to decode. ``recvTime`` is the current time by default."""

    bytes: _Bytes
    f_port: _Port = None
    recv_time: str | None = Field(default=None, max_length=64)
    thing: dict[str, Any] | None = Field(default=None, description="the device, as the driver may read it")


class EncodeRequest(Document):
    """An object to encode; ``variables`` are those of the signature chirpstack."""

    data: dict[str, Any]
    f_port: _Port = None
    variables: dict[str, Any] | None = None


class Example(Document):
    """An example in the format of the public device catalogue; its other members are ignored."""

    type: Literal["uplink", "downlink", "downlink-encode", "downlink-decode"]
    description: str = ""
    input: dict[str, Any]
    output: Any = None


class TestRequest(Document):
    """Code that is not saved, with one call, examples, or both. ``operation``: decodeUplink by default, encodeDownlink
    with ``data``."""

    __test__ = False

    code: str = Field(min_length=1, max_length=MAX_CODE)
    signature: Signature = Signature.LORA_ALLIANCE
    operation: Operation | None = None
    bytes: _Bytes | None = None
    f_port: _Port = None
    recv_time: str | None = Field(default=None, max_length=64)
    thing: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    variables: dict[str, Any] | None = None
    examples: list[Example] = Field(default=[], max_length=MAX_EXAMPLES)


class Decoded(Document):
    """The result of a decoder. ``data`` is null if there are errors."""

    data: Any
    warnings: list[str]
    errors: list[str]
    milliseconds: float


class EncodedDownlink(Document):
    """The result of an encoder. ``bytes`` is null if there are errors."""

    bytes: str | None
    f_port: int | None
    warnings: list[str]
    errors: list[str]
    milliseconds: float


class ExampleResult(Document):
    """An example and whether the driver gave its output. Differences have ``pointer``, ``expected`` and ``actual``."""

    type: str
    description: str
    passed: bool
    expected: Any
    actual: Any
    differences: list[dict[str, Any]]
    errors: list[str]
    milliseconds: float


class TestResult(Document):
    """The result of the call, if there was one, what it wrote to the console, and the results of the examples."""

    __test__ = False

    data: Any = None
    bytes: str | None = None
    f_port: int | None = None
    warnings: list[str] = Field(default=[])
    errors: list[str] = Field(default=[])
    milliseconds: float = 0.0
    console: list[str] = Field(default=[])
    examples: list[ExampleResult] = Field(default=[])


class Trials:
    """Runs drivers for the API. Nothing is stored."""

    def __init__(self, codec: Codec, store: DriverStore, clock: Clock) -> None:
        self._codec = codec
        self._store = store
        self._clock = clock

    def check(self, code: str) -> None:
        """Compile code. Raises InvalidRequest with line and column for a syntax error, Unavailable."""
        [answer] = self._codec.run([CodecJob(code_hash(code), "", COMPILE)], lambda _: code)
        if answer.failure is not None:
            where = "" if answer.line is None else f" (line {answer.line}, column {answer.column})"
            detail = f"{answer.failure}{where}. Correct the code."
            raise InvalidRequest([Violation("/code", detail, answer.line, answer.column)])

    def decode(self, tenant: str, driver_id: str, operation: Operation, document: Any) -> Decoded:
        """Decode a payload with a saved driver. Raises NotFound, InvalidRequest, Unavailable."""
        driver = self._store.find(tenant, driver_id)
        request = _parse(DecodeRequest, document)
        answer = self._run(driver, operation, self._input(request))
        return Decoded(
            data=None if answer.data is None else json.loads(answer.data),
            warnings=list(answer.warnings),
            errors=_errors(answer),
            milliseconds=answer.milliseconds,
        )

    def encode(self, tenant: str, driver_id: str, document: Any) -> EncodedDownlink:
        """Encode an object with a saved driver. Raises NotFound, InvalidRequest, Unavailable."""
        driver = self._store.find(tenant, driver_id)
        request = _parse(EncodeRequest, document)
        answer = self._run(driver, Operation.ENCODE_DOWNLINK, _given(request))
        payload, port, errors = _encoded(answer)
        return EncodedDownlink(
            bytes=payload,
            f_port=port,
            warnings=list(answer.warnings),
            errors=errors,
            milliseconds=answer.milliseconds,
        )

    def test(self, document: Any) -> TestResult:
        """Run code that is not saved. Raises InvalidRequest, also for a syntax error, or Unavailable."""
        request = _parse(TestRequest, _without_extra_members(document))
        if violations := code_violations(request.code, "/code"):
            raise InvalidRequest(violations)
        self.check(request.code)
        calls = [] if request.bytes is None and request.data is None else [self._call(request)]
        jobs = calls + [
            CodecJob(code_hash(request.code), request.signature, OPERATIONS[each.type], each.input, whole=True)
            for each in request.examples
        ]
        answers = self._all(jobs, request.code)
        results = [self._result(*pair) for pair in zip(request.examples, answers[len(calls) :], strict=True)]
        if not calls:
            return TestResult(examples=results)
        answer = answers[0]
        payload, port, errors = (None, None, _errors(answer)) if answer.bytes is None else _encoded(answer)
        return TestResult(
            data=None if answer.data is None else json.loads(answer.data),
            bytes=payload,
            f_port=port,
            warnings=list(answer.warnings),
            errors=errors,
            milliseconds=answer.milliseconds,
            console=list(answer.console),
            examples=results,
        )

    def _call(self, request: TestRequest) -> CodecJob:
        operation = request.operation
        if operation is None:
            operation = Operation.DECODE_UPLINK if request.data is None else Operation.ENCODE_DOWNLINK
        given = self._input(request)
        if operation is Operation.ENCODE_DOWNLINK:
            given = _given(EncodeRequest(data=request.data or {}, f_port=request.f_port, variables=request.variables))
        return CodecJob(code_hash(request.code), request.signature, operation, given, console=True)

    def _input(self, request: DecodeRequest | TestRequest) -> dict[str, Any]:
        given = {"bytes": request.bytes or "", "fPort": request.f_port, "thing": request.thing}
        return {name: value for name, value in given.items() if value is not None} | {
            "recvTime": request.recv_time or iso_time(self._clock())
        }

    def _run(self, driver: Driver, operation: Operation, given: Mapping[str, Any]) -> CodecAnswer:
        job = CodecJob(driver.code_hash, driver.signature, operation, given)
        [answer] = self._codec.run([job], lambda _: self._store.code(driver))
        return answer

    def _all(self, jobs: Sequence[CodecJob], code: str) -> list[CodecAnswer]:
        """Return the answers of all jobs, in as many batches as they take."""
        answers: list[CodecAnswer] = []
        while len(answers) < len(jobs):
            answers += self._codec.run(jobs[len(answers) :], lambda _: code)
        return answers

    def _result(self, example: Example, answer: CodecAnswer) -> ExampleResult:
        actual = None if answer.result is None else json.loads(answer.result)
        found = differences(example.output, actual, self._clock(), OPERATIONS[example.type])
        failed = answer.result is None
        return ExampleResult(
            type=example.type,
            description=example.description,
            passed=not found and not failed,
            expected=example.output,
            actual=actual,
            differences=[] if failed else [each.to_json() for each in found],
            errors=[answer.failure] if failed and answer.failure else [],
            milliseconds=answer.milliseconds,
        )


def _given(request: BaseModel) -> dict[str, Any]:
    return {name: value for name, value in request.model_dump(by_alias=True).items() if value is not None}


def _errors(answer: CodecAnswer) -> list[str]:
    return [answer.fault or ""] if answer.failure is not None else list(answer.errors)


def _encoded(answer: CodecAnswer) -> tuple[str | None, int | None, list[str]]:
    if answer.fault is not None or answer.bytes is None:
        return None, None, _errors(answer)
    try:
        result = encoded(answer.bytes, answer.f_port)
    except ValueError as error:
        return None, None, [str(error)]
    return result.payload_hex, result.f_port, []


def _without_extra_members(document: Any) -> Any:
    """Return a test's document with the known members of its examples: those of the catalogue have others, too."""
    if not isinstance(document, dict) or not isinstance(document.get("examples"), list):
        return document
    names = Example.model_fields
    examples = [
        {name: value for name, value in each.items() if name in names} if isinstance(each, dict) else each
        for each in document["examples"]
    ]
    return document | {"examples": examples}


def _parse(model: Any, document: Any) -> Any:
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "The body must be a JSON object; send one.")])
    if surrogates := surrogate_violations(document):
        raise InvalidRequest(surrogates)
    try:
        return model.model_validate_json(json.dumps(document), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidRequest(
            violations_of(error, {"": [field.alias or name for name, field in model.model_fields.items()]})
        ) from None

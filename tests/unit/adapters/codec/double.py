"""A codec in this process."""

from collections.abc import Callable, Sequence

from chalicelib.adapters.codec.engine import CompileError, Sandbox
from chalicelib.errors import Unavailable
from chalicelib.ports.drivers import CodecAnswer, CodecJob


class SandboxCodec:
    """A ``ports.drivers.Codec`` with the real engine, which remembers the code of earlier calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        """The number of jobs of each call."""
        self.down = False
        self.at_once = 1000
        """Jobs after which the time of a call is over."""
        self.on_call: Callable[[], object] = lambda: None
        self._codes: dict[str, str] = {}

    def run(self, jobs: Sequence[CodecJob], code_of: Callable[[str], str]) -> list[CodecAnswer]:
        self.on_call()
        if self.down:
            raise Unavailable("the codec does not answer")
        self.calls.append(len(jobs))
        for job in jobs:
            if job.code_hash not in self._codes:
                self._codes[job.code_hash] = code_of(job.code_hash)
        return [self._run(job) for job in jobs[: self.at_once]]

    def _run(self, job: CodecJob) -> CodecAnswer:
        try:
            sandbox = Sandbox(self._codes[job.code_hash])
        except CompileError as error:
            return CodecAnswer(failure=error.message, line=error.line, column=error.column)
        message = {"signature": job.signature, "operation": job.operation, "input": dict(job.input)}
        answer = sandbox.run(message)
        failure = answer.get("failure") or {}
        return CodecAnswer(
            data=answer.get("data"),
            bytes=answer.get("bytes"),
            f_port=answer.get("fPort"),
            errors=answer.get("errors", ()),
            warnings=answer.get("warnings", ()),
            failure=failure.get("message"),
            line=failure.get("line"),
            milliseconds=answer["milliseconds"],
        )

"""The process that runs drivers: batches, limits that the engine cannot keep, and what it can reach."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.codec.engine import OUT_OF_MEMORY, TIMED_OUT, Sandbox
from chalicelib.adapters.codec.handler import CodecHandler, code_hash
from chalicelib.adapters.codec.processes import KILLED, Worker, WorkerLost
from tests.unit.adapters.codec.cases import HARMLESS, decoder, message

ROOT = Path(__file__).parents[4]
UNSTOPPABLE = decoder("return { data: 'a'.repeat(4e6).indexOf('a'.repeat(2e6) + 'b') };")
"""A search that takes days, in which the engine does not look at its clock."""
LOOP = decoder("while (true) {}")
SLOW = decoder("const t = Date.now(); while (Date.now() - t < 40) {} return { data: 1 };")


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop()


def codes(*all_: str) -> dict[str, str]:
    return {code_hash(code): code for code in all_}


def test_hostile_message_costs_only_itself(worker: Worker) -> None:
    # Given
    order = [HARMLESS, LOOP, HARMLESS, UNSTOPPABLE, HARMLESS]
    messages = [message(code) for code in order]

    # When
    answers = worker.run(messages, codes(*order), 60)

    # Then
    assert [answer.get("data") for answer in answers[::2]] == ['{"bytes":[1,2,255]}'] * 3
    assert answers[1]["failure"]["message"] == TIMED_OUT
    assert answers[3]["failure"]["message"] in {KILLED, TIMED_OUT}


def test_built_in_function_that_the_engine_cannot_stop_ends_the_process(worker: Worker) -> None:
    worker.start()
    first = worker.pid
    [answer] = worker.run([message(UNSTOPPABLE)], codes(UNSTOPPABLE), 60)
    assert answer["failure"]["message"] == KILLED
    assert worker.run([message(HARMLESS)], codes(HARMLESS), 60)[0]["data"]
    assert worker.pid not in {first, None}


def test_process_that_was_killed_is_replaced(worker: Worker) -> None:
    # Given
    worker.start()
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    # Then
    assert "data" in worker.run([message(HARMLESS)], codes(HARMLESS), 60)[0]
    assert worker.pid != pid


def child_of(worker: Worker, after: int = 0) -> int:
    """Return the process id of the child that waits for a batch, when it is another one than ``after``."""
    path = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    until = time.monotonic() + 20
    while not (found := [int(each) for each in path.read_text(encoding="ascii").split() if int(each) != after]):
        assert time.monotonic() < until
        time.sleep(0.001)
    return found[0]


def test_message_is_not_blamed_for_a_process_that_was_killed(worker: Worker) -> None:
    # Given: a child that cannot answer
    worker.start()
    frozen = child_of(worker)
    os.kill(frozen, signal.SIGSTOP)
    killing = threading.Timer(0.3, os.kill, (frozen, signal.SIGKILL))

    # When
    killing.start()
    with pytest.raises(WorkerLost):
        worker.run([message(HARMLESS)], codes(HARMLESS), 60)

    # Then
    killing.join()
    assert "data" in worker.run([message(HARMLESS)], codes(HARMLESS), 60)[0]


def test_each_batch_runs_in_a_process_of_its_own(worker: Worker) -> None:
    # Given
    worker.start()
    first, process = child_of(worker), worker.pid
    # When
    worker.run([message(HARMLESS)] * 3, codes(HARMLESS), 60)
    # Then: the next child never saw the first batch
    assert child_of(worker, after=first)
    assert worker.pid == process
    assert not Path(f"/proc/{first}").exists()


def test_child_ends_with_its_parent(worker: Worker) -> None:
    worker.start()
    child, parent = child_of(worker), worker.pid
    assert parent is not None
    os.kill(parent, signal.SIGKILL)
    os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
    until = time.monotonic() + 20
    while Path(f"/proc/{child}/stat").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_batch_ends_after_its_time_and_reports_what_it_did(worker: Worker) -> None:
    messages = [message(SLOW)] * 50
    answers = worker.run(messages, codes(SLOW), 0.2)
    assert 0 < len(answers) < 50
    assert all("data" in answer or answer["failure"]["message"] == TIMED_OUT for answer in answers)
    rest = worker.run(messages[len(answers) :], codes(SLOW), 0.2)
    assert len(rest) > 0


def test_one_message_is_run_however_little_time_is_left(worker: Worker) -> None:
    assert len(worker.run([message(HARMLESS)] * 3, codes(HARMLESS), 0.0)) >= 1


def test_syntax_error_is_the_answer_of_each_message_and_of_a_compilation(worker: Worker) -> None:
    code = "function ("
    answers = worker.run([message(code), message(code, "compile")], codes(code), 60)
    assert [answer["failure"]["line"] for answer in answers] == [1, 1]
    assert "failure" not in worker.run([message(HARMLESS, "compile")], codes(HARMLESS), 60)[0]


def test_drivers_of_one_batch_do_not_share_globals(worker: Worker) -> None:
    one = decoder("Array.prototype.seen = 1; return { data: 1 };")
    other = decoder("return { data: typeof [].seen };")
    answers = worker.run([message(one), message(other)] * 2, codes(one, other), 60)
    assert [answer["data"] for answer in answers] == ["1", '"undefined"'] * 2


def test_memory_is_given_back_after_hostile_batches(worker: Worker) -> None:
    def resident() -> int:
        status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    # Given
    greedy = decoder("const all = []; while (true) all.push('x'.repeat(1e5) + all.length);")
    worker.run([message(HARMLESS)], codes(HARMLESS), 60)
    before = resident()

    # When
    for _ in range(10):
        worker.run([message(greedy), message(HARMLESS)], codes(greedy, HARMLESS), 60)

    # Then: kilobytes
    assert resident() - before < 20_000


def test_process_has_no_environment_and_no_file_of_its_parent(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    worker.start()
    for pid in (child_of(worker), worker.pid):
        names = [line.split(b"=")[0] for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if line]
        assert names == [b"PYTHONPATH"]
        assert sorted(each.name for each in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]


ATTEMPTS = """
import ctypes, os, resource, signal, socket, sys
from chalicelib.adapters.codec.confinement import confine
from chalicelib.adapters.codec.engine import Sandbox
filtered = confine()
library = ctypes.CDLL(None, use_errno=True)
def call(name, *values):
    if getattr(library, name)(*values) < 0:
        raise OSError(ctypes.get_errno(), name)
attempts = {
    "open a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "write a file": lambda: os.open("/tmp/codec-was-here", os.O_CREAT | os.O_WRONLY),
    "list processes": lambda: os.listdir("/proc"),
    "open a socket": lambda: socket.socket(),
    "duplicate a descriptor": lambda: os.dup(1),
    "make a process": lambda: os.fork(),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "trace the parent": lambda: call("ptrace", 16, os.getppid(), 0, 0),
    "read the parent's memory": lambda: call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "change its user": lambda: os.setuid(12345),
    "make a namespace": lambda: call("unshare", 0x10000000),
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, ValueError):
        continue
    done.append(name)
job = {"signature": "lora-alliance", "operation": "decodeUplink", "input": {"bytes": "01"}}
answer = Sandbox("function decodeUplink(i) { return { data: i.bytes }; }").run(job)
print(filtered, done, answer["data"], flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not filter system calls")
def test_compromised_engine_can_reach_nothing() -> None:
    # Given: code that runs in the process itself, as after a fault of the engine
    answer = subprocess.run(
        [sys.executable, "-c", ATTEMPTS],
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )

    # Then: the engine still works
    assert answer.stdout.strip() == "True [] [1]", answer.stderr


SWEEP = """
import ctypes, errno, os
from chalicelib.adapters.codec import confinement
allowed = set(confinement._CALLS[os.uname().machine])
call = ctypes.CDLL(None, use_errno=True).syscall
# Those of probes are no calls: they end the process with SIGILL.
numbers = [each for each in range(470) if each not in allowed and each not in {335, 336}]
confinement.confine()
done = []
for number in numbers:
    ctypes.set_errno(0)
    if call(ctypes.c_long(number), 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.EPERM:
        done.append(number)
print(len(numbers) > 400, done, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not filter system calls")
def test_kernel_refuses_every_other_system_call() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SWEEP],
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == "True []", answer.stderr


OTHER_INTERFACE = """
import ctypes, mmap
from chalicelib.adapters.codec.confinement import confine
confine()
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, 20; int 0x80; ret: getpid of 32 bits
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print("called", flush=True)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only this architecture has the interface")
def test_system_calls_of_32_bits_end_the_process() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", OTHER_INTERFACE],
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stdout) == (-signal.SIGSYS, "")


def test_handler_asks_for_code_that_it_does_not_have(worker: Worker) -> None:
    handler = CodecHandler(worker)
    request = {"messages": [message(HARMLESS), message(LOOP)]}
    assert handler.handle(request) == {"missing": [code_hash(HARMLESS), code_hash(LOOP)]}
    assert handler.handle(request | {"codes": codes(HARMLESS)}) == {"missing": [code_hash(LOOP)]}
    assert len(handler.handle(request | {"codes": codes(LOOP)})["answers"]) == 2
    assert len(handler.handle(request)["answers"]) == 2


class Recording:
    """A runner that records the limit of each batch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def run(self, messages: list[dict[str, Any]], codes: dict[str, str], seconds: float) -> list[dict[str, Any]]:
        assert set(codes) == {each["driver"] for each in messages}
        self.seconds.append(seconds)
        return [{} for _ in messages]


def test_batch_has_two_seconds_of_processor_time() -> None:
    runner = Recording()
    CodecHandler(runner).handle({"messages": [message(HARMLESS)], "codes": codes(HARMLESS)})
    assert runner.seconds == [2.0]


def test_message_has_a_hundred_milliseconds_of_processor_time() -> None:
    sandbox = Sandbox(LOOP)
    began = time.process_time()
    answer = sandbox.run(message(LOOP))
    assert answer["failure"]["message"] == TIMED_OUT
    assert 0.09 < time.process_time() - began < 0.2


@pytest.mark.parametrize(("megabytes", "fits"), [(24, True), (33, False)])
def test_message_has_thirty_two_megabytes(megabytes: int, *, fits: bool) -> None:
    code = decoder(f"return {{ data: new Uint8Array({megabytes} << 20).length }};")
    answer = Sandbox(code).run(message(code))
    assert ("data" in answer) is fits
    assert fits or answer["failure"]["message"] == OUT_OF_MEMORY


def test_drivers_of_two_batches_share_no_context(worker: Worker) -> None:
    # Given: the first batch leaves a trace, as far as a driver can
    code = decoder("Array.prototype.seen = (Array.prototype.seen || 0) + 1; return { data: [].seen };")
    batches = [worker.run([message(code)], codes(code), 60) for _ in range(2)]
    assert [batch[0]["data"] for batch in batches] == ["1", "1"]


def test_handler_forgets_the_code_that_was_used_longest_ago(worker: Worker) -> None:
    handler = CodecHandler(worker)
    big = [f"{HARMLESS}//{number}{'x' * (512 << 10)}" for number in range(130)]
    assert handler.handle({"messages": [message(code, "compile") for code in big], "codes": codes(*big)}) == {
        "missing": [code_hash(big[number]) for number in range(3)]
    }


def test_handler_refuses_code_under_a_false_name(worker: Worker) -> None:
    # Given: all tenants share the cache
    with pytest.raises(ValueError, match="hash"):
        CodecHandler(worker).handle({"messages": [], "codes": {code_hash(HARMLESS): LOOP}})


def test_handler_refuses_unknown_operations(worker: Worker) -> None:
    with pytest.raises(ValueError, match="operation"):
        CodecHandler(worker).handle({"messages": [message(HARMLESS, "eval")]})


def test_answers_are_json_without_line_breaks(worker: Worker) -> None:
    code = decoder("return { data: 'a\\n\\u2028\\ud800é' };")
    [answer] = worker.run([message(code)], codes(code), 60)
    assert json.loads(answer["data"]) == "a\n\u2028\ud800é"

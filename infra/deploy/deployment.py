"""A deployment of a stage: the steps, each compared with AWS first, so that a repetition does only what is left."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from chalicelib import __version__
from infra.deploy import adoption, preflight, smoke
from infra.deploy.account import Account, in_one_line
from infra.deploy.adoption import Found
from infra.deploy.beyond import Beyond
from infra.deploy.declared import COST_TAG
from infra.deploy.functions import Functions, Wanted
from infra.deploy.stacks import TEMPLATES, Stack, Template
from infra.deploy.stage import Stage
from infra.deploy.state import Lock, Record

_WIDTH = 16


def say(step: str, text: str) -> None:
    """Print one line of progress."""
    print(f"{step:<{_WIDTH}}{text}", flush=True)


@dataclass
class Deployment:
    """The steps of ``make deploy``. Each prints one line; a dry run prints what each would do."""

    root: Path
    stage: Stage
    aws: Account
    dry: bool = False
    address: str = ""
    """The API's base address, if it is not that of API Gateway."""
    _found: Found = field(default_factory=Found)

    def run(self) -> None:
        """Deploy the stage. Raises Refused; what was made until then is taken up by the next run."""
        with in_one_line():
            limit = self._preflight()
            say("preflight", f"account {self.aws.number}, {self.stage.region}, {limit} concurrent executions")
            lock = Lock(self.stage, self.aws)
            try:
                self._steps(lock)
            finally:
                lock.release()

    def _preflight(self) -> int:
        preflight.check_region(self.stage)
        preflight.check_account(self.stage, self.aws)
        return preflight.check_concurrency(self.stage, self.aws)

    def _steps(self, lock: Lock) -> None:
        self._stacks(lock, before=True)
        record = Record(self.stage, self.aws)
        recorded = record.read()
        self._found = adoption.find(self.stage, self.aws, recorded.get("restApi", ""))
        say("state", self._adopted(recorded))
        if self._functions(lock, record, recorded) or self._found.api:
            self._beyond(lock)
        self._stacks(lock, before=False)
        if self.dry:
            say("dry run", "nothing was changed")
            return
        say("smoke test", smoke.check(self._address(), self.aws.pause))
        self._summary()

    def _stacks(self, lock: Lock, *, before: bool) -> None:
        for template in TEMPLATES:
            if template.before_functions == before and template.wanted(self.stage):
                self._stack(template, lock)

    def _stack(self, template: Template, lock: Lock) -> None:
        stack = Stack(template, self.stage, self.aws)
        changes = stack.changes()
        if changes and not self.dry:
            # CloudFormation lets only one change of a stack run, and the lock's table is in the first stack.
            if not template.before_functions:
                lock.hold()
            stack.apply()
        say(f"stack {template.name}", self._text(changes))

    def _adopted(self, recorded: dict[str, str]) -> str:
        if self._found.empty:
            return "nothing is deployed yet"
        api = f"REST API {self._found.api}" if self._found.api else "no REST API yet"
        known = (
            f"release {recorded['release']} of {recorded['at']}" if recorded.get("release") else "no record, rebuilt"
        )
        return f"{len(self._found.functions)} functions, {len(self._found.mappings)} event sources, {api}; {known}"

    def _functions(self, lock: Lock, record: Record, recorded: dict[str, str]) -> bool:
        """Deploy the functions where they differ; return whether they exist."""
        functions = Functions(self.root, self.stage, self.aws, partial(say, "package"))
        wanted = functions.build()
        strange = adoption.strange_mappings(self.stage, self._found)
        changes = [f"remove the event source {each['EventSourceArn']} of {each['FunctionArn']}" for each in strange]
        changes += functions.changes(wanted, self._found, recorded.get("fingerprint", ""))
        if changes and not self.dry:
            lock.hold()
            # Another deployment may have ended since the comparison.
            self._found = adoption.find(self.stage, self.aws, record.read().get("restApi", ""))
            self._deploy(functions, wanted, record)
        if not self.dry:
            self._write_record()
        say("functions", self._text(changes))
        return not self.dry

    def _write_record(self) -> None:
        """Write Chalice's record for `chalice logs` and `chalice url`; no deployment reads it."""
        folder = self.root / ".chalice" / "deployed"
        folder.mkdir(exist_ok=True)
        text = json.dumps(adoption.record(self.stage, self._found), indent=2)
        (folder / f"{self.stage.name}.json").write_text(f"{text}\n", encoding="utf-8")

    def _deploy(self, functions: Functions, wanted: Wanted, record: Record) -> None:
        # Without a fingerprint, a deployment that is killed from here on is not taken for a complete one.
        content = {
            "restApi": self._found.api,
            "release": __version__,
            "at": datetime.now(UTC).isoformat("T", "seconds"),
        }
        record.write(content)
        adoption.settle(self._found, self.aws)
        if strange := adoption.strange_mappings(self.stage, self._found):
            adoption.remove_mappings(strange, self.aws)
            self._found = adoption.find(self.stage, self.aws, self._found.api)
        api = functions.deploy(wanted, self._found)
        record.write({**content, "restApi": api, "fingerprint": wanted.fingerprint})
        self._found = adoption.find(self.stage, self.aws, api)

    def _beyond(self, lock: Lock) -> None:
        beyond = Beyond(self.stage, self.aws, self._found)
        differences = list(beyond.differences())
        if differences and not self.dry:
            lock.hold()
            beyond.apply(differences)
        say("settings", self._text([each.text for each in differences]))

    def _text(self, changes: list[str]) -> str:
        if not changes:
            return "unchanged"
        if self.dry:
            return "would " + f"\n{'':<{_WIDTH}}would ".join(changes)
        others = f", and {len(changes) - 1} more changes" if len(changes) > 1 else ""
        return f"done: {changes[0]}{others}"

    def _address(self) -> str:
        gateway = f"https://{self._found.api}.execute-api.{self.stage.region}.amazonaws.com/{self.stage.gateway_stage}/"
        return self.address or gateway

    def _summary(self) -> None:
        address = self._address()
        say("address", address)
        say("web page", f"{address}console")
        say("uplinks", f"{address}uplinks (the destination of the network server's application server)")
        say("next", f"create a connection on the web page; activate the cost allocation tag {COST_TAG} once")

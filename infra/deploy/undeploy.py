"""Removes a stage from AWS: ``python -m infra.deploy.undeploy STAGE`` (infra/README.md).

The functions, their roles, event sources and schedule and the REST API go without a question, because they come back
with the next deployment. The connections' queues and secrets and the stacks go only after a confirmation. Tables with
customers' data are kept. No tenant's token is needed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from botocore.exceptions import ClientError

from infra.deploy import adoption, preflight
from infra.deploy.account import Account, absent, code, in_one_line
from infra.deploy.deployment import say
from infra.deploy.stacks import TEMPLATES, Stack
from infra.deploy.stage import Refused, Stage, load
from infra.deploy.state import Lock, Record

ROOT = Path(__file__).parents[2]
_TRIES = 24
_REMOVALS = {
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --table-name {}",
    "AWS::SQS::Queue": "aws sqs delete-queue --queue-url {}",
    "AWS::KMS::Key": "aws kms schedule-key-deletion --pending-window-in-days 7 --key-id {}",
}


@dataclass
class Removal:
    """The steps of ``make undeploy``. Each prints one line; a dry run prints what each would remove."""

    stage: Stage
    aws: Account
    dry: bool
    confirm: Callable[[str], bool]

    def run(self) -> None:
        """Remove the stage. Raises Refused; a repetition removes the rest."""
        with in_one_line():
            preflight.check_account(self.stage, self.aws)
            say("account", f"{self.aws.number}, {self.stage.region}")
            # Stacks that follow the functions, such as the alarms that watch them, go before them.
            later, stacks = (self._stacks(before_functions=value) for value in (False, True))
            lock = Lock(self.stage, self.aws)
            try:
                if not self.dry and stacks[-1].describe():
                    lock.hold()
                for stack in later:
                    if not self.dry:
                        stack.remove()
                    say(f"stack {stack.template.name}", "would remove it" if self.dry else "removed")
                self._functions()
                self._customers(stacks)
            finally:
                lock.release()

    def _stacks(self, *, before_functions: bool) -> list[Stack]:
        wanted = (each for each in reversed(TEMPLATES) if each.wanted(self.stage))
        return [Stack(each, self.stage, self.aws) for each in wanted if each.before_functions == before_functions]

    def _functions(self) -> None:
        found = adoption.find(self.stage, self.aws, Record(self.stage, self.aws).read().get("restApi", ""))
        text = (
            f"{len(found.functions)} functions, {len(found.roles)} roles, {len(found.mappings)} event sources, "
            f"{len(found.rules)} schedules, {'1 REST API' if found.api else 'no REST API'}"
        )
        if not self.dry:
            self._remove(found)
        say("functions", f"{'would remove' if self.dry else 'removed'} {text}")

    def _remove(self, found: adoption.Found) -> None:
        adoption.remove_mappings(found.mappings, self.aws)
        events = self.aws.client("events")
        for rule in found.rules:
            targets = [each["Id"] for each in events.list_targets_by_rule(Rule=rule)["Targets"]]
            if targets:
                events.remove_targets(Rule=rule, Ids=targets)
            events.delete_rule(Name=rule)
        if found.api:
            self._remove_api(found.api)
        for function in found.functions.values():
            with absent("ResourceNotFoundException"):
                self.aws.client("lambda").delete_function(FunctionName=function["FunctionName"])
        iam = self.aws.client("iam")
        for role in found.roles:
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                iam.delete_role_policy(RoleName=role, PolicyName=policy)
            for each in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=role, PolicyArn=each["PolicyArn"])
            iam.delete_role(RoleName=role)
        Record(self.stage, self.aws).remove()

    def _remove_api(self, api: str) -> None:
        for attempt in range(_TRIES):
            try:
                self.aws.client("apigateway").delete_rest_api(restApiId=api)
            except ClientError as error:
                # API Gateway deletes two APIs a minute.
                if code(error) != "TooManyRequestsException" or attempt == _TRIES - 1:
                    raise
                self.aws.wait()
            else:
                return

    def _customers(self, stacks: list[Stack]) -> None:
        queues, secrets = list(self._queues()), list(self._secrets())
        text = f"{len(queues)} queues and {len(secrets)} secrets of connections, {len(stacks)} stacks"
        if self.stage.secret_prefix != self.stage.prefix:
            say("secrets", f"kept those below {self.stage.secret_prefix}/, a prefix that other stages may share")
        if self.dry:
            say("data", f"would ask, then remove {text}")
            return
        if not self.confirm(f"Remove {text} with all waiting messages?"):
            say("data", f"kept {text}; `make deploy STAGE={self.stage.name}` uses them again")
            return
        for queue in queues:
            with absent("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"):
                self.aws.client("sqs").delete_queue(QueueUrl=queue)
        for secret in secrets:
            with absent("ResourceNotFoundException"):
                # At once, as when a tenant deletes a connection: a name in its recovery window could not be used again.
                self.aws.client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        with absent("ResourceNotFoundException"):
            group = f"/aws/apigateway/{self.stage.application}"
            self.aws.client("logs").delete_log_group(logGroupName=group)
        # Named before their stack goes: a removal that is killed afterwards cannot find them again.
        for line in [line for stack in stacks for line in self._retained(stack)]:
            say("kept", line)
        for stack in stacks:
            stack.remove()
        say("data", f"removed {text}")

    def _queues(self) -> Iterator[str]:
        pages = self.aws.client("sqs").get_paginator("list_queues")
        for page in pages.paginate(
            QueueNamePrefix=f"{self.stage.prefix}-uplinks-", PaginationConfig={"PageSize": 1000}
        ):
            yield from page.get("QueueUrls", [])

    def _secrets(self) -> Iterator[str]:
        if self.stage.secret_prefix != self.stage.prefix:
            return
        pages = self.aws.client("secretsmanager").get_paginator("list_secrets")
        beginning = f"{self.stage.secret_prefix}/"
        for page in pages.paginate(Filters=[{"Key": "name", "Values": [beginning]}]):
            yield from (each["Name"] for each in page["SecretList"] if each["Name"].startswith(beginning))

    def _retained(self, stack: Stack) -> Iterator[str]:
        """Name what the stack's template keeps, with the command that removes it."""
        template: dict[str, Any] = yaml.safe_load(stack.template.text())
        kept = {name for name, each in template["Resources"].items() if each.get("DeletionPolicy") == "Retain"}
        for resource in stack.resources():
            if resource["LogicalResourceId"] in kept:
                command = _REMOVALS.get(resource["ResourceType"], "remove {} by hand").format(
                    resource["PhysicalResourceId"]
                )
                yield f"{resource['PhysicalResourceId']}; to remove it: {command}"


def _asked(stage: Stage) -> Callable[[str], bool]:
    def confirm(question: str) -> bool:
        print(f"{question} Type the name of the stage to confirm: ", end="", flush=True)
        answer = sys.stdin.readline().strip()
        print()
        return answer == stage.name

    return confirm


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, or 1 after one line that names the fault."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.undeploy", description=__doc__)
    parser.add_argument("stage", help="a stage of .chalice/config.json")
    parser.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    parser.add_argument("--yes", action="store_true", help="remove queues, secrets and stacks without a question")
    given = parser.parse_args(arguments)
    try:
        wanted = load(ROOT, given.stage, finished=False)
        preflight.check_region(wanted)
        confirm = (lambda _: True) if given.yes else _asked(wanted)
        Removal(wanted, Account.of_environment(wanted.region), given.dry_run, confirm).run()
    except Refused as refusal:
        print(f"Not removed: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

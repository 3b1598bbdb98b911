"""Checks before anything is made: credentials, region, quota."""

import boto3

from infra.deploy.account import Account
from infra.deploy.declared import UNRESERVED_MINIMUM
from infra.deploy.stage import Refused, Stage


def check_region(stage: Stage) -> None:
    """Check that the credentials' region is stated and is the stage's. Raises Refused."""
    stated = boto3.Session().region_name
    if not stated:
        raise Refused(
            f"No region is stated. Stage {stage.name} is in {stage.region}: export AWS_DEFAULT_REGION={stage.region}"
        )
    if stated != stage.region:
        raise Refused(
            f'The credentials state the region {stated}, but stage "{stage.name}" is in {stage.region}: '
            f"export AWS_DEFAULT_REGION={stage.region}, or change deploy.region in .chalice/config.json."
        )


def check_account(stage: Stage, aws: Account) -> None:
    """Find out whose credentials these are. Raises Refused."""
    if aws.credentials() is None:
        raise Refused("There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    identity = aws.client("sts").get_caller_identity()
    aws.number, aws.caller = identity["Account"], identity["Arn"]
    if stage.account and stage.account != aws.number:
        raise Refused(f'Stage "{stage.name}" belongs to account {stage.account}, the credentials to {aws.number}.')


def check_concurrency(stage: Stage, aws: Account) -> int:
    """Return the account's limit of concurrent executions. Raises Refused when the stage may need more."""
    functions = aws.client("lambda")
    limit = functions.get_account_settings()["AccountLimit"]
    free = limit.get("UnreservedConcurrentExecutions", limit["ConcurrentExecutions"])
    for handler in stage.reserved:
        try:
            own = functions.get_function_concurrency(FunctionName=stage.function(handler))
        except functions.exceptions.ResourceNotFoundException:
            continue
        free += own.get("ReservedConcurrentExecutions", 0)
    reserved = sum(stage.reserved.values())
    queues = sum(source.concurrency for source in stage.sources.values())
    needed = reserved + max(queues + 1, UNRESERVED_MINIMUM)
    if free < needed:
        raise Refused(
            f"Lambda allows {free} concurrent executions besides other reservations, stage {stage.name} may need "
            f"{needed} ({reserved} reserved for the API and the codec, {queues} for queues, 1 for the schedule): "
            'request more (Service Quotas, Lambda, "Concurrent executions"), or lower deploy.concurrency in '
            ".chalice/config.json."
        )
    return int(limit["ConcurrentExecutions"])

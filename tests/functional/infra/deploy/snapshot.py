"""Resources of a stage at AWS, without the ids that AWS chooses."""

from typing import Any

from infra.deploy import state
from infra.deploy.account import Account
from infra.deploy.adoption import find
from infra.deploy.declared import ASYNCHRONOUS
from infra.deploy.stage import Stage


def snapshot(stage: Stage, aws: Account) -> dict[str, Any]:
    """Return the stage's resources by kind, comparable between two deployments."""
    found = find(stage, aws)
    functions, gateway = aws.client("lambda"), aws.client("apigateway")
    events, iam = aws.client("events"), aws.client("iam")
    apis = [api for api in gateway.get_rest_apis()["items"] if api["name"] == stage.application]
    return {
        "functions": {name: _function(each, functions) for name, each in sorted(found.functions.items())},
        "mappings": sorted(
            [
                each["FunctionArn"].rsplit(":", 1)[1],
                each["EventSourceArn"].rsplit(":", 1)[1],
                each["BatchSize"],
                each["ScalingConfig"]["MaximumConcurrency"],
                each["State"],
            ]
            for each in found.mappings
        ),
        "rules": {
            rule: [
                events.describe_rule(Name=rule)["ScheduleExpression"],
                [each["Arn"] for each in events.list_targets_by_rule(Rule=rule)["Targets"]],
            ]
            for rule in found.rules
        },
        "roles": {
            role: [
                iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
                for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
            ]
            + [
                iam.list_role_tags(RoleName=role)["Tags"],
                iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"],
            ]
            for role in sorted(found.roles)
        },
        "apis": [_api(api, stage, gateway) for api in apis],
        "asynchronous": {
            handler: functions.get_function_event_invoke_config(FunctionName=stage.function(handler)).get(
                "MaximumEventAgeInSeconds"
            )
            for handler in ASYNCHRONOUS
        },
        "fingerprint": state.Record(stage, aws).read().get("fingerprint"),
    }


def left(aws: Account, name: str) -> dict[str, list[str]]:
    """Return the names of everything that a stage has at AWS, by kind."""
    own = f"-{name}"
    functions, sqs = aws.client("lambda"), aws.client("sqs")
    found: dict[str, list[Any]] = {
        "functions": [each["FunctionName"] for each in functions.list_functions()["Functions"]],
        "roles": [each["RoleName"] for each in aws.client("iam").list_roles()["Roles"]],
        "mappings": [
            each["EventSourceArn"].rsplit(":", 1)[1]
            for each in functions.list_event_source_mappings()["EventSourceMappings"]
        ],
        "rules": [each["Name"] for each in aws.client("events").list_rules()["Rules"]],
        "apis": [each["name"] for each in aws.client("apigateway").get_rest_apis()["items"]],
        "queues": [url.rsplit("/", 1)[1] for url in sqs.list_queues().get("QueueUrls", [])],
        "secrets": [each["Name"] for each in aws.client("secretsmanager").list_secrets()["SecretList"]],
        "tables": aws.client("dynamodb").list_tables()["TableNames"],
        "stacks": [each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]],
        "logs": [each["logGroupName"] for each in aws.client("logs").describe_log_groups()["logGroups"]],
        "alarms": [each["AlarmName"] for each in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "parameters": [each["Name"] for each in aws.client("ssm").describe_parameters()["Parameters"]],
    }
    return {kind: sorted(each for each in names if own in each) for kind, names in found.items()}


def _function(function: dict[str, Any], functions: Any) -> list[Any]:
    name = function["FunctionName"]
    policy = functions.get_policy(FunctionName=name)["Policy"] if _is_called(name) else ""
    return [
        function["CodeSha256"],
        function["Environment"]["Variables"],
        function["Timeout"],
        function["Role"],
        functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
        functions.list_tags(Resource=function["FunctionArn"])["Tags"],
        policy.count('"Effect"'),
    ]


def _is_called(name: str) -> bool:
    """Return whether API Gateway or the schedule calls the function, which needs a permission."""
    return name.endswith("-reconcile") or name.count("-") == 3


def _api(api: dict[str, Any], stage: Stage, gateway: Any) -> list[Any]:
    deployed = gateway.get_stage(restApiId=api["id"], stageName=stage.gateway_stage)
    resources = gateway.get_resources(restApiId=api["id"], limit=500)["items"]
    settings = deployed["accessLogSettings"]
    return [api["name"], api.get("tags"), sorted(each["path"] for each in resources), deployed.get("tags"), settings]

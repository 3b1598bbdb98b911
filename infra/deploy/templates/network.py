"""Functions of a stage in a VPC: the settings that Chalice needs, and the policies that the functions' roles need.

``python -m infra.deploy.templates.network STAGE --stack NAME`` writes both below ``.chalice`` from the outputs of a
stack of ``network.yaml``; ``--subnets A,B --security-groups C`` instead of ``--stack`` takes a VPC that exists. Without
any, it writes the policies again, which ``make deploy`` needs after a change of a function's own policy.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FUNCTIONS = ("api_handler", "forward", "forward_slow", "consume")
"""The functions that connect to brokers; the API's does so for connection tests and for removing downlink queues."""
_ACTIONS = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]
STATEMENTS: tuple[dict[str, Any], ...] = (
    # Lambda makes the network interfaces with the function's role. AWS offers no narrower resource for all of them.
    {"Sid": "NetworkInterfaces", "Effect": "Allow", "Action": _ACTIONS, "Resource": "*"},
    # The function's own code does not. Lambda's calls have no source function.
    {
        "Sid": "NotByTheCode",
        "Effect": "Deny",
        "Action": _ACTIONS,
        "Resource": "*",
        "Condition": {"ArnLike": {"lambda:SourceFunctionArn": "arn:*:lambda:*:*:function:iot-flow-amqp-*"}},
    },
)


@dataclass(frozen=True)
class Network:
    """Subnets and security groups of functions, by their ids."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]

    @classmethod
    def of(cls, outputs: Mapping[str, str]) -> "Network":
        """Read the outputs of a stack of ``network.yaml``. Raises KeyError with the name of a missing output."""
        return cls(_ids(outputs["SubnetIds"]), _ids(outputs["SecurityGroupIds"]))


def stage_settings(network: Network, functions: Sequence[str] = FUNCTIONS) -> dict[str, Any]:
    """Return the ``lambda_functions`` of a stage in ``config.json``. Its other settings remain those of all stages."""
    return {
        name: {
            "subnet_ids": list(network.subnets),
            "security_group_ids": list(network.security_groups),
            "iam_policy_file": _policy_file(name),
        }
        for name in functions
    }


def with_network(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's policy with the statements that its network interfaces need."""
    return {**policy, "Statement": [*policy["Statement"], *STATEMENTS]}


def write_policies(directory: Path, stage: str) -> list[Path]:
    """Write the policies of the stage's functions in a VPC from their own policies, and return the files.

    ``directory`` is ``.chalice``. A stage without a VPC needs none. Run this before each deployment, so that a changed
    policy of a function reaches the stage.
    """
    settings = _read(directory / "config.json")["stages"][stage].get("lambda_functions", {})
    written: list[Path] = []
    for name, function in sorted(settings.items()):
        if function.get("iam_policy_file") == _policy_file(name):
            path = directory / _policy_file(name)
            _write(path, with_network(_read(directory / f"policy-{name}.json")))
            written.append(path)
    return written


def attach(directory: Path, stage: str, network: Network) -> None:
    """Put the functions of a stage that talk to brokers into a VPC: in ``config.json`` and in their policies."""
    path = directory / "config.json"
    config = _read(path)
    functions = config["stages"][stage].setdefault("lambda_functions", {})
    for name, settings in stage_settings(network).items():
        functions.setdefault(name, {}).update(settings)
    _write(path, config)
    write_policies(directory, stage)


def _policy_file(function: str) -> str:
    return f"policy-{function}-vpc.json"


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _outputs(stack: str) -> dict[str, str]:
    import boto3  # noqa: PLC0415  # only this command needs an account

    [found] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def main(arguments: Sequence[str] | None = None, directory: Path = Path(".chalice")) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--stack", help="name of a stack of network.yaml")
    parser.add_argument("--subnets", help="ids of private subnets, separated by commas")
    parser.add_argument("--security-groups", help="ids of security groups, separated by commas")
    given = parser.parse_args(arguments)
    if given.stage not in _read(directory / "config.json")["stages"]:
        parser.error(f"{directory / 'config.json'} has no stage {given.stage}. Add it, or name another one.")
    if bool(given.subnets) != bool(given.security_groups) or (given.stack and given.subnets):
        parser.error("Give --stack, or both --subnets and --security-groups.")
    if given.stack:
        attach(directory, given.stage, Network.of(_outputs(given.stack)))
    elif given.subnets:
        attach(directory, given.stage, Network(_ids(given.subnets), _ids(given.security_groups)))
    else:
        write_policies(directory, given.stage)
    settings = _read(directory / "config.json")["stages"][given.stage].get("lambda_functions", {})
    inside = sorted(name for name, function in settings.items() if function.get("subnet_ids"))
    print(f"Functions of {given.stage} in a VPC: {', '.join(inside) or 'none'}.")


if __name__ == "__main__":
    main()

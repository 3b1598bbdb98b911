"""The network's template as CloudFormation creates it, and the settings and policies of functions in a VPC."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chalice.config import Config

from app import app
from infra.deploy.templates import network
from infra.deploy.templates.network import FUNCTIONS, Network
from infra.local.processes import ROOT
from tests.functional.infra.deploy.templates import stacks

TEMPLATE = stacks.DEPLOY / "network.yaml"
IN_VPC = Network(("subnet-1", "subnet-2"), ("sg-1",))
OUTSIDE = {"codec", "notify", "reconcile", "send_downlinks"}
STAGE = "dev"
HANDLERS = {each.handler_string.rpartition(".")[2] for each in app.event_sources}


@pytest.fixture
def aws() -> Iterator[None]:
    with stacks.emulation():
        yield


@pytest.fixture
def chalice(tmp_path: Path) -> Path:
    """A copy of the directory ``.chalice``."""
    copied = tmp_path / ".chalice"
    shutil.copytree(ROOT / ".chalice", copied, ignore=shutil.ignore_patterns("deployed", "deployments"))
    return copied


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def default_routes() -> dict[str, str]:
    """The NAT gateway to which each private subnet of the template sends."""
    tables: dict[str, str] = {}
    for table in stacks.client("ec2").describe_route_tables()["RouteTables"]:
        tags = {tag["Key"]: tag["Value"] for tag in table["Tags"]}
        for route in table["Routes"]:
            if "NatGatewayId" in route:
                tables[tags["aws:cloudformation:logical-id"]] = route["NatGatewayId"]
    # moto's CloudFormation does not associate subnets, so that the template says which table is a subnet's.
    found: dict[str, str] = {}
    for resource in stacks.document(TEMPLATE)["Resources"].values():
        if resource["Type"] == "AWS::EC2::SubnetRouteTableAssociation":
            table, subnet = (resource["Properties"][name]["Ref"] for name in ("RouteTableId", "SubnetId"))
            found |= {subnet: tables[table]} if table in tables else {}
    return found


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("nats", "count"), [("one", 1), ("per-zone", 2)])
def test_private_subnets_in_two_zones_reach_brokers_from_fixed_addresses(nats: str, count: int) -> None:
    ec2 = stacks.client("ec2")
    outputs = stacks.create(TEMPLATE, NatGateways=nats)
    subnets = list(Network.of(outputs).subnets)
    described = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in described}) == 2

    routes = default_routes()
    assert set(routes) == {"PrivateA", "PrivateB"}
    assert len(set(routes.values())) == count
    gateways = ec2.describe_nat_gateways(NatGatewayIds=list(routes.values()))["NatGateways"]
    addresses = {gateway["NatGatewayAddresses"][0]["AllocationId"] for gateway in gateways}
    own = {address["PublicIp"]: address["AllocationId"] for address in ec2.describe_addresses()["Addresses"]}
    assert addresses == set(own.values())
    assert {value for name, value in outputs.items() if name.startswith("EgressAddress")} == set(own)


@pytest.mark.usefixtures("aws")
def test_egress_address_of_an_earlier_network_can_be_used_again() -> None:
    ec2 = stacks.client("ec2")
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    outputs = stacks.create(TEMPLATE, AllocationA=allocation)
    [gateway] = ec2.describe_nat_gateways()["NatGateways"]
    assert gateway["NatGatewayAddresses"][0]["AllocationId"] == allocation
    assert not [name for name in outputs if name.startswith("EgressAddress")]
    assert len(ec2.describe_addresses()["Addresses"]) == 1


@pytest.mark.usefixtures("aws")
def test_services_of_aws_are_reached_without_the_internet_and_nobody_reaches_the_functions() -> None:
    ec2 = stacks.client("ec2")
    outputs = stacks.create(TEMPLATE)
    made = {each["ServiceName"].rpartition(".")[2]: each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    kinds = {name: endpoint["VpcEndpointType"] for name, endpoint in made.items()}
    assert kinds == {"dynamodb": "Gateway", "s3": "Gateway", "sqs": "Interface", "secretsmanager": "Interface"}
    network = Network.of(outputs)
    assert set(made["sqs"]["SubnetIds"]) == set(network.subnets)

    groups = {each["GroupId"]: each for each in ec2.describe_security_groups()["SecurityGroups"]}
    assert groups[network.security_groups[0]]["IpPermissions"] == []
    [endpoint] = [each for each in groups.values() if "Endpoints" in each["Description"]]
    [rule] = endpoint["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == list(network.security_groups)


@pytest.mark.usefixtures("aws")
def test_endpoints_that_cost_by_the_hour_can_be_left_out() -> None:
    stacks.create(TEMPLATE, InterfaceEndpoints="false")
    assert len(stacks.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]) == 2


def test_chalice_puts_the_functions_that_talk_to_brokers_into_the_vpc(chalice: Path) -> None:
    network.attach(chalice, STAGE, IN_VPC)
    config = read(chalice / "config.json")
    for name in (*FUNCTIONS, *OUTSIDE):
        scoped = Config(STAGE, name, config_from_disk=config)
        inside = name in FUNCTIONS
        assert scoped.subnet_ids == (list(IN_VPC.subnets) if inside else None)
        assert scoped.security_group_ids == (list(IN_VPC.security_groups) if inside else None)
        assert scoped.iam_policy_file == f"policy-{name}{'-vpc' if inside else ''}.json"
        assert not scoped.autogen_policy
        assert scoped.lambda_memory_size == config["lambda_functions"][name]["lambda_memory_size"]
        assert Config("test", name, config_from_disk=config).subnet_ids is None
    assert {*FUNCTIONS, *OUTSIDE} == {"api_handler", *(each.name for each in app.pure_lambda_functions), *HANDLERS}


def test_role_of_a_function_in_a_vpc_may_do_what_it_could_and_have_network_interfaces(chalice: Path) -> None:
    network.attach(chalice, STAGE, IN_VPC)
    for name in FUNCTIONS:
        own, extended = read(chalice / f"policy-{name}.json"), read(chalice / f"policy-{name}-vpc.json")
        assert extended["Statement"][: len(own["Statement"])] == own["Statement"]
        allowed, denied = extended["Statement"][len(own["Statement"]) :]
        assert allowed["Effect"] == "Allow"
        assert "ec2:CreateNetworkInterface" in allowed["Action"]
        # The code of a function must not be able to make interfaces in the VPC.
        assert denied["Effect"] == "Deny"
        assert denied["Action"] == allowed["Action"]
        assert "lambda:SourceFunctionArn" in denied["Condition"]["ArnLike"]
    assert read(ROOT / ".chalice" / "policy-forward.json") == read(chalice / "policy-forward.json")


def test_attaching_twice_changes_nothing_and_a_changed_policy_reaches_the_stage(chalice: Path) -> None:
    network.attach(chalice, STAGE, IN_VPC)
    before = {path.name: path.read_text() for path in chalice.iterdir()}
    network.attach(chalice, STAGE, IN_VPC)
    assert {path.name: path.read_text() for path in chalice.iterdir()} == before

    own = read(chalice / "policy-forward.json")
    own["Statement"].append({"Sid": "New", "Effect": "Allow", "Action": ["sqs:ListQueues"], "Resource": ["*"]})
    (chalice / "policy-forward.json").write_text(json.dumps(own))
    assert len(network.write_policies(chalice, STAGE)) == len(FUNCTIONS)
    assert own["Statement"][-1] in read(chalice / "policy-forward-vpc.json")["Statement"]
    assert network.write_policies(chalice, "test") == []


def test_command_takes_a_stack_or_a_vpc_that_exists(chalice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    existing = ["--subnets", "subnet-1, subnet-2", "--security-groups", "sg-1"]
    network.main([STAGE, *existing], chalice)
    assert read(chalice / "config.json")["stages"][STAGE]["lambda_functions"] == network.stage_settings(IN_VPC)
    assert "api_handler, consume, forward, forward_slow" in capsys.readouterr().out
    with stacks.emulation():
        outputs = stacks.create(TEMPLATE)
        network.main([STAGE, "--stack", TEMPLATE.stem], chalice)
    settings = read(chalice / "config.json")["stages"][STAGE]["lambda_functions"]
    assert settings == network.stage_settings(Network.of(outputs))
    network.main(["test"], chalice)
    assert "test in a VPC: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prod"], "has no stage prod"),
        ([STAGE, "--subnets", "subnet-1"], "both --subnets and --security-groups"),
        ([STAGE, "--stack", "x", "--subnets", "s", "--security-groups", "g"], "Give --stack, or both"),
    ],
)
def test_command_refuses_what_chalice_could_not_deploy(
    chalice: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        network.main(arguments, chalice)
    assert message in capsys.readouterr().err

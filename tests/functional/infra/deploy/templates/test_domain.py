"""The address of a stage stays when its API is created again."""

import json
from typing import Any

from infra.local.processes import ROOT
from tests.functional.infra.deploy.templates import stacks

TEMPLATE = stacks.DEPLOY / "domain.yaml"
NAME = "iot.example.com"


def test_address_outlives_the_api_behind_it() -> None:
    """moto's CloudFormation knows no domain names, so that the test makes CloudFormation's calls."""
    with stacks.emulation():
        gateway, acm = stacks.client("apigateway"), stacks.client("acm")
        certificate = acm.request_certificate(DomainName=NAME, ValidationMethod="DNS")["CertificateArn"]
        endpoint = stacks.properties(TEMPLATE, "ApiDomain")["EndpointConfiguration"]
        assert endpoint == {"Types": ["REGIONAL"]}
        made = gateway.create_domain_name(
            domainName=NAME, regionalCertificateArn=certificate, endpointConfiguration={"types": endpoint["Types"]}
        )

        def deploy() -> str:
            api = str(gateway.create_rest_api(name="iot-flow-amqp")["id"])
            root = gateway.get_resources(restApiId=api)["items"][0]["id"]
            method = {"restApiId": api, "resourceId": root, "httpMethod": "GET"}
            gateway.put_method(**method, authorizationType="NONE")
            gateway.put_integration(**method, type="MOCK")
            gateway.create_deployment(restApiId=api, stageName="api")
            return api

        first = deploy()
        gateway.create_base_path_mapping(domainName=NAME, restApiId=first, stage="api")
        gateway.delete_base_path_mapping(domainName=NAME, basePath="(none)")
        gateway.delete_rest_api(restApiId=first)
        second = deploy()
        gateway.create_base_path_mapping(domainName=NAME, restApiId=second, stage="api")

        kept = gateway.get_domain_name(domainName=NAME)
        assert kept["regionalDomainName"] == made["regionalDomainName"]
        [mapping] = gateway.get_base_path_mappings(domainName=NAME)["items"]
        assert (mapping["basePath"], mapping["restApiId"]) == ("(none)", second)


def test_only_the_mapping_names_the_api() -> None:
    resources = stacks.document(TEMPLATE)["Resources"]

    def names_api(part: Any) -> bool:
        return '"ApiId"' in json.dumps(part) or '"HasApi"' in json.dumps(part)

    assert [name for name, resource in resources.items() if names_api(resource)] == ["Mapping"]
    assert "BasePath" not in resources["Mapping"]["Properties"]


def test_chalice_does_not_own_the_domain() -> None:
    """`chalice delete` removes a domain that its configuration names, with the mappings of all stages."""
    assert "custom_domain" not in (ROOT / ".chalice" / "config.json").read_text(encoding="utf-8")

"""The functions' policies of one stage, from the templates ``.chalice/policy-<function>.json`` for all stages."""

from typing import Any

from infra.deploy.stage import APP, Stage


def narrowed(document: dict[str, Any], stage: Stage, account: str) -> dict[str, Any]:
    """Return the policy with the names of this stage, its region and its account in place of wildcards."""
    statements = [
        {**statement, "Resource": [each for one in _listed(statement) for each in _resources(one, stage, account)]}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": statements}


def _listed(statement: dict[str, Any]) -> list[str]:
    resources = statement["Resource"]
    return [resources] if isinstance(resources, str) else list(resources)


def _resources(resource: str, stage: Stage, account: str) -> list[str]:
    parts = resource.split(":", 5)
    if len(parts) == 6 and parts[0] == "arn":  # noqa: PLR2004  # arn:partition:service:region:account:resource
        parts[3] = stage.region if parts[3] == "*" else parts[3]
        parts[4] = account if parts[4] == "*" and account else parts[4]
    resource = ":".join(parts)
    resource = resource.replace("secret:iot-flow/", f"secret:{stage.secret_prefix}/")
    resource = resource.replace(f"{APP}-*-", f"{stage.application}-").replace("iot-flow-*-", f"{stage.prefix}-")
    if resource.endswith(f"{APP}-*"):
        # The API's function has no suffix; a wildcard would include the logs of every other function.
        group = resource.removesuffix("-*") + f"-{stage.name}"
        return [group, f"{group}:*"]
    return [resource]

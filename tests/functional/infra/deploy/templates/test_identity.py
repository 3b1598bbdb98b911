"""The user pool of the template, and the function that writes the tenant into its access tokens."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from chalicelib.config import Settings
from infra.deploy.templates import identity
from infra.local.processes import ROOT
from tests.functional.infra.deploy.templates import stacks

TEMPLATE = stacks.DEPLOY / "identity.yaml"
PREFIX = "iot-flow-test"
CLIENT = "1example23456789"
CONSOLE = "https://api.example/api/console"
SCOPES = ["connections:read", "connections:write", "uplinks:write"]

Handler = Callable[[dict[str, Any], None], dict[str, Any]]


@pytest.fixture(scope="module")
def outputs() -> Iterator[dict[str, str]]:
    with stacks.emulation():
        yield stacks.create(TEMPLATE, Prefix=PREFIX, Domain="iot-flow-test", ConsoleUrls=CONSOLE, BridgeTenant="demo")


@pytest.fixture(scope="module")
def handler() -> Iterator[Handler]:
    """The handler in the template's code, with a parameter store in which one client has a tenant."""
    with stacks.emulation(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIENTS", f"/{PREFIX}/clients/")
        stacks.client("ssm").put_parameter(Name=f"/{PREFIX}/clients/{CLIENT}", Value="demo", Type="String")
        names: dict[str, Any] = {}
        exec(code(), names)  # noqa: S102  # the code that Lambda runs
        yield names["handler"]


def code() -> str:
    return str(stacks.properties(TEMPLATE, "TenantClaim")["Code"]["ZipFile"])


def event(source: str, attributes: dict[str, str] | None, **request: Any) -> dict[str, Any]:
    """The event as Cognito's documentation shows it: version 3 with the fields of version 2."""
    user = {} if attributes is None else {"userAttributes": attributes}
    groups: dict[str, Any] = {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": None}
    return {
        "version": "3",
        "triggerSource": f"TokenGeneration_{source}",
        "region": "eu-west-1",
        "userPoolId": "eu-west-1_EXAMPLE",
        "userName": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": CLIENT},
        "request": user | {"groupConfiguration": groups, "scopes": ["openid"], **request},
        "response": {"claimsAndScopeOverrideDetails": None},
    }


def added(answer: dict[str, Any]) -> Any:
    details = answer["response"]["claimsAndScopeOverrideDetails"]
    return details and details["accessTokenGeneration"]["claimsToAddOrOverride"]


@pytest.mark.parametrize("source", ["HostedAuth", "Authentication", "NewPasswordChallenge", "RefreshTokens"])
def test_access_token_of_a_user_gets_the_tenant_of_the_users_attribute(handler: Handler, source: str) -> None:
    asked = event(source, {"sub": "aaaaaaaa", "email": "ann@example.com", "custom:tenant": "acme"})
    answer = handler(asked, None)
    assert added(answer) == {"tenant": "acme"}
    assert answer["request"] == asked["request"]
    assert answer["version"] == "3"


def test_access_token_of_a_bridge_gets_the_tenant_that_the_operator_stored(handler: Handler) -> None:
    assert added(handler(event("ClientCredentials", None), None)) == {"tenant": "demo"}


def test_caller_cannot_choose_the_tenant(handler: Handler) -> None:
    chosen = {"tenant": "acme", "custom:tenant": "acme"}
    assert added(handler(event("ClientCredentials", None, clientMetadata=chosen), None)) == {"tenant": "demo"}
    assert added(handler(event("HostedAuth", {"sub": "x"}, clientMetadata=chosen), None)) is None
    # A user signs in through a client that has a tenant: the user's own counts.
    assert added(handler(event("HostedAuth", {"sub": "x", "custom:tenant": "ann"}), None)) == {"tenant": "ann"}


def test_token_without_a_tenant_is_issued_and_logged(handler: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = event("ClientCredentials", None)
    unknown["callerContext"]["clientId"] = "unknown"
    assert added(handler(unknown, None)) is None
    assert added(handler(event("HostedAuth", {"sub": "x"}), None)) is None
    logged = capsys.readouterr().out.splitlines()
    assert logged == [
        "no tenant: TokenGeneration_ClientCredentials client=unknown",
        f"no tenant: TokenGeneration_HostedAuth client={CLIENT}",
    ]


def test_code_fits_into_a_template() -> None:
    assert len(code().encode()) < 4096


def test_function_may_read_the_parameters_of_clients_and_write_its_log_only(outputs: dict[str, str]) -> None:
    assert outputs["OidcIssuer"].startswith("https://cognito-idp.eu-west-1.amazonaws.com/")
    function = stacks.client("lambda").get_function(FunctionName=f"{PREFIX}-tenant-claim")["Configuration"]
    assert function["Environment"]["Variables"] == {"CLIENTS": f"/{PREFIX}/clients/"}
    role = function["Role"].rpartition("/")[2]
    policy = stacks.client("iam").get_role_policy(RoleName=role, PolicyName="tenant-claim")["PolicyDocument"]
    # moto keeps the document as Python writes it, which YAML reads.
    granted = {statement["Sid"]: statement["Resource"] for statement in yaml.safe_load(policy)["Statement"]}
    assert granted["TenantsOfClients"].endswith(f":parameter/{PREFIX}/clients/*")
    assert f"log-group:/aws/lambda/{PREFIX}-tenant-claim" in granted["Logs"]
    [group] = stacks.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{PREFIX}")["logGroups"]
    assert group["retentionInDays"] == 30


def test_outputs_are_the_settings_of_a_stage(outputs: dict[str, str]) -> None:
    # moto's CloudFormation knows no user pools, so that it leaves their ids out.
    complete = {"OidcClientId": CLIENT, **outputs}
    variables = identity.environment(complete)
    settings = Settings.from_environment(variables)
    assert {name.upper() for name in Settings.model_fields} >= set(variables)
    assert settings.oidc_audience == PREFIX
    assert settings.oidc_scope == f"openid {PREFIX}/connections:read {PREFIX}/connections:write"
    assert settings.tenant_claim == "tenant"
    with pytest.raises(KeyError, match="OidcScope"):
        identity.environment({name: value for name, value in complete.items() if name != "OidcScope"})


def test_guide_names_every_output_and_its_variable() -> None:
    guide = (ROOT / "docs" / "operations" / "identity.md").read_text(encoding="utf-8")
    for output, variable in identity.VARIABLES.items():
        assert f"| `{output}` | `{variable}` |" in guide
        assert guide.count(f"| `{variable}` |") >= 4  # Cognito, Keycloak, Auth0 and Entra ID


def resolved(value: Any, names: dict[str, Any]) -> Any:
    """A part of the template with its functions replaced; the conditions are true."""
    if isinstance(value, list):
        return [resolved(each, names) for each in value]
    match value:
        case {"Ref": name}:
            found = names[name]
        case {"Fn::Sub": text}:
            found = text.replace("${Prefix}", PREFIX).replace("${BridgeTenant}", "demo")
        case {"Fn::GetAtt": [name, _]}:
            found = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
        case {"Fn::If": [_, then, _]}:
            found = resolved(then, names)
        case dict():
            found = {key: resolved(each, names) for key, each in value.items()}
        case _:
            found = value
    return found


@pytest.fixture(scope="module")
def pool() -> Iterator[tuple[Any, str, dict[str, str]]]:
    """The template's pool and clients, made with the calls that CloudFormation makes: (client, pool id, client ids)."""
    with stacks.emulation():
        cognito = stacks.client("cognito-idp")
        names: dict[str, Any] = {"Prefix": PREFIX, "Mfa": "OPTIONAL", "ConsoleUrls": [CONSOLE], "Domain": "x"}

        def of(name: str) -> dict[str, Any]:
            found: dict[str, Any] = resolved(stacks.properties(TEMPLATE, name), names)
            return found

        users = of("Users")
        # CloudFormation sets these with a separate call.
        del users["MfaConfiguration"], users["EnabledMfas"]
        names["Users"] = cognito.create_user_pool(PoolName=users.pop("UserPoolName"), **users)["UserPool"]["Id"]
        cognito.create_resource_server(**of("Api"))
        made = {name: cognito.create_user_pool_client(**of(name)) for name in ("Console", "Bridge")}
        yield cognito, names["Users"], {name: each["UserPoolClient"]["ClientId"] for name, each in made.items()}


def test_no_client_may_write_the_tenant_and_no_user_may_sign_up(pool: tuple[Any, str, dict[str, str]]) -> None:
    cognito, users, clients = pool
    described = cognito.describe_user_pool(UserPoolId=users)["UserPool"]
    assert described["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"]
    [tenant] = [each for each in described["SchemaAttributes"] if each["Name"] == "custom:tenant"]
    assert not tenant["Required"]
    for client in clients.values():
        found = cognito.describe_user_pool_client(UserPoolId=users, ClientId=client)["UserPoolClient"]
        # Without the list, Cognito lets a client write every attribute.
        assert found["WriteAttributes"] == ["email"]
        assert "aws.cognito.signin.user.admin" not in found["AllowedOAuthScopes"]
        assert found["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]


def test_page_signs_in_without_a_secret_and_a_bridge_sends_uplinks_only(pool: tuple[Any, str, dict[str, str]]) -> None:
    cognito, users, clients = pool
    console, bridge = (
        cognito.describe_user_pool_client(UserPoolId=users, ClientId=clients[name])["UserPoolClient"]
        for name in ("Console", "Bridge")
    )
    assert "ClientSecret" not in console
    assert console["AllowedOAuthFlows"] == ["code"]
    assert console["CallbackURLs"] == [CONSOLE]
    assert console["AllowedOAuthScopes"] == ["openid", f"{PREFIX}/connections:read", f"{PREFIX}/connections:write"]
    assert bridge["ClientSecret"]
    assert bridge["AllowedOAuthFlows"] == ["client_credentials"]
    assert bridge["AllowedOAuthScopes"] == [f"{PREFIX}/uplinks:write"]
    [server] = cognito.list_resource_servers(UserPoolId=users, MaxResults=9)["ResourceServers"]
    assert server["Identifier"] == PREFIX
    assert [scope["ScopeName"] for scope in server["Scopes"]] == SCOPES


def test_pool_calls_the_function_for_access_tokens_of_users_and_machines(pool: tuple[Any, str, dict[str, str]]) -> None:
    cognito, users, _ = pool
    described = cognito.describe_user_pool(UserPoolId=users)["UserPool"]
    assert described["LambdaConfig"]["PreTokenGenerationConfig"]["LambdaVersion"] == "V3_0"
    assert stacks.properties(TEMPLATE, "Users")["UserPoolTier"] == "ESSENTIALS"

"""The settings of a stage whose issuer is the stack of ``identity.yaml``."""

from collections.abc import Mapping

VARIABLES = {
    "OidcIssuer": "OIDC_ISSUER",
    "OidcAudience": "OIDC_AUDIENCE",
    "OidcClientId": "OIDC_CLIENT_ID",
    "OidcScope": "OIDC_SCOPE",
    "TenantClaimName": "TENANT_CLAIM",
}
"""The environment variable for each output."""


def environment(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for the outputs of the stack.

    Raises KeyError with the name of an output that is missing.
    """
    return {variable: outputs[output] for output, variable in VARIABLES.items()}

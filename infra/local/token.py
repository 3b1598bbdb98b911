"""``make token``: prints a new token for the running local stack, tenant ``demo``, all scopes."""

import json
import os
import sys
from pathlib import Path

from infra.local.directory import STACK_FILE
from infra.local.issuer import ALL_SCOPES, Issuer

ISSUER_FILE = "issuer.json"


def main() -> int:
    """The command line: ``[TENANT [SCOPE ...]]``."""
    directory = Path(os.environ.get("LOCAL_DIR") or ".local")
    file = directory / ISSUER_FILE
    if not (directory / STACK_FILE).exists() or not file.exists():
        print(f"No local stack runs in {directory}. Start it with `make run`.", file=sys.stderr)
        return 1
    tenant, *scopes = sys.argv[1:] or ["demo"]
    issuer = Issuer(directory, json.loads(file.read_text(encoding="utf-8"))["issuer"])
    print(issuer.token(tenant, scopes or ALL_SCOPES))
    return 0


if __name__ == "__main__":
    sys.exit(main())

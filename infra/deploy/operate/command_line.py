"""The commands with their arguments, and their exit codes."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import Error
from chalicelib.vocabulary import ConnectionState
from infra.deploy.operate import (
    actions,
    backup,
    devices,
    fleet,
    orphans,
    output,
    queue_attributes,
    restore,
    revive,
    transfer,
)
from infra.deploy.operate.errors import NotConfirmed, OperateFailed
from infra.deploy.operate.stage import Stage, stage_named
from infra.local.errors import StackFailed

DONE, FAILED, NOT_CONFIRMED = 0, 1, 3
Command = Callable[[Stage, argparse.Namespace], int]


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code. ``argparse`` exits with 2 for wrong arguments."""
    arguments = parser().parse_args(argv)
    for option, variable in (("profile", "AWS_PROFILE"), ("region", "AWS_DEFAULT_REGION")):
        if getattr(arguments, option):
            os.environ[variable] = getattr(arguments, option)
    command: Command = arguments.command
    try:
        return command(stage_named(arguments.stage), arguments)
    except (OperateFailed, StackFailed, Error) as error:
        output.note(f"Failed: {error}")
    except ClientError as error:
        # AWS's message can repeat the request, which may carry a secret.
        output.note(f"Failed: AWS answered {error.response['Error']['Code']} to {error.operation_name}.")
    except BotoCoreError as error:
        output.note(f"Failed: AWS cannot be called ({type(error).__name__}). Check credentials, region and network.")
    except NotConfirmed:
        output.note("Nothing was done.")
        return NOT_CONFIRMED
    return FAILED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m infra.deploy.operate", description=__doc__)
    top.add_argument("--profile", help="profile of the AWS credentials")
    top.add_argument("--region", help="region of the stage")
    top.add_argument("stage", help="a stage of .chalice/config.json, or local for the running local stack")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    listed = _add(commands, "list", fleet.list_connections, "list the connections of all tenants, the worst first")
    listed.add_argument("--tenant", help="only this tenant's")
    listed.add_argument("--state", choices=[state.value for state in ConnectionState], help="only those in this state")

    _with_connection(_add(commands, "show", fleet.show_connection, "show a connection, without its secrets"))
    _with_connection(_add(commands, "restart", actions.restart, "reset the retry schedule and connect now"))
    _with_connection(_add(commands, "drain", actions.drain, "send a wake for the connection's queue"))

    backed = _add(commands, "backup", backup.back_up, "write tables, secrets and, if wanted, queued messages to files")
    backed.add_argument("directory", type=Path, metavar="DIR", help="a new directory; it holds secrets in clear text")
    queues = backed.add_mutually_exclusive_group()
    queues.add_argument("--with-queues", action="store_true", help="copy queued reports, at most ten of a device")
    queues.add_argument("--take-queues", action="store_true", help="move all queued reports and downlinks to files")
    _confirmed(backed)

    restored = _add(commands, "restore", restore.restore, "restore what is missing from a backup")
    restored.add_argument("directory", type=Path, metavar="DIR", help="the directory of a backup")
    restored.add_argument("--tenant", help="only this tenant's")
    restored.add_argument("--overwrite", action="store_true", help="replace the records of existing connections, too")
    restored.add_argument("--dry-run", action="store_true", help="only show what would be restored")
    _confirmed(restored)

    repaired = _add(commands, "repair", revive.repair, "create missing queues, find missing secrets, connect anew")
    repaired.add_argument("--tenant", help="only this tenant's")
    repaired.add_argument("--dry-run", action="store_true", help="only show what is missing")
    _confirmed(repaired)

    found = _add(commands, "find", devices.find_device, "find the connections in whose stored data a device occurs")
    found.add_argument("deveui", metavar="DEVEUI")
    found.add_argument("--tenant", help="only this tenant's")

    exported = _add(commands, "export", transfer.export_tenant, "write a tenant's configuration to a file")
    exported.add_argument("file", type=Path, metavar="FILE")
    exported.add_argument("--tenant", required=True)
    exported.add_argument("--with-secrets", action="store_true", help="write the secrets in clear text, too")

    imported = _add(commands, "import", transfer.import_tenant, "create or change what a file of export has")
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--tenant", help="the tenant to import into, by default that of the file")
    imported.add_argument("--dry-run", action="store_true", help="only show what would be created or changed")
    _confirmed(imported)

    orphaned = _add(commands, "orphans", orphans.find_orphans, "list queues, secrets and REST APIs without an owner")
    orphaned.add_argument("--remove", action="store_true", help="remove those that are older than an hour")
    orphaned.add_argument("--all", action="store_true", help="also if the stage has no connection at all")
    _confirmed(orphaned)

    migrated = _add(commands, "migrate-queues", queue_attributes.migrate_queues, "set the queues' attributes anew")
    migrated.add_argument("--tenant", help="only this tenant's")
    migrated.add_argument("--dry-run", action="store_true", help="only show what differs")
    _confirmed(migrated)
    return top


def _confirmed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="do not ask")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    added.add_argument("--json", action="store_true", help="print JSON")
    added.set_defaults(command=command)
    return added


def _with_connection(command: argparse.ArgumentParser) -> None:
    command.add_argument("connection", type=_connection, metavar="TENANT/ID", help="tenant and id of the connection")


def _connection(text: str) -> tuple[str, str]:
    tenant, slash, connection_id = text.partition("/")
    if not slash or not tenant or not connection_id:
        raise argparse.ArgumentTypeError(f"{text!r} is not TENANT/ID, such as demo/01HF7YAT00M9GG329YN3DG02SB")
    return tenant, connection_id

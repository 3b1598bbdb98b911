"""The files of a backup: items and secrets as JSON lines, and a manifest with their hashes.

Only the owner may read them. The manifest is written last, so a directory without one is an unfinished backup.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from infra.deploy.operate.errors import OperateFailed
from infra.local.files import write_atomically

MANIFEST = "backup.json"
FORMAT = 1
CONNECTIONS, APPLICATION_SERVERS, FAILED_MESSAGES = "connections", "application-servers", "failed-messages"
SECRETS = "secrets"
QUEUES = "queues"


class BackupFiles:
    """The directory of a backup."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def new(cls, directory: Path) -> "BackupFiles":
        """Create the directory. Raises OperateFailed when it has files."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        if any(directory.iterdir()):
            raise OperateFailed(f"The directory {directory} is not empty. Give a new one.")
        (directory / QUEUES).mkdir(mode=0o700)
        return cls(directory)

    @classmethod
    def existing(cls, directory: Path) -> "BackupFiles":
        """Open a finished backup. Raises OperateFailed when a file is missing or was changed."""
        files = cls(directory)
        manifest = files.manifest()
        if manifest["format"] != FORMAT:
            raise OperateFailed(f"The backup {directory} has the format {manifest['format']}, not {FORMAT}.")
        for name, digest in manifest["files"].items():
            if not (directory / name).exists() or _digest(directory / name) != digest:
                raise OperateFailed(f"The file {directory / name} is missing or was changed after the backup.")
        return files

    def manifest(self) -> dict[str, Any]:
        """Return the manifest. Raises OperateFailed when the backup is unfinished."""
        path = self._directory / MANIFEST
        if not path.exists():
            raise OperateFailed(f"{path} does not exist. The backup was not finished, or this is not its directory.")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def finish(self, fields: Mapping[str, Any]) -> None:
        """Write the manifest with ``fields`` and the hash of every file."""
        names = sorted(str(path.relative_to(self._directory)) for path in self._directory.rglob("*.jsonl"))
        digests = {name: _digest(self._directory / name) for name in names}
        write_atomically(self._directory / MANIFEST, {"format": FORMAT, **fields, "files": digests})

    def write(self, name: str, documents: Iterable[Mapping[str, Any]]) -> int:
        """Write documents to a file, each in a line, and return their number."""
        number = 0
        with self.appending(name) as lines:
            for document in documents:
                lines.add(document)
                number += 1
        return number

    def appending(self, name: str) -> "Lines":
        """Return a file that lines are added to."""
        return Lines(self._directory / f"{name}.jsonl")

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the documents of a file, none if it does not exist."""
        path = self._directory / f"{name}.jsonl"
        if path.exists():
            with path.open(encoding="utf-8") as file:
                # A killed process leaves a part of a line, of a message that it has not taken.
                yield from (json.loads(line) for line in file if line.endswith("\n"))

    def progress(self, prefix: str) -> dict[str, int]:
        """Return the number of messages that an unfinished restore sent, by queue that it created."""
        path = self._progress(prefix)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def note_progress(self, prefix: str, progress: Mapping[str, int]) -> None:
        """Store the progress of a restore into the stage with this prefix."""
        write_atomically(self._progress(prefix), dict(progress))

    def forget_progress(self, prefix: str) -> None:
        """Remove the progress of a restore that has ended, so that the next one begins anew."""
        self._progress(prefix).unlink(missing_ok=True)

    def _progress(self, prefix: str) -> Path:
        return self._directory / f"restoring-{prefix}.json"


class Lines:
    """A file of JSON lines that only the owner may read."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, document: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(document, ensure_ascii=False) + "\n")

    def sync(self) -> None:
        """Return when the lines are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())


def to_document(item: Any) -> Any:
    """Return an item of DynamoDB's SDK as JSON: bytes become text in Base64."""
    match item:
        case bytes():
            return base64.b64encode(item).decode("ascii")
        case dict():
            return {name: to_document(value) for name, value in item.items()}
        case list():
            return [to_document(value) for value in item]
    return item


def to_item(document: Any) -> Any:
    """Return the item of a document, the inverse of ``to_document``."""
    match document:
        # An attribute that is itself named B holds an object here, bytes hold text.
        case {"B": str(text)}:
            return {"B": base64.b64decode(text)}
        case dict():
            return {name: to_item(value) for name, value in document.items()}
        case list():
            return [to_item(value) for value in document]
    return document


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

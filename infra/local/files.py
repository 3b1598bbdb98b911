"""Files that others read while they are written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, document: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part. Only the owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise

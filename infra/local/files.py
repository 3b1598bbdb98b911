"""Files that other processes read while this one writes them."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, document: Any) -> None:
    """Writes JSON so that a reader sees the old or the new file, never a partial one. Only the owner may read it."""
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

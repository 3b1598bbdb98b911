"""The runtime of all functions on AWS Lambda, whatever Python runs the deployment."""

PYTHON = (3, 13)
RUNTIME = f"python{PYTHON[0]}.{PYTHON[1]}"
GLIBC = (2, 34)
GLIBCXX = (3, 4, 29)
"""Versions of Amazon Linux 2023, the system of this runtime."""
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""The machine's name in the tags of wheels, by Lambda's name of the architecture."""
TASK_ROOT = "/var/task"
"""The folder into which Lambda unpacks a function's package."""


class PackageFailed(Exception):
    """The package cannot be built. The text is for the user who deploys."""

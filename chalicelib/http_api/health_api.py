"""Handler of ``/health``."""

from chalice.app import Request, Response

from chalicelib import __version__
from chalicelib.config import Settings
from chalicelib.errors import Unfinished
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response


class HealthApi:
    """Answer that the API works, with its release, to everyone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @answered
    def get(self, _request: Request) -> Response:
        """Return 200, or 503 while settings have no value or still that of the example."""
        if unfinished := self._settings.unfinished():
            raise Unfinished(f"Settings without a value, or with that of the example: {', '.join(unfinished)}.")
        return json_response({"status": "ok", "release": __version__})

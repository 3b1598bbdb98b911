"""HTTP without redirects."""

import urllib.request
from typing import Any


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: credentials are sent to the configured address only."""

    def redirect_request(self, *_args: Any) -> None:
        """Refuse the redirect."""

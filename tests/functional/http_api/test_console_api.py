"""The files of the web page over HTTP: their addresses, caching and security headers."""

import json
import posixpath
import re
from typing import Any

import pytest

from app import app
from chalicelib.config import Settings
from chalicelib.entry.services import Services
from chalicelib.http_api.console_api import FILES, ConsoleApi
from chalicelib.http_api.issuer import Issuer
from tests.functional.doubles import ISSUER, Api

POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
OIDC = Settings(oidc_issuer=ISSUER, oidc_client_id="page", tenant_claim="tenant")
DISCOVERED = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/jwks",
    "authorization_endpoint": "https://login.test/authorize",
    "token_endpoint": "https://login.test/token",
}


FOLDERS = (
    "",
    "calls/",
    "drivers/",
    "flows/",
    "messages/",
    "notifications/",
    "overview/",
    "parts/",
    "styles/",
    "texts/",
    "views/",
)


@pytest.fixture
def console(api: Api) -> Api:
    return api.as_token(None)


def with_issuer(services: Services, document: Any) -> None:
    issuer = Issuer(ISSUER, lambda _: json.dumps(document).encode())
    services.console_api = ConsoleApi(OIDC, issuer)


def test_page_needs_no_token_and_sends_its_policy(console: Api) -> None:
    answer = console.call("GET", "/console")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


def test_unchanged_file_is_answered_with_304(console: Api) -> None:
    for path in ("/console", "/console/main.js", "/console/parts/dom.js", "/console/config.json"):
        etag = console.call("GET", path).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = console.call("GET", path, If_None_Match=known)
            assert (answer.status, answer.body) == (304, b""), known
            assert answer.headers["etag"] == etag
        assert console.call("GET", path, If_None_Match='"other"').status == 200


def test_every_reference_leads_to_a_file_that_browsers_keep_forever(console: Api) -> None:
    page = console.call("GET", "/console").body.decode()
    named = set(re.findall(r'"console/([a-z_/]+\.\w+\?v=\w+)"', page))
    for name in sorted(named):
        answer = console.call("GET", f"/console/{name}")
        assert answer.status == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        targets = imports(name, r'from "([^"]+)"', answer.body.decode())
        assert targets <= named, f"{name} imports files that index.html does not preload"


def test_every_file_is_loaded_with_the_page_or_with_a_view(console: Api) -> None:
    page = console.call("GET", "/console").body.decode()
    first = set(re.findall(r'"console/([a-z_/]+\.\w+\?v=\w+)"', page))
    seen: set[str] = set()
    waiting = set(first)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        answer = console.call("GET", f"/console/{name}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", name
        waiting |= imports(name, r'(?:from |import\(|new URL\()"([^"]+\?v=\w+)"', answer.body.decode()) - seen
    files = {path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file()}
    assert {name.partition("?")[0] for name in seen} == files - {"index.html"}
    assert {name for name in seen if name.startswith(("flows/", "drivers/"))}.isdisjoint(first)


def imports(name: str, pattern: str, text: str) -> set[str]:
    """Return the paths of the files that a file imports."""
    found = re.findall(pattern, text)
    return {posixpath.normpath(posixpath.join(posixpath.dirname(name), each)) for each in found}


def test_every_folder_of_the_page_is_tested_below() -> None:
    folders = {f"{path.name}/" for path in FILES.rglob("*") if path.is_dir()}
    assert {"", *folders} == set(FOLDERS)


def test_sibling_path_parameters_have_one_name() -> None:
    """API Gateway refuses ``/a/{x}`` beside ``/a/{y}/b``."""
    names: dict[str, set[str]] = {}
    for path in app.routes:
        for match in re.finditer(r"/\{(\w+)\}", path):
            names.setdefault(path[: match.start()], set()).add(match[1])
    assert [found for found in names.values() if len(found) > 1] == []


def test_file_of_another_version_is_revalidated(console: Api) -> None:
    assert console.call("GET", "/console/main.js?v=old").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..", "%2e%2e", "..%2fconfig.py", "..%2f..%2fapp.py", "%2fetc%2fpasswd", "a%00", "",
     "config.py", "..%2fmain.js", "parts%2fdom.js", "%2e%2e%2findex.html", "..%5cmain.js"],
)  # fmt: skip
def test_only_files_of_the_page_are_served(console: Api, folder: str, name: str) -> None:
    answer = console.call("GET", f"/console/{folder}{name}")
    if folder + name:
        assert answer.status == 404
    else:
        assert (answer.status, answer.headers["location"]) == (308, "../console")


def test_file_is_served_from_its_folder_only(console: Api) -> None:
    for path in ("dom.js", "views/dom.js", "parts/main.js", "parts/config.json", "styles/icon.svg"):
        assert console.call("GET", f"/console/{path}").status == 404, path


def test_trailing_slash_redirects_to_the_page_under_any_stage(services: Services) -> None:
    class Request:
        context = {"path": "/api/console/"}  # noqa: RUF012
        path = "/console"
        headers: dict[str, str] = {}  # noqa: RUF012

    answer = services.console_api.page(Request())  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["Location"]) == (308, "../console")


def test_page_offers_tokens_only_without_a_client_at_the_issuer(console: Api) -> None:
    assert console.call("GET", "/console/config.json").json == {"tenantClaim": "tenant", "oidc": None}


def test_page_gets_the_addresses_of_the_issuer_and_may_connect_to_them(console: Api, services: Services) -> None:
    with_issuer(services, DISCOVERED)
    assert console.call("GET", "/console/config.json").json["oidc"] == {
        "clientId": "page",
        "scope": "openid connections:read connections:write",
        "authorizationEndpoint": "https://login.test/authorize",
        "tokenEndpoint": "https://login.test/token",
    }
    policy = console.call("GET", "/console").headers["content-security-policy"]
    assert policy == f"{POLICY}; connect-src 'self' {ISSUER} https://login.test"


@pytest.mark.parametrize("change", [{"token_endpoint": 7}, {"issuer": "https://other.test"}])
def test_page_is_served_while_an_unusable_issuer_is_503(
    console: Api, services: Services, change: dict[str, Any]
) -> None:
    with_issuer(services, DISCOVERED | change)
    assert console.call("GET", "/console/config.json").status == 503
    answer = console.call("GET", "/console")
    assert (answer.status, answer.headers["content-security-policy"]) == (200, f"{POLICY}; connect-src 'self' {ISSUER}")


def test_issuer_cannot_extend_the_policy(console: Api, services: Services) -> None:
    with_issuer(services, DISCOVERED | {"token_endpoint": "https://x.test; script-src *"})
    assert "script-src" not in console.call("GET", "/console").headers["content-security-policy"]


def test_page_has_no_code_that_parses_html_and_no_foreign_address() -> None:
    for path in FILES.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage", text), (
            path.name
        )
        assert not re.search(r"https?://(?!www\.w3\.org/|hooks\.example\.com/)", text), path.name
        assert len(text.splitlines()) <= 350, path.name


def test_comments_indentation_and_empty_lines_are_not_sent(console: Api) -> None:
    source = (FILES / "parts/dom.js").read_text(encoding="utf-8")
    served = console.call("GET", "/console/parts/dom.js").body.decode()
    assert "/*" in source
    assert not re.search(r"/\*|^\s*//|^ | $|\n\n", served, re.MULTILINE)
    before, after = source.splitlines(), served.splitlines()
    number = before.index("export function button(text, options = {}) {")
    begin = after.index(before[number])
    assert after[begin : begin + 2] == [each.strip() for each in before[number : number + 2]]


def test_no_string_of_the_page_looks_like_a_comment() -> None:
    """The server removes comments without parsing strings."""
    for path in [*FILES.rglob("*.js"), *FILES.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).splitlines(), 1):
            code = re.sub(r"^\s*//.*", "", line)
            assert code.count("`") % 2 == 0, f"{path.name}:{number}: a template spans lines"
            assert not re.search(r"/\*|\*/", code), f"{path.name}:{number}"
        for line in text.splitlines():
            assert line.partition("/*")[0].count('"') % 2 == 0, f"{path.name}: {line}"

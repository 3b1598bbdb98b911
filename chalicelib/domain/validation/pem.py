"""Normalisation of pasted PEM texts to the form that OpenSSL reads (RFC 7468)."""

import re
from dataclasses import dataclass

from chalicelib.errors import PemError

MAX_LABEL = 40
"""Maximum number of characters between BEGIN and the dashes; no label in use is longer."""

_ESCAPED_BREAK = re.compile(r"\\{1,2}[nrt]")
# The dashes after a marker are matched by lookahead, because on one line they also precede the next marker. The
# lookbehind and the small bounds keep this linear on hostile text.
_MARKER = re.compile(
    rf"(?<!-)-{{2,32}} {{0,3}}(?P<edge>BEGIN|END) {{1,3}}"
    rf"(?P<label>[A-Z0-9][A-Z0-9 ]{{0,{MAX_LABEL - 1}}}?) {{0,3}}(?=--)"
)
# Base64 may spell BEGIN or END, but has neither blanks nor dashes on a line.
_DAMAGED = re.compile(r"(?:BEGIN|END)[ -]|[ -](?:BEGIN|END)")
_SPACE = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_BARE_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{64,}")
_SYNONYMS = {
    "X509 CERTIFICATE": "CERTIFICATE",
    "TRUSTED CERTIFICATE": "CERTIFICATE",
    "NEW CERTIFICATE REQUEST": "CERTIFICATE REQUEST",
}
_PARAMETERS = frozenset({"EC PARAMETERS", "DSA PARAMETERS"})
"""Blocks that OpenSSL writes before a key; they are dropped, because the key contains the parameters."""


@dataclass(frozen=True)
class Block:
    """One block of a PEM text. ``body`` is its base64 without line breaks, and is never shown by ``repr``.

    An encrypted block has an empty ``body``.
    """

    label: str
    body: str
    encrypted: bool = False

    def __repr__(self) -> str:
        return f"Block({self.label})"

    @property
    def text(self) -> str:
        lines = [self.body[at : at + 64] for at in range(0, len(self.body), 64)]
        return "\n".join((f"-----BEGIN {self.label}-----", *lines, f"-----END {self.label}-----", ""))


def normalise_pem(text: str) -> str:
    """Return ``text`` in the form of RFC 7468: five dashes, lines of 64 characters, no text outside the blocks.

    Accepts line breaks lost or written as ``\\n``, CRLF, blanks and a byte order mark. Accepts the attributes that
    PKCS#12 exports leave between blocks, and markers with two or more dashes. Raises PemError.
    """
    return "".join(block.text for block in blocks(text))


def blocks(text: str) -> list[Block]:
    """Return the blocks of a PEM text, in order. Raises PemError."""
    text = _ESCAPED_BREAK.sub("\n", text.replace("\ufeff", ""))
    markers = list(_MARKER.finditer(text))
    if not markers:
        raise PemError(_without_markers(text))
    found: list[Block] = []
    for begin, end in zip(markers[::2], [*markers[1::2], None], strict=False):
        if begin["edge"] != "BEGIN":
            raise PemError("An END line has no BEGIN line before it; paste the whole file.")
        if end is None or end["edge"] != "END":
            raise PemError(f"The {_name(begin)} has no END line; the text was cut off, paste the whole file.")
        if end["label"] != begin["label"]:
            raise PemError(f"The {_name(begin)} has an END line of another kind; paste the file unchanged.")
        if begin["label"] not in _PARAMETERS:
            label = _SYNONYMS.get(begin["label"], begin["label"])
            found.append(_block(label, text[begin.end() : end.start()].lstrip("-")))
    if not found:
        raise PemError("The text contains only parameters, neither a certificate nor a key.")
    return found


def _name(marker: re.Match[str]) -> str:
    return f"block {marker['label']}"


def _block(label: str, content: str) -> Block:
    encrypted = label.startswith("ENCRYPTED") or ("Proc-Type" in content and "ENCRYPTED" in content)
    if encrypted:
        return Block(label, "", encrypted=True)
    if ":" in content:
        # Headers such as "Comment: ..." stand before an empty line.
        _, _, content = content.replace("\r", "").partition("\n\n")
    if "..." in content or "\u2026" in content:
        raise PemError(f"The block {label} was shortened with dots; paste all of it.")
    body = _SPACE.sub("", content)
    if not body:
        raise PemError(f"The block {label} is empty; paste the whole file.")
    bare = body.rstrip("=")
    if not _BASE64.fullmatch(body) or len(bare) % 4 == 1:
        raise PemError(f"The block {label} is not valid base64; paste the file unchanged.")
    return Block(label, bare + "=" * (-len(bare) % 4))


def _without_markers(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "The text contains only blanks; paste a PEM file."
    if _DAMAGED.search(stripped):
        return "The BEGIN and END lines are damaged; they look like -----BEGIN CERTIFICATE-----."
    if stripped.startswith(("ssh-", "ecdsa-")):
        return "This is an SSH key; a PEM file that begins with -----BEGIN is needed."
    if any(ord(character) < 32 and character not in "\t\r\n" for character in stripped):  # noqa: PLR2004
        return "This looks like DER or PKCS#12, a binary format; convert it to PEM with openssl and paste that."
    if _BARE_BASE64.fullmatch(stripped):
        return "The BEGIN and END lines are missing; paste the whole PEM file, from -----BEGIN to END-----."
    return "This is not PEM; paste a file that begins with -----BEGIN, or choose it with the file button."

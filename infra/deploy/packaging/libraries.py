"""Compiled libraries as they are shipped: without debug information, which only a debugger reads.

A wheel may have more of it than code; that of quickjs-ng is six sevenths of it.
"""

import struct

_ALLOCATED = 2
"""The flag of a section that is loaded into memory."""
_SECTION = struct.Struct("<IIQQQQIIQQ")
"""A section's header in a 64-bit ELF file."""


def without_debug_information(library: bytes) -> bytes:
    """Return a 64-bit little-endian ELF library with zeros for debug information, or another file as it is.

    Nothing moves within the file, so that no offset changes. The zeros take no place in a compressed package.
    """
    if not library.startswith(b"\x7fELF\x02\x01"):
        return library
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, number, names = struct.unpack_from("<HHH", library, 0x3A)
    sections = [_SECTION.unpack_from(library, table + index * size) for index in range(number)]
    texts = sections[names][4]
    written = bytearray(library)
    for name, _, flags, _, offset, length, *_ in sections:
        if library.startswith(b".debug", texts + name) and not flags & _ALLOCATED:
            written[offset : offset + length] = bytes(length)
    return bytes(written)

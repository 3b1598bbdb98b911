"""The key that a downlink queue is bound with."""

import pytest

from chalicelib.topics import binding_key


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("down.{DevEUI}", "down.*"),
        ("mqtt.things.{DevEUI}.downlink", "mqtt.things.*.downlink"),
        ("{CustomerData.name|DevEUI|'None'}.down", "*.down"),
        ("a.x-{DevEUI}-y.b", "a.*.b"),
        ("{$..CustomerData.tags[?(@ =~ /a{2,3}\\.b/)]}.d", "*.d"),
        ("{a|'}.{'}.d", "*.d"),
        ("plain.key", "plain.key"),
        ("all.#", "all.#"),
        ("{a}{b.c}.{d}", "*.*"),
        ("", ""),
    ],
)
def test_words_with_braces_become_stars(pattern: str, key: str) -> None:
    assert binding_key(pattern) == key


def test_an_open_brace_is_refused() -> None:
    with pytest.raises(ValueError, match="not closed"):
        binding_key("down.{DevEUI")

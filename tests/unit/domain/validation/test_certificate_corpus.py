"""A corpus of PEM texts: every form of a pair is taken, everything else is refused with its sentence."""

import pytest

from chalicelib.adapters.amqp.tls import tls_context
from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.domain.validation.certificates import check_ca, check_certificate_pair, normalise_pem
from tests.corpora.pem_texts import (
    MANGLED,
    NOW,
    OLD_CERTIFICATES,
    PAIRS,
    PASTED,
    WRONG_CERTIFICATES,
    WRONG_KEYS,
    certificate,
    curve_key,
    key_text,
)

PLACES = {
    "certificate": "/configuration/certificate",
    "key": "/configuration/privateKey",
    "bundle": "/configuration/trustedCaCertificate",
}


def refusal(field: str, text: str) -> str:
    if field == "bundle":
        found = check_ca(text, NOW)
    else:
        found = check_certificate_pair(text if field == "certificate" else None, text if field == "key" else None, NOW)
    assert [fault.pointer for fault in found] == [PLACES[field]]
    return found[0].detail


@pytest.mark.parametrize("form", PASTED)
@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_is_taken_in_every_form(pair: str, form: str) -> None:
    make, key_form = PAIRS[pair]
    chain, key = certificate(make()) + certificate(curve_key(), common_name="CA"), key_text(make(), key_form)
    paste = PASTED[form]
    assert check_certificate_pair(paste(chain), paste(key), NOW) == []
    assert check_ca(paste(chain), NOW) == []
    assert (normalise_pem(paste(chain)), normalise_pem(paste(key))) == (chain, key)


@pytest.mark.parametrize("pair", PAIRS)
def test_openssl_takes_what_is_taken_here(pair: str) -> None:
    make, key_form = PAIRS[pair]
    chain, key = certificate(make()) + certificate(curve_key(), common_name="CA"), key_text(make(), key_form)
    secrets = ConnectionSecrets(certificate=chain, private_key=key, trusted_ca_certificate=chain)
    assert tls_context(secrets).cert_store_stats()["x509"] == 2


@pytest.mark.parametrize("field", PLACES)
@pytest.mark.parametrize("kind", MANGLED)
def test_what_is_mangled_is_refused_with_its_sentence_in_every_field(kind: str, field: str) -> None:
    mangle, words = MANGLED[kind]
    text = mangle(key_text() if field == "key" else certificate())
    detail = refusal(field, text)
    assert words in detail
    assert detail.endswith(".")
    # Shorter ones are the markers, which the sentences name.
    assert not any(line in detail for line in text.splitlines() if len(line) >= 24)


@pytest.mark.parametrize("field", ["certificate", "bundle"])
@pytest.mark.parametrize("kind", WRONG_CERTIFICATES)
def test_what_is_no_certificate_is_called_by_its_name(kind: str, field: str) -> None:
    make, words = WRONG_CERTIFICATES[kind]
    assert words in refusal(field, make())


@pytest.mark.parametrize("kind", OLD_CERTIFICATES)
def test_a_certificate_that_no_broker_would_take_is_refused(kind: str) -> None:
    make, words = OLD_CERTIFICATES[kind]
    assert words in refusal("certificate", make())


@pytest.mark.parametrize("form", ["as it is", "one line", "two dashes", "escaped breaks"])
@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_an_unusable_key_is_refused_in_whatever_form(kind: str, form: str) -> None:
    make, words = WRONG_KEYS[kind]
    assert words in refusal("key", PASTED[form](make()))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("other", PAIRS)
def test_a_key_and_a_certificate_belong_together_or_are_refused(pair: str, other: str) -> None:
    make, _ = PAIRS[pair]
    make_other, form = PAIRS[other]
    found = check_certificate_pair(certificate(make()), key_text(make_other(), form), NOW)
    assert (found == []) == (make is make_other)
    assert all("does not belong to the certificate" in fault.detail for fault in found)


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(PASTED) + len(MANGLED) + len(WRONG_CERTIFICATES) + len(OLD_CERTIFICATES) + len(WRONG_KEYS) >= 70
    pairs = [(certificate(make()), key_text(make(), form)) for make, form in PAIRS.values()]
    texts = {paste(text) for pair in pairs for text in pair for paste in PASTED.values()}
    texts |= {mangle(text) for text in pairs[0] for mangle, _ in MANGLED.values()}
    texts |= {make() for table in (WRONG_CERTIFICATES, OLD_CERTIFICATES, WRONG_KEYS) for make, _ in table.values()}
    assert len(texts) >= 200

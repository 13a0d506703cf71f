from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signing_keys import KINDS, new_key

from zeekml.ensemble.signing.keys import hash_of, read_public_key
from zeekml.ensemble.signing.signature import sign, signed_digests
from zeekml.errors import BundleError

if TYPE_CHECKING:
    from zeekml.ensemble.signing.keys import PrivateKey

HERE = Path(__file__).parent
DIGESTS = {"member_0.tflite": "ab" * 32, "manifest.json": "0123456789abcdef" * 4}
PAYLOAD_TYPE = "application/vnd.in-toto+json"
KEY = new_key()
GOOD = sign("default", DIGESTS, KEY)


def refusal(data: bytes, key: PrivateKey = KEY) -> str:
    with pytest.raises(BundleError) as caught:
        signed_digests(data, key.public_key())
    assert str(caught.value).isprintable()
    return str(caught.value)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The good signature with a change outside of what is signed."""
    found = json.loads(GOOD)
    change(found)
    return json.dumps(found).encode()


def signing(change: Callable[[dict[str, Any]], object], key: PrivateKey = KEY) -> bytes:
    """A signature by the key of a statement with a change."""
    payload = base64.b64decode(json.loads(GOOD)["dsseEnvelope"]["payload"])
    statement = json.loads(payload)
    change(statement)
    return resigned(json.dumps(statement).encode(), key)


def resigned(payload: bytes, key: PrivateKey = KEY) -> bytes:
    encoded = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    made: Any = key
    signed = base64.b64encode(made.sign(encoded, *hash_of(key))).decode()

    def change(found: dict[str, Any]) -> None:
        envelope = found["dsseEnvelope"]
        envelope["payload"] = base64.b64encode(payload).decode()
        envelope["signatures"] = [{"sig": signed, "keyid": ""}]

    return changed(change)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_signed_is_read(kind: str) -> None:
    key = new_key(kind)
    assert signed_digests(sign("default", DIGESTS, key), key.public_key()) == DIGESTS


def test_ed25519_gives_the_same_signature_whatever_the_order() -> None:
    assert sign("default", dict(reversed(DIGESTS.items())), KEY) == GOOD


def test_the_documented_form() -> None:
    found = json.loads(GOOD)
    assert found["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert set(found["verificationMaterial"]) == {"publicKey", "tlogEntries"}
    envelope = found["dsseEnvelope"]
    assert envelope["payloadType"] == PAYLOAD_TYPE
    assert set(envelope["signatures"][0]) == {"sig", "keyid"}
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "default", "digest": statement["subject"][0]["digest"]}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": ["model.sig"],
            },
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": DIGESTS[name]}
                for name in sorted(DIGESTS)
            ],
        },
    }


def test_a_signature_of_the_openssf_tool() -> None:
    """Made by `model_signing sign key`, version 1.1.1, of two small files."""
    key = read_public_key(HERE / "model_signing_1.1.1.pub")
    data = (HERE / "model_signing_1.1.1.sig").read_bytes()
    assert signed_digests(data, key) == {
        "manifest.json": "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
        "member_0.tflite": "e31ab643c44f7a0ec824b59d1194d60dac334200d845e61d2d289daa0f087ea4",
    }


def test_another_key() -> None:
    for kind in KINDS:
        assert "was made with the key " in refusal(GOOD, new_key(kind))
    # without a hint nobody can say
    without = changed(lambda s: s["verificationMaterial"]["publicKey"].clear())
    assert signed_digests(without, KEY.public_key()) == DIGESTS
    assert "does not fit the key" in refusal(without, new_key())


def test_a_hint_is_not_believed() -> None:
    other = sign("default", DIGESTS, new_key())
    found = json.loads(other)
    found["verificationMaterial"] = json.loads(GOOD)["verificationMaterial"]
    assert "does not fit the key" in refusal(json.dumps(found).encode())


@settings(max_examples=300, derandomize=True)
@given(st.data())
def test_no_damage_is_taken_for_a_signature_of_something_else(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 3)) :]
    else:
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = signed_digests(bytes(damaged), KEY.public_key())
    except BundleError as error:
        assert str(error).isprintable()
    else:
        # it was not in what is signed
        assert found == DIGESTS


@settings(max_examples=200, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"a":' * 100_000, "cannot be read"),
        (b'{"mediaType": "\x1b[2J"}', "cannot be read"),
        (changed(lambda s: s.pop("dsseEnvelope")), "missing required field `dsseEnvelope`"),
        (changed(lambda s: s["dsseEnvelope"].update(payload="*")), "cannot be read"),
        (changed(lambda s: s["dsseEnvelope"].update(payload="")), "does not fit"),
        (changed(lambda s: s["dsseEnvelope"].update(payloadType="text/plain")), "not a signature"),
        (changed(lambda s: s.update(mediaType="x")), "not a signature of a model"),
        (changed(lambda s: s["dsseEnvelope"].update(signatures=[])), "holds 0 signatures"),
        (changed(lambda s: s["dsseEnvelope"]["signatures"].append({"sig": ""})), "holds 2"),
        (changed(lambda s: s["dsseEnvelope"]["signatures"][0].update(sig="")), "does not fit"),
        (changed(lambda s: s["dsseEnvelope"]["signatures"][0].update(sig="AA==")), "does not fit"),
        (
            changed(
                lambda s: (
                    s["verificationMaterial"]["publicKey"].update(hint="\x1b[2J")
                    or s["dsseEnvelope"].update(payload="")
                )
            ),
            r"was made with the key \x1b[2J",
        ),
    ],
)
def test_hostile_envelopes(data: bytes, why: str) -> None:
    assert why in refusal(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (resigned(b""), "the statement cannot be read"),
        (resigned(b"[" * 100_000), "the statement cannot be read"),
        (signing(lambda s: s.update(_type="x")), "not one of model signing 1.0"),
        (signing(lambda s: s.update(predicateType="x")), "not one of model signing 1.0"),
        (signing(lambda s: s.update(subject=[])), "contradicts itself"),
        (signing(lambda s: s["subject"].append(s["subject"][0])), "contradicts itself"),
        (signing(lambda s: s["subject"][0]["digest"].clear()), "contradicts itself"),
        (signing(lambda s: s["predicate"]["resources"].pop()), "contradicts itself"),
        (
            signing(lambda s: s["predicate"]["resources"][0].update(digest="xyz")),
            "contradicts itself",
        ),
        (
            signing(lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0])),
            "named twice",
        ),
        (
            signing(lambda s: s["predicate"]["resources"][0].update(algorithm="md5")),
            "by their SHA-256",
        ),
        (
            signing(lambda s: s["predicate"]["serialization"].update(method="shards")),
            "by their SHA-256",
        ),
    ],
)
def test_statements_that_the_key_signed_and_that_are_none_of_ours(data: bytes, why: str) -> None:
    assert why in refusal(data)


def test_what_else_a_later_version_states_is_left_alone() -> None:
    more = signing(lambda s: s["predicate"].update(card={"licence": "CC0-1.0"}))
    assert signed_digests(more, KEY.public_key()) == DIGESTS

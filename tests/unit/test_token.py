"""The join token: text and back, and nothing that looks like one passes for one."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.token import JoinToken, TokenInvalid, fingerprint, secret_digest, spoken

LABELS = st.text("abcxyz0189", min_size=1, max_size=12)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join) | st.just("[2001:db8::1]")
PORTS = st.none() | st.integers(1, 65535)
GOOD = JoinToken.create("https://rengo.example.jp:8443", bytes(32))


@given(HOSTS, PORTS, st.binary(min_size=32, max_size=32), st.sampled_from(["", " ", "\n", "\r\n", "\t \n"]))
def test_text_and_back_gives_the_same_token(host: str, port: int | None, root_key: bytes, space: str) -> None:
    token = JoinToken.create(f"https://{host}" + (f":{port}" if port else ""), root_key)
    parsed = JoinToken.parse(space + token.text() + space)
    assert parsed == token
    assert parsed.root == hashlib.sha256(root_key).digest()
    assert parsed.secret_digest() == secret_digest(token.secret)


@given(st.text(max_size=200))
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(TokenInvalid) as caught:
        JoinToken.parse(text)
    assert caught.value.exit_code == 4
    assert len(text) < 8 or text not in str(caught.value)


@given(st.data())
def test_a_token_that_is_cut_off_is_refused(data: st.DataObject) -> None:
    text = GOOD.text()
    with pytest.raises(TokenInvalid):
        JoinToken.parse(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        ("https://", "file:///"),
        ("rengo1", "rengo2"),
        (GOOD.root.hex(), GOOD.root.hex().upper()[:-1] + "G"),
        (GOOD.root.hex(), GOOD.root.hex()[:-2]),
        (GOOD.secret, GOOD.secret[:-1] + "="),
        (GOOD.secret, GOOD.secret + "A"),
        ("https://rengo.example.jp:8443", "https://"),
        ("https://rengo.example.jp:8443", "https://rengo.example.jp:notaport"),
        ("https://rengo.example.jp:8443", "https://[2001:db8::1"),
    ],
    ids=[
        "http",
        "file",
        "version",
        "no hex",
        "short root",
        "no base64",
        "long secret",
        "no host",
        "no port",
        "cut host",
    ],
)
def test_a_changed_part_is_refused(old: str, new: str) -> None:
    changed = GOOD.text().replace(old, new, 1)
    assert changed != GOOD.text()
    with pytest.raises(TokenInvalid) as caught:
        JoinToken.parse(changed)
    assert GOOD.secret not in str(caught.value)
    assert GOOD.secret not in caught.value.text("ja")


def test_secrets_differ_and_are_in_no_repr() -> None:
    one, other = (JoinToken.create("https://a", bytes(32)) for _ in range(2))
    assert one.secret != other.secret
    assert one.secret not in repr(one)
    assert len(one.secret) == 43  # 32 random bytes


def test_a_fingerprint_is_read_out_in_groups_of_four() -> None:
    digest = fingerprint(b"key")
    assert spoken(digest).replace(" ", "") == hashlib.sha256(b"key").hexdigest()
    assert {len(group) for group in spoken(digest).split(" ")} == {4}

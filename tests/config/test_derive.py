import base64
import hashlib
import hmac
import re
import ssl
import traceback
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import assume, given
from hypothesis import strategies as st

from config import derive as d
from config.derive import Purpose, Seed
from tests.judges import judge

SEED = Seed(bytes(range(32)))
FIRST_DAY, LAST_DAY = date(2026, 1, 1), date(2035, 12, 31)
SERVER_LAST_DAY = date(2027, 12, 31)
NAMES = ["mqtt.oslo.example.com", "oslo"]
ADDRESSES = [ip_address("10.100.0.2"), ip_address("fd00::2")]

seeds = st.binary(min_size=32, max_size=32).map(Seed)
sites = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
users = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True)
epochs = st.integers(min_value=1, max_value=10**6)
PER_USER = [Purpose.MQTT_USER, Purpose.MQTT_SALT, Purpose.INFLUXDB]


@st.composite
def places(draw: st.DrawFn) -> tuple[str, Purpose, str | None, int]:
    """Where a derived secret stands: site, purpose, user, epoch."""
    purpose = draw(st.sampled_from(Purpose))
    return draw(sites), purpose, draw(users) if purpose in PER_USER else None, draw(epochs)


def derived(seed: Seed, place: tuple[str, Purpose, str | None, int], length: int = 32) -> bytes:
    site, purpose, user, epoch = place
    return d.derive(seed, site, purpose, epoch, length, user=user)


def authority(site: str = "oslo", epoch: int = 1) -> d.CertifiedKey:
    return d.certificate_authority(SEED, site, epoch, not_before=FIRST_DAY, not_after=LAST_DAY)


def server(**changed: Any) -> d.CertifiedKey:
    arguments: dict[str, Any] = {
        "authority": authority(),
        "names": NAMES,
        "addresses": ADDRESSES,
        "not_before": FIRST_DAY,
        "not_after": SERVER_LAST_DAY,
    }
    return d.server_certificate(SEED, "oslo", 1, **(arguments | changed))


def loaded(key: d.CertifiedKey) -> x509.Certificate:
    return x509.load_pem_x509_certificate(key.certificate.encode())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rfc5869(key_material: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt, written from the RFC and from nothing of ours."""
    pseudorandom = hmac.digest(b"", key_material, "sha256")
    output = block = b""
    counter = 0
    while len(output) < length:
        counter += 1
        block = hmac.digest(pseudorandom, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


# The seed


def test_a_seed_is_read_from_its_base64_text() -> None:
    assert Seed.parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n") == SEED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAECAwQFBgcICQoLDA0ODw==",
        base64.b64encode(bytes(33)).decode(),
        "not base64, but a secret",
        "AAECAwQFBgcI!CQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "påskeharesecret",
        bytes(range(32)).hex(),
    ],
)
def test_a_malformed_seed_is_refused_with_the_remedy_and_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"edge new-site.*openssl rand -base64 32") as refused:
        Seed.parse(text)
    report = "".join(traceback.format_exception(refused.value))
    assert not text or text not in report
    assert refused.value.__context__ is None


def test_a_seed_of_the_wrong_length_cannot_be_made_at_all() -> None:
    with pytest.raises(ValueError, match="edge new-site"):
        Seed(bytes(31))


@given(seeds, seeds)
def test_a_fingerprint_tells_seeds_apart_and_is_no_plain_hash_of_them(one: Seed, other: Seed) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other)
    assert len(one.fingerprint) == 16
    assert not hashlib.sha256(one.value).hexdigest().startswith(one.fingerprint)


# The one primitive


def test_the_judge_of_hkdf_agrees_with_the_rfc() -> None:
    """RFC 5869, test case 3."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert rfc5869(b"\x0b" * 22, b"", 42).hex() == expected


@given(seeds, places(), st.integers(min_value=1, max_value=200))
def test_derived_bytes_are_hkdf_over_the_documented_info(
    seed: Seed, place: tuple[str, Purpose, str | None, int], length: int
) -> None:
    site, purpose, user, epoch = place
    words = ["fjord-edge", "v1", site, purpose.value, *([user] if user else []), str(epoch)]
    assert derived(seed, place, length) == rfc5869(seed.value, "/".join(words).encode(), length)


@given(seeds, places(), places())
def test_another_site_purpose_user_or_epoch_gives_another_key(
    seed: Seed, one: tuple[str, Purpose, str | None, int], other: tuple[str, Purpose, str | None, int]
) -> None:
    assume(one != other)
    assert derived(seed, one) != derived(seed, other)


@given(seeds, seeds, places())
def test_another_seed_gives_another_key(one: Seed, other: Seed, place: tuple[str, Purpose, str | None, int]) -> None:
    assume(one != other)
    assert derived(one, place) != derived(other, place)


@pytest.mark.parametrize("site", ["", "Oslo", "os/lo", "-oslo", "oslo-", "oslo\n", "a" * 64, "tromsø"])
def test_a_site_name_that_is_no_dns_label_is_refused(site: str) -> None:
    with pytest.raises(ValueError, match="no site name"):
        d.wireguard_key(SEED, site, 1)


@pytest.mark.parametrize("user", ["", "a/1", "a:b", "#a", ".a", "a b", "a\n", "a" * 65, "ø"])
def test_a_user_name_that_mosquitto_or_the_info_could_misread_is_refused(user: str) -> None:
    with pytest.raises(ValueError, match="no user or purpose name"):
        d.mqtt_user(SEED, "oslo", user, 1)


def test_an_epoch_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch 0 of wireguard is below 1"):
        d.wireguard_key(SEED, "oslo", 0)


def test_a_user_is_named_for_exactly_the_purposes_that_are_per_user() -> None:
    with pytest.raises(ValueError, match="influxdb is per user"):
        d.derive(SEED, "oslo", Purpose.INFLUXDB, 1, 24)
    with pytest.raises(ValueError, match="wireguard is not per user"):
        d.derive(SEED, "oslo", Purpose.WIREGUARD, 1, 32, user="telegraf")


# X25519

#: RFC 7748, section 6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


@pytest.mark.parametrize(("private", "public"), [(ALICE, ALICE_PUBLIC), (BOB, BOB_PUBLIC)])
def test_a_public_key_is_the_one_of_rfc_7748(private: bytes, public: bytes) -> None:
    assert d.X25519Key.from_bytes(private).public == base64.b64encode(public).decode()


@given(seeds)
def test_a_private_key_is_clamped_as_wg_genkey_does(seed: Seed) -> None:
    raw = base64.b64decode(d.wireguard_key(seed, "oslo", 1).private)
    assert (len(raw), raw[0] & 7, raw[31] >> 6) == (32, 0, 1)


@pytest.mark.parametrize("epoch", range(1, 6))
def test_wg_pubkey_computes_the_same_public_key(epoch: int) -> None:
    key = d.wireguard_key(SEED, "oslo", epoch)
    assert judge("wg", "pubkey", stdin=key.private + "\n") == key.public


@given(seeds, seeds, seeds)
def test_two_sites_compute_one_password_and_a_third_does_not(oslo: Seed, hq: Seed, other: Seed) -> None:
    assume(len({oslo, hq, other}) == 3)
    ours, theirs = d.identity_key(oslo, "oslo", 1), d.identity_key(hq, "hq", 1)
    third = d.identity_key(other, "bergen", 1)
    password = d.pairwise_password(ours, theirs.public, "influxdb-write")
    assert password == d.pairwise_password(theirs, ours.public, "influxdb-write")
    assert password != d.pairwise_password(ours, theirs.public, "alerts-write")
    assert password not in {d.pairwise_password(third, peer.public, "influxdb-write") for peer in (ours, theirs)}


def test_a_pairwise_password_is_hkdf_over_the_shared_secret_and_both_public_keys_in_order() -> None:
    alice = d.IdentityKey.from_bytes(ALICE)
    info = b"fjord-edge/v1/pairwise/influxdb-write/" + ALICE_PUBLIC + BOB_PUBLIC
    expected = base64.urlsafe_b64encode(rfc5869(SHARED, info, 24)).decode()
    assert d.pairwise_password(alice, base64.b64encode(BOB_PUBLIC).decode(), "influxdb-write") == expected


@pytest.mark.parametrize(
    "public", ["", "nonsense", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(32)).decode()]
)
def test_a_peer_key_that_is_none_is_refused_with_the_remedy(public: str) -> None:
    with pytest.raises(ValueError, match="copy the identity key"):
        d.pairwise_password(d.identity_key(SEED, "oslo", 1), public, "influxdb-write")


# SSH


def test_ssh_keygen_computes_the_same_public_host_key(tmp_path: Path) -> None:
    key = d.ssh_host_key(SEED, "oslo", 1)
    path = tmp_path / "ssh_host_ecdsa_key"
    path.touch(mode=0o600)
    path.write_text(key.private)
    assert key.private.startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert judge("ssh-keygen", "-y", "-f", path) == key.public


# Certificates


def verify(tmp_path: Path, key: d.CertifiedKey, *options: str) -> str:
    (tmp_path / "ca.pem").write_text(authority().certificate)
    (tmp_path / "server.pem").write_text(key.certificate)
    day = int(datetime(2027, 6, 1, tzinfo=UTC).timestamp())
    words = [
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-attime",
        str(day),
        "-CAfile",
        str(tmp_path / "ca.pem"),
        *options,
    ]
    return judge("openssl", "verify", *words, tmp_path / "server.pem")


@pytest.mark.parametrize(
    "reached_as",
    [*[("-verify_hostname", name) for name in NAMES], *[("-verify_ip", str(address)) for address in ADDRESSES]],
)
def test_openssl_verifies_the_chain_strictly_for_each_name_and_address(
    tmp_path: Path, reached_as: tuple[str, str]
) -> None:
    assert verify(tmp_path, server(), *reached_as).endswith(": OK")


def test_openssl_refuses_a_name_that_is_not_in_the_certificate(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="hostname mismatch"):
        verify(tmp_path, server(), "-verify_hostname", "bergen")


def test_openssl_refuses_a_certificate_of_the_authoritys_next_epoch(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unable to get local issuer"):
        verify(tmp_path, server(authority=authority(epoch=2)))


def test_a_client_goes_on_trusting_the_authority_whose_days_were_moved(tmp_path: Path) -> None:
    later: Any = {"not_before": FIRST_DAY, "not_after": LAST_DAY + timedelta(days=3650)}
    moved = d.certificate_authority(SEED, "oslo", 1, **later)
    assert moved.certificate != authority().certificate
    assert verify(tmp_path, server(authority=moved, **later)).endswith(": OK")


def tls_ends(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The broker's and a client's TLS context, the client's as strict as Python's ssl can be."""
    today = datetime.now(tz=UTC).date()
    days: Any = {"not_before": today - timedelta(days=1), "not_after": today + timedelta(days=1)}
    ca = d.certificate_authority(SEED, "oslo", 1, **days)
    key = server(authority=ca, **days)
    (tmp_path / "server.pem").write_text(key.certificate)
    (tmp_path / "server.key").write_text(key.private)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    calling = ssl.create_default_context(cadata=ca.certificate)
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    return serving, calling


def handshake(serving: ssl.SSLContext, calling: ssl.SSLContext, name: str) -> None:
    """Run a TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = calling.wrap_bio(to_client, to_server, server_hostname=name)
    host = serving.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, host]
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)


@pytest.mark.parametrize("name", ["oslo", "10.100.0.2"])
def test_pythons_tls_accepts_the_broker_strictly(tmp_path: Path, name: str) -> None:
    handshake(*tls_ends(tmp_path), name)


def test_pythons_tls_refuses_the_broker_under_another_name(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(*tls_ends(tmp_path), "bergen")


def test_a_certificate_holds_the_days_and_names_it_was_given() -> None:
    certificate = loaded(server())
    assert certificate.not_valid_before_utc == datetime(2026, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
    reached_as = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert reached_as.get_values_for_type(x509.DNSName) == NAMES
    assert reached_as.get_values_for_type(x509.IPAddress) == ADDRESSES


def test_the_authority_signs_servers_only_and_a_server_signs_nothing() -> None:
    ca, leaf = loaded(authority()).extensions, loaded(server()).extensions
    assert ca.get_extension_for_class(x509.BasicConstraints) == x509.Extension(
        x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=True, path_length=0)
    )
    assert ca.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert leaf.get_extension_for_class(x509.BasicConstraints) == x509.Extension(
        x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=False, path_length=None)
    )
    assert not leaf.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert list(leaf.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_same_inputs_give_the_same_certificate_and_any_other_another_serial_number() -> None:
    assert server() == server()
    variants = [
        authority(),
        authority(epoch=2),
        authority(site="bergen"),
        server(),
        server(names=["oslo"]),
        server(addresses=[]),
        server(not_after=date(2028, 1, 1)),
        server(authority=authority(epoch=2)),
    ]
    serials = {loaded(key).serial_number for key in variants}
    assert len(serials) == len(variants)
    assert all(0 < serial < 2**159 for serial in serials)


def test_a_server_that_nobody_can_reach_by_name_or_address_is_refused() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        server(names=[], addresses=[])


@pytest.mark.parametrize("days", [{"not_before": date(2025, 12, 31)}, {"not_after": date(2036, 1, 1)}])
def test_a_server_that_would_outlive_its_authority_is_refused(days: dict[str, date]) -> None:
    with pytest.raises(ValueError, match="rotate the authority first"):
        server(**days)


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        server(not_before=date(2027, 1, 1), not_after=date(2026, 1, 1))


# Passwords


@given(seeds, sites, users, epochs)
def test_a_password_needs_no_quoting_anywhere(seed: Seed, site: str, user: str, epoch: int) -> None:
    for password in (d.influxdb_password(seed, site, user, epoch), d.mqtt_user(seed, site, user, epoch).password):
        assert len(password) == 32
        assert password.isascii()
        assert password.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "written",
    [
        # mosquitto_passwd 2.0.11, then 2.1.2 with -H sha512-pbkdf2, both for the password `secret`.
        "$7$101$fS+6tOD/Y0J0BSNl$YG8o/8XKA/pWW7InNO8DcUR6aAJJbttdfezoAaRoLmNKTymVNcOmUF32xBo/mxNhSEt6hVka5xOvP0W5gbu0iA==",
        "$7$1000$nP6PGj3/V/5oaP0ghOV2GmKhrGZf/RftR1H1/Wk3Z4GFMk2BSJeOhe9YIl/WnwKGFZiUOmvMMlhnj0neKQKmKQ==$"
        "DxU53Y0xIvRoUHjPV5dpTJ17xUhoqFkhedE1njteEgAEMS221SAPrhLxAa1JizduNdFEWqw9Y24BNZ1N+9GwHA==",
    ],
)
def test_a_hash_is_the_one_that_mosquitto_passwd_writes(written: str) -> None:
    _, _, iterations, salt, _ = written.split("$")
    assert d.mosquitto_password_hash("secret", base64.b64decode(salt), int(iterations)) == written


def test_two_broker_users_share_neither_password_nor_salt() -> None:
    one, other = d.mqtt_user(SEED, "oslo", "pen1-t1", 1), d.mqtt_user(SEED, "oslo", "pen1-t2", 1)
    assert one.password != other.password
    assert one.password_hash.split("$")[3] != other.password_hash.split("$")[3]


def test_a_pin_is_six_digits_with_the_zeros_before_them() -> None:
    assert d.page_pin(SEED, "oslo", 1) == f"{0xA9CA307D8DBEA4FC72351D66EA7ABE8C % 10**6:06}"
    pins = [d.page_pin(SEED, "oslo", epoch) for epoch in range(1, 100)]
    assert all(re.fullmatch(r"[0-9]{6}", pin) for pin in pins)
    assert any(pin.startswith("0") for pin in pins)


def test_the_page_s_authority_and_server_are_not_the_brokers() -> None:
    life: Any = {"not_before": FIRST_DAY, "not_after": LAST_DAY}
    page = d.certificate_authority(SEED, "oslo", 1, purpose=Purpose.PAGE_CA, **life)
    assert "page CA 1" in x509.load_pem_x509_certificate(page.certificate.encode()).subject.rfc4514_string()
    assert page.private != authority().private
    assert server(purpose=Purpose.PAGE_SERVER).private != server().private


# What is secret stays out of sight

SECRETS = [
    (SEED, {"value"}),
    (d.wireguard_key(SEED, "oslo", 1), {"private"}),
    (d.identity_key(SEED, "oslo", 1), {"private"}),
    (d.ssh_host_key(SEED, "oslo", 1), {"private"}),
    (d.backup_ssh_key(SEED, "oslo", 1), {"private"}),
    (authority(), {"private"}),
    (server(), {"private"}),
    (d.mqtt_user(SEED, "oslo", "pen1-t1", 1), {"password", "password_hash"}),
]


@pytest.mark.parametrize(("holder", "hidden"), SECRETS, ids=[type(holder).__name__ for holder, _ in SECRETS])
def test_a_repr_shows_nothing_secret(holder: Any, hidden: set[str]) -> None:
    shown = {item.name for item in fields(holder) if item.repr}
    assert shown == {item.name for item in fields(holder)} - hidden
    for name in hidden:
        assert str(getattr(holder, name)) not in f"{holder!r} {holder}"


def test_no_class_that_holds_a_secret_is_missing_above() -> None:
    ours = {thing for thing in vars(d).values() if is_dataclass(thing)}
    assert ours <= {base for holder, _ in SECRETS for base in type(holder).__mro__}


# The wire format: a value that changes here changes at every site.


#: `openssl kdf -kdfopt digest:SHA256 -kdfopt hexkey:0001…1f -kdfopt hexsalt: -kdfopt info:… HKDF`, OpenSSL 3.0
GOLDEN_BYTES = {
    Purpose.WIREGUARD: "803d71d7f3950a371da66be06649003807a6e9dac3644a232854c7664adfb974",
    Purpose.IDENTITY: "89deb190aae9bd570576b8b4f06b5bd19ff76569577ba984d50a761cba74756e",
    Purpose.SSH_HOST: "c70763953ae2979c0882da20281dce8d20da5f183aa09d24"
    "f65bd7899dce0ad3c8b4b60588324658b97c33f162baaaf9",
    Purpose.MQTT_CA: "3aa5bff1fffd143783986a0c36791a19f69dd11cfe138688e64adf8f5b55e4d0d0094c406559ab90b87828c58c3a40b0",
    Purpose.MQTT_SERVER: "62c9bad25d9f802a5e8b07dd28b40f9b20a591bef6ad6251"
    "eaf243374ab30327d2f52cedc3ea0f3fa410207a7c460885",
    Purpose.MQTT_USER: "843cbd2b738efa81c7f40c81b0f8231f9dd556357f5c16d3",
    Purpose.MQTT_SALT: "443a46ad7de26c1a46ef2154",
    Purpose.INFLUXDB: "fa153d14ba1f815c3b2f835e37c41062e58aa59aceb695ba",
    Purpose.BACKUP_SSH: "85fe73f81f94a11c42cdc4439ab3cf8f413878644fc4a7e6"
    "cb13efe3e284b3a39dfc6077d5f7f010920dd6233fd848dc",
    Purpose.BACKUP: "4c4240de697d2820cfaa0c6745cec87f964bdd8461fbff5f",
    Purpose.WEBHOOK: "5de38c8ace7d7c4b50d22423c8e104503a6b96fbe55f76dd",
    Purpose.PAGE_CA: "206a4b568f7501d61811d4153c7420c739236ddef31bb397076a27d7965ae4a2b470a3e58edb44e24757c05d0b190f3c",
    Purpose.PAGE_SERVER: "57753c98c183466448e60eff170895bd8b4b6f4bd708995b"
    "52e09136f01da330382c1a09a71ffa2b65d6867c739ed3c1",
    Purpose.PAGE_PIN: "a9ca307d8dbea4fc72351d66ea7abe8c",
}
GOLDEN_USERS = {Purpose.MQTT_USER: "pen1-t1", Purpose.MQTT_SALT: "pen1-t1", Purpose.INFLUXDB: "telegraf"}


@pytest.mark.parametrize("purpose", Purpose)
def test_derived_bytes_are_those_of_the_first_release(purpose: Purpose) -> None:
    expected = GOLDEN_BYTES[purpose]
    user = GOLDEN_USERS.get(purpose)
    assert d.derive(SEED, "oslo", purpose, 1, len(expected) // 2, user=user).hex() == expected


def test_keys_are_those_of_the_first_release() -> None:
    """The expected values: `wg pubkey` and `openssl ec` on scalars computed from GOLDEN_BYTES."""
    assert d.wireguard_key(SEED, "oslo", 1).private == "gD1x1/OVCjcdpmvgZkkAOAem6drDZEojKFTHZkrfuXQ="
    assert d.wireguard_key(SEED, "oslo", 1).public == "FQmI4qlcEzMHnFx/+YUCKM3FGdQAAzze16yAPHzCplo="
    assert d.identity_key(SEED, "oslo", 1).public == "eLe1eDYz2zmt76wU74CuUK1FROlRKys2N/RuiAKs4Bo="
    host = d.ssh_host_key(SEED, "oslo", 1)
    assert digest(host.private) == "63d6078d3654232426b4ee17d8e1af1fc4b06199ccd9ed57a18ff6366b21578c"
    assert host.public == (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPUcsA0D0NtdkmLOVWME14lWDsZ+Uk046PZ5"
        "M4hOXrWyqhimGlJxXcMS0ZIdPSXavPoyQK/mUwKBYaeF7yrnAiM="
    )
    assert digest(authority().private) == "83939ea9aaa2fe6af595d0b41cf2d08a0b113316b7465d15b2e1c3ea295c1644"
    assert digest(server().private) == "801637138df19b749dda43230ae8da6406c5db3d2ecba97426e6fd08263c6915"


def test_certificates_are_those_of_the_first_release() -> None:
    """The expected values were computed by this code: they say only that the bytes stay."""
    assert digest(authority().certificate) == "2bad1fc5f8f1a7f40fdfa6fdba9eef1be061d5c294d13ed9c68776dd54011a34"
    assert digest(server().certificate) == "38313ed6ce07a3b6eb721b4ff5693a70008425b7fcf3afdbef54250be6b57f6a"


def test_passwords_and_the_fingerprint_are_those_of_the_first_release() -> None:
    """The expected values: base64 of GOLDEN_BYTES, `openssl kdf … PBKDF2` and `sha256sum`."""
    user = d.mqtt_user(SEED, "oslo", "pen1-t1", 1)
    assert user.password == "hDy9K3OO-oHH9AyBsPgjH53VVjV_XBbT"
    assert user.password_hash == (
        "$7$1000$RDpGrX3ibBpG7yFU$"
        "NbpcQTfL7t0DGszXZDtsEqDiJmOIHJ9NXiX85p6IFCOZd3EHfxch8jdT58qtrQzIYASrkvuL4+O+AgQ+/fYAng=="
    )
    assert d.influxdb_password(SEED, "oslo", "telegraf", 1) == "-hU9FLofgVw7L4NeN8QQYuWKpZrOtpW6"
    assert SEED.fingerprint == "2e87a47059cc9dc8"

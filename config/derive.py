"""Every key and password of a site, derived from its one seed by HKDF-SHA256.

Same inputs, same bytes: nothing here is random, reads a clock or keeps state. The strings in `derive`,
`pairwise_password` and `Seed.fingerprint` are a wire format: a change to one of them changes every site's keys.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_FORMAT = "fjord-edge/v1"

#: Who carries readings from the broker into the database: its name at both.
COLLECTOR = "telegraf"

SEED_BYTES = 32
X25519_BYTES = 32
#: 24 bytes are 32 characters of base64 without padding.
PASSWORD_BYTES = 24
#: Of a number that people type; 16 bytes make the reduction's bias negligible.
PIN_DIGITS, PIN_DERIVED_BYTES = 6, 16
#: The only length that Mosquitto 2.0 and 2.1 both accept.
MOSQUITTO_SALT_BYTES = 12
#: The default of Mosquitto 2.1. It adds nothing to a password of 192 random bits, so the broker need not work harder.
MOSQUITTO_ITERATIONS = 1000

#: Order of the P-256 group, SEC 2 section 2.4.2.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: 128 bits more than the order: the reduction's bias is then negligible (FIPS 186-5 A.2.1 asks for 64).
P256_DERIVED_BYTES = 48

_SITE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Purpose(StrEnum):
    """What a derived secret is for; the first word of its place in the HKDF info."""

    WIREGUARD = "wireguard"
    IDENTITY = "identity"
    SSH_HOST = "ssh-host"
    MQTT_CA = "mqtt-ca"
    MQTT_SERVER = "mqtt-server"
    MQTT_USER = "mqtt-user"
    MQTT_SALT = "mqtt-salt"
    INFLUXDB = "influxdb"
    BACKUP_SSH = "backup-ssh"
    BACKUP = "backup"
    WEBHOOK = "webhook"
    PAGE_CA = "page-ca"
    PAGE_SERVER = "page-server"
    PAGE_PIN = "page-pin"


_PER_USER = {Purpose.MQTT_USER, Purpose.MQTT_SALT, Purpose.INFLUXDB}

#: What a certificate calls the one that it is for.
_CERTIFIED = {
    Purpose.MQTT_CA: "MQTT CA",
    Purpose.MQTT_SERVER: "MQTT server",
    Purpose.PAGE_CA: "page CA",
    Purpose.PAGE_SERVER: "page server",
}


@dataclass(frozen=True)
class Seed:
    """The one secret of a site: 32 random bytes.

    Raises:
        ValueError: not 32 bytes; the message never holds the value.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != SEED_BYTES:
            raise ValueError(
                f"the seed is not {SEED_BYTES} bytes in base64; "
                "make one with `edge new-site` or `openssl rand -base64 32` and store it as a secret"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the base64 text of a stack file; white space around it is ignored.

        Raises:
            ValueError: not base64, or not 32 bytes; the message never holds the text.
        """
        try:
            value = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            value = b""
        return cls(value)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that recognise a seed without giving it away."""
        return hashlib.sha256(f"{_FORMAT}/seed-fingerprint/".encode() + self.value).hexdigest()[:16]


def derive(seed: Seed, site: str, purpose: Purpose, epoch: int, length: int, *, user: str | None = None) -> bytes:
    """Derive `length` bytes by HKDF-SHA256 (RFC 5869).

    The salt is empty, the info `fjord-edge/v1/<site>/<purpose>/<epoch>` or `…/<purpose>/<user>/<epoch>`. A purpose is
    asked for one length only: a shorter answer is the beginning of a longer one.

    Args:
        seed: the site's seed.
        site: the site's name, a DNS label.
        purpose: what the bytes are for.
        epoch: counts rotations of this purpose, from 1.
        length: number of bytes.
        user: whose secret it is; for exactly the purposes that are per user.

    Raises:
        ValueError: a site, user or epoch that cannot stand in the info.
    """
    if not _SITE.fullmatch(site):
        raise ValueError(f"{site!r} is no site name; use lower-case letters, digits and inner hyphens, 63 at most")
    if epoch < 1:
        raise ValueError(f"epoch {epoch} of {purpose} is below 1; epochs count from 1")
    if (user is not None) != (purpose in _PER_USER):
        raise ValueError(f"{purpose} is {'per user: name one' if user is None else 'not per user: name none'}")
    path = purpose if user is None else f"{purpose}/{_checked_name(user)}"
    return _hkdf(seed.value, f"{_FORMAT}/{site}/{path}/{epoch}".encode(), length)


@dataclass(frozen=True)
class X25519Key:
    """A key pair, each half as `wg` writes it: base64 of 32 bytes, the private one clamped (RFC 7748 section 5)."""

    private: str = field(repr=False)
    public: str

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Clamp 32 bytes and compute the public half."""
        clamped = bytes([raw[0] & 0xF8, *raw[1:31], raw[31] & 0x7F | 0x40])
        public = X25519PrivateKey.from_private_bytes(clamped).public_key().public_bytes_raw()
        return cls(private=base64.b64encode(clamped).decode(), public=base64.b64encode(public).decode())


class WireGuardKey(X25519Key):
    """The key of a site's end of the tunnel."""


class IdentityKey(X25519Key):
    """The key from which a site and another compute their common passwords."""


def wireguard_key(seed: Seed, site: str, epoch: int) -> WireGuardKey:
    """Derive a site's WireGuard key."""
    return WireGuardKey.from_bytes(derive(seed, site, Purpose.WIREGUARD, epoch, X25519_BYTES))


def identity_key(seed: Seed, site: str, epoch: int) -> IdentityKey:
    """Derive a site's identity key."""
    return IdentityKey.from_bytes(derive(seed, site, Purpose.IDENTITY, epoch, X25519_BYTES))


def rotated(seed: Seed, next_seed: Seed | None, epoch: int) -> tuple[Seed, int]:
    """From which seed, and of which epoch, the next key of a purpose is: always the next epoch, so that it differs."""
    return next_seed or seed, epoch + 1


def pairwise_password(own: IdentityKey, peer_public: str, purpose: str) -> str:
    """Compute the password that two sites have in common; each needs only the other's public identity key.

    HKDF-SHA256 over the X25519 shared secret; the salt is empty, the info `fjord-edge/v1/pairwise/<purpose>/` and both
    raw public keys, the smaller first. A password that is for one direction only needs a purpose that says which.

    Args:
        own: this site's identity key.
        peer_public: the other's public identity key, base64.
        purpose: what the password is for, such as `influxdb-write`.

    Raises:
        ValueError: `peer_public` is no usable X25519 public key, or `purpose` no name.
    """
    try:
        peer = base64.b64decode(peer_public, validate=True)
        private = X25519PrivateKey.from_private_bytes(base64.b64decode(own.private))
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise ValueError(
            f"{peer_public!r} is no X25519 public key; copy the identity key that the other site's registry entry shows"
        ) from None
    first, second = sorted([base64.b64decode(own.public), peer])
    info = f"{_FORMAT}/pairwise/{_checked_name(purpose)}/".encode() + first + second
    return _password(_hkdf(shared, info, PASSWORD_BYTES))


def summary_account(site: str, own: IdentityKey, peer_public: str) -> tuple[str, str]:
    """The user name and password with which a site reaches its database at headquarters; both sides compute them.

    The name holds a fingerprint of the two keys: while one of them is rotated, there is a user for the old pair and one
    for the new.

    Args:
        site: the site's name, whichever side computes.
        own: the identity key of the side that computes.
        peer_public: the other side's public identity key, base64.
    """
    pair = "/".join(sorted([own.public, peer_public]))
    fingerprint = hashlib.sha256(f"{_FORMAT}/summary-account/{pair}".encode()).hexdigest()[:8]
    return f"{site}-{fingerprint}", pairwise_password(own, peer_public, f"summaries.{site}")


@dataclass(frozen=True)
class SshKey:
    """An ECDSA P-256 key: `private` is traditional PEM, `public` an OpenSSH line without a comment.

    OpenSSH's own private format holds random check bytes; the traditional one is the same bytes every time.
    """

    private: str = field(repr=False)
    public: str


def ssh_host_key(seed: Seed, site: str, epoch: int) -> SshKey:
    """Derive the SSH host key of a site's node; its epoch is the node's generation."""
    return _ssh_key(seed, site, Purpose.SSH_HOST, epoch)


def backup_ssh_key(seed: Seed, site: str, epoch: int) -> SshKey:
    """Derive the SSH key with which a site's node logs in where its backups lie."""
    return _ssh_key(seed, site, Purpose.BACKUP_SSH, epoch)


def backup_password(seed: Seed, site: str, epoch: int) -> str:
    """Derive the password of a site's restic repository."""
    return _password(derive(seed, site, Purpose.BACKUP, epoch, PASSWORD_BYTES))


def _ssh_key(seed: Seed, site: str, purpose: Purpose, epoch: int) -> SshKey:
    key = _p256_key(seed, site, purpose, epoch)
    return SshKey(
        private=_private_pem(key),
        public=key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


@dataclass(frozen=True)
class CertifiedKey:
    """A P-256 key and its X.509 certificate, both PEM."""

    private: str = field(repr=False)
    certificate: str


def certified_private(seed: Seed, site: str, purpose: Purpose, epoch: int) -> str:
    """The private key of an authority or a server, PEM: whatever its certificate says, the key is the same."""
    return _private_pem(_p256_key(seed, site, purpose, epoch))


def certificate_authority(
    seed: Seed, site: str, epoch: int, *, not_before: date, not_after: date, purpose: Purpose = Purpose.MQTT_CA
) -> CertifiedKey:
    """Make a self-signed authority: of a site's MQTT broker and page, or of the page at headquarters.

    Args:
        seed: the site's seed.
        site: the site's name.
        epoch: counts rotations of the authority; part of its subject, so that two can stand in one bundle.
        not_before: first day of validity, from 00:00:00 UTC.
        not_after: last day of validity, to 23:59:59 UTC.
        purpose: whose authority.

    Raises:
        ValueError: the days are in the wrong order.
    """
    key = _p256_key(seed, site, purpose, epoch)
    subject = _subject(site, f"{_CERTIFIED[purpose]} {epoch}")
    builder = (
        _certificate(key, subject, not_before, not_after)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    return CertifiedKey(private=_private_pem(key), certificate=_signed_pem(builder, key))


def server_certificate(
    seed: Seed,
    site: str,
    epoch: int,
    *,
    authority: CertifiedKey,
    names: Sequence[str],
    addresses: Sequence[IPv4Address | IPv6Address],
    not_before: date,
    not_after: date,
    purpose: Purpose = Purpose.MQTT_SERVER,
) -> CertifiedKey:
    """Make the TLS certificate of a site's MQTT broker, or of a page.

    Args:
        seed: the site's seed.
        site: the site's name.
        epoch: counts rotations of the server's key.
        authority: who signs, from `certificate_authority`.
        names: DNS names under which the server is reached.
        addresses: addresses at which the server is reached.
        not_before: first day of validity, from 00:00:00 UTC.
        not_after: last day of validity, to 23:59:59 UTC.
        purpose: whose key.

    Raises:
        ValueError: neither name nor address, or days in the wrong order or outside the authority's.
    """
    if not names and not addresses:
        raise ValueError(f"the {_CERTIFIED[purpose]} certificate has no name and no address; give at least one")
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    if not_before < issuer.not_valid_before_utc.date() or not_after > issuer.not_valid_after_utc.date():
        raise ValueError(
            f"the {_CERTIFIED[purpose]} certificate ({not_before} to {not_after}) is not within its authority's days "
            f"({issuer.not_valid_before_utc.date()} to {issuer.not_valid_after_utc.date()}); rotate the authority first"
        )
    key = _p256_key(seed, site, purpose, epoch)
    reached_as = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _certificate(key, _subject(site, f"{_CERTIFIED[purpose]} {epoch}"), not_before, not_after)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(reached_as), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    return CertifiedKey(private=_private_pem(key), certificate=_signed_pem(builder, _load_p256(authority.private)))


@dataclass(frozen=True)
class MqttUser:
    """A user of a site's broker, a device or a service: the password, and its hash for Mosquitto's password file."""

    name: str
    password: str = field(repr=False)
    password_hash: str = field(repr=False)


def mqtt_user(seed: Seed, site: str, user: str, epoch: int) -> MqttUser:
    """Derive a broker user's password and its salted hash; the password file's line is `<name>:<password_hash>`."""
    password = _password(derive(seed, site, Purpose.MQTT_USER, epoch, PASSWORD_BYTES, user=user))
    salt = derive(seed, site, Purpose.MQTT_SALT, epoch, MOSQUITTO_SALT_BYTES, user=user)
    return MqttUser(user, password, mosquitto_password_hash(password, salt, MOSQUITTO_ITERATIONS))


def mosquitto_password_hash(password: str, salt: bytes, iterations: int) -> str:
    """Hash as `mosquitto_passwd -H sha512-pbkdf2` does: `$7$<iterations>$<salt>$<PBKDF2-SHA512>`, both in base64."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def influxdb_password(seed: Seed, site: str, user: str, epoch: int) -> str:
    """Derive the password of a user of the site's own InfluxDB."""
    return _password(derive(seed, site, Purpose.INFLUXDB, epoch, PASSWORD_BYTES, user=user))


def collector_account(seed: Seed, site: str, epoch: int) -> tuple[str, str]:
    """The user name and password with which the collector writes into the site's database.

    The name holds a fingerprint of the password, so each password has a user of its own: the former one stays until the
    collector that writes by it has ended, for Telegraf drops what is refused (plugins/outputs/influxdb/http.go: any
    status 4xx), and acknowledges it to the broker.
    """
    password = influxdb_password(seed, site, COLLECTOR, epoch)
    fingerprint = hashlib.sha256(f"{_FORMAT}/collector-account/{password}".encode()).hexdigest()[:8]
    return f"{COLLECTOR}-{fingerprint}", password


def influxdb_passwords(seed: Seed, former: Seed | None, site: str, user: str, epoch: int) -> list[str]:
    """The password of this epoch, then those that may have been before it.

    They are of earlier epochs, of the next one, where a change was taken back, and of a former seed.
    """
    epochs = [*range(epoch, 0, -1), epoch + 1]
    seeds = [seed, *([former] if former else [])]
    return [influxdb_password(each, site, user, number) for each in seeds for number in epochs]


def webhook_key(seed: Seed, site: str, epoch: int) -> str:
    """Derive the key with which a site signs what it posts to a webhook (HMAC-SHA256)."""
    return _password(derive(seed, site, Purpose.WEBHOOK, epoch, PASSWORD_BYTES))


def page_pin(seed: Seed, site: str, epoch: int) -> str:
    """Derive the PIN with which people at a site acknowledge its alarms: digits."""
    wide = int.from_bytes(derive(seed, site, Purpose.PAGE_PIN, epoch, PIN_DERIVED_BYTES), "big")
    return f"{wide % 10**PIN_DIGITS:0{PIN_DIGITS}}"


def _hkdf(key_material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key_material)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no user or purpose name; use letters, digits and inner . _ -, 64 at most")
    return name


def _password(raw: bytes) -> str:
    """Letters, digits, hyphen and underscore: nothing that InfluxQL, TOML or Mosquitto would want quoted."""
    return base64.urlsafe_b64encode(raw).decode()


def _p256_key(seed: Seed, site: str, purpose: Purpose, epoch: int) -> EllipticCurvePrivateKey:
    """Reduce 48 derived bytes to a scalar in [1, n-1] (FIPS 186-5 A.2.1)."""
    wide = int.from_bytes(derive(seed, site, purpose, epoch, P256_DERIVED_BYTES), "big")
    return derive_private_key(wide % (P256_ORDER - 1) + 1, SECP256R1())


def _private_pem(key: EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _load_p256(pem: str) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve key; take it from certificate_authority()")
    return key


def _subject(site: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fjord-edge"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, site),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate(
    key: EllipticCurvePrivateKey, subject: x509.Name, not_before: date, not_after: date
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .not_valid_before(datetime.combine(not_before, time.min, UTC))
        .not_valid_after(datetime.combine(not_after, time(23, 59, 59), UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed_pem(builder: x509.CertificateBuilder, signer: EllipticCurvePrivateKey) -> str:
    """Sign with a serial number that is a hash of everything else in the certificate, 159 bits."""

    def sign(serial: int) -> x509.Certificate:
        return builder.serial_number(serial).sign(signer, SHA256(), ecdsa_deterministic=True)

    digest = hashlib.sha256(sign(1).tbs_certificate_bytes).digest()
    certificate = sign(int.from_bytes(digest[:20], "big") >> 1)
    return certificate.public_bytes(Encoding.PEM).decode()

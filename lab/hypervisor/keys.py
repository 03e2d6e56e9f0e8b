"""One lab's keys, made at its first start: SSH for the hypervisor and its operator, TLS for the image registry."""

import datetime
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from lab.paths import STATE

KEYS = STATE / "keys"

#: The operator's private key, and the agent that holds it while the hypervisor runs.
CLIENT_KEY = KEYS / "client"
AGENT = STATE / "agent.sock"

HOST_KEY = KEYS / "hypervisor"
HOST_PUBLIC_KEY = KEYS / "hypervisor.pub"
KNOWN_HOSTS = KEYS / "known_hosts"

#: Whom Docker and the operator trust when they ask the registry.
REGISTRY_CA = STATE / "registry" / "ca.pem"
REGISTRY_CERTIFICATE = STATE / "registry" / "server.pem"
REGISTRY_KEY = STATE / "registry" / "server.key"

VALIDITY = datetime.timedelta(days=3650)


def make_keys(address: IPv4Address) -> None:
    """Make what is missing, for a hypervisor at this address."""
    KEYS.mkdir(parents=True, exist_ok=True)
    for key, comment in ((CLIENT_KEY, "lab-operator"), (HOST_KEY, "lab-hypervisor")):
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key], check=True)
    KNOWN_HOSTS.write_text(f"{address} {HOST_PUBLIC_KEY.read_text()}")
    if not REGISTRY_CA.exists():
        _make_certificates(address)


def _make_certificates(address: IPv4Address) -> None:
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority, server = _name("fjord-edge lab registry CA"), _name(str(address))
    server_certificate = (
        _certificate(server, authority, server_key.public_key(), is_authority=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .sign(authority_key, SHA256())
    )
    authority_certificate = _certificate(authority, authority, authority_key.public_key(), is_authority=True).sign(
        authority_key, SHA256()
    )
    REGISTRY_CA.parent.mkdir(parents=True, exist_ok=True)
    REGISTRY_CERTIFICATE.write_bytes(server_certificate.public_bytes(serialization.Encoding.PEM))
    _write_private(REGISTRY_KEY, server_key)
    # Last, since it is what tells that all are there.
    REGISTRY_CA.write_bytes(authority_certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

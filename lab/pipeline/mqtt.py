"""As much of MQTT 3.1.1 as a sensor and a reader need: packets as bytes, in and out."""

import json
from collections.abc import Iterator

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9


def connect(name: str, password: str | None) -> bytes:
    """CONNECT with a clean session and no keep-alive; the name is client id and, with a password, user name."""
    flags, payload = 0x02, _text(name)
    if password is not None:
        flags, payload = 0xC2, payload + _text(name) + _text(password)
    return _packet(0x10, _text("MQTT") + bytes([4, flags, 0, 0]) + payload)


def publish(topic: bytes, identifier: int, value: int) -> bytes:
    """PUBLISH, QoS 1, of a reading whose value is its own time, epoch ms: so every reading is another."""
    payload = b'{"value": %d, "time": %d}' % (value, value)
    return _packet(0x32, len(topic).to_bytes(2, "big") + topic + identifier.to_bytes(2, "big") + payload)


def subscribe(pattern: str) -> bytes:
    """SUBSCRIBE at QoS 0."""
    return _packet(0x82, b"\x00\x01" + _text(pattern) + b"\x00")


def packets(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take each whole packet out of the buffer: its type, and what follows its length."""
    while len(buffer) >= 2:
        length, shift, at = 0, 0, 1
        while at < len(buffer):
            length |= (buffer[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not buffer[at - 1] & 0x80:
                break
        else:
            return
        if len(buffer) < at + length:
            return
        kind, body = buffer[0] >> 4, bytes(buffer[at : at + length])
        del buffer[: at + length]
        yield kind, body


def published(body: bytes) -> tuple[bytes, int]:
    """Topic and value of a PUBLISH that came at QoS 0."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end], int(json.loads(body[end:])["value"])


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _packet(first: int, rest: bytes) -> bytes:
    length, head = len(rest), bytearray([first])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + rest

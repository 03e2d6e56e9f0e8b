"""How often a PIN may be tried: arithmetic on moments, seconds of any one clock."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass

#: A client waits after each wrong PIN, twice as long each time; after an hour without one it begins anew.
FIRST_DELAY, LONGEST_DELAY, FORGOTTEN = 1.0, 300.0, 3600.0

#: Wrong PINs of all clients together: some at once, then one in two minutes. Of six digits, guessing takes years.
AT_ONCE, ONE_IN = 20, 120.0

#: Clients that are remembered.
CLIENTS = 1000


class TooOftenError(Exception):
    """It is not looked at; the same may be tried again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


@dataclass
class _Client:
    wrong: int
    last: float

    @property
    def next(self) -> float:
        return self.last + min(FIRST_DELAY * 2.0 ** (self.wrong - 1), LONGEST_DELAY)


class Pin:
    """A PIN, and who tried how often."""

    def __init__(self, pin: str, now: float) -> None:
        self._pin = pin.encode()
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._left = float(AT_ONCE)
        self._counted = now

    def is_right(self, offered: str, client: str, now: float) -> bool:
        """Compare in constant time.

        Raises:
            TooOftenError: this client, or all of them together, were wrong too often.
        """
        self._left = min(AT_ONCE, self._left + (now - self._counted) / ONE_IN)
        self._counted = now
        known = self._clients.get(client)
        if known and now - known.last > FORGOTTEN:
            known = None
        if known and now < known.next:
            raise TooOftenError(known.next - now)
        if self._left < 1:
            raise TooOftenError((1 - self._left) * ONE_IN)
        if hmac.compare_digest(offered.encode(errors="replace"), self._pin):
            self._clients.pop(client, None)
            return True
        self._left -= 1
        self._clients[client] = _Client(known.wrong + 1 if known else 1, now)
        self._clients.move_to_end(client)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return False

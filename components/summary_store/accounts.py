"""Who may write and read which summaries: each site its own."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from components._influxdb import INFLUXDB_PORT, Grant
from services._settings import Database

#: Who reads all of them; no site's user is called so, each has a fingerprint in its name.
HEADQUARTERS = "headquarters"


def database(site: str) -> str:
    """The name of a site's database."""
    return f"site_{site}"


def reached_by(site: str, headquarters: IPv4Address | IPv6Address, account: tuple[str, str]) -> Database:
    """A site's database as the site reaches it: at headquarters' address in the mesh, by user name and password."""
    user, password = account
    return Database(url=f"http://{headquarters}:{INFLUXDB_PORT}", name=database(site), user=user, password=password)


def users(accounts: Mapping[str, Mapping[str, str]], headquarters: str) -> dict[str, Grant]:
    """The users of the store: each site's own, and headquarters itself, which reads them all.

    Args:
        accounts: names and passwords by site; more than one while an identity key is rotated.
        headquarters: its password.
    """
    everything = [database(site) for site in accounts]
    return {
        name: Grant(databases=[database(site)], privilege="ALL", password=password)
        for site, of_site in accounts.items()
        for name, password in of_site.items()
    } | {HEADQUARTERS: Grant(databases=everything, privilege="READ", password=headquarters)}

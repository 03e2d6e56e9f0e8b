"""Who may write and read which summaries: each site its own."""

from collections.abc import Mapping

from components._influxdb import Grant


def database(site: str) -> str:
    """The name of a site's database."""
    return f"site_{site}"


#: Who reads all sites' summaries, at headquarters itself.
HEADQUARTERS = "headquarters"


def users(accounts: Mapping[str, Mapping[str, str]], headquarters: str) -> dict[str, Grant]:
    """The users of the store.

    Args:
        accounts: names and passwords by site; more than one while an identity key is rotated.
        headquarters: the password of headquarters' own reader.
    """
    return {
        HEADQUARTERS: Grant(databases=[database(site) for site in accounts], privilege="READ", password=headquarters),
        **{
            name: Grant(databases=[database(site)], privilege="ALL", password=password)
            for site, of_site in accounts.items()
            for name, password in of_site.items()
        },
    }

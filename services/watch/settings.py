"""What headquarters' watch is told: where the sites' heartbeats are, and when a site is silent."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it; `databases` are those of the store by site, read in one user's name."""

    store: str
    user: str
    password: str = field(repr=False)
    databases: dict[str, str]
    silent_seconds: int
    repeat_seconds: int
    webhook: str | None
    webhook_key: str = field(repr=False)
    data: str = "/var/lib/watch"

"""What headquarters' watch is told: where the sites' heartbeats are, when a site is silent, when its own page ends."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it; `databases` are those of the store by site, read in one user's name.

    `name` is headquarters', `page_ends` the last day of its page's certificate, ISO, which is told once it ends within
    `certificate_days`; None without a page.
    """

    name: str
    store: str
    user: str
    password: str = field(repr=False)
    databases: dict[str, str]
    silent_seconds: int
    repeat_seconds: int
    page_ends: str | None
    certificate_days: int
    webhook: str | None
    webhook_key: str = field(repr=False)
    data: str = "/var/lib/watch"

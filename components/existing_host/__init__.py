"""A machine that is there already, as a place for headquarters."""

from components.existing_host.component import ExistingHost, ExistingHostArgs

__all__ = ["ExistingHost", "ExistingHostArgs"]

"""Headquarters' store of what the sites send."""

from components.summary_store.accounts import HEADQUARTERS, database, reached_by, users
from components.summary_store.component import SummaryStore, SummaryStoreArgs

__all__ = ["HEADQUARTERS", "SummaryStore", "SummaryStoreArgs", "database", "reached_by", "users"]

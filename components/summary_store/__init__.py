"""Headquarters' store of what the sites send."""

from components.summary_store.accounts import database, reached_by, users
from components.summary_store.component import SummaryStore, SummaryStoreArgs

__all__ = ["SummaryStore", "SummaryStoreArgs", "database", "reached_by", "users"]

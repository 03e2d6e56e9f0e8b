"""Sends headquarters summaries of groups, the state of the alarms, and a sign of life; never a reading."""

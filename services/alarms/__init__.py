"""Raises alarms, and tells people of them."""

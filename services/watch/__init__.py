"""Tells people at headquarters of sites that say nothing."""

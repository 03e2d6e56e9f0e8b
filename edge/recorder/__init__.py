"""Runs a program without engine, provider, site or state, and keeps what it registers.

It imports nothing of `config/` or `components/`: the program that it runs may be that of another revision.
"""

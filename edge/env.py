"""Print what a shell needs for a site: eval "$(bin/edge env <site>)". Secrets it only tells where to put."""

import argparse
import os
import shlex
import sys

from config.loader import REGISTRY
from config.registry import load_registry, shown
from edge.site import EdgeError, read_stack_file, stack_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the site."""


def run(arguments: argparse.Namespace) -> int:
    """Print lines for the shell on standard output, and for its user on standard error."""
    site = arguments.site
    file = stack_file(site, arguments.config_file)
    provider = read_stack_file(file).get("secretsprovider")
    entries = load_registry(REGISTRY).entries
    entry = entries.get(site)
    if entry is None:
        raise EdgeError(f"config/mesh has no {site}.yaml; `edge key {site}` prints it")
    if entry.backend:
        print(f"export PULUMI_BACKEND_URL={shlex.quote(entry.backend)}")
    else:
        here = os.environ.get("PULUMI_BACKEND_URL", "")
        if here in {each.backend for each in entries.values()}:
            # Else the shell of another site would stay that site's.
            print("unset PULUMI_BACKEND_URL")
            here = ""
        print(f"edge: {shown(site)} names no backend: it is {here or 'the one of pulumi login'}", file=sys.stderr)
    print(f"edge: {_secrets(site, provider)}", file=sys.stderr)
    return 0


def _secrets(site: str, provider: str | None) -> str:
    if provider and provider != "passphrase":
        return f"the secrets of {site} are decrypted by {provider}, with your own login there"
    places = "its file in PULUMI_CONFIG_PASSPHRASE_FILE, or itself in PULUMI_CONFIG_PASSPHRASE"
    return f"the secrets of {site} are decrypted by its passphrase: {places}"

"""Hypervisor, headquarters and site on one machine, and the toolchain where downloads are out of reach."""

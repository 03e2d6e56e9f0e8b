"""The component resources; in each folder only `component.py` (and `libvirt.py`) imports Pulumi."""

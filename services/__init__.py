"""The programs of ours that run on a node, in one small image: alarms, uplink, page."""

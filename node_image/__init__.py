"""The disk image of every node, in production and in the lab, made of Debian packages."""

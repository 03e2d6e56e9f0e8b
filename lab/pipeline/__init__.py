"""Broker, collector and database natively, from the lab's images and the components' files: measured, and killed."""

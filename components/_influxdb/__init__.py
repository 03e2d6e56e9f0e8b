"""InfluxDB 1.8 as any component runs it: the service, its configuration, its databases and users."""

from components._influxdb.service import INFLUXDB_CONF, INFLUXDB_PORT, influxdb
from components._influxdb.users import ADMIN, APPLY_USERS, MAKE_USERS, Grant, Privilege, Retention, user_files

__all__ = [
    "ADMIN",
    "APPLY_USERS",
    "INFLUXDB_CONF",
    "INFLUXDB_PORT",
    "MAKE_USERS",
    "Grant",
    "Privilege",
    "Retention",
    "influxdb",
    "user_files",
]

"""The database's container and configuration."""

from ipaddress import IPv4Address

from components._services import LOOPBACK, HealthCheck, Port, Service

INFLUXDB_PORT = 8086

#: A user that exists in no image; official images and others then behave the same.
INFLUXDB_USER = 8086

#: Of its container; the write cache and the queries' share are sized to it.
MEMORY_MIB = 640

INFLUXDB_CONF = f"""\
reporting-disabled = true
bind-address = "127.0.0.1:8088"

[meta]
dir = "/var/lib/influxdb/meta"

[data]
dir = "/var/lib/influxdb/data"
wal-dir = "/var/lib/influxdb/wal"
wal-fsync-delay = "0s"
index-version = "tsi1"
query-log-enabled = false
cache-max-memory-size = "{MEMORY_MIB // 5}m"
cache-snapshot-memory-size = "{MEMORY_MIB // 40}m"
max-concurrent-compactions = 1
max-series-per-database = 100000
series-id-set-cache-size = 100

[coordinator]
query-timeout = "60s"
max-concurrent-queries = 20
max-select-point = 20000000

[retention]
check-interval = "30m"

[monitor]
store-enabled = false

[http]
bind-address = ":{INFLUXDB_PORT}"
auth-enabled = true
ping-auth-enabled = false
log-enabled = false
flux-enabled = false

[logging]
level = "warn"
"""


def influxdb(image: str, address: IPv4Address = LOOPBACK) -> Service:
    """The database: reached by the containers beside it, and at this one address of the node.

    One internal port at two addresses would make the container anew in every update
    (kreuzwerker/terraform-provider-docker#909).
    """
    return Service(
        name="influxdb",
        image=image,
        user=INFLUXDB_USER,
        command=["/usr/bin/influxd", "-config", "/etc/influxdb/influxdb.conf"],
        memory_mib=MEMORY_MIB,
        cpu_shares=1024,
        health_check=HealthCheck(
            command=["curl", "-fsS", f"http://127.0.0.1:{INFLUXDB_PORT}/ping"], start_period="20s"
        ),
        configuration="/etc/influxdb",
        data="/var/lib/influxdb",
        ports=[Port(address=address, external=INFLUXDB_PORT, internal=INFLUXDB_PORT)],
    )

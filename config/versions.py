"""The versions of what runs on a site, each in one place."""

#: The services' releases; a stack file pins the digest that was published for them.
IMAGES = {
    "mosquitto": "eclipse-mosquitto:2.1",
    "telegraf": "telegraf:1.37",
    "influxdb": "influxdb:1.8.10",
}

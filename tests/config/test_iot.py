"""What a site may say of its sensors, and what is refused with its remedy."""

import re
from typing import Any

import pytest

from config.base import ConfigError
from config.iot import BYTES_PER_READING, READINGS_SHARE, Iot
from config.site import SiteSection
from tests.sites import edited, section


def parsed(content: Any) -> Iot:
    iot = SiteSection.parse(content, file="Pulumi.oslo.yaml").iot
    assert iot
    return iot


def refusal(*keys: str | int, value: Any) -> str:
    with pytest.raises(ConfigError) as error:
        parsed(edited(section("oslo"), "iot", *keys, value=value))
    return str(error.value)


def climate(number: int) -> str:
    return str(section("oslo")["iot"]["sensors"][4 + number]["id"])


BARGE = ("uplink", "groups", 2)


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (("quantities", "oxygen", "high"), 6, "low 6.5 is not below high 6.0; no value would be right"),
        (("sensors", 0, "limits"), {"temperature": {"low": 9, "high": 9}}, "low 9.0 is not below high 9.0; *"),
        (("sensors", 0, "limits"), {"oxygen": {"low": 1}}, "limits.oxygen: pen1-temp does not measure it; *"),
        (("sensors", 0, "limits"), {"temperature": {"low": 18}}, "sensor pen1-temp: low 18.0 of temperature is not *"),
        (("sensors", 0, "limits"), {"temperature": {"high": 1.25}}, "sensor pen1-temp: low 1.0 of temperature and *"),
        (("quantities", "temperature", "hysteresis"), 17.5, "sensor pen1-temp: low 1.0 of temperature and high 18.0 *"),
        (("quantities", "temperature", "hysteresis"), 17, None),
        (("quantities", "temperature", "high"), float("nan"), "Input should be a finite number"),
        (("quantities", "temperature", "low"), float("-inf"), "Input should be a finite number"),
        (("sensors", 0, "quantities"), [], "Tuple should have at least 1 item *"),
        (("sensors", 0, "quantities"), ["temperature"] * 2, "pen1-temp has quantity temperature twice; remove one"),
        (("sensors", 0, "pen"), "pen-9", "sensor pen1-temp: pen pen-9 is not in pens; add it there, or correct *"),
        (("sensors", 0, "quantities"), ["salt"], "sensor pen1-temp: quantity salt is not in quantities; add it *"),
        (
            ("pens",),
            ["pen-1", "pen-2", "barge", "pen-3"],
            "pen pen-3 has no sensor; add one to sensors, or remove the pen: `bin/edge device <site> add` *",
        ),
        (("pens",), ["pen-1", "pen-2", "barge", "node"], "node stands for the node's own alarms; give the pen *"),
        (("pens",), ["pen-1", "pen-1", "pen-2", "barge"], "pen pen-1 is listed twice; remove one"),
        (("gateways",), {"gw": ["pen9-temp"]}, "gateway gw: sensor pen9-temp is not in sensors; add it there, *"),
        (("gateways",), {"pen1-temp": ["pen1-temp"]}, "sensor pen1-temp is listed twice; give each device *"),
        (("gateways",), {"telegraf": ["pen1-temp"]}, "telegraf is a service's own name at the broker; give *"),
        ((*BARGE, "minSensors"), 4, "group barge of humidity: minSensors 4 is below 5; raise it, or declare *"),
        ((*BARGE, "minSensors"), 6, "group barge of humidity has 5 devices, minSensors is 6: nothing would ever *"),
        (("uplink", "rounding"), {}, "group barge of humidity is personal and has no step to round to; give one *"),
        (("uplink", "rounding"), {"humidity": 0}, "Input should be greater than 0"),
        (("uplink", "groups", 0, "sensors"), ["pen1-temp", "barge-climate", "nobody"], "uplink.groups pens: no *"),
        (("uplink", "notPersonal", "temperature"), "yes", "String should have at least 10 characters"),
        (("uplink", "lateHorizonHours"), 168, None),
        (("uplink", "outageBudgetDays"), 401, "*"),
        (
            ("storage",),
            {"retentionDays": 2, "shardHours": 49},
            "shardHours 49 is more than retentionDays 2, *write 48*",
        ),
        (("storage",), {"retentionDays": 13}, "uplink.outageBudgetDays 14 is more than storage.retentionDays 13; *"),
        (("images", "mirror"), "https://mirror.example.com", "*"),
    ],
)
def test_a_mistake_is_refused_with_its_remedy(keys: tuple[str | int, ...], value: Any, told: str | None) -> None:
    if told is None:
        parsed(edited(section("oslo"), "iot", *keys, value=value))
        return
    pattern = re.escape(told.removesuffix("*")).replace(r"\*", ".*")
    assert re.search(f": {pattern}", refusal(*keys, value=value))


def test_groups_of_one_quantity_are_disjoint() -> None:
    groups = section("oslo")["iot"]["uplink"]["groups"]
    again = {"name": "all", "quantity": "temperature", "sensors": ["pen1-temp", "barge-climate"], "minSensors": 2}
    told = "pen1-temp is in two groups of temperature, pens and all; leave it in one"
    assert told in refusal("uplink", "groups", value=[*groups, again])
    assert "group pens of temperature is there twice" in refusal("uplink", "groups", value=[*groups, groups[0]])


def test_a_device_listed_twice_makes_a_group_no_bigger() -> None:
    names = [climate(number) for number in range(4)]
    assert "has 4 devices" in refusal(*BARGE, "sensors", value=[*names, names[0]])


def test_a_sensors_limit_takes_the_place_of_one_side_and_the_other_stays() -> None:
    iot = parsed(edited(section("oslo"), "iot", "sensors", 0, "limits", value={"temperature": {"high": 12}}))
    limits = iot.limits(iot.sensors[0], "temperature")
    assert (limits.low, limits.high) == (1, 12)


def test_plain_mqtt_needs_the_farms_own_network() -> None:
    site = edited(section("oslo"), "iot", "plainMqtt", value=True)
    assert parsed(site).plain_mqtt
    del site["node"]["network"]["lan"]
    with pytest.raises(ConfigError, match=r"iot\.plainMqtt needs the farm's own network"):
        parsed(site)


def every(seconds: int) -> Any:
    site = section("oslo")
    for sensor in site["iot"]["sensors"]:
        sensor["everySeconds"] = seconds
    return site


def test_what_the_disk_cannot_hold_is_refused_with_what_it_can() -> None:
    site = edited(every(1), "node", "dataDiskGib", value=4)
    with pytest.raises(ConfigError, match=r"iot\.storage\.retentionDays 400: 10\.0 readings/s need \d+ GiB") as error:
        parsed(site)
    [fits] = re.findall(r"write at most (\d+) days", str(error.value))
    site["iot"]["storage"] = {"retentionDays": int(fits)}
    assert parsed(site).needed_gib(int(fits)) <= 4
    site["iot"]["storage"] = {"retentionDays": int(fits) + 1}
    with pytest.raises(ConfigError):
        parsed(site)


def test_a_budget_that_the_disk_cannot_hold_is_refused() -> None:
    site = edited(every(1), "node", "dataDiskGib", value=1)
    site["iot"]["storage"] = {"retentionDays": 300}
    site["iot"]["uplink"]["outageBudgetDays"] = 300
    with pytest.raises(ConfigError, match=r"iot\.uplink\.outageBudgetDays 300: "):
        parsed(site)


def test_what_readings_need_is_their_bytes_and_a_reserve() -> None:
    iot = parsed(every(10))
    assert iot.readings_per_second == pytest.approx(1.0)
    assert iot.needed_gib(1) == pytest.approx(86_400 * BYTES_PER_READING / READINGS_SHARE / 2**30)


def test_a_queue_that_the_broker_cannot_keep_is_refused() -> None:
    site = section("oslo")
    iot = site["iot"]
    iot["sensors"] += [
        {"id": f"more-{number}", "pen": "pen-1", "quantities": ["temperature"], "everySeconds": 1}
        for number in range(20)
    ]
    site["node"]["dataDiskGib"] = 1000
    with pytest.raises(ConfigError, match="the broker keeps 400000"):
        parsed(site)

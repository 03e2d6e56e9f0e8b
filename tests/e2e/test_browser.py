"""The page in a real browser, over a farm that runs natively: real broker, database, alarms, uplink, headquarters."""

import math
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from components.iot_stack.containers import MQTT_TLS_PORT
from config.iot import Iot
from lab.pipeline.farm import NEVER_HEARD, Farm, farm
from lab.pipeline.pipeline import Pipeline
from lab.pipeline.site import NAME
from lab.sensors import Reading, now_ms
from tests.e2e.waiting import eventually
from tests.sites import section

MINUTE = 60_000
HOURS = 3

#: Of a farm that is well: the middle of each quantity, and how far it goes up and down.
WELL = {
    ("pen1-temp", "temperature"): (9.4, 0.4),
    ("pen1-oxygen", "oxygen"): (8.8, 0.5),
    ("pen2-temp", "temperature"): (9.1, 0.5),
    ("pen2-oxygen", "oxygen"): (8.1, 0.7),
    ("barge-climate", "temperature"): (19.2, 0.6),
    ("barge-climate", "humidity"): (52.0, 5.0),
    ("mess-climate", "humidity"): (48.0, 4.0),
    ("bridge-climate", "humidity"): (45.0, 3.0),
    ("cabin-climate", "humidity"): (55.0, 4.0),
}


def iot() -> Iot:
    """The committed site's, whose alarms come at once."""
    content = section("oslo")["iot"]
    content["quantities"]["oxygen"]["forSeconds"] = 0
    return Iot.parse(content, file="Pulumi.oslo.yaml")


class World:
    """A farm, and who publishes there."""

    def __init__(self, made: Farm, pipeline: Pipeline, folder: Path) -> None:
        self.farm = made
        self.pipeline = pipeline
        self._folder = folder

    def publish(self, *readings: Reading) -> None:
        """Publish readings of one sensor and quantity; its password is in a file, on no command line."""
        first = readings[0]
        folder = self._folder / "clients" / first.sensor
        folder.mkdir(parents=True, exist_ok=True)
        words = {"--cafile": self._folder / "ca.crt", "-u": first.sensor, "-P": self.farm.site.passwords[first.sensor]}
        (folder / "mosquitto_pub").write_text("".join(f"{name} {word}\n" for name, word in words.items()))
        to = ("-h", "localhost", "-p", str(MQTT_TLS_PORT), "-q", "1", "-t", first.topic, "-l")
        lines = "".join(f"{reading.payload}\n" for reading in readings)
        self.pipeline.run("env", f"XDG_CONFIG_HOME={folder}", "mosquitto_pub", *to, stdin=lines)


def last_hours(sensor: str, quantity: str) -> Sequence[Reading]:
    middle, width = WELL[sensor, quantity]
    now = now_ms()
    return [
        Reading(
            sensor,
            quantity,
            round(middle + width * (math.sin(ago / 23) + math.sin(ago / 5) / 3), 2),
            now - ago * MINUTE,
        )
        for ago in range(HOURS * 60, -1, -1)
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("farm")
    made = farm(iot(), folder)
    with ExitStack() as stack:
        pipeline = stack.enter_context(Pipeline("ours", tmp_path_factory.mktemp("roots"), farm=made.site))
        world = World(made, pipeline, folder)
        for sensor, quantity in WELL:
            world.publish(*last_hours(sensor, quantity))
        stack.enter_context(pipeline.beside("lab.pipeline.beside", made.beside))
        yield world


class Reader:
    """A browser in the farm's network."""

    def __init__(self, chrome: Chrome, world: World) -> None:
        self.chrome, self.world = chrome, world

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        return "\n".join(element.text for element in self.all(selector))

    def sees(self, text: str, selector: str = "main", seconds: float = 20) -> bool:
        return eventually(lambda: text in self.text(selector), seconds)

    def click(self, selector: str) -> None:
        self.chrome.find_element(By.CSS_SELECTOR, selector).click()

    def speak(self, language: str) -> None:
        self.click(f"#languages button[data-language={language}]")
        assert eventually(lambda: self.chrome.execute_script("return document.documentElement.lang") == language, 5)

    def size(self, width: int, height: int, scale: float, *, phone: bool) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium in the farm's network, driven through a pipe: the network has no way in."""
    if shutil.which("chromedriver") is None:
        missing = "Chromium is not installed: lab/packages-debian.txt lists it"
        (pytest.fail if platform.freedesktop_os_release()["ID"] == "debian" else pytest.skip)(missing)
    folder = tmp_path_factory.mktemp("browser")
    inside = folder / "chromium"
    inside.write_text(f'#!/bin/sh\nexec nsenter --net --target={world.pipeline.network} -- /usr/bin/chromium "$@"\n')
    inside.chmod(0o755)
    options = ChromeOptions()
    options.binary_location = str(inside)
    for word in (
        "--headless",
        "--no-sandbox",  # as root there is none
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
        f"--user-data-dir={folder / 'profile'}",
        f"--ignore-certificate-errors-spki-list={world.farm.page_key}",
    ):
        options.add_argument(word)
    chrome = Chrome(options, ChromeService("/usr/bin/chromedriver"))
    yield chrome
    chrome.quit()


@pytest.fixture
def reader(browser: Chrome, world: World) -> Reader:
    """The farm's page, on a screen, in English."""
    reader = Reader(browser, world)
    reader.size(1280, 900, 1, phone=False)
    browser.get(world.farm.page)
    assert eventually(lambda: reader.all(".part"), 20), browser.page_source
    reader.speak("en")
    return reader


@pytest.fixture
def low(world: World) -> Iterator[None]:
    """Pen 2 has too little oxygen, as nobody has acknowledged; afterwards it is well."""
    world.publish(
        *(
            Reading("pen2-oxygen", "oxygen", value, now_ms() - ago)
            for value, ago in ((7.4, 4000), (6.9, 2000), (6.2, 0))
        )
    )
    yield
    world.publish(Reading("pen2-oxygen", "oxygen", 8.6, now_ms()))


def test_people_see_what_a_sensor_said_a_moment_ago_in_their_language(reader: Reader) -> None:
    reader.world.publish(Reading("pen1-oxygen", "oxygen", 8.37, now_ms()))
    assert reader.sees("8.37 mg/l", '.part[data-key="pen-1"]'), reader.text()
    assert "Oxygen" in reader.text()
    reader.speak("nb")
    assert reader.sees("8,37 mg/l", '.part[data-key="pen-1"]'), reader.text()
    assert "Oksygen" in reader.text()
    assert "Oxygen" not in reader.text()
    reader.chrome.refresh()
    assert reader.sees("Oksygen"), "it remembers"


def test_the_last_hours_are_drawn(reader: Reader) -> None:
    assert eventually(lambda: len(reader.all(".plot canvas")) == 6, 30), reader.text()
    labels = [plot.get_attribute("aria-label") or "" for plot in reader.all('.part[data-key="pen-1"] .plot')]
    assert [label.partition(":")[0] for label in labels] == ["Oxygen", "Temperature"]
    assert all("lowest" in label for label in labels)
    colours = reader.chrome.execute_script(
        "return [...document.querySelectorAll('.plot canvas')].map((canvas) => new Set(new Uint32Array("
        "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)"
    )
    assert min(colours) > 3, "axes, grid and a line"


@pytest.mark.usefixtures("low")
def test_an_alarm_is_acknowledged_with_the_pin_and_with_no_other(reader: Reader) -> None:
    assert reader.sees("Oxygen below 6.5 mg/l", "#alarms"), reader.text()
    assert "6.2 mg/l" in reader.text("#alarms")
    wrong = f"{(int(reader.world.farm.pin) + 1) % 10**6:06}"
    reader.click(".alarm button")
    for pin, answer in ((wrong, "Wrong PIN"), (reader.world.farm.pin, "Too many")):
        reader.chrome.find_element(By.ID, "pin").send_keys(pin)
        reader.click("#acknowledge-send")
        assert reader.sees(answer, "#acknowledge-error"), reader.text("dialog")
    assert not reader.all(".alarm.done"), "a wrong PIN makes the right one wait"

    def acknowledged() -> bool:
        if reader.all("dialog[open]"):
            reader.chrome.find_element(By.ID, "pin").send_keys(reader.world.farm.pin)
            reader.click("#acknowledge-send")
        return bool(reader.all(".alarm.done"))

    assert eventually(acknowledged, 20), reader.text("dialog")
    assert reader.sees("Acknowledged", "#alarms")


@pytest.mark.usefixtures("low")
def test_on_a_phone_nothing_lies_beside_the_screen(reader: Reader) -> None:
    assert reader.sees("Oxygen below 6.5 mg/l", "#alarms"), reader.text()
    assert eventually(lambda: reader.all(".plot canvas"), 30)
    for width, language in ((360, "nb"), (360, "en"), (320, "nb")):
        reader.size(width, 740, 2, phone=True)
        reader.speak(language)
        assert eventually(
            lambda: reader.chrome.execute_script("return document.documentElement.scrollWidth <= innerWidth"), 5
        ), f"{width} {language}"
        assert reader.chrome.execute_script("return innerWidth") == width


def test_the_page_asks_nobody_but_its_own_server(reader: Reader) -> None:
    assert reader.sees("Headquarters", "#notes")
    asked = reader.chrome.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert len(asked) > 4
    assert [url for url in asked if not url.startswith(f"{reader.world.farm.page}/")] == []
    logged = reader.chrome.get_log("browser")  # type: ignore[no-untyped-call]
    errors = [entry["message"] for entry in logged if entry["level"] == "SEVERE"]
    assert [error for error in errors if "api/acknowledge" not in error] == []


def test_the_uplinks_state_is_told(reader: Reader) -> None:
    assert reader.sees("Headquarters is reached", "#notes", 60), reader.text()


@pytest.mark.usefixtures("low")
def test_headquarters_sees_all_sites_and_cannot_acknowledge(reader: Reader) -> None:
    reader.chrome.get(reader.world.farm.headquarters)
    assert reader.sees("too low Oxygen pen-2: 1 raised, 0 acknowledged", f'.part[data-key="{NAME}"]', 60), reader.text()
    assert "Heard from" in reader.text(f'.part[data-key="{NAME}"]')
    assert "Never heard from" in reader.text(f'.part[data-key="{NEVER_HEARD}"]')
    assert not reader.all(".alarm")


@pytest.mark.usefixtures("low")
def test_a_picture_of_it_is_taken(reader: Reader, tmp_path: Path) -> None:
    """`make screenshot` says where to."""
    reader.chrome.refresh()
    assert reader.sees("Oxygen below 6.5 mg/l", "#alarms"), reader.text()
    assert eventually(lambda: len(reader.all(".plot canvas")) == 6, 30), reader.text()
    picture = Path(os.environ.get("SCREENSHOT") or tmp_path / "page.png")
    reader.size(1280, 1000, 1, phone=False)
    assert reader.chrome.save_screenshot(str(picture))
    assert picture.stat().st_size > 30_000


def test_what_was_no_reading_is_told_beside_its_sensor(reader: Reader) -> None:
    """Last: it stays for a day, and the picture is of a farm without it."""
    reader.world.publish(Reading("mess-climate", "humidity", math.nan, now_ms()))
    assert reader.sees("Rejected from mess-climate in the last 24 hours: 1 (no JSON object)", ".rejected", 90)
    reader.speak("nb")
    assert reader.sees("Avvist fra mess-climate de siste 24 timene: 1 (ikke noe JSON-objekt)", ".rejected")

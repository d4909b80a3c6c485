"""The report's page in a real browser: what a person sees, and reaches without a mouse."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
import report_material as material
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from retry_parity.deciding.report import page, reasons
from retry_parity.deciding.report.page import as_page
from retry_parity.deciding.verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROWSER: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    (BROWSER is None or DRIVER is None) and not os.environ.get("CI"),
    reason="Chromium is not installed; Debian's packages chromium and chromium-driver have it",
)

#: No profile of anybody's, no traffic of the browser's own.
_SWITCHES: Final = (
    "--headless",
    "--no-sandbox",  # as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: Final = 375


class Browser:
    """A page in the browser, and what the browser did for it."""

    def __init__(self, profile: Path) -> None:
        options = Options()
        options.binary_location = str(BROWSER)
        for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # With the path of the driver nothing is looked for, and nothing is downloaded.
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        # As a window in front has it, whatever else the machine shows.
        self.driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})

    def open(self, path: Path, width: int = 1280, **media: str) -> None:
        """Open a file in a window of a width, under media features such as a colour scheme."""
        self.size(width)
        self.media(**media)
        for kind in ("browser", "performance"):
            self.log(kind)  # what was before
        self.driver.get(path.as_uri())

    def size(self, width: int) -> None:
        """Give the window a width, as a phone's where it is a phone's."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def media(self, medium: str = "", **features: str) -> None:
        """Set the medium, and features of it."""
        told = [{"name": name.replace("_", "-"), "value": each} for name, each in features.items()]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": medium, "features": told}
        )

    def run(self, script: str, *arguments: object) -> Any:
        """Run a function's body in the page, and give what it returns."""
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def requests(self) -> list[str]:
        """Give what was asked for since the page was opened."""
        messages = [json.loads(each["message"])["message"] for each in self.log("performance")]
        return [
            each["params"]["request"]["url"]
            for each in messages
            if each["method"] == "Network.requestWillBeSent"
        ]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Give the browser's lines of a kind."""
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]  # Selenium's own

    def colour(self, selector: str, name: str) -> str:
        """Give a colour as it is painted."""
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        return str(self.run(script, selector, name))

    @property
    def focus(self) -> str:
        """Name what has the focus: its element and class, or the target of a link."""
        return str(
            self.run(
                "const at = document.activeElement;"
                "return at.getAttribute('href') ?? `${at.tagName}.${at.className}`.toLowerCase()"
            )
        )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser."""
    assert BROWSER, "Chromium is missing; Debian's package chromium has it"
    assert DRIVER, "its driver is missing; Debian's package chromium-driver has it"
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a page for each verdict, and one of hostile evidence."""
    folder = tmp_path_factory.mktemp("pages")
    reports = {answer.value: material.report(answer) for answer in Answer}
    reports["hostile"] = material.adversarial(36)
    found = {}
    for name, report in reports.items():
        found[name] = folder / f"{name.replace(' ', '-')}.html"
        found[name].write_text(as_page(report), encoding="utf-8")
    return found


NAMES: Final = (*(answer.value for answer in Answer), "hostile")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_for_nothing_and_complains_of_nothing(
    name: str, browser: Browser, pages: dict[str, Path]
) -> None:
    """No request but the file itself, no line on the console, no policy broken."""
    browser.open(pages[name])
    assert browser.requests() == [pages[name].as_uri()]
    assert browser.log("browser") == []


def test_what_evidence_says_runs_nothing(browser: Browser, pages: dict[str, Path]) -> None:
    """Names that are scripts, pictures with handlers, ends of elements: they are shown."""
    browser.open(pages["hostile"])
    assert browser.driver.title == "Not ready \N{EN DASH} retry migration"
    assert browser.run("return document.querySelectorAll('img, iframe, svg[onload]').length") == 0
    assert "</script><script>" in str(browser.run("return document.body.textContent"))


def test_the_policy_holds(browser: Browser, pages: dict[str, Path]) -> None:
    """A script that got into the page in spite of all would not run, nor load anything."""
    browser.open(pages["ready"])
    browser.run(
        "const own = document.createElement('script'); own.textContent = 'window.owned = 1';"
        "document.body.append(own);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x\">')"
    )
    assert browser.run("return window.owned ?? null") is None
    assert any("Content Security Policy" in each["message"] for each in browser.log("browser"))


@pytest.mark.parametrize("answer", Answer)
def test_the_verdict_is_what_is_seen_first(
    answer: Answer, browser: Browser, pages: dict[str, Path]
) -> None:
    """Answer and reason are on the first screen, above all else; on a phone too."""
    browser.open(pages[answer.value], PHONE)
    heading, why = browser.run(
        "return ['h1', '.why'].map((each) => document.querySelector(each))"
        ".map((each) => [each.innerText, each.getBoundingClientRect().bottom])"
    )
    assert heading[0].strip() == reasons.ANSWERS[answer]
    assert why[0] == material.report(answer).why
    assert heading[1] < why[1] < 450


@pytest.mark.parametrize("name", NAMES)
def test_a_page_never_scrolls_sideways(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    """Wide tables scroll within themselves; opened details change nothing."""
    browser.open(pages[name], PHONE)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    for width in (PHONE, 320, 768, 1280):
        browser.size(width)
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_tab_reaches_the_map_the_details_and_the_links(
    browser: Browser, pages: dict[str, Path]
) -> None:
    """First the way past the navigation, then everything, in the order of the page, and visibly."""
    browser.open(pages["insufficient evidence"])
    met = []
    for _ in range(40):
        browser.press(Keys.TAB)
        met.append(browser.focus)
        assert browser.run(
            "const at = getComputedStyle(document.activeElement);"
            "return at.outlineStyle !== 'none' && parseFloat(at.outlineWidth) >= 2"
        ), met[-1]
        if met[-1].startswith("#identity"):
            break
    for _ in range(12):
        browser.press(Keys.TAB)
        met.append(browser.focus)
    assert met[0] == "#main"
    links = list(dict.fromkeys(each for each in met if each.startswith("#")))
    sections = browser.run("return [...document.querySelectorAll('h2')].map((each) => each.id)")
    sections.remove("checks")  # stands right below the one before it
    assert links == ["#main", *(f"#{each}" for each in sections)]
    assert "summary." in met
    assert [each for each in met if each.startswith("td.")] == ["td.empty"]


def test_the_skip_link_leads_past_the_top(browser: Browser, pages: dict[str, Path]) -> None:
    """It is seen once it has the focus, and then the verdict has it."""
    browser.open(pages["ready"], prefers_reduced_motion="reduce")
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.getBoundingClientRect().top") >= 0
    browser.press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"


def test_arrow_keys_walk_the_map_and_tell_each_cell(
    browser: Browser, pages: dict[str, Path]
) -> None:
    """One cell at a time, whole, in words; the ends of the map hold."""
    browser.open(pages["not ready"])
    browser.run("document.querySelector('.heat td[tabindex=\"0\"]').focus()")
    place = (
        "const at = document.activeElement; const line = at.closest('tr');"
        "const lines = [...document.querySelectorAll('.heat tbody tr')].filter("
        "(each) => each.querySelector('td'));"
        "return [lines.indexOf(line), [...line.querySelectorAll('td')].indexOf(at)]"
    )
    told = "return document.querySelector('.told').textContent"
    assert "unexplained" in browser.run(told)
    for keys, where in (
        ([Keys.HOME, Keys.PAGE_UP], [0, 0]),
        ([Keys.ARROW_UP, Keys.ARROW_LEFT], [0, 0]),
        ([Keys.ARROW_RIGHT, Keys.ARROW_DOWN], [1, 1]),
        ([Keys.END], [1, 11]),
        ([Keys.ARROW_RIGHT], [1, 11]),
        ([Keys.PAGE_DOWN], [29, 11]),
        ([Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_LEFT], [29, 9]),
    ):
        browser.press(*keys)
        assert browser.run(place) == where
    assert (
        browser.run(told) == "unreadable, after more failures: what the column says cannot occur."
    )
    assert browser.run("return document.querySelectorAll('.heat td[tabindex=\"0\"]').length") == 1


def test_colour_is_never_the_only_sign(browser: Browser, pages: dict[str, Path]) -> None:
    """Each cell of the map that is no plain number says so in words."""
    browser.open(pages["not ready"])
    texts = browser.run(
        "return Object.fromEntries(['differs', 'waived', 'never'].map((name) => [name, "
        "[...document.querySelectorAll(`.heat td.${name}`)].map((each) => each.innerText)]))"
    )
    assert texts["differs"]
    assert all("differ" in each for each in texts["differs"])
    assert all("waived" in each for each in texts["waived"])
    assert all("cannot occur" in each for each in texts["never"])


_INK: Final = """
const canvas = document.querySelector('#chart canvas');
const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
const seen = new Set();
for (let at = 0; at < data.length; at += 4) {
  if (data[at + 3] === 255) seen.add(`rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})`);
}
return [...seen];
"""


def painted(name: str) -> str:
    """Give the script that reads one of the page's colours as it is painted."""
    return (
        "const probe = document.createElement('i'); document.body.append(probe);"
        f"probe.style.color = 'var(--{name})'; const found = getComputedStyle(probe).color;"
        "probe.remove(); return found"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_curves_are_drawn_in_the_colours_of_the_scheme(
    scheme: str, browser: Browser, pages: dict[str, Path]
) -> None:
    """There is ink of each side's colour on the canvas."""
    browser.open(pages["ready"], prefers_color_scheme=scheme)
    ink = browser.run(_INK)
    assert browser.run(painted("hybrid")) in ink
    assert browser.run(painted("core")) in ink


def test_a_curve_follows_scheme_and_width(browser: Browser, pages: dict[str, Path]) -> None:
    """Whoever turns the phone, or the light off, need not load the page again."""
    browser.open(pages["ready"], prefers_color_scheme="light")
    light = browser.run(painted("core"))
    browser.media(prefers_color_scheme="dark")
    browser.size(PHONE)
    # Two frames: the observer of sizes runs between them.
    browser.driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )
    ink = browser.run(_INK)
    assert browser.run(painted("core")) in ink
    assert light not in ink
    assert browser.run("return document.querySelector('.uplot').offsetWidth") < PHONE


def test_dark_is_dark(browser: Browser, pages: dict[str, Path]) -> None:
    """Ground and text change places."""
    browser.open(pages["ready"], prefers_color_scheme="light")
    light = browser.colour("body", "backgroundColor"), browser.colour("body", "color")
    browser.media(prefers_color_scheme="dark")
    dark = browser.colour("body", "backgroundColor"), browser.colour("body", "color")

    def brightness(colour: str) -> int:
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    assert brightness(light[0]) > brightness(light[1])
    assert brightness(dark[0]) < brightness(dark[1])


def test_paper_has_everything_and_nothing_to_click(
    browser: Browser, pages: dict[str, Path]
) -> None:
    """Details are open, the navigation is gone, and dark stays off the paper."""
    browser.open(pages["insufficient evidence"], prefers_color_scheme="dark")
    browser.media("print", prefers_color_scheme="dark")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("return document.querySelectorAll('details:not([open])').length") == 0
    assert browser.colour("nav", "display") == "none"
    assert browser.colour("body", "backgroundColor") == "rgb(255, 255, 255)"
    browser.media()


def test_motion_can_be_reduced(browser: Browser, pages: dict[str, Path]) -> None:
    """A page that is asked to stand still does."""
    browser.open(pages["ready"], prefers_reduced_motion="reduce")
    assert browser.colour("html", "scrollBehavior") == "auto"
    browser.media(prefers_reduced_motion="no-preference")
    assert browser.colour("html", "scrollBehavior") == "smooth"


def test_all_is_there_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    """A viewer of artifacts may run none: verdict, map and figures are text."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(pages["not ready"])
        text = browser.driver.find_element("tag name", "body").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for words in ("Not ready", "Here they part", "6 differ", "99.9 %", "status-range"):
        assert words in text


def test_a_page_is_small(pages: dict[str, Path]) -> None:
    """It goes into a mail, and opens at once."""
    sizes = {name: path.stat().st_size for name, path in pages.items()}
    assert max(sizes.values()) < page.MOST_BYTES
    assert sizes["ready"] < 200_000

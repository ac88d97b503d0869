"""Headless Chromium by selenium, and the size of its window; without them, the test that asks is skipped."""

import shutil

import pytest

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")


def start_chromium():
    """A browser that logs what pages write to its console; the caller quits it."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs pip install -r requirements-tools.txt")
    if not shutil.which("chromedriver"):
        pytest.skip("needs Chromium (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def resize(browser, width: int) -> None:
    """Below 600 pixels it is a phone."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})

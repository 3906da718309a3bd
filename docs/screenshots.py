"""Make the pictures of graphs and of the explorer in docs/pictures.

Needs the extra "svg", and for the explorer a Chromium with its driver and the extra "browser".
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
PAGES = [
    # (picture, page, step, dark, width, height)
    ("explorer", "explain_backprop", "0.5", False, 1400, 760),
    ("explorer_dark", "explain_backprop", "0.5", True, 1400, 760),
    ("fused_and_unfused", "iris", "1.18", False, 1600, 820),
]


def browser(dark: bool) -> webdriver.Chrome:
    """Return a browser without a window, that asks nothing of the network."""
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    return driver


def main() -> None:
    """Run the examples, then photograph the pages that they saved."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, str(ROOT / "examples" / "draw_graph.py"), "--out"]
        subprocess.run([*run, str(PICTURES)], check=True, cwd=ROOT)
        (PICTURES / "iris.html").replace(Path(folder) / "iris.html")
        run = [sys.executable, str(ROOT / "examples" / "explain_backprop.py"), "--out"]
        subprocess.run([*run, folder], check=True, cwd=ROOT)
        for picture, page, step, dark, width, height in PAGES:
            driver = browser(dark)
            driver.set_window_size(width, height)
            size = {"width": width, "height": height, "deviceScaleFactor": 1.5, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get((Path(folder) / f"{page}.html").as_uri() + f"#{step}")
            driver.save_screenshot(str(PICTURES / f"{picture}.png"))
            driver.quit()


if __name__ == "__main__":
    main()

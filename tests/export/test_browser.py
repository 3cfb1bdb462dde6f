# SPDX-License-Identifier: MIT
"""The page of --format html in a headless Chromium: it renders, it can be searched and zoomed, nothing leaves it.

`make test-browser` installs what this needs; `make test` runs it where that is there.
"""
import json
import re
import shutil
import time

import pytest

import corpses
from built_page import has_page

if not has_page():
    pytest.skip("no page in this build: make test-browser", allow_module_level=True)
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("no Chromium here: make test-browser", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="no python3-selenium here: make test-browser")

from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --force-prefers-reduced-motion
    --window-size=1400,1300""".split()
SOON = 20


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in [*FLAGS, "--user-data-dir=%s" % tmp_path_factory.mktemp("chromium")]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(newest, cores, tmp_path_factory):
    """One source, and two; without the other domain's block, beside which nothing would be seen."""
    folder = tmp_path_factory.mktemp("pages")
    new, old = cores(newest), cores(newest, leak=20)
    for name, words in (("one", []), ("two", ["--baseline", old])):
        answer = corpses.cli(new, "export", "--format", "html", "-o", folder / (name + ".html"), "--domain", "0", *words)
        assert answer.status == 0, answer
    return folder


def until(condition):
    """What a condition gives, as soon as it is true: the page draws when it comes to it."""
    end = time.monotonic() + SOON
    while True:
        found = condition()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)


class Page:
    def __init__(self, browser, path):
        self.browser = browser
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri())
        assert self.frames(), browser.get_log("browser")

    def by_id(self, name):
        return self.browser.find_element(By.ID, name)

    def frames(self):
        """{label: width in pixels}, the widest of those that have the same one, as soon as they are drawn."""
        return until(self.drawn)

    def drawn(self):
        script = """return [...document.querySelectorAll('#graph g.frame')].map(
            (g) => [g.getAttribute('name'), g.querySelector('rect').width.baseVal.value, g.querySelector('rect').getAttribute('fill')])"""
        self.colours, widths = {}, {}
        for name, width, colour in self.browser.execute_script(script):
            if width > widths.get(name, -1):
                widths[name] = width
                self.colours[name] = colour
        return widths if widths.get("all") else None

    def frame(self, beginning):
        (name, *_) = [name for name in self.frames() if name.startswith(beginning)]
        return name

    def click(self, name):
        script = """for (const g of document.querySelectorAll('#graph g.frame'))
            if (g.getAttribute('name') === arguments[0]) { g.dispatchEvent(new MouseEvent('click', {bubbles: true})); return; }"""
        self.browser.execute_script(script, name)

    def rows(self):
        script = "return [...document.querySelectorAll('#table tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
        return self.browser.execute_script(script)

    def column(self, name):
        (index,) = [
            i
            for i, cell in enumerate(self.browser.find_elements(By.CSS_SELECTOR, "#table th"))
            if cell.get_attribute("data-column") == name
        ]
        return [row[index] for row in self.rows()]

    def details(self):
        return self.by_id("details").text

    def total(self):
        return re.search(r"total (\S+ \S+)", self.details())[1]


@pytest.fixture
def one(browser, pages):
    return Page(browser, pages / "one.html")


@pytest.fixture
def two(browser, pages):
    return Page(browser, pages / "two.html")


def bytes_of(text):
    number, unit = text.replace("\u2212", "-").split()
    return float(number) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)


def test_it_renders(one, core):
    frames = one.frames()
    widest = frames["all"]
    assert widest > 1000 and len(frames) > 20
    assert all(width <= widest + 0.1 for width in frames.values())
    selected = corpses.cli(core, "info", "--json", "--domain", "0").json()["selected"]
    assert bytes_of(one.total()) == pytest.approx(selected["size"], rel=0.01)
    assert len(one.rows()) == 100
    assert one.browser.title.startswith("tm: pid ")


@pytest.mark.parametrize("name", ["one", "two"])
def test_nothing_leaves_the_page(browser, pages, name):
    """GIVEN a page with names that are HTML, THEN the browser asks for one file, and has nothing to complain of."""
    page = Page(browser, pages / (name + ".html"))
    page.by_id("search").send_keys("script")
    assert until(lambda: "frames found" in page.by_id("legend").text)
    page.click("all")
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            asked.append(message["params"].get("documentURL") and message["params"]["request"]["url"])
    assert asked == [(pages / (name + ".html")).as_uri()]
    assert browser.get_log("browser") == []
    assert "/tmp/</script><!--;\\u2028\\u202e\\x0a&.py" in browser.find_element(By.TAG_NAME, "tbody").text


def test_the_policy_holds(one):
    """GIVEN something that tries to send data away, THEN the browser refuses."""
    script = """const done = arguments[arguments.length - 1];
        document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective), {once: true});
        const image = new Image(); image.src = 'https://example.invalid/leak';"""
    assert one.browser.execute_async_script(script) == "img-src"


def test_searching(one):
    """THEN frames that match are marked, the table has only them, and their sum is told."""
    before = one.colours
    one.by_id("search").send_keys("the leak")
    assert until(lambda: "frames found" in one.by_id("legend").text)
    (row,) = one.rows()
    assert "remember" in row[-1] and "# the leak" in row[-1]
    name = one.frame("Cache.remember" if "Cache.remember" in row[-1] else "remember")
    one.frames()
    changed = {frame for frame in before if one.colours.get(frame) != before[frame]}
    assert changed == {name}
    one.by_id("search").send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert until(lambda: "frames found" not in one.by_id("legend").text)
    one.frames()
    assert one.colours == before and len(one.rows()) == 100


def test_clicking_zooms(one):
    """THEN the frame takes the whole width, and Escape or the button brings the rest back."""
    before = one.frames()
    name = one.frame("serve (")
    assert before[name] < 0.9 * before["all"]
    for back in (lambda: one.by_id("reset").click(), lambda: one.by_id("theme").send_keys(Keys.ESCAPE)):
        one.click(name)
        assert until(lambda: one.frames()[name] == pytest.approx(before["all"], rel=0.01)), one.frames()
        assert one.details().startswith("serve") and one.by_id("reset").is_enabled()
        back()
        assert until(lambda: one.frames()[name] == pytest.approx(before[name], rel=0.01))
        assert not one.by_id("reset").is_enabled()


def test_imports_are_hidden_or_shown(one):
    """THEN frames of importlib come and go, and the total stays."""
    total = one.total()
    assert one.by_id("imports").is_selected()
    assert not [name for name in one.frames() if "<frozen importlib" in name]
    one.by_id("imports").click()
    assert until(lambda: [name for name in one.frames() if "<frozen importlib" in name])
    assert one.total() == total


def test_filter_by_file(one):
    """GIVEN one file, THEN only stacks that pass through it are left."""
    total = bytes_of(one.total())
    choice = Select(one.by_id("file"))
    (program,) = [option for option in choice.options if option.get_attribute("value").endswith("program.py")]
    choice.select_by_value(program.get_attribute("value"))
    assert until(lambda: bytes_of(one.total()) < total)
    first = [row[-1] for row in one.rows()]
    assert any("program.py" in where for where in first)


def test_sorting(one):
    """THEN a click on a column sorts by it, a second one the other way round."""
    own = [bytes_of(text.split("\n")[0]) for text in one.column("own")]
    assert own == sorted(own, reverse=True)
    head = one.browser.find_element(By.CSS_SELECTOR, "th[data-column=total] button")
    head.click()
    total = [bytes_of(text) for text in one.column("total")]
    assert total == sorted(total, reverse=True)
    assert total[0] > own[0], "a caller holds more in all than any line itself"
    one.browser.find_element(By.CSS_SELECTOR, "th[data-column=total] button").click()
    total = [bytes_of(text) for text in one.column("total")]
    assert total == sorted(total)


def test_recursion_counts_once(one):
    """GIVEN a function that calls itself 25 frames deep, THEN its total is not 25 times what it holds."""
    Select(one.by_id("group")).select_by_value("function")
    one.by_id("search").send_keys("recurse")
    assert until(lambda: len(one.rows()) == 1)
    assert bytes_of(one.column("total")[0]) == pytest.approx(bytes_of(one.column("own")[0].split("\n")[0]), rel=0.01)


def test_rows_and_frames_belong_together(one):
    """THEN a click on a row marks its frames."""
    one.by_id("search").send_keys("the leak")
    assert until(lambda: len(one.rows()) == 1)
    one.browser.find_element(By.CSS_SELECTOR, "#table tbody tr").click()
    assert until(lambda: "frames found" in one.by_id("legend").text)
    assert one.browser.find_elements(By.CSS_SELECTOR, "tr.chosen")


def luminance(colour):
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_themes(one):
    """THEN the page follows the system, and the button overrules it."""
    browser = one.browser

    def page_colour():
        return luminance(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    for wanted, is_dark in (("dark", True), ("light", False)):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": wanted}, {"name": "prefers-reduced-motion", "value": "reduce"}]},
        )
        assert until(lambda: (page_colour() < 60) == is_dark), wanted
    one.by_id("theme").click()  # light
    one.by_id("theme").click()  # dark
    assert page_colour() < 60
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def hue(colour):
    return int(re.match(r"hsl\((\d+)", colour)[1])


def test_comparison(two):
    """GIVEN a core and an older one, THEN what has grown is red, and the table begins with it."""
    two.frames()
    assert hue(two.colours[two.frame("serve (")]) < 20
    first = two.rows()[0]
    assert first[0].startswith("+") and ("remember" in first[-1] or "program.py" in first[-1]), first
    before = two.frames()
    Select(two.by_id("show")).select_by_value("grown")
    name = two.frame("serve (")
    assert until(lambda: two.frames()[name] > 1.5 * before[name])
    assert "change +" in two.details()


def test_comparison_the_other_way_round(browser, newest, cores, tmp_path):
    """GIVEN what has shrunk, THEN it is blue; and what is gone is seen when widths are those of before."""
    path = tmp_path / "shrunk.html"
    assert corpses.cli(cores(newest, leak=20), "export", "--format", "html", "--domain", "0", "--baseline", cores(newest), "-o", path).status == 0
    page = Page(browser, path)
    page.frames()
    assert 200 < hue(page.colours[page.frame("serve (")]) < 230
    now = page.frames()[page.frame("serve (")]
    Select(page.by_id("show")).select_by_value("before")
    assert until(lambda: page.frames()[page.frame("serve (")] > now)


def test_picture(one, tmp_path):
    """A screenshot for whoever wants to look: not one colour."""
    path = tmp_path / "page.png"
    assert one.browser.save_screenshot(str(path)) and path.stat().st_size > 30000

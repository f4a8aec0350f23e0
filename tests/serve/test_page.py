"""The page in headless Chromium: picture, paste, drop, webcam, errors, key; nothing leaves the origin.

Screenshots go to $DUCHENNE_SCREENSHOTS where it is set, to be looked at.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from duchenne.inference import FoundFace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the page was not tested; install Debian's package chromium"
)
KEY = "0123456789abcdef-the-key"
Start = Callable[..., Any]


class TwoFaces:
    """Two boxes on every image, with a gate that lets a test hold an answer back."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.found = 2

    def find(self, image: Any) -> list[FoundFace]:
        assert self.go.wait(20)
        h, w = image.shape[:2]
        boxes = [(w // 10, h // 4, w // 3, h // 2), (w // 2, h // 3, w // 4, h // 3)]
        boxes = (boxes + [(w // 8 * i, 0, w // 10, h // 6) for i in range(8)])[: self.found]
        return [FoundFace((x, y, a, b), 0.9, image[y : y + b, x : x + a]) for x, y, a, b in boxes]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium with a camera that shows a test picture."""
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="module")
def finder() -> TwoFaces:
    """What the server of this module finds."""
    return TwoFaces()


@pytest.fixture(scope="module")
def site(start: Start, finder: TwoFaces) -> str:
    """A server's address."""
    return f"http://127.0.0.1:{start(faces=finder).port}/"


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Opens the page; nothing may be asked elsewhere, and no error may stand in the console at the end."""
    contexts: list[Any] = []
    asked: list[str] = []
    said: list[str] = []
    allowed: list[str] = []

    def opened(address: str = site, console: str = "", width: int = 1200, **options: Any) -> Page:
        if console:
            allowed.append(console)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, permissions=["camera"], **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.goto(address)
        origin = re.match(r"https?://[^/]+/", address)
        assert origin is not None
        allowed.append(origin[0])
        return page

    yield opened
    for context in contexts:
        context.close()
    outside = [u for u in asked if not u.startswith((*allowed, "data:", "blob:"))]
    assert not outside
    assert not [s for s in said if not any(a in s for a in allowed)]


def picture(page: Page, data: bytes, name: str = "face.png", kind: str = "image/png") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})


def shot(page: Page, name: str) -> None:
    folder = os.environ.get("DUCHENNE_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(250)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def give(page: Page, event: str, data: bytes) -> None:
    """A paste or a drop with a file, as the browser would dispatch it."""
    page.evaluate(
        """([event, text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "p.png", { type: "image/png" }));
            const made = event === "paste"
                ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
                : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.getElementById("stage").dispatchEvent(made);
        }""",
        [event, base64.b64encode(data).decode()],
    )


def test_policy_names_exactly_what_is_inline(server: Any) -> None:
    reply = server.ask("GET", "/")
    policy = reply.headers["content-security-policy"]
    text = reply.body.decode()
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert "{{" not in text.replace("${{", "")
    assert "for &lt;tests&gt; &amp; nobody" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#|openapi)", text)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)


@needs_chromium
@pytest.mark.parametrize("way", ["choose", "paste", "drop"])
def test_a_picture(visit: Visit, image: Callable[..., bytes], way: str) -> None:
    page = visit()
    data = image(size=(320, 240))
    if way == "choose":
        picture(page, data)
    else:
        give(page, way, data)
    expect(page.locator(".face")).to_have_count(2)
    expect(page.locator("#state")).to_contain_text("2 faces")
    expect(page.locator("#announce")).to_contain_text("2 faces")
    first = page.locator(".face").first
    numbers = [
        int(t.rstrip("%")) for t in first.locator("table").first.locator("td.number").all_inner_texts()
    ]
    assert numbers == sorted(numbers, reverse=True)
    assert 99 <= sum(numbers) <= 101
    widths = first.locator(".fill").evaluate_all("bars => bars.map((b) => b.style.width)")
    assert round(float(widths[0].rstrip("%"))) == numbers[0]
    drawn = page.evaluate(
        "() => { const c = document.getElementById('boxes');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); }"
    )
    assert drawn
    expect(page.locator("#chart circle")).to_have_count(3)
    page.locator("#history-details summary").click()
    expect(page.locator("#history-table tbody tr")).to_have_count(1)
    expect(page.locator("#history-table thead th")).to_have_count(4)
    if way == "choose":
        shot(page, "result-light-desktop")


@needs_chromium
def test_bad_pictures_say_what_is_wrong_and_the_next_one_works(
    visit: Visit, image: Callable[..., bytes]
) -> None:
    page = visit()
    picture(page, b"no image", "a.png")
    expect(page.locator("#problem")).to_contain_text("not an image")
    expect(page.locator("#state")).to_have_text("No result.")
    shot(page, "error-light-desktop")
    picture(page, image(size=(60, 40)))
    expect(page.locator(".face")).to_have_count(2)
    expect(page.locator("#problem")).to_be_hidden()


@needs_chromium
def test_no_face(visit: Visit, image: Callable[..., bytes], finder: TwoFaces) -> None:
    finder.found = 0
    page = visit()
    picture(page, image(size=(60, 40)))
    expect(page.locator("#none")).to_have_text("No face was found.")
    finder.found = 2


@needs_chromium
def test_a_group_is_folded(visit: Visit, image: Callable[..., bytes], finder: TwoFaces) -> None:
    finder.found = 6
    page = visit()
    picture(page, image(size=(320, 240)))
    expect(page.locator(".face")).to_have_count(6)
    finder.found = 2
    folded = page.locator("details.face")
    expect(folded).to_have_count(3)
    expect(page.get_by_role("table", name="emotion")).to_have_count(3)
    expect(page.locator("#state")).to_contain_text("and more")
    folded.first.locator("summary").click()
    expect(page.get_by_role("table", name="emotion")).to_have_count(4)
    shot(page, "group-light-desktop")


@needs_chromium
def test_the_webcam_is_watched_and_let_go(visit: Visit) -> None:
    page = visit()
    button = page.locator("#camera")
    button.click()
    expect(button).to_have_accessible_name("Stop the webcam")
    assert button.get_attribute("aria-pressed") is None  # "Stop the webcam, pressed" says its contrary
    expect(page.locator(".face")).to_have_count(2)
    expect(page.locator("#chart polyline").first).to_have_attribute("points", re.compile(r"^(\S+ ){3}"))
    page.evaluate(
        "() => { window.changes = 0; new MutationObserver(() => window.changes++)"
        ".observe(document.getElementById('announce'), { childList: true }); }"
    )
    page.wait_for_timeout(1500)
    assert page.evaluate("window.changes") <= 1  # a screen reader is not talked to at every frame
    # The test picture is green; white are the boxes' lines, where they are not hidden behind it.
    pixels = np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB"))
    assert (pixels.min(2) > 240).sum() > 500
    shot(page, "webcam-light-desktop")
    tracks = "document.getElementById('video').srcObject.getTracks()[0].readyState"
    assert page.evaluate(tracks) == "live"
    page.evaluate("window.track = document.getElementById('video').srcObject.getTracks()[0]")
    button.click()
    expect(button).to_have_text("Start the webcam")
    assert page.evaluate("window.track.readyState") == "ended"
    assert page.evaluate("document.getElementById('video').srcObject") is None


@needs_chromium
def test_no_webcam_says_so(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " () => Promise.reject(new DOMException('x', 'NotFoundError')); }"
    )
    page.locator("#camera").click()
    expect(page.locator("#problem")).to_contain_text("No webcam was found")


@needs_chromium
def test_keyboard_alone(visit: Visit, image: Callable[..., bytes]) -> None:
    page = visit()
    picture(page, image(size=(60, 40)))
    expect(page.locator(".face")).to_have_count(2)
    page.locator("body").focus()
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "(({ id, className, tagName }) => id || className || tagName)(document.activeElement)"
            )
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", order[-1]
    assert order == ["skip", "choose", "camera", "SUMMARY", "A"]
    with page.expect_file_chooser():
        page.locator("#choose").focus()
        page.keyboard.press("Enter")
    page.locator("#history-details summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#history-table")).to_be_visible()


@needs_chromium
def test_names_and_roles(visit: Visit, image: Callable[..., bytes]) -> None:
    page = visit()
    picture(page, image(size=(60, 40)))
    expect(page.get_by_role("heading", name="Face 1")).to_be_visible()
    expect(page.get_by_role("button", name="Choose a picture")).to_be_visible()
    expect(page.get_by_role("button", name="Start the webcam")).to_be_visible()
    expect(page.get_by_role("img", name="The picture you gave")).to_be_visible()
    expect(page.get_by_role("img", name="The last minute")).to_be_visible()
    expect(page.get_by_role("table", name="emotion").first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^happy \d+%$")).first).to_be_visible()
    for section in ("Picture", "Faces", "The last minute", "The model"):
        expect(page.get_by_role("region", name=section, exact=True)).to_be_visible()
    missing = page.evaluate(
        "() => [...document.querySelectorAll('button, input:not([hidden]), select')]"
        ".filter((e) => !e.labels?.length && !e.textContent.trim() && !e.getAttribute('aria-label')).length"
    )
    assert missing == 0


CONTRAST = """() => {
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) {
        const c = numbers(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
    const bad = [];
    const texts = 'h1, h2, h3, p, th, td, dt, dd, li, button, label, a, summary, caption';
    for (const e of document.querySelectorAll(texts)) {
        if (!e.checkVisibility() || !e.textContent.trim() || e.matches('.skip, .unseen'))
            continue;
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) bad.push([e.tagName, e.textContent.trim().slice(0, 30), ratio]);
    }
    return bad;
}"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_looks(visit: Visit, image: Callable[..., bytes], scheme: str, width: int) -> None:
    """Nothing is wider than a phone, and text can be read in both colour schemes (WCAG 1.4.3: 4.5 to 1)."""
    page = visit(width=width, color_scheme=scheme)
    picture(page, image("JPEG", size=(640, 480)))
    expect(page.locator(".face")).to_have_count(2)
    page.locator("#history-details summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    shot(page, f"looks-{scheme}-{width}")
    picture(page, b"no image", "a.png")
    expect(page.locator("#problem")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    shot(page, f"error-{scheme}-{width}")


@needs_chromium
def test_reduced_motion(visit: Visit, image: Callable[..., bytes]) -> None:
    page = visit(reduced_motion="reduce")
    picture(page, image(size=(60, 40)))
    bar = page.locator(".fill").first
    assert bar.evaluate("b => getComputedStyle(b).transitionProperty") == "none" or (
        bar.evaluate("b => getComputedStyle(b).transitionDuration") == "0s"
    )


@needs_chromium
def test_the_key_is_asked_for_and_forgotten(start: Start, visit: Visit, image: Callable[..., bytes]) -> None:
    server = start(key=KEY)
    page = visit(f"http://127.0.0.1:{server.port}/", console="401 (Unauthorized)")
    field = page.get_by_label("API key")
    expect(field).to_be_visible()
    shot(page, "key-light-desktop")
    field.fill("wrong-wrong-wrong-wrong")
    field.press("Enter")
    expect(page.locator("#key-problem")).to_contain_text("not the right one")
    field.fill(KEY)
    field.press("Enter")
    expect(page.locator("#key-form")).to_be_hidden()
    picture(page, image(size=(60, 40)))
    expect(page.locator(".face")).to_have_count(1)
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    assert KEY not in kept
    assert page.context.cookies() == []
    page.reload()
    expect(field).to_be_visible()


@needs_chromium
def test_an_answer_that_comes_late_is_not_shown_for_the_next_picture(
    visit: Visit, image: Callable[..., bytes], finder: TwoFaces
) -> None:
    page = visit()
    finder.go.clear()
    picture(page, image(size=(60, 40)))
    page.wait_for_timeout(200)
    picture(page, b"no image", "b.png")
    expect(page.locator("#problem")).to_contain_text("not an image")
    finder.go.set()
    page.wait_for_timeout(500)
    expect(page.locator(".face")).to_have_count(0)


@needs_chromium
def test_a_page_of_another_site_learns_nothing(start: Start, browser: Browser, visit: Visit) -> None:
    """A page under another origin (another port is one) can neither read nor ask."""
    server, other = start(), start()
    context = browser.new_context()
    page = context.new_page()
    page.route("**/evil", lambda route: route.fulfill(body="<p>evil", content_type="text/html"))
    page.goto(f"http://127.0.0.1:{other.port}/evil")
    address = f"http://127.0.0.1:{server.port}"
    for path, options in (("/health", "{}"), ("/predict", "{method: 'POST', body: new FormData()}")):
        got = page.evaluate(f"fetch('{address}{path}', {options}).then(() => 'read', () => 'refused')")
        assert got == "refused"
    page.evaluate(f"() => {{ document.body.innerHTML = '<iframe src=\"{address}/\"></iframe>'; }}")
    page.wait_for_timeout(500)
    assert [f.url for f in page.frames][1:] == ["chrome-error://chromewebdata/"]  # frame-ancestors 'none'
    context.close()

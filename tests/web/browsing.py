"""Pages in a browser: one that is opened, what it asked for, and what it said."""

import re

PAGES = {
    "network": "#/network?layer=1",
    "unit": "#/unit?u=3%3A2%402%2C3",
    "image": "#/image",
    "collection": "#/collection",
    "confusion": "#/collection?method=confusion",
    "two networks": "#/image?beside=1&methods=saliency",
    "studio": "#/studio",
    "camera": "#/camera",
}
LOOKS = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
READY = {
    "network": "canvas.tiles[data-drawn]",
    "unit": ".panel.ready",
    "image": ".panel.ready",
    "collection": "iframe.frame",
    "confusion": ".sheet-of-counts button",
    "two networks": ".judged:not([hidden])",
    "studio": ".form",
    "camera": "[data-rate]",
}
WAIT = 60_000


class Opened:
    """A page in a browser; what it asked for, and what it said."""

    def __init__(self, browser, running, **look) -> None:
        self.asked, self.said, self.running = [], [], running
        self.context = browser.new_context(**look)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(running.url)
        self.page.wait_for_selector("h1")

    def go(self, where: str) -> None:
        self.page.goto(self.running.url.split("?")[0] + where)

    def show(self, name: str) -> None:
        self.go(PAGES[name])
        self.page.wait_for_selector(f"main.page-{PAGES[name].split('?')[0].removeprefix('#/')}")
        self.page.wait_for_selector(READY[name])

    def hosts(self) -> set[str]:
        return {re.sub(r"^(\w+:(//[^/]*)?).*", r"\1", address, flags=re.DOTALL) for address in self.asked}

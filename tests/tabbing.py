"""A walk through a page by Tab alone: which controls it never reaches, and which do not show the focus."""

from typing import Any

#: Everything that can be operated, and is there to be seen; each is marked once it had the focus.
_LEFT = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, iframe, [tabindex]")]
    .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.tabIndex >= 0)
    .filter((one) => one.dataset.reached === undefined && !(one.tagName === "IFRAME" && one.sandbox.length === 0))
    .map((one) => one.outerHTML.slice(0, 160))"""

#: What has the focus, and whether one sees it: an outline, or a change of its shadow, that no scrolling box cuts off.
_STOP = """() => {
    const one = document.activeElement;
    if (!one || one === document.body || one === document.documentElement) return null;
    const again = one.dataset.reached !== undefined;
    one.dataset.reached = "1";
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    const wide = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
    const out = parseFloat(style.outlineOffset) + wide;
    const ring = [box.left - out, box.top - out, box.right + out, box.bottom + out];
    const cut = [];
    for (let above = one.parentElement; above && above !== document.body; above = above.parentElement) {
        const {overflowX, overflowY} = getComputedStyle(above);
        if (overflowX === "visible" && overflowY === "visible") continue;
        const {left, top, right, bottom} = above.getBoundingClientRect();
        const across = ring[0] < left - 1 && box.right > left || ring[2] > right + 1 && box.left < right;
        const down = ring[1] < top - 1 && box.bottom > top || ring[3] > bottom + 1 && box.top < bottom;
        if (across || down) cut.push(above.className || above.tagName);
    }
    const large = box.width > 300 && box.height > 200; // three sides of a large ring are enough
    return {again, frame: one.tagName === "IFRAME", seen: wide >= 1 && (large || cut.length === 0),
        says: `${one.outerHTML.slice(0, 160)} ${cut.length ? `cut off by ${cut}` : `outline ${style.outline}`}`};
}"""


def settle(page: Any, still: int = 4) -> None:
    """Wait until the controls have stayed the same for a second: what comes after Tab has passed is never reached."""
    before, same = None, 0
    while same < still:
        found = [frame.evaluate(_LEFT) for frame in page.frames]
        before, same = found, same + 1 if found == before else 0
        page.wait_for_timeout(250)


def _inside(page: Any) -> Any:
    """What has the focus in a frame, which a busy machine tells some time after the frame has it; None for nothing."""
    for _ in range(5):
        inner = next((frame for frame in page.frames[1:] if frame.evaluate("document.hasFocus()")), None)
        found = inner and inner.evaluate(_STOP)
        if found:
            return found
        page.wait_for_timeout(40)
    return None


def walk(page: Any, most: int = 400) -> tuple[list[str], list[str]]:
    """Press Tab until the focus is where it was before: the controls that it never had, and those that did not show it.
    A frame counts as reached once the focus has left it again, and its controls count as well. What was missed is
    looked for once more, since on a busy machine the focus may have moved on before it was told.
    """
    settle(page)
    page.evaluate("document.activeElement?.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    unseen: dict[str, None] = {}
    presses = _round(page, unseen, most, patience=5)
    left = _left(page)
    if left:
        _round(page, unseen, presses, patience=presses)
        left = _left(page)
    return left, list(unseen)


def _round(page: Any, unseen: dict[str, None], most: int, patience: int) -> int:
    """Press Tab until more than `patience` controls in a row had the focus before; returns how often it was pressed."""
    repeated = 0
    for pressed in range(1, most + 1):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if stop is None:
            if not page.evaluate(_LEFT):
                return pressed
            continue
        if stop["frame"]:
            stop = _inside(page)
            if stop is None:
                continue
        repeated = repeated + 1 if stop["again"] else 0
        if not stop["seen"] and not stop["again"]:
            unseen[stop["says"]] = None
        if repeated > patience and not stop["frame"]:
            return pressed
    return most


def _left(page: Any) -> list[str]:
    """The controls that never had the focus."""
    return [one for frame in page.frames for one in frame.evaluate(_LEFT)]

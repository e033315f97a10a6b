"""Which HTML may stand on the instructor's page.

The rule is stricter than HTML's own: between tags no `<`, tags only of the forms below, closed in the order
in which they were opened. What keeps to it is read in the same way by every parser, can close nothing that
it has not opened, and holds nothing but the listed tags and attributes. There is no guessing what a browser
makes of the rest: the rest is not kept.
"""

from __future__ import annotations

import re
from html import unescape

_VOID = frozenset({"br", "hr", "img", "input"})
_BLOCKS = (
    "blockquote center dd details div dl dt figcaption figure h1 h2 h3 h4 h5 h6 li ol p pre summary ul"
    " caption table tbody td tfoot th thead tr"
)
_IN_LINE = "a abbr b code del em font i ins kbd mark q s samp small span strong sub sup u var"
TAGS = _VOID | frozenset(_BLOCKS.split()) | frozenset(_IN_LINE.split())

# Hosts without a dot, and plain addresses, are left out: they are this machine, where Jupyter listens.
_WEB = r"https?://(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?(?:[/?#]\S*)?"
# A picture is fetched without a click, and some of Jupyter's addresses do something when they are fetched
# (/formgrader?path=... runs a settings file). So: data, files beside the notebook, the release's own badge.
_PICTURE = r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=\s]*"
_NAME = r"[\w-](?:[\w .-]|%20)*"
_BESIDE = rf"(?!.*\.\.)(?:\./)?(?:{_NAME}/)*{_NAME}\.(?:png|jpe?g|gif|PNG|JPE?G|GIF)"
_BADGE = r"https://colab\.research\.google\.com/assets/[\w-]+\.svg"
_CLASSES = r"highlight|dataframe|anchor-link|(?:jp-M|m)ermaid|task-list-item(?:-checkbox)?|language-[\w+#.-]*"
_STYLES = "color|background-color|font-weight|font-style|text-align|white-space|vertical-align"

_SIZE = r"\d{1,4}(?:px|%)?"
_ANYWHERE = {
    # Pygments' classes have up to three characters. Others could be some that the page's scripts look for.
    "class": rf"(?:\s*(?:{_CLASSES}|[a-z][a-z0-9]{{0,2}})(?=\s|$))*\s*",
    "style": rf"\s*(?:(?:{_STYLES})\s*:[\w\s#%.,-]*(?:;\s*|$))*",
    "title": r".*",
    "align": r"\w*",
}
_ON_TAG = {
    ("a", "href"): rf"{_WEB}|mailto:\S*|#\S*",
    ("img", "src"): f"{_PICTURE}|{_BESIDE}|{_BADGE}",
    ("img", "alt"): r".*",
    ("img", "width"): _SIZE,
    ("img", "height"): _SIZE,
    ("input", "type"): "checkbox",
    ("input", "disabled"): ".*",
    ("input", "checked"): ".*",
    ("details", "open"): ".*",
    ("font", "color"): r"[\w#]*",
    ("ol", "start"): r"-?\d{1,9}",
    ("table", "border"): r"\d?",
    **{(cell, span): r"\d{1,3}" for cell in ("td", "th") for span in ("colspan", "rowspan")},
    **{(f"h{level}", "id"): r"\S*" for level in range(1, 7)},  # nbconvert gives every heading one
}
_RULES = {key: re.compile(rule, re.S) for key, rule in (*_ANYWHERE.items(), *_ON_TAG.items())}

_SPACE = r"[ \t\n\f\r]"
_VALUE = r"""="([^"]*)"|='([^']*)'|=([\w.%#-]++)"""
_ATTRIBUTE = re.compile(rf"([a-z-]++)(?:{_VALUE})?", re.I | re.A)
# What follows a `<`. The quantifiers with a second plus do not go back, so this takes linear time.
_TAG = re.compile(
    rf"(?P<end>/?)(?P<name>[a-z][a-z0-9]*+)(?P<attributes>(?:{_SPACE}++[a-z-]++(?:{_VALUE})?)*+)"
    rf"{_SPACE}*+(?P<slash>/?)>",
    re.I | re.A,
)
_UNSEEN = re.compile(r"<(style|script)\b[^<>]*>[^<]*</\1\s*>", re.I)


def is_harmless(html: str, taken: frozenset[str] = frozenset()) -> bool:
    """Whether a piece of a page keeps to the rule.

    Args:
        taken: ids that stand elsewhere on the page: formgrader finds the field for a mark by its id.
    """
    unclosed: list[str] = []
    for piece in html.split("<")[1:]:
        if (tag := _TAG.match(piece)) is None or not tag_is_allowed(tag, taken):
            return False
        name = tag["name"].lower()
        if tag["end"]:
            if not unclosed or unclosed.pop() != name:
                return False
        elif name not in _VOID:
            if tag["slash"]:  # browsers do not heed the slash
                return False
            unclosed.append(name)
    return not unclosed


def read_tag(text: str) -> re.Match[str] | None:
    """The tag with which a text begins, for `tag_is_allowed`."""
    return _TAG.match(text[1:]) if text.startswith("<") else None


def tag_is_allowed(tag: re.Match[str], taken: frozenset[str] = frozenset()) -> bool:
    """Whether a tag may stand there by itself, closed or not."""
    name = tag["name"].lower()
    if tag["end"]:
        return name in TAGS - _VOID and not tag["attributes"]
    found = list(_ATTRIBUTE.finditer(tag["attributes"]))
    attributes = {each[1].lower(): unescape(each[2] or each[3] or each[4] or "") for each in found}
    # Of two attributes with the same name, one parser takes the first and another the last. A field without a
    # type is one to write in.
    return (
        name in TAGS
        and len(attributes) == len(found)
        and (name != "input" or "type" in attributes)
        and attributes.get("id") not in taken
        and all(is_allowed(name, *each) for each in attributes.items())
    )


def is_allowed(tag: str, attribute: str, value: str) -> bool:
    """Whether an attribute may stand in a tag with this value, as a browser reads it."""
    rule = _RULES.get((tag, attribute)) or _RULES.get(attribute)
    return rule is not None and rule.fullmatch(value) is not None


def harmless_html(html: str, taken: frozenset[str] = frozenset()) -> str:
    """The HTML of an output as it can be kept: whole, or not at all."""
    html = _UNSEEN.sub("", html)  # a table of pandas begins with its style
    return html if html.strip() and is_harmless(html, taken) else ""

"""Markdown that stays what the student wrote, and shows on the page what is safe to show.

What renders to a harmless page is left byte for byte as it is. Otherwise a second version of the source is
tried, in which everything harmful shows as the characters it was written with; it is tried because no
look at the source alone can tell what a Markdown parser makes of it. If even that page is not harmless, the
answer is shown as plain text.
"""

from __future__ import annotations

import re
from functools import partial
from html import escape

from course_tools.grading.harmless.page import is_allowed, is_harmless, read_tag, tag_is_allowed

# Brackets and formulas that do not end take nbconvert's parser time with the square of the text's length.
MAX_LENGTH = 20_000
MAX_OPENED = 300
_OPENED = re.compile(r"\[|\\\\\(|\\begin\{")

_PLAIN = '<pre style="white-space: pre-wrap">{}</pre>'
_IS_PLAIN = re.compile(_PLAIN.format("[^<]*"))

_PIECES = re.compile(
    r"""
      ^[ ]{0,3}(?P<fence>```+|~~~+)[^\n]*\n (?s:.*?) (?: ^[ ]{0,3}(?P=fence)[`~]*[ \t]*$ | \Z )
    | (?<![^\n]\n)(?<![^\n])(?:[ ]{4}|\t)[^\n]*(?:\n(?:[ ]{4}|\t)[^\n]*)*          # an indented block of code
    | (?<!`)(?P<ticks>`+)(?!`) (?s:.{1,1000}?) (?<!`)(?P=ticks)(?!`)
    | (?<!\\)\$\$ (?s:.{1,2000}?) \$\$
    | (?<![\\$])\$ [^$]{1,500} \$
    | \\begin\{(?P<kind>[a-z]{1,20}\*?)\} (?s:.{1,2000}?) \\end\{(?P=kind)\}
    | (?P<target>^[ ]{0,3}\[[^\[\]\n]{1,200}\]:[ \t]*<?(?P<there>[^\s>]*))
    | (?P<link>(?P<bang>!?)\[(?P<words>[^\[\]\n]{0,300})\]\(\s*<?(?P<url>[^\s)<>]*))
    | <(?P<auto>https?://[^\s<>]*)>
    | (?P<bare>https?://[^\s<>()]+)
    | (?P<tag></?[a-zA-Z][^<>]*>)
    | (?P<less><)
    """,
    re.M | re.X,
)

Attachments = dict[str, dict[str, str]]


def harmless_text(source: str, attachments: Attachments, taken: frozenset[str] = frozenset()) -> str:
    """The source of a Markdown cell to keep. Doing it twice changes nothing."""
    if len(source) > MAX_LENGTH or len(_OPENED.findall(source)) > MAX_OPENED:
        return source if _IS_PLAIN.fullmatch(source) else as_it_stands(source)
    if _is_harmless(source, attachments, taken):
        return source
    for tags in (True, False):
        text = _PIECES.sub(partial(_kept, attachments=attachments, tags=tags), source)
        if _is_harmless(text, attachments, taken):
            return text
    return as_it_stands(source)


def as_it_stands(source: str) -> str:
    """Markdown that shows a text and interprets nothing of it."""
    return _PLAIN.format(escape(source, quote=False))


def _is_harmless(source: str, attachments: Attachments, taken: frozenset[str]) -> bool:
    try:
        return is_harmless(_rendered(source, attachments), taken)
    except Exception:  # formgrader would stumble as well: a missing attachment, brackets nested too deeply
        return False


def _rendered(source: str, attachments: Attachments) -> str:
    """The page that nbconvert's HTMLExporter, hence formgrader and the feedback, makes of it."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
    from nbconvert.filters.strings import strip_files_prefix

    renderer = IPythonRenderer(escape=False, attachments=attachments)
    return str(strip_files_prefix(MarkdownWithMath(renderer=renderer).render(source)))


def _kept(piece: re.Match[str], attachments: Attachments, tags: bool) -> str:
    """A piece of the source without what is harmful in it. Code and formulas show as they are."""
    text = piece[0]
    if piece["less"] or piece["tag"]:
        tag = read_tag(text)
        return text if tags and tag and tag_is_allowed(tag) else text.replace("<", "&lt;")
    if url := piece["auto"] or piece["bare"]:
        return (
            text if is_allowed("a", "href", url) else f"`{url}`"
        )  # the parser makes links of bare addresses
    if piece["target"]:
        return text if _may_be_linked(piece["there"]) else text.replace("[", r"\[", 1)
    if piece["link"]:
        return _kept_link(piece, attachments)
    return text


def _kept_link(piece: re.Match[str], attachments: Attachments) -> str:
    """A link or picture; a picture from elsewhere becomes a link, for that is fetched only by a click."""
    url = piece["url"]
    kind, _, name = url.partition(":")
    if piece["bang"] and (is_allowed("img", "src", url) or (kind == "attachment" and name in attachments)):
        return piece[0]
    if _may_be_linked(url):
        return piece[0].removeprefix("!")
    return piece[0].replace("[", r"\[", 1)


def _may_be_linked(url: str) -> bool:
    return is_allowed("a", "href", url)

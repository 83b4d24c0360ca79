"""HTML, written by a few functions: a text is escaped unless its type says that it is HTML already."""

from html import escape


class Markup(str):
    """A text that is HTML already, with everything in it escaped that needs it."""

    __slots__ = ()


def markup(text: str) -> Markup:
    """Return a text as HTML; HTML stays as it is."""
    return text if isinstance(text, Markup) else Markup(escape(text))


def joined(*parts: str) -> Markup:
    """Return texts and HTML behind one another."""
    return Markup("".join(markup(part) for part in parts))


def element(name: str, *content: str, **attributes: str) -> Markup:
    """Return an element.

    Args:
        name: of the element, such as `p`.
        content: texts and HTML.
        attributes: by name; an underscore at the end of a name is dropped (`class_`), others stand for
            hyphens (`aria_label`).
    """
    marks = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{marks}>{joined(*content)}</{name}>")


def prose(text: str) -> Markup:
    """Return a text in which `backquotes` mark code and bare paths that they hold become links.

    What stands between backquotes and begins with a slash is an address of this service.
    """
    parts = text.split("`")
    return joined(*(_code(part) if place % 2 else part for place, part in enumerate(parts)))


def _code(text: str) -> Markup:
    code = element("code", text)
    return element("a", code, href=text) if text.startswith("/") and "{" not in text else code


def paragraph(text: str, **attributes: str) -> Markup:
    """Return prose as a paragraph."""
    return element("p", prose(text), **attributes)


def section(level: int, name: str, title: str, *content: str, **attributes: str) -> Markup:
    """Return a section under a heading that links to itself.

    Args:
        level: of the heading, 2 to 6.
        name: its fragment: `/docs#name` leads there.
        title: text or HTML.
    """
    here = element("a", "#", href=f"#{name}", class_="here", aria_label="Link to this section")
    heading = element(f"h{level}", title, " ", here)
    return element("section", heading, *content, id=name, **attributes)


def block(text: str, **attributes: str) -> Markup:
    """Return lines of code as they are."""
    return element("pre", element("code", text), **attributes)


def listing(*items: str, **attributes: str) -> Markup:
    """Return an unordered list."""
    return element("ul", *(element("li", item) for item in items), **attributes)


def table(caption: str, columns: tuple[str, ...], *rows: tuple[str, ...]) -> Markup:
    """Return a table whose first column names its rows.

    It stands in a box of its own that scrolls sideways where it is wider than the screen, and that the
    keyboard reaches.
    """
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", whole, class_="wide", role="region", aria_label=caption, tabindex="0")

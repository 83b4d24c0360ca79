"""One question, written in many ways, as clients, proxies and advertising write it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.replay import written

_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_COOKIES = "Cookie: session=8c1f0a52e7; _ga=GA1.2.1066.1730; theme=dark"


@dataclass(frozen=True)
class Way:
    """A way to write a request.

    Args:
        name: what is peculiar to it.
        query: puts the parts `name=value` together.
        headers: takes the place of `HEADERS` where the names are the same, and follows them where not.
    """

    name: str
    query: Callable[[Sequence[str]], str] = "&".join
    headers: Sequence[str] = ()

    def request(self, path: str, parts: Sequence[str]) -> bytes:
        """Return the bytes of the request."""
        headers = {header.partition(":")[0]: header for header in (*HEADERS, *self.headers)}
        return written(f"{path}?{self.query(parts)}", list(headers.values()))


HEADERS = ("Host: localhost", "Accept-Encoding: gzip")


def _joined(*parts: str) -> str:
    return "&".join(parts)


def _lower(text: str) -> str:
    return text.replace("%3A", "%3a")


def _mixed(text: str) -> str:
    return text.replace("%3A", "%3a", 1)


WAYS = (
    Way("as documented"),
    Way("the other way round", lambda parts: _joined(*reversed(parts))),
    Way("by name", lambda parts: _joined(*sorted(parts))),
    Way("beginning in the middle", lambda parts: _joined(*parts[2:], *parts[:2])),
    Way("small letters in escapes", lambda parts: _lower(_joined(*parts))),
    Way("small and capital letters in escapes", lambda parts: _mixed(_joined(*parts))),
    Way("colons as they are", lambda parts: _joined(*parts).replace("%3A", ":")),
    Way("cookies", headers=[_COOKIES]),
    Way("an escape that nothing needs", lambda parts: _joined(*parts).replace("aq_", "aq%5F")),
    Way("from a campaign", lambda parts: _joined(*parts, "utm_source=letter", "utm_medium=mail")),
    Way("from an advertisement", lambda parts: _joined("gclid=Cj0KCQiA", *parts)),
    Way("shared, with cookies", lambda parts: _joined(*parts[:2], "fbclid=IwAR3x", *parts[2:]), [_COOKIES]),
    Way("empty places between ampersands", lambda parts: "&" + "&&".join(parts) + "&"),
    Way("a library's Accept", headers=["Accept: application/json, text/plain, */*"]),
    Way("a browser's Accept", headers=[f"Accept: {_BROWSER}"]),
    Way("a browser's encodings", headers=["Accept-Encoding: gzip, deflate, br, zstd", "Accept: */*"]),
    Way("a browser that reloads", headers=["Cache-Control: no-cache", "Pragma: no-cache"]),
    Way("another name of the host", headers=["Host: air.example.org", "X-Forwarded-For: 203.0.113.9"]),
    Way("credentials that nobody asked for", headers=["Authorization: Basic dXNlcjpwYXNz"]),
    Way(
        "everything at once",
        lambda parts: _lower(_joined("msclkid=1", *reversed(parts), "_ga=2.1", "utm_id=7")),
        [_COOKIES, f"Accept: {_BROWSER}", "Accept-Encoding: br;q=1.0, gzip;q=0.8", "Host: [::1]:8080"],
    ),
)

WAYS_TO_THE_API = (
    Way("the default order spelled out", lambda parts: _joined(*parts, "order=asc")),
    Way("the default format spelled out", lambda parts: _joined("format=json", *parts)),
    Way("the default limit spelled out", lambda parts: _joined(*parts, "limit=1000")),
)
"""They mean the same to the API, which answers with the same bytes; the cache stores each apart."""

"""What the documentation says that no table of the API knows: what to try, and what each problem means."""

from dataclasses import dataclass

from airq.api.envelope import LARGEST_HEADERS, LONGEST_TARGET
from airq.api.routes import LISTING

REPEATABLE = " and ".join(f"`{parameter.name}`" for parameter in LISTING if parameter.repeatable)


@dataclass(frozen=True)
class Trial:
    """A request to try.

    Args:
        target: path and query; it answers with 200 whatever data there is.
        shows: what its answer is.
    """

    target: str
    shows: str


TRIALS: dict[str, tuple[Trial, ...]] = {
    "/air_quality": (
        Trial("/air_quality?limit=3", "the first three measurements there are, and the link to the next"),
        Trial(
            "/air_quality?order=desc&limit=3&pollutant=no2&pollutant=o3", "two pollutants, the newest first"
        ),
        Trial("/air_quality?from=2025-01-01&to=2025-01-02&limit=10", "a day, if there is data of it"),
        Trial("/air_quality?format=csv&limit=10", "the same data for a spreadsheet"),
    ),
    "/air_quality/latest": (
        Trial("/air_quality/latest", "one measurement a station"),
        Trial("/air_quality/latest?pollutant=pm2_5&format=csv", "one pollutant, as CSV"),
    ),
    "/stations": (Trial("/stations", "every name that the parameter station takes"),),
    "/pollutants": (Trial("/pollutants", "every name that the parameter pollutant takes"),),
    "/livez": (Trial("/livez", "what a supervisor asks before it restarts a process"),),
    "/readyz": (Trial("/readyz", "what a load balancer asks before it sends requests"),),
}
"""Path → requests to try; a path that needs a station's name has none, because names differ."""


@dataclass(frozen=True)
class Meaning:
    """A kind of problem in words: what happened, and what whoever sees it can do."""

    happened: str
    remedy: str


MEANINGS: dict[str, Meaning] = {
    "unknown-parameter": Meaning(
        "The query has a parameter that this address does not know. It is refused rather than passed over: "
        "an answer that ignores a filter looks right and is wrong.",
        "Look for a typing error; `allowed` lists the parameters that there are. Parameters that advertising "
        "adds to links (`utm_source`, `gclid`, `fbclid` and their like) need not be removed, they mean "
        "nothing here.",
    ),
    "repeated-parameter": Meaning(
        "A parameter that counts once stands in the query more than once.",
        f"Keep one of them. Only {REPEATABLE} may be repeated.",
    ),
    "invalid-parameter": Meaning(
        "A parameter has a value that it can't have. The members `parameter`, `value` and `allowed` tell "
        "which one, what arrived, and what would be right.",
        "Write it as `allowed` says. Of a time range, `to` must be later than `from`.",
    ),
    "foreign-cursor": Meaning(
        "The cursor was made for a query with other filters, so continuing there would skip measurements "
        "or repeat some.",
        "Follow `links.next` as it is. `pollutant` and `limit` may change from page to page; to change "
        "`station`, `from`, `to` or `order`, leave the cursor out and begin at the first page.",
    ),
    "bad-request": Meaning(
        "The request as a whole can't be understood, for instance because its query is not "
        "percent-encoded UTF-8.",
        "Let your HTTP library encode the query: a station called évora is `station=%C3%A9vora`.",
    ),
    "unknown-station": Meaning(
        "No station has this name. Capital and small letters are different letters here.",
        "Take the name from `/stations`, or follow the links there, which are percent-encoded already.",
    ),
    "not-found": Meaning(
        "Nothing is served at this address.",
        "Look at the endpoints on this page. None of them ends with a slash.",
    ),
    "method-not-allowed": Meaning(
        "The address is right and the method is not. Data can only be read here; its publisher loads it "
        "by other means.",
        "Use GET, or HEAD for the headers alone.",
    ),
    "not-acceptable": Meaning(
        "The `Accept` header names only formats that this address does not have.",
        "Send one of those in `allowed`, or `*/*`, or no `Accept` header at all. For measurements the "
        "parameter `format` goes before the header.",
    ),
    "uri-too-long": Meaning(
        f"Path and query together have more than {LONGEST_TARGET:,} bytes, or a link in the answer would, in "
        "which every character that needs it is percent-encoded.",
        "Ask for fewer stations at a time, or for all of them by leaving `station` out.",
    ),
    "upgrade-required": Meaning(
        "An export without `limit` was asked for in HTTP/1.0, where an answer that broke looks like a whole "
        "one.",
        "Use HTTP/1.1, and have proxies on the way use it (nginx: `proxy_http_version 1.1`). Or ask for "
        "pages, with `limit`.",
    ),
    "headers-too-large": Meaning(
        f"The request's headers together have more than {LARGEST_HEADERS:,} bytes. Most often these are "
        "cookies of other services on the same host.",
        "Send fewer headers; none is needed here.",
    ),
    "internal-error": Meaning(
        "A fault of the service, not of your request. It is in the service's log.",
        "Try again. If it stays, tell the publisher the `request_id`: it leads to the place in the log.",
    ),
    "database-unavailable": Meaning(
        "The database behind the service does not answer. The service recovers by itself as soon as it does.",
        "Send the same request again after as many seconds as the header `Retry-After` says.",
    ),
    "too-many-requests": Meaning(
        "More requests came from your address than the operator allows in a time. `RateLimit-Policy` says "
        "how many, `RateLimit` how many are left.",
        "Wait as many seconds as the header `Retry-After` says. Ask for more rows at a time with `limit`, or "
        "for all of them as CSV or NDJSON.",
    ),
    "api-unavailable": Meaning(
        "The service can't be reached behind its cache, and the cache holds no earlier answer to this "
        "question. What was asked for before is still answered.",
        "Send the same request again after as many seconds as the header `Retry-After` says.",
    ),
    "query-too-slow": Meaning(
        "The database took longer for this query than a query may take.",
        "Ask for a shorter time range, fewer stations or a smaller `limit`; or send it again after as many "
        "seconds as `Retry-After` says, if the database is only busy.",
    ),
    "too-busy": Meaning(
        "All connections to the database are in use, or as many exports are running as may.",
        "Send the same request again after as many seconds as `Retry-After` says, and ask for one export at "
        "a time.",
    ),
    "export-stalled": Meaning(
        "The client read nothing of an export for about a minute, and the database does not keep its state "
        "for longer. The answer has begun by then: it breaks off, and only the service's log has this name.",
        "Send the request again and read the answer without long breaks, for instance into a file.",
    ),
    "draining": Meaning(
        "This process was asked to stop and finishes what it is at. Only `/readyz` answers so, for load "
        "balancers to send new requests elsewhere.",
        "Nothing. Another process takes over, or this one is being restarted.",
    ),
    "schema-too-old": Meaning(
        "The database has no schema that this version of airq can serve, or does not allow airq to read it.",
        "Whoever runs the service runs `airq migrate`.",
    ),
}
"""Kind of problem → what it means; the kinds are those of `airq.api.problems`."""

PAGING_SCRIPT = """\
import json
from urllib.request import urlopen

place = "/air_quality?limit=10000"
while place:
    with urlopen("http://127.0.0.1:8080" + place) as answer:
        page = json.load(answer)
    for row in page["data"]:
        print(row["timestamp"], row["station"], row["no2"])
    place = page["links"]["next"]
"""

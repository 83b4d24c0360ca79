"""What a client may ask and how, and what it is told when it asks wrongly."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.api.listing import POLLUTANTS, STATIONS
from tests.integration.api.process import Answer, Api

ROUTES = (
    "/", "/air_quality", "/air_quality/latest", "/stations", "/stations/Zulu", "/pollutants", "/livez",
    "/readyz", "/openapi.json", "/docs",
)  # fmt: skip
LISTING = ["station", "pollutant", "from", "to", "order", "limit", "cursor", "format"]


def check_problem(answer: Answer, status: int, kind: str) -> dict[str, Any]:
    """Check what is true of every problem, and return its members."""
    problem: dict[str, Any] = answer.json()
    assert (answer.status, answer.kind) == (status, kind)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith((".", "?"))
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["etag"] is None
    assert answer.headers["access-control-allow-origin"] == "*"
    return problem


@pytest.mark.parametrize(
    ("query", "kind", "parameter", "value"),
    [
        ("limit=0", "invalid-parameter", "limit", "0"),
        ("limit=10001", "invalid-parameter", "limit", "10001"),
        ("limit=-1", "invalid-parameter", "limit", "-1"),
        ("limit=%2B1", "invalid-parameter", "limit", "+1"),
        ("limit=abc", "invalid-parameter", "limit", "abc"),
        ("limit=1e3", "invalid-parameter", "limit", "1e3"),
        ("limit=1.0", "invalid-parameter", "limit", "1.0"),
        ("limit=%D9%A3", "invalid-parameter", "limit", "٣"),
        ("limit=", "invalid-parameter", "limit", ""),
        ("limit", "invalid-parameter", "limit", ""),
        (f"limit={'9' * 400}", "invalid-parameter", "limit", "9" * 199 + "…"),
        ("order=ASC", "invalid-parameter", "order", "ASC"),
        ("order=", "invalid-parameter", "order", ""),
        ("format=xml", "invalid-parameter", "format", "xml"),
        ("pollutant=no3", "invalid-parameter", "pollutant", "no3"),
        ("pollutant=no2,o3", "invalid-parameter", "pollutant", "no2,o3"),
        ("pollutant=no2&pollutant=", "invalid-parameter", "pollutant", ""),
        ("station=", "invalid-parameter", "station", ""),
        ("from=yesterday", "invalid-parameter", "from", "yesterday"),
        ("from=2016-13-01", "invalid-parameter", "from", "2016-13-01"),
        ("from=2016-02-30", "invalid-parameter", "from", "2016-02-30"),
        ("from=2016-10-01T25:00:00Z", "invalid-parameter", "from", "2016-10-01T25:00:00Z"),
        ("from=1899-12-31", "invalid-parameter", "from", "1899-12-31"),
        ("from=1900-01-01T00:00:00%2B14:00", "invalid-parameter", "from", "1900-01-01T00:00:00+14:00"),
        ("from=2099-12-31T24:00", "invalid-parameter", "from", "2099-12-31T24:00"),
        ("to=2100-01-02", "invalid-parameter", "to", "2100-01-02"),
        ("to=", "invalid-parameter", "to", ""),
        ("to=1475280000", "invalid-parameter", "to", "1475280000"),
        ("from=2016-10-02&to=2016-10-01", "invalid-parameter", "to", "2016-10-01T00:00:00.000Z"),
        ("from=2016-10-01&to=2016-10-01", "invalid-parameter", "to", "2016-10-01T00:00:00.000Z"),
        ("cursor=", "invalid-parameter", "cursor", ""),
        ("cursor=%00", "invalid-parameter", "cursor", "\0"),
        ("limit=1&limit=1", "repeated-parameter", "limit", "1"),
        ("from=2016-01-01&from=2016-01-01", "repeated-parameter", "from", "2016-01-01"),
        ("stations=Zulu", "unknown-parameter", "stations", "Zulu"),
        ("Station=Zulu", "unknown-parameter", "Station", "Zulu"),
        ("offset=10", "unknown-parameter", "offset", "10"),
        ("=x", "unknown-parameter", "", "x"),
        ("utm=x", "unknown-parameter", "utm", "x"),
        ("limit=1;order=desc", "invalid-parameter", "limit", "1;order=desc"),
    ],
)
def test_a_wrong_query_is_told_its_parameter_value_and_what_is_allowed(
    api: Api, query: str, kind: str, parameter: str, value: str
) -> None:
    problem = check_problem(api.get(f"/air_quality?{query}"), 400, kind)
    assert (problem["parameter"], problem["value"]) == (parameter, value)
    if kind == "unknown-parameter":
        assert problem["allowed"] == LISTING
    elif kind == "invalid-parameter":
        assert problem["allowed"]
        assert parameter in problem["detail"]


def test_a_parameter_without_a_name_is_told_so(api: Api) -> None:
    detail = api.get("/air_quality?=x").json()["detail"]
    assert detail == f"A parameter has no name; allowed are {', '.join(LISTING)}."


def test_what_is_allowed_is_said_in_words(api: Api) -> None:
    def allowed(query: str) -> str:
        text: str = api.get(f"/air_quality?{query}").json()["allowed"]
        return text

    assert allowed("limit=x") == "a whole number from 1 to 10000"
    assert allowed("pollutant=x") == f"one of {', '.join(POLLUTANTS)}"
    assert "2016-10-01T02:00:00+02:00" in allowed("from=x")
    assert "%2B" in allowed("from=x")


@pytest.mark.parametrize("path", [route for route in ROUTES if not route.startswith("/air_quality")])
def test_a_route_without_parameters_takes_none(api: Api, path: str) -> None:
    problem = check_problem(api.get(f"{path}?station=Zulu"), 400, "unknown-parameter")
    assert (problem["parameter"], problem["allowed"]) == ("station", [])
    assert api.get(f"{path}?utm_source=mail&fbclid=1").status in (200, 302)


def test_latest_takes_no_range(api: Api) -> None:
    problem = check_problem(api.get("/air_quality/latest?from=2016-01-01"), 400, "unknown-parameter")
    assert problem["allowed"] == ["station", "pollutant", "format"]


@pytest.mark.parametrize(
    "spelling",
    [
        "2016-03-01T02:00:00+02:00",
        "2016-03-01T02:00:00%2B02:00",
        "2016-03-01+02:00:00+02:00",
        "2016-03-01T02:00:00%200200",
        "2016-03-01T02:00+02",
        "2016-03-01",
        "2016-03-01T00:00:00Z",
        "2016-02-29T18:00:00.000-06:00",
    ],
)
def test_a_time_is_understood_in_any_common_spelling(api: Api, spelling: str) -> None:
    links = api.get(f"/air_quality?from={spelling}").json()["links"]
    assert links["self"] == "/air_quality?from=2016-03-01T00:00:00.000Z"


@pytest.mark.parametrize("bound", ["to=2099-12-31T24:00", "from=1899-12-31T23:00-01:00"])
def test_links_at_the_ends_of_the_years_can_be_followed(api: Api, bound: str) -> None:
    links = api.get(f"/air_quality?{bound}&limit=1").json()["links"]
    assert api.get(links["self"]).json()["links"] == links
    assert api.get(links["next"]).status == 200


@pytest.mark.parametrize("path", ["/air_quality?station=", "/air_quality/latest?station=", "/stations/"])
@pytest.mark.parametrize("name", ["zulu", "Zulu ", "'; DROP TABLE x; --", "é", "%", "a/b", "a\0", "\u202e"])
def test_an_unknown_station_is_not_found(api: Api, path: str, name: str) -> None:
    problem = check_problem(api.get(path + quote(name, safe="")), 404, "unknown-station")
    assert (problem["parameter"], problem["value"]) == ("station", name)
    assert "/stations" in problem["allowed"]


def test_one_unknown_station_among_known_ones_is_told(api: Api) -> None:
    problem = check_problem(api.get("/air_quality?station=Zulu&station=nobody"), 404, "unknown-station")
    assert problem["value"] == "nobody"


@pytest.mark.parametrize("query", ["station=%FF", "station=%C3%28", "%ff=1", "station=%ED%A0%80"])
def test_what_is_not_utf_8_is_told_so(api: Api, query: str) -> None:
    assert "UTF-8" in check_problem(api.get(f"/air_quality?{query}"), 400, "bad-request")["detail"]


def test_a_path_that_is_not_utf_8_is_an_unknown_station(api: Api) -> None:
    check_problem(api.get("/stations/%FF%00"), 404, "unknown-station")


@pytest.mark.parametrize("query", ["%", "station=Zulu&limit=%", "station=%zz", "?", "station=Zulu#x"])
def test_odd_but_legal_queries_never_fail(api: Api, query: str) -> None:
    assert api.get(f"/air_quality?{query}").status in (200, 400, 404)


def test_more_than_1000_parameters_are_refused(api: Api) -> None:
    problem = check_problem(api.get("/air_quality?" + "a=1&" * 1001), 400, "bad-request")
    assert "1000" in problem["detail"]


def test_200_stations_may_be_asked_for_and_not_one_more(api: Api) -> None:
    many = [f"s{number}" for number in range(200)]
    asked = "&".join(f"station={name}" for name in many)
    check_problem(api.get(f"/air_quality?{asked}"), 404, "unknown-station")
    problem = check_problem(api.get(f"/air_quality?{asked}&station=one"), 400, "invalid-parameter")
    assert (problem["parameter"], problem["allowed"]) == ("station", "at most 200 times")
    repeated = "&".join(["station=Zulu"] * 300)
    assert api.get(f"/air_quality?{repeated}").status == 200


@pytest.mark.parametrize("length", [8 * 1024 + 1, 60_000])
def test_a_target_beyond_8_kib_is_refused(api: Api, length: int) -> None:
    target = "/air_quality?station="
    problem = check_problem(api.get(target + "a" * (length - len(target) + 1)), 414, "uri-too-long")
    assert "8192" in problem["detail"]
    check_problem(api.get(target + "a" * (8192 - len(target))), 404, "unknown-station")


def test_headers_beyond_32_kib_are_refused(api: Api) -> None:
    problem = check_problem(api.get("/livez", {"X-Long": "a" * 33_000}), 431, "headers-too-large")
    assert "32768" in problem["detail"]
    assert api.get("/livez", {"X-Long": "a" * 32_000}).status == 200


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_is_not_served_where_nobody_could_see_it_break(api: Api, form: str) -> None:
    def ask(method: str, query: str) -> bytes:
        return api.raw(f"{method} /air_quality?format={form}{query} HTTP/1.0\r\n\r\n".encode())

    head, _, body = ask("GET", "").partition(b"\r\n\r\n")
    assert head.split()[1] == b"426"
    assert b"\r\nupgrade: HTTP/1.1\r\n" in head
    assert json.loads(body)["type"] == "/docs#upgrade-required"
    assert ask("GET", "&limit=1").split()[1] == b"200"
    assert ask("HEAD", "").split()[1] == b"200"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET " + b"/livez?".ljust(65_535, b"a") + b" HTTP/1.1", b"414"),
        (b"GET /livez HTTP/1.1\r\n" + b"\r\n".join(b"x-%d: 1" % n for n in range(99)), b"431"),
        (b"GET /livez?\xff HTTP/1.1", b"400"),
        (b"nonsense", b"400"),
        (b"GET /livez HTTP/1.1\r\nContent-Length: x", b"400"),
    ],
)
def test_what_is_beyond_http_is_refused_by_the_server(api: Api, request_line: bytes, status: bytes) -> None:
    answer = api.raw(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    # It is bare, as the reference says.
    assert answer.endswith(b"\r\n\r\n")
    assert b"x-request-id" not in answer
    assert api.get("/livez").status == 200


def test_plain_utf_8_in_a_query_is_told_to_be_encoded(api: Api) -> None:
    request = "GET /air_quality?station=évora HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = api.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"station=aq_%C3%A9vora" in answer


def test_a_body_is_passed_over(api: Api) -> None:
    request = (
        b"GET /air_quality?limit=1%s HTTP/1.1\r\nHost: x\r\n"
        b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert api.raw(request % b"").startswith(b"HTTP/1.1 200")
    assert api.raw(request % b"&format=csv").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize(
    "target",
    [
        *ROUTES, "/air_quality?format=csv", "/air_quality?format=ndjson", "/air_quality?format=csv&limit=9",
        "/nothing", "/air_quality?limit=0", "/stations/nobody",
    ],
)  # fmt: skip
def test_head_is_get_without_its_body(api: Api, target: str, coding: str) -> None:
    asked = {"Accept-Encoding": coding, "X-Request-ID": "same"}
    whole, head = api.get(target, asked), api.get(target, asked, method="HEAD")
    assert head.body == b""
    assert head.status == whole.status

    def lasting(answer: Answer) -> dict[str, str]:
        # How a body is framed may be left out where there is none (RFC 9110, 9.3.2).
        varying = {"date", "transfer-encoding"}
        return {name: value for name, value in answer.headers.items() if name not in varying}

    assert lasting(head) == lasting(whole)


@pytest.mark.parametrize("path", ROUTES)
def test_options_tells_what_is_allowed(api: Api, path: str) -> None:
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    answer = api.get(path, preflight, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "If-None-Match" in answer.headers["access-control-allow-headers"]
    assert int(answer.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get"])
@pytest.mark.parametrize("path", ["/air_quality", "/stations/Zulu", "/livez"])
def test_other_methods_are_refused(api: Api, path: str, method: str) -> None:
    answer = api.get(path, method=method)
    problem = check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert problem["allowed"] == ["GET", "HEAD", "OPTIONS"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/nothing", "/docs"),
        ("/air_quality/", "did you mean /air_quality?"),
        ("/livez/", "did you mean /livez?"),
        ("/air_quality/latest/x", "/docs"),
        ("//air_quality", "/docs"),
        ("/AIR_QUALITY", "/docs"),
        ("/air_quality%2Flatest", "at /air_quality%2Flatest; did you mean /air_quality/latest?"),
        ("/air_quality%2flatest?limit=1", "at /air_quality%2flatest; did you mean /air_quality/latest?"),
        ("/stations%2FZulu", "/docs"),
        ("/stations%2FZulu/x", "/docs"),
        ("/metrics", "/docs"),
        ("/%00", "/docs"),
        ("/" + "a" * 5000, "/docs"),
    ],
)
def test_other_paths_are_not_found_and_the_way_is_shown(api: Api, path: str, hint: str) -> None:
    problem = check_problem(api.get(path), 404, "not-found")
    assert hint in problem["detail"]
    assert len(problem["detail"]) < 400


@pytest.mark.parametrize("target", [*ROUTES, "/nothing", "/air_quality?limit=0", "/air_quality?format=csv"])
def test_every_answer_may_be_read_by_any_page_and_is_what_it_says(api: Api, target: str) -> None:
    answer = api.get(target, {"Origin": "https://example.org"})
    assert answer.headers.get_all("access-control-allow-origin") == ["*"]
    exposed = answer.headers["access-control-expose-headers"]
    for name in ("ETag", "Link", "X-Request-ID", "Retry-After", "Content-Disposition"):
        assert name in exposed
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_lines_of_a_header_that_is_a_list_are_one_list(api: Api) -> None:
    tag = api.get("/air_quality?limit=1&format=csv").headers["etag"]

    def ask(*lines: str) -> bytes:
        request = ["GET /air_quality?limit=1 HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        return api.raw("\r\n".join(request).encode()).partition(b"\r\n\r\n")[0].lower()

    assert b"content-type: text/csv" in ask("Accept: text/html", "Accept: text/csv")
    assert b"content-type: text/csv" in ask("Accept: application/json;q=0.1", "Accept: text/csv")
    other = 'If-None-Match: W/"1-x"'
    for lines in ((other, f"If-None-Match: {tag}"), (f"If-None-Match: {tag}", other)):
        assert ask("Accept: text/csv", "Accept: text/plain;q=0.1", *lines).startswith(b"http/1.1 304")


def test_a_request_id_is_taken_over_or_made(api: Api) -> None:
    assert api.get("/livez", {"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    made = {api.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for bad in ("", "a b", "a" * 129, "é", "{}", '"'):
        given = api.get("/livez", {"X-Request-ID": bad}).headers["x-request-id"]
        assert given != bad
        assert len(given) == 32


def test_the_root_leads_to_the_documentation(api: Api) -> None:
    answer = api.get("/")
    assert (answer.status, answer.headers["location"]) == (302, "/docs")
    assert api.get("/docs").headers["content-type"].startswith("text/html")


def test_names_of_stations_survive_the_path(api: Api) -> None:
    for name in STATIONS:
        answer = api.get(f"/stations/{quote(name, safe='')}")
        assert answer.json()["data"]["station"] == name

"""Breaks each rule of the cache once, to see its test go red.

    python -m tests.cache.mutations [part of a test's name]

Not run with the tests, because it takes minutes; run it when rules or their tests change.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cache.varnish import IMAGE_FOLDER, REPOSITORY, SCRIPTS, Varnish, find_varnish

WRONG_REASON = re.compile(r"VCL compilation failed|^---- v\d +(?:FAIL|Unexpected)|TIMED OUT", re.MULTILINE)
"""What varnishtest says where Varnish did not start or died, or where nothing came to an end."""


@dataclass(frozen=True)
class Mutation:
    """One rule, broken.

    Args:
        script: the test that must notice: a .vtc without its ending, or one in Python as pytest is told it.
        file: under deploy/images/cache.
        old: stands in the file exactly once, unless `every`.
        new: what it becomes.
    """

    script: str
    file: str
    old: str
    new: str
    every: bool = False


USED_OFTEN = "test_connections.py::test_a_connection_is_used_many_times_but_not_for_ever"
GIVEN_UP = (
    "test_connections.py::test_a_connection_that_does_not_come_about_is_given_up_behind_a_second_and_a_half"
)
TRIED_AGAIN = "test_process.py::test_new_addresses_that_could_not_be_taken_are_tried_again"
MANY_FILES = "test_process.py::test_varnish_may_open_more_files_than_newer_engines_give"

MAKING_ROOM = "test_storage.py::test_a_large_answer_takes_the_place_of_as_many_small_ones_as_it_must"
BEYOND_ASCII = "test_service.py::test_bytes_beyond_ascii_are_refused_so_that_the_log_is_json"

MUTATIONS = (
    # Keys.
    Mutation(
        "keys_same_question", "vcl/airq.vcl", "hash_data(req.url);", "hash_data(req.url + req.http.Host);"
    ),
    Mutation("keys_same_question", "vcl/keys.vcl", "std.querysort(req.url)", "req.url"),
    Mutation("keys_same_question", "vcl/keys.vcl", "        call strip_tracking;\n", ""),
    Mutation("keys_same_question", "vcl/keys.vcl", "|fbclid|", "|"),
    Mutation("keys_same_question", "vcl/keys.vcl", "|&+)", ")"),
    Mutation("keys_same_question", "vcl/keys.vcl", "        call write_escapes_alike;\n", ""),
    Mutation("keys_same_question", "vcl/keys.vcl", '"%5F", "_"', '"%5F", "%5F"'),
    Mutation("keys_same_question", "vcl/keys.vcl", '"%2D", "-"', '"%2D", "%2D"'),
    Mutation("keys_same_question", "vcl/keys.vcl", '"(?<=%[0-9A-F])f", "F"', '"(?<=%[0-9A-F])f", "f"'),
    Mutation("keys_same_question", "vcl/keys.vcl", "(?<![^&])(?:(?:utm", "(?<![^&?])(?:(?:utm"),
    Mutation(
        "keys_other_questions", "vcl/keys.vcl", "std.querysort(req.url)", "std.querysort(req.url.lower())"
    ),
    Mutation("keys_other_questions", "vcl/keys.vcl", "(?<=%[0-9A-F])c", "(?<=[0-9A-F])c"),
    Mutation("keys_other_questions", "vcl/keys.vcl", "(?<=%)c", "(?<=5)c"),
    Mutation(
        "keys_not_understood",
        "vcl/keys.vcl",
        "            return (pass);\n        }\n        # Written",
        "        }\n        # Written",
    ),
    Mutation("keys_not_understood", "vcl/keys.vcl", "%[0-9A-Fa-f]{2})*+", "%)*+", every=True),
    Mutation("keys_not_understood", "vcl/keys.vcl", "^/air_quality\\?", "^/[a-z_]*\\?"),
    Mutation(
        "keys_not_understood",
        "vcl/keys.vcl",
        "latest\\?(?:(?:station|",
        "latest\\?(?:(?:order|limit|station|",
    ),
    Mutation("keys_longest", "parameters", "-p workspace_client=256k\n", ""),
    Mutation("exports", "vcl/keys.vcl", '"[?&]format=(?!', '"^nothing(?!'),
    Mutation("exports", "vcl/keys.vcl", "(?!(?:json|csv|ndjson)(?:&|$))", "(?!(?:json|csv|ndjson))"),
    Mutation("draining", "vcl/naming.vcl", 'set resp.http.Connection = "close";', ""),
    Mutation("draining", "vcl/naming.vcl", '&& std.file_exists(std.getenv("AIRQ_DRAINING_FILE"))', ""),
    Mutation("trying_another", "vcl/airq.vcl", "    call try_another;\n", ""),
    Mutation("trying_another", "vcl/staleness.vcl", "bereq.retries < 4", "bereq.retries < 3"),
    Mutation("trying_another", "vcl/staleness.vcl", "!bereq.is_bgfetch && ", ""),
    Mutation("trying_slowly", "vcl/staleness.vcl", "bereq.retries == 0", "bereq.retries == 9"),
    Mutation(
        "trying_slowly", "vcl/staleness.vcl", ' && std.real(time=now) - var.get_real("began") < 5.0', ""
    ),
    Mutation("trying_slowly", "parameters", "-p first_byte_timeout=20\n", ""),
    Mutation("bodies_broken", "vcl/storing.vcl", "    set beresp.do_stream = false;\n", ""),
    Mutation(USED_OFTEN, "vcl/staleness.vcl", '        set bereq.http.Connection = "close";\n', ""),
    Mutation(USED_OFTEN, "vcl/staleness.vcl", 'std.getenv("AIRQ_PARTINGS_IN_50"), 1.0', '"50", 1.0'),
    Mutation(GIVEN_UP, "parameters", "-p connect_timeout=1.5\n", ""),
    Mutation("cookies", "vcl/keys.vcl", "    unset req.http.Cookie;\n", ""),
    Mutation("cookies", "vcl/keys.vcl", "    unset req.http.Authorization;\n", ""),
    Mutation("cookies", "vcl/storing.vcl", "    unset beresp.http.Set-Cookie;\n", ""),
    Mutation("cookies", "parameters", "-p http_range_support=off\n", ""),
    # Representations.
    Mutation("formats", "vcl/airq.vcl", "    call choose_format;\n", ""),
    Mutation("formats", "vcl/keys.vcl", "regsuball(req.http.Accept.lower()", "regsuball(req.http.Accept"),
    Mutation(
        "formats", "vcl/keys.vcl", "        # It goes before the header.\n        unset req.http.Accept;", ""
    ),
    Mutation("formats", "vcl/keys.vcl", "(?!0(?:\\.0*)?(?:,|$))[0-9.]+", "[0-9.]+"),
    Mutation(
        "formats", "vcl/keys.vcl", "(?:application/(?:json|x-ndjson|ndjson|jsonl|\\*)|text/", "(?:text/"
    ),
    Mutation(
        "formats",
        "vcl/keys.vcl",
        "(?:;q=(?:0(?:\\.[0-9]{0,3})?|1(?:\\.0{0,3})?))?(?:,|$))++$",
        "(?:;q=[0-9.]+)?(?:,|$))++$",
    ),
    Mutation("formats", "vcl/keys.vcl", '        set req.http.Accept = "text/csv";\n', ""),
    Mutation("formats", "vcl/keys.vcl", '        set req.http.Accept = "application/x-ndjson";\n', ""),
    Mutation("encodings", "vcl/airq.vcl", "    call choose_encoding;\n", ""),
    Mutation("encodings", "vcl/keys.vcl", "(?:;\\s*q=(?:0\\.0*[1-9]\\d*|1(?:\\.0*)?)\\s*)?", "(?:;[^,]*)?"),
    Mutation("encodings", "parameters", "-p http_gzip_support=off\n", ""),
    # Coalescing: Varnish does it by itself, unless a rule forbids it.
    Mutation(
        "coalescing",
        "vcl/airq.vcl",
        "    call choose_format;\n",
        "    call choose_format;\n    set req.hash_ignore_busy = true;\n",
    ),
    # Exports.
    Mutation("exports", "vcl/airq.vcl", "    call let_exports_through;\n", ""),
    Mutation("exports", "vcl/storing.vcl", ' && req.url !~ "[?&]limit="', ""),
    Mutation("exports", "vcl/storing.vcl", "^/air_quality(?:\\?|$)", "^/air_quality"),
    Mutation("exports", "vcl/storing.vcl", ' || req.http.Accept ~ "csv|ndjson"', ""),
    Mutation("exports_slow_client", "vcl/storing.vcl", "set beresp.transit_buffer = 256KB;", ""),
    Mutation("exports", "vcl/naming.vcl", "    unset resp.http.Cache-Tag;\n", ""),
    Mutation("exports_long", "vcl/storing.vcl", "    set sess.send_timeout = 24h;\n", ""),
    Mutation("exports_http10", "vcl/airq.vcl", "    call refuse_ends_that_nobody_sees;\n", ""),
    Mutation("exports_http10", "vcl/storing.vcl", ' && req.method == "GET"', ""),
    Mutation("exports_http10", "vcl/storing.vcl", "            && !resp.http.Content-Length", "            "),
    Mutation(
        "exports_http10",
        "vcl/answering.vcl",
        'resp.reason == "upgrade-required"',
        'resp.reason == ""',
    ),
    Mutation("exports_http10", "vcl/answering.vcl", '        set resp.http.Upgrade = "HTTP/1.1";\n', ""),
    Mutation(MAKING_ROOM, "parameters", "-p nuke_limit=100000\n", ""),
    Mutation(
        "exports_broken",
        "vcl/storing.vcl",
        "set beresp.transit_buffer = 256KB;",
        "set beresp.do_stream = false;",
    ),
    # Staleness.
    Mutation("stale_while_revalidating", "vcl/staleness.vcl", "obj.ttl + 10s >= 0s || ", ""),
    Mutation("stale_while_revalidating", "vcl/staleness.vcl", "req.grace = 0s", "req.grace = 24h"),
    Mutation("stale_while_revalidating", "vcl/staleness.vcl", "obj.ttl + 10s >= 0s", "obj.ttl + 60s >= 0s"),
    Mutation("stale_while_down", "vcl/storing.vcl", "set beresp.grace = 24h;", "set beresp.grace = 10s;"),
    Mutation("stale_while_down", "vcl/staleness.vcl", " || !std.healthy(req.backend_hint)", ""),
    Mutation("stale_while_down", "vcl/staleness.vcl", "std.healthy(bereq.backend) && ", ""),
    Mutation("stale_while_down", "vcl/airq.vcl", "    call explain_failure;\n", ""),
    Mutation("stale_for_errors", "vcl/airq.vcl", "    call survive_bad_answer;\n", ""),
    Mutation("stale_for_errors", "vcl/airq.vcl", "    call survive_failure;\n", ""),
    Mutation("stale_for_errors", "vcl/airq.vcl", "    call give_stale_instead;\n", ""),
    Mutation("stale_for_errors", "vcl/airq.vcl", "    call spare_failing_api;\n", ""),
    Mutation("stale_for_errors", "vcl/staleness.vcl", "bereq.is_bgfetch || ", ""),
    Mutation("stale_for_errors", "vcl/staleness.vcl", ' || var.get("stored before")', ""),
    Mutation("stale_for_errors", "vcl/staleness.vcl", '!var.get("stored before") && ', ""),
    Mutation(
        "stale_for_errors",
        "vcl/staleness.vcl",
        'vsthrottle.remaining("failed " + req.url, 1, 5s) == 0) {\n        return (deliver);',
        "false) {\n        return (deliver);",
    ),
    Mutation(
        "passes_failing",
        "vcl/staleness.vcl",
        "    if (bereq.uncacheable) {\n        return;\n    }\n",
        "",
    ),
    Mutation("failing_together", "vcl/staleness.vcl", "    set beresp.ttl = 1s;\n", ""),
    Mutation("failing_slowly", "vcl/airq.vcl", "    call stop_waiting_for_failures;\n", ""),
    Mutation("readiness", "vcl/ready.vcl", ".threshold = 1;", ".threshold = 2;"),
    Mutation("readiness", "vcl/ready.vcl", ".window = 8;", ".window = 7;"),
    Mutation("readiness", "vcl/ready.vcl", '"/readyz"', '"/livez"'),
    Mutation("readiness", "vcl/ready.vcl", ".initial = 8;", ".initial = 0;"),
    # Errors.
    Mutation("errors_not_stored", "vcl/staleness.vcl", "    set beresp.uncacheable = true;\n", ""),
    Mutation("errors_not_stored", "parameters", "-p default_ttl=0\n", ""),
    Mutation(
        "errors_hide_no_variant",
        "vcl/staleness.vcl",
        '    set beresp.http.Vary = "Accept, Accept-Encoding";\n',
        "",
    ),
    # Revalidation and purging.
    Mutation(
        "revalidating", "vcl/storing.vcl", "    set beresp.keep = 24h;\n", "    unset beresp.http.ETag;\n"
    ),
    Mutation("purging", "vcl/storing.vcl", " + beresp.http.Cache-Tag", ""),
    Mutation("purging", "vcl/storing.vcl", '"every-answer," + ', ""),
    Mutation("headers_long", "vcl/storing.vcl", "    unset beresp.http.Cache-Tag;\n", ""),
    Mutation("purging", "vcl/naming.vcl", "    unset resp.http.xkey;\n", ""),
    Mutation(
        "purging", "vcl/purging.vcl", "xkey.softpurge(req.http.Purge-Tags)", "xkey.purge(req.http.Purge-Tags)"
    ),
    Mutation("purging", "vcl/purging.vcl", '        std.collect(req.http.Purge-Tags, " ");\n', ""),
    Mutation("purging", "vcl/purging.vcl", 'xkey.softpurge("every-answer")', 'xkey.purge("every-answer")'),
    Mutation("purging_refused", "vcl/purging.vcl", 'req.http.Purge-All == "yes"', "req.http.Purge-All"),
    Mutation("purging_refused", "vcl/purging.vcl", '        return (synth(400, "purge-what"));\n', ""),
    Mutation("purging_bounded", "vcl/staleness.vcl", "obj.ttl + 10s >= 0s", "obj.ttl + 60s >= 0s"),
    Mutation("purging_while_fetching", "vcl/storing.vcl", "set beresp.ttl = 1ms;", ""),
    Mutation("purging_while_fetching", "vcl/storing.vcl", "set beresp.grace = 0s;", ""),
    Mutation(
        "purging_while_fetching", "vcl/purging.vcl", '    var.global_set("purged", std.real(time=now));\n', ""
    ),
    Mutation("purging_refused", "vcl/purging.vcl", '        return (synth(403, "forbidden"));\n', ""),
    Mutation("purging_refused", "vcl/purging.vcl", '        return (synth(405, "purge-alone"));\n', ""),
    Mutation("purging_refused", "vcl/airq.vcl", 'local.socket == "purge"', 'req.method == "PURGE"'),
    Mutation("headers_long", "parameters", "-p http_resp_hdr_len=32k\n", ""),
    Mutation("headers_long", "parameters", "-p http_resp_size=64k\n", ""),
    Mutation("headers_long", "parameters", "-p workspace_backend=256k\n", ""),
    # Limits and refusals.
    Mutation("rate", "vcl/airq.vcl", "    call limit_rate;\n", ""),
    Mutation("rate", "vcl/airq.vcl", "    call show_rate;\n", "", every=True),
    Mutation("rate", "vcl/limiting.vcl", "client.ip", '"2001:db8:" + req.xid + "::"'),
    Mutation("rate_clients", "vcl/limiting.vcl", "~ trusted_proxies", "!~ trusted_proxies"),
    Mutation(
        "rate_clients",
        "vcl/limiting.vcl",
        "    call look_behind_trusted_proxy;\n    call look_behind_trusted_proxy;\n",
        "",
    ),
    Mutation("rate_clients", "vcl/limiting.vcl", "    call tell_subscribers_apart;\n", ""),
    Mutation("rate_clients", "vcl/limiting.vcl", '"^((?:[0-9a-f]+:){4}).*$"', '"^(.*)$"'),
    Mutation(
        "rate_clients",
        "vcl/limiting.vcl",
        '    set req.http.X-Client = std.ip(req.http.X-Client, "0.0.0.0", resolve=false);\n',
        "",
    ),
    Mutation(
        "rate_clients",
        "vcl/limiting.vcl",
        'set req.http.X-Client = std.ip(req.http.X-Client, "0.0.0.0", resolve=false)',
        'set req.http.X-Client = std.ip(req.http.X-Client, "0.0.0.0", resolve=true)',
    ),
    Mutation("rate_clients", "vcl/limiting.vcl", '"^::", "0::"', '"^::", "::"'),
    Mutation(
        "rate_clients",
        "vcl/limiting.vcl",
        "    call write_zero_out;\n    call write_zero_out;\n",
        "    call write_zero_out;\n",
    ),
    Mutation("rate_clients", "vcl/limiting.vcl", "(?::+[^:]+){7}$", "(?::+[^:]+){8}$"),
    Mutation("rate_clients", "vcl/limiting.vcl", '"::", ":")', '"::", "::")'),
    Mutation("rate", "vcl/limiting.vcl", ' + ", RateLimit, RateLimit-Policy"', ""),
    Mutation(
        "rate",
        "vcl/limiting.vcl",
        "resp.http.Retry-After = 1 + std.integer",
        "resp.http.Retry-After = std.integer",
    ),
    Mutation(
        "rate_slow",
        "vcl/limiting.vcl",
        'r="} + req.http.X-Left',
        'r="} + vsthrottle.remaining(req.http.X-Client, 10, 10s)',
    ),
    Mutation("rate", "vcl/naming.vcl", "    unset req.http.X-Left;\n", ""),
    Mutation("rate", "vcl/airq.vcl", "    unset bereq.http.X-Left;\n", ""),
    Mutation("rate", "vcl/airq.vcl", "    unset bereq.http.X-Client;\n", ""),
    Mutation(
        "rate_off",
        "vcl/limiting.vcl",
        '    if (!std.getenv("AIRQ_RATE_REQUESTS")) {\n        return;\n    }\n',
        "",
    ),
    Mutation("refusals", "vcl/refusing.vcl", '        return (synth(405, "method-not-allowed"));\n', ""),
    Mutation("refusals", "vcl/refusing.vcl", ' && !(req.method == "OPTIONS" && req.url == "*")', ""),
    Mutation("refusals", "vcl/refusing.vcl", '"^/[^#]*$"', '"^[^#]*$"'),
    Mutation("refusals", "vcl/refusing.vcl", '"^/[^#]*$"', '"^/"'),
    Mutation(BEYOND_ASCII, "vcl/refusing.vcl", 'req.url ~ "[\\x80-\\xff]"', 'req.url ~ "^nothing"'),
    Mutation(BEYOND_ASCII, "entrypoint.sh", ' and ReqURL !~ "[^ -~]"', ""),
    Mutation(BEYOND_ASCII, "vcl/answering.vcl", 'resp.reason == "not-encoded"', 'resp.reason == ""'),
    Mutation("refusals", "vcl/refusing.vcl", "> 8192", ">= 8192"),
    Mutation("refusals", "vcl/refusing.vcl", "> 8192", "> 8193"),
    Mutation("refusals", "vcl/refusing.vcl", "(?:readyz|metrics)", "(?:metrics)"),
    Mutation("refusals", "vcl/refusing.vcl", "(?:readyz|metrics)", "(?:readyz)"),
    Mutation("refusals", "vcl/refusing.vcl", ' || req.url ~ "^/(?!stations/)[^?]*%"', ""),
    Mutation("refusals", "parameters", "-p http_req_hdr_len=16k\n", ""),
    Mutation("refusals", "parameters", "-p http_req_size=26k\n", ""),
    Mutation("refusals", "parameters", "-p http_req_overflow_status=431\n", ""),
    Mutation("health", "vcl/refusing.vcl", "^/cache-health", "^/elsewhere"),
    # What the cache itself says.
    Mutation("health", "vcl/answering.vcl", 'resp.reason == "healthy"', 'resp.reason == ""'),
    Mutation("purging", "vcl/answering.vcl", 'resp.reason == "purged"', 'resp.reason == ""'),
    Mutation("refusals", "vcl/answering.vcl", 'resp.reason == "method-not-allowed"', 'resp.reason == ""'),
    Mutation("refusals", "vcl/answering.vcl", '        set resp.http.Allow = "GET, HEAD, OPTIONS";\n', ""),
    Mutation("refusals", "vcl/answering.vcl", 'resp.reason == "uri-too-long"', 'resp.reason == ""'),
    Mutation("refusals", "vcl/answering.vcl", 'resp.reason == "not-found"', 'resp.reason == ""'),
    Mutation("rate", "vcl/answering.vcl", 'resp.reason == "too-many-requests"', 'resp.reason == ""'),
    Mutation("purging_refused", "vcl/answering.vcl", 'resp.reason == "forbidden"', 'resp.reason == ""'),
    Mutation("purging_refused", "vcl/answering.vcl", 'resp.reason == "purge-alone"', 'resp.reason == ""'),
    Mutation("purging_refused", "vcl/answering.vcl", '        set resp.http.Allow = "PURGE";\n', ""),
    Mutation("purging_refused", "vcl/answering.vcl", 'resp.reason == "purge-what"', 'resp.reason == ""'),
    Mutation("refusals", "vcl/answering.vcl", "resp.status == 400", "resp.status == 0"),
    Mutation("problems", "vcl/answering.vcl", '        set resp.reason = "api-unavailable";\n', ""),
    Mutation("problems", "vcl/answering.vcl", '        set resp.http.Retry-After = "5";\n', ""),
    Mutation("problems", "vcl/answering.vcl", "        call name_unavailability;\n", ""),
    Mutation("problems", "vcl/answering.vcl", '    set resp.http.Cache-Control = "no-store";\n', ""),
    Mutation("problems", "vcl/answering.vcl", '    set resp.http.Access-Control-Allow-Origin = "*";\n', ""),
    Mutation(
        "problems",
        "vcl/answering.vcl",
        '    set resp.http.Access-Control-Expose-Headers = var.get("exposed");\n',
        "",
    ),
    Mutation("problems", "vcl/answering.vcl", '    set resp.http.X-Content-Type-Options = "nosniff";\n', ""),
    Mutation("stale_while_down", "vcl/answering.vcl", '    set beresp.http.Retry-After = "5";\n', ""),
    Mutation(
        "stale_while_down", "vcl/answering.vcl", '    set beresp.http.Cache-Control = "no-store";\n', ""
    ),
    Mutation(
        "stale_while_down",
        "vcl/answering.vcl",
        '    set beresp.http.Access-Control-Allow-Origin = "*";\n',
        "",
    ),
    Mutation(
        "stale_while_down",
        "vcl/answering.vcl",
        '    set beresp.http.Access-Control-Expose-Headers = var.get("exposed");\n',
        "",
    ),
    Mutation(
        "stale_while_down",
        "vcl/answering.vcl",
        '    set beresp.http.X-Content-Type-Options = "nosniff";\n',
        "",
    ),
    Mutation(
        "stale_while_down",
        "vcl/answering.vcl",
        'set beresp.http.Content-Type = "application/problem+json";',
        "",
    ),
    # Names and the log.
    Mutation("naming", "vcl/airq.vcl", "    call name_request;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    set resp.http.X-Request-ID = req.http.X-Request-ID;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    set resp.http.traceparent = req.http.traceparent;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "{1,128}", "+"),
    Mutation("naming", "vcl/naming.vcl", "(?!0{32})", ""),
    Mutation("stale_while_revalidating", "vcl/naming.vcl", "    unset req.http.X-Current-Only;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    unset resp.http.Server;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    unset resp.http.Via;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    unset resp.http.X-Varnish;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    unset req.http.X-Cache;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "        set resp.http.X-Cache = req.http.X-Cache;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "        unset req.http.tracestate;\n", ""),
    Mutation("naming", "vcl/airq.vcl", "    unset bereq.http.X-Cache;\n", ""),
    Mutation("naming", "vcl/airq.vcl", "    unset bereq.http.X-Forwarded-For;\n", ""),
    Mutation("naming", "vcl/storing.vcl", '    set bereq.http.Host = "airq";\n', ""),
    Mutation("log", "vcl/airq.vcl", '    set req.http.X-Cache = "pass";\n', ""),
    Mutation("log", "vcl/staleness.vcl", '    set req.http.X-Cache = "stale";\n', ""),
    Mutation("log", "log-format", '"time_to_first_byte_seconds":%{Varnish:time_firstbyte}x,', ""),
    # The process.
    Mutation(
        TRIED_AGAIN,
        "entrypoint.sh",
        '        if load_site "$found"; then\n            known=$found\n',
        '        known=$found\n        if load_site "$found"; then\n            :\n',
    ),
    Mutation(
        TRIED_AGAIN,
        "entrypoint.sh",
        '"vcl.discard $current" || true\n',
        '"vcl.discard $current" || return 1\n',
    ),
    Mutation(
        MANY_FILES,
        "entrypoint.sh",
        'ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"\n',
        "",
    ),
)


def is_python(script: str) -> bool:
    """Tell a test in Python from a .vtc script."""
    return script.startswith("test_")


def survives(varnish: Varnish, mutation: Mutation) -> bool:
    """Tell whether a rule's test stays green although the rule is broken."""
    with tempfile.TemporaryDirectory(prefix="airq-mutation-") as directory:
        Path(directory).chmod(0o755)
        folder = Path(directory) / "cache"
        shutil.copytree(IMAGE_FOLDER, folder)
        path = folder / mutation.file
        text = path.read_text()
        found = text.count(mutation.old)
        if found != 1 and not (mutation.every and found):
            raise SystemExit(f"{mutation.old!r} stands {found} times in {mutation.file}")
        path.write_text(text.replace(mutation.old, mutation.new))
        # A rule that nobody calls any more is what some mutations make.
        with (folder / "parameters").open("a") as parameters:
            parameters.write("-p vcc_feature=-err_unref\n")
        if is_python(mutation.script):
            return passes(mutation.script, folder)
        passed, said = varnish.run_scripts([SCRIPTS / f"{mutation.script}.vtc"], folder, jobs=1)
    if WRONG_REASON.search(said):
        raise SystemExit(f"{mutation} is red for another reason than its rule:\n{said[-3000:]}")
    return passed[f"{mutation.script}.vtc"]


def passes(script: str, folder: Path = IMAGE_FOLDER) -> bool:
    """Run a test in Python under the rules of a folder, and tell whether it passes."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{SCRIPTS}/{script}"]
    settings = {"AIRQ_TEST_CACHE": "1", "AIRQ_CACHE_FOLDER": str(folder)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    if done.returncode > 1 or "ERROR at" in done.stdout:
        raise SystemExit(f"{script} could not be run:\n{done.stdout[-3000:]}")
    return done.returncode == 0


def refuse_if_red(varnish: Varnish, scripts: Collection[str]) -> None:
    """End with a message where a test is red although nothing is broken."""
    passed, _ = varnish.run_scripts([SCRIPTS / f"{name}.vtc" for name in scripts if not is_python(name)])
    red = [name for name, outcome in passed.items() if not outcome]
    red += [name for name in scripts if is_python(name) and not passes(name)]
    if red:
        raise SystemExit(f"red although nothing is broken: {', '.join(red)}")


def main(wanted: str = "") -> int:
    """Break the rules whose test's name has this part, and report; the exit status is that of a test."""
    varnish = find_varnish()
    chosen = [mutation for mutation in MUTATIONS if wanted in mutation.script]
    refuse_if_red(varnish, sorted({mutation.script for mutation in chosen}))
    with ThreadPoolExecutor(6) as pool:
        survived = list(pool.map(lambda mutation: survives(varnish, mutation), chosen))
    for mutation, alive in zip(chosen, survived, strict=True):
        change = f"{mutation.old.strip()!r} → {mutation.new.strip()!r}"
        outcome = "SURVIVED" if alive else "noticed "
        print(outcome, mutation.script.partition("::")[0].ljust(26), mutation.file.ljust(20), change)  # noqa: T201
    print(f"{len(chosen) - sum(survived)} of {len(chosen)} mutations noticed")  # noqa: T201
    return 1 if any(survived) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

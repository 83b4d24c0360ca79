"""Breaks each rule of the cache once, to see its test go red.

    python -m tests.cache.mutations [part of a test's name]

Not run with the tests, because it takes minutes; run it when rules or their tests change.
"""

import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cache.varnish import IMAGE_FOLDER, SCRIPTS, Varnish, find_varnish


@dataclass(frozen=True)
class Mutation:
    """One rule, broken.

    Args:
        script: the test that must notice, without its ending.
        file: under deploy/images/cache.
        old: stands in the file exactly once, unless `every`.
        new: what it becomes.
    """

    script: str
    file: str
    old: str
    new: str
    every: bool = False


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
        "            return (pass);\n        }\n        # By",
        "        }\n        # By",
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
    Mutation("draining", "vcl/naming.vcl", 'set resp.http.Connection = "close";', ""),
    Mutation("draining", "vcl/naming.vcl", '&& std.file_exists(std.getenv("AIRQ_DRAINING_FILE"))', ""),
    Mutation("trying_another", "vcl/airq.vcl", "    call try_another;\n", ""),
    Mutation("trying_another", "vcl/staleness.vcl", "bereq.retries < 4", "bereq.retries < 3"),
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
    Mutation("exports_slow_client", "vcl/storing.vcl", "set beresp.transit_buffer = 1MB;", ""),
    Mutation(
        "exports_broken",
        "vcl/storing.vcl",
        "set beresp.transit_buffer = 1MB;",
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
    Mutation("failing_slowly", "vcl/airq.vcl", "    call stop_waiting_for_failures;\n", ""),
    Mutation("readiness", "vcl/ready.vcl", ".threshold = 1;", ".threshold = 2;"),
    Mutation("readiness", "vcl/ready.vcl", ".window = 2;", ".window = 8;"),
    Mutation("readiness", "vcl/ready.vcl", '"/readyz"', '"/livez"'),
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
    Mutation("purging", "vcl/storing.vcl", "    unset beresp.http.Cache-Tag;\n", ""),
    Mutation("purging", "vcl/naming.vcl", "    unset resp.http.xkey;\n", ""),
    Mutation(
        "purging", "vcl/purging.vcl", "xkey.softpurge(req.http.Purge-Tags)", "xkey.purge(req.http.Purge-Tags)"
    ),
    Mutation("purging", "vcl/purging.vcl", '        std.collect(req.http.Purge-Tags, " ");\n', ""),
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
    # Limits and refusals.
    Mutation("rate", "vcl/airq.vcl", "    call limit_rate;\n", ""),
    Mutation("rate", "vcl/airq.vcl", "    call show_rate;\n", "", every=True),
    Mutation("rate", "vcl/limiting.vcl", "client.ip", "client.ip + req.xid"),
    Mutation("rate_clients", "vcl/limiting.vcl", "~ trusted_proxies", "!~ trusted_proxies"),
    Mutation(
        "rate_clients",
        "vcl/limiting.vcl",
        "    call look_behind_trusted_proxy;\n    call look_behind_trusted_proxy;\n",
        "",
    ),
    Mutation("rate_clients", "vcl/limiting.vcl", '"^((?:[0-9a-f]*:){4}).*$"', '"^(.*)$"'),
    Mutation(
        "rate_off",
        "vcl/limiting.vcl",
        '    if (!std.getenv("AIRQ_RATE_REQUESTS")) {\n        return;\n    }\n',
        "",
    ),
    Mutation("refusals", "vcl/refusing.vcl", '        return (synth(405, "method-not-allowed"));\n', ""),
    Mutation("refusals", "vcl/refusing.vcl", "> 8192", ">= 8192"),
    Mutation("refusals", "vcl/refusing.vcl", "> 8192", "> 8193"),
    Mutation("refusals", "vcl/refusing.vcl", "(?:readyz|metrics)", "(?:metrics)"),
    Mutation("refusals", "vcl/refusing.vcl", "(?:readyz|metrics)", "(?:readyz)"),
    Mutation("refusals", "vcl/refusing.vcl", ' || req.url ~ "^/(?!stations/)[^?]*%"', ""),
    Mutation("refusals", "parameters", "-p http_req_hdr_len=16k\n", ""),
    Mutation("refusals", "parameters", "-p http_req_size=26k\n", ""),
    Mutation("refusals", "parameters", "-p http_req_overflow_status=431\n", ""),
    Mutation("health", "vcl/refusing.vcl", "^/cache-health", "^/elsewhere"),
    # Names and the log.
    Mutation("naming", "vcl/airq.vcl", "    call name_request;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    set resp.http.X-Request-ID = req.http.X-Request-ID;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    set resp.http.traceparent = req.http.traceparent;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "{1,128}", "+"),
    Mutation("naming", "vcl/naming.vcl", "(?!0{32})", ""),
    Mutation("stale_while_revalidating", "vcl/naming.vcl", "    unset req.http.X-Current-Only;\n", ""),
    Mutation("naming", "vcl/naming.vcl", "    unset resp.http.Server;\n", ""),
    Mutation("naming", "vcl/airq.vcl", "    unset bereq.http.X-Forwarded-For;\n", ""),
    Mutation("log", "vcl/airq.vcl", '    set req.http.X-Cache = "pass";\n', ""),
    Mutation("log", "vcl/staleness.vcl", '    set req.http.X-Cache = "stale";\n', ""),
    Mutation("log", "log-format", '"time_to_first_byte_seconds":%{Varnish:time_firstbyte}x,', ""),
)


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
        passed, said = varnish.run_scripts(
            [SCRIPTS / f"{mutation.script}.vtc"], folder, jobs=1, limit_seconds=45
        )
    if "VCL compilation failed" in said:
        raise SystemExit(f"{mutation} does not compile:\n{said[-3000:]}")
    return passed[f"{mutation.script}.vtc"]


def main(wanted: str = "") -> int:
    """Break the rules whose test's name has this part, and report; the exit status is that of a test."""
    varnish = find_varnish()
    chosen = [mutation for mutation in MUTATIONS if wanted in mutation.script]
    with ThreadPoolExecutor(4) as pool:
        survived = list(pool.map(lambda mutation: survives(varnish, mutation), chosen))
    for mutation, alive in zip(chosen, survived, strict=True):
        change = f"{mutation.old.strip()!r} → {mutation.new.strip()!r}"
        print(f"{'SURVIVED' if alive else 'noticed '}  {mutation.script:26} {mutation.file:20} {change}")  # noqa: T201
    print(f"{len(chosen) - sum(survived)} of {len(chosen)} mutations noticed")  # noqa: T201
    return 1 if any(survived) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

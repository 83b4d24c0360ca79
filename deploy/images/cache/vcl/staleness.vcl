# How old an answer may be. Fresh until its s-maxage is over or a purge drops it; then stale:
#
#   up to 10 s          given, while a fetch in the background brings the new one
#   longer              given only where there is no new one: no API is ready, or its answer to this very
#                       question was a 5xx or broke within the last 5 s. Up to 24 h.
#
# So whatever happens to the API or the database behind it, an answer that was stored once is given.

sub allow_staleness {
    # A lookup finds every stale answer, and `judge_staleness` decides. Only behind its decision that
    # one is too old does a second lookup pass over it, so that the API is asked while the client waits.
    set req.grace = 24h;
    if (req.http.X-Current-Only) {
        set req.grace = 0s;
    }
}

sub judge_staleness {
    if (obj.ttl >= 0s) {
        set req.http.X-Cache = "hit";
        return (deliver);
    }
    set req.http.X-Cache = "stale";
    if (obj.ttl + 10s >= 0s || !std.healthy(req.backend_hint)
            || vsthrottle.remaining("failed " + req.url, 1, 5s) == 0) {
        return (deliver);
    }
    set req.http.X-Current-Only = "yes";
    return (restart);
}

# Who waited while another request's fetch failed doesn't try the same again, one after the other.
sub stop_waiting_for_failures {
    if (req.http.X-Current-Only && vsthrottle.remaining("failed " + req.url, 1, 5s) == 0) {
        unset req.http.X-Current-Only;
        return (restart);
    }
}

# Nor does a stale answer that is given make the API try again at once.
sub spare_failing_api {
    if (bereq.is_bgfetch && vsthrottle.remaining("failed " + bereq.url, 1, 5s) == 0) {
        return (abandon);
    }
}

# The API answered with a fault of its own.
sub survive_bad_answer {
    if (beresp.status >= 500) {
        call survive_failure;
        return (deliver);
    }
}

# Where one address stands for several processes, a connection stays with one of them. Now and then one
# is closed behind its answer, so that the next finds another, and processes that are new get their share.
sub part_with_connections {
    # The tests of single rules, which count connections, set it to 0.
    if (std.random(0.0, 50.0) < std.real(std.getenv("AIRQ_PARTINGS_IN_50"), 1.0)) {
        set bereq.http.Connection = "close";
    }
}

# No answer came: one of several processes behind the API's address has gone, and a new connection mostly
# finds another one. What is served here can be asked twice. What fails slowly is tried once more only: who
# waited 20 s for a first byte waits no longer than that again. Where something is stored it is given instead.
sub try_another {
    if (!bereq.is_bgfetch && !var.get("stored before") && (bereq.retries == 0
            || (bereq.retries < 4 && std.real(time=now) - var.get_real("began") < 5.0))) {
        return (retry);
    }
}

# There is no good answer. Where there is an older one the fetch is abandoned: only so it stays stored.
sub survive_failure {
    if (bereq.uncacheable) {
        return;
    }
    # Noted for 5 s, by taking the only token; where no API is ready the probe knows it better.
    if (std.healthy(bereq.backend) && vsthrottle.is_denied("failed " + bereq.url, 1, 5s)) {
        std.log("failed again");
    }
    if (bereq.is_bgfetch || var.get("stored before")) {
        return (abandon);
    }
    # The client gets the fault. For a second, who waits for the same or comes asks the API each for
    # himself, not one after the other; and only for this format and encoding.
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.http.Vary = "Accept, Accept-Encoding";
}

# What becomes of an abandoned fetch that a client waits for.
sub give_stale_instead {
    if (resp.status == 503 && req.http.X-Current-Only) {
        unset req.http.X-Current-Only;
        return (restart);
    }
}

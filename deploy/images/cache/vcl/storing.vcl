# What is kept, for how long, and under which tags it can be dropped.

# Whole exports are as large as the data: they flow through and are kept by nobody.
sub let_exports_through {
    if (req.url ~ "^/air_quality(?:\?|$)" && req.url !~ "[?&]limit="
            && (req.url ~ "[?&]format=(?:csv|ndjson)(?:&|$)" || req.http.Accept ~ "csv|ndjson")) {
        return (pass);
    }
}

# Varnish would end every answer ten minutes behind its beginning, however well it flows. Who stops reading is
# left after a minute all the same.
sub take_time {
    set sess.send_timeout = 24h;
}

# In HTTP/1.0 an answer of unknown length ends where its connection ends: one that broke would look whole.
sub refuse_ends_that_nobody_sees {
    if (req.proto == "HTTP/1.0" && req.method == "GET" && req.http.X-Cache == "pass"
            && !resp.http.Content-Length && resp.status == 200) {
        return (synth(426, "upgrade-required"));
    }
}

sub note_beginning {
    var.set_real("began", std.real(time=now));
    set bereq.http.Host = "airq";
    if (bereq.http.X-Current-Only) {
        var.set("stored before", "yes");
        unset bereq.http.X-Current-Only;
    }
}

sub keep_answer {
    unset beresp.http.Set-Cookie;
    if (bereq.uncacheable) {
        # An export flows no faster than its client takes it: this much of it waits in memory.
        set beresp.transit_buffer = 256KB;
        return (deliver);
    }
    # Nobody is given any of it before it is whole, so that one that breaks in the middle is a fetch that
    # failed: it is tried again, or an older answer is given.
    set beresp.do_stream = false;
    # What the API tells nobody to keep is not kept: `default_ttl` is 0. Varnish's own rules see to it,
    # and to `no-store`, behind this one.
    if (beresp.ttl <= 0s) {
        return;
    }
    set beresp.grace = 24h;
    # For asking the API whether an answer is still the current one (If-None-Match).
    set beresp.keep = 24h;
    set beresp.http.xkey = "every-answer," + beresp.http.Cache-Tag;
    unset beresp.http.Cache-Tag;
    # An answer that began before the last purge may show what was purged since. It goes to whoever asked
    # for it by then; the next client's fetch finds out whether it is current.
    # The time of the purge was written down in whole milliseconds.
    if (var.get_real("began") <= std.real(var.global_get("purged"), 0.0) + 0.001) {
        set beresp.ttl = 1ms;
        set beresp.grace = 0s;
        return (deliver);
    }
}

# Every request has an id and a trace (W3C Trace Context), from outside or made here, and every answer
# shows them, hits too.

sub name_request {
    # These are ours alone; nobody sets them from outside.
    unset req.http.X-Cache;
    unset req.http.X-Current-Only;
    unset req.http.X-Left;

    if (req.http.X-Request-ID ~ "^[A-Za-z0-9._-]{1,128}$") {
        # Sent twice, the first one holds.
        set req.http.X-Request-ID = req.http.X-Request-ID;
    } else {
        call make_name;
        set req.http.X-Request-ID = var.get("name");
    }
    if (req.http.traceparent ~ "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$") {
        set req.http.traceparent = req.http.traceparent;
    } else {
        if (!var.get("name")) {
            call make_name;
        }
        # Not sampled (00): who wants spans recorded begins the trace and says so.
        set req.http.traceparent = "00-" + var.get("name") + "-" + str.take(var.get("name"), 16, 16) + "-00";
        unset req.http.tracestate;
    }
}

# Sixteen bytes at random in hexadecimal digits. Debian's modules have nothing for it, so each digit is
# taken by its place. A name must be unique; it is no secret.
sub make_name {
    var.set("name", "");
    call add_eight_digits;
    call add_eight_digits;
    call add_eight_digits;
    call add_eight_digits;
}

sub add_eight_digits {
    var.set("name", var.get("name")
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16)))
        + str.take("0123456789abcdef", 1, std.integer(real=std.random(0, 16))));
}

# While this cache is taken out of rotation, no client shall wait on a connection that is about to end.
sub part_with_clients {
    if (std.getenv("AIRQ_DRAINING_FILE") && std.file_exists(std.getenv("AIRQ_DRAINING_FILE"))) {
        set resp.http.Connection = "close";
    }
}

# The last word on an answer: what clients see beside what the API said.
sub name_answer {
    set resp.http.X-Request-ID = req.http.X-Request-ID;
    set resp.http.traceparent = req.http.traceparent;
    if (req.http.X-Cache) {
        set resp.http.X-Cache = req.http.X-Cache;
    }
    # A cache in front of this one could keep by tags what no purge reaches.
    unset resp.http.Cache-Tag;
    unset resp.http.xkey;
    unset resp.http.Server;
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}

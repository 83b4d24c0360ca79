# Requests per client and period, off unless AIRQ_RATE_LIMIT is set. A bucket holds `requests` tokens
# and fills up again within `seconds`.

sub limit_rate {
    if (!std.getenv("AIRQ_RATE_REQUESTS")) {
        return;
    }
    # Varnish ends X-Forwarded-For with the address that the connection came from. Each trusted proxy at
    # its end vouches for the address before it; what untrusted ones wrote is not believed.
    set req.http.X-Client = client.ip;
    call look_behind_trusted_proxy;
    call look_behind_trusted_proxy;
    call look_behind_trusted_proxy;
    call tell_subscribers_apart;
    if (vsthrottle.is_denied(req.http.X-Client,
            std.integer(std.getenv("AIRQ_RATE_REQUESTS"), 0),
            std.duration(std.getenv("AIRQ_RATE_SECONDS") + "s", 1s))) {
        set req.http.X-Left = 0;
        return (synth(429, "too-many-requests"));
    }
    # Asked here and not when the answer is shown: asking fills the bucket for the time since the last request, and
    # would do so once more for each answer that was under way.
    set req.http.X-Left = vsthrottle.remaining(req.http.X-Client,
        std.integer(std.getenv("AIRQ_RATE_REQUESTS"), 0),
        std.duration(std.getenv("AIRQ_RATE_SECONDS") + "s", 1s));
}

sub look_behind_trusted_proxy {
    if (std.ip(req.http.X-Client, "0.0.0.0", resolve=false) ~ trusted_proxies
            && req.http.X-Forwarded-For ~ ",") {
        set req.http.X-Forwarded-For = regsub(req.http.X-Forwarded-For, "\s*,[^,]*$", "");
        set req.http.X-Client = regsub(req.http.X-Forwarded-For, "^.*,\s*", "");
    }
}

# A subscriber has a whole /64 of IPv6 to choose addresses from, and proxies write addresses in many ways.
sub tell_subscribers_apart {
    # One way of writing: no port, small letters, `::` for zeros, and IPv4 as such. What is no address is one
    # client.
    set req.http.X-Client = std.ip(req.http.X-Client, "0.0.0.0", resolve=false);
    # Zeros are written out as far as the fourth of the eight groups, of which the first four are the /64.
    set req.http.X-Client = regsub(req.http.X-Client, "^::", "0::");
    call write_zero_out;
    call write_zero_out;
    call write_zero_out;
    set req.http.X-Client = regsub(req.http.X-Client, "^((?:[0-9a-f]+:){4}).*$", "\1");
}

sub write_zero_out {
    if (req.http.X-Client ~ "^[^:]+(?::+[^:]+){7}$") {
        # None is left to write.
        set req.http.X-Client = regsub(req.http.X-Client, "::", ":");
    } else {
        set req.http.X-Client = regsub(req.http.X-Client, "::", ":0::");
    }
}

# https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
sub show_rate {
    if (req.http.X-Left) {
        set resp.http.RateLimit-Policy = {""client";q="} + std.getenv("AIRQ_RATE_REQUESTS")
            + ";w=" + std.getenv("AIRQ_RATE_SECONDS");
        set resp.http.RateLimit = {""client";r="} + req.http.X-Left;
        set resp.http.Access-Control-Expose-Headers =
            resp.http.Access-Control-Expose-Headers + ", RateLimit, RateLimit-Policy";
        if (resp.status == 429) {
            # When the next token is there.
            set resp.http.Retry-After = 1 + std.integer(
                real=std.real(std.getenv("AIRQ_RATE_SECONDS"), 1.0) / std.real(std.getenv("AIRQ_RATE_REQUESTS"), 1.0));
        }
    }
}

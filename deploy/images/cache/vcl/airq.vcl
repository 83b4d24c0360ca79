vcl 4.1;

# The cache in front of the airq API: what happens to a request, in the order in which it happens.
# Each rule stands in a file of its own, and docs/reference/cache.md lists them.
#
# A small file made at start includes this one. It declares what depends on the place: the director
# `api` over the API's addresses, and the list `trusted_proxies`.

import std;
import str;
import var;
import vsthrottle;
import xkey;

include "naming.vcl";
include "purging.vcl";
include "refusing.vcl";
include "limiting.vcl";
include "keys.vcl";
include "staleness.vcl";
include "storing.vcl";
include "answering.vcl";

sub vcl_recv {
    set req.backend_hint = api.backend();
    if (req.restarts > 0) {
        # Everything was read and put in order the first time.
        call allow_staleness;
        return (hash);
    }
    call name_request;
    if (local.socket == "purge") {
        call purge;
    }
    call refuse_what_is_not_served;
    call limit_rate;
    call drop_what_plays_no_part;
    call order_query;
    call choose_format;
    call choose_encoding;
    call let_exports_through;
    call allow_staleness;
    # From here Varnish's own rules decide: OPTIONS passes, GET and HEAD are looked up.
}

sub vcl_hash {
    # Not the host: bodies have relative links, so every name of the service shares its answers.
    hash_data(req.url);
    return (lookup);
}

sub vcl_hit {
    call judge_staleness;
    return (deliver);
}

sub vcl_miss {
    set req.http.X-Cache = "miss";
    call stop_waiting_for_failures;
}

sub vcl_pass {
    set req.http.X-Cache = "pass";
    call take_time;
}

sub vcl_backend_fetch {
    call spare_failing_api;
    call note_beginning;
    call part_with_connections;
    # What the cache noted on the request is no business of the API, nor is the client's address.
    unset bereq.http.X-Cache;
    unset bereq.http.X-Client;
    unset bereq.http.X-Left;
    unset bereq.http.X-Forwarded-For;
}

sub vcl_backend_response {
    call survive_bad_answer;
    call keep_answer;
}

sub vcl_backend_error {
    call try_another;
    call survive_failure;
    call explain_failure;
    return (deliver);
}

sub vcl_deliver {
    call refuse_ends_that_nobody_sees;
    call show_rate;
    call name_answer;
    call part_with_clients;
}

sub vcl_synth {
    call give_stale_instead;
    call explain;
    call show_rate;
    call name_answer;
    call part_with_clients;
    return (deliver);
}

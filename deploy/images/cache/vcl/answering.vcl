# What the cache itself says: problems in the API's form (RFC 9457), which its documentation lists, its
# health, and the count of a purge. A problem is the same whether a request ends here or a fetch does.

sub explain {
    set resp.http.Content-Type = "application/problem+json";
    set resp.http.Cache-Control = "no-store";
    set resp.http.Access-Control-Allow-Origin = "*";
    call name_exposed_headers;
    set resp.http.Access-Control-Expose-Headers = var.get("exposed");
    set resp.http.X-Content-Type-Options = "nosniff";

    if (resp.reason == "healthy") {
        set resp.http.Content-Type = "application/json";
        set resp.body = """{"status":"healthy"}""";
        return;
    }
    if (resp.reason == "purged") {
        set resp.http.Content-Type = "application/json";
        set resp.body = """{"purged":""" + var.get_int("purged") + "}";
        return;
    }
    if (resp.reason == "method-not-allowed") {
        set resp.http.Allow = "GET, HEAD, OPTIONS";
        var.set("title", "Method not allowed");
        var.set("detail", "The method is not served here; allowed are GET, HEAD, OPTIONS.");
    } elsif (resp.reason == "uri-too-long") {
        var.set("title", "URI too long");
        var.set("detail", "Path and query have more than the 8192 bytes that are served. Ask for fewer stations at a time.");
    } elsif (resp.reason == "not-found") {
        var.set("title", "Not found");
        var.set("detail", "There is nothing at this path; /docs shows what there is.");
    } elsif (resp.reason == "too-many-requests") {
        var.set("title", "Too many requests");
        var.set("detail", "More requests came from this address than are served. Wait as long as Retry-After says.");
    } elsif (resp.reason == "forbidden") {
        var.set("title", "Forbidden");
        var.set("detail", "Send the purge token: Authorization: Bearer ….");
    } elsif (resp.reason == "purge-alone") {
        set resp.http.Allow = "PURGE";
        var.set("title", "Method not allowed");
        var.set("detail", "This port takes PURGE alone.");
    } elsif (resp.reason == "purge-what") {
        var.set("title", "Bad request");
        var.set("detail", "Say what to purge: Purge-Tags with tags between spaces, or Purge-All: yes.");
    } elsif (resp.reason == "upgrade-required") {
        set resp.http.Upgrade = "HTTP/1.1";
        var.set("title", "Upgrade required");
        var.set("detail", "Exports are served from HTTP/1.1 on, because HTTP/1.0 can't tell a whole one from a broken one (nginx: proxy_http_version 1.1). Or ask for pages, with limit.");
    } elsif (resp.reason == "not-encoded") {
        set resp.reason = "bad-request";
        var.set("title", "Bad request");
        var.set("detail", "Path and query are not percent-encoded UTF-8, as in station=aq_%C3%A9vora.");
    } elsif (resp.status == 400) {
        set resp.reason = "bad-request";
        var.set("title", "Bad request");
        var.set("detail", "This is not a request of HTTP/1.1 with a Host and a path.");
    } else {
        # Nothing else ends here but a fault of these rules (503).
        set resp.reason = "api-unavailable";
        set resp.http.Retry-After = "5";
        call name_unavailability;
    }
    var.set("kind", resp.reason);
    var.set("status", resp.status);
    var.set("request id", req.http.X-Request-ID);
    call write_problem;
    set resp.body = var.get("problem");
}

# The API can't be reached, and nothing is stored that could be given instead.
sub explain_failure {
    set beresp.status = 503;
    set beresp.reason = "Service Unavailable";
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "5";
    set beresp.http.Access-Control-Allow-Origin = "*";
    call name_exposed_headers;
    set beresp.http.Access-Control-Expose-Headers = var.get("exposed");
    set beresp.http.X-Content-Type-Options = "nosniff";
    call name_unavailability;
    var.set("kind", "api-unavailable");
    var.set("status", beresp.status);
    var.set("request id", bereq.http.X-Request-ID);
    call write_problem;
    set beresp.body = var.get("problem");
}

sub name_exposed_headers {
    var.set("exposed", "ETag, Link, X-Request-ID, X-Cache, Age, Retry-After, Content-Disposition");
}

sub name_unavailability {
    var.set("title", "Service unavailable");
    var.set("detail", "The service can't answer this question at the moment, and no earlier answer to it is kept. Try again in a few seconds.");
}

sub write_problem {
    var.set("problem", {"{"type":"/docs#"} + var.get("kind") + {"","title":""} + var.get("title")
        + {"","status":"} + var.get("status") + {","detail":""} + var.get("detail")
        + {"","request_id":""} + var.get("request id") + """"}""");
}

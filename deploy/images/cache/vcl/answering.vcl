# What the cache itself says: problems in the API's form (RFC 9457), which its documentation lists, its
# health, and the count of a purge.

sub explain {
    set resp.http.Content-Type = "application/problem+json";
    set resp.http.Cache-Control = "no-store";
    set resp.http.Access-Control-Allow-Origin = "*";
    set resp.http.Access-Control-Expose-Headers = "ETag, Link, X-Request-ID, X-Cache, Age, Retry-After, Content-Disposition";
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
    } elsif (resp.status == 400) {
        set resp.reason = "bad-request";
        var.set("title", "Bad request");
        var.set("detail", "This is not a request of HTTP/1.1 with a Host and a path.");
    } elsif (resp.status == 503) {
        set resp.reason = "api-unavailable";
        set resp.http.Retry-After = "5";
        var.set("title", "Service unavailable");
        var.set("detail", "No answer can be had at the moment. Try again in a few seconds.");
    } else {
        set resp.reason = "internal-error";
        var.set("title", "Internal error");
        var.set("detail", "A fault of the service, not of your request.");
    }
    set resp.body = {"{"type":"/docs#"} + resp.reason + {"","title":""} + var.get("title")
        + {"","status":"} + resp.status + {","detail":""} + var.get("detail")
        + {"","request_id":""} + req.http.X-Request-ID + """"}""";
}

# The API can't be reached, and nothing is stored that could be given instead.
sub explain_failure {
    set beresp.status = 503;
    set beresp.reason = "Service Unavailable";
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "5";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Access-Control-Expose-Headers = "ETag, Link, X-Request-ID, X-Cache, Age, Retry-After, Content-Disposition";
    set beresp.http.X-Content-Type-Options = "nosniff";
    set beresp.body = {"{"type":"/docs#api-unavailable","title":"Service unavailable","status":503,"}
        + {""detail":"The service can't answer this question at the moment, and no earlier answer to it is kept. Try again in a few seconds.","}
        + {""request_id":""} + bereq.http.X-Request-ID + """"}""";
}

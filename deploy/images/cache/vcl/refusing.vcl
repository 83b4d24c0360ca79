# What the API doesn't serve, or not to everybody, is refused here.

sub refuse_what_is_not_served {
    # The rules for paths hold for paths alone. Of http://host/path and https://host/path Varnish makes one, but
    # the API does so for any scheme, and cuts off what stands behind a #. OPTIONS * asks about the server.
    if (req.url !~ "^/[^#]*$" && !(req.method == "OPTIONS" && req.url == "*")) {
        return (synth(400, "bad-request"));
    }
    # The API refuses them too, but not all of them in words.
    if (req.url ~ "[\x80-\xff]") {
        return (synth(400, "not-encoded"));
    }
    if (req.method != "GET" && req.method != "HEAD" && req.method != "OPTIONS") {
        return (synth(405, "method-not-allowed"));
    }
    # As the API's own limit; that of all headers together is the parameter http_req_size.
    if (str.count(req.url) > 8192) {
        return (synth(414, "uri-too-long"));
    }
    if (req.url ~ "^/cache-health(?:\?|$)") {
        return (synth(200, "healthy"));
    }
    # Readiness and metrics are for the inside. An escape could spell them another way (/%72eadyz), and
    # no path but a station's needs one.
    if (req.url ~ "^/(?:readyz|metrics)(?:[/?]|$)" || req.url ~ "^/(?!stations/)[^?]*%") {
        return (synth(404, "not-found"));
    }
}

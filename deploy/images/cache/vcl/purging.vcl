# The listener named `purge` drops answers by their tags for whoever has the token, and serves nothing
# else. An answer so dropped is at once stale: staleness.vcl says for how long it is still given.

sub purge {
    if (!std.getenv("AIRQ_PURGE_TOKEN") || req.http.Authorization != "Bearer " + std.getenv("AIRQ_PURGE_TOKEN")) {
        return (synth(403, "forbidden"));
    }
    if (req.method != "PURGE") {
        return (synth(405, "purge-alone"));
    }
    # Set before anything is dropped; `keep_answer` tells by it which answers began earlier.
    var.global_set("purged", std.real(time=now));
    if (req.http.Purge-All == "yes") {
        var.set_int("purged", xkey.softpurge("every-answer"));
    } elsif (req.http.Purge-Tags) {
        std.collect(req.http.Purge-Tags, " ");
        var.set_int("purged", xkey.softpurge(req.http.Purge-Tags));
    } else {
        return (synth(400, "purge-what"));
    }
    return (synth(200, "purged"));
}

# One question, one stored answer, however it is written. What these rules don't understand passes to
# the API, which answers or refuses it; nothing is stored then.

sub drop_what_plays_no_part {
    unset req.http.Cookie;
    unset req.http.Authorization;
}

sub order_query {
    if (req.url ~ "\?") {
        call strip_tracking;
    }
    if (req.url ~ "%") {
        call write_escapes_alike;
    }
    if (req.url ~ "\?") {
        # The parameters that a path has, with values in which nothing is odd.
        if (req.url !~ "^/air_quality\?(?:(?:station|pollutant|from|to|order|limit|cursor|format)=(?:[A-Za-z0-9._~!$'()*+,;:@/?=-]++|%[0-9A-Fa-f]{2})*+(?:&|$))++$"
                && req.url !~ "^/air_quality/latest\?(?:(?:station|pollutant|format)=(?:[A-Za-z0-9._~!$'()*+,;:@/?=-]++|%[0-9A-Fa-f]{2})*+(?:&|$))++$") {
            return (pass);
        }
        # Written in escapes, csv and ndjson would not be known for formats whose exports pass.
        if (req.url ~ "[?&]format=(?!(?:json|csv|ndjson)(?:&|$))") {
            return (pass);
        }
        # By name, and within a repeated name by value: the API puts stations and pollutants in an order
        # of its own too, and refuses to take the others twice.
        set req.url = std.querysort(req.url);
    }
}

# Takes out tracking parameters (the API passes over the same ones) and empty places between ampersands.
sub strip_tracking {
    set req.http.X-Path = regsub(req.url, "\?.*$", "");
    set req.http.X-Query = regsuball(regsub(req.url, "^[^?]*\?", ""),
        "(?<![^&])(?:(?:utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|mc_cid|mc_eid|_ga)(?:=[^&]*)?(?:&|$)|&+)",
        "");
    set req.url = req.http.X-Path;
    if (req.http.X-Query != "") {
        set req.url = req.url + "?" + req.http.X-Query;
    }
    unset req.http.X-Path;
    unset req.http.X-Query;
}

# %c3 and %C3 are the same byte, and %3A is a colon, which some clients escape in times and others don't.
# Only escapes may change: the rest means what its case says.
sub write_escapes_alike {
    set req.url = regsuball(req.url, "(?<=%)a(?=[0-9A-Fa-f])", "A");
    set req.url = regsuball(req.url, "(?<=%)b(?=[0-9A-Fa-f])", "B");
    set req.url = regsuball(req.url, "(?<=%)c(?=[0-9A-Fa-f])", "C");
    set req.url = regsuball(req.url, "(?<=%)d(?=[0-9A-Fa-f])", "D");
    set req.url = regsuball(req.url, "(?<=%)e(?=[0-9A-Fa-f])", "E");
    set req.url = regsuball(req.url, "(?<=%)f(?=[0-9A-Fa-f])", "F");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])a", "A");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])b", "B");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])c", "C");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])d", "D");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])e", "E");
    set req.url = regsuball(req.url, "(?<=%[0-9A-F])f", "F");
    set req.url = regsuball(req.url, "%3A", ":");
    set req.url = regsuball(req.url, "%2D", "-");
    set req.url = regsuball(req.url, "%5F", "_");
    set req.url = regsuball(req.url, "%7E", "~");
}

# Accept becomes the one format that the API would choose, where that is plain: `json` has no Accept at
# all. The wildcards and weights of browsers and common libraries are plain, rarer ones pass.
sub choose_format {
    if (!req.http.Accept || req.url !~ "^/(?:air_quality|stations|pollutants)(?:[/?]|$)") {
        return;
    }
    if (req.url ~ "[?&]format=") {
        # It goes before the header.
        unset req.http.Accept;
        return;
    }
    std.collect(req.http.Accept);
    set req.http.Accept = regsuball(req.http.Accept.lower(), "\s", "");
    if (req.http.Accept == "*/*" || req.http.Accept == "application/json" || req.http.Accept == "") {
        unset req.http.Accept;
    } elsif (req.http.Accept !~ "^(?:[^,;=]+/[^,;=]+(?:;(?!q=)[^,;]+)*+(?:;q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?(?:,|$))++$") {
        return (pass);
    } elsif (req.http.Accept ~ "^text/csv(?:;(?!q=)[^,;]+)*+(?:;q=1(?:\.0*)?)?(?:,(?!text/csv)[^,;]+(?:;(?!q=)[^,;]+)*+;q=0(?:\.[0-9]*)?)*+$") {
        set req.http.Accept = "text/csv";
    } elsif (req.http.Accept ~ "^application/(?:x-ndjson|ndjson|jsonl)(?:;(?!q=)[^,;]+)*+(?:;q=1(?:\.0*)?)?(?:,(?!application/(?:x-ndjson|ndjson|jsonl))[^,;]+(?:;(?!q=)[^,;]+)*+;q=0(?:\.[0-9]*)?)*+$") {
        set req.http.Accept = "application/x-ndjson";
    } elsif (req.http.Accept ~ "(?:^|,)application/json(?:;(?!q=)[^,;]+)*+(?:;q=1(?:\.0*)?)?(?:,|$)"
            && req.http.Accept !~ "application/json.*application/json") {
        # Nothing weighs more, and among equals the API prefers JSON.
        unset req.http.Accept;
    } elsif (req.http.Accept ~ "(?:^|,)\*/\*(?:;(?!q=)[^,;]+)*+(?:;q=(?!0(?:\.0*)?(?:,|$))[0-9.]+)?(?:,|$)"
            && req.http.Accept !~ "\*/\*.*\*/\*"
            && req.http.Accept !~ "(?:^|,)(?:application/(?:json|x-ndjson|ndjson|jsonl|\*)|text/(?:csv|\*))(?:[;,]|$)") {
        # Anything will do, and none of the formats is named.
        unset req.http.Accept;
    } else {
        return (pass);
    }
}

# The API is asked for gzip or for none, as two answers, so that no hit is packed or unpacked here.
sub choose_encoding {
    std.collect(req.http.Accept-Encoding);
    if (req.http.Accept-Encoding ~ "(?i)(?:^|,)\s*gzip\s*(?:;\s*q=(?:0\.0*[1-9]\d*|1(?:\.0*)?)\s*)?(?:,|$)") {
        set req.http.Accept-Encoding = "gzip";
    } else {
        unset req.http.Accept-Encoding;
    }
}

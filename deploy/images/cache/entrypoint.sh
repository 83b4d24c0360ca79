#!/bin/sh
# Starts Varnish and its access log, and follows the API's addresses: Varnish looks a name up only when
# it loads its rules, and a container that is made anew has a new address.
set -eu

home=/etc/airq-cache
work=/var/lib/varnish

refuse() {
    echo "airq-cache: $1" >&2
    exit 64
}

# Without a newline at its end, as secrets from files have one.
AIRQ_PURGE_TOKEN=$(printf %s "${AIRQ_PURGE_TOKEN:-}")
export AIRQ_PURGE_TOKEN
case $AIRQ_PURGE_TOKEN in
"" | change-me*) refuse "AIRQ_PURGE_TOKEN is empty or a placeholder; set it to a secret that \`airq purge\` has too" ;;
esac
case ${AIRQ_RATE_LIMIT:-} in
"") ;;
*[!0-9/]* | */*/* | /* | */ | 0* | */0*) refuse "AIRQ_RATE_LIMIT is '$AIRQ_RATE_LIMIT'; it must be requests/seconds, as in 100/10" ;;
*/*) export AIRQ_RATE_REQUESTS="${AIRQ_RATE_LIMIT%/*}" AIRQ_RATE_SECONDS="${AIRQ_RATE_LIMIT#*/}" ;;
*) refuse "AIRQ_RATE_LIMIT is '$AIRQ_RATE_LIMIT'; it must be requests/seconds, as in 100/10" ;;
esac
case ${AIRQ_TRUSTED_PROXIES:-} in
*[!0-9a-fA-F.:/,\ ]*) refuse "AIRQ_TRUSTED_PROXIES is '$AIRQ_TRUSTED_PROXIES'; it must be networks between commas, as in 10.0.0.0/8" ;;
esac

# The API's addresses, one a line; none where its name is not known.
addresses() {
    timeout 2 getent ahosts "$AIRQ_API_HOST" | sed -n 's/ .*STREAM.*//p' | sort -u
}

# Writes the rules of this place: a backend for each address of $1, and whose X-Forwarded-For is believed.
write_site() {
    {
        printf 'vcl 4.1;\nimport directors;\nbackend default none;\n'
        # A probe that nobody uses is an error to Varnish.
        [ -z "$1" ] || printf 'include "ready.vcl";\n'
        number=0
        for address in $1; do
            number=$((number + 1))
            printf 'backend api_%s { .host = "%s"; .port = "%s"; .probe = readiness; }\n' \
                "$number" "$address" "$AIRQ_API_PORT"
        done
        printf 'sub vcl_init {\n    new api = directors.round_robin();\n'
        for number in $(seq "$number"); do
            printf '    api.add_backend(api_%s);\n' "$number"
        done
        printf '}\nacl trusted_proxies {\n'
        echo "${AIRQ_TRUSTED_PROXIES:-}" | tr -s ', ' '\n' | sed -n 's|^\([^/]\+\)|    "\1"|; s|$|;|; /"/p'
        printf '}\ninclude "airq.vcl";\n'
    } >"$work/site.vcl"
}

# Answers that are stored stay stored; requests that run end under the rules that they began with.
load_site() {
    write_site "$1"
    loaded=$((loaded + 1))
    varnishadm -n "$work/airq" "vcl.load site_$loaded $work/site.vcl" &&
        varnishadm -n "$work/airq" "vcl.use site_$loaded" || return 1
    # Rules that can't be discarded take some memory and harm nobody.
    varnishadm -n "$work/airq" "vcl.discard $current" || true
    current=site_$loaded
} >&2

# One line of JSON a request. Bytes beyond ASCII, which the rules refuse, would be written as they are, and JSON is
# UTF-8.
write_log() {
    varnishncsa -n "$work/airq" -t off -j -F "$(cat $home/log-format)" \
        -q 'ReqURL ne "/cache-health" and ReqURL !~ "[^ -~]" and ReqMethod !~ "[^ -~]"' &
    log=$!
}

stop() {
    # The log's reader is some milliseconds behind, and the last requests belong into it.
    sleep 0.3
    kill "$varnish" && wait "$varnish" || true
    [ -z "$log" ] || { kill "$log" 2>/dev/null && wait "$log"; } || true
    exit 0
}

# Who takes this cache out of rotation makes this file first; from then on clients are told to come back on
# a new connection, which finds another cache.
export AIRQ_DRAINING_FILE="$work/draining"
rm -f "$AIRQ_DRAINING_FILE"

# A connection takes a file each, and newer engines give 1,024 unless they are asked for more. Not all that
# can be had: where that is a billion, Varnish is long in closing them before it starts.
# shellcheck disable=SC3045 # Debian's sh knows both limits.
ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"

known=$(addresses) loaded=0 current=boot
write_site "$known"
# Nothing is answered before the rules are compiled. As Debian has it (%D) that takes twice as long, for code that
# is no faster where it counts, in Varnish itself and its regular expressions.
# shellcheck disable=SC2046 # The parameters are words.
varnishd -F -j none -n "$work/airq" -f "$work/site.vcl" $(cat $home/parameters) -p vcl_path=$home/vcl \
    -p "cc_command=%D -O1 -g0" \
    -a "public=:${AIRQ_CACHE_PORT:-8080}" -a "purge=:${AIRQ_CACHE_PURGE_PORT:-8081}" \
    -s "default=malloc,$AIRQ_CACHE_SIZE" -s Transient=malloc,128m &
varnish=$! log=
trap stop TERM INT
# Before Varnish runs there is no log to read.
while kill -0 "$varnish" 2>/dev/null && ! varnishadm -n "$work/airq" status 2>/dev/null | grep -q running; do
    sleep 0.2
done
write_log

while kill -0 "$varnish" 2>/dev/null; do
    sleep 1 &
    wait $! || true
    kill -0 "$log" 2>/dev/null || write_log
    found=$(addresses)
    # A name that is not known at the moment, as while a container is made anew, changes nothing.
    if [ -n "$found" ] && [ "$found" != "$known" ]; then
        echo "airq-cache: the API's addresses are $(echo "$found" | tr '\n' ' ')" >&2
        if load_site "$found"; then
            known=$found
        else
            echo "airq-cache: the new addresses could not be taken; in a second they are tried again" >&2
        fi
    fi
done
wait "$varnish"

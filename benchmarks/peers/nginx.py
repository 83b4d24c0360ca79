"""Runs nginx with one static file."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench
from benchmarks.processes import Service, free_port, require, serving

PATH = "/air_quality.json"
_SETTINGS = """\
daemon off;
worker_processes auto;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    open_file_cache max=100 inactive=60s;
    types {{ application/json json; }}
    # The fields that the cache's own log has of a static file, buffered as its reader buffers them.
    log_format json escape=json '{{"timestamp":"$time_iso8601","level":"info","event":"request_served",'
        '"method":"$request_method","target":"$request_uri","status":$status,'
        '"duration_seconds":$request_time,"size":$body_bytes_sent,"request_id":"$request_id"}}';
    access_log {directory}/nginx-access.log json buffer=64k flush=1s;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/nginx;
    }}
}}
"""


@contextmanager
def nginx(bench: Bench, content: bytes) -> Iterator[Service]:
    """Serve these bytes at `PATH`, one worker for each CPU, every request logged to a file.

    Raises:
        LeftOut: nginx is not installed.
    """
    [program] = require("nginx")
    directory, port = bench.directory, free_port()
    (directory / "nginx").mkdir(exist_ok=True)
    (directory / f"nginx{PATH}").write_bytes(content)
    settings = directory / "nginx.conf"
    settings.write_text(_SETTINGS.format(directory=directory, port=port))
    with serving([program, "-c", str(settings)], port, PATH, directory / "nginx.log") as service:
        yield service

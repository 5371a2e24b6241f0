"""nginx as a plain reverse proxy to the same upstream: one process, kept connections, no log; what the least possible work costs."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.bench.load import Side
from tests.bench.processes import Family, running, until
from tests.gateway import free_port

_CONFIG = """
worker_processes 1;
master_process off;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  keepalive_requests 1000000000;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {key}";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""


def installed() -> str | None:
    """Its path; Debian keeps it in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


@contextlib.contextmanager
def nginx(folder: Path, upstream: int, key: str) -> Iterator[tuple[Side, Family]]:
    """nginx on a free port in front of the upstream on port `upstream`; RuntimeError when it does not start."""
    program = installed()
    assert program is not None
    folder.mkdir(mode=0o700)
    port = free_port()
    config = folder / "nginx.conf"
    config.touch(mode=0o600)
    config.write_text(_CONFIG.format(folder=folder, upstream=upstream, port=port, key=key))
    with running([program, "-e", str(folder / "nginx-error.log"), "-p", str(folder), "-c", str(config)]) as process:

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError("nginx did not start: " + (folder / "nginx-error.log").read_text()[:300])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        until(answers, "nginx to listen")
        yield Side("nginx", port, "no-key-needed"), Family("nginx", process.pid)

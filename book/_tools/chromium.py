"""The Chromium of this system on the built book, for all that opens the book as a reader would.

It can reach nothing but this machine, so a page that needs another host shows it.
"""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_browser() -> str | None:
    """The path of a Chromium of this system, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The folder behind a web server on the loopback interface; gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a browser hangs up when it has enough
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def browser() -> Iterator:
    """A fresh Chromium that can reach nothing but this machine.

    Raises:
        FileNotFoundError: this system has none.
    """
    executable = find_browser()
    if executable is None:
        raise FileNotFoundError(f"no browser found: install one of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable, headless=True, args=list(FLAGS)
        )
        try:
            yield chromium
        finally:
            chromium.close()


def settle(page) -> None:
    """Wait until the page is quiet and its mathematics is set."""
    page.wait_for_load_state("networkidle")
    page.evaluate("() => window.MathJax && MathJax.startup ? MathJax.startup.promise : null")
    page.evaluate("""() => { for (const i of document.images) i.loading = 'eager'; }""")
    page.wait_for_load_state("networkidle")

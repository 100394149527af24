"""A headless Chromium that tests click through, over its DevTools protocol; nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_S, ANSWER_S = 60.0, 60.0


def find_chromium() -> str | None:
    """Path of a Chromium: ``ESPDL_CHROMIUM``, else the first on the PATH; None where there is none."""
    return os.environ.get("ESPDL_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class WebSocket:
    """The client's side of RFC 6455, as far as DevTools needs it."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._socket = socket.create_connection((host, port), ANSWER_S)
        key = base64.b64encode(os.urandom(16)).decode()
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{request}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        assert b" 101 " in status, status
        while self._stream.readline().strip():
            pass

    def send(self, text: str) -> None:
        payload, mask = text.encode(), os.urandom(4)
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else struct.pack("!BBH", 0x81, 0xFE, size)
        head = head if size < 1 << 16 else struct.pack("!BBQ", 0x81, 0xFF, size)
        masked = bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))
        self._socket.sendall(head + mask + masked)

    def receive(self) -> str:
        """The next message, put together from its frames."""
        message = b""
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            payload = self._exactly(size)
            if first & 0x0F in (0, 1):
                message += payload
                if first & 0x80:
                    return message.decode()

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise ConnectionError("the browser has gone")
        return data

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Page:
    """One page: what it says can be asked, and it can be clicked with a real pointer."""

    def __init__(self, connection: WebSocket) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self.events: list[dict[str, Any]] = []
        """What the page told meanwhile: console, exceptions, requests."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.receive())
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def open(self, url: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url.partition('#')[0])})")

    def ask(self, expression: str) -> Any:
        """The value of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until JavaScript gives something true."""
        end = time.monotonic() + ANSWER_S
        while not self.ask(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.02)

    def place(self, selector: str, part: float = 0.5) -> tuple[float, float]:
        """Of what a selector finds first, scrolled into view: that part of its width, the middle of its height."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{element}.scrollIntoView({{block: 'center', inline: 'center'}})")
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        box = self.ask(f"(r => [r.left + r.width * {part}, r.top + r.height / 2])({element}.getBoundingClientRect())")
        return box[0], box[1]

    def hover(self, selector: str, part: float = 0.5) -> None:
        x, y = self.place(selector, part)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, selector: str, part: float = 0.5) -> None:
        x, y = self.place(selector, part)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69)["data"])

    @property
    def troubles(self) -> list[str]:
        """Exceptions, errors in the log, and requests for anything that is no file or data, since the page was opened."""
        self.ask("1")
        found = []
        for event in self.events:
            method, facts = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(facts["exceptionDetails"]))
            if method == "Log.entryAdded" and facts["entry"]["level"] == "error":
                found.append(facts["entry"]["text"])
            if method == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(("file:", "data:")):
                found.append(facts["request"]["url"])
        return found


@contextlib.contextmanager
def browser(chromium: str, profile: Path) -> Iterator[Page]:
    """Starts Chromium with a fresh profile and yields its page.

    Args:
        chromium: the program. profile: an empty directory.
    """
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"]
    command = [chromium, *flags, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            connection = _connect(process, profile / "DevToolsActivePort")
            try:
                yield Page(connection)
            finally:
                connection.close()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _connect(process: subprocess.Popen[bytes], port_file: Path) -> WebSocket:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            port = int(lines[0])
            target = next((entry for entry in _targets(port) if entry["type"] == "page"), None)
            if target is not None:
                return WebSocket("127.0.0.1", port, target["webSocketDebuggerUrl"].split(str(port), 1)[1])
        time.sleep(0.05)
    raise TimeoutError("Chromium does not start")


def _targets(port: int) -> list[dict[str, Any]]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/json/list")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()

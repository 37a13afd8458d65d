"""A headless Chromium, driven over its DevTools pipe with nothing but the standard library."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

PROGRAMS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_PATIENCE = 60  # seconds
_OPTIONS = (
    '--headless',
    '--remote-debugging-pipe',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--hide-scrollbars',
    '--disable-background-networking',
    '--disable-component-update',
)


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Page:
    """One tab of a browser of its own, without network.

    Attributes:
        errors: What the page wrote to the console, threw or was refused, as text.
    """

    def __init__(self, program: str, profile: Path, width: int = 1280, height: int = 900) -> None:
        """Start the browser with a fresh profile below ``profile``."""
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        own = [f'--user-data-dir={profile / "profile"}', f'--window-size={width},{height}']
        self._log = (profile / 'chromium.log').open('wb')
        self._process = subprocess.Popen(
            ['bash', '-c', shell, program, *_OPTIONS, *own, 'about:blank'],
            pass_fds=(commands, answers),
            stdout=self._log,
            stderr=self._log,
        )
        os.close(commands)
        os.close(answers)
        self._rest, self._count, self._session = b'', 0, None
        self._loaded = False
        self.errors: list[str] = []
        target = self.send('Target.createTarget', url='about:blank')['targetId']
        self._session = self.send('Target.attachToTarget', targetId=target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.send(f'{domain}.enable')
        self.send(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def send(self, method: str, **parameters) -> dict:
        """Run a DevTools command and return its result."""
        self._count += 1
        number = self._count
        message = {'id': number, 'method': method, 'params': parameters}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]["message"]}')
                return answer['result']
            self._note(answer)

    def open(self, url: str) -> None:
        """Load an address and wait until it is loaded."""
        self._loaded = False
        self.send('Page.navigate', url=url)
        while not self._loaded:
            self._note(self._receive())

    def run(self, script: str):
        """Value of a JavaScript expression, awaited if it is a promise."""
        answer = self.send(
            'Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in answer:
            raise RuntimeError(f'{script}: {answer["exceptionDetails"]}')
        return answer['result'].get('value')

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(f'Boolean({condition})'):
            if time.monotonic() > end:
                raise TimeoutError(f'never true: {condition}')
            time.sleep(0.05)

    def visit(self, selector: str) -> None:
        """Scroll to the element that a selector finds, as a reader would."""
        self.run(f'document.querySelector({selector!r}).scrollIntoView({{block: "center"}})')

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        self.visit(selector)
        x, y = self.run(
            f'(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();'
            'return [r.x + r.width / 2, r.y + r.height / 2]; })()'
        )
        for kind in ('mouseMoved', 'mousePressed', 'mouseReleased'):
            button = 'none' if kind == 'mouseMoved' else 'left'
            self.send('Input.dispatchMouseEvent', type=kind, x=x, y=y, button=button, clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Put the focus on an element and type."""
        self.run(f'document.querySelector({selector!r}).focus()')
        self.send('Input.insertText', text=text)

    def press(self, key: str) -> None:
        """Press and release a key such as ``Enter`` or ``ArrowRight``."""
        text = {'text': '\r'} if key == 'Enter' else {}
        self.send('Input.dispatchKeyEvent', type='keyDown', key=key, code=key, **text)
        self.send('Input.dispatchKeyEvent', type='keyUp', key=key, code=key)

    def screenshot(self, path: Path, *, is_full: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        picture = self.send('Page.captureScreenshot', captureBeyondViewport=is_full)
        path.write_bytes(base64.b64decode(picture['data']))

    def close(self) -> None:
        """End the browser and wait for it."""
        os.close(self._write)  # the end of the pipe tells it to quit
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._log.close()

    def _receive(self) -> dict:
        while b'\0' not in self._rest:
            ready, _, _ = select.select([self._read], [], [], _PATIENCE)
            part = os.read(self._read, 1 << 20) if ready else b''
            if not part:
                raise RuntimeError('the browser does not answer; see chromium.log')
            self._rest += part
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)

    def _note(self, event: dict) -> None:
        method, details = event.get('method'), event.get('params', {})
        if method == 'Page.loadEventFired':
            self._loaded = True
        elif method == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(details['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled':
            self.errors.append(json.dumps(details['args']))
        elif method == 'Log.entryAdded':
            self.errors.append(details['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            url = details['request']['url']
            if not url.startswith(('file:', 'data:', 'about:')):
                self.errors.append(f'asked the network for {url}')

"""A headless Chromium that tests drive by its own protocol, through two pipes; nothing else is needed."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
MISSING = 'no browser on PATH: install Chromium, as by `apt-get install chromium`, to test pages that have a map'
WAIT_S = 30


def find_browser():
    """Its path; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser.

    Attributes:
        complaints: Errors and refused contents, as the browser's console names them.
        requests: Addresses that pages asked for, besides data.
    """

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        mine, theirs = os.pipe(), os.pipe()
        flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run']
        flags += ['--remote-debugging-pipe', f'--user-data-dir={self.folder.name}', '--disable-dev-shm-usage']
        flags += ['--disable-background-networking', '--disable-component-update', 'about:blank']
        read, write = (os.dup2(end, number) for end, number in ((mine[0], 203), (theirs[1], 204)))
        shell = f'exec "$@" 3<&{read} 4>&{write}'
        self.process = subprocess.Popen(
            ['bash', '-c', shell, 'bash', find_browser(), *flags],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for end in (mine[0], theirs[1], read, write):
            os.close(end)
        self._write, self._read = mine[1], theirs[0]
        self._numbers, self._buffer, self._session = itertools.count(1), b'', None
        self.complaints, self.requests = [], []
        target = self.send('Target.createTarget', url='about:blank')['targetId']
        self._session = self.send('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.send(f'{domain}.enable')

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._write)
        os.close(self._read)
        self.folder.cleanup()

    def send(self, method, **params):
        """Call a method of the protocol; its result."""
        number = next(self._numbers)
        message = {'id': number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while (answer := self._next()).get('id') != number:
            pass
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]}')
        return answer['result']

    def _next(self):
        while b'\0' not in self._buffer:
            if not select.select([self._read], [], [], WAIT_S)[0]:
                raise TimeoutError(f'the browser has not answered for {WAIT_S} s')
            part = os.read(self._read, 1 << 16)
            if not part:
                raise RuntimeError('the browser has ended')
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b'\0')
        event = json.loads(message)
        params = event.get('params', {})
        if event.get('method') == 'Runtime.exceptionThrown':
            self.complaints.append(params['exceptionDetails'].get('exception', {}).get('description', str(params)))
        if event.get('method') == 'Log.entryAdded':
            self.complaints.append(params['entry']['text'])
        if event.get('method') == 'Network.requestWillBeSent' and not params['request']['url'].startswith('data:'):
            self.requests.append(params['request']['url'])
        return event

    def open(self, path: Path, *, size=(1200, 900), dark=False, is_phone=False):
        """Show a file, and wait until it is loaded."""
        self.complaints, self.requests = [], []
        self.send(
            'Emulation.setDeviceMetricsOverride', width=size[0], height=size[1], deviceScaleFactor=1, mobile=is_phone
        )
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.send('Emulation.setEmulatedMedia', features=[scheme])
        self.send('Page.navigate', url=Path(path).resolve().as_uri())
        self.wait('document.readyState === "complete"')

    def run(self, expression):
        """The value of an expression of JavaScript, as JSON."""
        result = self.send('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in result:
            raise RuntimeError(result['exceptionDetails']['exception'].get('description'))
        return result['result'].get('value')

    def wait(self, expression):
        """Until an expression holds."""
        end = time.monotonic() + WAIT_S
        while not self.run(expression):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.05)

    def move(self, x, y):
        """Bring the mouse to a place of the window."""
        self.send('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)

    def click(self, x, y):
        """Press and release the mouse at a place of the window."""
        self.move(x, y)
        for kind in ('mousePressed', 'mouseReleased'):
            self.send('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def press(self, key):
        """Press and release a key, such as Tab or Enter."""
        code = {'Tab': 9, 'Enter': 13, 'ArrowRight': 39, 'ArrowLeft': 37, 'Escape': 27}[key]
        text = {'text': '\r'} if key == 'Enter' else {}
        for kind in ('keyDown', 'keyUp'):
            self.send('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path, *, whole=False):
        """Write what is seen as PNG, or the whole page."""
        result = self.send('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(result['data']))

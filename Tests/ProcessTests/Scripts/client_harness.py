"""What the Python programs of the client matrix share.

Each program of the matrix is started as `PROGRAM URL VERSION PREFIX FEATURE …`: the hub's address (mqtt, mqtts, ws or
wss), `3.1.1` or `5.0`, what its topics and client identifiers begin with, and what to try. It prints one line a feature,
`ok FEATURE`, `FAILED FEATURE: why` or `none FEATURE: why not`, and ends with status 0 unless it could not even begin.
HEADEND_CA names the authority to trust; HEADEND_CERTIFICATE and HEADEND_KEY are the client's own.
"""

import os
import socket
import ssl
import sys
import traceback
from urllib.parse import urlsplit

SECONDS = 20
URL = urlsplit(sys.argv[1])
V5 = sys.argv[2] == "5.0"
PREFIX = sys.argv[3]
FEATURES = sys.argv[4:]
TLS = URL.scheme in ("mqtts", "wss")
WEBSOCKET = URL.scheme in ("ws", "wss")
BACKLOG = 100
SHARED = 60
LARGE = bytes(range(256)) * 4096
"""1 MiB."""


class NotThere(Exception):
    """The library cannot do it."""


def tls_context():
    context = ssl.create_default_context(cafile=os.environ["HEADEND_CA"])
    if "HEADEND_CERTIFICATE" in os.environ:
        context.load_cert_chain(os.environ["HEADEND_CERTIFICATE"], os.environ["HEADEND_KEY"])
    return context


def cut(transport):
    """Ends a connection without a word, whatever the library has around its socket."""
    with socket.socket(fileno=os.dup(transport.fileno())) as bare:
        bare.shutdown(socket.SHUT_RDWR)


def equal(found, expected, what):
    if found != expected:
        short = [repr(value)[:200] for value in (found, expected)]
        raise AssertionError(f"{what}: {short[0]} instead of {short[1]}")


def in_order(found, expected, what):
    """Messages `expected` alternated between QoS 1 and 2: each of them arrives in order."""
    for first in range(2):
        equal([text for text in found if int(text) % 2 == first], expected[first::2], f"{what} at QoS {first + 1}")
    equal(len(found), len(expected), what)


def reading(number):
    return f'{{"id":"{PREFIX}-{number}","value":{number}}}'


def report(feature, body):
    try:
        body()
        print(f"ok {feature}", flush=True)
    except NotThere as error:
        print(f"none {feature}: {error}", flush=True)
    except BaseException as error:  # noqa: B902: whatever it is, the other features are still tried
        where = traceback.extract_tb(error.__traceback__)
        program = os.path.basename(sys.argv[0])
        line = next((f.lineno for f in reversed(where) if os.path.basename(f.filename) == program), 0)
        text = (str(error) or type(error).__name__).replace("\n", " ")
        print(f"FAILED {feature}: {type(error).__name__}: {text} (line {line})", flush=True)


def run(scenarios):
    for feature in FEATURES:
        report(feature, scenarios[feature])

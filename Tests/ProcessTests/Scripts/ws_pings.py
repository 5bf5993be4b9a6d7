"""Pings a WebSocket listener and never reads: ws_pings.py PORT CA|- SECONDS

Prints how many bytes it got rid of."""
import socket
import ssl
import sys
import time

port, ca, seconds = sys.argv[1:]
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
door.connect(("localhost", int(port)))
if ca != "-":
    door = ssl.create_default_context(cafile=ca).wrap_socket(door, server_hostname="localhost")
door.sendall(
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
assert b" 101 " in door.recv(4096)
pings = bytes([0x89, 0x81, 0, 0, 0, 0, 0x61]) * 2_000
door.settimeout(0.2)
sent = 0
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    try:
        sent += door.send(pings)
    except (TimeoutError, ssl.SSLWantWriteError):
        pass
print(sent)

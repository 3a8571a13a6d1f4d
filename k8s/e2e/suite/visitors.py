"""Opens one WebSocket after the other, closes each at once, and counts what it met: a status, or how it failed.

Runs inside the cluster's network until its standard input ends; then the counts are its output.
"""

import collections
import json
import select
import socket
import sys

# How long one may take; a balancer without a node would let it wait for ever.
PATIENCE_SECONDS = 5
PAUSE_SECONDS = 0.05
REQUEST = (
    "GET /ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidegate.v1.json\r\n\r\n"
)


def visit(address):
    try:
        with socket.create_connection((address, 80), PATIENCE_SECONDS) as connection:
            connection.sendall(REQUEST.encode())
            words = connection.recv(64).decode(errors="replace").split()
            return words[1] if len(words) > 1 else "closed without an answer"
    except OSError as error:
        return type(error).__name__


def main():
    outcomes = collections.Counter()
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        outcomes[visit(sys.argv[1])] += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()

"""What the prototype's peer does, with the sockets and the TLS of Python.

Usage: prototype_peer.py TCP_ADDRESS UDP_ADDRESS

Plays through a registration, a login, searches, both lists and a logout against a registry. Exits with an exception at
the first reply that the prototype would not have understood.
"""

import hashlib
import socket
import ssl
import sys
import threading


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Peer:
    def __init__(self, tcp):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(socket.create_connection(tcp, timeout=60))

    def ask(self, message):
        self.socket.sendall(message.encode())
        return self.socket.recv(1024).decode()

    def expect(self, message, word, reply=None):
        """The reply's third word decides, for the prototype."""
        answer = self.ask(message)
        assert answer.split()[2] == word, (message, answer)
        assert reply is None or answer == reply, (message, answer)
        return answer


def keep_alive(udp, username, stop):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        while not stop.wait(1):
            datagrams.sendto(f"KEEP_ALIVE {username}".encode(), udp)


def main():
    tcp, udp = address(sys.argv[1]), address(sys.argv[2])
    password = hashlib.sha256(b"secret").hexdigest()
    wrong = hashlib.sha256(b"guess").hexdigest()
    name = "pythonista"

    peer = Peer(tcp)
    peer.expect("HELLO_P2P", "200", "HELLO_BACK SUCCESS 200 ")
    peer.expect(f"REGISTER {name} {password}", "<200>")
    peer.expect(f"REGISTER {name} {password}", "<300>")
    peer.expect(f"LOGIN {name} {wrong} 5000", "<404>")
    peer.expect(f"LOGIN {name} {password} 5000", "<200>")
    stop = threading.Event()
    thread = threading.Thread(target=keep_alive, args=(udp, name, stop))
    thread.start()
    try:
        other = Peer(tcp)
        other.expect("HELLO_P2P", "200")
        other.expect(f"LOGIN {name} {password} 5000", "<300>")
        other.expect(f"REGISTER other {password}", "<200>")
        peer.expect("SEARCH_USER other", "<300>")
        peer.expect("SEARCH_USER nobody", "<404>")
        other.expect(f"LOGIN other {password} 5001", "<200>")
        found = peer.expect("SEARCH_USER other", "<200>").split()[3]
        assert found == "127.0.0.1:5001", found
        listed = peer.expect(f"DISCOVER_PEERS DETAILED {name}", "<200>").split()[3:]
        assert listed[listed.index("other") + 1] == "(127.0.0.1:5001)", listed
        listed = peer.expect(f"DISCOVER_PEERS SIMPLE {name}", "<200>").split()[3:]
        assert "other" in listed and name not in listed, listed
        other.socket.sendall(b"LOGOUT other")
        assert other.socket.recv(1024) == b""
        peer.expect("SEARCH_USER other", "<300>")
    finally:
        stop.set()
        thread.join()
    peer.socket.sendall(f"LOGOUT {name}".encode())
    assert peer.socket.recv(1024) == b""


main()

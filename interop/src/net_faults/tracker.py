"""An HTTP tracker for one torrent: prints who announces, tells everybody of everybody.

tracker.py PORT MIN_INTERVAL"""
import http.server, socket, struct, sys, urllib.parse

PEERS = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, encoding="latin-1"))
        ip = self.client_address[0].removeprefix("::ffff:")
        PEERS[query["peer_id"]] = (ip, int(query["port"]))
        others = [peer for name, peer in PEERS.items() if name != query["peer_id"]]
        family = lambda kind, is_of: b"".join(
            socket.inet_pton(kind, ip) + struct.pack("!H", port) for ip, port in others if is_of(ip))
        four = family(socket.AF_INET, lambda ip: ":" not in ip)
        six = family(socket.AF_INET6, lambda ip: ":" in ip)
        body = b"d8:intervali%de12:min intervali%de5:peers%d:%b6:peers6%d:%be" % (
            MIN_INTERVAL, MIN_INTERVAL, len(four), four, len(six), six)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print("announce", ip, query.get("event", "-"), flush=True)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


PORT, MIN_INTERVAL = int(sys.argv[1]), int(sys.argv[2])
server = Server(("::", PORT), Handler)
print("ready", flush=True)
server.serve_forever()

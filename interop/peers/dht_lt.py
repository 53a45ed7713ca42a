#!/usr/bin/env python3
"""libtorrent's DHT by words on lines.

  dht_lt.py [--join IP:PORT] [--read-only] IP:PORT...
      One node for each address, in one session; they know each other, and the node to join. Prints READY when they do.
      --read-only: they answer nobody, and say so (BEP 43).
      Then it takes commands from its input, `N WORD ARGUMENT...`, and answers each with `N ANSWER`:

  get-peers HASH                          peers IP:PORT...
  announce HASH PORT [seed]               stored
  put VALUE                               stored TARGET
  get TARGET                              value VALUE | none
  put-mutable SEED KEY SALT SEQ VALUE     stored TARGET              (libtorrent counts SEQ itself)
  get-mutable KEY SALT                    value SEQ VALUE | none
  sample IP:PORT                          samples INTERVAL NUM HASH...

      Values, salts, seeds and keys are in hex; `-` is an empty one. It also prints ANNOUNCE HASH, at its next command, for each
      peer announced to its nodes.
"""
import argparse, hashlib, sys, time
import libtorrent as lt

# What takes longer is not there.
LIMIT = 6


def host_port(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def endpoint(pair):
    return "%s:%d" % tuple(pair)


def unhex(text):
    return b"" if text == "-" else bytes.fromhex(text)


def session(listen, read_only):
    return lt.session({
        "listen_interfaces": ",".join(listen),
        "outgoing_interfaces": host_port(listen[0])[0],
        "enable_dht": True,
        "dht_bootstrap_nodes": "",
        # Many nodes of a test share an address or a network.
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "dht_block_ratelimit": 1000,
        "dht_upload_rate_limit": 1000000,
        "dht_read_only": read_only,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification
        | lt.alert.category_t.stats_notification,
    })


class Driver:
    def __init__(self, listen, join, read_only):
        self.ses = session(listen, read_only)
        known = listen[1:] + ([join] if join else [])
        # A node that is only in the settings is a router to libtorrent: it is asked, and never stored at.
        wanted = len(known) and max(1, len(listen) - 1)
        self.wait(lambda: self.nodes() >= wanted, lambda: [self.ses.add_dht_node(host_port(n)) for n in known + listen[:1]])

    def alerts(self, kind):
        self.ses.wait_for_alert(100)
        found = []
        for alert in self.ses.pop_alerts():
            if isinstance(alert, lt.dht_announce_alert):
                print("ANNOUNCE", alert.info_hash, flush=True)
            if isinstance(alert, kind):
                found.append(alert)
        return found

    def wait(self, is_done, again):
        deadline = time.monotonic() + LIMIT
        while not is_done() and time.monotonic() < deadline:
            again()

    def first(self, kind, claim, limit=LIMIT):
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            for alert in self.alerts(kind):
                if claim(alert):
                    return alert
        return None

    def nodes(self):
        self.ses.post_session_stats()
        stats = self.first(lt.session_stats_alert, lambda _: True)
        return stats.values["dht.dht_nodes"] if stats else 0

    def get_peers(self, info_hash):
        target = lt.sha1_hash(bytes.fromhex(info_hash))
        self.ses.dht_get_peers(target)
        # One alert for each node of the session, and none when nothing was found.
        alert = self.first(lt.dht_get_peers_reply_alert, lambda a: a.info_hash == target and a.num_peers() > 0)
        return " ".join(["peers"] + sorted(endpoint(p) for p in (alert.peers() if alert else [])))

    def announce(self, info_hash, port, seed=""):
        self.ses.dht_announce(lt.sha1_hash(bytes.fromhex(info_hash)), int(port), 1 if seed else 0)
        return "stored"

    def put(self, value):
        target = self.ses.dht_put_immutable_item(unhex(value))
        alert = self.first(lt.dht_put_alert, lambda a: a.target == target)
        return self.stored(target, alert)

    def stored(self, target, alert):
        return "stored %s" % target if alert and alert.num_success else "error nobody stored it"

    def get(self, target):
        wanted = lt.sha1_hash(bytes.fromhex(target))
        self.ses.dht_get_immutable_item(wanted)
        alert = self.first(lt.dht_immutable_item_alert, lambda a: a.target == wanted)
        item = alert.item if alert else None
        return "value %s" % item.hex() if item else "none"

    def put_mutable(self, seed, key, salt, seq, value):
        secret = bytearray(hashlib.sha512(unhex(seed)).digest())
        secret[0] &= 248
        secret[31] = secret[31] & 63 | 64
        self.ses.dht_put_mutable_item(bytes(secret), unhex(key), unhex(value), unhex(salt))
        alert = self.first(lt.dht_put_alert, lambda a: a.public_key == unhex(key) and a.salt == unhex(salt))
        return self.stored(hashlib.sha1(unhex(key) + unhex(salt)).hexdigest(), alert)

    def get_mutable(self, key, salt):
        self.ses.dht_get_mutable_item(unhex(key), unhex(salt))
        # It tells each newer one it finds, and the last when every node answered or was given up, which takes 15 s.
        newest, deadline = None, time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            alert = self.first(lt.dht_mutable_item_alert, lambda a: a.key == unhex(key) and a.salt == unhex(salt), 0.5)
            if alert and alert.item and (not newest or alert.seq >= newest.seq):
                newest = alert
            if newest and (not alert or alert.authoritative):
                break
        return "value %d %s" % (newest.seq, newest.item.hex()) if newest else "none"

    def sample(self, node):
        self.ses.dht_sample_infohashes(host_port(node), lt.sha1_hash(bytes(20)))
        alert = self.first(lt.dht_sample_infohashes_alert, lambda _: True)
        if not alert:
            return "none"
        return " ".join(["samples", str(alert.interval), str(alert.num_infohashes)] + [str(h) for h in alert.samples])

    def run(self, line):
        number, word, *rest = line.split()
        try:
            answer = getattr(self, word.replace("-", "_"))(*rest)
        except Exception as error:
            answer = "error %r" % error
        print(number, answer, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--join")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("listen", nargs="+")
    args = parser.parse_args()
    driver = Driver(args.listen, args.join, args.read_only)
    print("READY", flush=True)
    for line in sys.stdin:
        driver.run(line)


main()

"""A line between two network namespaces: what goes in at one end comes out at the other at most so fast, so much later,
and not all of it. Done in user space over two tun devices, as kernels without netem are common.

link.py NAMESPACE ADDRESS/LEN NAMESPACE ADDRESS/LEN DELAY_MS RATE_MBIT_S whole|cut

The delay is of one direction. "whole" lets packets be large, so that few of them carry a fast line; faults want them
"cut". Prints "ready", runs until its input ends. Each line of the input changes the line, the figures being percent:

  loss N [0|1]   lose packets, of both directions or of those that go in at one end
  dup N          send packets twice
  reorder N      hold packets back by 20 ms, so that later ones pass them
  corrupt N      change one byte behind the IP header
  jitter MS      make each packet late by up to so much, in order
  mtu BYTES      lose longer packets without a word
  cut 0|1|both|none   let nothing through from an end
  forget         lose everything of the connections seen so far, as a NAT does that forgot them
  reset          reset each connection by its next packet"""
import fcntl, os, random, select, struct, subprocess, sys, time
from heapq import heappush, heappop

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x1000, 0x4000
CSUM, TSO4 = 1, 2
VNET = 10  # bytes in front of each packet
HEADERS = 52  # bytes of IP and TCP in each packet that a large one stands for
QUEUE_MAX = 64 << 20  # bytes that wait at one end; more are dropped
LATE = 0.02


class End:
    """One end: its device, and what is on the way to it."""

    def __init__(self, number, namespace, address, is_whole):
        name = "long%d" % number
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        made = "lk%d-%d" % (number, os.getpid())
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", made.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
        if is_whole:
            fcntl.ioctl(self.fd, TUNSETOFFLOAD, CSUM | TSO4)
        ip = lambda *args: subprocess.run(("ip",) + args, check=True)
        ip("link", "set", made, "netns", namespace, "name", name)
        ip("-n", namespace, "addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        ip("-n", namespace, "link", "set", name, "txqueuelen", "10000", "up")
        self.queue, self.waiting, self.line_free, self.last = [], 0, 0.0, 0.0


class Faults:
    """What the line does to packets."""

    def __init__(self):
        self.loss, self.cut = [0.0, 0.0], [False, False]
        self.dup = self.reorder = self.corrupt = self.jitter = self.mtu = 0
        self.seen, self.forgotten, self.to_reset = set(), set(), set()

    def command(self, line):
        word, *args = line.split() or [""]
        if word == "loss":
            for end in [int(args[1])] if len(args) > 1 else (0, 1):
                self.loss[end] = float(args[0]) / 100
        elif word in ("dup", "reorder", "corrupt"):
            setattr(self, word, float(args[0]) / 100)
        elif word == "jitter":
            self.jitter = float(args[0]) / 1e3
        elif word == "mtu":
            self.mtu = int(args[0])
        elif word == "cut":
            self.cut = [args[0] in (str(end), "both") for end in (0, 1)]
        elif word == "forget":
            self.forgotten |= self.seen
        elif word == "reset":
            self.to_reset = set(self.seen)
        elif word:
            sys.exit("link: unknown %r" % line)


def flow(packet):
    """The addresses and ports of a TCP packet over IPv4, the same for both directions; where its TCP header begins."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 6:
        return None, 0
    at = (packet[0] & 15) * 4
    a, b = packet[12:16] + packet[at:at + 2], packet[16:20] + packet[at + 2:at + 4]
    return (min(a, b), max(a, b)), at


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def reset(source, target, seq):
    """A packet that resets the connection of `source`, an address and a port, at `target`."""
    tcp = struct.pack("!2s2sIIBBHHH", source[4:], target[4:], seq, 0, 5 << 4, 4, 0, 0, 0)
    pseudo = source[:4] + target[:4] + struct.pack("!BBH", 0, 6, 20)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source[:4], target[:4])
    return bytes(VNET) + ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def resets(packet, at):
    """What ends the connection of a packet that is lost: for the end it was going to, and for its sender."""
    sender, other = packet[12:16] + packet[at:at + 2], packet[16:20] + packet[at + 2:at + 4]
    seq, ack = struct.unpack("!II", packet[at + 4:at + 12])
    return reset(sender, other, seq), reset(other, sender, ack)


def wire_len(packet):
    gso_size = struct.unpack_from("<H", packet, 4)[0]
    packets = -(-(len(packet) - VNET - HEADERS) // gso_size) if gso_size else 1
    return len(packet) - VNET + (packets - 1) * HEADERS


class Line:
    def __init__(self):
        delay, rate = (float(arg) for arg in sys.argv[5:7])
        self.delay, self.rate = delay / 1e3, rate * 1e6 / 8
        is_whole = sys.argv[7] == "whole"
        self.ends = [End(i, sys.argv[1 + 2 * i], sys.argv[2 + 2 * i], is_whole) for i in (0, 1)]
        self.rng, self.faults, self.count = random.Random(1), Faults(), 0

    def send(self, far, packet):
        """Puts a packet on the way to an end."""
        if far.waiting + len(packet) > QUEUE_MAX:
            return
        now, faults = time.monotonic(), self.faults
        far.line_free = max(far.line_free, now) + wire_len(packet) / self.rate
        at = far.line_free + self.delay
        if faults.jitter:
            at = far.last = max(far.last, at + self.rng.random() * faults.jitter)
        if faults.reorder and self.rng.random() < faults.reorder:
            at += LATE
        self.count += 1
        heappush(far.queue, (at, self.count, packet))
        far.waiting += len(packet)

    def take(self, i, packet):
        """A packet that went in at end `i`."""
        near, far, faults, chance = self.ends[i], self.ends[1 - i], self.faults, self.rng.random
        name, at = flow(packet[VNET:])
        if name:
            faults.seen.add(name)
        if faults.cut[i] or chance() < faults.loss[i] or name in faults.forgotten:
            return
        if faults.mtu and len(packet) - VNET > faults.mtu:
            return
        if name in faults.to_reset:
            faults.to_reset.discard(name)
            for end, made in zip((far, near), resets(packet[VNET:], at)):
                self.send(end, made)
            return
        if faults.corrupt and chance() < faults.corrupt and len(packet) > VNET + 20:
            where = self.rng.randrange(VNET + 20, len(packet))
            packet = packet[:where] + bytes([packet[where] ^ 0xFF]) + packet[where + 1:]
        self.send(far, packet)
        if faults.dup and chance() < faults.dup:
            self.send(far, packet)

    def run(self):
        print("ready", flush=True)
        commands = b""
        while True:
            now = time.monotonic()
            due = [end.queue[0][0] - now for end in self.ends if end.queue]
            ready, _, _ = select.select([end.fd for end in self.ends] + [0], [], [], max(0, min(due)) if due else None)
            if 0 in ready:
                read = os.read(0, 4096)
                if not read:
                    return
                *lines, commands = (commands + read).split(b"\n")
                for line in lines:
                    self.faults.command(line.decode())
            for i, near in enumerate(self.ends):
                for _ in range(64 if near.fd in ready else 0):
                    try:
                        self.take(i, os.read(near.fd, 70000))
                    except BlockingIOError:
                        break
            now = time.monotonic()
            for end in self.ends:
                while end.queue and end.queue[0][0] <= now:
                    packet = heappop(end.queue)[2]
                    end.waiting -= len(packet)
                    try:
                        os.write(end.fd, packet)
                    except OSError:
                        pass  # the device is full or gone: one more packet that is lost


Line().run()

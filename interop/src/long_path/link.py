"""A long link between two network namespaces: what goes in at one end comes out at the other at most so fast, so much
later, and not all of it. Done in user space over two tun devices, as kernels without netem are common.

link.py NAMESPACE ADDRESS/LEN NAMESPACE ADDRESS/LEN DELAY_MS RATE_MBIT_S LOSS_PERCENT

The delay is of one direction; the loss is of the first direction only. Prints "ready", runs until its input ends."""
import fcntl, os, random, select, struct, subprocess, sys, time
from collections import deque

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x1000, 0x4000
CSUM, TSO4 = 1, 2
HEADERS = 52  # bytes of IP and TCP in each packet that a large one stands for
QUEUE_MAX = 64 << 20  # bytes that wait at one end; more are dropped


class End:
    """One end: its device, and what is on the way to it."""

    def __init__(self, number, namespace, address, is_whole):
        name = "long%d" % number
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        made = "lk%d-%d" % (number, os.getpid())
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", made.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
        if is_whole:  # packets may be large, to be cut by nobody: few of them carry a fast link
            fcntl.ioctl(self.fd, TUNSETOFFLOAD, CSUM | TSO4)
        ip = lambda *args: subprocess.run(("ip",) + args, check=True)
        ip("link", "set", made, "netns", namespace, "name", name)
        ip("-n", namespace, "addr", "add", address, "dev", name)
        ip("-n", namespace, "link", "set", name, "txqueuelen", "10000", "up")
        self.queue, self.waiting, self.line_free = deque(), 0, 0.0


def wire_len(packet):
    gso_size = struct.unpack_from("<H", packet, 4)[0]
    packets = -(-(len(packet) - 10 - HEADERS) // gso_size) if gso_size else 1
    return len(packet) - 10 + (packets - 1) * HEADERS


def main():
    delay, rate, loss = (float(arg) for arg in sys.argv[5:8])
    delay, rate, loss = delay / 1e3, rate * 1e6 / 8, loss / 100
    ends = [End(i, sys.argv[1 + 2 * i], sys.argv[2 + 2 * i], loss == 0) for i in (0, 1)]
    rng = random.Random(1)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        due = [e.queue[0][0] - now for e in ends if e.queue]
        ready, _, _ = select.select([e.fd for e in ends] + [0], [], [], max(0, min(due)) if due else None)
        if 0 in ready and not os.read(0, 1):
            return
        for i, (near, far) in enumerate((ends, ends[::-1])):
            for _ in range(64 if near.fd in ready else 0):
                try:
                    packet = os.read(near.fd, 70000)
                except BlockingIOError:
                    break
                now = time.monotonic()
                if far.waiting + len(packet) > QUEUE_MAX or (i == 0 and rng.random() < loss):
                    continue
                far.line_free = max(far.line_free, now) + wire_len(packet) / rate
                far.queue.append((far.line_free + delay, packet))
                far.waiting += len(packet)
        now = time.monotonic()
        for end in ends:
            while end.queue and end.queue[0][0] <= now:
                packet = end.queue.popleft()[1]
                end.waiting -= len(packet)
                try:
                    os.write(end.fd, packet)
                except OSError:
                    pass  # the device is full or gone: one more packet that is lost


main()

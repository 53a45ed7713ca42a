#!/usr/bin/env python3
"""libtorrent as an interop peer, DHT router, torrent maker and torrent reader.

  lt.py seed|get SOURCE DIR IP:PORT [--peer IP:PORT] [--dht-node IP:PORT] [--rate BYTES_PER_S] [--lsd]
      [--pex] [--plain]
      SOURCE is a .torrent path or a magnet. Prints READY when it serves (seed) or has started (get), METADATA when it
      knows the files, UPLOADED N as it sends payload; get exits 0 when the download is complete. --rate limits upload
      of a seed and download of a get. --plain: TCP without encryption alone.
  lt.py recheck TORRENT DIR IP:PORT
      Checks the data that is there. Prints one JSON object: cpu_s and wall_s of the check alone.
  lt.py node IP:PORT...
      DHT nodes without torrents that know each other. Prints READY, then ANNOUNCE HASH for each peer announced to them.
  lt.py serve IP:PORT NODE
      One DHT node that begins at NODE and answers whoever asks, as often as they ask. Prints READY.
  lt.py make PATH OUT PIECE_LENGTH
      A v1 torrent of PATH with its files in byte order of their paths. Prints the info-hash.
  lt.py read TORRENT...
      One JSON object a line, in the fields of `unchoke show --json`; {"error": TEXT} for a file it refuses.
"""
import argparse, json, os, sys, time
import libtorrent as lt


def host_port(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def session(listen, dht_node=None, dht=False, more={}):
    return lt.session({
        "listen_interfaces": listen,
        "outgoing_interfaces": host_port(listen.split(",")[0])[0],
        "enable_dht": dht,
        "dht_bootstrap_nodes": dht_node or "",
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "ssrf_mitigation": False,
        # It tries uTP with everyone first, and TCP with those who have none seconds later: not when a search is timed.
        "enable_outgoing_utp": not dht,
        "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.stats_notification if dht else 0,
        **more,
    })


def wait_for_dht(ses, node):
    """A torrent that is added before any node is known is looked for much later."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        # What it is told before its DHT runs is forgotten.
        ses.add_dht_node(host_port(node))
        ses.post_session_stats()
        ses.wait_for_alert(100)
        if any(isinstance(a, lt.session_stats_alert) and a.values["dht.dht_nodes"] for a in ses.pop_alerts()):
            return


def peer(args):
    # As a bootstrap node of the settings it would be a router to libtorrent, and never in its table.
    more = {"enable_lsd": args.lsd}
    if args.plain:
        disabled = int(lt.enc_policy.disabled)
        more |= {"enable_incoming_utp": False, "enable_outgoing_utp": False}
        more |= {"in_enc_policy": disabled, "out_enc_policy": disabled}
    ses = session(args.listen, None, args.dht_node is not None, more)
    if args.dht_node:
        wait_for_dht(ses, args.dht_node)
    if args.source.startswith("magnet:"):
        params = lt.parse_magnet_uri(args.source)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(args.source)
    params.save_path = args.dir
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if not args.pex:
        params.flags |= lt.torrent_flags.disable_pex
    if args.rate and args.role == "seed":
        params.upload_limit = args.rate
    elif args.rate:
        params.download_limit = args.rate
    handle = ses.add_torrent(params)
    if args.peer:
        handle.connect_peer(host_port(args.peer))
    ready, known, sent = False, False, -1
    while True:
        status = handle.status()
        if not known and status.has_metadata:
            known = True
            print("METADATA", flush=True)
        if not ready and (args.role == "get" or status.is_seeding):
            ready = True
            print("READY", flush=True)
        if status.total_payload_upload != sent:
            sent = status.total_payload_upload
            print("UPLOADED", sent, flush=True)
        if args.role == "get" and status.is_seeding:
            break
        time.sleep(0.1)
    ses.pause()


def recheck(args):
    ses = session(args.listen)
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(args.torrent)
    params.save_path = args.dir
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    cpu, wall = time.process_time(), time.monotonic()
    handle = ses.add_torrent(params)
    checking = (lt.torrent_status.checking_resume_data, lt.torrent_status.checking_files)
    while handle.status().state in checking:
        time.sleep(0.01)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    status = handle.status()
    if not status.is_seeding:
        sys.exit("the data is not whole: %s" % status.state)
    print(json.dumps({"cpu_s": cpu, "wall_s": wall}), flush=True)
    ses.pause()


def node(args):
    ses = session(",".join(args.listen), args.listen[0], dht=True)
    print("READY", flush=True)
    while True:
        ses.wait_for_alert(500)
        for alert in ses.pop_alerts():
            if isinstance(alert, lt.dht_announce_alert):
                print("ANNOUNCE", alert.info_hash, flush=True)


def serve(args):
    ses = session(args.listen, args.dht_node, dht=True, more={
        "alert_mask": 0,
        "dht_prefer_verified_node_ids": False,
        "dht_upload_rate_limit": 500000000,
        "dht_block_timeout": 1,
        "dht_block_ratelimit": 1000000,
    })
    print("READY", flush=True)
    while True:
        time.sleep(3600)


def make(args):
    files = lt.file_storage()
    root = os.path.abspath(args.path)
    parent = os.path.dirname(root)
    found = [root] if os.path.isfile(root) else [os.path.join(d, n) for d, _, names in os.walk(root) for n in names]
    for path in sorted(found, key=os.fsencode):
        files.add_file(os.path.relpath(path, parent), os.path.getsize(path))
    maker = lt.create_torrent(files, args.piece_length, lt.create_torrent.v1_only)
    lt.set_piece_hashes(maker, parent)
    entry = maker.generate()
    with open(args.out, "wb") as out:
        out.write(lt.bencode(entry))
    print(lt.torrent_info(args.out).info_hashes().v1)


def facts(path):
    try:
        params = lt.load_torrent_file(path)
    except RuntimeError as error:
        return {"error": str(error)}
    info = params.ti
    files = info.files()
    tiers = {}
    for url, tier in zip(params.trackers, params.tracker_tiers):
        tiers.setdefault(tier, []).append(url)
    flags = lt.file_flags_t
    listed = []
    for i in range(files.num_files()):
        entry = {"path": files.file_path(i), "length": files.file_size(i)}
        for name, flag in (("pad", flags.flag_pad_file), ("executable", flags.flag_executable), ("hidden", flags.flag_hidden)):
            if files.file_flags(i) & flag:
                entry[name] = True
        listed.append(entry)
    return {
        "name": info.name(),
        "info_hash_v1": str(info.info_hashes().v1),
        "total_size": info.total_size(),
        "piece_length": info.piece_length(),
        "piece_count": info.num_pieces(),
        "private": info.priv(),
        "comment": params.comment,
        "created_by": params.created_by,
        "creation_date": params.creation_date,
        "files": listed,
        "trackers": [tiers[t] for t in sorted(tiers)],
        "web_seeds": list(params.url_seeds),
        "nodes": ["%s:%d" % n for n in params.dht_nodes],
    }


def read(args):
    for path in args.torrents:
        print(json.dumps(facts(path)))


def main():
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    for role in ("seed", "get"):
        p = roles.add_parser(role)
        p.add_argument("source")
        p.add_argument("dir")
        p.add_argument("listen")
        p.add_argument("--peer")
        p.add_argument("--dht-node")
        p.add_argument("--rate", type=int)
        p.add_argument("--lsd", action="store_true")
        p.add_argument("--pex", action="store_true")
        p.add_argument("--plain", action="store_true")
        p.set_defaults(run=peer)
    p = roles.add_parser("recheck")
    p.add_argument("torrent")
    p.add_argument("dir")
    p.add_argument("listen")
    p.set_defaults(run=recheck)
    p = roles.add_parser("node")
    p.add_argument("listen", nargs="+")
    p.set_defaults(run=node)
    p = roles.add_parser("serve")
    p.add_argument("listen")
    p.add_argument("dht_node")
    p.set_defaults(run=serve)
    p = roles.add_parser("make")
    p.add_argument("path")
    p.add_argument("out")
    p.add_argument("piece_length", type=int)
    p.set_defaults(run=make)
    p = roles.add_parser("read")
    p.add_argument("torrents", nargs="+")
    p.set_defaults(run=read)
    args = parser.parse_args()
    sys.exit(args.run(args))


main()

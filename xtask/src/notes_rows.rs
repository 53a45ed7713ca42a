//! The rows of the notes page, S01 to S62 in order.

use crate::notes::Row;

/// Each behaviour that the notes name, in their order, with what the product does.
pub(crate) const ROWS: &[Row] = &[
    Row {
        question: "1",
        behaviour: "The handshake starts with 19 and \"BitTorrent protocol\"",
        rule: "byte 19 and the 19 characters, byte for byte; anything else on a plain connection closes it",
    },
    Row {
        question: "1",
        behaviour: "The length in front lets other protocols share the port",
        rule: "the first 20 bytes tell plain from encrypted peers, and the first bytes of a datagram tell uTP, DHT and tracker replies apart: one port serves all",
    },
    Row {
        question: "1",
        behaviour: "Reserved bytes for extensions follow",
        rule: "8 bytes; we set the bits of DHT, Fast and the extension protocol and ignore bits we do not know",
    },
    Row {
        question: "1, 2",
        behaviour: "The info-hash is the SHA-1 of the bencoded info dictionary",
        rule: "the original bytes of `info` are hashed, never a re-encoding; v2 sends the first 20 bytes of its SHA-256",
    },
    Row {
        question: "1, 3",
        behaviour: "A 20-byte peer id ends the handshake",
        rule: "68 bytes in all; nothing need follow them",
    },
    Row {
        question: "1a",
        behaviour: "Either side may start; the handshakes mirror each other",
        rule: "one layout both ways, and data may flow both ways on either kind of connection",
    },
    Row {
        question: "1a, 2",
        behaviour: "The acceptor checks protocol and info-hash, then answers",
        rule: "it answers when bytes 0 to 47 are in, without waiting for the peer id",
    },
    Row {
        question: "2",
        behaviour: "Both sides compare the info-hash and sever on a mismatch",
        rule: "the initiator checks the echo as well (a hybrid may answer with its v2 hash)",
    },
    Row {
        question: "2, 2a",
        behaviour: "Many torrents on one port: wait for the hash, answer if it is active",
        rule: "looked up by info-hash; an unknown or paused torrent closes the connection without a byte",
    },
    Row {
        question: "2a",
        behaviour: "\"Download hash\" is another word for the info-hash",
        rule: "one value, one type",
    },
    Row {
        question: "2a",
        behaviour: "A connection belongs to one torrent",
        rule: "bound by its handshake, never bound again",
    },
    Row {
        question: "3",
        behaviour: "A client makes its own unique 20-byte id",
        rule: "random for each torrent and session behind a client prefix; the tracker and the wire see the same one",
    },
    Row {
        question: "3",
        behaviour: "The id goes to the tracker, whose list carries those of others",
        rule: "`peer_id` is sent, and `peer id` of dictionary lists is read",
    },
    Row {
        question: "3",
        behaviour: "The initiator severs when the id is not the expected one",
        rule: "only dictionary lists give an expectation; strict mode severs, lenient mode (the default) notes it and stays, because common clients use a new id per connection (decision 0002)",
    },
    Row {
        question: "3",
        behaviour: "Ids help peers to manage connections",
        rule: "a connection to ourselves and a second one to the same peer of a torrent are dropped",
    },
    Row {
        question: "3",
        behaviour: "Matching ids mean known and trusted peers",
        rule: "they do not: an id is a claim and never earns trust, credit or a ban",
    },
    Row {
        question: "3a",
        behaviour: "Length-prefixed messages follow the handshake",
        rule: "four binary bytes, big-endian, then an id byte and the payload; a message may arrive split anywhere",
    },
    Row {
        question: "3a",
        behaviour: "A keep-alive is a length of 0 without a body",
        rule: "ignored, and never the first message that a bitfield must be",
    },
    Row {
        question: "3a, 5",
        behaviour: "Keep-alive after two minutes of silence",
        rule: "sent before 120 s have gone since our last byte",
    },
    Row {
        question: "3a",
        behaviour: "Timeouts may be shorter when data is due",
        rule: "a request that stalls is given to another peer; an idle peer has two minutes and some grace",
    },
    Row {
        question: "3a",
        behaviour: "interested and not interested",
        rule: "ids 2 and 3, kept true at all times, also while choked; not interested at the start",
    },
    Row {
        question: "3a",
        behaviour: "Unchoke answers interest, if willing",
        rule: "no reply but a schedule: every 10 s the best few and one optimistic, which changes every 30 s",
    },
    Row {
        question: "3a",
        behaviour: "Choke when slots are full, unchoke when one is free",
        rule: "choked at the start; a choke drops queued requests, or with Fast rejects each",
    },
    Row {
        question: "3a, 4",
        behaviour: "have after a verified piece",
        rule: "id 4 and the index, and only after the hash was right",
    },
    Row {
        question: "3a",
        behaviour: "The receiver of have counts its sender as a source",
        rule: "availability and interest are brought up to date",
    },
    Row {
        question: "3a",
        behaviour: "request names the piece",
        rule: "index, begin and length: a piece is many requests of 16 KiB, and longer ones are refused",
    },
    Row {
        question: "3a",
        behaviour: "A piece is served only to an unchoked peer",
        rule: "otherwise ignored, or with Fast rejected unless allowed fast",
    },
    Row {
        question: "3a",
        behaviour: "piece carries the data, and the downloader verifies it",
        rule: "id 7; SHA-1 for each piece, SHA-256 for each block in v2; bad data is thrown away, fetched again, and its sender found",
    },
    Row {
        question: "3a",
        behaviour: "Ask for the next after verifying, until complete",
        rule: "many requests are under way at once, as rate and round trip ask, within what the peer allows",
    },
    Row {
        question: "3a",
        behaviour: "The example: handshake, interested, unchoke, request, piece, have, keep-alive",
        rule: "exactly this trace can be played",
    },
    Row {
        question: "4",
        behaviour: "A peer that has pieces sends its bitfield on connecting",
        rule: "id 5, first after the handshake, the high bit first: `10100011` says 0, 2, 6 and 7",
    },
    Row {
        question: "4, 5a",
        behaviour: "A peer without pieces may skip the bitfield or send an empty one",
        rule: "skipped, all zeros, or have_none are accepted; a bitfield of no bytes is malformed",
    },
    Row {
        question: "4",
        behaviour: "A seed's bitfield is all ones",
        rule: "spare bits are zero, and one that is set closes the connection",
    },
    Row {
        question: "4",
        behaviour: "have goes to every connected peer",
        rule: "to all peers of the torrent, not to the uploader alone",
    },
    Row { question: "4", behaviour: "One seed is enough to start", rule: "a swarm completes from one seed" },
    Row {
        question: "4",
        behaviour: "Peers see at once that it is a seed",
        rule: "availability follows from its bitfield or have_all",
    },
    Row {
        question: "4",
        behaviour: "Rarest first, or random",
        rule: "rarest first with random ties, from the first piece on (decision 0003)",
    },
    Row {
        question: "4",
        behaviour: "Peers do not all take the same piece",
        rule: "each client breaks ties at random of its own",
    },
    Row {
        question: "4",
        behaviour: "What others have is known from bitfields and haves",
        rule: "as well as from have_all, have_none and retractions",
    },
    Row {
        question: "5",
        behaviour: "A torrent without a tracker has `nodes` and no announce",
        rule: "such a file is made and read; the keys are `announce`, `announce-list` and `nodes`",
    },
    Row {
        question: "5",
        behaviour: "`nodes` lists known DHT nodes",
        rule: "host and port, where the host is IPv4, IPv6 or a name; they are nodes, not peers",
    },
    Row {
        question: "5",
        behaviour: "The DHT starts from `nodes` and learns more",
        rule: "by asking outward for its own id",
    },
    Row {
        question: "5",
        behaviour: "The key in the DHT is generated from the info-hash",
        rule: "the info-hash is the key, as it is",
    },
    Row {
        question: "5",
        behaviour: "find_node and get_peers find peers",
        rule: "only get_peers does; find_node answers with nodes",
    },
    Row {
        question: "5",
        behaviour: "A finds B and C in the end",
        rule: "because B and C announced themselves, which the notes leave out",
    },
    Row {
        question: "5",
        behaviour: "A connects to B, then to C",
        rule: "with the full handshake, reserved bytes included",
    },
    Row {
        question: "5",
        behaviour: "B has 111, C has 110, A has 000: A knows who has what",
        rule: "0xE0 and 0xC0 on the wire; availability 2, 2 and 1",
    },
    Row {
        question: "5",
        behaviour: "A takes piece 2 first, from B",
        rule: "the rarest piece comes first under every seed",
    },
    Row {
        question: "5",
        behaviour: "Then piece 0 from C, then 1 from C",
        rule: "the load goes to the peer with the least of it",
    },
    Row {
        question: "5",
        behaviour: "Requests are sent",
        rule: "after interested and unchoke, which the notes leave out",
    },
    Row {
        question: "5",
        behaviour: "Each complete piece is told to both B and C",
        rule: "have also goes to peers that own the piece",
    },
    Row {
        question: "5",
        behaviour: "A is complete and serves as a seed",
        rule: "not interested to B and C; C gets piece 2 from A even when B is gone; announced as complete",
    },
    Row {
        question: "5",
        behaviour: "Keep-alives every two minutes on idle links",
        rule: "as S19, on every link",
    },
    Row {
        question: "5",
        behaviour: "Pings keep us connected to DHT nodes",
        rule: "a node is in question after 15 min of silence, then pinged, then replaced",
    },
    Row {
        question: "5",
        behaviour: "So that we stay discoverable",
        rule: "pings do not do that: we announce again before the entry expires",
    },
    Row {
        question: "5a",
        behaviour: "The end of the handshake triggers the bitfield, on both sides",
        rule: "sent right after our handshake is out and theirs was right",
    },
    Row { question: "5a", behaviour: "One to one, no broadcast", rule: "for each connection on its own" },
    Row {
        question: "5a",
        behaviour: "Never repeated; later changes come as haves",
        rule: "we never repeat it, but bear a late one and an extension handshake before it",
    },
    Row {
        question: "1a",
        behaviour: "Peers come from the tracker or peer exchange",
        rule: "and from the DHT, the local network, magnet links and incoming connections",
    },
    Row {
        question: "2, 3",
        behaviour: "Talk with the tracker: announce, get a list",
        rule: "over HTTP and UDP",
    },
    Row {
        question: "2",
        behaviour: "The metadata holds names, sizes and piece hashes",
        rule: "read, checked and refused where it could do harm",
    },
    Row {
        question: "2",
        behaviour: "Several incoming handshakes at once",
        rule: "half-open ones are bounded, each has 10 s, and none blocks another",
    },
];

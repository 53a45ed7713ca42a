//! Rows 47 to 62 and 64: the extension protocol, metadata and peer exchange.

use super::{
    Actor, PIECES, ROW, Reaction, Row, Scene, Victim, each, extended, extended_first, hello, millis, one,
    secs, to_extension,
};
use crate::bad_peer::{Manner, Metadata, Retort};
use crate::marks::Mark;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use unchoke_wire::message::id;
use unchoke_wire::{Extension, lt_donthave, scope};

pub(super) const ROWS: &[Row] = &[
    //= H3b-47
    Row {
        number: 47,
        name: "hostile/47-hello-no-dict",
        what: "an extension handshake that is no dictionary, or of 64 KiB and 1: closed",
        cast: |_| {
            let long = sized(b"d1:mde1:v", (64 << 10) + 1);
            let wrong = [&b"i5e"[..], b"le", b"3:abc", b"d1:m", b"", &long];
            each_extended(wrong.into_iter().map(hello), Reaction::Close(secs(2)))
        },
        ..ROW
    },
    //= H3b-48
    Row {
        number: 48,
        name: "hostile/48-hello-depth",
        what: "an extension handshake nested 10,000 deep: closed",
        cast: |_| {
            let deep = [&b"d1:x"[..], &[b'l'; 10_000], &[b'e'; 10_000], b"e"].concat();
            let open = [&b"d1:x"[..], &[b'l'; 60_000]].concat();
            each_extended([hello(&deep), hello(&open)], Reaction::Close(secs(2)))
        },
        ..ROW
    },
    //= H3b-49
    Row {
        number: 49,
        name: "hostile/49-hello-ids",
        what: "extension ids 0, 255, above, below, and the same twice: taken as BEP 10 has them",
        cast: |_| {
            let dicts: [&[u8]; 4] = [
                b"d1:md11:ut_metadatai0e6:ut_pexi255eee",
                b"d1:md11:lt_donthavei5e11:ut_metadatai5e6:ut_pexi5eee",
                b"d1:md11:ut_metadatai256e6:ut_pexi-1eee",
                b"d1:md1:xi3e1:yi3e1:z3:abcee",
            ];
            each_extended(dicts.map(hello), Reaction::Stay)
        },
        ..ROW
    },
    //= H3b-50
    Row {
        number: 50,
        name: "hostile/50-hello-flood",
        what: "a thousand extension handshakes, at once or one after the other: closed",
        lasts: secs(14),
        cast: |_| {
            let hello = hello(b"d1:mdee");
            let slowly =
                Manner { later: vec![(millis(20), hello.clone(), 600)], ..extended_first(Vec::new()) };
            vec![
                Actor::new(extended_first(hello.repeat(5)), Reaction::Stay),
                Actor::new(extended_first(hello.repeat(1000)), Reaction::Close(secs(4))),
                Actor::new(slowly, Reaction::Close(secs(13))),
            ]
        },
        ..ROW
    },
    //= H3b-51
    Row {
        number: 51,
        name: "hostile/51-metadata-size",
        what: "metadata_size of 0, -1, 2^31, 2^63 - 1 or 32 MiB and 1: never asked for metadata",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let size =
                |size: &str| hello(format!("d1:md11:ut_metadatai2ee13:metadata_sizei{size}ee").as_bytes());
            let sizes = ["0", "-1", "2147483648", "9223372036854775807", "33554433"].map(size);
            let mut actors = each_extended(sizes, Reaction::Stay);
            actors.iter_mut().for_each(|actor| actor.hears.push(("extended 2", 0..=0)));
            // no bencoded number has more than 63 bits
            actors.extend(each_extended([size("9223372036854775808")], Reaction::Close(secs(2))));
            actors
        },
        ..ROW
    },
    //= H3b-52
    Row {
        number: 52,
        name: "hostile/52-metadata-index",
        what: "a block of metadata beyond the last, or of another total size: closed",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let block = |dict: &[u8], len: usize| {
                let payload = [dict, &vec![b'x'; len]].concat();
                [hello(HELLO), to_extension(Extension::UtMetadata, &payload)].concat()
            };
            let mut actors = each_extended(
                [
                    block(b"d8:msg_typei1e5:piecei9e10:total_sizei100ee", 100),
                    block(b"d8:msg_typei1e5:piecei0e10:total_sizei0ee", 0),
                    block(b"d8:msg_typei1e5:piecei0e10:total_sizei100ee", 99),
                    block(b"d8:msg_typei1e5:piecei-1e10:total_sizei100ee", 100),
                ],
                Reaction::Close(secs(2)),
            );
            let other = Manner { metadata: Some(Metadata::OtherSize), ..extended_first(Vec::new()) };
            actors.push(Actor::new(other, Reaction::Close(secs(20))));
            actors
        },
        ..ROW
    },
    //= H3b-53
    Row {
        number: 53,
        name: "hostile/53-metadata-wrong",
        what: "metadata of another hash: its sender is left alone, the rest comes from elsewhere",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let lies = Manner { metadata: Some(Metadata::WrongBytes), ..extended_first(Vec::new()) };
            one(lies, Reaction::Stay)
        },
        ..ROW
    },
    //= H3b-54
    Row {
        number: 54,
        name: "hostile/54-metadata-flood",
        mark: Some(Mark::MetadataRejected),
        what: "requests for metadata: three times over it is served, then rejected, then closed",
        victim: Victim::Seed,
        cast: |scope| {
            let ask = to_extension(Extension::UtMetadata, b"d8:msg_typei0e5:piecei0ee");
            let asks = |times| extended_first([hello(HELLO), ask.repeat(times)].concat());
            vec![
                Actor::new(asks(100), Reaction::Stay).hears("extended 2", 100..=100),
                Actor::new(asks(scope.flood as usize), Reaction::Close(secs(4))),
            ]
        },
        ..ROW
    },
    //= H3b-55
    Row {
        number: 55,
        name: "hostile/55-metadata-long",
        what: "a block of metadata of more than 16 KiB: closed",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let block = |total: usize, len: usize| {
                let dict = format!("d8:msg_typei1e5:piecei0e10:total_sizei{total}ee");
                let payload = [dict.as_bytes(), &vec![b'x'; len]].concat();
                [hello(HELLO), to_extension(Extension::UtMetadata, &payload)].concat()
            };
            let long = [block(40_000, (16 << 10) + 1), block(40_000, 40_000)];
            each_extended(long, Reaction::Close(secs(2)))
        },
        ..ROW
    },
    //= H3b-56
    Row {
        number: 56,
        name: "hostile/56-client-name",
        what: "a client name of 60,000 bytes and control characters: cut to 64 bytes, cleaned",
        cast: |_| {
            let name: Vec<u8> =
                b"\x1b[31m\xe2\x80\xaeevil\0\n\x07".iter().copied().cycle().take(60_000).collect();
            let dict = [&b"d1:mde1:v60000:"[..], &name, b"e"].concat();
            one(extended_first(hello(&dict)), Reaction::Stay)
        },
        check: |scene| {
            let name = scene.seen(0)?.client.unwrap_or_default();
            let is_clean =
                name.len() <= 64 && name.starts_with("[31mevil") && !name.chars().any(char::is_control);
            if is_clean { Ok(()) } else { Err(format!("shown as {name:?}")) }
        },
        ..ROW
    },
    //= H3b-57
    Row {
        number: 57,
        name: "hostile/57-your-ip",
        what: "one network says that we are where our honest peer is: not believed",
        comes_first: true,
        cast: |scope| {
            let ip = octets(scope.honest.ip());
            let lie = hello(&[&b"d1:mde6:yourip4:"[..], &ip, b"e"].concat());
            each_extended([lie.repeat(5), lie], Reaction::Stay)
        },
        check: |scene| {
            let honest = scene.world.host(scene.honest).addr();
            let is_dialled = scene.world.host(scene.victim).dialled.contains(&honest);
            if is_dialled { Ok(()) } else { Err("the honest peer was taken for us".to_owned()) }
        },
        ..ROW
    },
    //= H3b-58
    Row {
        number: 58,
        name: "hostile/58-port-0",
        what: "a listening port of 0, below and above: not taken",
        cast: |_| {
            let port = |p: &str| hello(format!("d1:mde1:pi{p}ee").as_bytes());
            each_extended(["0", "-1", "65536"].map(port), Reaction::Stay)
        },
        check: |scene| never_dialled(scene, |addr| addr.port() == 0),
        ..ROW
    },
    //= H3b-59
    Row {
        number: 59,
        name: "hostile/59-pex-many",
        what: "10,000 peers in one exchange: the first 50 count",
        cast: |_| {
            let addrs =
                (0..10_000u32).map(|n| SocketAddr::from((Ipv4Addr::from_bits((45 << 24) + n * 509), 6881)));
            one(pex(addrs), Reaction::Stay)
        },
        check: |scene| {
            let stats = scene.world.host(scene.victim).engine.torrent_stats(scene.torrent);
            let known = stats.map_or(0, |s| s.peers.1);
            if known <= 52 { Ok(()) } else { Err(format!("{known} peers are known")) }
        },
        ..ROW
    },
    //= H3b-60
    Row {
        number: 60,
        name: "hostile/60-pex-often",
        what: "peer exchange every second: closed",
        lasts: secs(9),
        cast: |_| {
            let told = to_extension(Extension::UtPex, b"d5:added6:\x2d\x01\x02\x03\x1a\xe1e");
            let often = Manner { later: vec![(secs(1), told, 20)], ..extended_first(hello(HELLO)) };
            one(often, Reaction::Close(millis(8_500)))
        },
        ..ROW
    },
    //= H3b-61
    Row {
        number: 61,
        name: "hostile/61-pex-local",
        what: "this machine, its networks and ourselves in an exchange: dropped",
        cast: |scope| {
            let local =
                ["127.0.0.1:22", "10.0.0.1:80", "192.168.1.1:80", "172.16.0.1:443", "169.254.169.254:80"];
            let more = ["0.0.0.0:1", "255.255.255.255:9", "224.0.0.1:5353", "100.64.0.1:1", "240.0.0.1:7"];
            let told = local.into_iter().chain(more).filter_map(|a| a.parse().ok());
            one(pex(told.chain([scope.victim])), Reaction::Stay)
        },
        check: |scene| {
            let own = scene.world.host(scene.victim).addr();
            never_dialled(scene, |addr| !scope::is_global(addr.ip()) || addr == own)
        },
        ..ROW
    },
    //= H3b-62
    Row {
        number: 62,
        name: "hostile/62-pex-one-target",
        what: "50 ports of one address in an exchange, told by three: two dials a minute",
        lasts: secs(50),
        cast: |_| {
            let of = |from: u16| (from..from + 50).map(|port| SocketAddr::from((VICTIM_OF_PEX, port)));
            (0..3).map(|n| Actor::new(pex(of(7_000 + n * 20)), Reaction::Stay)).collect()
        },
        check: |scene| {
            let dialled = &scene.world.host(scene.victim).dialled;
            let dials = dialled.iter().filter(|a| a.ip() == VICTIM_OF_PEX).count();
            if dials <= 2 { Ok(()) } else { Err(format!("{VICTIM_OF_PEX} was dialled {dials} times")) }
        },
        ..ROW
    },
    //= H3b-64
    Row {
        number: 64,
        name: "hostile/64-dont-have-beyond",
        what: "lt_donthave of a piece the torrent does not have, or of three bytes: closed",
        cast: |_| {
            let lost = [PIECES, u32::MAX].map(|p| lt_donthave::encode(unchoke_wire::PieceIndex(p)).to_vec());
            let wrong = lost.into_iter().chain([vec![0; 3]]);
            let lost = wrong.map(|payload| to_extension(Extension::LtDonthave, &payload));
            each_extended(lost, Reaction::Close(secs(2)))
        },
        ..ROW
    },
];

/// Takes metadata and peer exchange.
const HELLO: &[u8] = b"d1:md11:ut_metadatai2e6:ut_pexi1eee";
/// Whom liars would have knocked at.
const VICTIM_OF_PEX: IpAddr = IpAddr::V4(Ipv4Addr::new(45, 6, 7, 8));

fn each_extended(messages: impl IntoIterator<Item = Vec<u8>>, reaction: Reaction) -> Vec<Actor> {
    let mut actors = each(messages, reaction);
    actors.iter_mut().for_each(|a| a.manner.reserved = extended());
    actors
}

/// A dictionary that begins like this and whose last string fills it up to `len` bytes.
fn sized(begin: &[u8], len: usize) -> Vec<u8> {
    let digits = 6;
    let fill = len - begin.len() - digits - 1;
    let head = format!("{fill:0>5}:");
    [begin, head.as_bytes(), &vec![b'v'; len - begin.len() - head.len() - 1], b"e"].concat()
}

fn octets(ip: IpAddr) -> [u8; 4] {
    match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

/// A peer that tells these in one exchange.
fn pex(addrs: impl Iterator<Item = SocketAddr>) -> Manner {
    let mut list = Vec::new();
    for addr in addrs {
        list.extend(octets(addr.ip()));
        list.extend(addr.port().to_be_bytes());
    }
    let dict = [format!("d5:added{}:", list.len()).as_bytes(), &list, b"e"].concat();
    let told = to_extension(Extension::UtPex, &dict);
    Manner {
        retorts: vec![Retort { to: id::EXTENDED, says: told, times: 1 }],
        ..extended_first(hello(HELLO))
    }
}

fn never_dialled(scene: &Scene, is_wrong: impl Fn(SocketAddr) -> bool) -> Result<(), String> {
    match scene.world.host(scene.victim).dialled.iter().find(|a| is_wrong(**a)) {
        Some(addr) => Err(format!("{addr} was dialled")),
        None => Ok(()),
    }
}
